"""What is known of a release that its operator can act on: the table is releases.toml, said once on each machine."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from oc_ops.judge.finding import Finding
from oc_ops.judge.registry import finds, none
from oc_ops.judge.releases import Release, ReleaseRange, shown, span


@dataclass(frozen=True, slots=True)
class Advisory:
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
    """What is known of the release that runs; nothing of one that `told` says was spoken of here before."""
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
