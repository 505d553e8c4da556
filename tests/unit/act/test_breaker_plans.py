"""Plans that are void, and what must be left alone whatever the plan."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

from oc_ops.act.breaker import plan as plans
from oc_ops.act.breaker import seal
from oc_ops.act.breaker.scan import Blocker, Refused
from oc_ops.errors import OcOpsError
from oc_ops.record.redact import Redactor
from tests.support.stuck_machine import (
    JOB,
    MARKER,
    NAME,
    PROMPT,
    StuckMachine,
    ended,
    machine,
    untouched,
    words,
)

__all__ = ["machine"]

pytestmark = pytest.mark.timeout(180)


# -- plans that are void -----------------------------------------------------------------------------------------------


def test_an_expired_plan_is_void(machine: StuckMachine) -> None:
    """After its time it approves nothing."""
    plan = machine.plan(OC_OPS_BREAKER_PLAN_S="0.001")
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "expired at" in done.stderr
    untouched(machine)
    assert words(machine) == ["planned", "refused"]


def test_only_a_plan_that_still_counts_is_asked_for(machine: StuckMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one that has expired, nor one of which the evidence has changed since; and one look does for all."""
    from oc_ops import settings
    from oc_ops.act.breaker import plan
    from oc_ops.act.breaker.carry_out import mutexes
    from oc_ops.act.breaker.find import Workplace

    monkeypatch.setenv("XDG_STATE_HOME", machine.environ["XDG_STATE_HOME"])
    expired = machine.plan(OC_OPS_BREAKER_PLAN_S="0.001")
    valid = machine.plan()
    place = Workplace(settings.load({"memory_dir": str(machine.memory)}), machine.environ)
    looks: list[int] = []

    def now() -> tuple[Blocker, ...]:
        looks.append(1)
        return mutexes(place.look(), place.book)

    def asked() -> list[str]:
        looks.clear()
        return plan.still_asked([expired, valid, "none-such"], place.book, 900.0, now)

    assert (asked(), len(looks)) == ([valid], 1)
    machine.marker_ms += 1000
    machine.mark()
    assert asked() == []


def rewrite(machine: StuckMachine, **changes: object) -> str:
    """The plan in the book as somebody with an editor would have it; its id."""
    (made,) = [each for each in machine.book if each["what"] == "planned"]
    path = machine.memory / "approvals.jsonl"
    path.write_text(f"{json.dumps({**made, **changes})}\n")
    return str(changes.get("plan", made["plan"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_at": "2099-01-01T00:00:00.000000Z"},
        {"plan": "handmade-1"},
        {"target": "marker:job-2"},
        {"at": "2026-01-01T00:00:00.000000Z"},
        {"seal": ""},
        {"seal": "é" * 64},
        {"gateway": None, "plan": "handmade-2"},
    ],
    ids=["for ever", "another id", "another target", "another time", "no seal", "no hex", "no gateway"],
)
def test_a_plan_written_by_hand_is_void(machine: StuckMachine, changes: dict[str, object]) -> None:
    """What this installation has not made approves nothing, however much of it is true."""
    machine.plan()
    plan = rewrite(machine, **changes)
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "was not made by this installation" in done.stderr or "no plan" in done.stderr
    untouched(machine)


def test_a_plan_of_another_installation_is_void(machine: StuckMachine, tmp_path: Path) -> None:
    """The key is that of one account on one machine: a book that was copied brings no approval with it."""
    plan = machine.plan()
    done = machine.run("break", "--approve", plan, XDG_STATE_HOME=str(tmp_path / "another"))
    assert (done.returncode, "was not made by this installation" in done.stderr) == (4, True)
    untouched(machine)


def test_a_plan_lives_as_long_as_the_setting_says(machine: StuckMachine) -> None:
    """Not as long as it was made for: the setting of today counts."""
    plan = machine.plan(OC_OPS_BREAKER_PLAN_S="3600")
    done = machine.run("break", "--approve", plan, OC_OPS_BREAKER_PLAN_S="0.001")
    assert (done.returncode, "expired at" in done.stderr) == (4, True)
    untouched(machine)


@pytest.mark.parametrize("how", ["open", "link", "short"])
def test_a_key_that_others_may_know_is_not_used(machine: StuckMachine, how: str, tmp_path: Path) -> None:
    """Nothing is planned with it, and nothing is approved."""
    plan = machine.plan()
    key = tmp_path / "state" / "oc-ops" / "installation.key"
    assert key.stat().st_mode & 0o777 == 0o600
    if how == "open":
        key.chmod(0o644)
    elif how == "short":
        key.write_bytes(b"x")
    else:
        key.rename(tmp_path / "elsewhere")
        key.symlink_to(tmp_path / "elsewhere")
    for asked in (("show", MARKER), ("break", "--approve", plan)):
        done = machine.run(*asked)
        assert (done.returncode, "installation.key" in done.stderr) == (4, True)
    untouched(machine)


@pytest.mark.parametrize("name", ["OPENCLAW_SHELL", "OPENCLAW_CLI", "OPENCLAW_MCP_TOKEN"])
def test_an_agent_approves_nothing(machine: StuckMachine, name: str) -> None:
    """What a gateway starts may look and plan; a person breaks."""
    plan = machine.plan()
    done = machine.run("break", "--approve", plan, **{name: "exec"})
    assert (done.returncode, f"${name} is set" in done.stderr) == (4, True)
    forced = machine.oc_ops("recover", "--force", **{name: "exec"})
    assert (forced.returncode, "needs a person" in forced.stdout) == (4, True)
    untouched(machine)


def test_a_replayed_plan_is_void(machine: StuckMachine) -> None:
    """The book without the line that says it was carried out: used is used."""
    plan = machine.plan()
    planned = (machine.memory / "approvals.jsonl").read_bytes()
    assert machine.run("break", "--approve", plan).returncode == 0
    (machine.memory / "approvals.jsonl").write_bytes(planned)
    machine.mark()
    before = len(machine.switches)
    done = machine.run("break", "--approve", plan)
    assert (done.returncode, "a plan counts once" in done.stderr) == (4, True), done.stderr
    assert len(machine.switches) == before


def test_a_clock_that_was_ahead_forgets_no_used_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered is so many plans, not so many days; the oldest of more than a thousand goes."""
    monkeypatch.setattr(seal, "key_file", lambda: tmp_path / "installation.key")
    seal.spend("one")
    used = tmp_path / "plans"
    os.utime(used / "one", (1, 1))
    seal.spend("two")
    with pytest.raises(Refused, match="used already"):
        seal.spend("one")
    for number in range(seal._KEPT):
        (used / f"more-{number}").touch()
    seal.spend("last")
    assert not (used / "one").exists()
    assert (used / "last").exists()


@pytest.mark.parametrize(("year", "approved"), [(1970, False), (2026, True), (2101, False)])
def test_no_plan_is_made_by_a_clock_that_is_off(
    year: int, approved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its life would be measured by it."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Then:
            return cls(year, 6, 1, tzinfo=tz)

    monkeypatch.setattr(seal, "key_file", lambda: tmp_path / "state" / "installation.key")
    monkeypatch.setattr(plans, "datetime", Then)
    book = plans.ApprovalBook(tmp_path, "gateway", Redactor((), Path("/home/joe")))
    stuck = Blocker("marker", "marker:job", "job", "it is stuck", "disable and enable it", {})
    with nullcontext() if approved else pytest.raises(Refused, match=f"clock says {year}"):
        plans.make(stuck, book, 900.0)


def test_no_plan_is_made_where_everybody_may_replace_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may rename the folder of the key may put back an old one, with what was used since forgotten."""
    above = tmp_path / "data"
    monkeypatch.setattr(seal, "key_file", lambda: above / "oc-ops" / "installation.key")
    above.mkdir()
    above.chmod(0o777)
    with pytest.raises(OcOpsError, match=rf"everybody may write into {above} above it \(chmod \+t"):
        seal.seal({})
    above.chmod(0o1777)
    assert seal.seal({})


def test_a_prompt_that_stood_too_long_is_void(machine: StuckMachine) -> None:
    """The right name, typed after the plan's time, approves nothing."""
    child = machine.on_terminal("break", MARKER, OC_OPS_BREAKER_PLAN_S="0.01")
    child.expect(PROMPT)
    child.sendline(NAME)
    code, said = ended(child)
    assert (code, "expired at" in said) == (4, True), said
    untouched(machine)


def test_changed_evidence_voids_a_plan(machine: StuckMachine) -> None:
    """Another marker of the same job is another break."""
    plan = machine.plan()
    machine.marker_ms -= 60_000
    machine.mark()
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "its evidence changed" in done.stderr
    untouched(machine)


def test_evidence_that_changes_at_the_prompt_voids_it(machine: StuckMachine) -> None:
    """What is broken is what was read."""
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    machine.marker_ms -= 60_000
    machine.mark()
    child.sendline(NAME)
    code, said = ended(child)
    assert (code, "its evidence changed" in said) == (4, True), said
    untouched(machine)


def test_another_gateway_process_voids_a_plan(tmp_path: Path) -> None:
    """After a restart nothing is what it was."""
    machine = StuckMachine(tmp_path)
    with machine.gateway():
        plan = machine.plan()
    with machine.gateway():
        done = machine.run("break", "--approve", plan)
        assert done.returncode == 4
        assert "its evidence changed" in done.stderr
        untouched(machine)


def test_a_marker_that_is_gone_is_nothing_to_break(machine: StuckMachine) -> None:
    """The gateway has cleared it itself meanwhile."""
    plan = machine.plan()
    machine.mark(runningAtMs=None)
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "nothing to break any more" in done.stderr
    assert machine.switches == []


def test_a_lock_that_cannot_be_taken_is_nobody_s_break(machine: StuckMachine) -> None:
    """A place that cannot be locked is said as such, exit 2; nobody is told to wait for somebody."""
    plan = machine.plan()
    lock = machine.root / "state" / "oc-ops" / "locks" / f"recovery-{machine.book[-1]['gateway']}.lock"
    lock.mkdir(parents=True)
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 2, done.stderr
    assert f"cannot lock {lock}: " in done.stderr
    assert "under way" not in done.stderr
    untouched(machine)


@pytest.mark.parametrize("plan", ["nobody-knows", "", "../../x"])
def test_no_such_plan(machine: StuckMachine, plan: str) -> None:
    """An id that was never given approves nothing."""
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "no plan" in done.stderr
    untouched(machine)


def test_a_plan_is_for_its_target(machine: StuckMachine) -> None:
    """A plan beside the name of another thing is a mistake."""
    done = machine.run("break", "marker:other", "--approve", machine.plan())
    assert done.returncode == 4
    assert "is not about marker:other" in done.stderr
    untouched(machine)


# -- what must be left alone -------------------------------------------------------------------------------------------


def test_a_live_owner_is_refused(machine: StuckMachine) -> None:
    """A run that tasks.list shows is never broken, by plan or by name; a plan made before it is void."""
    plan = machine.plan()
    machine.script(tasks=[JOB])
    shown = machine.run("show", MARKER)
    assert shown.returncode == 4
    assert "its owner lives: tasks.list shows its run under way" in shown.stderr
    assert machine.run("break", "--approve", plan).returncode == 4
    code, said = ended(machine.on_terminal("break", MARKER))
    assert (code, PROMPT in said) == (4, False), said
    untouched(machine)
    assert machine.run("list").returncode == 0
    assert "left alone: its owner lives" in machine.run("list", "--all").stdout


def test_a_young_marker_is_refused(machine: StuckMachine) -> None:
    """Nobody's, but not older than its timeout and grace."""
    machine.marker_ms = machine.marker_ms + (3 * 3600 - 400) * 1000
    machine.mark()
    done = machine.run("show", MARKER)
    assert done.returncode == 4
    assert "younger than" in done.stderr


def test_a_gateway_that_is_down_clears_it_itself(tmp_path: Path) -> None:
    """By the store alone nothing is broken."""
    machine = StuckMachine(tmp_path)
    with machine.gateway():
        pass
    done = machine.run("show", MARKER)
    assert done.returncode == 4
    assert "its next start clears the marker" in done.stderr


def test_nothing_goes_by_that_name(machine: StuckMachine) -> None:
    """Exit 4, and where to look."""
    done = machine.run("show", "nobody")
    assert done.returncode == 4
    assert "breaker list --all" in done.stderr


def test_a_strangers_name_is_harmless_and_typed_as_its_id(machine: StuckMachine) -> None:
    """A job's name may hold anything: none of it reaches the terminal, and the id approves instead."""
    machine.mark(name="evil\x1b[2J\u202ename")
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    assert "\x1b[2J" not in str(child.before)
    assert f"name: {JOB}" in str(child.before)
    child.sendline(JOB)
    code, said = ended(child)
    assert code == 0, said
