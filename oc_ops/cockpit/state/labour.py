"""What the gateway does for people: its channels, its messages, its models, its due times."""

from __future__ import annotations

from dataclasses import dataclass, field

from oc_ops.cockpit.state.freshness import Freshness, Note


@dataclass(frozen=True, slots=True)
class Labour:
    """The gateway's work beside its life. A figure that the release does not tell, or nobody has looked at, is None."""

    channels: int | None = None
    """Channel accounts that are enabled and configured."""
    up: int = 0
    """Those of them that are neither down nor silent."""
    heard_at: float | None = None
    """The last sign of life of any of them."""
    given_up: int | None = None
    """Messages given up, in all queues."""
    waiting: int = 0
    """Messages that wait, in all queues."""
    waiting_since: float | None = None
    model: str = ""
    """The default agent's first model."""
    parked_until: float | None = None
    models_at: float | None = None
    """When the models were asked after: more rarely than the rest, since that is dear."""
    jobs: int | None = None
    """Enabled jobs, watched or not."""
    overdue: int = 0
    """Those of them whose due time has passed by more than the setting `job_grace_s`."""
    overdue_since: float | None = None
    notes: tuple[Note, ...] = ()
    """What the doctor's judges say of it."""
    seen: Freshness = field(default_factory=Freshness)
