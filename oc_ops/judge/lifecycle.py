"""Judges of a gateway that starts, drains or is suspended, or whose every start fails: how long, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.judge.finding import ATTENDED, FROZEN, WAKE, Finding, Severity, finds, none, wait
from oc_ops.observe import processes
from oc_ops.observe.healers import LONGEST_INSTALL_S
from oc_ops.observe.http import Probe
from oc_ops.observe.lastwords import LastWords
from oc_ops.observe.probe import GatewayProbe
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import clock, regex, span

STARTING, DRAINING = "gateway/starting", "gateway/draining"
_OFTEN = 2
"""So many restarts by its supervisor since a person started it: then a young process proves no good start."""


def starting(seen: GatewayProbe, budget_s: float) -> Finding | None:
    """On its way up, within the start budget: a slow start (60 to 240 s, #119958) is not a failed one."""
    startup, process = body_of(seen.startup), seen.serving
    stopped = process is not None and process.status == "stopped"
    if text_at(startup, "status") == "starting":
        saw = f"GET /startupz says starting, {text_at(startup, 'pendingReason') or 'no reason given'}"
    elif seen.live.kind == "answered" and _only_sidecars(seen.ready):
        saw = f"GET /readyz: {', '.join(failing_of(seen.ready))}"
    elif seen.live.kind == "answered" and _bare_no(seen.ready) and seen.up_s is not None and seen.ready:
        saw = seen.ready.summary
    elif process is not None and not stopped and seen.live.kind != "answered":
        saw = f"{process.summary}; {seen.live.summary}"
        saw += f"; {seen.service.summary}" if seen.service.restarts else ""
    elif process is None and seen.service.state == "restarting" and shut(seen):
        saw = seen.service.summary
    else:
        return None
    if (at_it := seen.installing) and (shut(seen) or at_it.own) and not stopped and at_it.age_s < LONGEST_INSTALL_S:
        return starting_now(f"{saw}; {at_it.summary}", " until that has ended", "warning")
    if seen.up_s is not None and seen.up_s >= budget_s:
        return None
    if shut(seen) and process is not None and not process.certain:
        return starting_now(saw, f" {processes.AMBIGUOUS_S:.0f} s and look again: it may also be a mere CLI call")
    return within(saw, seen, budget_s)


def within(saw: str, seen: GatewayProbe, budget_s: float) -> Finding:
    """The finding for a start whose age or progress was seen: a warning while its budget lasts, else an error."""
    if (seen.service.restarts or 0) >= _OFTEN:
        return starting_now(saw, " and look again: its service manager has restarted it again and again")
    if seen.up_s is not None and (seen.serving is None or seen.serving.certain):
        left_s = budget_s - seen.up_s
        return starting_now(saw, f", at most {left_s:.0f} s more", "warning" if left_s > 0 else "error")
    if seen.progress:
        return starting_now(f"{saw}; {seen.progress}", " and look again", "warning")
    return starting_now(f"{saw}; when this start began is not known", f" {budget_s:.0f} s at most and look again")


@finds(
    "gateway/starting",
    state="passing",
    checks=("gateway/started",),
    cure=wait("a slow start is not a failed one, and a restart would only begin it again"),
    means="on its way up: a warning within the start budget (240 s), an error where its start cannot be dated",
    helps="wait",
)
def starting_now(saw: str, left: str = "", severity: Severity = "error") -> Finding:
    """The finding for a gateway on its way up; `left` says how long it may take."""
    return Finding(
        "gateway/starting",
        severity,
        fact="the gateway is starting and not ready yet",
        saw=saw,
        fix=f"none automatic: wait{left}; a restart now would only begin again",
    )


def restarting(found: Finding, begun: datetime, now: datetime, budget_s: float) -> Finding:
    """The finding for a gateway whose port is closed because it starts anew inside its own process."""
    left_s = budget_s - (now - begun).total_seconds()
    return starting_now(
        f"{found.saw}; its log tells of a restart in place at {clock(begun)}",
        f", at most {left_s:.0f} s more",
        "warning",
    )


def attended(found: Finding, at_it: str) -> Finding:
    """The finding for a gateway that is down while another program repairs, updates or restarts it."""
    return replace(found, saw=f"{found.saw}; {at_it}", fix=f"{ATTENDED}, then look again: {at_it}")


def frozen(found: Finding, since: datetime) -> Finding:
    """The finding for a gateway that was suspended and answers nobody since: it is for its host to let it go on."""
    by_hand = f"; if that is over: {found.fix}" if found.fix.startswith(WAKE) else ""
    return replace(
        found,
        fact=f"{FROZEN}: it was prepared for a freeze or a snapshot of its host",
        saw=f"{found.saw}; its log tells of a suspension at {clock(since)} and of no end",
        fix=f"none automatic: end the freeze where it was begun (the host's snapshot or maintenance){by_hand}",
        proof="",
    )


def again_and_again(found: Finding, first: datetime, now: datetime, starts: int, budget_s: float) -> Finding:
    """The finding as an error where one start after the other was seen for longer than a single one may take."""
    lasts_s = (now - first).total_seconds()
    if starts < 2 or lasts_s <= budget_s:
        return found
    return replace(
        found,
        severity="error",
        fact=f"the gateway starts again and again: {starts} starts in {span(lasts_s)}, and none was seen to end well",
        saw=f"{found.saw}; seen first at {clock(first)}",
        fix="none automatic: its log says why it ends; one more start ends the same way",
    )


def comes_and_goes(cause: Finding, seen: GatewayProbe) -> bool:
    """True of one on its way up that its service manager has started again and again, or its container's runtime has
    restarted: it has last words already.
    """
    restarted = seen.container is not None and seen.container.restarts > 0
    return cause.check == STARTING and (restarted or (seen.service.restarts or 0) >= _OFTEN)


def on_its_way(findings: Iterable[Finding]) -> Finding | None:
    """The finding that says that the gateway starts or drains, whatever its severity: it explains what is mute."""
    return next((each for each in findings if each.check in (STARTING, DRAINING)), None)


def shut(seen: GatewayProbe) -> bool:
    """Nothing listens; a network error beside a listener (a failed TLS handshake) is no such proof."""
    return seen.live.kind == "refused" or (seen.live.kind == "unreachable" and seen.listener is None)


def _bare_no(ready: Probe | None) -> bool:
    """A no without reasons, as whoever is not known to the gateway gets it: while it is young it is a start."""
    return at(body_of(ready), "ready") is False and at(body_of(ready), "failing") is None


def body_of(probe: Probe | None) -> object:
    """The JSON of an answer; None where there is none."""
    return probe.json if probe is not None else None


def failing_of(ready: Probe | None) -> list[str]:
    """Parts that /readyz lists as failing."""
    failing = at(body_of(ready), "failing")
    return [str(each) for each in failing] if isinstance(failing, list) else []


def _only_sidecars(ready: Probe | None) -> bool:
    failing = failing_of(ready)
    return bool(failing) and all(each.startswith("startup") for each in failing)


class Drain(Struct, frozen=True):
    """A drain as it was looked at: since when it is seen, and who asked for it.

    `suspended` is the gateway's own word for a suspension, whose lease ends at `until`; `restart_at` is the restart
    that gateway-restart.log tells of.
    """

    since: datetime
    now: datetime
    suspended: str = ""
    until: datetime | None = None
    restart_at: datetime | None = None
    stops: str = ""
    """The container runtime that is stopping it."""

    @property
    def lasts_s(self) -> float:
        """How long it is seen already."""
        return (self.now - self.since).total_seconds()

    @property
    def by(self) -> str:
        """The source of the request, in words."""
        if self.suspended:
            lease = f", its lease ends at {clock(self.until)} unless it is renewed" if self.until else ""
            return f"a suspension holds it ({self.suspended}{lease})"
        if self.stops:
            return f"{self.stops} is stopping its container"
        if self.restart_at:
            return f"gateway-restart.log shows a restart at {clock(self.restart_at)}"
        return "gateway-restart.log shows no restart"


_RESUME = "openclaw gateway resume ID ends it; openclaw gateway suspend printed the ID"


@finds(
    "gateway/drain-stuck",
    state="kept-out",
    checks=("gateway/started",),
    cure=none(
        "it drains beyond its budget: its suspension or its work must end first, or a person decides",
        proof="its own /readyz says that it drains, beyond its budget",
    ),
    means="it drains beyond its budget, or is kept suspended: since when, by whom",
    helps="`openclaw gateway resume ID` for a suspension; else see what it waits for",
)
def drain_stuck(draining: Finding, drain: Drain, budget_s: float) -> Finding:
    """A drain within its budget, a warning with who asked for it; beyond it an error that is not waited for."""
    first = f"seen first at {clock(drain.since)}"
    if drain.lasts_s <= budget_s:
        until = f"until {clock(drain.since + timedelta(seconds=budget_s))} at most (OC_OPS_DRAIN_BUDGET_S)"
        fix = f"none automatic: wait {until}, then look again"
        if drain.suspended:
            fix = f"none automatic: wait until its lease ends, or {_RESUME}"
        fact = "the gateway is suspended: it takes no new work" if drain.suspended else draining.fact
        return replace(draining, fact=fact, saw=f"{draining.saw}; {first}; {drain.by}", fix=fix)
    if drain.stops:
        fact = "the gateway's container does not stop"
        fix = f"none automatic: its runtime ends it when the time of that stop is over; {drain.stops} ps -a shows it"
    elif drain.suspended:
        fact, fix = "the gateway is kept suspended", f"none automatic: {_RESUME}"
    else:
        fact = "the gateway drains and comes to no end"
        fix = (
            "none automatic: its log says what it waits for (still draining active work); if that work may be lost, "
            "openclaw gateway restart aborts it"
        )
    return Finding(
        "gateway/drain-stuck",
        "error",
        fact=f"{fact}: for {span(drain.lasts_s)} now, budget {span(budget_s)}",
        saw=f"{draining.saw}; {first}; {drain.by}",
        fix=fix,
    )


class StartRefusal(Struct, frozen=True):
    """One reason for which every start ends the same way: the words of the releases, what they mean, what helps."""

    words: re.Pattern[str]
    fact: str
    fix: str


INCOMPLETE = StartRefusal(
    regex(
        r"Cannot find (?:module|package)|ERR_MODULE_NOT_FOUND"
        r"|openclaw: missing dist|package lifecycle is incomplete"
    ),
    "a part of the OpenClaw installation is missing",
    "install OpenClaw again (npm install -g openclaw)",
)
REFUSALS = (
    StartRefusal(
        regex(r"Refusing to bind gateway to \S+ without auth"),
        "the gateway refuses to listen beyond loopback without a credential",
        "give it a token or a password (gateway.auth), or bind it to loopback",
    ),
    StartRefusal(
        regex(r"gateway auth (?:token|password) is blank"),
        "the gateway's own credential is empty or a placeholder, and it does not start with that",
        "give it a real one (openclaw doctor --fix --generate-gateway-token; or gateway.auth, where it comes from)",
    ),
    StartRefusal(
        regex(r"gateway tls: (?:cert/key missing|failed to |unable to )"),
        "the gateway cannot use its TLS certificate, and it does not start without",
        "put certificate and key where gateway.tls.certPath and keyPath say, readable for the gateway's user; or "
        "openclaw config set gateway.tls.enabled false",
    ),
    StartRefusal(
        regex(
            r"tailscale (?:serve|funnel|serve/funnel) requires|non-loopback Control UI requires|requires a valid IPv4"
            r"|trusted-proxy requires|gateway\.bind=custom requires|gateway\.auth\.mode is unset"
        ),
        "the gateway's own settings contradict each other where it starts, though its validation accepts them",
        "mend what its words name (openclaw config get gateway shows what is set)",
    ),
    StartRefusal(
        regex(r"listen EACCES: permission denied"),
        "the gateway's user may not listen on its port",
        "give it a port above 1023 (openclaw config set gateway.port PORT), or its unit the right "
        "(AmbientCapabilities=CAP_NET_BIND_SERVICE)",
    ),
    StartRefusal(
        regex(r"required secrets are unavailable|Startup failed: .*secret"),
        "the gateway's own secrets cannot be resolved where it starts",
        "see which reference it cannot read (openclaw secrets audit), and put it where its service reads it",
    ),
    StartRefusal(
        regex(
            r"Gateway failed to start: .*\b(?:EACCES|EPERM): [a-z ]+, "
            r"(?:open|l?stat|access|mkdir|chmod|unlink|rename|scandir|copyfile|utime) "
        ),
        "the gateway's user may not use files of its own",
        "give what its words name to the user whom it runs as (sudo chown -R USER FOLDER; in a container that is the "
        "user inside: 1000 in OpenClaw's own image)",
    ),
    StartRefusal(
        regex(r"database is not open|unable to open database file|state database is unreadable"),
        "the gateway cannot open its state database",
        "see whether its file system has room and is not read-only (df -h, mount), its files are the gateway's own, "
        "and it may open enough of them (ulimit -n, LimitNOFILE); repair and migrate nothing before",
    ),
    StartRefusal(
        regex(r"Unable to create (?:fallback )?OpenClaw temp dir"),
        "the gateway has no folder for temporary files that it may write",
        "give it one: room and the right to write in /tmp or $TMPDIR (--tmpfs /tmp for a container that is read-only)",
    ),
    StartRefusal(
        regex(r"gateway\.maintenance_required|requires state migration"),
        "the gateway wants its state migrated before it starts",
        "back up the state directory, see that no openclaw process runs, then openclaw doctor --fix",
    ),
    StartRefusal(
        regex(
            r"[Uu]nsupported Node|requires Node(?:\.js)? |Node(?:\.js)? v?\d\S* is (?:unsupported|too old)"
            r"|Node \S+: node:sqlite is unavail|Bun runtime is unsupported"
        ),
        "the Node.js that starts the gateway is too old for it",
        "install the Node.js that the message names, and reinstall the service with it",
    ),
    INCOMPLETE,
)
"""Read from 2026.9.6 when it was made to end so, or from its code. What may pass by itself (a port
in use) is none of these: it is quoted, and a start is not forbidden."""

HEAP = StartRefusal(
    regex(r"JavaScript heap out of memory"),
    "its JavaScript heap was full",
    "give it more heap (NODE_OPTIONS=--max-old-space-size=4096 where it starts)",
)
"""No refusal: a heap that filled up over days is empty after a start, one that is too small is full again."""


@finds(
    "gateway/start-refused",
    state="kept-out",
    checks=("gateway/live",),
    cure=none(
        "every start ends the same way until what it names is mended",
        proof="its own last words name it, and nothing they rest on was written since",
    ),
    means="the gateway is down, and its own last words say why every start ends the same way",
    helps="what the words name; no start before that",
)
def refused(words: LastWords | None) -> Finding | None:
    """A refusal that its last start gave and that nothing since has changed."""
    if words is None or words.changed or words.stopped:
        return None
    found = refused_by(words.text, quoted(words))
    if found or not words.homeless:
        return found
    return Finding(
        "gateway/start-refused",
        "error",
        f"the gateway is to listen on {words.homeless}, an address that this machine does not have",
        quoted(words),
        "none automatic: bring up the interface that has it (ip address shows what there is), or bind the gateway "
        "elsewhere (openclaw config set gateway.bind loopback)",
    )


def refused_by(text: str, saw: str, refusals: Sequence[StartRefusal] = REFUSALS) -> Finding | None:
    """The refusal that a gateway's own words name; of our command's words only INCOMPLETE speaks of the gateway too."""
    known = next((each for each in refusals if each.words.search(text)), None)
    if known is None:
        return None
    return Finding("gateway/start-refused", "error", known.fact, saw, f"none automatic: {known.fix}")


def with_words(cause: Finding, words: LastWords | None) -> Finding:
    """The finding of a gateway that is down with what it last said, as it said it: nothing is guessed from that."""
    if words is None or not (words.said or words.stopped):
        return cause
    told = f"it was told to stop at {clock(words.at)}" if words.stopped else quoted(words)
    fact, fix = cause.fact, cause.fix
    if not words.stopped and HEAP.words.search(words.text):
        fact, again = f"{fact}; {HEAP.fact}", cause.check == "gateway/down"
        told += f"; {HEAP.fix}, if it ends so again" if again else ""
        fix = fix if again else f"none automatic: another start ends the same way: {HEAP.fix}"
    return replace(cause, fact=fact, saw=f"{cause.saw}; {told}", fix=fix)


def without_starter(cause: Finding, fault: Finding) -> Finding:
    """The finding of a gateway that is down where the one command that could start it has a fault of its own."""
    return replace(
        cause,
        fact=f"{cause.fact}; {fault.fact}",
        saw=f"{cause.saw}; {fault.saw}",
        fix=f"{fault.fix}, then start the gateway as it was started before (openclaw gateway run)",
    )


def quoted(words: LastWords) -> str:
    """The words with their time and place."""
    since = ", and config or command were changed since" if words.changed else ""
    return f"its last words ({clock(words.at)}, {words.source}{since}): {' | '.join(words.said)}"
