"""Releases of OpenClaw as numbers and ranges, and what is known of those that run here."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from functools import cache
from pathlib import Path

from msgspec import Struct

from oc_ops.judge.finding import Finding, finds, none
from oc_ops.text import regex

Release = tuple[int, ...]
"""`2026.2.2-3` as (2026, 2, 2, 3)."""

_RELEASE = regex(r"(\d{4})\.(\d{1,2})(?:\.(\d{1,3}))?(?:-(\d{1,3}))?")


class ReleaseRange(Struct, frozen=True):
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


class Advisory(Struct, frozen=True):
    """One entry of releases.toml; what its fields mean stands at the top of that file."""

    id: str
    releases: ReleaseRange
    of: str
    fact: str
    helps: str
    fixed: str
    issues: tuple[int, ...]
    seen: str


@cache
def advisories() -> tuple[Advisory, ...]:
    """All that ship, in their order; checked by the tests, not here."""
    text = Path(__file__).with_name("releases.toml").read_text(encoding="utf-8")
    return tuple(
        Advisory(
            each["id"],
            span(each["releases"]),
            each["releases"],
            each["fact"],
            each["helps"],
            each.get("fixed", ""),
            tuple(each["issues"]),
            each["seen"],
        )
        for each in tomllib.loads(text)["release"]
    )


@finds(
    "gateway/known-release",
    checks=("gateway/release",),
    state="serving",
    cure=none("a restart makes no other release of it"),
    means="something is known of the gateway's release that its operator can act on (information, said once)",
    helps="what it names, or the release that does not do it",
)
def known_release(release: Release | None, told: Collection[str]) -> Finding | None:
    """The finding on the release that runs; nothing of one that `told` says was spoken of here before."""
    if release is None or shown(release) in told:
        return None
    found = [each for each in advisories() if release in each.releases]
    if not found:
        return None
    fixed = max((each.fixed for each in found), key=lambda text: [int(each) for each in text.split(".") if each])
    return Finding(
        "gateway/known-release",
        "info",
        fact=f"known of {shown(release)}: " + "; ".join(each.fact for each in found),
        saw="; ".join(_source(each) for each in found) + "; said once",
        fix="none automatic: " + "; ".join(each.helps for each in found) + (f"; or update to {fixed}" if fixed else ""),
    )


def _source(advisory: Advisory) -> str:
    reports = ", ".join(f"#{each}" for each in advisory.issues)
    fixed = f", fixed in {advisory.fixed}" if advisory.fixed else ""
    return f"{advisory.seen}{f' ({reports})' if reports else ''}{fixed}"
