"""A plan: the promise to break one mutex on exactly the evidence that was shown, for a while and once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast, get_args

from oc_ops.act.breaker.book import Book, Entry, stamp, who
from oc_ops.act.breaker.mutex import Kind, Mutex, Refused
from oc_ops.record.untrusted import one_line


@dataclass(frozen=True, slots=True)
class Plan:
    """What may be approved: `digest` is the evidence it is bound to, `expires_at` when it is void."""

    id: str
    kind: Kind
    target: str
    name: str
    digest: str
    made_at: datetime
    expires_at: datetime


def make(mutex: Mutex, book: Book, life_s: float) -> Plan:
    """Write a plan into the book and return it; raises Refused for what must not be broken."""
    if mutex.refused:
        raise Refused(one_line(f"{mutex.id} is left alone: {mutex.refused}", 1000))
    now = datetime.now(UTC)
    plan = Plan(
        f"{mutex.digest[:8]}-{secrets.token_hex(3)}", mutex.kind, mutex.id, mutex.name, mutex.digest, now,
        now + timedelta(seconds=life_s),
    )  # fmt: skip
    book.write(
        "planned", plan.id, kind=plan.kind, target=plan.target, name=plan.name, fact=mutex.fact, act=mutex.act,
        evidence=mutex.evidence, digest=plan.digest, expires_at=stamp(plan.expires_at), by=who(),
    )  # fmt: skip
    return plan


def recall(plan_id: str, book: Book) -> Plan:
    """The plan of that id; raises Refused when there is none."""
    for entry in book.entries(plan_id):
        if entry.what == "planned" and (plan := _read(entry)):
            return plan
    raise Refused(f"no plan {one_line(plan_id, 60)} for this gateway: `oc-ops breaker show` makes one")


def check(plan: Plan, mutex: Mutex | None, book: Book) -> Mutex:
    """The mutex as it is now, if the plan still means exactly it; raises Refused for a plan that is void."""
    now = datetime.now(UTC)
    again = f"look again: oc-ops breaker show {plan.target}"
    if not plan.made_at - timedelta(seconds=1) <= now < plan.expires_at:
        raise Refused(one_line(f"plan {plan.id} expired at {plan.expires_at:%H:%M:%S} UTC: {again}", 1000))
    if used := next((each for each in book.entries(plan.id) if each.what == "begun"), None):
        raise Refused(f"plan {plan.id} was carried out at {used.at:%Y-%m-%d %H:%M:%S} UTC already: a plan counts once")
    if mutex is None:
        raise Refused(one_line(f"nothing to break any more: {plan.target} is gone", 1000))
    if mutex.refused:
        raise Refused(one_line(f"{plan.target} is left alone: {mutex.refused}", 1000))
    if mutex.digest != plan.digest:
        raise Refused(one_line(f"plan {plan.id} is void: its evidence changed since; {again}", 1000))
    return mutex


def _read(entry: Entry) -> Plan | None:
    try:
        expires_at = datetime.fromisoformat(entry.text("expires_at")).astimezone(UTC)
    except ValueError:
        return None
    kind, digest = entry.text("kind"), entry.text("digest")
    if kind not in get_args(Kind) or not digest:
        return None
    return Plan(entry.plan, cast("Kind", kind), entry.text("target"), entry.text("name"), digest, entry.at, expires_at)
