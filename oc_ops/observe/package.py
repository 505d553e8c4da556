"""The OpenClaw package on disk that a command belongs to, and when it was put there."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oc_ops import files

_SCRIPT = re.compile(rb"""["'\s]([^"'\s]*/openclaw\.mjs)""")
_SHIM_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package; `written_s` is when its package.json came to be, in seconds since the epoch."""

    path: Path
    version: str
    written_s: float


def package(executable: Path) -> Package | None:
    """The package an executable belongs to, through links and through shell shims (pnpm writes one).

    None for a shim that hides it (Volta's is a program), or one whose package cannot be read.
    """
    for folder in _folders(Path(os.path.realpath(executable))):
        path = folder / "package.json"
        try:
            written_s = path.stat().st_mtime
            told = files.json_of(files.read_text(path, files.SMALL_BYTES))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and told.get("name") == "openclaw":
            return Package(path, str(told.get("version")), written_s)
    return None


def _folders(executable: Path) -> Iterator[Path]:
    """Where the package may be: beside its script, above it, or where a shim's script is."""
    yield executable.parent
    yield executable.parent.parent
    try:
        with files.open_regular(executable) as file:
            text = file.read(_SHIM_BYTES)
    except OSError:
        return
    if text.startswith(b"#!"):
        for found in _SCRIPT.finditer(text):
            script = os.fsdecode(found[1]).replace("${basedir}", "$basedir")
            yield Path(script.replace("$basedir", str(executable.parent))).parent
