"""The log signature catalogue: data in signatures.toml, matched against records that the gateway itself wrote."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import cast

from oc_ops.errors import OcOpsError
from oc_ops.judge.finding import Finding, Severity
from oc_ops.observe.logs import LogView, Record


@dataclass(frozen=True, slots=True)
class Signature:
    """One fact about a log line. `threshold` is how many records in the window make it a finding."""

    id: str
    literal: str
    pattern: re.Pattern[str]
    severity: Severity
    threshold: int
    fact: str
    fix: str
    issues: tuple[int, ...]
    sample: str


@cache
def catalogue() -> tuple[Signature, ...]:
    """The signatures oc-ops ships, in the order in which they claim a line."""
    text = resources.files("oc_ops.judge").joinpath("signatures.toml").read_text(encoding="utf-8")
    return parse(text, "signatures.toml")


def parse(text: str, origin: str) -> tuple[Signature, ...]:
    """Read a catalogue; a bad entry raises OcOpsError naming the file, the entry and the field."""
    try:
        entries = tomllib.loads(text).get("signature", [])
    except tomllib.TOMLDecodeError as error:
        raise OcOpsError(f"{origin}: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise OcOpsError(f"{origin}: signature: need [[signature]] tables")
    found = tuple(_signature(entry, index, origin) for index, entry in enumerate(entries, 1))
    for index, signature in enumerate(found):
        if signature.id in {each.id for each in found[:index]}:
            raise OcOpsError(f"{origin}: {signature.id}: id={signature.id!r}: need an id of its own")
    return found


def _signature(entry: dict[str, object], index: int, origin: str) -> Signature:
    name = str(entry.get("id", f"entry {index}"))

    def text(key: str) -> str:
        value = entry.get(key)
        if not isinstance(value, str) or not value:
            raise OcOpsError(f"{origin}: {name}: {key}={value!r}: need a non-empty text")
        return value

    severity = text("severity")
    if severity not in ("info", "warning", "error"):
        raise OcOpsError(f"{origin}: {name}: severity={severity!r}: need info, warning or error")
    threshold = entry.get("threshold", 1)
    if not isinstance(threshold, int) or isinstance(threshold, bool) or threshold < 1:
        raise OcOpsError(f"{origin}: {name}: threshold={threshold!r}: need a whole number > 0")
    try:
        pattern = re.compile(text("pattern"))
    except re.error as error:
        raise OcOpsError(f"{origin}: {name}: pattern: {error}") from error
    issues = entry.get("issues", [])
    if not isinstance(issues, list) or not all(isinstance(each, int) for each in issues):
        raise OcOpsError(f"{origin}: {name}: issues={issues!r}: need a list of issue numbers")
    return Signature(
        text("id"), text("literal"), pattern, cast("Severity", severity), threshold,
        text("fact"), text("fix"), tuple(issues), text("sample"),
    )  # fmt: skip


def fired(view: LogView, signatures: tuple[Signature, ...] | None = None) -> dict[Signature, list[Record]]:
    """The records of each signature that has any; a record counts once, for the first signature that matches it.

    One fault is often logged as several lines within a second (openclaw-ops' changelog): those count once.
    """
    found: dict[Signature, list[Record]] = {}
    seconds: set[tuple[str, str]] = set()
    for record in view.records:
        for signature in signatures or catalogue():
            if signature.pattern.search(record.text):
                second = (signature.id, record.time.strftime("%F %T") if record.time else record.text[:200])
                if second not in seconds:
                    seconds.add(second)
                    found.setdefault(signature, []).append(record)
                break
    return found


def findings(view: LogView, signatures: tuple[Signature, ...] | None = None) -> tuple[Finding, ...]:
    """One finding per fired signature above its threshold: count, first and last time, one excerpt."""
    return tuple(
        Finding(f"logs/{signature.id}", signature.severity, signature.fact, _saw(records), signature.fix)
        for signature, records in fired(view, signatures).items()
        if len(records) >= signature.threshold
    )


def _saw(records: list[Record]) -> str:
    # Records of several files interleave; times are shown as the log's own clock shows them.
    times = [f"{time:%H:%M:%S}" for time in sorted(record.time for record in records if record.time)]
    when = " to ".join(dict.fromkeys((times[0], times[-1]))) if times else "at an unknown time"
    excerpt = " ".join(records[-1].text[:2000].split())
    return f"{len(records)}× {when}: {excerpt[:200]}"
