"""The watched jobs as the cockpit shows them, and their digest."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from oc_ops.cockpit import state
from oc_ops.cockpit.clock import WatchClock
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.judge.job_words import schedule_words
from oc_ops.judge.watched_jobs import Terms, examine, find
from oc_ops.observe.jobs import KEPT_RUNS, Job, JobRun, Jobs, job_of, jobs_of, more_of, run_of, runs_of
from oc_ops.process.jsontext import at, number_at, text_at
from oc_ops.text import remedy, span

if TYPE_CHECKING:
    from oc_ops.cockpit.rpc_link import RpcLink
    from oc_ops.judge.finding import Finding
    from oc_ops.judge.watched_jobs import Verdict
    from oc_ops.observe.owners import Ownership
    from oc_ops.observe.watchlist import Watched

_MOST_CHANNELS = 6

Clean = Callable[[str], str]


def lines(payload: object, clean: Clean, now: float) -> tuple[tuple[str, str], ...]:
    """(label, words), in the order of what matters; a release that does not say a thing has no line for it."""
    return tuple((label, clean(words)) for label, words in _said(payload, now) if words)


def _said(payload: object, now: float) -> Iterator[tuple[str, str]]:
    yield "release", text_at(payload, "runtimeVersion")
    yield "channels", _channels(at(payload, "channelSummary"))
    yield "sessions", _sessions(payload, now)
    yield "tasks", _tasks(payload)
    yield "audit", _audit(payload)
    yield "models", _degraded(at(payload, "modelRuntime"))
    for label, key in (("plugins", "degradedPlugins"), ("secrets", "degradedSecretOwners")):
        broken = at(payload, key)
        if isinstance(broken, list) and broken:
            yield label, f"{len(broken)} degraded"
    yield "heartbeat", ", ".join(_heartbeats(at(payload, "heartbeat", "agents")))
    queued = at(payload, "queuedSystemEvents")
    if isinstance(queued, list) and queued:
        yield "queued", f"{len(queued)} system events wait"


def _channels(summary: object) -> str:
    if not isinstance(summary, list):
        return ""
    told = [" ".join(each.split()) for each in summary if isinstance(each, str) and each.strip()]
    more = f"; {len(told) - _MOST_CHANNELS} more lines" if len(told) > _MOST_CHANNELS else ""
    return "; ".join(told[:_MOST_CHANNELS]) + more if told else "none configured"


def _sessions(payload: object, now: float) -> str:
    count = number_at(payload, "sessions", "count")
    if count is None:
        return ""
    recent = at(payload, "sessions", "recent")
    last = number_at(recent[0], "updatedAt") if isinstance(recent, list) and recent else None
    return f"{count:.0f}" + (f", the last active {span(max(0.0, now - last / 1000))} ago" if last else "")


def _tasks(payload: object) -> str:
    total = number_at(payload, "tasks", "total")
    if total is None:
        return ""
    active, failures = number_at(payload, "tasks", "active") or 0, number_at(payload, "tasks", "failures") or 0
    return f"{active:.0f} active, {failures:.0f} failed of {total:.0f}"


def _audit(payload: object) -> str:
    errors, warnings = number_at(payload, "taskAudit", "errors"), number_at(payload, "taskAudit", "warnings")
    codes = at(payload, "taskAudit", "byCode")
    if not (errors or warnings) or not isinstance(codes, Mapping):
        return ""
    named = [f"{str(code).replace('_', ' ')} {count}" for code, count in codes.items() if count]
    return f"{errors or 0:.0f} errors, {warnings or 0:.0f} warnings: {', '.join(named)}"


def _degraded(runtime: object) -> str:
    known = at(runtime, "degraded")
    return "" if not isinstance(known, bool) else "degraded" if known else "ok"


def _heartbeats(agents: object) -> Iterator[str]:
    for each in agents[:4] if isinstance(agents, list) else []:
        if name := text_at(each, "agentId"):
            off = at(each, "enabled") is False
            yield f"{name} off" if off else f"{name} every {text_at(each, 'every') or '?'}"


RUNS_SHOWN, RECENT_SHOWN = 10, 30
_MOST_JOBS = 2000
_PAGE = 200
_USUAL_RUNS = 3
_SLOWER, _FASTER = 1.5, 2 / 3


class Ledger:
    """The jobs of one gateway. Whatever cannot be understood raises CouldNotLook and changes nothing."""

    def __init__(self, clock: WatchClock, clean: Callable[[str], str]) -> None:
        self._clock, self._clean = clock, clean
        self.known: Jobs | None = None
        self.recent: deque[state.RunPart] = deque(maxlen=RECENT_SHOWN)
        """Newest first."""
        self.watched: tuple[Watched, ...] = ()

    def read_rpc(self, line: RpcLink) -> None:
        """Read all pages of the list, and the history of each watched job."""
        told: list[Job] = []
        offset: int | None = 0
        while offset is not None and len(told) < _MOST_JOBS:
            payload = _asked(line, "cron.list", {"includeDisabled": True, "limit": _PAGE, "offset": offset})
            told += jobs_of(payload)
            following = more_of(payload)
            offset = following if following is not None and following > offset else None
        fresh = Jobs(tuple(told), "rpc", self._moment(), complete=offset is None)
        runs: dict[str, tuple[JobRun, ...]] = {}
        for job_id in self._watched_ids(fresh):
            if line.has("cron.runs"):
                with contextlib.suppress(CouldNotLook):
                    runs.update(runs_of(_asked(line, "cron.runs", {"id": job_id, "limit": KEPT_RUNS})))
        self.take(replace(fresh, runs=runs))

    def take(self, jobs: Jobs) -> None:
        """Take over a whole reading; what it shows to have begun or ended since the last one is remembered."""
        before = {each.id: each for each in self.known.jobs} if self.known else {}
        for job in jobs.jobs:
            if (was := before.get(job.id)) is not None:
                self._compare(was, job)
        self.known = jobs

    def event(self, payload: object) -> bool:
        """Take over a `cron` event; False when it says too little, and the list has to be read again."""
        if not isinstance(payload, Mapping) or self.known is None:
            return False
        action, job_id = payload.get("action"), payload.get("jobId")
        if not isinstance(job_id, str):
            return False
        known = {each.id: each for each in self.known.jobs}
        if action == "removed":
            self._put({name: each for name, each in known.items() if name != job_id})
            return True
        run = run_of(payload) if action == "finished" else None
        if isinstance(payload.get("job"), Mapping):
            job: Job | None = job_of(payload["job"])
        else:
            job = _moved_on(known.get(job_id), payload, run[1] if run else None)
        if job is None or job.id != job_id:
            return False
        if run is not None:
            runs = tuple(each for each in self.known.runs.get(job_id, ()) if each.started_ms != run[1].started_ms)
            self.known = replace(self.known, runs={**self.known.runs, job_id: (run[1], *runs)[:KEPT_RUNS]})
            self._note(_ended(job, run[1], self._clean, self._clock.now()))
        elif action == "started":
            began_ms = job.running_ms if job.running_ms is not None else _milliseconds(payload, "runAtMs")
            self._note(_begun(job, began_ms, self._clean, self._clock.now()))
        self._put({**known, job_id: job})
        return True

    def part(
        self,
        seen: state.Freshness,
        owners: Mapping[str, Ownership],
        terms: Terms,
        transcripts: tuple[state.TranscriptPart, ...],
        watchlist_problem: str,
    ) -> state.JobsPart:
        """The jobs as the panes show them, judged as of now."""
        recent = tuple(self.recent)
        if self.known is None:
            jobs = tuple(state.JobPart(name=self._clean(each.job), unseen="not seen yet") for each in self.watched)
            return state.JobsPart(jobs, watchlist_problem, recent, transcripts, seen)
        now = replace(self.known, seen_at=self._moment())
        verdicts = examine(self.watched, now, owners, terms)
        return state.JobsPart(
            tuple(self._shown(each, now) for each in verdicts), watchlist_problem, recent, transcripts, seen
        )

    @property
    def running(self) -> int:
        """How many jobs are marked as running."""
        return sum(each.running_ms is not None for each in self.known.jobs) if self.known else 0

    def _watched_ids(self, jobs: Jobs) -> list[str]:
        ids = []
        for each in self.watched:
            with contextlib.suppress(OcOpsError):
                if job := find(each, jobs):
                    ids.append(job.id)
        return ids

    def _compare(self, was: Job, job: Job) -> None:
        """Events between two readings, for releases and lanes that push nothing."""
        now = self._clock.now()
        if job.running_ms is not None and job.running_ms != was.running_ms:
            self._note(_begun(job, job.running_ms, self._clean, now))
        elif job.running_ms is None and job.last_run_ms is not None and job.last_run_ms != was.last_run_ms:
            run = JobRun(job.last_status, job.last_run_ms, job.last_duration_ms, job.last_error)
            self._note(_ended(job, run, self._clean, now))

    def _note(self, run: state.RunPart) -> None:
        """Put a run in front; it takes the place of what was known of the same run."""
        same = next((each for each in self.recent if _same(each, run)), None)
        if same is not None:
            if same.status == run.status:
                return
            self.recent.remove(same)
        self.recent.appendleft(run)

    def _put(self, jobs: Mapping[str, Job]) -> None:
        assert self.known is not None
        self.known = replace(self.known, jobs=tuple(jobs.values()), seen_at=self._moment())

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)

    def _shown(self, verdict: Verdict, jobs: Jobs) -> state.JobPart:
        job, watched = verdict.job, verdict.watched
        notes = tuple(note(each, self._clean) for each in verdict.findings)
        unseen = self._clean(verdict.unseen)
        if job is None:
            return state.JobPart(name=self._clean(verdict.subject), notes=notes, unseen=unseen)
        history = jobs.runs.get(job.id, ()) or _own_history(job)
        typical_s, trend = _trend(history)
        due_s = _seconds(job.next_run_ms)
        late_s = jobs.seen_at.timestamp() - due_s if due_s is not None and job.running_ms is None else None
        limit_s = watched.timeout_s if watched and watched.timeout_s is not None else job.timeout_s
        return state.JobPart(
            id=self._clean(job.id),
            name=self._clean(job.name or job.id),
            watched=watched is not None,
            enabled=job.enabled,
            schedule=self._clean(schedule_words(job.schedule)),
            running_since=_seconds(job.running_ms),
            timeout_s=limit_s,
            next_due_at=due_s if job.enabled else None,
            overdue_s=late_s if late_s is not None and late_s > 0 and job.enabled else None,
            runs=tuple(_ended(job, each, self._clean, None) for each in history[:RUNS_SHOWN]),
            typical_s=typical_s,
            trend=trend,
            failures=job.consecutive_errors,
            notes=notes,
            unseen=unseen,
        )


def _moved_on(job: Job | None, payload: Mapping[str, object], run: JobRun | None) -> Job | None:
    """A known job after an event that does not carry it (2026.2.26); None for an unknown one, or for a change."""
    if job is None:
        return None
    if run is not None:
        row = job.consecutive_errors + 1 if run.status == "error" else 0
        return replace(
            job,
            running_ms=None,
            last_run_ms=run.started_ms,
            last_status=run.status,
            last_error=run.error,
            last_duration_ms=run.duration_ms,
            next_run_ms=_milliseconds(payload, "nextRunAtMs"),
            consecutive_errors=job.consecutive_errors if run.status == "skipped" else row,
        )
    began_ms = _milliseconds(payload, "runAtMs")
    return replace(job, running_ms=began_ms) if payload.get("action") == "started" and began_ms else None


def _milliseconds(payload: Mapping[str, object], key: str) -> int | None:
    value = number_at(payload, key)
    return None if value is None else round(value)


def note(finding: Finding, clean: Callable[[str], str]) -> state.Note:
    """A finding in short."""
    return state.Note(finding.check, finding.severity, clean(finding.fact), remedy(clean(finding.fix)))


def _asked(line: RpcLink, method: str, params: Mapping[str, object]) -> object:
    reply = line.request(method, params)
    if reply is None or reply.outcome != "ok":
        why = f"{reply.outcome}: {reply.message or reply.code or 'no reason given'}" if reply else "no connection"
        raise CouldNotLook(f"{method}: {why}")
    return reply.payload


def _own_history(job: Job) -> tuple[JobRun, ...]:
    """The last run as the job itself tells it, where no history was read."""
    if job.last_run_ms is None:
        return ()
    return (JobRun(job.last_status, job.last_run_ms, job.last_duration_ms, job.last_error),)


def _begun(job: Job, began_ms: int | None, clean: Callable[[str], str], noticed_at: float) -> state.RunPart:
    return state.RunPart(clean(job.id), clean(job.name or job.id), "running", _seconds(began_ms), noticed_at=noticed_at)


def _ended(job: Job, run: JobRun, clean: Callable[[str], str], noticed_at: float | None) -> state.RunPart:
    began, took_s = _seconds(run.started_ms), run.duration_ms / 1000 if run.duration_ms is not None else None
    ended = began + took_s if began is not None and took_s is not None else None
    error = clean(run.error) if run.status != "ok" else ""
    name = clean(job.name or job.id)
    return state.RunPart(clean(job.id), name, clean(run.status), began, ended, took_s, error, noticed_at)


def _same(one: state.RunPart, other: state.RunPart) -> bool:
    return one.job_id == other.job_id and one.started_at == other.started_at


def _seconds(epoch_ms: int | None) -> float | None:
    return None if epoch_ms is None else epoch_ms / 1000


def _trend(history: Sequence[JobRun]) -> tuple[float | None, Literal["", "steady", "slower", "faster"]]:
    """The middle of the earlier good runs, and how the latest good one compares; of fewer than three none is usual."""
    good = [each.duration_ms / 1000 for each in history if each.status == "ok" and each.duration_ms is not None]
    if len(good) < _USUAL_RUNS:
        return None, ""
    typical_s = median(good[1:])
    if good[0] > _SLOWER * typical_s and good[0] - typical_s > 1:
        return typical_s, "slower"
    return typical_s, "faster" if good[0] < _FASTER * typical_s and typical_s - good[0] > 1 else "steady"
