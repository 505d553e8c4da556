"""A gateway that is down: why it would not come up either, by its files, its unit and one refusal of OpenClaw's."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from oc_ops.act.recover.policy import cure_of
from oc_ops.act.recover.preflight import by_hand
from oc_ops.doctor import summary
from oc_ops.errors import CouldNotLook
from oc_ops.judge import findings
from oc_ops.judge.finding import Finding
from oc_ops.observe import install, state
from oc_ops.observe.healers import Healer
from oc_ops.observe.lastwords import LastWords
from oc_ops.observe.leases import Lease
from oc_ops.observe.rpc import RefusalKind, RpcRefused
from oc_ops.observe.service import NO_SERVICE, Service
from tests.support.sights import answer
from tests.support.world import DOWN, Make, World, causes, everything


def test_a_gateway_that_is_down_has_its_config_validated(world: World, make: Make) -> None:
    """Where no gateway is there to be burdened, one call tells whether it would come up at all."""
    world.look = DOWN
    assert causes(everything(make())) == {"gateway/down"}
    assert world.calls == {"config_validate": 1}
    world.cli["config_validate"] = answer({"valid": False, "issues": [{"path": "gateway.port", "message": "no"}]})
    assert causes(everything(make())) == {"config/invalid"}


@pytest.mark.parametrize(
    ("words", "check"),
    [("file is not a database", "state/corrupt"), ("uses newer schema version 99", "state/newer-schema")],
)
def test_a_start_that_openclaw_would_refuse_is_the_one_cause(words: str, check: str, world: World, make: Make) -> None:
    """Said by its own validation, it stands in place of the gateway that is down, and one check tells it."""
    world.look = DOWN
    world.cli["config_validate"] = answer({"valid": False, "error": {"message": words}}, outcome="refused")
    doctor = make()
    assert causes(everything(doctor)) == {check}
    assert world.calls["config_validate"] == 1
    told_by = doctor.config_rejected()
    assert told_by is not None
    assert told_by.check == check


@pytest.mark.parametrize(
    ("words", "unit", "named"),
    [
        ("Cannot find module '@buape/carbon'", NO_SERVICE, {"gateway/start-refused"}),
        ("Cannot find module '@buape/carbon'", Service("systemd", "openclaw-gateway.service", "stopped"), set()),
        ("OpenClaw requires Node 24", NO_SERVICE, {"gateway/down"}),
        ("required secrets are unavailable", NO_SERVICE, set()),
    ],
    ids=["no-unit", "unit", "our-node", "our-secrets"],
)
def test_an_incomplete_command_speaks_of_the_gateway_it_would_start(
    words: str, unit: Service, named: set[str], world: World, make: Make
) -> None:
    """A unit may start another package, with a Node and secrets of its own: there our command's words prove nothing."""
    world.look = replace(DOWN, service=unit)
    world.cli["config_validate"] = answer({"valid": False, "error": {"message": words}}, outcome="refused")
    found = everything(make())
    assert causes(found) == named
    assert isinstance(found["http_cause"], CouldNotLook) is not bool(named)


def test_a_refusal_that_is_not_known_makes_the_verdict_unknown(world: World, make: Make) -> None:
    """Whether a start helps is not known then, so none is advised; a live gateway is not accused of it either."""
    world.cli["config_validate"] = answer({"valid": False, "error": {"message": "the moon"}}, outcome="refused")
    assert causes(everything(make())) == set()
    world.look = DOWN
    found = everything(make())
    assert causes(found) == set()
    assert isinstance(found["http_cause"], CouldNotLook)
    assert "the moon" in str(found["http_cause"])


def test_what_the_files_say_of_a_start_needs_no_call(world: World, make: Make) -> None:
    """A damaged store or an older command is seen without asking it, under --quick too."""
    world.look = DOWN
    for quick in (False, True):
        doctor = make(text='{"gateway": {"mode": "local"}, "meta": {"lastTouchedVersion": "2027.1.1"}}', quick=quick)
        assert causes(everything(doctor)) == {"cli/outdated"}
        (doctor.target.state_dir / "state").mkdir(exist_ok=True)
        store = doctor.target.state_dir / "state" / "openclaw.sqlite"
        store.write_bytes(b"no database")
        assert causes(everything(make(quick=quick))) == {"state/corrupt"}
        store.unlink()
    assert world.calls == Counter()


def test_a_live_gateway_is_not_blocked_by_its_state(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces that its user cannot use are a finding of their own check, and every other check still looks."""
    monkeypatch.setattr(state, "_runner", lambda *_: (os.geteuid() + 4711, "it runs as pid 1"))
    doctor = make()
    doctor.target.state_dir.chmod(0o700)
    assert causes(everything(doctor)) == set()
    fault = doctor.start.fault()
    assert fault is not None
    assert fault.check == "state/unreadable"


@pytest.mark.parametrize(
    "unit", [NO_SERVICE, Service("systemd", "openclaw-gateway.service", "stopped")], ids=["no-unit", "unit"]
)
def test_a_gateway_that_is_down_without_a_command_has_one_cause(
    unit: Service, world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config says that a gateway is set up here: that it is down is what is known, with a command or without."""
    monkeypatch.setattr(install, "find", lambda *_: None)
    world.look = replace(DOWN, service=unit)
    assert causes(everything(make(cli=False))) == {"gateway/down"}


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("auth", "gateway/auth-rejected"),
        ("silent", "gateway/rpc-unanswered"),
        ("closed", "gateway/rpc-unanswered"),
        ("unreachable", "gateway/rpc-unanswered"),
        ("starting", "gateway/starting"),
        ("stranger", "gateway/rpc-unanswered"),
    ],
)
def test_a_refusal_that_speaks_of_the_gateway_is_the_cause(
    kind: RefusalKind, check: str, world: World, make: Make
) -> None:
    """What the handshake says of the gateway is a finding, and the CLI is not asked to say it again."""
    world.reads = RpcRefused(kind, "said no")
    doctor = make(text='{"gateway": {"auth": {"token": "t0ken-of-the-config"}}}')
    assert causes(everything(doctor)) == {check}
    assert world.asked == {"look": 1, "rpc": 1}
    assert summary.lanes(doctor)["rpc"] == "unavailable: said no"
    assert summary.lanes(doctor)["cli"] == "not needed"


def nothing_set_up(world: World, make: Make, monkeypatch: pytest.MonkeyPatch, unit: Service) -> Finding | None:
    """The cause where neither command nor config is found, and nothing listens."""
    monkeypatch.setattr(install, "find", lambda *_: None)
    world.look = replace(DOWN, service=unit)
    doctor = make(cli=False)
    doctor.config = dataclasses.replace(doctor.config, exists=False)
    return doctor.http_cause()


def test_without_command_and_config_it_is_another_user_s(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No service unit either: one cause, and it is not the gateway."""
    monkeypatch.setattr("oc_ops.observe.gateways.choices", lambda _target: ())
    cause = nothing_set_up(world, make, monkeypatch, NO_SERVICE)
    assert cause is not None
    assert (cause.check, "npm install" in cause.fix) == ("cli/missing", True)


def test_a_machine_whose_gateways_run_in_containers_is_told_their_targets(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No second OpenClaw is installed beside them, also where their port is not the usual one."""
    own = ("--target podman:fx", "--target docker:claw", "OPENCLAW_STATE_DIR=/srv/openclaw", "--target profile:work")
    monkeypatch.setattr("oc_ops.observe.gateways.choices", lambda _target: own)
    cause = nothing_set_up(world, make, monkeypatch, NO_SERVICE)
    assert cause is not None
    assert (cause.check, cause.severity, "install" in cause.fix) == ("cli/missing", "error", False)
    named = "--target podman:fx, --target docker:claw, OPENCLAW_STATE_DIR=/srv/openclaw"
    assert f"name the gateway that is meant: {named} and 1 more (oc-ops targets lists them)" in cause.fix


@pytest.mark.parametrize(
    ("others", "used", "unit", "could_look"),
    [
        ((), False, NO_SERVICE, True),
        (("OPENCLAW_STATE_DIR=/srv/openclaw",), False, NO_SERVICE, False),
        (("OPENCLAW_STATE_DIR=/srv/openclaw",), True, NO_SERVICE, True),
        (("OPENCLAW_STATE_DIR=/srv/openclaw",), False, Service("systemd", "openclaw-gateway.service", "stopped"), True),
    ],
    ids=["alone", "another place", "it was used", "it has a unit"],
)
def test_a_place_that_was_never_set_up_beside_other_gateways_is_the_wrong_place(
    others: tuple[str, ...],
    used: bool,
    unit: Service,
    could_look: bool,
    world: World,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OPENCLAW_STATE_DIR is in the gateway's environment alone: our side lacks it, and no second setup is advised."""
    monkeypatch.setattr("oc_ops.observe.gateways.choices", lambda _target: others)
    world.look = replace(DOWN, service=unit)
    doctor = make()
    doctor.config = dataclasses.replace(doctor.config, exists=False)
    if used:
        (doctor.target.state_dir / "agents").mkdir(parents=True)
    if could_look:
        cause = doctor.http_cause()
        assert cause is not None
        assert cause.check == "config/invalid"
        return
    with pytest.raises(CouldNotLook, match=r"\(by \$OPENCLAW_HOME\), and there are other gateways"):
        make(shell={"OPENCLAW_HOME": "/elsewhere"}).http_cause()
    with pytest.raises(CouldNotLook, match="name the one that is meant, OPENCLAW_STATE_DIR=/srv/openclaw"):
        doctor.http_cause()


def test_a_gateway_that_an_update_took_down_is_not_to_be_started_beside_it(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice is to wait for that very process; recovery waits for it by itself, and acts when it is over."""
    update = Healer(71, "openclaw update", 12.0, "activating")
    monkeypatch.setattr("oc_ops.doctor.start.healers", lambda *_of: (update,))
    world.look = DOWN
    cause = make().http_cause()
    assert cause is not None
    assert cause.check == "gateway/down"
    assert cause.fix.startswith("none automatic: wait until that has ended")
    assert cause.fix.endswith("pid 71 runs `openclaw update` (activating), for 12 s now")
    assert by_hand(cure_of(cause.check), cause) == ""


def test_a_gateway_that_has_a_unit_is_set_up_here(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its unit says that it is this user's: not seeing the command from here explains nothing."""
    cause = nothing_set_up(world, make, monkeypatch, Service("systemd", "openclaw-gateway.service", "stopped"))
    assert cause is not None
    assert cause.check == "config/invalid"


def test_a_gateway_that_is_down_and_a_command_that_cannot_start_it(world: World, make: Make) -> None:
    """It is down, that is proven; the command's own fault comes first. A unit may start it by a Node.js of its own."""
    world.look = DOWN
    world.cli["config_validate"] = answer(
        None, "config validate --json", "refused", stderr="openclaw requires Node >=24.16.0"
    )
    cause = make().http_cause()
    assert cause is not None
    assert cause.check == "gateway/down"
    assert "its Node.js is too old" in cause.fact
    assert "requires Node >=24" in cause.saw
    assert cause.fix.startswith("none automatic: put the Node.js it needs first on PATH")
    assert cause.fix.endswith("(openclaw gateway run)")
    assert by_hand(cure_of(cause.check), cause) == "nothing on this side may start it"
    world.look = replace(DOWN, service=Service("systemd", "openclaw-gateway.service", "stopped"))
    with pytest.raises(CouldNotLook, match="whether a start can succeed is not known"):
        make().http_cause()


def test_a_start_beside_another_gateway_s_claim_is_not_advised(world: World, make: Make) -> None:
    """Killed under another name of the machine: the claim ends by itself, and until then no start comes up."""
    world.look = DOWN
    doctor = make()
    folder = doctor.target.state_dir / "state"
    folder.mkdir()
    until_ms = round(time.time() * 1000) + 99_000
    payload = '{"owner": {"pid": 1, "host": "elsewhere", "startedAt": 7}, "port": 18789}'
    with closing(sqlite3.connect(folder / "openclaw.sqlite")) as store, store:
        store.execute("CREATE TABLE state_leases (scope TEXT, expires_at INTEGER, payload_json TEXT)")
        store.execute("INSERT INTO state_leases VALUES ('gateway-owner', ?, ?)", (until_ms, payload))
    found = doctor.http_cause()
    assert found is not None
    assert (found.check, cure_of(found.check).action) == ("gateway/state-held", "none")
    assert found.fix.startswith("none automatic: wait until ")
    assert findings.of_check(found, "gateway/live") is found
    assert causes(everything(doctor)) == {"gateway/state-held"}


def test_a_start_that_ends_before_it_asks_for_the_state_is_not_waited_for(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own last words name what every start ends with: that is the cause, whoever has a claim on the state."""
    words = LastWords(datetime.now(UTC), ("Refusing to bind gateway to lan without auth",), "its log")
    monkeypatch.setattr("oc_ops.observe.lastwords.look", lambda *_: words)
    monkeypatch.setattr("oc_ops.observe.leases.keeping_out", lambda _: Lease("gateway-owner", 9e9, 1, "elsewhere", "x"))
    world.look = DOWN
    found = make().http_cause()
    assert found is not None
    assert found.check == "gateway/start-refused"
    monkeypatch.setattr("oc_ops.observe.lastwords.look", lambda *_: None)
    assert causes(everything(make(cli=False))) == {"gateway/state-held"}
