"""Releases of OpenClaw as comparable numbers, and ranges of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

Release = tuple[int, ...]
"""`2026.2.2-3` as (2026, 2, 2, 3)."""

_RELEASE = re.compile(r"(\d{4})\.(\d{1,2})(?:\.(\d{1,3}))?(?:-(\d{1,3}))?")


@dataclass(frozen=True, slots=True)
class ReleaseRange:
    """Releases from `since` up to and including `until`; None leaves that end open.

    An end of fewer numbers stands for all that begin with it: up to (2026, 5) takes in (2026, 5, 28).
    """

    since: Release | None
    until: Release | None

    def __contains__(self, release: object) -> bool:
        if not isinstance(release, tuple):
            return False
        late_enough = self.since is None or release >= self.since
        return late_enough and (self.until is None or release[: len(self.until)] <= self.until)


def release(text: str) -> Release:
    """`2026.9.6` as numbers; raises ValueError for anything but a whole release."""
    if (match := _RELEASE.fullmatch(text)) is None:
        raise ValueError(f"{text!r} is no release")
    return tuple(int(each) for each in match.groups() if each is not None)


def span(text: str) -> ReleaseRange:
    """`2026.2..2026.5`, `..2026.4.23`, `2026.9..` or one release; raises ValueError for anything else.

    Ends in the wrong order are refused: such a range would hold nothing.
    """
    first, dots, last = text.partition("..")
    since = release(first) if first else None
    until = (release(last) if last else None) if dots else since
    if since is None and until is None:
        raise ValueError(f"{text!r} names no release")
    if since is not None and until is not None and since[: len(until)] > until:
        raise ValueError(f"{text!r} ends before it begins")
    return ReleaseRange(since, until)


def shown(release: Release) -> str:
    """A release as OpenClaw writes it: (2026, 2, 2, 3) as `2026.2.2-3`."""
    head, tail = release[:3], release[3:]
    return "-".join((".".join(map(str, head)), *map(str, tail)))
