"""What a gateway's last words say of its next start: a known refusal is the cause, an unknown one is quoted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from oc_ops.judge.finding import Finding
from oc_ops.judge.registry import finds, none
from oc_ops.judge.words import clock
from oc_ops.observe.lastwords import LastWords


@dataclass(frozen=True, slots=True)
class StartRefusal:
    """One reason for which every start ends the same way: the words of the releases, what they mean, what helps."""

    words: re.Pattern[str]
    fact: str
    fix: str


REFUSALS = (
    StartRefusal(
        re.compile(r"Refusing to bind gateway to \S+ without auth"),
        "the gateway refuses to listen beyond loopback without a credential",
        "give it a token or a password (gateway.auth), or bind it to loopback",
    ),
    StartRefusal(
        re.compile(r"required secrets are unavailable|Startup failed: .*secret"),
        "the gateway's own secrets cannot be resolved where it starts",
        "see which reference it cannot read (openclaw secrets audit), and put it where its service reads it",
    ),
    StartRefusal(
        re.compile(r"database is not open"),
        "the gateway cannot open its state database",
        "see whether its file system has room (df -h) and its files are the gateway's own; repair nothing before",
    ),
    StartRefusal(
        re.compile(r"gateway\.maintenance_required|requires state migration"),
        "the gateway wants its state migrated before it starts",
        "back up the state directory, see that no openclaw process runs, then openclaw doctor --fix",
    ),
    StartRefusal(
        re.compile(r"[Uu]nsupported Node|requires Node(?:\.js)? |Node(?:\.js)? v?\d\S* is (?:unsupported|too old)"),
        "the Node.js that starts the gateway is too old for it",
        "install the Node.js that the message names, and reinstall the service with it",
    ),
    StartRefusal(
        re.compile(r"Cannot find (?:module|package)|ERR_MODULE_NOT_FOUND"),
        "a part of the OpenClaw installation is missing",
        "install OpenClaw again (npm install -g openclaw)",
    ),
)
"""The first four were read from 2026.9.6 when it was made to end so, the others never. What may pass by itself (a port
in use, an address that is not there yet) is none of these: it is quoted, and a start is not forbidden."""


@finds(
    "gateway/start-refused",
    state="kept-out",
    checks=("gateway/live",),
    cure=none("every start ends the same way until what it names is mended"),
    means="the gateway is down, and its own last words say why every start ends the same way",
    helps="what the words name; no start before that",
)
def refused(words: LastWords | None) -> Finding | None:
    """A refusal that its last start gave and that nothing since has changed."""
    if words is None or words.changed or words.stopped:
        return None
    known = next((each for each in REFUSALS if each.words.search(words.text)), None)
    if known is None:
        return None
    return Finding("gateway/start-refused", "error", known.fact, quoted(words), f"none automatic: {known.fix}")


def with_words(cause: Finding, words: LastWords | None) -> Finding:
    """The finding of a gateway that is down with what it last said, as it said it: nothing is guessed from that."""
    if words is None or not (words.said or words.stopped):
        return cause
    told = f"it was told to stop at {clock(words.at)}" if words.stopped else quoted(words)
    return replace(cause, saw=f"{cause.saw}; {told}")


def quoted(words: LastWords) -> str:
    """The words with their time and place."""
    since = ", and config or command were changed since" if words.changed else ""
    return f"its last words ({clock(words.at)}, {words.source}{since}): {' | '.join(words.said)}"
