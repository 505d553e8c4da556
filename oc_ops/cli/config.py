"""`oc-ops config`: every setting with its value and where it came from, and which of the operator's own files count."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oc_ops.cli import table

if TYPE_CHECKING:
    from oc_ops.settings import Settings

_HEAD = ("setting", "value", "from", "meaning")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "config",
        help="Show every setting: its value, where it came from, what it means; and where your own files lie.\n\n"
        "An option wins over the environment, the environment over your own settings.toml, that over the default.\n\n"
        "Exit code: 0 shown, 4 a setting makes no sense.",
    )(config)


def config(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for a machine to read.")] = False) -> None:
    """Looks, changes nothing; a secret is never shown."""
    from oc_ops import settings as declared

    settings = declared.load()
    files = dict(_files(settings))
    names = [each.name for each in declared.declared()]
    meanings = {each.name: each.metadata["help"] for each in declared.declared()}
    if as_json:
        told = {
            name: {"value": settings.shown(name), "source": settings.source(name), "meaning": meanings[name]}
            for name in names
        }
        print(json.dumps({"files": {key: str(path) for key, path in files.items()}, "settings": told}))
        return
    for key, path in files.items():
        print(f"{key + ':':12}{path}{'' if os.path.lexists(path) else ' (not there)'}")
    print()
    table.show(
        _HEAD,
        [
            (declared.environment_name(name), _value(settings, name), settings.source(name), meanings[name])
            for name in names
        ],
        lambda row: ["" if row[2] == "default" else "bold"] * len(row),
    )


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    from oc_ops.judge import catalogue
    from oc_ops.observe import watchlist
    from oc_ops.settings import CHECKOUT, OWN_SETTINGS, SETTINGS_FILE

    yield "settings", settings.config_dir / OWN_SETTINGS
    if CHECKOUT or os.path.lexists(SETTINGS_FILE):
        yield "then", SETTINGS_FILE
    yield "watchlist", watchlist.place(settings)
    yield "signatures", settings.own_file(catalogue.OWN_FILE)
    yield "memory", settings.memory_dir
    yield "reports", settings.report_dir


def _value(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "(none)" if value is None else f"{value:g}" if isinstance(value, float) else settings.shown(name)
