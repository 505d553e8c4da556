"""The gateway's log as it grows: its last lines made readable, and which signatures fired."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from oc_ops.cockpit.state import Firing, Freshness, LogLine, LogPart
from oc_ops.judge.signature_catalogue import Signature
from oc_ops.judge.signatures import fired, window_s
from oc_ops.observe.container import Container
from oc_ops.observe.logs import Follower, LogView, Needle, Record, planned_restarts, raw_shape, tail
from oc_ops.observe.logs.journal import matching

LINES, TEXT_CHARS = 60, 600
_FIRST_BYTES = 8 * 2**20
"""Of a log that was never read, so much is looked through for signatures."""
_RESTART_S = 60.0
_AGAIN = timedelta(seconds=10)
"""Between looks at whether what fired has left its window, in a log that does not grow."""
_LEVELS = {"error": 0, "warning": 1, "info": 2}


class LogWatch:
    """The logs of one gateway: unchanged files cost one stat each."""

    def __init__(
        self, state_dir: Path, signatures: Sequence[Signature], clean: Callable[[str, int], str], since: datetime
    ) -> None:
        self._state_dir, self._signatures, self._clean = state_dir, signatures, clean
        self._window = timedelta(seconds=window_s(signatures))
        self._needles = [Needle(each.id, each.literals, raw_shape(each.expression)) for each in signatures]
        self._follower = Follower(self._needles)
        self._first = since
        self._stamps: dict[Path, tuple[int, int, int]] = {}
        self._tails: dict[Path, tuple[LogLine, ...]] = {}
        self.own: str = ""
        """Marks of the gateway's lines about our own connection, which are no news."""
        self.log = LogPart()
        self._fired_at = since

    def look(self, paths: Sequence[Path], now: datetime, every_s: float) -> bool:
        """Read what is new; True when there was anything, or when a signature's window has passed over it."""
        stamps = {path: found for path in paths if (found := _stamp(path))}
        changed = [path for path, found in stamps.items() if self._stamps.get(path) != found]
        gone = self._stamps.keys() - stamps.keys()
        self._stamps = stamps
        problem = "" if stamps else "the gateway's log file was not found"
        seen = self._seen(now.timestamp(), problem, every_s)
        if not changed and not gone and not (self.log.signatures and now - self._fired_at >= _AGAIN):
            self.log = replace(self.log, seen=seen)
            return False
        self._fired_at = now
        lines = self._lines(changed) if changed or gone else self.log.lines
        signatures = self._fired(list(stamps), now)
        news = lines != self.log.lines or signatures != self.log.signatures or bool(gone)
        files = tuple(self._clean(str(path), TEXT_CHARS) for path in self._newest())
        self.log = LogPart(lines, files, signatures, seen)
        return news

    def since(self, now: datetime) -> datetime:
        """How far back what fired can lie."""
        return max(now - self._window, self._first - self._window)

    def take(self, there: Container, printed: Sequence[Record], now: datetime, problem: str, every_s: float) -> None:
        """Show what a container's gateway printed since then, oldest first, in place of what log files hold."""
        seen = self._seen(now.timestamp(), self._clean(problem, TEXT_CHARS) if problem else "", every_s)
        if problem:
            self.log = replace(self.log, seen=seen)
            return
        place = Path(f"{there.runtime} logs {there.name}")
        found = tuple(matching(iter(printed), self._needles))
        newest = max((each.time for each in printed if each.time), default=None)
        view = LogView((place,), self.since(now), found, sum(len(each.text) for each in printed), newest)
        lines = self._shown([each for each in printed if not (self.own and self.own in each.text)][-LINES:])
        self.log = LogPart(lines, (self._clean(str(place), TEXT_CHARS),), self._firings(view, now), seen)

    def clean_again(self) -> None:
        """Read the log again: cleaned text may hold a secret that was not known then."""
        self._stamps.clear()
        self._tails.clear()
        self.log = replace(self.log, lines=())

    def _seen(self, now: float, problem: str, every_s: float) -> Freshness:
        before = self.log.seen
        if not problem:
            return Freshness(now, "files", every_s=every_s)
        since = before.problem_since if before.problem == problem else now
        return replace(before, problem=problem, problem_since=since)

    def _newest(self) -> list[Path]:
        """The two files written to last, the older one first."""
        return sorted(self._stamps, key=lambda path: self._stamps[path][1])[-2:]

    def _lines(self, changed: Sequence[Path]) -> tuple[LogLine, ...]:
        shown = self._newest()
        self._tails = {
            path: self._tail(path) if path in changed or path not in self._tails else self._tails[path]
            for path in shown
        }
        both = [line for path in shown for line in self._tails[path]]
        both.sort(key=lambda line: line.at or 0.0)
        return tuple(both[-LINES:])

    def _tail(self, path: Path) -> tuple[LogLine, ...]:
        return self._shown([each for each in tail(path, LINES) if not (self.own and self.own in each.text)])

    def _shown(self, records: Sequence[Record]) -> tuple[LogLine, ...]:
        lines, last = [], None
        for each in records:
            last = each.time.timestamp() if each.time else last
            lines.append(self._line(each, last))
        return tuple(lines)

    def _line(self, record: Record, at: float | None) -> LogLine:
        return LogLine(
            at, self._clean(record.level, 12), self._clean(record.source, 40), self._clean(record.text, TEXT_CHARS)
        )

    def _fired(self, paths: Sequence[Path], now: datetime) -> tuple[Firing, ...]:
        since = self.since(now)
        planned = planned_restarts(self._state_dir, since, lasts_s=_RESTART_S)
        view = self._follower.look(paths, since=since, tail_bytes=_FIRST_BYTES, planned=planned)
        return self._firings(view, now)

    def _firings(self, view: LogView, now: datetime) -> tuple[Firing, ...]:
        found = fired(view, self._signatures, now=now)
        firing = [self._firing(each, records, view.left_out.get(each.id, 0)) for each, records in found.items()]
        return tuple(sorted(firing, key=lambda each: (_LEVELS.get(each.severity, 3), -(each.last_at or 0))))

    def _firing(self, signature: Signature, records: Sequence[Record], left_out: int) -> Firing:
        times = [each.time.timestamp() for each in records if each.time]
        return Firing(
            signature.id,
            signature.severity,
            len(records) + left_out,
            signature.threshold,
            times[0] if times else None,
            times[-1] if times else None,
            self._clean(signature.fact, TEXT_CHARS),
            self._clean(signature.fix, TEXT_CHARS),
            signature.restart,
            self._clean(records[-1].text, 300),
        )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - once a second and file
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
