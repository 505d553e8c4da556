"""The RPC lane on real gateways of several releases: paired by itself, reading only, leaving hardly a trace."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from oc_ops.lab.install import DEFAULT_VERSION, RELEASES, install
from oc_ops.lab.lab import Lab
from oc_ops.observe import listener
from oc_ops.observe.config import Credential
from oc_ops.observe.device import load
from oc_ops.observe.rpc import RpcClient, RpcRefused, connect
from oc_ops.observe.target import locate
from tests.support.faults import stopped

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

READS = ("health", "status", "cron.status", "cron.list", "logs.tail")


OLDER = [pytest.param(each, marks=pytest.mark.nightly) for each in RELEASES if each != DEFAULT_VERSION]


@pytest.fixture(scope="module", params=[DEFAULT_VERSION, *OLDER])
def virgin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A gateway that no client has ever spoken to: no cron job, no browser, nobody paired."""
    lab = Lab(tmp_path_factory.mktemp("virgin"), request.param)
    install(lab.version, cache=lab.cache)
    lab._prepare()  # `up` would seed jobs through the CLI: then the CLI is paired before us
    try:
        lab.start_gateway()
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def memory(virgin: Lab) -> Path:
    """The memory directory of one operator of that gateway."""
    return virgin.root / "memory"


def join(lab: Lab, memory: Path, credential: Credential | None = None, *, connect_s: float = 20.0) -> RpcClient:
    """Connect as the doctor does, with room for a busy machine."""
    credential = credential or Credential("token", lab.token)
    show = partial(listener.prove, locate(lab.environ), "127.0.0.1", lab.port)
    return connect("127.0.0.1", lab.port, credential, memory, show, connect_s=connect_s, request_s=20.0)


def written(lab: Lab, offset: int) -> list[tuple[str, str]]:
    """Level and text of what the gateway has logged since."""
    with lab.log_file.open("rb") as file:
        file.seek(offset)
        records = [json.loads(line) for line in file.read().splitlines() if line.endswith(b"}")]
    return [(each["_meta"]["logLevelName"], json.dumps(each)) for each in records]


def test_reads_everything_a_doctor_needs(virgin: Lab, memory: Path) -> None:
    """A new device is paired silently, and each read the doctor needs is answered."""
    with join(virgin, memory) as client:
        assert client.hello.scopes == ("operator.read",)
        replies = {method: client.request(method, {"limit": 20} if method == "logs.tail" else None) for method in READS}
    assert {method: reply.outcome for method, reply in replies.items()} == dict.fromkeys(READS, "ok")
    cron, log = replies["cron.status"].payload, replies["logs.tail"].payload
    assert isinstance(cron, dict)
    assert cron["enabled"] is True
    assert isinstance(log, dict)
    assert Path(log["file"]) == virgin.log_file


def test_our_pairing_leaves_the_clis_alone(virgin: Lab, memory: Path) -> None:
    """After us, the first call of the CLI still gets the scopes to change things, which 2026.5.28 may deny for ever."""
    with join(virgin, memory):
        pass
    added = virgin.call(
        "cron", "add", "--name", "probe", "--every", "6h", "--session", "main", "--system-event", "hello", "--json"
    )
    assert added.outcome in ("answered", "lingered"), added.summary
    listed = virgin.call("cron", "list", "--json")
    assert '"probe"' in listed.stdout.text
    with join(virgin, memory) as client:
        jobs = client.request("cron.list").payload
    assert isinstance(jobs, dict)
    assert "probe" in [job["name"] for job in jobs["jobs"]]


def test_operator_recognises_us(virgin: Lab, memory: Path) -> None:
    """`openclaw devices list` shows a device called oc-ops that may read and nothing else."""
    with join(virgin, memory):
        pass
    devices = json.loads(virgin.call("devices", "list", "--json").stdout.text)["paired"]
    (ours,) = [each for each in devices if each.get("displayName") == "oc-ops"]
    assert ours["deviceId"] == load(memory).identify()[0]
    assert ours["scopes"] == ["operator.read"]


def test_writing_is_refused(virgin: Lab, memory: Path) -> None:
    """The gateway itself refuses a change from us."""
    with join(virgin, memory) as client:
        reply = client.request("cron.remove", {"id": "none"})
    assert reply.outcome == "error"
    assert "missing scope" in reply.message


def test_issued_token_works_without_the_secret(virgin: Lab, memory: Path) -> None:
    """With a secret we cannot resolve, the token issued to our device gets us in."""
    with join(virgin, memory):
        pass
    with join(virgin, memory, Credential("unresolved", why="a SecretRef")) as client:
        assert client.request("health").outcome == "ok"


def test_healthy_visit_leaves_no_warning(virgin: Lab, memory: Path) -> None:
    """Once paired, connecting, reading and leaving writes nothing above INFO into the gateway's log."""
    with join(virgin, memory):
        pass
    offset = virgin.log_file.stat().st_size
    with join(virgin, memory) as client:
        for method in READS:
            client.request(method)
    assert [text for level, text in written(virgin, offset) if level not in ("INFO", "DEBUG", "TRACE")] == []


def test_wrong_token_is_named_and_ours_to_recognise(virgin: Lab, memory: Path) -> None:
    """A wrong token is an auth refusal with the gateway's code; its log records of it carry our name."""
    offset = virgin.log_file.stat().st_size
    with pytest.raises(RpcRefused) as caught:
        join(virgin, memory, Credential("token", "wrong"))
    assert (caught.value.kind, caught.value.code) == ("auth", "AUTH_TOKEN_MISMATCH")
    deadline = time.monotonic() + 60
    while not (warnings := [text for level, text in written(virgin, offset) if level == "WARN"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert all("client=oc-ops " in each or "ua=oc-ops/" in each for each in warnings)


def test_stopped_gateway_is_seen_in_time(virgin: Lab, memory: Path) -> None:
    """A stopped gateway is silent within the connect budget, and a stopped one under way within the request's."""
    load(memory)
    with stopped(virgin):
        started = time.monotonic()
        with pytest.raises(RpcRefused) as caught:
            join(virgin, memory, connect_s=1.0)
        assert time.monotonic() - started < 5.0
    assert caught.value.kind == "silent"
    client = join(virgin, memory)
    with stopped(virgin):
        started = time.monotonic()
        assert client.request("status", deadline_s=0.5).outcome == "silent"
        client.close()
        assert time.monotonic() - started < 5.0
    with join(virgin, memory) as client:
        assert client.request("health").outcome == "ok"
