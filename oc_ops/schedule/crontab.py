"""The user's crontab: one line of ours in it, and every other byte as it was.

Not through python-crontab: version 3.4 renders the whole table anew, so that comments move, `PATH = …` lines get lost
and what it cannot parse is commented out.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from oc_ops.errors import OcOpsError
from oc_ops.locks import lock_dir, single_flight
from oc_ops.process.run import Call, run
from oc_ops.schedule.plan import SchedulePlan
from oc_ops.text import regex

_MARK = "# oc-ops schedule "
_OWN = regex(rb"# oc-ops schedule ([A-Za-z0-9_.:-]+)[ \t]*$")
_DEADLINE_S = 10.0
_PREFIX = "oc-ops-crontab-"
_LONGEST = 998
"""Longer commands are refused by the crontab of Debian and macOS (MAX_COMMAND)."""


class Crontab(Struct, frozen=True):
    """A crontab as it stands, byte by byte."""

    text: bytes

    def own(self, name: str) -> tuple[str, ...]:
        """Our lines of that schedule, one as a rule; commented out ones too."""
        return tuple(
            line.decode("utf-8", "replace") for line in self.text.splitlines() if _names(line) == name.encode()
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The schedules that have a line."""
        found = (_names(line) for line in self.text.splitlines())
        return tuple(dict.fromkeys(each.decode() for each in found if each))

    def with_line(self, name: str, line: str) -> Crontab:
        """With this line as the schedule's only one, in the place of the first it had, else at the end."""
        new = line.encode() + b"\n"
        lines = self.text.splitlines(keepends=True)
        own = [number for number, each in enumerate(lines) if _names(each) == name.encode()]
        if own:
            lines[own[0]] = new
            return Crontab(b"".join(each for number, each in enumerate(lines) if number not in own[1:]))
        gap = b"\n" if lines and not lines[-1].endswith(b"\n") else b""
        return Crontab(self.text + gap + new)

    def without(self, name: str) -> Crontab:
        """Without the schedule's lines."""
        kept = (each for each in self.text.splitlines(keepends=True) if _names(each) != name.encode())
        return Crontab(b"".join(kept))


def _names(line: bytes) -> bytes:
    found = _OWN.search(line.rstrip(b"\r\n"))
    return found[1] if found else b""


def line(plan: SchedulePlan) -> str:
    """The crontab line of a plan; raises OcOpsError for one that cron would not take."""
    words = [f"{name}={shlex.quote(value)}" for name, value in plan.environ.items()]
    command = f"cd {shlex.quote(str(plan.folder))} && {' '.join(words)} {shlex.join(plan.argv)}"
    # cron takes an unescaped % for a line break.
    written = f"{command.replace('%', chr(92) + '%')} {_MARK}{plan.name}"
    if readings(written) != {f"{command} {_MARK}{plan.name}"}:
        raise OcOpsError("a path with a backslash before a % or another backslash cannot stand in a crontab")
    command = written
    if len(command.encode()) > _LONGEST:
        need = f"at most {_LONGEST} bytes"
        raise OcOpsError(
            f"the crontab line has {len(command.encode())} bytes: need {need}; put settings into pyproject.toml"
        )
    return f"{_times(plan.every_s)} {command}"


def readings(command: str) -> set[str]:
    """Readings of a command by crons: the kinds differ in whether they take the first of two backslashes away.

    A line that is one command to all of them is one reading; what stands behind an unescaped % is input, no command.
    """
    return {_unescaped(command, marks) for marks in ("%", "%\\")}


def _unescaped(command: str, marks: str) -> str:
    read, escaped = "", False
    for each in command:
        if escaped:
            read = f"{read[:-1]}{each}" if each in marks else f"{read}{each}"
            escaped = False
            continue
        if each == "%":
            break
        escaped = each == "\\"
        read += each
    return read


def trouble(line: str) -> str:
    """Why cron does not run one of our lines as it stands: changed by hand, or of an older oc-ops; else nothing."""
    if line.lstrip().startswith("#"):
        return "it is commented out"
    *_, command = line.split(maxsplit=5)
    found = readings(command)
    if len(found) > 1:
        return "its backslashes are read otherwise by other kinds of cron: install it again"
    if _MARK not in found.pop():
        return "cron cuts it at a % that is not escaped: install it again"
    return ""


def _times(every_s: int) -> str:
    if every_s < 3600:
        return f"*/{every_s // 60} * * * *" if every_s > 60 else "* * * * *"
    hours = every_s // 3600
    return "0 * * * *" if hours == 1 else "0 0 * * *" if hours == 24 else f"0 */{hours} * * *"


def read(environ: Mapping[str, str]) -> Crontab:
    """The user's crontab; none is an empty one. Raises OcOpsError when it cannot be read."""
    call = run(["crontab", "-l"], environ=_plain(environ), deadline_s=_DEADLINE_S)
    if call.outcome == "refused" and b"no crontab" in (call.stderr.head + call.stdout.head).lower():
        return Crontab(b"")
    if call.outcome == "refused" and b"not allowed" in (call.stderr.head + call.stdout.head).lower():
        raise OcOpsError(
            f"this account may not use crontab, so nothing is changed: see cron.allow and cron.deny ({call.summary})"
        )
    if call.outcome != "answered" or call.stdout.left_out_bytes:
        raise OcOpsError(f"the crontab cannot be read, so nothing is changed: {call.summary}")
    return Crontab(call.stdout.head + call.stdout.tail)


def change(environ: Mapping[str, str], name: str, line: str | None) -> bool:
    """Give the schedule this line, or none; returns whether that changed anything. Raises OcOpsError, then nothing has.

    What was there before is written again only where it stays the same to the byte.
    """
    with single_flight(lock_dir() / "crontab.lock", _DEADLINE_S):
        before = read(environ)
        after = before.without(name) if line is None else before.with_line(name, line)
        if after == before:
            return False
        call = _write(after, environ)
        if call.outcome != "answered":
            raise OcOpsError(f"crontab did not accept it: {call.summary}")
        if read(environ) != after:
            raise OcOpsError(
                "the crontab was written and reads differently: another program wrote it too; look with `crontab -l`"
            )
        return True


def _write(table: Crontab, environ: Mapping[str, str]) -> Call:
    if not table.text:
        return run(["crontab", "-r"], environ=_plain(environ), deadline_s=_DEADLINE_S)
    # In our own folder, and under our lock: what a killed one left there is nobody's, and holds other people's lines.
    for left in lock_dir().glob(f"{_PREFIX}*"):
        left.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile(prefix=_PREFIX, dir=lock_dir()) as file:
        file.write(table.text)
        file.flush()
        # By its name alone: crontab cuts a path after 100 characters (MAX_FNAME).
        name, folder = Path(file.name).name, lock_dir()
        return run(["crontab", name], environ=_plain(environ), deadline_s=_DEADLINE_S, cwd=folder)


def _plain(environ: Mapping[str, str]) -> dict[str, str]:
    """With crontab's own words in English: that there is none is told in words only."""
    return {**os.environ, **environ, "LC_ALL": "C"}
