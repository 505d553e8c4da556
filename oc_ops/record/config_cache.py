"""Which config OpenClaw's own validation last accepted, so that an unchanged one need not be validated again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from oc_ops import files
from oc_ops.record import folder

_FILE = "config-accepted.txt"


def fingerprint(config: Path, release: tuple[int, ...] | None) -> str | None:
    """A digest of what the validation depends on: the file's bytes and the release that judged them.

    None when a digest would not cover it: includes and environment references are read from elsewhere.
    """
    try:
        content = files.read_bytes(config, files.CONFIG_BYTES)
    except OSError:
        return None
    if release is None or b"$include" in content or b"${" in content:
        return None
    return hashlib.sha256(repr((release, content)).encode()).hexdigest()


def is_known(memory_dir: Path, mark: str | None) -> bool:
    """True when this very config was accepted by this very release before."""
    if mark is None:
        return False
    try:
        return files.read_text(memory_dir / _FILE, files.SMALL_BYTES).strip() == mark
    except (OSError, ValueError):
        return False


def remember(memory_dir: Path, mark: str | None) -> None:
    """Keep the digest of an accepted config; one that cannot be kept costs a validation next time, nothing else."""
    if mark is not None:
        try:
            folder.write(memory_dir / _FILE, mark + "\n")
        except OSError:
            return
