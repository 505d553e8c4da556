"""`oc-ops targets`: the gateways of this machine, each as `--target` takes it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from dataclasses import asdict
from typing import Annotated

import typer

from oc_ops.cli import table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "targets",
        help="List the gateways of this machine: the environment's own, profiles, those that run elsewhere, and "
        "containers of podman and docker. Each is named as --target takes it (and OC_OPS_TARGET).\n\n"
        "No gateway is asked anything; containers are seen as far as this account may ask their runtime.\n\n"
        "Exit code: 0 listed, 1 the runtime of the container that OC_OPS_TARGET names could not be asked, "
        "4 a wrong setting.",
    )(targets)


def targets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")] = False,
) -> None:
    """One look, nothing changed."""
    from pathlib import Path

    from oc_ops import settings
    from oc_ops.observe.gateways import gateways
    from oc_ops.record.redact import Redactor, secrets_in

    loaded = settings.load()
    found, notes = gateways(dict(os.environ), loaded.profile)
    show = Redactor(secrets_in(os.environ), Path.home()).line
    if as_json:
        print(json.dumps({"targets": [asdict(each) for each in found], "notes": list(notes.values())}))
    else:
        rows = [(each.target, str(each.port or "-"), each.place, each.state) for each in found]
        table.show(("target", "port", "place", "state"), [[show(cell, 1000) for cell in row] for row in rows])
    for note in notes.values():
        print(f"oc-ops: {show(note, 300)}", file=sys.stderr)
    if _wanted(loaded.target, notes):
        raise typer.Exit(1)


def _wanted(choice: str, silent: Collection[str]) -> bool:
    """True if a runtime that could not be asked is the one that was chosen; one that merely is installed may rest."""
    kind = choice.partition(":")[0]
    return kind in silent or (kind in ("compose", "cell") and bool(silent))
