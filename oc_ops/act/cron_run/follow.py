"""The run itself: triggered once through the CLI, looked at from beside, waited for until it ends or time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from oc_ops.act.commands import Commands
from oc_ops.act.cron_run.answer import JobRecord, Ours, Said, lacks, ours, understood
from oc_ops.act.cron_run.lanes import Beside, JobView, Sighting
from oc_ops.act.cron_run.request import Outcome, RunResult
from oc_ops.errors import CouldNotLook
from oc_ops.text import span

if TYPE_CHECKING:
    from oc_ops.act.cron_run.request import JobRequest, Say
    from oc_ops.act.cron_run.transcript import Transcript
    from oc_ops.gateway import Gateway
    from oc_ops.observe.jobs import Job
    from oc_ops.observe.openclaw import Answer
    from oc_ops.observe.probe import GatewayProbe

_TRIGGER_S = 30.0
"""Time for the trigger to be answered where the command goes on waiting by itself; OpenClaw's own default."""
_EARLIER_S = 3.0
"""How much before us `cron run --wait` gives up: it took that long to start, and its last words are worth having."""
_LAG_S = 5.0
"""How long the command may take to say what was seen beside it already; and a run to show that no answer told of."""


class _Enough(Exception):
    """The command waits for something that was seen already."""


class Following:
    """One trigger and what came of it."""

    def __init__(
        self, asked: JobRequest, gateway: Gateway, job: Job, look: GatewayProbe, log: Transcript, say: Say
    ) -> None:
        self._asked, self._gateway, self._job, self._log, self._say = asked, gateway, job, log, say
        self._pid = look.serving.pid if look.serving else None
        self._began: float | None = None
        self._ours = Ours(_wall_ms())
        self._last: Sighting | None = None
        self._sight = JobView("")
        """The last one in which the job was seen."""
        self._found_at: float | None = None
        self._state = ""
        self._reason = ""

    def run(self) -> RunResult:
        """Trigger, follow, and say what became of it; raises CouldNotLook when it could not even be triggered."""
        with Beside(self._gateway, self._job.id, self._pid) as beside:
            said = self._trigger(beside)
            self._ours = replace(self._ours, run_id=said.run_id, until_ms=_wall_ms() if said.synchronous else None)
            self._reason = said.reason
            if said.taken is False and (refused := self._refused(said, beside)):
                return refused
            if said.record is not None and said.record.run_id in ("", said.run_id):
                return self._ended(said.record)
            if not self._asked.wait and (said.taken or self._found_at is not None):
                over = "this release runs a job before it answers: the run is over" if said.synchronous else ""
                return self._result("triggered", over or self._seen_words())
            return self._follow(beside, self._left_s()) or self._out_of_time()

    def interrupted(self, stop: str) -> RunResult:
        """The operator does not wait any longer; what was triggered is not taken back."""
        if self._began is None:
            return self._result("interrupted", f"{stop} before anything was started")
        return self._result("interrupted", f"{stop}; the job goes on ({self._seen_words()})")

    # -- the trigger ----------------------------------------------------------------------------------------------

    def _trigger(self, beside: Beside) -> Said:
        waits = self._asked.wait
        try:
            answer = self._call(beside, waits=waits)
            if waits and lacks(answer, "--wait"):
                self._note("this release has no `cron run --wait`: the run is looked for in the job's history")
                answer = self._call(beside, waits=False)
        except _Enough:
            return Said(True)
        except CouldNotLook as error:
            if self._began is None:
                raise
            return Said(None, reason=str(error))
        finally:
            self._log.output_ended()
        self._note(f"`openclaw cron run` {_ending(answer)}")
        if self._asked.due and lacks(answer, "--due"):
            return Said(False, reason="this release has no `cron run --due`")
        return understood(answer)

    def _call(self, beside: Beside, *, waits: bool) -> Answer:
        limit_s = self._left_s()
        told_s = min(limit_s, _TRIGGER_S) if waits else max(limit_s - 1.0, 1.0)
        words = ["--timeout", f"{told_s * 1000:.0f}", *(["--due"] if self._asked.due else [])]
        if waits:
            words += ["--wait", "--wait-timeout", f"{max(1, int(limit_s - _EARLIER_S))}s", "--poll-interval", "1s"]
        # An id that looks like an option must not become one.
        words += [*(["--"] if self._job.id.startswith("-") else []), self._job.id]
        self._log.head(f"openclaw cron run {' '.join(words)}, on a terminal of its own")
        self._tell("asking", "`openclaw cron run` is started and asks the gateway")

        def heard(chunk: bytes) -> None:
            self._began = self._began or time.monotonic()
            self._log.output(chunk)
            if not chunk:
                self._look(beside.seen)
                if self._found_at is not None and time.monotonic() - self._found_at > _LAG_S:
                    raise _Enough

        return self._gateway.cli(Commands).cron_run(words, limit_s, on_output=heard, begun=self._is_under_way)

    def _refused(self, said: Said, beside: Beside) -> RunResult | None:
        """Nothing was started, unless a run of ours shows all the same: an error's words alone do not prove it."""
        if said.unknown_job:
            return self._result("gone", said.reason)
        if said.reason == "already-running":
            return self._result("already-running", "")
        if said.reason == "not-due":
            return self._result("not-started", "it is not due, and --due was asked for")
        shows = not said.sure and self._follow(beside, min(_LAG_S, self._left_s()), until_begun=True)
        if shows or self._is_under_way():
            return None
        return self._result("not-started", said.reason)

    # -- the wait -------------------------------------------------------------------------------------------------

    def _follow(self, beside: Beside, seconds: float, *, until_begun: bool = False) -> RunResult | None:
        """Look until our run has ended, or only until it shows; None when neither came in time."""
        until = time.monotonic() + seconds
        while True:
            self._look(beside.seen)
            record = self._record()
            if record is not None:
                return self._ended(record)
            left_s = until - time.monotonic()
            if left_s <= 0 or (until_begun and self._is_under_way()):
                return None
            beside.wait(self._last, min(left_s, 1.0))

    def _look(self, seen: Sighting | None) -> None:
        """Take a new look in, and tell what has changed."""
        if seen is None or (self._last is not None and seen.number == self._last.number):
            return
        self._last = seen
        self._sight = seen.sight if seen.sight.source else self._sight
        job = self._sight.job
        if seen.trouble:
            self._tell("trouble", seen.trouble)
        elif seen.probe.kind != "answered":
            return  # once is a pause; what was seen before stands
        elif self._record() is not None:
            self._found()
            self._tell("ended", "the run has ended")
        elif self._is_under_way():
            if not self._asked.wait:
                self._found()
            self._tell("running", "the run is under way")
        elif job is not None and job.queued_ms is not None and job.queued_ms >= self._ours.since_ms:
            self._tell("queued", "the run waits for its turn in the gateway")
        elif seen.sight.closed and not seen.sight.source:
            self._tell("blind", f"the job cannot be looked at: {'; '.join(seen.sight.closed)}")
        elif self._state != "asking":
            self._tell("nothing", f"no sign of the run yet, by {seen.sight.source}")

    def _found(self) -> None:
        self._found_at = self._found_at or time.monotonic()

    def _record(self) -> JobRecord | None:
        return ours(self._sight.records, self._ours)

    def _is_under_way(self) -> bool:
        """True if the job carries a marker that was set after we asked, or has ended already."""
        job = self._sight.job
        marked = job is not None and job.running_ms is not None and job.running_ms >= self._ours.since_ms
        return marked or self._record() is not None

    # -- the end --------------------------------------------------------------------------------------------------

    def _ended(self, record: JobRecord) -> RunResult:
        why = record.error or record.summary or ("" if record.succeeded else f"its status is {record.status}")
        result = self._result("succeeded" if record.succeeded else "failed", " ".join(why.split()))
        return replace(result, run_id=record.run_id or result.run_id, record=record)

    def _out_of_time(self) -> RunResult:
        return self._result("out-of-time", self._seen_words())

    def _result(self, outcome: Outcome, why: str) -> RunResult:
        waited_s = 0.0 if self._began is None else time.monotonic() - self._began
        return RunResult(outcome, self._job, why, run_id=self._ours.run_id, waited_s=waited_s)

    def _seen_words(self) -> str:
        """The last look, in words."""
        running_ms = self._sight.job.running_ms if self._sight.job else None
        under_way = running_ms is not None and self._is_under_way()
        if self._last is not None and self._last.trouble:
            return self._last.trouble + ("; the run was under way when it last did" if under_way else "")
        if running_ms is not None and under_way:
            return f"under way for {span(max(0.0, (_wall_ms() - running_ms) / 1000))}"
        if self._ours.run_id:
            return f"the gateway took it as {self._ours.run_id}"
        return self._reason or "no sign of the run was seen yet"

    def _left_s(self) -> float:
        gone_s = 0.0 if self._began is None else time.monotonic() - self._began
        return max(0.0, self._asked.limit_s - gone_s)

    def _tell(self, kind: str, text: str) -> None:
        if kind != self._state:
            self._note(text)
        self._state = kind
        self._say.state(kind, text)

    def _note(self, text: str) -> None:
        gone_s = 0.0 if self._began is None else time.monotonic() - self._began
        self._log.line(f"+{gone_s:7.1f} s  {text}")


def _ending(answer: Answer) -> str:
    call = answer.call
    code = f" with exit code {call.exit}" if call.exit is not None else ""
    return f"{'was ended' if call.outcome in ('timed-out', 'lingered') else 'ended'}{code} after {call.wall_s:.1f} s"


def _wall_ms() -> int:
    """Now, in the clock and unit of the gateway's records: it runs on this machine."""
    return round(time.time() * 1000)
