"""The parts of a snapshot that show the gateway: its life, its connection, its work; and how fresh each part is."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

Lane = Literal["", "http", "rpc", "event", "cli", "files", "processes", "service"]
"""How a part was looked at: `event` means that the gateway pushed it, `files` that it was read from its own files."""

Severity = Literal["", "info", "warning", "error"]

WRITE_S = 5.0
"""A snapshot without news is written this often: what it tells was looked at up to so long before it is read."""


class Freshness(Struct, frozen=True):
    """When and how a part was looked at last, and why it cannot be now. What a part shows is of `at`, never of later.

    A part is current while `problem` is empty, and stale while it is not.
    """

    at: float | None = None
    """The last look that gave something; None: there was none yet."""
    lane: Lane = ""
    """How it was looked at then."""
    problem: str = ""
    """Why it cannot be looked at now, one sentence; empty while all is well, or while nobody has tried."""
    problem_since: float | None = None
    """Since when it cannot."""
    every_s: float | None = None
    """How often it is looked at when nothing is pushed; older than three of these and a writing is stale as well."""

    def stale(self, now: float) -> bool:
        """True if what the part shows may no longer be so."""
        late = self.at is not None and self.every_s is not None and now - self.at > 3 * self.every_s + WRITE_S
        return self.at is None or bool(self.problem) or late


class Note(Struct, frozen=True):
    """One finding, in short."""

    check: str = ""
    severity: Severity = ""
    fact: str = ""
    fix: str = ""


class GatewayPart(Struct, frozen=True):
    """The gateway as port, probes and processes show it."""

    state: Literal[
        "unknown", "ready", "live", "starting", "draining", "not-ready", "saturated",
        "hung", "down", "crash-loop", "zombie", "port-taken", "config-invalid",
    ] = "unknown"  # fmt: skip
    """`ready` and `live` are well (`live`: a release that has no /readyz); `not-ready` and `saturated` answer."""
    since: float | None = None
    """When the watcher saw this state begin; of a state that it found on arrival, when it arrived."""
    fact: str = ""
    """The finding's fact when something is wrong, as the doctor says it."""
    saw: str = ""
    """The evidence."""
    fix: str = ""
    """First aid: one command, or `none automatic: …`."""
    check: str = ""
    """The finding's id (`gateway/hung`); empty when all is well."""
    version: str = ""
    """The running gateway's release, as it says itself."""
    port: int | None = None
    pid: int | None = None
    """The process that serves; None when none was seen."""
    started_at: float | None = None
    """When this gateway came up by its own word (uptimeMs); a restart in place counts, the process may be older."""
    restarts: int = 0
    """How often the watcher has seen it start anew."""
    answer_ms: float | None = None
    """How long the last HTTP answer took (milliseconds)."""
    seen: Freshness = field(default_factory=Freshness)


class Rpc(Struct, frozen=True):
    """The read-only connection on which the gateway pushes its events."""

    state: Literal["unknown", "on", "connecting", "silent", "refused", "lost", "off"] = "unknown"
    """`silent`: two ticks were missed; `refused` and `lost`: see `reason`; `off`: by the setting."""
    since: float | None = None
    reason: str = ""
    """Why there is no connection, one sentence."""
    retry_at: float | None = None
    """When the next attempt to connect is due."""
    last_event_at: float | None = None
    """The last push of any kind, ticks included."""
    tick_s: float | None = None
    """How often the gateway ticks."""
    events: int = 0
    """Pushed events taken since the watcher came up, ticks not counted."""
    connects: int = 0
    """Connections made since the watcher came up."""


class EventLoop(Struct, frozen=True):
    """How promptly the gateway's event loop turns, over its last second or so."""

    delay_p99_ms: float | None = None
    limit_ms: float | None = None
    """The setting `event_loop_delay_ms`: above it the gateway counts as saturated."""
    utilization: float | None = None
    """0 to 1."""
    cpu_cores: float | None = None
    """The gateway's use of a core (1.0 is a whole one)."""
    degraded: bool = False
    """The gateway's own verdict."""
    reasons: tuple[str, ...] = ()
    """The gateway's own words why."""
    seen: Freshness = field(default_factory=Freshness)


class MemoryPart(Struct, frozen=True):
    """The gateway's resident memory."""

    rss_bytes: int | None = None
    limit_bytes: int | None = None
    """The setting `gateway_rss_bytes`."""
    history: tuple[tuple[float, int], ...] = ()
    """(moment, bytes) about once a minute, oldest first, at most 120: good for a sparkline and a trend."""
    seen: Freshness = field(default_factory=Freshness)


class Scheduler(Struct, frozen=True):
    """The cron scheduler."""

    enabled: bool | None = None
    jobs: int | None = None
    """How many jobs the gateway has."""
    next_wake_at: float | None = None
    running: int = 0
    """Jobs that are running now."""
    seen: Freshness = field(default_factory=Freshness)


class Browser(Struct, frozen=True):
    """The agent's browser."""

    expected: str = ""
    """The setting `browser`: running, answering or off."""
    enabled: bool | None = None
    """True if the config wants one."""
    running: bool | None = None
    pid: int | None = None
    profile: str = ""
    words: str = ""
    """Words beside whether it runs, in one line."""
    note: Note | None = None
    """The judges' word on it when something is wrong."""
    seen: Freshness = field(default_factory=Freshness)


class ServicePart(Struct, frozen=True):
    """The service manager's word on the gateway's unit."""

    manager: str = ""
    """systemd, launchd or none."""
    unit: str = ""
    state: str = ""
    """running, restarting, failed, stopped, absent or unknown."""
    restarts: int | None = None
    words: str = ""
    seen: Freshness = field(default_factory=Freshness)


class Digest(Struct, frozen=True):
    """A digest like that of `openclaw status`, in a few lines: (label, words)."""

    lines: tuple[tuple[str, str], ...] = ()
    seen: Freshness = field(default_factory=Freshness)


class Labour(Struct, frozen=True):
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
    """The doctor's judges' findings on it."""
    seen: Freshness = field(default_factory=Freshness)
