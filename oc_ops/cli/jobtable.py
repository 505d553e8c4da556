"""The jobs of `oc-ops jobs` as a table, as plain lines and as JSON: strangers' names shown harmless."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from msgspec.structs import asdict, replace

from oc_ops.cli.frame import Row, show_table
from oc_ops.errors import SettingError
from oc_ops.judge.finding import Finding
from oc_ops.judge.job_words import cut, schedule_words
from oc_ops.judge.watched_jobs import Verdict
from oc_ops.observe import watchlist
from oc_ops.observe.jobs import Job, Jobs
from oc_ops.observe.watchlist import Watched
from oc_ops.record.redact import PLACEHOLDER, Redactor
from oc_ops.text import one_line, span, utc

_NAME_WIDTH, _CELL_WIDTH = 48, 60
_HEAD = ("job", "on", "schedule", "last run", "next", "verdict")
_NOT_WATCHED = "not watched"
_NOT_DUE = "not due yet"
"""It never ran, and nothing says that it should have: no proof that it works."""
_SKIPPED = "last skipped"
"""Its last run was none: OpenClaw had nothing to do, or would not do it; no proof that it works either."""
_SOURCES = {"rpc": "over RPC", "cli": "through the CLI", "store": "by its own store: the gateway does not answer"}


def redacted(seen: Jobs, verdicts: Sequence[Verdict], redactor: Redactor) -> tuple[Jobs, tuple[Verdict, ...]]:
    """The same without the secrets that names, errors and findings hold; ids and what is reckoned with stay."""

    def job(one: Job) -> Job:
        said = ((name, said) for name, said in asdict(one).items() if name != "id")
        texts: dict[str, Any] = {name: redactor.text(text) for name, text in said if isinstance(text, str)}
        return replace(one, **texts)

    def finding(one: Finding) -> Finding:
        return replace(one, fact=redactor.text(one.fact), saw=redactor.text(one.saw), fix=redactor.text(one.fix))

    return replace(seen, jobs=tuple(map(job, seen.jobs))), tuple(
        replace(
            each,
            job=job(each.job) if each.job else None,
            unseen=redactor.text(each.unseen),
            findings=tuple(map(finding, each.findings)),
        )
        for each in verdicts
    )


def handle(job: Job, seen: Jobs) -> str:
    """The watchlist's name for a job: its name, or its id where the name does not do or holds a secret."""
    if PLACEHOLDER in job.name:
        return job.id
    own = [each.name for each in seen.jobs].count(job.name) == 1 and job.name not in {each.id for each in seen.jobs}
    return job.name if own and _readable(job.name) else job.id


def unwatched(seen: Jobs, verdicts: Sequence[Verdict]) -> tuple[Watched, ...]:
    """A line for each job that is on and not watched: by its name, or by its id where the name does not do."""
    watched = {each.job.id for each in verdicts if each.watched and each.job}
    return tuple(Watched(handle(each, seen)) for each in seen.jobs if each.enabled and each.id not in watched)


def _readable(name: str) -> bool:
    try:
        return name.isprintable() and watchlist.parse(Watched(name).line, "")[0].job == name
    except (SettingError, IndexError):
        return False


def as_json(seen: Jobs, verdicts: Sequence[Verdict], to_watch: Sequence[Watched]) -> dict[str, object]:
    """The JSON for a machine: every job as it was told, and the verdicts with their findings."""
    said = {each.job.id: each for each in verdicts if each.job}
    return {
        "source": seen.source,
        "seen_at": utc(seen.seen_at, "microseconds"),
        "watched": [
            {
                "job": each.subject,
                "id": each.job.id if each.job else None,
                "where": each.watched.where,
                "verdict": _verdict(each),
                "unseen": each.unseen or None,
                "findings": [to_builtins(one) for one in each.findings],
            }
            for each in verdicts
            if each.watched
        ],
        "jobs": [{**to_builtins(each), "verdict": _verdict(said.get(each.id))} for each in seen.jobs],
        "not_watched": [each.line for each in to_watch],
    }


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return _NOT_WATCHED
    if verdict.unseen:
        return "could not look"
    if verdict.findings:
        return ", ".join(each.check.removeprefix("cron/") for each in verdict.findings)
    if (job := verdict.job) is None or job.last_run_ms is not None or job.last_status:
        return _SKIPPED if job and job.last_status == "skipped" else "ok"
    return "first run" if job.running_ms is not None else _NOT_DUE


def _rows(seen: Jobs, verdicts: Sequence[Verdict]) -> list[tuple[str, ...]]:
    """Watched jobs first, in the watchlist's order, then the others in the gateway's."""
    said = {each.job.id: each for each in verdicts if each.job}
    rows = [
        _row(each.job, seen, each)
        if each.job
        else (_shown(each.subject, _NAME_WIDTH), "-", "-", "-", "-", _verdict(each))
        for each in verdicts
    ]
    return rows + [_row(each, seen, None) for each in seen.jobs if each.id not in said]


def _row(job: Job, seen: Jobs, verdict: Verdict | None) -> tuple[str, ...]:
    now_ms = seen.seen_at.timestamp() * 1000
    last = "never"
    if job.last_run_ms is not None:
        ago_s = (now_ms - job.last_run_ms) / 1000
        when = f"{span(ago_s)} ago" if ago_s >= 0 else f"{span(-ago_s)} ahead of this clock"
        took = f", took {span(job.last_duration_ms / 1000)}" if job.last_duration_ms is not None else ""
        last = f"{job.last_status or '?'} {when}{took}"
    if job.running_ms is not None:
        last = f"running {span(max(0.0, now_ms - job.running_ms) / 1000)}"
    ahead_s = None if job.next_run_ms is None else (job.next_run_ms - now_ms) / 1000
    next_ = "-" if ahead_s is None else f"in {span(ahead_s)}" if ahead_s >= 0 else f"{span(-ahead_s)} late"
    name = f"{_shown(job.name or '(no name)', _NAME_WIDTH)} {_shown(job.id, 8)}"
    cells = (schedule_words(job.schedule), last, next_, _verdict(verdict))
    return (name, "on" if job.enabled else "off", *(_shown(each, _CELL_WIDTH) for each in cells))


def _shown(text: str, most: int) -> str:
    return one_line(cut(text, most))


def show(seen: Jobs, verdicts: Sequence[Verdict], to_watch: Sequence[Watched], path: Path, cause: str) -> None:
    """Print it all: a table on a terminal, tab-separated lines elsewhere; `path` is the watchlist's."""
    print(f"{len(seen.jobs)} jobs {_SOURCES[seen.source]}" + (f" ({cause})" if cause else ""))
    show_table(_HEAD, _rows(seen, verdicts), _styles)
    for each in verdicts:
        if each.unseen:
            print(f"\n{_shown(each.subject, _NAME_WIDTH)}: could not look: {_shown(each.unseen, 400)}")
        for finding in each.findings:
            print(f"\n{_harmless(finding)}")
    if to_watch:
        print(f"\nNot watched yet; oc-ops jobs watch JOB, or these lines, put them into {path}:")
        print("\n".join(_shown(each.line, 400) for each in to_watch))
    elif not any(each.watched for each in verdicts):
        print(f"\nNothing is watched; the watchlist is {path}")


def _harmless(finding: Finding) -> Finding:
    return replace(
        finding, fact=one_line(finding.fact, 1000), saw=one_line(finding.saw, 1000), fix=one_line(finding.fix, 1000)
    )


def _styles(row: Row) -> Sequence[str]:
    colours = {"ok": "green", _NOT_WATCHED: "dim", _NOT_DUE: "dim", _SKIPPED: "dim"}
    return [*[""] * (len(row) - 1), colours.get(row[-1], "bold red")]
