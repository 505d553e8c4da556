"""`oc-ops jobs`: the watchlist beside the gateway's own jobs, each with its verdict, and what is not watched yet."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from oc_ops.doctor.outcomes import Blocked
from oc_ops.errors import CouldNotLook
from oc_ops.observe.watchlist import FILE

if TYPE_CHECKING:
    from oc_ops.doctor.observations import Doctor


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "jobs",
        help="Show the watchlist beside the gateway's own cron jobs, and the lines for what is not watched yet.\n\n"
        f"The watchlist is {FILE} in the memory directory. The jobs come over RPC; when the gateway does not answer, "
        "from its own store, and the first line says so.\n\n"
        "Exit code: 0 all watched jobs are well, 1 one is not or could not be judged, 4 a wrong line or setting.",
    )(jobs)


def jobs(
    target: Annotated[str | None, typer.Option(metavar="T", help="The gateway, as `oc-ops targets` names it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")] = False,
) -> None:
    """One look, nothing changed; a job's name is a stranger's text and is shown harmless."""
    from oc_ops import settings
    from oc_ops.cli import jobtable
    from oc_ops.doctor.jobs import cause, not_asked, verdicts_now
    from oc_ops.doctor.observations import Doctor
    from oc_ops.observe import watchlist

    doctor = Doctor(settings.load({"target": target}), dict(os.environ))
    watched = watchlist.read(doctor.settings.memory_dir)
    try:
        seen, verdicts = verdicts_now(doctor, watched)
    except Blocked as blocked:
        found = blocked.cause
        why = _harmless(f"{found.check}: {found.fact} (saw: {found.saw}) · fix: {found.fix}", doctor)
        raise CouldNotLook(f"neither the gateway nor its store tells its jobs: {why}") from None
    except CouldNotLook as error:
        raise CouldNotLook(_harmless(str(error), doctor)) from None
    if why := not_asked(doctor):
        print(f"oc-ops: the gateway was not asked: {_harmless(why, doctor)}", file=sys.stderr)
    to_watch = jobtable.unwatched(seen, verdicts)
    if as_json:
        print(json.dumps(jobtable.as_json(seen, verdicts, to_watch)))
    else:
        jobtable.show(seen, verdicts, to_watch, doctor.settings.memory_dir / FILE, cause(doctor))
    if any(each.unseen or any(one.severity == "error" for one in each.findings) for each in verdicts):
        raise typer.Exit(1)


def _harmless(text: str, doctor: Doctor) -> str:
    """What an `openclaw` said to a failure, as it may stand on a terminal."""
    return doctor.gateway.redactor.line(text, 1000)
