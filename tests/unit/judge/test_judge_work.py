"""The judges of work: each kind of "lives and does nothing", and beside each the state that is nearly it and well."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.judge import models, work
from oc_ops.judge.finding import Finding
from oc_ops.judge.work import Silence
from oc_ops.observe.jobs import Job, Schedule
from oc_ops.observe.work import Account, Agent, Letters, Model, Plugin, Refusal, WorkView
from tests.support import sights

NOW = 1_795_873_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
POLLING = Account(
    "telegram", "default", running=True, connected=True, lifecycle="ready", mode="polling",
    started_ms=NOW - HOUR, activity_ms=NOW - 20_000,
)  # fmt: skip
CONFLICT = "Telegram getUpdates conflict: Conflict: terminated by other getUpdates request"
REFUSED = "Telegram bot token unauthorized (getMe returned 401 Unauthorized). Update channels.telegram.botToken"


def account(**state: Any) -> Account:
    """The polling account in another state."""
    return replace(POLLING, **state)


@pytest.mark.parametrize(
    "well",
    [
        POLLING,
        account(enabled=False, connected=False, running=False, error="x"),
        account(configured=False, running=False, connected=None),
        account(connected=False, lifecycle="starting", started_ms=NOW - 30_000),
        account(running=True, connected=None),
        account(running=None, connected=None),
        account(running=False, connected=False, restart_pending=True, error="x", started_ms=NOW - 10_000),
    ],
    ids=["polls", "disabled", "unconfigured", "starting", "called from outside", "untold", "about to restart"],
)
def test_a_channel_that_is_well_or_on_its_way_is_not_down(well: Account) -> None:
    """Nothing is said of what nobody wants, nor of a start."""
    assert not list(work.down([well], NOW))


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (CONFLICT, "used by another program"),
        (REFUSED, "get a valid one"),
        ("Network request for 'getMe' failed!", "not reached from here"),
        ("429: Too Many Requests: retry after 30", "wait"),
        ("WhatsApp session logged out", "link it again"),
    ],
)
def test_a_channel_that_is_down_says_why_itself(error: str, helps: str) -> None:
    """A refused token and one that two use get opposite cures, each with the channel's own words."""
    (found,) = work.down([account(connected=False, lifecycle="recovering", error=error)], NOW)
    assert (found.check, found.severity) == ("channels/down", "error")
    assert error in found.fact
    assert helps in found.fix


def test_a_channel_that_a_crash_loop_has_kept_off_is_started_by_hand() -> None:
    """2026.9.6 after three unclean starts: the gateway is well again, and starts no channel by itself."""
    words = "gateway restart-loop breaker tripped: 4 unclean boot(s) within 300000ms; suppressing channel/provider …"
    off = account(running=False, connected=None, lifecycle="stopped", error=words, restarts=3)
    (found,) = work.down([off], NOW)
    assert (found.severity, found.proof) == ("error", "")
    start = 'openclaw gateway call channels.start --params \'{"channel":"telegram","accountId":"default"}\''
    assert found.fix.endswith(f"then {start}")
    assert "why the gateway crashed" in found.fix


def test_an_error_that_nobody_knows_is_quoted() -> None:
    """No cure is guessed."""
    (found,) = work.down([account(connected=False, error="the frobnicator is out")], NOW)
    assert "the frobnicator is out" in found.fact
    assert found.fix.startswith("none automatic: openclaw channels status")


def test_a_channel_that_was_stopped_without_error_is_a_warning() -> None:
    """Somebody may have stopped it."""
    (found,) = work.down([account(running=False, connected=False, lifecycle="stopped")], NOW)
    assert found.severity == "warning"


def test_a_channel_that_runs_and_never_connects_is_down() -> None:
    """Nobody has stopped it: a service that takes the connection and never answers leaves no error of its own."""
    (found,) = work.down([account(connected=False, lifecycle="starting", activity_ms=None)], NOW)
    assert (found.severity, found.proof) == ("error", "")


GIVEN_UP = account(
    running=False, connected=False, lifecycle="stopped", restarts=10, error="Network request for 'getMe' failed!"
)


def test_a_channel_that_gave_up_its_own_tries_may_be_started() -> None:
    """By the gateway's own word no try of it comes any more, and the error is not one that every try meets."""
    (found,) = work.down([GIVEN_UP], NOW)
    assert "left alone after 10 tries" in found.proof
    assert found.fix == work.restart_command("telegram")
    named = replace(GIVEN_UP, name="it's mine")
    (found,) = work.down([named], NOW)
    typed = shlex.split(found.fix.split(" && ")[1])
    assert json.loads(typed[-1]) == {"channel": "telegram", "accountId": "it's mine"}


@pytest.mark.parametrize(
    "left",
    [
        replace(GIVEN_UP, restart_pending=True),
        replace(GIVEN_UP, restarts=0),
        replace(GIVEN_UP, running=True),
        replace(GIVEN_UP, lifecycle="blocked"),
        replace(GIVEN_UP, error=CONFLICT),
        replace(GIVEN_UP, error=REFUSED),
        replace(GIVEN_UP, error=""),
    ],
    ids=["tries by itself", "stopped by somebody", "runs", "blocked", "conflict", "token", "no error"],
)
def test_no_other_channel_is_started(left: Account) -> None:
    """What tries by itself, what somebody stopped, and what every try meets again are a person's."""
    (found,) = work.down([left], NOW)
    assert found.proof == ""
    assert found.fix.startswith("none automatic")


@pytest.mark.parametrize(
    ("now", "heard"),
    [
        (account(activity_ms=NOW + 1), True),
        (account(activity_ms=NOW - 1), False),
        (account(connected=False, activity_ms=None), False),
        (account(mode="socket", activity_ms=None), True),
        (account(connected=None), True),
        (account(connected=None, running=False), False),
    ],
    ids=["a poll ended", "before", "connecting", "no polls", "called from outside", "stopped"],
)
def test_a_restarted_channel_counts_when_it_was_heard_from(now: Account, heard: bool) -> None:
    """Connected by an old poll proves nothing."""
    assert work.hears(now, NOW) is heard


def test_a_deaf_channel_is_decided_by_the_second_look() -> None:
    """Information at first; an error when half a minute later the last poll is still the same."""
    silent = account(activity_ms=NOW - 3 * MINUTE)
    (first,) = work.deaf([silent], NOW, {})
    kept = work.silences([silent], NOW, {})
    (soon,) = work.deaf([silent], NOW + 1000, kept)
    again = work.silences([silent], NOW + 1000, kept)
    (later,) = work.deaf([silent], NOW + 40_000, again)
    assert [each.severity for each in (first, soon, later)] == ["info", "info", "error"]
    assert "channels.stop" in later.fix
    assert "gateway restart" not in later.fix


def test_a_channel_that_heard_something_in_between_is_not_deaf() -> None:
    """Another poll came to its end since: it is information again."""
    before = {"telegram": Silence(NOW - 10 * MINUTE, NOW - 5 * MINUTE)}
    (found,) = work.deaf([account(activity_ms=NOW - 3 * MINUTE)], NOW, before)
    assert found.severity == "info"


@pytest.mark.parametrize(
    "well",
    [
        POLLING,
        account(activity_ms=NOW - 100_000),
        account(activity_ms=None),
        account(mode="webhook", activity_ms=NOW - HOUR),
        account(connected=False, activity_ms=NOW - HOUR),
    ],
    ids=["prompt", "two polls", "untold", "webhook", "down is another finding"],
)
def test_a_channel_that_is_merely_quiet_is_not_deaf(well: Account) -> None:
    """Only polls have to come to their end."""
    assert not list(work.deaf([well], NOW, {"telegram": Silence(well.activity_ms or 0, 0)}))


def test_dead_letters_are_news_only_once() -> None:
    """What lay there at the first look, or the last one, is information; new ones weigh by their number."""
    letters = [Letters("outbound", 7, NOW - DAY)]
    severities = [next(work.dead_letters(letters, before)).severity for before in (None, {"outbound": 7})]
    assert severities == ["info", "info"]
    assert next(work.dead_letters(letters, {"outbound": 6})).severity == "warning"
    assert next(work.dead_letters(letters, {})).severity == "error"
    assert not list(work.dead_letters([], {"outbound": 7}))
    assert not list(work.dead_letters([Letters("outbound", 0)], {}))


def test_messages_that_wait_for_long_are_a_backlog() -> None:
    """Minutes are nothing; beside a channel that is down an hour is a warning, alone an error."""

    def waiting(age_ms: int, *down: str) -> list[str]:
        letters = [Letters("telegram", 2, NOW - age_ms, "fetch failed")]
        return [each.severity for each in work.backlog(letters, NOW, down)]

    assert waiting(5 * MINUTE) == []
    assert waiting(20 * MINUTE) == ["warning"]
    assert waiting(2 * HOUR) == ["error"]
    assert waiting(2 * HOUR, "telegram") == ["warning"]


def test_plugins_that_failed_are_one_finding() -> None:
    """An error where an enabled channel needs one of them; none where all are loaded."""
    failed = (Plugin("matrix", "Cannot find module 'x'"), Plugin("scout", "needs consent", wants_consent=True))
    view = WorkView(NOW, accounts=(POLLING,), plugins=failed)
    found = work.plugins_failed(view)
    assert found is not None
    assert (found.severity, "2 plugins" in found.fact, "consent" in found.fix) == ("warning", True, True)
    needed = work.plugins_failed(replace(view, plugins=(Plugin("telegram", "boom"),)))
    assert needed is not None
    assert needed.severity == "error"
    assert work.plugins_failed(replace(view, plugins=())) is None


def test_tasks_that_never_began_are_a_warning_and_long_ones_are_not() -> None:
    """Work may take long; what waits for ever may not."""
    queued, running = work.tasks_stuck({"stale_queued": 2}), work.tasks_stuck({"stale_running": 1})
    assert queued is not None
    assert running is not None
    assert (queued.severity, running.severity) == ("warning", "info")
    assert work.tasks_stuck({"lost": 4}) is None


def test_backups_are_missed_only_where_they_had_a_rhythm() -> None:
    """Three good ones a day apart, and then three days nothing; never where nobody made any."""
    daily = [(NOW - 3 * DAY - number * DAY, True) for number in range(4)]
    found = work.backup_stale([(NOW - HOUR, False), *daily], NOW)
    assert found is not None
    assert "1 failed since" in found.saw
    assert work.backup_stale([(NOW - DAY, True), *daily], NOW) is None
    assert work.backup_stale(daily[:2], NOW) is None
    assert work.backup_stale([], NOW) is None
    monthly = [(NOW - 40 * DAY - number * 30 * DAY, True) for number in range(4)]
    assert work.backup_stale(monthly, NOW) is None


# -- models -----------------------------------------------------------------------------------------------------------

ASKS = Job("j1", "ask", enabled=True, schedule=Schedule("every"), payload_kind="agentTurn")
VIEW = WorkView(
    NOW, accounts=(), agents=(Agent("main", ("lab/one", "other/two")),), default_agent="main",
    models=(Model("lab", "one", available=True),), providers=("lab",),
)  # fmt: skip


def answer(needed: str = "the job ask", **parts: Any) -> Finding | None:
    """What is said of the default agent in such a view."""
    return models.unanswerable(replace(VIEW, **parts), needed)


def test_an_agent_that_can_answer_is_well() -> None:
    """Also where a local provider needs no credential, and where the release does not say."""
    assert answer() is None
    assert answer(providers=()) is None
    assert answer(models=(Model("lab", "one"),)) is None
    assert answer(agents=None) is None
    assert answer(models=None) is None


def test_an_agent_without_a_credential_matters_once_something_needs_it() -> None:
    """An error for a job, nothing on a fresh gateway, a warning where a fallback answers."""
    needed = answer(models=(), providers=())
    assert answer("", models=(), providers=()) is None
    bridged = answer(models=(Model("other", "two", available=True),), providers=("other",))
    assert needed is not None
    assert bridged is not None
    assert [each.check for each in (needed, bridged)] == ["models/no-credentials"] * 2
    assert [each.severity for each in (needed, bridged)] == ["error", "warning"]
    assert "other/two answers" in bridged.fact


def test_a_model_that_its_provider_lacks_is_unknown() -> None:
    """There is a credential, and no such model: a warning, an error once a run died of it."""
    ask = Job("1", "ask", True, Schedule("every"), payload_kind="agentTurn")
    died = replace(ask, last_status="error", last_error="FailoverError: Unknown model: lab/one")
    slow = replace(died, last_error="cron: job execution timed out")
    view = replace(VIEW, models=(Model("lab", "three", available=True),))
    found = [models.unanswerable(view, "the job ask", (job,)) for job in (ask, slow, died)]
    assert [each and (each.check, each.severity) for each in found] == [
        ("models/unknown", "warning"), ("models/unknown", "warning"), ("models/unknown", "error"),
    ]  # fmt: skip


def test_a_model_that_answers_though_it_is_not_listed_is_well() -> None:
    """2026.9.6 asks a custom provider for a model that it does not list, and is answered."""
    ran = Job("1", "ask", True, Schedule("every"), last_status="ok", payload_kind="agentTurn")
    view = replace(VIEW, models=(Model("lab", "three", available=True),))
    assert models.unanswerable(view, "the job ask", (ran,)) is None
    for other in (replace(ran, managed=True), replace(ran, payload_kind="command"), replace(ran, enabled=False)):
        assert models.unanswerable(view, "the job ask", (other,)) is not None


BILLING = Refusal("billing", NOW - HOUR, NOW - MINUTE)
DENIED = replace(ASKS, last_run_ms=NOW - HOUR, last_status="error", error_reason="billing", consecutive_errors=1)


def asked(*jobs: Job, **parts: Any) -> Finding | None:
    """What is said where models.list calls the model available, after those runs."""
    return models.unanswerable(replace(VIEW, **parts), "the job ask", jobs)


def test_a_provider_that_refused_last_is_named_though_it_is_called_available() -> None:
    """By the account's own record or by a run; once is a warning, twice in a row an error, a fallback bridges both."""
    once, by_run = asked(refusals={"lab": BILLING}), asked(DENIED)
    twice = asked(replace(DENIED, consecutive_errors=2))
    bridged = asked(
        replace(DENIED, consecutive_errors=2), models=(Model("lab", "one", available=True), Model("other", "two"))
    )
    found = [once, by_run, twice, bridged]
    assert [each and (each.check, each.severity) for each in found] == [
        ("models/parked", "warning"), ("models/parked", "warning"), ("models/parked", "error"),
        ("models/parked", "warning"),
    ]  # fmt: skip
    assert once is not None
    assert "no credit" in once.fact
    assert "refused at 2026-11-28 12:3" in once.saw


@pytest.mark.parametrize(
    ("jobs", "parts"),
    [
        ((DENIED, replace(DENIED, id="j2", last_run_ms=NOW - MINUTE, last_status="ok", error_reason="")), {}),
        ((replace(DENIED, last_status="ok"),), {}),
        ((replace(DENIED, model="other/two"),), {}),
        ((replace(DENIED, error_reason="rate_limit", consecutive_errors=5),), {}),
        ((replace(DENIED, error_reason="timeout"),), {}),
        ((replace(DENIED, enabled=False),), {}),
        ((replace(DENIED, payload_kind="command"),), {}),
        ((DENIED,), {"config_ms": NOW - MINUTE}),
        ((), {"refusals": {"lab": Refusal("rate_limit", NOW - HOUR, NOW - MINUTE, 9)}}),
        ((), {"refusals": {"other": BILLING}}),
        ((), {"refusals": {}}),
    ],
    ids=[
        "answered another job since",
        "answered since",
        "another provider",
        "rate",
        "slow",
        "switched off",
        "a command",
        "config changed since",
        "rate by its record",
        "another account",
        "no record",
    ],
)
def test_a_refusal_that_is_past_or_passing_is_not_named(jobs: tuple[Job, ...], parts: dict[str, Any]) -> None:
    """An answer since, a changed config, a rate that was exceeded an hour ago: nothing to say."""
    assert asked(*jobs, **parts) is None


def test_a_brief_pause_for_a_rate_is_a_warning() -> None:
    """A minute for too many requests is a busy hour; a long one, and a refused credential, are errors."""

    def severity(reason: str, pause_ms: int) -> str:
        cooling = (Model("lab", "one", available=False, reason="cooldown", until_ms=NOW + pause_ms),)
        found = answer(models=cooling, refusals={"lab": Refusal(reason, NOW - MINUTE)})
        return found.severity if found else ""

    assert severity("rate_limit", MINUTE) == "warning"
    assert severity("rate_limit", HOUR) == "error"
    assert severity("auth", MINUTE) == "error"


def test_a_parked_provider_says_why_and_until_when() -> None:
    """OpenClaw's own reason and time; without a reason its own word."""
    cooling = (Model("lab", "one", available=False, reason="cooldown", until_ms=NOW + 10 * MINUTE),)
    found, bare = answer(models=cooling, refusals={"lab": BILLING}), answer(models=cooling)
    assert found is not None
    assert bare is not None
    assert found.check == "models/parked"
    assert "no credit" in found.fact
    assert "until 2026-11-28 13:4" in found.saw
    assert "cooldown" in bare.fact
    assert "restart changes nothing" in found.fix


def test_what_needs_an_agent_is_a_job_a_channel_or_a_session() -> None:
    """Heartbeats, commands, disabled jobs and the sessions of jobs need none."""
    assert models.need(VIEW, [ASKS]) == "the job ask"
    assert models.need(replace(VIEW, accounts=(POLLING,)), []) == "the channel telegram"
    assert models.need(replace(VIEW, agents=(Agent("main", recent=("agent:main:main",)),)), [])
    quiet = [replace(ASKS, enabled=False), replace(ASKS, payload_kind="command"), replace(ASKS, managed=True)]
    assert not models.need(replace(VIEW, agents=(Agent("main", recent=("agent:main:cron:x:run:y",)),)), quiet)
    assert not models.need(replace(VIEW, accounts=(account(enabled=False),)), [])


SAID = {
    "ok": True, "capability": "model.run", "transport": "gateway", "provider": "lab", "model": "lab-model",
    "outputs": [{"text": "fine", "mediaUrl": None}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        (None, "timed-out"),
        (None, "refused"),
        ({**SAID, "outputs": []}, "answered"),
        ({**SAID, "outputs": [{"text": "  "}]}, "answered"),
        ({**SAID, "ok": False}, "answered"),
        (SAID, "refused"),
    ],
    ids=["silent", "refused", "nothing", "blank", "not ok", "failed all the same"],
)
def test_a_prompt_that_got_no_text_is_an_error(value: dict[str, object] | None, outcome: Any) -> None:
    """Whatever the exit code: what counts is a text."""
    answer_ = sights.answer(value, "infer model run --gateway", outcome)
    found = models.unanswered(answer_)
    assert found is not None
    assert found.severity == "error"
    assert models.answered(answer_) is None
    assert "--deep-model" in found.verify


def test_a_prompt_that_was_answered_says_how_fast() -> None:
    """Information, with the model that answered."""
    answer_ = sights.answer(SAID, "infer model run --gateway")
    found = models.answered(answer_)
    assert models.unanswered(answer_) is None
    assert found is not None
    assert (found.check, found.severity) == ("models/answered", "info")
    assert found.fact.startswith("lab/lab-model answered a real prompt through the gateway in ")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ((), "is gone"),
        ((account(enabled=False),), "is switched off"),
        ((account(configured=False, running=False, connected=False),), "is no longer set up"),
    ],
)
def test_a_channel_that_the_gateway_no_longer_has_is_said_once(now: tuple[Account, ...], words: str) -> None:
    """A token that was emptied, an entry that is gone: 2026.9.6 calls each of them well."""
    before = work.set_up([account()])
    (found,) = work.gone(now, before)
    assert (found.check, found.severity) == ("channels/gone", "warning")
    assert words in found.fact
    assert not list(work.gone(now, work.set_up(now)))


def test_a_channel_that_is_set_up_or_never_was_is_not_gone() -> None:
    """Down is told as that; a look without memory knows of none."""
    assert not list(work.gone([account(connected=False)], work.set_up([account()])))
    assert not list(work.gone([account(enabled=False)], ()))


def test_a_model_that_a_run_found_unknown_is_not_a_missing_credential() -> None:
    """A provider that does not exist has no credential either: to log in there is no help (2026.9.6's words)."""
    agent = Agent("main", ("nosuch/model-x",))
    words = "Unknown model: nosuch/model-x. Run `openclaw models list --refresh --provider nosuch` to inspect …"
    died = replace(ASKS, last_status="error", last_error=words)
    found = models.unanswerable(replace(VIEW, agents=(agent,)), "the job ask", [died])
    assert found is not None
    assert (found.check, found.severity) == ("models/unknown", "error")
    before_it_ran = models.unanswerable(replace(VIEW, agents=(agent,)), "the job ask", [replace(died, last_error="")])
    assert before_it_ran is not None
    assert before_it_ran.check == "models/no-credentials"
