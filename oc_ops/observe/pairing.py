"""Where the pairing of the `openclaw` command with its gateway is kept, and whether it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from oc_ops.errors import CouldNotLook
from oc_ops.observe import database

Pairing = Literal["paired", "not needed", "none", "unseen"]
"""not needed: this installation keeps pairings in its state database. There a command with the gateway's own token is
not paired at all, and a read-only first call binds nothing: measured on 2026.7.1-2, 2026.8.2 and 2026.9.6.
"""

_DEADLINE_S = 1.0
_TABLES = ("device_pairing_paired", "device_auth_tokens")


def pairing(state_dir: Path) -> Pairing:
    """Look at the file of older releases and at the state database, whatever the release: upgrades leave either."""
    if (state_dir / "identity" / "device-auth.json").exists():
        return "paired"
    path = state_dir / "state" / "openclaw.sqlite"
    if not path.exists():
        return "none"
    try:
        with database.snapshot(path, _DEADLINE_S) as seen:
            return "not needed" if any(map(seen.has, _TABLES)) else "none"
    except CouldNotLook:
        return "unseen"
