"""`oc-ops breaker`: what nobody holds and yet holds work up; its evidence; and breaking it, once that is approved."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer
from msgspec.structs import asdict

from oc_ops.cli.frame import Json, Target, Whole, harmless
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.text import clock, one_line, utc

if TYPE_CHECKING:
    from oc_ops.act.breaker.carry_out import How
    from oc_ops.act.breaker.find import Workplace
    from oc_ops.act.breaker.plan import BreakPlan
    from oc_ops.act.breaker.scan import Blocker, BreakResult

_MOMENTS = {"_ms": 1e3, "_ns": 1e9, "started": 1.0}
"""How a name says that its value is a moment since the epoch, and in which part of a second."""
COULD_NOT_TELL, BUSY, REFUSED, INTERRUPTED = 2, 3, 4, 130

app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Break what holds work up and has no living owner: a cron job's stale marker, a dead holder's lock of the "
    "browser profile, a session or the gateway, a gateway process that cannot be reached. TARGET is an id of "
    "`oc-ops breaker list`, its unique beginning, or a job's name.",
)


@app.command(
    "list",
    help="List what could be broken, each with its id; nothing is changed.\n\n"
    "Exit code: 0 nothing, 1 something, 2 not everything could be looked at, 4 a gateway that cannot be used from here "
    "at all, or a wrong option.",
)
def list_mutexes(
    everything: Annotated[
        bool, typer.Option("--all", help="Also what must be left alone, such as a lock whose holder lives, and why.")
    ] = False,
    gateway: Target = None,
    as_json: Json = False,
) -> None:
    """One look; a job that an unfinished break left off stands here too."""
    from oc_ops.act.breaker.carry_out import mutexes

    with _exits():
        place = _place(gateway)
        sight = place.look()
        found = mutexes(sight, place.book)
        breakable = [each for each in found if not each.refused]
        shown = list(found) if everything else breakable
        if as_json:
            print(json.dumps({"mutexes": [_as_json(each, place) for each in shown], "unseen": list(sight.unseen)}))
        else:
            for each in shown:
                refused = f"\n  left alone: {each.refused}" if each.refused else ""
                _print(place, f"{each.id}\n  {each.fact}{refused}".split("\n"))
            kept = (
                ""
                if everything or len(found) == len(breakable)
                else f", {len(found) - len(breakable)} left alone (--all)"
            )
            print(f"{len(breakable)} to break{kept}" + (": oc-ops breaker show ID" if breakable else ""))
            _print(place, sight.unseen, sys.stderr)
        if sight.unseen:
            raise typer.Exit(COULD_NOT_TELL)
        raise typer.Exit(1 if breakable else 0)


@app.command(
    help="Show the evidence of one and a plan to approve; nothing is changed.\n\n"
    "The plan is bound to exactly this evidence, counts once and expires (OC_OPS_BREAKER_PLAN_S). After a break whose "
    "next run was not awaited, `show marker:JOB` says whether it came.\n\n"
    "Exit code: 0 a plan was made, or the run came; 1 the run did not come; 2 could not tell, or it is not due "
    "yet; 4 nothing to break, or it must be left alone.",
)
def show(
    target: Annotated[str, typer.Argument(metavar="TARGET")], gateway: Target = None, as_json: Json = False
) -> None:
    """Writes the plan into memory/approvals.jsonl, and nothing else anywhere."""
    from oc_ops.act.breaker import plan as plans
    from oc_ops.act.breaker.scan import BreakResult

    with _exits():
        place = _place(gateway)
        mutex = _found(place, target)
        if isinstance(mutex, BreakResult):
            _end(mutex, place, as_json)
        if mutex.refused and not as_json:
            _print(place, _evidence(mutex))
        plan = plans.make(mutex, place.book, place.settings.breaker_plan_s)
        if as_json:
            told = {"plan": plan.id, "expires_at": utc(plan.expires_at), "sha256": plan.digest}
            print(json.dumps({**_as_json(mutex, place), **told}))
            return
        _print(place, [*_evidence(mutex), *_approve_with(plan, gateway)])


@app.command(
    "break",
    help="Break one, and check whether that helped; no job is ever run by this.\n\n"
    "On a terminal the evidence is shown and its exact name has to be typed. Elsewhere only --approve PLAN approves, "
    "with the id that `oc-ops breaker show` gave; the plan is void when it has expired or anything changed. No "
    "variable, no piped input and no other option does.\n\n"
    "Exit code: 0 done and verified; 1 done and ineffective, or a job is off; 2 could not tell, or the next run was "
    "not awaited; 3 another break or recovery is under way; 4 refused, nothing was done: no approval, plan void or "
    "expired, a live owner, nothing to break; 130 interrupted.",
)
def break_(
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]")] = None,
    approve: Annotated[
        str | None, typer.Option("--approve", metavar="PLAN", help="The plan to carry out without a terminal.")
    ] = None,
    gateway: Target = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read; needs --approve.")] = False,
) -> None:
    """Everything is recorded in memory/approvals.jsonl: who, when, what evidence, before, after."""
    from oc_ops.act.agent import refuse_agents
    from oc_ops.act.breaker import carry_out

    with _exits(), _interruptible():
        refuse_agents("breaking something", os.environ)
        place = _place(gateway)
        plan, how = _approved(place, target, approve, as_json)
        hands = place.hands(plan.id, lambda line: _print(place, [line], sys.stderr if as_json else sys.stdout))
        _end(carry_out.carry_out(plan, how, place.book, hands), place, as_json)


def _approved(place: Workplace, target: str | None, approve: str | None, as_json: bool) -> tuple[BreakPlan, How]:
    """The plan and how it was approved; raises Refused when it was not."""
    from oc_ops.act.breaker import carry_out
    from oc_ops.act.breaker import plan as breaker_plan
    from oc_ops.act.breaker import plan as plans
    from oc_ops.act.breaker.scan import BreakResult, Refused

    if approve is not None:
        plan = plans.recall(approve, place.book, place.settings.breaker_plan_s)
        if target is not None and target not in (plan.target, plan.name, plan.target.partition(":")[2]):
            raise Refused(f"plan {plan.id} is not about {target}, but about {plan.target}")
        return plan, "--approve"
    if target is None:
        raise Refused("break: need a TARGET, or --approve PLAN")
    if as_json or not breaker_plan.on_a_terminal():
        raise Refused(
            "not approved: there is no terminal to read the evidence and type the name on; "
            f"run `oc-ops breaker show {target}`, then `oc-ops breaker break --approve PLAN` with its plan"
        )
    mutex = _found(place, target)
    if isinstance(mutex, BreakResult):
        raise Refused(f"nothing to break: {mutex.said}")
    _print(place, _evidence(mutex))
    plan = plans.make(mutex, place.book, place.settings.breaker_plan_s)
    _print(place, ["", f"name: {mutex.name}"])
    try:
        breaker_plan.typed(mutex.name)
    except Refused as refused:
        carry_out.refuse(plan, str(refused), place.book)
        raise
    return plan, "typed"


def _found(place: Workplace, target: str) -> Blocker | BreakResult:
    """The mutex that is meant, or what became of the break of a job that has none any more."""
    from oc_ops.act.breaker import switch
    from oc_ops.act.breaker.carry_out import mutexes
    from oc_ops.act.breaker.scan import Refused, find

    sight = place.look()
    try:
        return find(target, mutexes(sight, place.book))
    except Refused:
        jobs = sight.jobs.jobs if sight.jobs else ()
        named = [each.id for each in jobs if target in (each.id, each.name, f"marker:{each.id}", f"left-off:{each.id}")]
        job_id = named[0] if len(named) == 1 else target.partition(":")[2]
        if told := switch.later(job_id, place.book, sight, place.settings.breaker_late_s):
            return told
        if sight.unseen:
            raise CouldNotLook("; ".join(sight.unseen)) from None
        raise


def _end(result: BreakResult, place: Workplace, as_json: bool) -> NoReturn:
    from oc_ops.act.breaker.scan import EXITS

    if as_json:
        print(
            json.dumps(
                {"outcome": result.outcome, "said": place.redactor.line(result.said), "after": dict(result.after)}
            )
        )
    else:
        _print(place, [f"{result.outcome}: {result.said}"], sys.stdout if EXITS[result.outcome] == 0 else sys.stderr)
    raise typer.Exit(EXITS[result.outcome])


@contextmanager
def _exits() -> Iterator[None]:
    """Turn an error raised on purpose into one sentence and the exit code that is documented for it."""
    from oc_ops.act.breaker.carry_out import Busy

    try:
        yield
    except KeyboardInterrupt:
        print("oc-ops: interrupted", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    except OcOpsError as error:
        print(f"oc-ops: {one_line(harmless(error), 2000)}", file=sys.stderr)
        code = BUSY if isinstance(error, Busy) else COULD_NOT_TELL if isinstance(error, CouldNotLook) else REFUSED
        raise typer.Exit(code) from None


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a terminal that closes end a break as Ctrl-C does, on record; under nohup it goes on."""

    def interrupted(signum: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"signal {signum}")

    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    heard = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for each in heard:
            signal.signal(each, interrupted)
        yield
    finally:
        for each in heard:
            signal.signal(each, before[each])


def _place(gateway: str | None) -> Workplace:
    from oc_ops import settings
    from oc_ops.act.breaker.find import Workplace

    try:
        return Workplace(settings.load({"target": gateway}), dict(os.environ))
    except CouldNotLook as error:  # a gateway of another machine, or one that cannot be used at all
        raise OcOpsError(str(error)) from error


def _evidence(mutex: Blocker) -> list[str]:
    """Everything a person should read before the name is typed."""
    lines = [f"{mutex.id}: {mutex.fact}", *(f"  saw:      {each}" for each in mutex.shown if each)]
    lines += [f"  evidence: {name}" for name in map(_shown, mutex.evidence.items()) if name]
    return [*lines, f"  sha256:   {mutex.digest}", f"  would:    {mutex.act}"]


def _shown(item: tuple[str, object]) -> str:
    """One piece of evidence: moments as clock times, nothing for one that is empty; the digest covers all as it is."""
    name, value = item
    if value in (None, ""):
        return ""
    unit = next((part for suffix, part in _MOMENTS.items() if name.endswith(suffix)), None)
    if unit is None or not isinstance(value, int | float):
        return f"{name} = {value}"
    with suppress(ValueError, OverflowError, OSError):
        return f"{name.rpartition('_')[0] or name} = {clock(datetime.fromtimestamp(value / unit, UTC))}"
    return f"{name} = {value}"


def _approve_with(plan: BreakPlan, gateway: str | None) -> list[str]:
    return [
        f"  plan:     {plan.id}, until {clock(plan.expires_at)}, void if anything changes",
        f"  approve:  oc-ops breaker break --approve {plan.id}{f' --target {gateway}' if gateway else ''}",
    ]


def _as_json(mutex: Blocker, place: Workplace) -> dict[str, object]:
    told = {
        **asdict(mutex),
        "evidence": dict(mutex.evidence),
        "shown": list(mutex.shown),
        "refused": mutex.refused or None,
    }
    clean = place.redactor.json(told)
    assert isinstance(clean, dict)
    return clean


def _print(place: Workplace, lines: Iterable[str], stream: TextIO | None = None) -> None:
    """Jobs and lock files hold strangers' text: each line is redacted and harmless."""
    for each in lines:
        indent = each[: len(each) - len(each.lstrip())]
        print(indent + place.redactor.line(each, 2000), file=stream or sys.stdout, flush=True)
