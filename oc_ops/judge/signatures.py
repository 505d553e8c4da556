"""Which known signatures fired in the gateway's own log, and the findings they give."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from oc_ops.judge.finding import Finding, Severity
from oc_ops.judge.releases import Release, shown
from oc_ops.judge.signature_catalogue import Signature, catalogue
from oc_ops.judge.work import is_down
from oc_ops.observe.logs import LogView, Record
from oc_ops.observe.work import Account
from oc_ops.process.jsontext import at
from oc_ops.text import clock

_EXCERPT_CHARS = 200
_BEFORE_MATCH_CHARS = 60


def window_s(signatures: Sequence[Signature]) -> int:
    """How far back (seconds) a look has to go so that every signature sees its whole window."""
    return max((each.window_s for each in signatures), default=0)


def fired(
    view: LogView, signatures: Sequence[Signature] | None = None, *, now: datetime | None = None
) -> dict[Signature, list[Record]]:
    """The records of each signature that has any, oldest first, whatever its threshold; None means those that ship.

    A record counts once, for the first signature that matches it, and only inside that signature's window before `now`
    (None: wherever it stands; a record without a time always counts). One fault is often logged as several lines within
    a second (openclaw-ops' changelog): those count once.
    """
    found: dict[Signature, list[Record]] = {}
    seconds: set[tuple[str, str | int]] = set()
    known = catalogue() if signatures is None else signatures
    for record in view.records:
        signature = next((each for each in known if each.matches(record.text)), None)
        if signature is None or _too_old(record, signature, now):
            continue
        second = (signature.id, int(record.time.timestamp()) if record.time else record.text[:_EXCERPT_CHARS])
        if second not in seconds:
            seconds.add(second)
            found.setdefault(signature, []).append(record)
    return {each: sorted(records, key=lambda each: each.sorts_at) for each, records in found.items()}


def findings(
    view: LogView,
    signatures: Sequence[Signature] | None = None,
    release: Release | None = None,
    *,
    now: datetime | None = None,
    beside: Finding | None = None,
    refuted: Collection[str] = (),
    past: Collection[str] = (),
) -> tuple[Finding, ...]:
    """One finding per signature that reached its threshold: count, first and last time, one excerpt, the remedy.

    `release` is the running gateway's, None when it is not known. `beside` is the cause that the run has named already:
    what the log says then explains it or follows from it, and is no second error. `refuted` are ids of signatures that
    do not hold any more, `past` of those that nothing shows now: they count while their last line is young. Of a log
    that another gateway writes as well no line is shown to be this one's: a warning.
    """
    return tuple(
        Finding(
            f"logs/{signature.id}",
            _severity(signature, beside, view),
            _fact(signature, release, beside, view),
            _saw(signature, records, view.left_out.get(signature.id, 0)),
            signature.fix,
        )
        for signature, records in fired(view, signatures, now=now).items()
        if len(records) >= signature.threshold
        and signature.id not in refuted
        and not (signature.id in past and _is_over(records[-1], now))
    )


_YOUNG = timedelta(minutes=2)
"""So long after a line what it tells may come and go between two looks."""


def refuted_now(
    scheduler: object, accounts: Sequence[Account] | None, now_ms: int, *, config_accepted: bool = False
) -> frozenset[str]:
    """Signatures that the present refutes: what is so now counts more than what the gateway once logged.

    `scheduler` is its `cron.status`, `accounts` are its channels; None where it was not asked. `config_accepted` says
    that OpenClaw's own validation took the config as it stands now.
    """
    found = {"cron.disabled"} if at(scheduler, "enabled") is True else set()
    works = [each for each in accounts or () if each.enabled and each.configured]
    if works and not any(is_down(each, now_ms) for each in works):
        found.add("gw.breaker")
    if config_accepted:
        found |= {"cfg.invalid", "cfg.reload_skipped"}
    return frozenset(found)


def _is_over(record: Record, now: datetime | None) -> bool:
    return bool(now and record.time and record.time < now - _YOUNG)


def _too_old(record: Record, signature: Signature, now: datetime | None) -> bool:
    return bool(now and record.time and record.time < now - timedelta(seconds=signature.window_s))


def _severity(signature: Signature, beside: Finding | None, view: LogView) -> Severity:
    return "warning" if (beside or view.shared_with) and signature.severity == "error" else signature.severity


def _fact(signature: Signature, release: Release | None, beside: Finding | None, view: LogView) -> str:
    fact = signature.fact
    if release and any(release in each for each in signature.affected):
        to = f" to {shown(signature.fixed)} or newer" if signature.fixed else ""
        fact += f" (known in {shown(release)}, upgrade{to})"
    if beside and signature.severity == "error":
        fact += f"; beside {beside.check}"
    if view.shared_with:
        fact += f"; perhaps of another gateway, which writes the same log ({view.shared_with})"
    return fact


def _saw(signature: Signature, records: Sequence[Record], left_out: int) -> str:
    """Times are those of who looks, whatever zone the log is in."""
    times = [clock(each.time, "time") for each in records if each.time]
    when = " to ".join(dict.fromkeys((times[0], times[-1]))) if times else "at an unknown time"
    count = f"{len(records)}×" if not left_out else f"{len(records)}× and more"
    return f"{count} {when}: {_excerpt(signature, records[-1].text)}"


def _excerpt(signature: Signature, text: str) -> str:
    """The piece of the newest message that holds the match, on one line."""
    match = signature.pattern.search(text)
    start = match.start() - _BEFORE_MATCH_CHARS if match and match.end() > _EXCERPT_CHARS else 0
    words = " ".join(text[max(start, 0) :][: 10 * _EXCERPT_CHARS].split())
    return ("…" if start > 0 else "") + words[:_EXCERPT_CHARS]
