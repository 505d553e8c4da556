"""What lab.json remembers, so that another process can look at a lab or take it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from oc_ops.lab.install import LabError


@dataclass(frozen=True, slots=True)
class FakeState:
    """A fake of the lab that serves: what it does, where, and which process it is."""

    mode: str
    port: int
    pid: int
    started: float


@dataclass(frozen=True, slots=True)
class LabState:
    """One lab. `port` is 0 before its first start; `started` is the gateway's start time (seconds since the epoch)."""

    version: str
    token: str = field(repr=False)
    port: int = 0
    seeded: tuple[str, ...] = ()
    pid: int | None = None
    started: float = 0.0
    fakes: dict[str, FakeState] = field(default_factory=dict)


def read(path: Path) -> LabState | None:
    """The remembered state, None when there is none; raises LabError when the file is not one we wrote."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LabState)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise LabError(f"cannot read {path} ({error}); remove {path.parent} and start a fresh lab") from error


def write(path: Path, state: LabState) -> None:
    """Replace the file at once."""
    write_private(path, msgspec.json.encode(state).decode())


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
