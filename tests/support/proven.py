"""How a test's own gateway shows that it is one: by the lock file that a real one writes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from oc_ops.observe.target import Target, locate


def lock(target: Target, port: int, pid: int | None = None) -> Path:
    """Write the lock of 2026.9.6 for a gateway of that target: this process, unless a pid is given."""
    folder = target.state_dir / "tmp" / f"openclaw-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    says = {"pid": pid or os.getpid(), "configPath": str(target.config_path), "port": port, "createdAt": time.time()}
    path = folder / "gateway.state.lock"
    path.touch(mode=0o600)
    path.write_text(json.dumps(says))
    return path


def home_of(folder: Path, port: int) -> Target:
    """A target whose state lies in a folder, locked by this process."""
    target = locate({"HOME": str(folder)})
    lock(target, port)
    return target
