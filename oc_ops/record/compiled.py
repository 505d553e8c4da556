"""The report's templates, compiled once a machine instead of once a run (40 ms of CPU)."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path

from jinja2 import BytecodeCache, FileSystemBytecodeCache
from jinja2.bccache import Bucket

from oc_ops.observe.flight import lock_dir


class _Harmless(FileSystemBytecodeCache):
    """A cache that cannot be read or kept costs time, never the report."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept; a torn file is compiled anew."""
        try:
            super().load_bytecode(bucket)
        except (OSError, EOFError, ValueError, TypeError, pickle.UnpicklingError):
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Write it if the disk has room."""
        with contextlib.suppress(OSError):
            super().dump_bytecode(bucket)


def compiled_templates(folder: Path | None = None) -> BytecodeCache | None:
    """The cache in `folder` (0700), by default beside the locks; None when there can be none."""
    folder = folder or lock_dir().with_name("templates")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return _Harmless(str(folder))
