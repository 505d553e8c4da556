"""The window `browser`: what `openclaw status` would tell, the agent's browser, and the end of the gateway's log."""

from __future__ import annotations

from rich.text import Text

from oc_ops.cockpit.panes.canvas import (
    LABEL,
    SEVERE,
    View,
    ago,
    badge,
    clock,
    head,
    joined,
    row,
    under,
    unseen,
    words,
    wrapped,
)
from oc_ops.cockpit.state import LogLine
from oc_ops.text import remedy

PARTS = ("browser", "digest", "log")
_LOUD = {"ERROR": "bold", "FATAL": "bold", "WARN": "bold"}
_BEHIND_TIME = 15
"""Where a complaint's second line begins."""
_LONGEST_LABEL = 18
_DIGEST_SHARE = 3
"""The digest takes at most this part of the window's height: the log is what moves."""


def draw(view: View) -> list[Text]:
    """Digest and browser above, the log below, its newest line last."""
    lines = head("browser", view)
    if view.reading.problem:
        return lines
    told = view.state.digest.lines
    behind = min(max((len(label) + 1 for label, _ in told), default=LABEL), _LONGEST_LABEL)
    digest = [line for label, said in told for line in row(label, words(said), view.width, behind=max(behind, LABEL))]
    most = max(view.height // _DIGEST_SHARE, 3)
    if len(digest) > most:
        digest = [*digest[: most - 1], Text(f"… {len(digest) - most + 1} more lines: openclaw status", "bold")]
    lines += _browser(view) + digest + unseen("status", view.state.digest.seen, view.now, view.width)
    title = joined(Text("log", "bold underline"), words(", ".join(view.state.log.files[-2:]), most=200), by=" ")
    lines += [title, *unseen("log", view.state.log.seen, view.now, view.width)]
    return lines + _log(view, max(view.height - len(lines), 0))


def gist(view: View) -> object:
    """The browser's state; the log is kept by the gateway itself."""
    return view.reading.stale, view.state.browser.running, view.state.browser.note


def _browser(view: View) -> list[Text]:
    browser, now, width = view.state.browser, view.now, view.width
    if browser.expected == "off":
        return row("browser", "not looked at: the setting browser is off", width)
    if browser.enabled is False and browser.running is None:
        return row("browser", words(browser.words), width, 2)
    if browser.running is None:
        state = badge("unknown", "unknown")
    else:
        well = browser.running or browser.expected != "running"
        state = badge("running" if browser.running else "not running", "good" if well else "bad")
    said = joined(words(browser.words), f"seen {ago(browser.seen.at, now)}")
    lines = row("browser", joined(state, said, by=" "), width, 2)
    if browser.note:
        note = browser.note
        said = joined(
            badge(note.severity or "info", SEVERE[note.severity]), words(f"{note.check}: {note.fact}"), by=" "
        )
        lines += row("", said, width, 2) + row("first aid", words(remedy(note.fix), "bold"), width, 2)
    return lines + unseen("", browser.seen, now, width)


def _log(view: View, room: int) -> list[Text]:
    """The newest records that there is room for; complaints may take a second line."""
    lines: list[Text] = []
    for each in reversed(view.state.log.lines):
        if len(lines) >= room:
            break
        lines[:0] = _record(each, view)[: room - len(lines)]
    return lines or [Text("nothing was logged lately")][:room]


def _record(record: LogLine, view: View) -> list[Text]:
    level = words(record.level, most=5).plain[:5]
    said = joined(
        clock(record.at, view.now) if record.at is not None else "--:--:--",
        Text(f"{level:5}", _LOUD.get(level, "")),
        words(record.source, most=30),
        words(record.text, _LOUD.get(level, ""), 600),
        by=" ",
    )
    if level not in _LOUD:
        return wrapped(said, view.width, 1)
    first, *rest = wrapped(said, view.width, 2)
    return [first, *(line for each in rest for line in under(each, view.width, 1, _BEHIND_TIME))]
