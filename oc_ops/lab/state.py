"""What lab.json remembers, so that another process can look at a lab or take it down."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from oc_ops.lab.install import LabError


@dataclass(frozen=True, slots=True)
class LabState:
    """One lab. `port` is 0 before its first start; `started` is the gateway's start time (seconds since the epoch)."""

    version: str
    token: str = field(repr=False)
    port: int = 0
    seeded: tuple[str, ...] = ()
    pid: int | None = None
    started: float = 0.0


def read(path: Path) -> LabState | None:
    """The remembered state, None when there is none; raises LabError when the file is not one we wrote."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        state = LabState(**{**value, "seeded": tuple(value["seeded"])})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"cannot read {path} ({error}); remove {path.parent} and start a fresh lab") from error
    if not (isinstance(state.port, int) and isinstance(state.version, str) and isinstance(state.token, str)):
        raise LabError(
            f"cannot read {path} (it has no port, version and token); remove {path.parent} and start a fresh lab"
        )
    return state


def write(path: Path, state: LabState) -> None:
    """Replace the file at once."""
    write_private(path, json.dumps(asdict(state)))


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
