"""One doctor run's observations: each had once, in cost order, and what a cause keeps from being asked."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.doctor import jobs, summary
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import Blocked, NotAsked
from oc_ops.errors import CouldNotLook, SettingError
from oc_ops.judge import findings
from oc_ops.judge.finding import Finding
from oc_ops.observe import install, state
from oc_ops.observe.openclaw import Openclaw
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RefusalKind, RpcRefused
from oc_ops.observe.rpc_reads import RpcReads
from oc_ops.process.run import Outcome
from oc_ops.settings import Settings
from tests.support.sights import answer, call, nothing, reply, sight
from tests.support.world import DOWN, HELLO, HUNG, OBSERVATIONS, READS, Make, World, causes, everything


def test_a_healthy_gateway_is_looked_at_once(world: World, make: Make) -> None:
    """Asked for everything twice, the doctor looks, connects and calls once each; no finding comes of it."""
    doctor = make()
    first, second = everything(doctor), everything(doctor)
    assert max(world.asked.values()) == 1
    assert all(first[name] is second[name] for name in OBSERVATIONS if name not in ("log_files", "log_view"))
    assert causes(first) == set()
    assert world.calls["gateway_status"] == world.calls["cron_status"] == 0
    assert summary.lanes(doctor) == {"http": "ok", "rpc": "ok", "cli": "ok"}
    assert summary.gateway_version(doctor) == "2026.9.6"
    assert [doctor.cause_before(lane) for lane in ("http", "rpc", "cli", "files", "log")] == [None] * 5


@pytest.mark.parametrize(
    ("look", "check"),
    [(HUNG, "gateway/hung"), (sight(listener=None, live=nothing("garbled"), processes=()), "gateway/port-taken")],
    ids=["hung", "port taken"],
)
def test_a_cause_named_by_http_keeps_rpc_and_cli_from_being_asked(
    look: GatewayProbe, check: str, world: World, make: Make
) -> None:
    """A gateway in trouble is not burdened: one look, no connection, no `openclaw` call."""
    world.look = look
    doctor = make()
    found = everything(doctor)
    assert causes(found) == {check}
    assert world.asked == {"look": 1}
    assert summary.lanes(doctor) == {"http": "ok", "rpc": "not needed", "cli": "not needed"}
    assert [getattr(doctor.cause_before(lane), "check", None) for lane in ("http", "rpc", "cli")] == [check] * 3


def test_a_config_that_its_gateway_may_not_read_is_the_cause_of_all(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named with who may not and how it is given back, in place of an invalid config."""
    doctor = make()
    doctor.config = dataclasses.replace(doctor.config, error="it cannot be read: Permission denied")
    monkeypatch.setattr(state, "_runner", lambda *_: (os.geteuid() + 4711, "it is theirs"))
    doctor.config.path.chmod(0o600)
    assert causes(everything(doctor)) == {"state/unreadable"}


def test_a_config_that_does_not_parse_is_the_cause_of_all(world: World, make: Make) -> None:
    """It blocks everything, once; the gateway is looked at only to tell whether it still lives."""
    found = everything(make(text='{"gateway": {"port": 28789,}, }{'))
    assert causes(found) == {"config/invalid"}
    assert world.calls == Counter()
    assert world.asked["rpc"] == 0
    blocked = [name for name, each in found.items() if isinstance(each, Blocked)]
    assert {"rpc_lane", "cron_list", "cron_list_read", "status_fault", "browser_status"} <= set(blocked)


def test_a_config_of_a_newer_shape_is_not_invalid(world: World, make: Make) -> None:
    """JSON5 with comments and trailing commas is what OpenClaw reads."""
    assert make(text="{ // mine\n gateway: { port: 28789, }, }").config_cause() is None
    assert world.asked == Counter()


@pytest.mark.parametrize("kind", ["off", "pairing", "tls", "secret-unresolved", "device", "protocol"])
def test_a_lane_closed_for_its_own_reasons_falls_to_the_cli(kind: RefusalKind, world: World, make: Make) -> None:
    """The same claims are then looked at through the CLI, once each, and the report says why."""
    world.reads = RpcRefused(kind, "not this way")
    doctor = make(rpc=kind != "off")
    found = everything(doctor)
    assert causes(found) == set()
    assert isinstance(found["cron_list_read"], NotAsked)
    assert found["cron_status"] == {"enabled": True}
    assert world.calls["status"] == world.calls["cron_status"] == 1
    assert max(world.asked.values()) == 1
    assert world.asked["rpc"] == (kind != "off")
    assert summary.lanes(doctor)["rpc"] == ("off" if kind == "off" else "unavailable: not this way")
    assert summary.lanes(doctor)["cli"] == "ok"


def test_quick_never_calls_the_cli(world: World, make: Make) -> None:
    """--quick asks HTTP and RPC and nothing else, also where a call would tell more."""
    doctor = make(quick=True)
    found = everything(doctor)
    assert world.calls == Counter()
    assert isinstance(found["status_fault"], NotAsked)
    assert isinstance(found["cron_list"], NotAsked)
    assert isinstance(found["browser_status"], NotAsked)
    assert summary.lanes(doctor)["cli"] == "not asked: --quick"
    world.look = DOWN
    assert causes(everything(make(quick=True))) == {"gateway/down"}
    assert world.calls == Counter()


def test_quick_without_rpc_does_not_claim_to_have_looked(world: World, make: Make) -> None:
    """Switched off by choice it is not asked; closed against our will, it could not look."""
    off = everything(make(quick=True, rpc=False))
    assert isinstance(off["status_read"], NotAsked)
    world.reads = RpcRefused("pairing", "needs approval")
    shut = everything(make(quick=True))
    assert isinstance(shut["status_read"], CouldNotLook)
    assert "needs approval" in str(shut["status_read"])
    assert world.calls == Counter()


def test_a_database_that_is_gone_is_the_cause_of_a_read_that_fails(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No restart beside it: the next start would begin without what that holds."""
    lost = Finding(
        "state/corrupt", "error", "its database was moved", "pid 7 has it open", "none automatic: move it back"
    )
    world.reads = replace(READS, status=reply("status", None, outcome="silent"))
    assert causes({"read": make().rpc_fault()}) == {"gateway/rpc-unanswered"}
    monkeypatch.setattr("oc_ops.judge.state.fault", lambda _seen: lost)
    assert make().rpc_fault() is lost


def test_a_failure_to_look_is_kept(world: World, make: Make) -> None:
    """What could not be looked at once is not tried again in the same run, and raises the same every time."""
    world.look = CouldNotLook("no luck")
    doctor = make()
    for _ in range(3):
        with pytest.raises(CouldNotLook, match="no luck"):
            doctor.look()
    everything(doctor)
    assert world.asked == {"look": 1}


def test_a_reason_that_keeps_all_from_looking_is_one(world: World, make: Make) -> None:
    """The jobs are not to be had for the very reason that the read was not: no second red line for it."""
    world.reads = RpcRefused("unproven", "ssh only forwards the port", code="other")
    doctor = make()
    with pytest.raises(CouldNotLook) as first:
        doctor.rpc_fault()
    with pytest.raises(CouldNotLook) as second:
        jobs.sight(doctor, ())
    assert second.value is first.value


def test_a_log_that_is_nowhere_is_not_had_for_want_of_a_read(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that may be asked says where it logs: that it may not be asked is the one reason."""
    monkeypatch.setattr("oc_ops.observe.logs.files", lambda *_: ())
    world.reads = RpcRefused("unproven", "the process that listens cannot be looked at", code="unseen")
    doctor = make()
    with pytest.raises(CouldNotLook) as first:
        doctor.rpc_fault()
    with pytest.raises(CouldNotLook) as second:
        doctor.log_view()
    assert second.value is first.value


def test_a_cli_that_could_not_be_called_is_kept_and_named(world: World, make: Make) -> None:
    """The lanes say why the CLI lane failed; the call is made once."""
    world.cli["cron_list"] = CouldNotLook("cli.lock is held by process 7; waited 25 s for it")
    doctor = make()
    found = everything(doctor)
    assert isinstance(found["cron_list"], CouldNotLook)
    assert world.calls["cron_list"] == 1
    assert world.calls["status"] == world.calls["browser_status"] == 0
    assert summary.lanes(doctor)["cli"] == "unavailable: cli.lock is held by process 7; waited 25 s for it"


def test_no_openclaw(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the command the gateway is still looked at by HTTP and RPC, and the one finding is cli/missing."""
    monkeypatch.setattr(install, "find", lambda *_: None)
    doctor = make(cli=False)
    found = everything(doctor)
    assert causes(found) == {"cli/missing"}
    assert world.asked == {"look": 1, "rpc": 1}
    assert isinstance(found["cron_list_read"], type(READS.cron_list))
    assert doctor.cause_before("rpc") is None
    cause = doctor.cause_before("cli")
    assert cause is not None
    assert cause.check == "cli/missing"


def test_an_openclaw_that_does_not_work(world: World, make: Make) -> None:
    """A command that cannot print its version is not asked anything else."""
    world.cli["version"] = call("--version", "refused", stderr="openclaw requires Node >=24.16.0")
    found = everything(make())
    assert causes(found) == {"cli/unusable"}
    assert world.calls == {"version": 1}


def test_a_status_that_fails_blocks_what_rests_on_it(world: World, make: Make) -> None:
    """Where the operator's own command is not answered, the costlier ones are not tried."""
    for name in ("status", "cron_list"):
        world.cli[name] = answer(None, "gateway call status", "refused", stderr="gateway timeout after 8000ms")
    found = everything(make())
    assert "cli/unusable" in causes(found)
    assert isinstance(found["cron_list"], Blocked)
    assert world.calls["cron_list"] == 1
    assert world.calls["status"] == world.calls["browser_status"] == 0


def test_a_list_that_only_our_command_does_not_get_accuses_no_scheduler(world: World, make: Make) -> None:
    """2026.4.29 held its event loop for a minute under the command, and had told RPC its jobs: a warning of our CLI."""
    words = "GatewayTransportError: gateway timeout after 40000ms"
    world.cli["cron_list"] = answer(None, "cron list --json", "refused", stderr=words)
    found = everything(make())
    assert causes(found) == {"cli/unusable"}
    assert {each.cause.severity for each in found.values() if isinstance(each, Blocked)} == {"warning"}


def test_one_call_proves_the_command_line_and_lists_the_jobs(world: World, make: Make) -> None:
    """A list that came by it needs no second proof; one that is no list, beside RPC's, is still the list's fault."""
    doctor = make()
    assert everything(doctor)["status_fault"] is None
    assert world.calls["status"] == 0
    assert world.calls["cron_list"] == 1
    assert summary.lanes(doctor)["cli"] == "ok"
    world.cli["cron_list"] = answer({}, "cron list --json")
    assert causes(everything(make())) == set()
    assert world.calls["status"] == 0


def test_a_refusal_of_a_token_that_only_the_service_has_is_our_own_side_s(world: World, make: Make) -> None:
    """Nothing in the config, nothing in this shell: the gateway's refusal says that we lack it, and judges nothing."""
    world.reads = RpcRefused("auth", "unauthorized: gateway token missing", "AUTH_TOKEN_MISSING")
    found = everything(make())
    assert causes(found) == {"gateway/credential-missing"}
    assert world.calls == Counter()


UNSET = '{"gateway": {"auth": {"token": "${GW_TOK}"}}}'
NO_TOKEN = {"ok": False, "error": {"type": "gateway_credentials_required", "message": "a secret reference, no value"}}


def test_an_unset_variable_is_one_finding_and_no_fault_of_the_gateway(world: World, make: Make) -> None:
    """Neither lane has the token: named once, with the variable; what rests on it is blocked by it."""
    world.reads = RpcRefused("secret-unresolved", "gateway.auth.token refers to an unset environment variable")
    world.cli["status"] = answer(NO_TOKEN, "gateway call status --json", "refused")
    for quick in (False, True):
        found = everything(make(text=UNSET, quick=quick))
        assert causes(found) == {"gateway/credential-missing"}
        cause = found["rpc_cause"]
        assert isinstance(cause, Finding)
        assert (cause.severity, cause.proof, "$GW_TOK" in cause.fact) == ("error", "", True)
        assert findings.verdict([cause], ["failed", "blocked", "passed"]) == "unknown"


def test_an_unresolved_token_is_no_finding_where_the_cli_reads(world: World, make: Make) -> None:
    """The CLI follows a SecretRef that we do not: the gateway is proven well, and nothing is unknown."""
    world.reads = RpcRefused("secret-unresolved", "gateway.auth.token is a SecretRef")
    found = everything(make(text='{"gateway": {"auth": {"token": {"source": "exec", "id": "x"}}}}'))
    assert causes(found) == set()
    assert not [each for each in found.values() if isinstance(each, CouldNotLook)]


@pytest.mark.parametrize("reads", [READS, RpcRefused("tls", "the gateway speaks TLS")], ids=["RPC read", "RPC closed"])
def test_a_cli_that_was_never_paired_is_asked_nothing(
    reads: RpcReads | RpcRefused, world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One finding, a warning beside a read that came; the config is validated all the same."""
    monkeypatch.setattr(Openclaw, "refusal", lambda _self: "never paired")
    world.reads = reads
    found = everything(make())
    assert causes(found) == {"cli/unpaired"}
    severity = {each.cause.severity for each in found.values() if isinstance(each, Blocked)}
    assert severity == {"warning" if reads is READS else "error"}
    assert world.calls["config_validate"] == (reads is READS)
    assert not set(world.calls) - {"config_validate", "version"}


@pytest.mark.parametrize("outcome", ["timed-out", "crashed"])
@pytest.mark.parametrize("name", ["cron_list", "browser_status"])
def test_a_cli_that_says_nothing_accuses_nobody(name: str, outcome: Outcome, world: World, make: Make) -> None:
    """Ended at our own deadline without a word, as on a slow machine: could not look, and no finding about the rest."""
    world.cli[name] = answer(None, "gateway call", outcome)
    found = everything(make())
    assert causes(found) == set()
    unseen = [str(each) for each in found.values() if isinstance(each, CouldNotLook)]
    assert unseen
    assert all("says nothing of the gateway" in each for each in unseen)


@pytest.mark.parametrize("names", [("status", "cron_list"), ("cron_list",), ("browser_status",)], ids=" ".join)
def test_a_refused_cli_does_not_overrule_what_was_read(names: tuple[str, ...], world: World, make: Make) -> None:
    """Over RPC the gateway was read: whatever our CLI lacks is one warning, and what rests on it is left out."""
    error = {"ok": False, "error": {"type": "cli_error", "message": "device pairing required (requestId: 1)"}}
    for name in names:
        world.cli[name] = answer(error, "cron list --json", "refused")
    found = everything(make())
    assert causes(found) == {"cli/unpaired"}
    blocked = [each.cause for each in found.values() if isinstance(each, Blocked)]
    assert {each.severity for each in blocked} == {"warning"}


def test_a_silent_cron_status_is_not_taken_for_a_scheduler_that_is_on(world: World, make: Make) -> None:
    """A reply that did not come is no payload to be judged as healthy."""
    silent = reply("cron.status", outcome="silent", message="no answer within 4 s", wall_s=4.0)
    world.reads = RpcReads(HELLO, READS.status, silent, READS.cron_list)
    doctor = make()
    try:
        payload = doctor.cron_status()
    except CouldNotLook:
        return
    with pytest.raises(CouldNotLook):
        room_judge(payload)


def room_judge(payload: object) -> object:
    """What the check makes of it."""
    from oc_ops.judge import cron

    return cron.scheduler_off(payload)


def test_a_browser_that_is_switched_off_or_not_wanted_is_not_asked_for(world: World, make: Make) -> None:
    """The config says that it is off: a finding without a call. The setting says that none is wanted: not asked."""
    off = '{"browser": {"enabled": false}}'
    assert causes(everything(make(text=off, browser="running"))) == {"browser/not-running"}
    found = everything(make(text=off))
    assert causes(found) == set()
    assert isinstance(found["browser_answer"], NotAsked)
    unwanted = make(browser="off")
    with pytest.raises(NotAsked, match="no browser is expected"):
        unwanted.browser_answer()
    with pytest.raises(NotAsked, match="no browser is expected"):
        unwanted.browser_fault()


def test_a_valid_config_is_validated_once_and_then_known(world: World, make: Make) -> None:
    """The costly validation is made again only after the config or the release has changed."""
    for _ in range(2):
        everything(make())
    assert world.calls["config_validate"] == 1
    everything(make(text='{"gateway": {"port": 28790}}'))
    assert world.calls["config_validate"] == 2


def test_a_remote_gateway_could_not_be_looked_at(world: World, make: Make) -> None:
    """The doctor looks at this machine: a config that points elsewhere is told so, not called down."""
    with pytest.raises(CouldNotLook, match=r"another machine \(wss://gw\.test\): run oc-ops there; .* --target"):
        make(text='{"gateway": {"mode": "remote", "remote": {"url": "wss://me:hidden@gw.test/?token=hidden"}}}')
    assert world.asked == Counter()


def test_what_cannot_be_used_at_all_is_refused_at_once(make: Make, tmp_path: Path) -> None:
    """A profile that OpenClaw would not accept and an executable that is none end the run before it looks."""
    with pytest.raises(SettingError, match='"no/such"'):
        make(profile="no/such")
    with pytest.raises(SettingError, match="need the path of an executable"):
        Doctor(Settings(openclaw=tmp_path), {"HOME": str(tmp_path)})


def test_the_key_is_that_of_the_target(make: Make) -> None:
    """Two doctors of one state directory share locks, of two profiles they do not."""
    assert make().key == make().key
    (make().target.home / ".openclaw-other").mkdir()
    assert make().key != make(profile="other").key


def test_a_log_that_is_elsewhere_is_asked_for(world: World, make: Make, tmp_path: Path) -> None:
    """2026.4.15 does not honour `logging.file`: the gateway itself names the file it writes."""
    place = tmp_path / "elsewhere.log"
    config = json.dumps({"logging": {"file": str(tmp_path / "configured.log")}})
    for named in (str(place), "relative.log", None):
        assert isinstance(world.reads, RpcReads)
        world.reads = replace(world.reads, log=reply("logs.tail", {"file": named}))
        for there in (False, True):
            place.unlink(missing_ok=True)
            if there:
                place.touch()
            doctor = make(text=config)
            doctor.rpc_cause()
            assert doctor.log_files() == ((place,) if there and named == str(place) else ())
    (tmp_path / "configured.log").touch()
    assert make(text=config).log_files() == (tmp_path / "configured.log",)
