"""Building blocks of every window: words, badges, moments and rows, cut to the size of a screen."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct
from rich.console import Console
from rich.text import Text

from oc_ops import text as texts
from oc_ops.cockpit.snapshot import Reading
from oc_ops.cockpit.state import Freshness, Severity, Snapshot
from oc_ops.text import one_line, span

Mood = Literal["good", "busy", "warn", "bad", "unknown"]

LABEL = 11
"""Columns of a row's label, the gap behind it included."""

MOODS: dict[Mood, str] = {
    # Foreground and background both, so that they read alike in light and dark terminals.
    "good": "black on green",
    "busy": "black on cyan",
    "warn": "black on yellow",
    "bad": "bold white on red",
    "unknown": "reverse",
}
SEVERE: dict[Severity, Mood] = {"error": "bad", "warning": "warn", "info": "busy", "": "unknown"}

_WRAPPING = Console(file=io.StringIO(), width=80)
_SHADES = "▁▂▃▄▅▆▇█"
_DAY_S = 20 * 3600
"""A moment further off than this is shown with its date."""


class View(Struct, frozen=True):
    """The input of a window: the snapshot, the moment (Unix time), the screen's size, what the pane itself says."""

    reading: Reading
    now: float
    width: int = 80
    height: int = 24
    note: str = ""

    @property
    def state(self) -> Snapshot:
        """The snapshot."""
        return self.reading.snapshot


def words(text: str, style: str = "", most: int = 400) -> Text:
    """A stranger's text, harmless and on one line."""
    return Text(one_line(text, most), style)


def badge(word: str, mood: Mood) -> Text:
    """A word that is seen first; its colour only repeats what it says."""
    return Text(f" {one_line(word, 40).upper()} ", MOODS[mood])


def joined(*parts: str | Text | None, by: str = " · ") -> Text:
    """The parts that are there, in a row; strings among them are ours, not a stranger's."""
    return Text(by).join(Text(each) if isinstance(each, str) else each for each in parts if each)


def clock(at: float, now: float) -> str:
    """A moment by the clock of who looks, with its date where that is not plain."""
    if not 0 <= at < 1e11:
        return "an impossible time"
    return texts.clock(datetime.fromtimestamp(at, UTC), "time" if abs(now - at) < _DAY_S else "short")


def about(seconds: float) -> str:
    """A length of time that changes on the screen no more often than it has to: whole minutes from one on."""
    return span(int(seconds) if seconds < 60 else seconds // 60 * 60)


def ago(at: float | None, now: float) -> str:
    """A moment as age and clock time; one to come says so."""
    if at is None:
        return "never"
    if at > now + 0.5:
        return f"in {about(at - now)} ({clock(at, now)})"
    return f"{about(now - at)} ago ({clock(at, now)})"


def since(at: float | None, now: float) -> str:
    """How long something has lasted, and from when on."""
    return "" if at is None else f"for {about(now - at)}, since {clock(at, now)}"


def size(count: float | None) -> str:
    """Bytes in the unit that reads best."""
    if count is None:
        return "unknown"
    for unit, length in (("TB", 2**40), ("GB", 2**30), ("MB", 2**20), ("kB", 2**10)):
        if count >= length:
            return f"{count / length:.1f} {unit}" if count < 10 * length else f"{count / length:.0f} {unit}"
    return f"{count:.0f} B"


def shades(values: Sequence[float], most: int) -> str:
    """A line of blocks as high as the values; none where they hardly differ."""
    values = values[-most:]
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    if high - low < high / 20:
        return ""
    return "".join(_SHADES[int((each - low) / (high - low) * (len(_SHADES) - 1))] for each in values)


def wrapped(text: Text, width: int, most: int) -> list[Text]:
    """A text over at most `most` lines; what does not fit shows as an ellipsis."""
    if text.cell_len <= width:
        return [text]
    if most == 1:
        lines = [text]
    else:
        lines = list(text.wrap(_WRAPPING, max(width, 4), overflow="fold"))
        rest = lines[most - 1 :]
        lines = [*lines[: most - 1], *([Text(" ").join(rest)] if rest else [])]
    for line in lines:
        line.rstrip()
        line.truncate(max(width, 1), overflow="ellipsis")
    return lines


def under(text: Text, width: int, most: int, by: int = 2) -> list[Text]:
    """A text of at most `most` lines, indented by so many columns."""
    return [Text(" " * by) + each for each in wrapped(text, width - by, most)]


def row(
    label: str, text: Text | str, width: int, most: int = 1, style: str = "bold", behind: int = LABEL
) -> list[Text]:
    """A label, and behind so many columns what belongs to it."""
    lines = wrapped(Text(text) if isinstance(text, str) else text, width - behind, most)
    said = words(label, style, 40)
    said.truncate(behind - 1, overflow="ellipsis", pad=True)
    # Joined, not added: what is added to a styled text would take its style.
    first = Text(" ").join((said, lines[0]))
    return [first, *(Text(" " * behind) + line for line in lines[1:])]


def unseen(what: str, seen: Freshness, now: float, width: int) -> list[Text]:
    """Say of a part that is not current since when and why; say nothing of one that is."""
    if not seen.stale(now):
        return []
    if seen.problem:
        how_long = f" {since(seen.problem_since, now)}" if seen.problem_since is not None else ""
        said = Text(f"could not look{how_long}: ") + words(seen.problem)
    elif seen.at is None:
        said = Text("not looked at yet")
    else:
        said = Text("no news in time")
    if seen.at is not None:
        said = Text(f"as of {ago(seen.at, now)}; ") + said
    return row(what, joined(badge("stale", "warn") if seen.at is not None else None, said, by=" "), width, 2)


def head(window: str, view: View) -> list[Text]:
    """The first line: which window of which gateway, and the clock; below it, whether all this is of now."""
    gateway, reading = view.state.gateway, view.reading
    title = joined(
        Text(f" {window} ", "reverse bold"),
        words(f"OpenClaw {gateway.version}" if gateway.version else "OpenClaw", most=40),
        f"port {gateway.port}" if gateway.port else None,
        words(f"profile {view.state.profile}", most=40) if view.state.profile else None,
        by="  ",
    )
    moment = clock(view.now, view.now)
    title.truncate(max(view.width - len(moment) - 1, 1), overflow="ellipsis")
    title.pad_right(max(view.width - title.cell_len - len(moment), 0))
    lines = [title + Text(moment)]
    if reading.problem:
        lines += wrapped(joined(badge("no data", "bad"), words(reading.problem), by=" "), view.width, 2)
    elif reading.stale or view.state.watcher.ended:
        how = f"does not write {since(view.now - (reading.age_s or 0.0), view.now)}"
        if view.state.watcher.ended:
            how = f"has ended, {view.state.watcher.ended}, {ago(view.state.written_at, view.now)}"
        said = words(f"the watcher {how}: what is below is of then")
        lines += wrapped(joined(badge("stale", "bad"), said, by=" "), view.width, 2)
    if view.note:
        lines += wrapped(words(view.note, "bold"), view.width, 2)
    return lines


def fitted(lines: Iterable[Text], width: int, height: int) -> list[Text]:
    """Exactly what the screen holds: lines cut to its width, and a word on those that it has no room for."""
    kept = list(lines)
    if len(kept) > height:
        hidden = len(kept) - height + 1
        kept = [*kept[: height - 1], Text(f"… {hidden} more lines do not fit here", "bold")]
    for line in kept:
        line.truncate(width, overflow="ellipsis")
    return kept
