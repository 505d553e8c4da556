"""`python -m oc_ops.cockpit.watcher`: the one process that watches a gateway for everybody; started, found, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from oc_ops import files
from oc_ops.errors import OcOpsError
from oc_ops.record.redact import Redactor
from oc_ops.secrecy import secrets_in
from oc_ops.settings import Settings, for_a_child, start_folder
from oc_ops.text import clock

if TYPE_CHECKING:
    from oc_ops.cockpit.loop import Loop

ENDED, HELD, UNUSABLE = 0, 3, 4
"""Exit codes: it was told to, or nobody watches; another one holds the lock; settings or gateway cannot be used."""

_MOST_SAID_BYTES = 256 * 1024


class Termination(SystemExit):
    """Somebody asked the watcher to end."""


def said_path(memory_dir: Path) -> Path:
    """Where detached watchers say why they ended; begun anew when it has grown."""
    return memory_dir / "watcher.log"


def start(settings: Settings, environ: Mapping[str, str] | None = None) -> int:
    """Start a watcher as a process of its own and return its pid at once; where one runs, the new one ends at once.

    It takes its settings from `environ` (default: this process') and from what differs in `settings`. Raises OSError.
    """
    files.own_folder(settings.memory_dir)
    path = said_path(settings.memory_dir)
    fresh = path.exists() and path.stat().st_size > _MOST_SAID_BYTES
    with open(path, "wb" if fresh else "ab", opener=files.private) as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "oc_ops.cockpit.watcher", *_options(settings)],
            env=for_a_child({**(os.environ if environ is None else environ), **_environ(settings)}),
            cwd=start_folder(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    return process.pid


def stop(key: str) -> bool:
    """End the watcher of that gateway, if one runs; True when one was told to.

    By the lock's own note: a pid whose process began after the note was written is somebody else's, and is left alone.
    """
    from oc_ops.locks import holder

    held = holder(lock_of(key))
    if held is None:
        return False
    held[0].terminate()
    return True


def lock_of(key: str) -> Path:
    """The lock that makes a watcher the only one of its gateway, for this user and whatever checkout."""
    from oc_ops.locks import lock_dir

    return lock_dir() / f"watcher-{key}.lock"


def main(argv: Sequence[str]) -> int:
    """Watch until told to end, or until nobody watches; the exit code."""
    import argparse

    from oc_ops import settings as oc_settings
    from oc_ops.locks import LockHeld, single_flight

    parser = argparse.ArgumentParser(prog="python -m oc_ops.cockpit.watcher", description=__doc__)
    parser.add_argument("--oc-profile", metavar="NAME", help="the OpenClaw profile to watch")
    parser.add_argument("--openclaw", metavar="PATH", help="the `openclaw` executable")
    given = parser.parse_args(argv)
    try:
        settings = oc_settings.load({"profile": given.oc_profile, "openclaw": given.openclaw})
        from oc_ops.cockpit.loop import Loop

        loop = Loop(settings, dict(os.environ))
        with single_flight(lock_of(loop.key), 0):
            return _watch(loop)
    except OcOpsError as error:
        _say(str(error))
        return HELD if isinstance(error, LockHeld) else UNUSABLE


def _watch(loop: Loop) -> int:
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, _end)
    why = "it was told to end"
    try:
        why = loop.run()
    except Termination:
        pass
    finally:
        loop.close(why)
    _say(f"ended: {why}")
    return ENDED


def _say(words: str) -> None:
    """For watcher.log, or whoever started it by hand."""
    words = Redactor(secrets_in(os.environ), Path.home()).line(words, 1000)
    sys.stderr.write(f"{clock(datetime.now(UTC))} oc-ops watcher {os.getpid()}: {words}\n")


def _end(_signum: int, _frame: FrameType | None) -> NoReturn:
    raise Termination(ENDED)


def _options(settings: Settings) -> list[str]:
    given = (("--oc-profile", settings.profile), ("--openclaw", settings.openclaw))
    return [word for name, value in given if value is not None for word in (name, str(value))]


def _environ(settings: Settings) -> dict[str, str]:
    from oc_ops.settings import declared, environment_name

    said = {}
    for each in declared():
        value = getattr(settings, each.name)
        if each.name not in ("profile", "openclaw") and value is not None and settings.source(each.name) != "default":
            said[environment_name(each.name)] = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return said


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
