"""The last word of the cockpit's watcher: told beside somebody's own look, never taken for it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

from oc_ops import files

_MOST_BYTES = 4 * 2**20


def path_of(memory_dir: Path, key: str) -> Path:
    """Where the state snapshot of a gateway lies (`key` is Doctor.key)."""
    return memory_dir / f"state-{key}.json"


def told(memory_dir: Path, key: str) -> str:
    """One line with its age; empty where no watcher has written anything that can be read."""
    from oc_ops.text import age  # whoever only needs the path, a window, loads little

    try:
        with files.open_regular(path_of(memory_dir, key)) as file:
            said = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return ""
    written_at = said.get("written_at") if isinstance(said, dict) else None
    if not isinstance(written_at, int | float) or not 0 <= written_at < 1e11:
        return ""
    state, rpc, ended = _word(said, "gateway", "state"), _word(said, "rpc", "state"), _word(said, "watcher", "ended")
    end = f"; it has ended: {ended}" if ended else ""
    return f"the cockpit's watcher wrote {age(time.time() - written_at)} ago: {state}, RPC {rpc}{end}"


def _word(said: Mapping[str, object], part: str, name: str) -> str:
    found = said.get(part)
    word = found.get(name) if isinstance(found, dict) else None
    return " ".join(word.split())[:200] if isinstance(word, str) else ""
