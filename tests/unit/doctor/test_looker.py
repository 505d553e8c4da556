"""The looker is not the gateway: whatever ails our own side, a gateway that is well is neither accused nor touched."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from checks import test_browser, test_cron, test_gateway, test_host, test_logs, test_work
from oc_ops.act.recover.policy import cure_of
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import Blocked, NotAsked
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import KINDS
from oc_ops.observe import install
from oc_ops.observe.rpc import RefusalKind, RpcRefused
from oc_ops.observe.service import Service
from tests.support.sights import answer, call, gateway_process, sight
from tests.support.world import HUNG, Make, World

MODULES = (test_gateway, test_work, test_browser, test_cron, test_host, test_logs)
CHECKS = [
    each
    for module in MODULES
    for name, each in vars(module).items()
    if name.startswith("test_") and name not in ("test_browser_click_lands", "test_a_model_answers_a_prompt")
]
ACTS = re.compile(
    r"gateway (?:re)?start|gateway stop|\bkill\b|\bend (?:that|pid)|systemctl \S*\s*(?:re)?start|systemctl \S*\s*stop"
    r"|launchctl kick|config set|--fix|repair|podman (?:re)?start|docker (?:re)?start"
)
"""Advice that would change a gateway, its process or its config."""
READS = ("gateway_status", "cron_list", "cron_status", "status", "browser_status")
"""The commands that ask the gateway."""


@dataclass
class Scene:
    """One world and what its doctor is made with."""

    world: World
    make: dict[str, Any]
    monkeypatch: pytest.MonkeyPatch

    def refuse_rpc(self, kind: RefusalKind, reason: str, code: str | None = None) -> None:
        """No connection, for a reason of our own."""
        self.world.reads = RpcRefused(kind, reason, code)

    def cli(self, error: Mapping[str, object], names: tuple[str, ...] = READS) -> None:
        """The command refuses, as 2026.9.6 words it."""
        for name in names:
            self.world.cli[name] = answer({"ok": False, "error": error}, outcome="refused")

    def calls(self, **changes: Any) -> None:
        """Every call that asks ends so."""
        for name in READS:
            ended = replace(call("gateway call", changes.pop("outcome", "timed-out")), **changes)
            self.world.cli[name] = replace(answer(None), call=ended)

    def look(self, **changes: Any) -> None:
        """What we may see of its process and socket."""
        assert not isinstance(self.world.look, Exception)
        self.world.look = replace(self.world.look, **changes)


_CREDENTIALS = {
    "type": "gateway_credentials_required",
    "message": "Gateway is reachable, but this CLI has no token/password or paired device token for read-scope RPCs.",
}
_TOKEN = "gateway.auth.token"


def no_token(scene: Scene) -> None:
    """Neither config nor environment has one."""
    scene.make["text"] = '{"gateway": {"auth": {"mode": "token"}}}'
    scene.refuse_rpc("secret-unresolved", f"there is no {_TOKEN} in the config")
    scene.cli(_CREDENTIALS)


def unset_variable(scene: Scene) -> None:
    """It names a variable that this shell lacks."""
    scene.make["text"] = '{"gateway": {"auth": {"mode": "token", "token": "${OC_TEST_TOKEN}"}}}'
    scene.refuse_rpc("secret-unresolved", f"{_TOKEN} needs $OC_TEST_TOKEN, which is not set here")
    scene.cli({"type": "secret_ref", "message": f"failed to resolve {_TOKEN} locally"})


def wrong_token(scene: Scene) -> None:
    """Ours is refused."""
    scene.make["text"] = '{"gateway": {"auth": {"mode": "token", "token": "one-that-was-changed-since"}}}'
    scene.refuse_rpc("auth", "unauthorized: gateway token mismatch", "AUTH_TOKEN_MISMATCH")
    scene.cli({"type": "gateway_auth", "message": "unauthorized: gateway token mismatch"})


def unpaired(scene: Scene) -> None:
    """Our device was never paired."""
    scene.refuse_rpc("pairing", "device pairing required", "PAIRING_REQUIRED")
    scene.cli({"type": "GatewayClientRequestError", "message": "device pairing required (requestId: 1)"})


def pairing_waits(scene: Scene) -> None:
    """A request of ours waits for somebody's approval."""
    scene.refuse_rpc("pairing", "scope upgrade pending approval", "PAIRING_REQUIRED")
    scene.cli({"message": "scope upgrade pending approval", "detailCode": "PAIRING_REQUIRED"}, ("cron_list",))


def cli_missing(scene: Scene) -> None:
    """There is no command."""
    scene.make["cli"] = False
    scene.monkeypatch.setattr(install, "find", lambda *_: None)


def cli_hangs(scene: Scene) -> None:
    """It does not come back."""
    scene.calls(outcome="timed-out")


def cli_crashes(scene: Scene) -> None:
    """It dies."""
    scene.calls(outcome="crashed", signal=6)


def cli_of_another_release(scene: Scene) -> None:
    """It is older than what it talks to, and does not know the words."""
    scene.world.cli["version"] = call("--version", stdout="OpenClaw 2026.4.1")
    scene.cli({"message": "protocol mismatch: this client is too old"})
    scene.world.cli["config_validate"] = answer(None, outcome="refused", stderr="error: unknown command 'validate'")


def cli_older_than_the_config(scene: Scene) -> None:
    """Something newer wrote the config."""
    scene.make["text"] = '{"meta": {"lastTouchedVersion": "2027.1.1"}}'
    scene.cli({"message": "this OpenClaw binary is older than the config last written by OpenClaw 2027.1.1"})


def sent_elsewhere(scene: Scene) -> None:
    """A variable of our shell sends the command to another gateway, where nobody answers."""
    scene.make["shell"] = {"OPENCLAW_GATEWAY_URL": "ws://127.0.0.1:9"}
    scene.cli({"message": "connect ECONNREFUSED 127.0.0.1:9", "type": "gateway_unreachable"})


def plaintext_refused(scene: Scene) -> None:
    """The command does not speak plain ws:// to the address of the config."""
    scene.cli({"message": 'SECURITY ERROR: Gateway URL "ws://192.0.2.2:29101" uses plaintext ws:// to a non-loopback'})


def listener_not_shown(scene: Scene) -> None:
    """Whose socket it is may not be seen, so no credential leaves."""
    scene.refuse_rpc("unproven", "who listens on the port is not ours to see", "hidden")
    scene.look(listener=None)


def sockets_hidden(scene: Scene) -> None:
    """The sockets of its process are another user's."""
    scene.look(
        listener=None, hidden="the sockets of pid 16916 cannot be seen from this account; run the doctor as user nobody"
    )


def no_bus(scene: Scene) -> None:
    """The service manager cannot be asked."""
    scene.look(service=Service("systemd", "openclaw-gateway.service", "silent", detail="Failed to connect to bus"))


def no_processes(scene: Scene) -> None:
    """The machine shows us no process but our own."""
    scene.look(processes=(), listener=None)


def another_user(scene: Scene) -> None:
    """The gateway is another account's, and what we see of it is a title."""
    scene.look(processes=(gateway_process(certain=False, uid=4711),))


def config_forbidden(scene: Scene) -> None:
    """OpenClaw's own validation may not read the file."""
    scene.world.cli["config_validate"] = answer(
        {"valid": False, "error": {"message": "EACCES: permission denied, open '~/.openclaw/openclaw.json'"}},
        outcome="refused",
    )


def rpc_switched_off(scene: Scene) -> None:
    """The operator does not want that lane."""
    scene.make["rpc"] = False


def device_refused(scene: Scene) -> None:
    """Our device's key is not taken."""
    scene.refuse_rpc("device", "device signature expired: the clocks differ", "DEVICE_SIGNATURE_EXPIRED")


def state_closed(scene: Scene) -> None:
    """The state directory is another user's, and may not be entered."""

    def refused(*_: object, **__: object) -> None:
        raise CouldNotLook("cannot read ~/.openclaw/state/openclaw.sqlite: Permission denied")

    scene.monkeypatch.setattr("oc_ops.observe.state.look", refused)
    scene.monkeypatch.setattr("oc_ops.observe.jobstore.read", refused)


def log_unseen(scene: Scene) -> None:
    """Nothing of its log is to be seen."""
    scene.monkeypatch.setattr("oc_ops.observe.logs.files", lambda *_, **__: ())


FAILURES: tuple[Callable[[Scene], None], ...] = (
    no_token, unset_variable, wrong_token, unpaired, pairing_waits, cli_missing, cli_hangs, cli_crashes,
    cli_of_another_release, cli_older_than_the_config, sent_elsewhere, plaintext_refused, listener_not_shown,
    sockets_hidden, no_bus, no_processes, another_user, config_forbidden, rpc_switched_off, device_refused,
    state_closed, log_unseen,
)  # fmt: skip
COMBINATIONS = [(), *((each,) for each in FAILURES), *itertools.combinations(FAILURES, 2)]


def found_by(doctor: Doctor) -> Iterator[Finding]:
    """All that the checks find, what they are blocked by included."""
    surroundings = Surroundings(doctor)
    for check in CHECKS:
        said: list[Finding] = []
        try:
            given = {
                "doctor": doctor,
                "surroundings": surroundings,
                "limits": doctor.limits,
                "named_cause": None,
                "report": lambda *findings, said=said: said.extend(each for each in findings if each is not None),
            }
            wanted = inspect.signature(check).parameters
            if "gateway" in wanted:
                given["gateway"] = doctor.look()
            check(**{name: given[name] for name in wanted})
        except Blocked as blocked:
            yield blocked.cause
        except (NotAsked, OcOpsError):
            pass
        yield from said


def acts_on(finding: Finding) -> bool:
    """Whether its cure or its advice would change a gateway."""
    return (
        cure_of(finding.check).action in ("restart", "start", "browser-restart", "channel-restart")
        or ACTS.search(finding.fix) is not None
    )


def test_a_gateway_that_hangs_is_acted_on(world: World, make: Make) -> None:
    """The matrix below can fail: what the gateway's own process and socket show does lead to an act."""
    world.look = HUNG
    assert [each.check for each in found_by(make()) if acts_on(each)][:1] == ["gateway/hung"]


@pytest.mark.parametrize(
    ("quick", "every"),
    [
        pytest.param(True, 3, id="quick, one in three"),
        pytest.param(False, 11, id="whole, one in eleven"),
        pytest.param(True, 1, id="quick", marks=pytest.mark.nightly),
        pytest.param(False, 1, id="whole", marks=pytest.mark.nightly),
    ],
)
def test_no_blindness_of_ours_touches_a_gateway_that_is_well(
    quick: bool, every: int, world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure on our side alone and with every other one: no cure that acts, no advice that would."""
    plain, harmful = dict(world.cli), []
    told: set[str] = set()
    tried = (
        COMBINATIONS if every == 1 else [each for n, each in enumerate(COMBINATIONS) if len(each) < 2 or n % every == 0]
    )
    for failures in tried:
        with monkeypatch.context() as patched:
            world.look, world.reads, world.cli = sight(), World().reads, dict(plain)
            scene = Scene(world, {"quick": quick}, patched)
            for fail in failures:
                fail(scene)
            try:
                found = list(found_by(make(**scene.make)))
            except OcOpsError:
                continue  # it cannot be looked at from here at all: nothing is said of it
        for each in found:
            told.add(each.check)
            if acts_on(each) and each.check.split("/")[0] in ("gateway", "cli", "cron", "browser", "state", "config"):
                harmful.append(f"{' + '.join(one.__name__ for one in failures)}: {each.check}: {each.fix}")
    assert len(COMBINATIONS) == 1 + 22 + 231
    assert harmful == []
    assert told >= {"gateway/auth-rejected", "gateway/credential-missing", "cli/missing"}


@pytest.mark.parametrize("check", [name for name, kind in KINDS.items() if kind.cure.action in ("restart", "start")])
def test_each_restart_names_its_proof(check: str) -> None:
    """The registry takes no restart and no start whose proof is not said."""
    assert len(KINDS[check].cure.proof.split()) > 5
