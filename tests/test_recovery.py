"""The routine of recovery, path by path: what is done, what is refused with which exit code, and what is on record."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from oc_ops.act.outcome import Observation
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.observe.flight import lock_dir, single_flight
from oc_ops.observe.service import NO_SERVICE, Service
from oc_ops.observe.target import locate
from oc_ops.record import incidents
from oc_ops.record.events import Fault, Gateway
from oc_ops.record.incident_rules import RunSummary
from tests.stage import DOWN, HUNG, NOON, STARTING, STOPPED, WELL, Stage, saw


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A gateway that hangs under systemd and is well after a restart, unless a test says otherwise."""
    return Stage(tmp_path, monkeypatch)


def opened(stage: Stage, minutes_ago: float = 10, verdict: str = "unhealthy") -> str:
    """An incident of this gateway in the book, red for so many minutes; or a green run of it. Returns its id."""
    fault = Fault("gateway/hung", "error", "it hangs", "silence", "openclaw gateway restart")
    gateway = Gateway(locate(stage.environ).key)
    red = verdict == "unhealthy"
    run = RunSummary(verdict, True, gateway, (fault,) if red else (), cause=fault.check if red else None)  # type: ignore[arg-type]
    book = incidents.journal(stage.memory)
    now = NOON - timedelta(minutes=minutes_ago)
    update = incidents.observe_run(book, run, now)
    assert update.incident is not None
    return update.incident.id


def test_a_hung_gateway_is_restarted_once_and_proven(stage: Stage) -> None:
    """Look, look again, preflight, evidence, one restart, wait, look: recovered, and every step is on record."""
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, outcome.acted) == (0, "recovered", True)
    assert stage.acts == ["gateway restart --json"]
    assert stage.observed == 3
    (record,) = stage.records()
    steps = [each["step"] for each in record if each["state"] == "begin"]
    assert steps == ["recover", "observe", "preflight", "evidence", "act", "wait", "observe"]
    assert record[-1]["outcome"] == "recovered"
    assert "gateway/hung is gone" in outcome.sentence
    assert outcome.sentence.startswith("recover: recovered in ")


def test_the_evidence_is_there_before_the_act(stage: Stage, tmp_path: Path) -> None:
    """Report, log tail without secrets and the store are on the disk before `gateway restart` is begun."""
    report = tmp_path / "run"
    report.mkdir()
    (report / "report.json").write_text('{"schema": 1}')
    (stage.state / "cron").mkdir()
    (stage.state / "cron" / "jobs.json").write_text('{"jobs": []}')
    stage.seen = [saw("gateway/hung", folder=report), saw("gateway/hung", folder=report), saw()]
    outcome = stage.recover()
    assert outcome.record is not None
    folder = outcome.record.with_suffix("")
    assert (folder / "report.json").read_text() == '{"schema": 1}'
    assert (folder / "jobs.json").read_text() == '{"jobs": []}'
    log = (folder / "log.txt").read_text()
    assert "a line with" in log
    assert "token-0123456789" not in log
    (record,) = stage.records()
    kept = next(each for each in record if each["step"] == "evidence" and each["state"] == "end")
    assert kept["stability"].startswith("none: ")
    order = [(each["step"], each["state"]) for each in record]
    assert order.index(("evidence", "end")) < order.index(("act", "begin"))
    assert list((folder / "calls").iterdir())


def test_a_stopped_service_is_started_not_restarted(stage: Stage) -> None:
    """Newer releases refuse to restart what is down."""
    stage.looks, stage.services = [DOWN, WELL], [STOPPED]
    stage.seen = [saw("gateway/down"), saw("gateway/down"), saw()]
    assert stage.recover().exit == 0
    assert stage.acts == ["gateway start --json"]


@pytest.mark.parametrize(
    "check",
    ["config/invalid", "gateway/auth-rejected", "gateway/port-taken", "gateway/saturated", "gateway/crash-loop"],
)
@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_a_forbidden_cause_is_refused_with_its_own_fix(stage: Stage, check: str, force: bool) -> None:
    """Exit 4, no call at all, the finding's fix in the last sentence; --force changes nothing."""
    stage.seen = [saw(check)]
    outcome = stage.recover(force=force)
    assert (outcome.exit, outcome.word, outcome.acted) == (4, "refused", False)
    assert f"the fix of {check}" in outcome.sentence
    assert stage.calls == []


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_a_config_that_does_not_validate_is_never_restarted_on(stage: Stage, force: bool) -> None:
    """A hung gateway whose config OpenClaw itself rejects is refused: a restart would brick it."""
    stage.answers["config validate"] = (1, {"valid": False, "issues": [{"path": "gateway.mode", "message": "bad"}]})
    outcome = stage.recover(force=force)
    assert outcome.exit == 4
    assert "gateway.mode: bad" in outcome.sentence
    assert stage.acts == []


def test_a_config_that_does_not_parse_is_refused_without_a_call(stage: Stage) -> None:
    """The file itself is enough."""
    stage.configure("{ not a config")
    assert stage.recover().exit == 4
    assert stage.calls == []


def test_a_config_that_cannot_be_judged_is_could_not_tell(stage: Stage) -> None:
    """No word on the config is no yes: exit 2, and nothing is done."""
    stage.answers["config validate"] = (1, {"error": "out of order"})
    assert stage.recover().exit == 2
    assert stage.acts == []


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_exit_78_is_refused_whatever_the_finding_is_called(stage: Stage, force: bool) -> None:
    """A unit that is merely stopped after an exit with 78 is not started again."""
    stage.looks, stage.seen = [DOWN], [saw("gateway/down")]
    stage.services = [Service("systemd", "u", "stopped", exit_status=78)]
    outcome = stage.recover(force=force)
    assert (outcome.exit, stage.acts) == (4, [])
    assert "it exits with 78" in outcome.sentence


@pytest.mark.parametrize("check", ["logs/gw.stale_kill", "logs/db.maintenance", "logs/cfg.suspicious"])
def test_a_signature_that_forbids_a_restart_stands_against_it(stage: Stage, check: str) -> None:
    """A hung gateway whose log says that a restart does harm is left alone, with that line's first aid."""
    stage.seen = [saw("gateway/hung", check)]
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])
    assert check in outcome.sentence


def test_a_full_disk_is_refused(stage: Stage) -> None:
    """A gateway that cannot write its state may not come up again."""
    stage.set(disk_low_bytes=10**18)
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])
    assert "is full" in outcome.sentence


def test_a_healthy_gateway_is_left_alone(stage: Stage) -> None:
    """Exit 0 and no record: there was nothing to recover."""
    stage.seen = [saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.calls, outcome.record) == (0, "healthy", [], None)


def test_what_cannot_be_seen_is_not_acted_on(stage: Stage) -> None:
    """The doctor could not look: exit 2."""
    stage.seen = [Observation("unknown", note="the RPC lane is closed")]
    outcome = stage.recover()
    assert (outcome.exit, stage.calls) == (2, [])
    assert "the RPC lane is closed" in outcome.sentence


def test_a_young_fault_that_is_gone_at_the_second_look_is_left_alone(stage: Stage) -> None:
    """Healthy a minute ago and again five seconds later: nothing is restarted."""
    stage.seen = [saw("gateway/hung"), saw()]
    outcome = stage.recover()
    assert (outcome.exit, stage.acts, stage.elapsed_s) == (0, [], 5.0)


def test_a_fault_that_lasts_needs_no_second_look(stage: Stage) -> None:
    """Red for ten minutes by the book of incidents: one look, then the act."""
    name = opened(stage, 10)
    stage.seen = [saw("gateway/hung", incident=name), saw()]
    assert stage.recover().exit == 0
    assert stage.observed == 2


def test_what_changes_from_look_to_look_is_not_acted_on(stage: Stage) -> None:
    """Three looks, three faults: nobody knows what to cure."""
    stage.seen = [saw("gateway/hung"), saw("gateway/rpc-unanswered"), saw("gateway/zombie")]
    outcome = stage.recover()
    assert (outcome.exit, stage.acts) == (2, [])


def test_a_starting_gateway_is_waited_for(stage: Stage) -> None:
    """A slow start is not a failed one: exit 0 without any act."""
    stage.looks = [STARTING] * 100 + [WELL]
    stage.seen = [saw("gateway/starting"), saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])
    assert stage.elapsed_s >= 100


def test_a_start_beyond_its_budget_is_refused_not_restarted(stage: Stage) -> None:
    """Still starting after the budget: exit 3, the next run judges anew."""
    stage.looks, stage.seen = [STARTING], [saw("gateway/starting")]
    outcome = stage.recover()
    assert (outcome.exit, stage.acts) == (3, [])
    assert stage.elapsed_s >= 240


def test_a_supervisor_that_restarts_it_is_waited_for(stage: Stage) -> None:
    """systemd is about to start it: no second start races with that."""
    stage.looks, stage.seen = [DOWN, DOWN, WELL], [saw("gateway/down"), saw("gateway/down"), saw()]
    stage.services = [Service("systemd", "u", "restarting")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])


def test_what_has_passed_by_the_last_look_is_left_alone(stage: Stage) -> None:
    """The preflight's own look shows a live gateway, or another fault: nothing is restarted for what was."""
    stage.looks, stage.seen = [WELL], [saw("gateway/hung"), saw("gateway/hung"), saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])


def test_a_record_that_cannot_be_written_any_more_does_not_stop_the_proof(stage: Stage) -> None:
    """The disk is full after the act: the verdict is the doctor's all the same."""

    def observe() -> Observation:
        if stage.acts:
            (record,) = (stage.memory / "recoveries").glob("*.jsonl")
            record.unlink(missing_ok=True)
            record.mkdir()
            return saw()
        return saw("gateway/hung")

    stage.observe = observe
    assert stage.recover().exit == 0


def test_a_doctor_that_cannot_look_after_the_act_is_unknown(stage: Stage) -> None:
    """Exit 2, and the sentence says what was done."""

    def observe() -> Observation:
        if stage.acts:
            raise CouldNotLook("another doctor run is under way")
        return saw("gateway/hung")

    stage.observe = observe
    outcome = stage.recover()
    assert (outcome.exit, outcome.acted) == (2, True)
    assert "`openclaw gateway restart` was run" in outcome.sentence


def test_a_restart_that_somebody_began_meanwhile_is_waited_for(stage: Stage) -> None:
    """The last look before the act sees it starting."""
    stage.looks = [STARTING, STARTING, WELL]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])


@pytest.mark.parametrize(("check", "look"), [("gateway/down", DOWN), ("gateway/hung", HUNG)], ids=["down", "hung"])
def test_without_a_service_there_is_nobody_to_ask(stage: Stage, check: str, look: object) -> None:
    """A foreground gateway that is down or hangs cannot be started by OpenClaw: exit 4 with the fix by hand."""
    stage.looks, stage.services, stage.seen = [look], [NO_SERVICE], [saw(check)]  # type: ignore[list-item]
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])
    assert "no service unit runs this gateway" in outcome.sentence
    assert f"the fix of {check}" in outcome.sentence


def test_a_restart_that_does_not_help_is_ineffective(stage: Stage) -> None:
    """The same finding afterwards: exit 1, one act, and no second one in the same run."""
    stage.looks = [HUNG]
    stage.seen = [saw("gateway/hung")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word) == (1, "ineffective")
    assert stage.acts == ["gateway restart --json"]
    assert "still there" in outcome.sentence


def test_another_cause_afterwards_is_ineffective_and_named(stage: Stage) -> None:
    """A different fault is no success, and gets no act of its own in this run."""
    stage.seen = [saw("gateway/hung"), saw("gateway/hung"), saw("gateway/rpc-unanswered")]
    outcome = stage.recover()
    assert (outcome.exit, len(stage.acts)) == (1, 1)
    assert "gateway/hung is gone" in outcome.why
    assert "gateway/rpc-unanswered" in outcome.why


def test_what_the_log_still_tells_of_is_no_second_fault(stage: Stage) -> None:
    """Every check of the state passes, and lines of the outage are still in the log's window: recovered."""
    stage.seen = [saw("gateway/hung"), saw("gateway/hung"), saw("logs/rpc.timeout")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word) == (0, "recovered")
    assert "logs/rpc.timeout" in outcome.sentence


def test_an_act_whose_result_cannot_be_seen_is_unknown(stage: Stage) -> None:
    """Exit 2: could not tell, which is never green."""
    stage.seen = [saw("gateway/hung"), saw("gateway/hung"), Observation("unknown", note="no disk")]
    assert stage.recover().exit == 2


def test_a_refused_command_is_not_believed_to_have_worked(stage: Stage) -> None:
    """2026.5.28 exits 0 with `not-loaded` and restarts nothing: ineffective, in OpenClaw's own words."""
    stage.answers["gateway restart"] = (0, {"ok": True, "result": "not-loaded", "message": "Gateway service disabled."})
    stage.looks, stage.seen = [HUNG], [saw("gateway/hung")]
    outcome = stage.recover()
    assert outcome.exit == 1
    assert "Gateway service disabled." in outcome.sentence


def test_a_command_that_failed_counts_for_nothing_if_the_gateway_came_up(stage: Stage) -> None:
    """`gateway restart` reports a failure after 60 s while the start succeeds (#119958)."""
    stage.answers["gateway restart"] = (1, {"ok": False, "error": "Timed out after 60s waiting for gateway port"})
    stage.looks = [HUNG, *[STARTING] * 60, WELL]
    assert stage.recover().exit == 0
    assert len(stage.acts) == 1


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_the_second_at_once_is_refused_and_names_the_first(stage: Stage) -> None:
    """One owner by lock: exit 3, no look, no call."""
    with single_flight(lock_dir() / f"recovery-{locate(stage.environ).key}.lock", 0):
        outcome = stage.recover(force=True)
    assert (outcome.exit, stage.observed, stage.calls) == (3, 0, [])
    assert "is held by process" in outcome.sentence


def test_the_budget_holds_over_good_probes(stage: Stage) -> None:
    """A gateway that dies again and again is started three times in the hour, each time well, and then no more."""
    stage.services = [STOPPED]
    exits = []
    for _ in range(5):
        stage.looks, stage.seen = [DOWN, WELL], [saw("gateway/down"), saw("gateway/down"), saw()]
        exits.append(stage.recover().exit)
        stage.elapsed_s += 400
    assert exits == [0, 0, 0, 3, 3]
    assert len(stage.acts) == 3


def test_the_cool_down_is_everybody_s(stage: Stage) -> None:
    """A restart by somebody else a minute ago is reason enough to wait; --force lifts that."""
    (stage.state / "logs").mkdir()
    line = (
        f"[{NOON - timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}.000Z] openclaw gateway lifecycle source=cli action=restart"
    )
    (stage.state / "logs" / "gateway-restart.log").write_text(f"{line} mode=systemctl-restart\n")
    refused = stage.recover()
    assert (refused.exit, stage.acts) == (3, [])
    assert "the cool-down ends in" in refused.sentence
    stage.seen = [saw("gateway/hung"), saw("gateway/hung"), saw()]
    assert stage.recover(force=True).exit == 0


def test_an_incident_gets_one_attempt_and_its_outcome(stage: Stage) -> None:
    """The book says begun, then ineffective; the next run is refused until somebody has looked; exit 3."""
    name = opened(stage, 10)
    stage.looks, stage.seen = [HUNG], [saw("gateway/hung", incident=name)]
    stage.set(restart_cool_down_s=1.0)
    assert stage.recover().exit == 1
    (told,) = incidents.read_one(incidents.journal(stage.memory), name).incidents.values()
    words = [each.attempt.outcome for each in told.events if each.attempt]
    assert words == ["begun", "ineffective"]
    assert [each.endswith("2026-11-22T12-00-00Z") for each in told.evidence if "recoveries" in each] == [True]
    stage.elapsed_s += 1000
    again = stage.recover()
    assert again.exit == 3
    assert "had its attempt" in again.sentence
    assert len(stage.acts) == 1


def test_begun_is_in_the_book_before_the_act(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed in the act leaves an attempt that the next run knows of."""
    name = opened(stage, 10)
    stage.seen = [saw("gateway/hung", incident=name)]
    from oc_ops.act import steps

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "carry_out", die)
    with pytest.raises(KeyboardInterrupt):
        stage.recover()
    (told,) = incidents.read_one(incidents.journal(stage.memory), name).incidents.values()
    assert [each.attempt.outcome for each in told.events if each.attempt] == ["begun", "unknown"]


# -- dry run, interruptions, the browser -----------------------------------------------------------------------------


def files(root: Path) -> dict[str, bytes]:
    """Every file and what is in it, but for what the test counts by and the lock of the calls that only read."""
    found = {str(each): each.read_bytes() for each in root.rglob("*") if each.is_file()}
    own = ("calls.txt", "answers.json", f"cli-{locate({'HOME': str(root / 'home')}).key}.lock")
    return {name: data for name, data in found.items() if not name.endswith(own)}


def test_a_dry_run_says_everything_and_changes_nothing(stage: Stage) -> None:
    """Exit 1 with the command it would run; no record, no lock, no call but reads."""
    before = files(stage.root)
    outcome = stage.recover(dry_run=True)
    assert (outcome.exit, outcome.word, outcome.record) == (1, "would act", None)
    assert "`openclaw gateway restart`" in outcome.sentence
    assert files(stage.root) == before
    assert stage.acts == []
    words = " ".join(stage.said)
    for each in ("cause: gateway/hung", "cure:  restart: ", "bounds: ", "confirm: ", "preflight: "):
        assert each in words


@pytest.mark.parametrize("check", ["gateway/starting", "gateway/saturated"])
def test_a_dry_run_waits_for_nothing(stage: Stage, check: str) -> None:
    """Nor does it for a start that is under way."""
    stage.looks, stage.seen = [STARTING], [saw(check)]
    assert stage.recover(dry_run=True).exit in (3, 4)
    assert (stage.elapsed_s, stage.observed) == (0.0, 1)


@pytest.mark.parametrize("moment", [1, 2, 3], ids=["first-look", "second-look", "after-the-act"])
def test_an_interruption_leaves_record_and_lock_in_order(stage: Stage, moment: int) -> None:
    """Ctrl-C in any look: the record says so, and the next recovery goes on."""
    script: list[Callable[[], Observation]] = [lambda: saw("gateway/hung")] * (moment - 1)

    def observe() -> Observation:
        if not script:
            raise KeyboardInterrupt
        return script.pop()()

    from oc_ops.act.recovery import recover

    stage.recover(dry_run=True)
    with pytest.raises(KeyboardInterrupt):
        recover(stage.settings, stage.environ, observe, clock=stage.clock)
    ended = [each[-1]["outcome"] for each in stage.records()]
    assert ended == (["interrupted"] if moment > 1 else [])
    stage.seen = [saw()]
    assert stage.recover().exit == 0


def test_a_first_observation_is_not_made_again(stage: Stage) -> None:
    """pytest hands in its own run."""
    stage.seen = [saw("gateway/hung"), saw()]
    assert stage.recover(first=saw("gateway/hung")).exit == 0
    assert stage.observed == 2


def test_what_observe_raises_is_could_not_tell(stage: Stage) -> None:
    """A doctor that does not get to look is exit 2; one that is set up wrongly raises."""
    from oc_ops.act.recovery import recover

    def blind() -> Observation:
        raise CouldNotLook("another doctor run is under way")

    assert recover(stage.settings, stage.environ, blind, clock=stage.clock).exit == 2

    def wrong() -> Observation:
        raise OcOpsError("OC_OPS_X: need a known setting")

    with pytest.raises(OcOpsError, match="known setting"):
        recover(stage.settings, stage.environ, wrong, clock=stage.clock)


def browser_acts(stage: Stage) -> list[str]:
    """The paths of the browser requests."""
    prefix = "gateway call browser.request --params "
    return [json.JSONDecoder().raw_decode(each.removeprefix(prefix))[0]["path"] for each in stage.acts]


@pytest.mark.parametrize(
    ("check", "paths"),
    [
        ("browser/unanswered", ["/stop", "/start"]),
        ("browser/act-stalled", ["/stop", "/start"]),
        ("browser/not-running", ["/start"]),
    ],
)
def test_a_browser_fault_gets_a_browser_cure(stage: Stage, check: str, paths: list[str]) -> None:
    """Browser stop and start, and never a restart of the gateway."""
    stage.looks, stage.seen = [WELL], [saw(check), saw(check), saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.cure) == (0, "browser-restart")
    assert browser_acts(stage) == paths


def test_a_browser_that_is_switched_off_is_not_started(stage: Stage) -> None:
    """No start brings up what the config forbids: exit 4."""
    stage.configure(browser={"enabled": False})
    stage.seen = [saw("browser/not-running")]
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])


def test_a_new_gateway_gets_its_browser_back(stage: Stage) -> None:
    """Where a browser is expected, it is brought up before the last look."""
    stage.set(browser="running")
    assert stage.recover().exit == 0
    assert stage.acts[0] == "gateway restart --json"
    assert '"path": "/start"' in stage.acts[1]


def test_a_lasting_supervisor_loop_is_not_waited_for_twice(stage: Stage) -> None:
    """It said restarting, was waited for, and is no further: exit 3, no act."""
    stage.looks, stage.seen = [DOWN], [saw("gateway/down")]
    stage.services = [Service("systemd", "u", "restarting")]
    assert stage.recover().exit == 3
    assert stage.acts == []


def test_running_jobs_are_named_before_they_are_aborted(stage: Stage) -> None:
    """By the gateway's own store, as it answers nobody; a stranger's name is shown harmless."""
    (stage.state / "cron").mkdir()
    job = {"id": "j1", "name": "nightly\u001b[2J backup", "enabled": True, "schedule": {"kind": "every", "everyMs": 1}}
    job = {**job, "state": {"runningAtMs": 1795348735341}}
    (stage.state / "cron" / "jobs.json").write_text(json.dumps({"jobs": [job]}))
    assert stage.recover().exit == 0
    (line,) = (each for each in stage.said if each.startswith("preflight: it would"))
    assert "cron job nightly" in line
    assert "\u001b" not in line


def test_the_outcome_is_there_for_machines(stage: Stage) -> None:
    """Exit, sentence, before, after and the steps, as JSON."""
    told = json.loads(json.dumps(stage.recover().as_json()))
    assert (told["exit"], told["outcome"], told["cause"], told["cure"]) == (0, "recovered", "gateway/hung", "restart")
    assert told["before"]["verdict"] == "unhealthy"
    assert told["after"]["verdict"] == "healthy"
    assert [each["step"] for each in told["steps"] if each["step"] == "act"] == ["act", "act"]


def test_a_wait_is_not_said_to_have_lasted_longer_than_it_did(stage: Stage) -> None:
    """What leads nowhere is given up after seconds: no start budget has passed then, and none is claimed."""
    stage.looks = [HUNG, DOWN, DOWN, HUNG, DOWN, DOWN]
    stage.seen = [saw("gateway/zombie"), saw("gateway/zombie")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.acted) == (3, False)
    assert stage.elapsed_s < stage.settings.start_budget_s
    assert "240 s" not in outcome.why
    assert "though it was waited for" in outcome.why
