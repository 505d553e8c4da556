"""`oc-ops targets`: the gateways of this machine, each as `--target` takes it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "targets",
        help="List the gateways of this machine: the environment's own, profiles, those that run elsewhere, and "
        "containers of podman and docker. Each is named as --target takes it (and OC_OPS_TARGET).\n\n"
        "No gateway is asked anything; containers are seen as far as this account may ask their runtime.\n\n"
        "Exit code: 0 listed, 1 a container runtime could not be asked, 4 a wrong setting.",
    )(targets)


def targets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")] = False,
) -> None:
    """One look, nothing changed."""
    from pathlib import Path

    from oc_ops import settings
    from oc_ops.observe.gateways import gateways
    from oc_ops.record.redact import Redactor, secrets_in

    found, notes = gateways(dict(os.environ), settings.load().profile)
    show = Redactor(secrets_in(os.environ), Path.home()).line
    if as_json:
        print(json.dumps({"targets": [asdict(each) for each in found], "notes": list(notes)}))
    else:
        rows = [(each.target, str(each.port or "-"), each.place, each.state) for each in found]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            print(show("  ".join((*cells, row[3])), 1000))
    for note in notes:
        print(f"oc-ops: {show(note, 300)}", file=sys.stderr)
    if notes:
        raise typer.Exit(1)
