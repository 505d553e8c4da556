"""Judge of directories that OpenClaw left behind: how many, how large, and which are safe to remove."""

from __future__ import annotations

from collections.abc import Sequence

from oc_ops.judge.finding import Finding
from oc_ops.judge.host import size
from oc_ops.judge.registry import finds, none
from oc_ops.observe.leftovers import Leftovers
from oc_ops.text import span

_TOLD_BYTES, _TOLD_COUNT = 100 * 2**20, 50
_WARN_BYTES = 2 * 2**30


@finds(
    "host/openclaw-leftovers",
    checks=("host/openclaw-leftovers",),
    cure=none("data is never deleted by a program of ours"),
    means="build and temporary directories that OpenClaw left behind (information; a warning from 2 GB on)",
    helps="remove those that nothing has open",
)
def openclaw_leftovers(found: Sequence[Leftovers]) -> Finding | None:
    """Old directories of OpenClaw's own that nothing has open; a few small ones are no finding (#155768: 141 GB)."""
    count, total = sum(each.count for each in found), sum(each.size_bytes for each in found)
    if total < _TOLD_BYTES and count < _TOLD_COUNT:
        return None
    largest = max(found, key=lambda each: each.size_bytes)
    return Finding(
        "host/openclaw-leftovers",
        "warning" if total >= _WARN_BYTES else "info",
        fact=f"OpenClaw left {count} directories behind, {_size(found, total)} in all",
        saw="; ".join(
            f"{each.count} of {each.place}/{each.pattern}, {size(each.size_bytes)}, none open, "
            f"the oldest {span(each.oldest_s)} old"
            for each in found
        ),
        fix="none automatic: those that nothing has open for a day are safe to remove; list them: "
        f"find {largest.place} -maxdepth 1 -type d -name '{largest.pattern}' -mmin +1440",
    )


def _size(found: Sequence[Leftovers], total: int) -> str:
    return size(total) if all(each.whole for each in found) else f"at least {size(total)}"
