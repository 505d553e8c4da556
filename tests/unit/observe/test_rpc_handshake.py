"""The handshake of the RPC lane: what is asked for, what is read of the hello, which credential goes in."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops import __version__
from oc_ops.observe.config import Credential
from oc_ops.observe.device import keep_token, load
from tests.fakes.fake_gateway import METHODS, Talk, check_signature, gateway, hello
from tests.support.lane import SECRET, healthy, join, refused


def test_connect_asks_for_reading_and_nothing_more(tmp_path: Path) -> None:
    """Our connect frame is a signed read-only operator that calls itself oc-ops, in protocol 3 to 4."""
    with gateway(healthy) as (port, seen), join(port, tmp_path):
        pass
    params = seen[0]["params"]
    assert (seen[0]["type"], seen[0]["method"]) == ("req", "connect")
    assert (params["role"], params["scopes"]) == ("operator", ["operator.read"])
    assert (params["minProtocol"], params["maxProtocol"]) == (3, 4)
    assert params["client"]["displayName"] == "oc-ops"
    assert params["userAgent"] == f"oc-ops/{__version__}"
    assert params["auth"] == {"token": SECRET}
    check_signature(params)


def test_no_request_is_sent_unasked(tmp_path: Path) -> None:
    """Connecting and leaving sends the connect frame and nothing else."""
    with gateway(healthy) as (port, seen), join(port, tmp_path):
        pass
    assert [frame["method"] for frame in seen] == ["connect"]


def test_hello_is_read(tmp_path: Path) -> None:
    """What the gateway says of itself is there, with the connection id its log lines carry."""
    with gateway(healthy) as (port, _), join(port, tmp_path) as client:
        assert client.hello.server_version == "2026.9.6"
        assert client.hello.protocol == 4
        assert client.hello.methods == frozenset(METHODS)
        assert client.hello.events == {"tick", "health", "cron"}
        assert client.hello.scopes == ("operator.read",)
        assert client.hello.tick_interval_ms == 30000
        assert client.hello.conn_id == "conn-1"
        assert 0 < client.connect_s < 5
        assert client.notes == ()


def test_poor_hello_is_read(tmp_path: Path) -> None:
    """A hello that says next to nothing still connects; every method is then worth trying."""

    def script(talk: Talk) -> None:
        talk.challenge()
        talk.answer(talk.take(), {"type": "hello-ok", "protocol": 3.0, "server": [], "features": {"methods": [7]}})
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        assert client.hello.server_version is None
        assert client.hello.protocol == 3
        assert client.has("health")


@pytest.mark.parametrize(
    ("credential", "auth"),
    [
        pytest.param(Credential("password", SECRET), {"password": SECRET}, id="password"),
        pytest.param(Credential("none"), {}, id="none"),
    ],
)
def test_other_credentials_are_sent_as_such(tmp_path: Path, credential: Credential, auth: dict[str, str]) -> None:
    """A password goes into its own field and is not signed; no secret sends none."""
    with gateway(healthy) as (port, seen), join(port, tmp_path, credential):
        pass
    assert seen[0]["params"]["auth"] == auth
    check_signature(seen[0]["params"])


def test_issued_token_is_kept_but_never_hides_a_wrong_secret(tmp_path: Path) -> None:
    """The device token of hello is kept; while there is a shared secret, that is what we are judged by."""
    with gateway(healthy) as (port, seen):
        for _ in range(2):
            with join(port, tmp_path):
                pass
        assert load(tmp_path).tokens == {f"ws://127.0.0.1:{port}": "issued-1"}
    assert [frame["params"]["auth"] for frame in seen] == [{"token": SECRET}] * 2


@pytest.mark.parametrize("token", ["x" * 2**20, "x" * 4097, "two\nlines", "\x1b[2J", "é", "", 7, ["x"]])
def test_a_token_beyond_measure_is_not_kept(tmp_path: Path, token: object) -> None:
    """A device token is short and printable, as 2026.9.6 issues it; anything else stays out of our file."""

    def script(talk: Talk) -> None:
        talk.welcome(deviceToken=token)
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path):
        pass
    assert load(tmp_path).tokens == {}
    assert (tmp_path / "device.json").stat().st_size < 1000


def test_names_beyond_measure_are_passed_over(tmp_path: Path) -> None:
    """Of what a gateway calls its methods, events and scopes the plausible part is kept."""
    told = hello(scopes=["s" * 10_000, "operator.read"])
    told["features"] = {"methods": ["health", *(f"m{n}" for n in range(50_000))], "events": ["e" * 10_000, "tick"]}

    def script(talk: Talk) -> None:
        talk.challenge()
        talk.answer(talk.take(), told)
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        assert len(client.hello.methods) == 10_000
        assert client.hello.scopes == ("operator.read",)
        assert client.hello.events == {"tick"}


@pytest.mark.parametrize("nonce", ["", "n" * 10_000, "a|operator.admin|b", 7])
def test_an_odd_challenge_is_not_signed(tmp_path: Path, nonce: object) -> None:
    """A nonce without measure, or one that would write fields of the signed text itself, gets no signature."""

    def script(talk: Talk) -> None:
        talk.challenge(nonce=nonce)
        talk.hang()

    with gateway(script) as (port, seen):
        refused(port, tmp_path, connect_s=0.5)
    assert seen == []


def test_issued_token_serves_where_the_secret_is_unresolved(tmp_path: Path) -> None:
    """A gateway that once issued us a token is asked with it when its secret cannot be resolved."""
    with gateway(healthy) as (port, seen):
        with join(port, tmp_path):
            pass
        with join(port, tmp_path, Credential("unresolved", why="gateway.auth.token is a SecretRef")) as client:
            assert client.request("health").outcome == "ok"
    assert seen[1]["params"]["auth"] == {"token": "issued-1"}
    check_signature(seen[1]["params"])


def test_unresolved_secret_is_the_reason(tmp_path: Path) -> None:
    """Without an issued token an unresolved secret ends the lane before anything is sent."""
    why = "gateway.auth.token is a SecretRef"
    refusal = refused(1, tmp_path, Credential("unresolved", why=why))
    assert (refusal.kind, refusal.reason) == ("secret-unresolved", why)


def test_stale_issued_token_is_forgotten(tmp_path: Path) -> None:
    """An issued token that is no longer accepted is dropped; the gateway is not blamed for our old token."""

    def script(talk: Talk) -> None:
        talk.challenge()
        talk.refuse(talk.take(), code="INVALID_REQUEST", message="unauthorized: issued-1 mismatch")

    with gateway(script) as (port, _):
        keep_token(load(tmp_path), f"ws://127.0.0.1:{port}", "issued-1")
        refusal = refused(port, tmp_path, Credential("unresolved", why="gateway.auth.token is a SecretRef"))
    assert refusal.kind == "secret-unresolved"
    assert refusal.reason.startswith("gateway.auth.token is a SecretRef; ")
    assert load(tmp_path).tokens == {}


def test_renewed_key_is_noted(tmp_path: Path) -> None:
    """A damaged key file does not stop the lane; the client's notes tell the operator of the new device."""
    (tmp_path / "device.json").write_text("damaged")
    with gateway(healthy) as (port, _), join(port, tmp_path) as client:
        (note,) = client.notes
    assert "device.json was damaged and set aside" in note
