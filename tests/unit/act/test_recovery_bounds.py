"""The bounds of a recovery: lock, budget, cool-down, one attempt; a dry run, and interruptions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.act.recover.outcome import Observation
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.judge.finding import Finding
from oc_ops.locks import lock_dir, single_flight
from oc_ops.observe.target import locate
from oc_ops.record.incidents import book
from tests.support.stage import DOWN, HUNG, NOON, STARTING, STOPPED, WELL, Stage, opened, saw

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


@pytest.mark.parametrize(("year", "done"), [(1970, False), (2019, False), (2030, True), (2101, False)])
def test_nothing_is_restarted_by_a_clock_that_is_off(stage: Stage, year: int, done: bool) -> None:
    """Neither budget nor cool-down can be told by it: refused with the date, and a person's --force lifts that."""
    stage.elapsed_s = (NOON.replace(year=year) - NOON).total_seconds()
    outcome = stage.recover()
    assert (outcome.exit, len(stage.acts)) == ((0, 1) if done else (3, 0)), outcome.sentence
    if not done:
        assert f"clock says {year}" in outcome.sentence
        stage.looks, stage.seen = [HUNG, WELL], [saw("gateway/hung"), saw("gateway/hung"), saw()]
        assert (stage.recover(force=True).exit, len(stage.acts)) == (0, 1)


def test_nothing_is_restarted_by_a_clock_before_the_installed_release(stage: Stage) -> None:
    """The doctor's own finding counts: by a clock of 2023 no restart of 2026 would be counted."""
    off = Finding(
        "host/clock-off", "error", fact="this machine's clock says 2023-01-01", saw="x", fix="none automatic: x"
    )
    stage.seen = [replace(each, findings=(*each.findings, off)) for each in (saw("gateway/hung"), saw("gateway/hung"))]
    outcome = stage.recover()
    assert (outcome.exit, stage.acts) == (3, [])
    assert "clock says 2023-01-01" in outcome.sentence


def test_an_incident_gets_one_attempt_and_its_outcome(stage: Stage) -> None:
    """The book says begun, then ineffective; the next run is refused until somebody has looked; exit 3."""
    name = opened(stage, 10)
    stage.looks, stage.seen = [HUNG], [saw("gateway/hung", incident=name)]
    stage.set(restart_cool_down_s=1.0)
    assert stage.recover().exit == 1
    (told,) = book.read_one(book.journal(stage.memory), name).incidents.values()
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
    from oc_ops.act.recover import steps

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "carry_out", die)
    with pytest.raises(KeyboardInterrupt):
        stage.recover()
    (told,) = book.read_one(book.journal(stage.memory), name).incidents.values()
    assert [each.attempt.outcome for each in told.events if each.attempt] == ["begun", "unknown"]


# -- dry run, interruptions, the browser -------------------------------------------------------------------------------


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
    for each in ("cause: gateway/hung", "cure:  restart: ", "restarts so far today: ", "confirm: ", "preflight: "):
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

    from oc_ops.act.recover.run import recover

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
    from oc_ops.act.recover.run import recover

    def blind() -> Observation:
        raise CouldNotLook("another doctor run is under way")

    assert recover(stage.settings, stage.environ, blind, clock=stage.clock).exit == 2

    def wrong() -> Observation:
        raise OcOpsError("OC_OPS_X: need a known setting")

    with pytest.raises(OcOpsError, match="known setting"):
        recover(stage.settings, stage.environ, wrong, clock=stage.clock)


def test_what_nothing_here_can_do_is_said_at_once(stage: Stage) -> None:
    """Without a supervisor no look is waited for: the reason, and what to do by hand, in the first second."""
    name = opened(stage, 0)
    fix = "none automatic: no service unit runs it; end pid 7, then start it as it was started before"
    cause = replace(saw("gateway/hung", incident=name).findings[0], fix=fix)
    stage.seen = [Observation("unhealthy", cause, (cause,), None, name)]
    outcome = stage.recover()
    assert (outcome.exit, stage.observed, stage.elapsed_s, stage.calls) == (4, 1, 0.0, [])
    assert "no service unit runs this gateway, so nothing here can restart it · fix: by hand: no" in outcome.sentence
    assert any(each.startswith("cure:  none from here: no service unit") for each in stage.said)
    assert not any("confirm" in each for each in stage.said)


def test_a_refusal_is_on_record_once_an_incident(stage: Stage) -> None:
    """A scheduled --recover beside a lasting fault points to the record it has; another incident gets its own."""
    name = opened(stage, 10)
    stage.seen = [saw("cron/job-failing", incident=name)]
    records = []
    for _ in range(4):
        outcome = stage.recover()
        assert outcome.exit == 4
        records.append(outcome.record)
        stage.elapsed_s += 300
    assert len(stage.records()) == 1
    assert len(set(records)) == 1
    stage.seen = [saw("cron/job-failing", incident="20261122-130000-cron-job-failing")]
    assert stage.recover().record not in records
    assert len(stage.records()) == 2


def test_an_agent_lifts_no_bound_by_a_variable(stage: Stage) -> None:
    """Inside an agent the settings count only where they are narrower than the defaults."""
    stage.set(restart_per_hour=50, restart_per_day=50, restart_cool_down_s=1.0)
    stage.environ["OPENCLAW_CLI"] = "1"
    stage.services, exits = [STOPPED], []
    for _ in range(4):
        stage.looks, stage.seen = [DOWN, WELL], [saw("gateway/down"), saw("gateway/down"), saw()]
        exits.append(stage.recover().exit)
        stage.elapsed_s += 400
    assert exits == [0, 0, 0, 3]
