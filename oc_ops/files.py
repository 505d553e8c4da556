"""Reads of files that others may have put there: regular, up to a size, under a deadline; folders of our own."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import json
import math
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from oc_ops.errors import CouldNotLook, OtherAccount
from oc_ops.text import regex

SMALL_BYTES = 2**20
"""Limit for what a person writes or a few kilobytes hold: settings, watchlists, notes, package.json."""
CONFIG_BYTES = 4 * 2**20
"""Limit for openclaw.json and what it includes together; the largest seen was 200 kB."""
DATA_BYTES = 8 * 2**20
"""Limit for what programs write: a job store, a report, a snapshot."""
DEADLINE_S = 5.0
"""How long one read may take on a slow file system."""
MOST_DEPTH = 200
"""How deep JSON may be nested before it is refused: Python's and pyjson5's parsers recurse."""

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_CHUNK = 2**20
_MOST_ENTRIES = 1000
"""Of a folder of ours, looked at for what others put there: a millisecond."""
_TOKEN = regex(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', re.S)


_MOST_LINKS, _MOST_LEVELS = 40, 400
"""Links in a row, as many as Linux follows; places that a path may lead over."""


class FileRefused(OSError):
    """A file that is not read: no regular file, too large, too slow, or behind a stranger's link.

    An OSError with a `strerror` like any other, so that whoever reads a file need not tell them apart.
    """

    def __init__(self, path: Path, why: str, code: int = errno.EINVAL) -> None:
        super().__init__(code, why, str(path))


def is_file(path: Path) -> bool:
    """True for a file, also through a link; raises CouldNotLook where this account may not see whether there is one."""
    try:
        return path.is_file()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> CouldNotLook:
    """The error to raise for a file that cannot be read."""
    words = f"cannot read {path}: {error.strerror}"
    return barred(path, words) if isinstance(error, PermissionError) else CouldNotLook(words)


def barred(path: Path, words: str) -> CouldNotLook:
    """The error to raise, in these words, for what this account may not see: OtherAccount where it is not its own."""
    uid = owner(path)
    return CouldNotLook(words) if uid == os.geteuid() else OtherAccount(words, uid)


def owner(path: Path) -> int | None:
    """The user whose file it is, or where that is hidden the nearest folder above it; None if it is not there."""
    for each in (path, *path.parents):
        try:
            return each.stat().st_uid
        except PermissionError:
            continue
        except OSError:
            break
    return None


def private(path: str, flags: int) -> int:
    """An opener for `open`: what it makes is the account's alone, a link is not followed, a pipe not waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)


def open_regular(path: Path) -> io.FileIO:
    """Open a regular file for reading, unbuffered; never waits for a pipe's writer and touches no device.

    Raises OSError as `open` does, and FileRefused for anything but a regular file and for a link that somebody else
    put into a folder of theirs and that leads to a file which is not theirs.
    """
    refuse(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        found = os.fstat(descriptor)
        refuse(path, found)
        return io.FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def refuse(path: Path, found: os.stat_result | None = None) -> None:
    """Raise FileRefused for anything but a regular file, with what it is, and for a stranger's link to one.

    `found` is what an open descriptor of it says; else the path is asked, which raises OSError where it leads nowhere.
    """
    found = path.stat() if found is None else found
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "something else")
        raise FileRefused(path, f"it is {kind}, not a regular file")
    for _ in range(_MOST_LINKS):
        link = path.lstat()
        if not stat.S_ISLNK(link.st_mode):
            break
        if link.st_uid not in (os.geteuid(), 0, found.st_uid):
            raise FileRefused(path, "a link of another user to a file that is not theirs", errno.ELOOP)
        path = path.parent / path.readlink()


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """Return a whole file of at most `most_bytes`; raises OSError, FileRefused for one that is larger or too slow."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > most_bytes:
            raise _too_large(path, most_bytes)
        until = time.monotonic() + DEADLINE_S
        content = bytearray()
        while chunk := file.read(_CHUNK):
            content += chunk
            if len(content) > most_bytes:  # it grew while it was read, or says 0 and is endless, as in /proc
                raise _too_large(path, most_bytes)
            if time.monotonic() > until:
                raise FileRefused(path, f"it could not be read within {DEADLINE_S:g} s", errno.ETIMEDOUT)
        return bytes(content)


def read_text(path: Path, most_bytes: int, *, errors: str = "strict") -> str:
    """Return a whole file as UTF-8; raises as `read_bytes`, and UnicodeDecodeError unless `errors` says otherwise."""
    return read_bytes(path, most_bytes).decode("utf-8", errors)


def modified_s(path: Path) -> float:
    """When a file was written last (seconds since the epoch); 0 for one that cannot be looked at."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def read_tail(path: Path, most_bytes: int) -> bytes:
    """Return the last `most_bytes` of a file of any size; raises as `open_regular`."""
    with open_regular(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most_bytes))
        content = bytearray()
        while len(content) < most_bytes and (chunk := file.read(most_bytes - len(content))):
            content += chunk
        return bytes(content)


def _too_large(path: Path, most_bytes: int) -> FileRefused:
    size = f"{most_bytes // 2**20} MiB" if most_bytes >= 2**20 else f"{most_bytes // 2**10} KiB"
    return FileRefused(path, f"it is larger than {size}", errno.EFBIG)


def too_deep(text: str) -> int | None:
    """Return where brackets are first nested deeper than MOST_DEPTH, strings left out; None for a flatter text.

    Linear: 0.1 s for 4 MiB.
    """
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start()]
        if mark in "[{":
            depth += 1
            if depth > MOST_DEPTH:
                return token.start()
        elif mark in "]}":
            depth -= 1
    return None


def json_of(text: str | bytes, *, strict: bool = True) -> object:
    """Return a stranger's JSON; raises ValueError for none, one that is nested too deeply included.

    Numbers are what JavaScript makes of them: a whole one of twenty digits is a float, one of four hundred infinite.
    Not `strict`: control characters may stand in strings.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    try:
        return (_STRICT if strict else _LENIENT).decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def as_javascript(value: object) -> object:
    """Return a parsed value with its whole numbers as `json_of` has them, for what another parser made."""
    if isinstance(value, dict):
        return {name: as_javascript(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_javascript(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -_WHOLE < value < _WHOLE:
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return value


def whole(digits: str) -> int | float:
    """A JSON number without point or exponent."""
    return int(digits) if len(digits) < _DIGITS else float(digits)


_DIGITS = 19
_WHOLE = 10**_DIGITS
_STRICT, _LENIENT = (json.JSONDecoder(parse_int=whole, strict=strict) for strict in (True, False))


def new_folder(path: Path) -> Path:
    """Make a folder and whatever is missing above it, each 0700 whatever the umask; one that is there stays as it is.

    Raises OSError where it cannot be made.
    """
    for level in (*reversed(path.parents), path):
        if not level.is_dir():
            try:
                level.mkdir(mode=0o700)
            except FileExistsError:
                if not level.is_dir():  # made by another one of ours meanwhile, or no folder
                    raise
            else:
                level.chmod(0o700)
    return path


def own_folder(path: Path) -> Path:
    """Make a folder of ours (0700 whatever the umask) where it is missing, and return it.

    Raises FileRefused for what `refuse_others` refuses, OSError where it cannot be made. A folder of ours that is
    merely too open, as git leaves one, is closed.
    """
    refuse_others(path)
    found = new_folder(path).stat()
    if found.st_uid != os.geteuid():
        raise FileRefused(path, "the folder belongs to another user", errno.EPERM)
    if found.st_mode & 0o022:
        path.chmod(stat.S_IMODE(found.st_mode) & ~0o077)
    return path


def refuse_others(path: Path) -> None:
    """Raise FileRefused for a folder of ours in which others have had a hand; one that is not there is none.

    It belongs to another user, lies behind another user's link at any level, or something in it is another user's: a
    file that was planted before the folder was closed, and that they can write as long as it stands.
    """
    for level in _levels(path):
        with contextlib.suppress(FileNotFoundError):
            found = level.lstat()
            if stat.S_ISLNK(found.st_mode) and found.st_uid not in (os.geteuid(), 0):
                raise FileRefused(path, f"{level} is a link of another user", errno.ELOOP)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        if path.stat().st_uid not in (os.geteuid(), 0):
            raise FileRefused(path, "the folder belongs to another user", errno.EPERM)
        with os.scandir(path) as entries:
            for entry in itertools.islice(entries, _MOST_ENTRIES):
                if entry.stat(follow_symlinks=False).st_uid not in (os.geteuid(), 0):
                    raise FileRefused(path, f"{entry.name!a} in it belongs to another user: remove it", errno.EPERM)


def _levels(path: Path) -> Iterator[Path]:
    """Every place that a path leads over: its own levels, and those of wherever a link among them leads."""
    left, seen = [path], set[Path]()
    while left and len(seen) < _MOST_LEVELS:
        at = left.pop()
        for level in (at, *at.parents):
            if level not in seen:
                seen.add(level)
                yield level
                with contextlib.suppress(OSError):
                    left.append(level.parent / level.readlink())


def exposed(path: Path) -> Path | None:
    """The outermost folder above ours in which others may rename it and put another in its place; None without one.

    The sticky bit keeps them from it, as in /tmp. That the group may is the administrator's word, and no fault.
    """
    for level in sorted({each.parent for each in _levels(path)}, key=lambda each: len(each.parts)):
        with contextlib.suppress(OSError):
            found = level.stat()
            if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
                return level
    return None
