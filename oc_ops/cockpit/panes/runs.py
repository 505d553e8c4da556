"""The window `runs`: every watched job with its last runs, what is due and overdue, and what ran just now."""

from __future__ import annotations

from rich.text import Text

from oc_ops.cockpit.panes.canvas import (
    SEVERE,
    Mood,
    View,
    about,
    ago,
    badge,
    head,
    joined,
    row,
    since,
    under,
    unseen,
    words,
    wrapped,
)
from oc_ops.cockpit.state import JobPart, RunPart, TranscriptPart
from oc_ops.text import span

PARTS = ("jobs",)
_BESIDE_RPC = {"files": "the gateway's own files", "cli": "`openclaw cron list`"}
_NAME_SHARE = 4
"""A job's name takes at most this part of the window's width."""
_RECENT_LEAST = 5
"""Lines that the lower part keeps, however many jobs there are."""


def draw(view: View) -> list[Text]:
    """The jobs above; below them what ran lately, and what ad-hoc runs left."""
    lines = head("runs", view)
    if view.reading.problem:
        return lines
    jobs = view.state.jobs
    if jobs.watchlist_problem:
        lines += row("watchlist", words(jobs.watchlist_problem, "bold"), view.width, 2)
    lines += unseen("jobs", jobs.seen, view.now, view.width)
    if jobs.seen.lane in _BESIDE_RPC:
        lines += row("jobs", f"read from {_BESIDE_RPC[jobs.seen.lane]} {ago(jobs.seen.at, view.now)}", view.width)
    if not jobs.jobs and jobs.seen.at is not None:
        lines += row("jobs", "none is watched: `oc-ops jobs` prints the lines for the watchlist", view.width, 2)
    below = _below(view)
    room = view.height - len(lines) - min(len(below), _RECENT_LEAST)
    longest = max((words(_name(each), most=200).cell_len for each in jobs.jobs), default=0)
    drawn = [_job(each, view, min(longest, view.width // _NAME_SHARE)) for each in jobs.jobs]
    if sum(map(len, drawn)) > room:
        drawn = [_brief(each) for each in drawn]
    lines += [line for each in drawn for line in each][: max(room, 1)]
    hidden = sum(map(len, drawn)) - max(room, 1)
    if hidden > 0:
        lines[-1] = Text(f"… {hidden + 1} more lines of jobs: `oc-ops jobs` shows them all", "bold")
    return [*lines, *below]


def gist(view: View) -> object:
    """A run that began or ended, a finding that came or went."""
    return view.reading.stale, [
        (each.id, each.running_since, each.runs[:1], each.notes, each.enabled) for each in view.state.jobs.jobs
    ]


def _brief(lines: list[Text]) -> list[Text]:
    """A job's first line and the first finding: what is left of it where there is little room."""
    return [lines[0], *lines[2:3]] if len(lines) > 1 else lines


def _name(job: JobPart) -> str:
    return job.name or job.id or "(no name)"


def _job(job: JobPart, view: View, name_columns: int) -> list[Text]:
    """One job: its state and when it is due; then its history; then what the judges say."""
    now, width = view.now, view.width
    name = words(_name(job), "bold", 200)
    name.truncate(name_columns, overflow="ellipsis", pad=True)
    due = job.next_due_at if job.enabled and job.overdue_s is None else None
    state = joined(*_state(job, now), by=" ")
    first = joined(name, joined(state, f"next {ago(due, now)}" if due is not None else ""), by=" ")
    history = joined(
        words(job.schedule, most=60),
        "last: " + ", ".join(_run(each) for each in job.runs[:4]) if job.runs else "it has not run yet",
        f"usually {span(job.typical_s)}" if job.typical_s is not None else "",
        {"": "", "steady": "steady", "slower": "getting slower", "faster": "getting faster"}[job.trend],
    )
    lines = [first, *under(history, width, 1)] if job.id else [first]
    notes = [(SEVERE[each.severity], f"{each.check}: {each.fact}") for each in job.notes]
    notes += [("warn", f"could not be judged: {job.unseen}")] if job.unseen else []
    for mood, said in notes:
        mark = {"bad": "error", "warn": "warning"}.get(mood, "note")
        found = joined(badge(mark, mood), words(said), by=" ")
        lines += under(found, width, 2)
    return lines


def _state(job: JobPart, now: float) -> list[Text | str]:
    last = job.runs[0] if job.runs else None
    if not job.id:
        return [badge("missing", "bad")]
    said: list[Text | str] = []
    if not job.enabled:
        said.append(badge("disabled", "warn"))
    elif job.overdue_s is not None:
        said += [badge("overdue", "bad"), about(job.overdue_s)]
    if job.running_since is not None:
        limit = f", at most {span(job.timeout_s)}" if job.timeout_s else ""
        said += [badge("running", "busy"), f"{since(job.running_since, now)}{limit}"]
    elif last is not None:
        again = f"{job.failures}× in a row, " if job.failures > 1 else ""
        said += [badge(last.status or "ended", _mood(last)), f"{again}{ago(last.ended_at or last.started_at, now)}"]
    else:
        said += [badge("not due yet" if job.next_due_at else "no run", "unknown")]
    return said


def _mood(run: RunPart) -> Mood:
    return {"ok": "good", "error": "bad", "running": "busy"}.get(run.status, "warn")  # type: ignore[return-value]


def _run(run: RunPart) -> str:
    length = f" {span(run.duration_s)}" if run.duration_s is not None else ""
    return f"{words(run.status, most=12).plain or 'ended'}{length}"


def _below(view: View) -> list[Text]:
    """Runs of just now, then the newest transcript of `oc-ops run`."""
    jobs, width = view.state.jobs, view.width
    lines = [Text("just now", "bold underline")] if jobs.recent else []
    for each in jobs.recent[: max(8, view.height // 3)]:
        when = each.ended_at or each.started_at
        moment = "" if when is None else since(when, view.now) if each.status == "running" else ago(when, view.now)
        state = badge(each.status or "ended", _mood(each))
        said = joined(
            joined(state, words(each.job or each.job_id, "bold", 40), moment, by=" "),
            f"took {span(each.duration_s)}" if each.duration_s is not None else "",
            words(each.error, most=160),
        )
        lines += wrapped(said, width, 1)
    for transcript in jobs.transcripts[:3]:
        lines += _transcript(transcript, view)
    return lines


def _transcript(transcript: TranscriptPart, view: View) -> list[Text]:
    title = joined(Text("transcript", "bold"), words(transcript.path, most=200), ago(transcript.at, view.now), by=" ")
    return [
        title,
        *(line for each in transcript.tail[-max(3, view.height // 8) :] for line in under(words(each), view.width, 1)),
    ]
