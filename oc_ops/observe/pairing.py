"""Whether the `openclaw` command was paired with its gateway: by a file, or since 2026.7.1 by the state database."""

from __future__ import annotations

from pathlib import Path

from oc_ops.errors import CouldNotLook
from oc_ops.observe import database

_DEADLINE_S = 1.0


def paired(state_dir: Path) -> bool | None:
    """True when the CLI holds a token or its device is among the paired ones; None when that cannot be seen.

    Both places are looked at, whatever the release: an upgrade leaves the file, a new installation has none. Our own
    device and a browser's are paired as well, so only the one whose key the state directory holds counts.
    """
    if (state_dir / "identity" / "device-auth.json").exists():
        return True
    path = state_dir / "state" / "openclaw.sqlite"
    if not path.exists():
        return False
    try:
        with database.snapshot(path, _DEADLINE_S) as seen:
            if seen.has("device_auth_tokens") and seen.rows("SELECT 1 FROM device_auth_tokens LIMIT 1"):
                return True
            if not (seen.has("device_identities") and seen.has("device_pairing_paired")):
                return False
            known = "SELECT 1 FROM device_pairing_paired WHERE device_id IN (SELECT device_id FROM device_identities)"
            return bool(seen.rows(f"{known} LIMIT 1"))
    except CouldNotLook:
        return None
