"""The key of this installation, and the seal that only its holder can put under a plan."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from oc_ops import files
from oc_ops.act.breaker.scan import Refused
from oc_ops.errors import OcOpsError

_BYTES = 32
_KEPT = 1000
"""Used plans that are remembered: by number, since a clock that was ahead for a moment would forget them all."""


def key_file() -> Path:
    """Where the key lies: in the user's state directory, not in the memory that plans are kept in."""
    import platformdirs

    return Path(platformdirs.user_state_path("oc-ops")) / "installation.key"


def seal(plan: Mapping[str, object]) -> str:
    """HMAC-SHA256, in hex, of a plan's members; raises OcOpsError where there is no key to be had."""
    text = json.dumps(plan, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(_key(), text, hashlib.sha256).hexdigest()


def holds(plan: Mapping[str, object], found: str) -> bool:
    """True if this installation put that seal under that plan; raises as `seal`."""
    return hmac.compare_digest(seal(plan).encode(), found.encode("utf-8", "replace"))


def spend(plan: str) -> None:
    """Remember that a plan is used, whatever becomes of the book; raises OcOpsError for the second time."""
    try:
        folder = files.own_folder(key_file().parent / "plans")
        for old in sorted(folder.iterdir(), key=lambda each: each.lstat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
        name = re.sub(r"[^0-9a-z-]", "_", plan)[:100]
        os.close(os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        raise Refused(f"plan {plan} was used already: a plan counts once") from None
    except OSError as error:
        raise Refused(f"it cannot be remembered that plan {plan} is used: {error.strerror}") from error


def _key() -> bytes:
    """The key, made at its first use (0600). One that others could have read or put there is refused, not used."""
    path = key_file()
    try:
        files.own_folder(path.parent)
        if above := files.exposed(path):
            raise files.FileRefused(path, f"everybody may write into {above} above it (chmod +t {above})")
        with suppress(FileExistsError):
            _make(path)
        if path.is_symlink():
            raise files.FileRefused(path, "it is a link")
        found = path.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise files.FileRefused(path, "others may read it: remove it, the next plan makes a new one")
        key = files.read_bytes(path, _BYTES)
    except OSError as error:
        raise OcOpsError(f"the key that plans are sealed with, {path}, cannot be used: {error.strerror}") from error
    if len(key) != _BYTES:
        raise OcOpsError(f"{path} is no key of {_BYTES} bytes: remove it, the next plan makes a new one")
    return key


def _make(path: Path) -> None:
    """Put a whole key in place, or none: whoever comes second takes the first one's. Raises FileExistsError."""
    if path.exists() or path.is_symlink():
        raise FileExistsError(path)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        os.link(fresh, path)
    finally:
        fresh.unlink()
