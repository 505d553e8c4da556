"""`oc-ops jobs`: the watchlist beside the gateway's own jobs, each with its verdict; put a job on it, take it off."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from oc_ops.cli.frame import Json, Target, Whole
from oc_ops.doctor.outcomes import Blocked
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.observe import watchlist
from oc_ops.text import remedy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oc_ops.doctor.observations import Doctor
    from oc_ops.judge.watched_jobs import Verdict
    from oc_ops.observe.jobs import Jobs
    from oc_ops.observe.watchlist import Watched

app = typer.Typer(
    cls=Whole,
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Show the cron jobs and which of them are watched; watch a job, or no longer.",
)


@app.callback(
    help="Show the watchlist beside the gateway's own cron jobs, and which jobs are not watched yet.\n\n"
    f"The watchlist is {watchlist.FILE}, in the folder of your own files or, in a checkout, in its memory folder; the "
    "answer says which one counts. The jobs come over RPC; when the gateway does not answer, from its own store, and "
    "the first line says so.\n\n"
    "Exit code: 0 all watched jobs are well, 1 one is not or could not be judged, 4 a wrong line or setting.",
)
def jobs(
    context: typer.Context,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """One look, nothing changed; a job's name is a stranger's text and is shown harmless."""
    if context.invoked_subcommand is not None:
        return
    from oc_ops.cli import jobtable
    from oc_ops.doctor.jobs import cause, not_asked

    doctor = _doctor(target)
    path = _place(doctor)
    seen, verdicts = _look(doctor, watchlist.read(path))
    if why := not_asked(doctor):
        print(f"oc-ops: the gateway was not asked: {_harmless(why, doctor)}", file=sys.stderr)
    clean = doctor.gateway.redactor
    seen, verdicts = jobtable.redacted(seen, verdicts, clean)
    to_watch = jobtable.unwatched(seen, verdicts)
    if as_json:
        table = cast("dict[str, Any]", jobtable.as_json(seen, verdicts, to_watch))
        print(json.dumps({name: clean.json(each) for name, each in table.items()} | {"watchlist": str(path)}))
    else:
        jobtable.show(seen, verdicts, to_watch, path, cause(doctor))
    if any(each.unseen or any(one.severity == "error" for one in each.findings) for each in verdicts):
        raise typer.Exit(1)


@app.command(
    help="Put a job on the watchlist: its id or its name. A job that is watched already gets the limits that are "
    "given; comments and all other lines stay as they are.\n\n"
    "Exit code: 0 it is watched, 4 there is no such job, or its gateway could not be asked."
)
def watch(
    name: Annotated[str, typer.Argument(metavar="JOB")],
    max_age: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long ago its last run may have begun, such as 26h.")
    ] = None,
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="How long a run may take, such as 15m.")] = None,
    max_failures: Annotated[
        int | None, typer.Option(metavar="N", help="From how many failed runs in a row it is an error; 2 by default.")
    ] = None,
    target: Target = None,
) -> None:
    """One line of the file that counts."""
    doctor = _doctor(target)
    path = _place(doctor)
    text = watchlist.text_of(path)
    before = watchlist.parse(text, str(path))
    job = _handle(name, doctor, before)
    limits = {"max-age": max_age, "timeout": timeout, "max-failures": max_failures}
    new = watchlist.with_job(text, job, {key: str(value) for key, value in limits.items() if value is not None})
    line = next(each for each in watchlist.parse(new, str(path)) if each.job == job).line
    if new == text:
        print(f"watched already: {_shown(line, doctor)} (in {path})")
        return
    _write(path, new)
    print(f"{'changed' if any(each.job == job for each in before) else 'watching'}: {_shown(line, doctor)} (in {path})")


@app.command(
    help="Take a job off the watchlist: its id or its name; comments and all other lines stay as they are.\n\n"
    "Exit code: 0 it is not watched any more, 4 it was not."
)
def unwatch(name: Annotated[str, typer.Argument(metavar="JOB")], target: Target = None) -> None:
    """Its line alone; the gateway is asked only where the name is not on the list."""
    doctor = _doctor(target)
    path = _place(doctor)
    text = watchlist.text_of(path)
    before = watchlist.parse(text, str(path))
    job = _watched_as(name, before) or _watched_by_another_name(name, doctor, before)
    if job is None:
        raise OcOpsError(f"{name!r} is not watched{_near(name, [each.job for each in before], doctor)} (in {path})")
    _write(path, watchlist.without_job(text, job))
    print(f"no longer watched: {_shown(job, doctor)} (in {path})")


def _doctor(target: str | None = None) -> Doctor:
    from oc_ops import settings
    from oc_ops.doctor.observations import Doctor

    return Doctor(settings.load({"target": target}), dict(os.environ))


def _place(doctor: Doctor) -> Path:
    """The watchlist that counts; the other one, where it holds lines too, is named as left unread."""
    path = watchlist.place(doctor.settings)
    for other in doctor.settings.own_files(watchlist.FILE):
        if other != path and watchlist.holds_lines(other):
            print(f"oc-ops: the watchlist that counts is {path}; {other} is not read", file=sys.stderr)
    return path


def _write(path: Path, text: str) -> None:
    """Whole or not at all, where a link leads if it is one, with the mode that it has."""
    from oc_ops.record import folder

    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        folder.write(path.resolve(), text, mode)
    except OSError as error:
        raise OcOpsError(f"cannot write the watchlist {path}: {error.strerror}") from error


def _look(doctor: Doctor, watched: Sequence[Watched]) -> tuple[Jobs, tuple[Verdict, ...]]:
    from oc_ops.doctor.jobs import verdicts_now

    try:
        return verdicts_now(doctor, tuple(watched))
    except Blocked as blocked:
        found = blocked.cause
        why = _harmless(f"{found.check}: {found.fact} (saw: {found.saw}) · fix: {remedy(found.fix)}", doctor)
        raise CouldNotLook(f"the jobs could not be learnt, from the gateway or from its store: {why}") from None
    except CouldNotLook as error:
        raise CouldNotLook(_harmless(str(error), doctor)) from None


def _handle(name: str, doctor: Doctor, before: Sequence[Watched]) -> str:
    """The watchlist's name for this job; raises OcOpsError, with the nearest names, where there is no such one."""
    from oc_ops.cli import jobtable

    if watched := _watched_as(name, before):
        return watched
    seen, verdicts = _look(doctor, before)
    found = [each for each in seen.jobs if name in (each.id, each.name)]
    if len(found) > 1:
        ids = ", ".join(each.id for each in found)
        raise OcOpsError(f"{len(found)} jobs are called {name!r}: need the id of one of them: {ids}")
    if not found:
        raise OcOpsError(f"there is no job {name!r}{_near(name, [each.name for each in seen.jobs], doctor)}")
    for each in verdicts:
        if each.watched and each.job and each.job.id == found[0].id:
            return each.watched.job
    clean, _ = jobtable.redacted(seen, (), doctor.gateway.redactor)
    return next(jobtable.handle(each, clean) for each in clean.jobs if each.id == found[0].id)


def _watched_as(name: str, before: Sequence[Watched]) -> str | None:
    return name if any(each.job == name for each in before) else None


def _watched_by_another_name(name: str, doctor: Doctor, before: Sequence[Watched]) -> str | None:
    """The line of a job that is watched by its id and named here by its name, or the other way round."""
    try:
        _seen, verdicts = _look(doctor, before)
    except CouldNotLook:
        return None
    found = (each.watched for each in verdicts if each.watched and each.job and name in (each.job.id, each.job.name))
    return next((each.job for each in found), None)


def _near(name: str, known: Sequence[str], doctor: Doctor) -> str:
    import difflib

    near = difflib.get_close_matches(name, known, n=3) or [each for each in known if name.lower() in each.lower()][:3]
    return f"; nearest: {', '.join(_shown(each, doctor) for each in near)}" if near else "; oc-ops jobs lists them"


def _shown(text: str, doctor: Doctor) -> str:
    """A name that may be a stranger's, harmless and without what it holds of a secret."""
    return doctor.gateway.redactor.line(text, 200)


def _harmless(text: str, doctor: Doctor) -> str:
    """An error that quotes `openclaw`, safe to print on a terminal."""
    from oc_ops.record.redact import Redactor
    from oc_ops.secrecy import secrets_in

    secrets = (*doctor.config.secrets, *secrets_in(os.environ))
    return Redactor(secrets, Path.home(), [doctor.target.home]).line(text, 1000)
