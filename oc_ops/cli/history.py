"""`oc-ops history`: draw reports/index.html now, from what every run has left."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from oc_ops.errors import OcOpsError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "history",
        help="Draw reports/index.html: checks by time, availability, latencies, incidents, restarts.\n\n"
        "A doctor run does so itself when it changes an incident, otherwise at most once an hour. The gateway is not "
        "asked.\n\n"
        "Exit code: 0 drawn, 4 a history that cannot be read, a wrong option or setting.",
    )(history)


def history(
    oc_profile: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this profile; else what was looked at last.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="T", help="Of this gateway, as `oc-ops targets` names it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")] = False,
) -> None:
    """The page of one gateway."""
    import os
    from pathlib import Path

    from oc_ops import settings
    from oc_ops.observe.target import chosen
    from oc_ops.record.history import reading
    from oc_ops.record.history.query import History
    from oc_ops.record.page import trends
    from oc_ops.record.redact import Redactor, secrets_in

    known = settings.load({"profile": oc_profile, "target": target})
    one = chosen(known, os.environ)
    with reading(known.memory_dir) as connection:
        gateways = History(connection).gateways() if connection is not None else ()
    if one is not None:
        gateways = tuple(each for each in gateways if each.key == one.key)
        if not gateways:
            raise OcOpsError(f"target {known.target}: no run of it is on record in {known.memory_dir}")
    elif known.profile:
        gateways = tuple(each for each in gateways if each.profile == known.profile)
        if not gateways:
            raise OcOpsError(f"profile {known.profile}: no run of it is on record in {known.memory_dir}")
    redactor = Redactor(secrets_in(os.environ), Path.home())
    try:
        page = trends.write(known.report_dir, known.memory_dir, redactor, gateways[0].key if gateways else "")
    except OSError as error:
        raise OcOpsError(f"{known.report_dir} cannot be written: {error.strerror or error}") from error
    if as_json:
        print(json.dumps({"page": str(page), "gateways": [each.profile for each in gateways]}))
    else:
        print(f"history: {page}")
