"""Our own device identity towards gateways: one Ed25519 key and the device tokens issued to it, in one private file."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe import database

if TYPE_CHECKING:
    from filelock import BaseFileLock

FILE = "device.json"
_SEED_BYTES = 32
_LOCK_S = 5.0
_MOST_TOKENS = 16
"""Throwaway gateways come and go; the tokens of the most recent ones are enough."""


@dataclass(frozen=True, slots=True)
class Device:
    """The key that names oc-ops to a gateway, and what gateways have issued to it (by WebSocket URL)."""

    path: Path
    seed: bytes = field(repr=False)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    note: str = ""
    """Set when a damaged file had to be set aside: the operator should know why a new device appears."""

    def identify(self) -> tuple[str, str]:
        """The device id (hex SHA-256 of the raw public key) and the public key (base64url, no padding)."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return hashlib.sha256(public).hexdigest(), _encoded(public)

    def sign(self, text: str) -> str:
        """The Ed25519 signature of a text in UTF-8 (base64url, no padding)."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return _encoded(Ed25519PrivateKey.from_private_bytes(self.seed).sign(text.encode()))


def load(memory_dir: Path) -> Device:
    """Our device, made on first use (file 0600, directory 0700); processes that race agree on one key.

    A damaged file is renamed, never deleted, and `note` says so. Raises CouldNotLook when the file can be neither
    read nor made.
    """
    path = memory_dir / FILE
    try:
        device = _read(path)
        if device is None:
            with _locked(memory_dir):
                device = _read(path) or _made(path)
    except OSError as error:
        raise CouldNotLook(f"cannot keep the device key {path}: {error.strerror or error}") from error
    return device


def keep_token(device: Device, gateway: str, token: str | None) -> Device:
    """Remember the token a gateway issued, or forget it (None); the newest are kept.

    The file is rewritten only when something changed. Raises CouldNotLook when it cannot be written.
    """
    if device.tokens.get(gateway) == token:
        return device
    try:
        with _locked(device.path.parent):
            latest = _read(device.path) or device
            tokens = {url: each for url, each in latest.tokens.items() if url != gateway}
            if token is not None:
                tokens[gateway] = token
            tokens = dict(list(tokens.items())[-_MOST_TOKENS:])
            changed = replace(latest, tokens=tokens, note=device.note)
            _write(changed)
    except OSError as error:
        raise CouldNotLook(f"cannot keep the device token in {device.path}: {error.strerror or error}") from error
    return changed


def known(memory_dir: Path) -> Device | None:
    """Our device as it stands there; None without one. Makes nothing; raises OSError for a file that cannot be read."""
    return _read(memory_dir / FILE)


def _read(path: Path) -> Device | None:
    """The device in the file; None when there is no file or nothing usable in it."""
    try:
        with files.open_regular(path) as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                os.fchmod(file.fileno(), 0o600)
            table = cast("object", json.loads(file.read(files.SMALL_BYTES)))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    if not isinstance(table, dict):
        return None
    seed = _decoded(table.get("seed"))
    tokens = table.get("tokens")
    if seed is None or not isinstance(tokens, dict):
        return None
    return Device(path, seed, {str(url): token for url, token in tokens.items() if isinstance(token, str)})


def _made(path: Path) -> Device:
    """A new device; what stood in its place is set aside first. The caller holds the lock."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    note = ""
    if path.exists():
        aside = path.with_name(f"{FILE}.damaged-{time.time_ns()}")
        path.rename(aside)
        note = f"{FILE} was damaged and set aside as {aside.name}; a new device key was made"
    device = Device(path, Ed25519PrivateKey.generate().private_bytes_raw(), {}, note)
    with contextlib.suppress(PermissionError):
        path.parent.chmod(0o700)
    _write(device)
    return device


def _write(device: Device) -> None:
    """Replace the file in one step; readers see the old one or the new one."""
    table = {"schema": 1, "seed": _encoded(device.seed), "tokens": dict(device.tokens)}
    descriptor, name = tempfile.mkstemp(prefix=f"{FILE}.", suffix=".new", dir=device.path.parent)  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(table, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(device.path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _locked(memory_dir: Path) -> BaseFileLock:
    from filelock import FileLock

    files.own_folder(memory_dir)
    return FileLock(memory_dir / f"{FILE}.lock", timeout=_LOCK_S, mode=0o600)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decoded(text: object) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        seed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return seed if len(seed) == _SEED_BYTES else None


Pairing = Literal["paired", "not needed", "none", "unseen"]
"""not needed: this installation keeps pairings in its state database. There a command with the gateway's own token is
not paired at all, and a read-only first call binds nothing: measured on 2026.7.1-2, 2026.8.2 and 2026.9.6.
"""

_DEADLINE_S = 1.0
_TABLES = ("device_pairing_paired", "device_auth_tokens")


def pairing(state_dir: Path) -> Pairing:
    """Look at the file of older releases and at the state database, whatever the release: upgrades leave either."""
    path = state_dir / database.STATE_DATABASE
    try:
        if files.is_file(state_dir / "identity" / "device-auth.json"):
            return "paired"
        if not files.is_file(path):
            return "none"
        with database.snapshot(path, _DEADLINE_S) as seen:
            return "not needed" if any(map(seen.has, _TABLES)) else "none"
    except CouldNotLook:
        return "unseen"
