"""A start within its budget is a warning; what nothing dates, or what begins again and again, is an error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.judge import lifecycle
from oc_ops.observe import probe as observe_probe
from oc_ops.observe.http import Probe
from oc_ops.observe.probe import GatewayProbe
from oc_ops.record import memory
from tests.support.sights import YOUNG, gateway_process, nothing, ready, said, sight

BUDGET_S = 240.0
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
REFUSED = nothing("refused", wall_s=0.0)


def waits_for(step: str, **more: object) -> Probe:
    """What /startupz says of a start that waits for this."""
    return said({"ok": False, "status": "starting", "pendingReason": step, **more}, "/startupz", 503)


def undated(step: str = "startup-sidecars", **changes: object) -> GatewayProbe:
    """A gateway that says that it starts and not since when, and whose process is not seen."""
    blind = sight(startup=waits_for(step), ready=ready((step,)), processes=(), listener=None)
    return replace(replace(blind, ready=said({"ready": False, "failing": [step]}, "/readyz", 503)), **changes)


@pytest.mark.parametrize(
    ("seen", "severity", "words"),
    [
        (sight(REFUSED, processes=YOUNG), "warning", "at most 228 s more"),
        (sight(startup=waits_for("startup-sidecars", uptimeMs=239_000)), "warning", "at most 1 s more"),
        (undated(), "error", "is not known"),
        (undated(progress="it went on from a to b within 1.1 s"), "warning", "went on from a to b"),
        (sight(REFUSED, processes=(replace(YOUNG[0], certain=False),)), "error", "a mere CLI call"),
        (
            sight(startup=waits_for("x"), ready=None, processes=(replace(YOUNG[0], certain=False),)),
            "error",
            "not known",
        ),
    ],
    ids=[
        "young process",
        "by its own word",
        "undated",
        "undated, and it goes on",
        "perhaps a CLI call",
        "whose process",
    ],
)
def test_only_a_start_that_is_bounded_is_a_warning(seen: GatewayProbe, severity: str, words: str) -> None:
    """Its age by its own word or its certain process, or progress between two looks; else nothing says it ends."""
    found = lifecycle.starting(seen, BUDGET_S)
    assert found is not None
    assert (found.check, found.severity) == ("gateway/starting", severity)
    assert words in f"{found.saw} {found.fix}"


def test_a_start_beyond_its_budget_is_none() -> None:
    """Then it is not ready, hung or a zombie: an error, and no longer waited for."""
    late = sight(startup=waits_for("startup-sidecars", uptimeMs=240_000))
    assert lifecycle.starting(late, BUDGET_S) is None


@pytest.mark.parametrize(
    ("later", "progress", "looks"),
    [
        (undated("startup-plugins"), "from startup-sidecars to startup-plugins", 2),
        (undated(), "", 2),
        (sight(), "", 2),
        (None, "", 0),
    ],
    ids=["goes on", "stands still", "came up", "dated: not looked at again"],
)
def test_an_undated_start_is_looked_at_twice(later: GatewayProbe | None, progress: str, looks: int) -> None:
    """A second look a second later tells a start that goes on from one that may stand still for ever."""
    asked: list[str] = []

    def probe(path: str) -> Probe:
        asked.append(path)
        assert later is not None
        found = later.startup if path == "/startupz" else later.ready
        assert found is not None
        return found

    first = (
        undated() if later else sight(startup=waits_for("startup-sidecars"), processes=(gateway_process(age_s=3.0),))
    )
    seen = observe_probe._dated(first, probe, lambda _seconds: None)
    assert (progress in seen.progress, bool(seen.progress), len(asked)) == (True, bool(progress), looks)


def test_starts_that_follow_each_other_are_no_slow_start(tmp_path: Path) -> None:
    """Four young processes in five minutes and no gateway that was up: an error; the first look is a warning."""
    verdicts = []
    for minute in range(0, 6, 2):
        now = NOW + timedelta(minutes=minute)
        spell = memory.start_seen(tmp_path, "key", now.timestamp() - 20, now)
        found = lifecycle.starting(sight(REFUSED, processes=YOUNG), BUDGET_S)
        assert found is not None
        found = lifecycle.again_and_again(found, spell.first, now, spell.starts, BUDGET_S)
        verdicts.append((found.severity, spell.starts))
    assert verdicts == [("warning", 1), ("warning", 2), ("warning", 3)]
    now = NOW + timedelta(minutes=6)
    spell = memory.start_seen(tmp_path, "key", now.timestamp() - 20, now)
    assert found is not None
    found = lifecycle.again_and_again(found, spell.first, now, spell.starts, BUDGET_S)
    assert (found.severity, found.fact) == (
        "error",
        "the gateway starts again and again: 4 starts in 6 min, and none was seen to end well",
    )


@pytest.mark.parametrize(
    ("up_between", "gap"), [(True, timedelta(minutes=5)), (False, timedelta(days=1))], ids=["came up", "long ago"]
)
def test_two_starts_apart_have_nothing_to_do_with_each_other(tmp_path: Path, up_between: bool, gap: timedelta) -> None:
    """A gateway that came up between, or a look of another day, begins the count anew."""
    memory.start_seen(tmp_path, "key", NOW.timestamp() - 20, NOW)
    if up_between:
        memory.forget_starts(tmp_path, "key")
    spell = memory.start_seen(tmp_path, "key", (NOW + gap).timestamp() - 20, NOW + gap)
    assert (spell.first, spell.starts) == (NOW + gap, 1)


def test_a_slow_start_seen_twice_is_one_start(tmp_path: Path) -> None:
    """Two looks at one start of 200 s count it once, however its age is rounded."""
    memory.start_seen(tmp_path, "key", NOW.timestamp() - 20, NOW)
    later = NOW + timedelta(seconds=180)
    assert memory.start_seen(tmp_path, "key", NOW.timestamp() - 18, later) == memory.StartSpell(NOW, 1)


def test_a_memory_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    """A file that is no JSON, or that a clock set back has left in the future, is as good as none."""
    (tmp_path / "start-key.json").write_text("no json", encoding="utf-8")
    assert memory.start_seen(tmp_path, "key", None, NOW).starts == 1
    assert memory.start_seen(tmp_path, "key", None, NOW - timedelta(hours=1)).first == NOW - timedelta(hours=1)


MAYBE = replace(YOUNG[0], certain=False)


@pytest.mark.parametrize(
    ("later", "looks"),
    [
        ([sight(REFUSED, processes=(MAYBE,))] * 4 + [sight(REFUSED, processes=YOUNG)], 5),
        ([sight(REFUSED, processes=())], 1),
        ([sight()], 1),
        ([sight(REFUSED, processes=(MAYBE,))] * 30, 12),
    ],
    ids=["its lock names it", "a mere CLI call ended", "it came up", "it stays in doubt"],
)
def test_what_may_be_a_starting_gateway_is_looked_at_until_it_is_known(later: list[GatewayProbe], looks: int) -> None:
    """The first seconds of a start are a title alone; a second at a time, and no longer than twelve."""
    waits: list[float] = []
    script = list(later)
    seen = observe_probe._identified(sight(REFUSED, processes=(MAYBE,)), lambda: script.pop(0), waits.append)
    assert waits == [1.0] * looks
    assert seen == later[looks - 1]


def test_a_certain_or_silent_gateway_is_not_waited_for() -> None:
    """Nor is one that is down."""
    for seen in (sight(REFUSED, processes=YOUNG), sight(REFUSED, processes=()), sight(), sight(nothing("silent"))):
        assert observe_probe._identified(seen, lambda: pytest.fail("looked again"), lambda _: None) is seen
