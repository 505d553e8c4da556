"""Keeps compiled modules for the next run where PYTHONDONTWRITEBYTECODE is set; it acts when it is imported, first.

Images and shells set that variable to keep caches out of the sources. For a check that starts every five minutes it
means to compile oc-ops anew each time, a quarter of a second of CPU. The cache lies beside the locks, in the
user's own state directory, and what other programs compile is not touched.
"""

from __future__ import annotations

import contextlib
import sys

from oc_ops.errors import OcOpsError
from oc_ops.observe.flight import lock_dir


def keep() -> None:
    """Have modules imported from now on read from the cache, and written to it; a place of the user's own stands."""
    if sys.dont_write_bytecode and sys.pycache_prefix is None:
        with contextlib.suppress(OcOpsError):
            sys.pycache_prefix, sys.dont_write_bytecode = str(lock_dir().with_name("bytecode")), False


keep()
