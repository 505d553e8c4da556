"""Judges of a gateway that lives and does no work: deaf channels, dead letters, plugins, tasks, backups."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from oc_ops.judge.finding import Finding, channel_restart, finds, none
from oc_ops.judge.job_words import cut
from oc_ops.judge.schedule import moment
from oc_ops.observe.work import Account, Letters, WorkView
from oc_ops.text import clock, count, regex, span

DEAF_MS = 120_000
"""A poll of a channel takes 30 to 50 s: this long without one that ended is more than twice that."""
_CONNECT_MS = 120_000
"""Time for a channel to connect after its start, as OpenClaw's own monitor allows."""
_WAITING_MS, _LONG_MS = 900_000, 3_600_000
_MANY = 3
_SHOWN = 5
_FEWEST_BACKUPS = 3
_DAY_MS = 86_400_000
_BETWEEN_MS = 30_000
"""Two looks that are less than this apart are one: a machine that wakes has old times to show."""

_HELPS: tuple[tuple[re.Pattern[str], str], ...] = (
    (regex(r"conflict|409|other getUpdates", re.I), "its token is used by another program: end that one"),
    (
        regex(r"\b401\b|\b403\b|unauthori[sz]ed|invalid.{0,20}token|token.{0,20}(?:invalid|expired|revoked)", re.I),
        "its token is refused: get a valid one and set it (openclaw channels add, or openclaw config set)",
    ),
    (
        regex(r"logged.?out|relink|\bQR\b|\b515\b", re.I),
        "it is logged out: link it again (openclaw channels login)",
    ),
    (regex(r"\b429\b|rate.?limit|too many requests", re.I), "its service slows it down: wait, it tries again"),
)
"""Help by the channel's own last words: a refused token and one that two use want opposite cures. None of them
is helped by another try."""
_SUPPRESSED = regex(r"breaker tripped|suppress(?:ing|ed) channel|autostart suppressed")
"""2026.9.6 starts no channel by itself after three starts that ended badly within five minutes, and says so there."""
_UNREACHED = regex(r"ECONN|ENOTFOUND|ETIMEDOUT|EAI_AGAIN|network|fetch failed|timed? ?out|certificate|proxy", re.I)
_NETWORK = "its service is not reached from here: see to network, proxy and name service"


class Silence(Struct, frozen=True):
    """A channel account that was silent at a look: its last poll, and when that was first seen to be the last."""

    poll_ms: int
    seen_ms: int


@finds(
    "channels/down",
    checks=("channels/up",),
    cure=channel_restart(
        "where its own tries are used up, a start of that account is one more, and touches nothing else",
        proof="the gateway says that the account has given up its own tries, over an error that not every try meets",
    ),
    means="a channel account is enabled and not connected; it says itself why",
    helps="by its last error: a refused token is replaced, a token that two use is freed, a login is made again",
)
def down(accounts: Sequence[Account], now_ms: int) -> Iterator[Finding]:
    """Enabled accounts that are not connected and say why, or do not run at all.

    A start or a reconnect gets its time; one that does not run, without any error, was stopped by somebody: a warning.
    """
    for each in accounts:
        if not is_down(each, now_ms):
            continue
        words = cut(" ".join(each.error.split()), 240)
        known = next((help_ for pattern, help_ in _HELPS if pattern.search(each.error)), "")
        told = known or (_NETWORK if _UNREACHED.search(each.error) else "")
        state = each.lifecycle or ("running" if each.running else "not running")
        proof = "" if known else given_up(each)
        helps = f"none automatic: {told}; then " if told else "none automatic: "
        fix = f"{helps}openclaw channels status --probe; a restart of the gateway helps only where it is stuck"
        fix = restart_command(each.label) if proof else fix
        if _SUPPRESSED.search(each.error):
            start, proof = restart_command(each.label).partition(" && ")[2], ""
            fix = f"none automatic: see first why the gateway crashed (its newest stability bundle), then {start}"
        yield Finding(
            "channels/down",
            "error" if each.error or each.running else "warning",
            fact=f"the channel {each.label} is down" + (f": {words}" if words else ", without an error of its own"),
            saw=f"channels.status: {state}, connected {_said(each.connected)}"
            + (f", last sign of life {clock(moment(each.activity_ms))}" if each.activity_ms else "")
            + (f", {proof}" if proof else ""),
            fix=fix,
            subject=each.label,
            proof=proof,
        )


@finds(
    "channels/gone",
    checks=("channels/up",),
    cure=none("a restart sets no account up"),
    means="a channel account that was set up at the last look is gone, switched off or no longer set up now (a "
    "warning, said once)",
    helps="put back what the config has lost (openclaw.json.bak lies beside it); an account that you removed needs "
    "nothing",
)
def gone(accounts: Sequence[Account], before: Collection[str]) -> Iterator[Finding]:
    """Accounts of the last look that no message comes through any more, which the gateway calls no fault.

    Nobody can say from outside whether the operator did it, or a config that was replaced or emptied.
    """
    now = {each.label: each for each in accounts}
    for label in sorted(before):
        each = now.get(label)
        if each is not None and each.enabled and each.configured:
            continue
        how = "is gone" if each is None else "is switched off" if not each.enabled else "is no longer set up"
        yield Finding(
            "channels/gone",
            "warning",
            fact=f"the channel {label} {how}; at the last look it was set up",
            saw="channels.status " + ("does not list it" if each is None else f"says {_setup(each)}"),
            fix="none automatic: if you did not do that, see what the config has lost (openclaw.json.bak lies beside "
            "it), and set it up again (openclaw channels add); said once",
            subject=label,
        )


def set_up(accounts: Sequence[Account]) -> tuple[str, ...]:
    """The accounts that messages can come through, by label."""
    return tuple(each.label for each in accounts if each.enabled and each.configured)


def _setup(account: Account) -> str:
    return f"enabled {_said(account.enabled)}, configured {_said(account.configured)}"


def given_up(account: Account) -> str:
    """How the gateway has come to leave this account alone, by its own word; nothing where it still tries by itself.

    An account that somebody stopped has no tries behind it: it is left as it is.
    """
    at_rest = account.running is False and not account.restart_pending and account.lifecycle in ("", "stopped")
    return (
        f"left alone after {account.restarts} tries of its own"
        if account.error and at_rest and account.restarts
        else ""
    )


def restart_command(label: str) -> str:
    """The command that stops and starts one channel account, by its label, as it is typed."""
    params = shlex.quote(json.dumps(account_params(label), separators=(",", ":")))
    call = "openclaw gateway call channels"
    return f"{call}.stop --params {params} && {call}.start --params {params}"


def account_params(label: str) -> Mapping[str, str]:
    """The account that a label names, as the gateway's own methods take it."""
    channel, _, name = label.partition(":")
    return {"channel": channel, "accountId": name or "default"}


def is_down(account: Account, now_ms: int) -> bool:
    """True if an account that should be connected is not, beyond what a start may take."""
    if not (account.enabled and account.configured) or account.connected is True:
        return False
    if account.running is None and account.connected is None:
        return False  # a release that tells neither
    young = account.started_ms is not None and now_ms - account.started_ms < _CONNECT_MS
    if account.running and account.connected is None:
        return False  # a channel without a connection of its own, such as one that is called
    if account.connected is False and account.running:
        return bool(account.error) or not young
    return (bool(account.error) and not account.restart_pending) or not young


@finds(
    "channels/deaf",
    checks=("channels/up",),
    cure=channel_restart(
        "a stop and start of that account makes a new connection; the gateway and the other channels go on",
        proof="the gateway's own status shows the same last poll at two looks, older than two polls take",
    ),
    means="a polling channel says connected, and at two looks no poll has ended for longer than two take",
    helps="stop and start that account: `openclaw gateway call channels.stop`, then `channels.start`",
)
def deaf(accounts: Sequence[Account], now_ms: int, silent: Mapping[str, Silence]) -> Iterator[Finding]:
    """Connected polling accounts whose transport stands still. `silent` are those of the last look.

    The first look says it as information: a machine that was asleep has the same to show for a moment.
    """
    for each in silent_accounts(accounts, now_ms):
        before = silent.get(each.label)
        twice = before is not None and before.poll_ms == each.activity_ms and now_ms - before.seen_ms >= _BETWEEN_MS
        age_s, fix = (now_ms - (each.activity_ms or now_ms)) / 1000, restart_command(each.label)
        yield Finding(
            "channels/deaf",
            "error" if twice else "info",
            fact=f"the channel {each.label} says connected and receives nothing"
            + ("" if twice else " (the next look decides)"),
            saw=f"its last poll came to its end {span(age_s)} ago, at {clock(moment(each.activity_ms or 0))}; "
            f"a poll takes 30 to 50 s" + ("; the last look saw the same one" if twice else ""),
            fix=fix,
            subject=each.label,
            proof=f"two looks saw the same last poll, of {clock(moment(each.activity_ms or 0))}" if twice else "",
        )


def silences(accounts: Sequence[Account], now_ms: int, before: Mapping[str, Silence]) -> dict[str, Silence]:
    """The silent accounts to remember for the next look: the same poll keeps the moment it was first seen."""
    found: dict[str, Silence] = {}
    for each in silent_accounts(accounts, now_ms):
        old, poll_ms = before.get(each.label), each.activity_ms or 0
        found[each.label] = old if old is not None and old.poll_ms == poll_ms else Silence(poll_ms, now_ms)
    return found


def silent_accounts(accounts: Sequence[Account], now_ms: int) -> Iterator[Account]:
    """Polling accounts that say connected and have not ended a poll for more than twice its length."""
    for each in accounts:
        polls = each.mode == "polling" and each.connected is True and each.enabled
        if polls and each.activity_ms is not None and now_ms - each.activity_ms > DEAF_MS:
            yield each


def hears(account: Account, since_ms: int) -> bool:
    """True if an account that was started at that moment has come up since: of one that polls, by a poll that ended."""
    if account.connected is None:
        return account.running is True
    heard = account.activity_ms is not None and account.activity_ms > since_ms
    return account.connected and (heard or account.mode != "polling")


@finds(
    "delivery/dead-letters",
    checks=("delivery/letters",),
    cure=none("a restart sends none of them again"),
    means="messages were given up since the last look (old ones are information)",
    helps="mend the channel; what was given up is sent again by hand, if it still matters",
)
def dead_letters(letters: Sequence[Letters], before: Mapping[str, int] | None) -> Iterator[Finding]:
    """Messages given up, by queue: new ones since the last look, or all of them as information.

    `before` is None at the first look: whatever lies there then is old.
    """
    for each in letters:
        new = each.count - before.get(each.queue, 0) if before is not None else 0
        if not each.count:
            continue
        since = f"the oldest since {clock(moment(each.since_ms))}" if each.since_ms else "the gateway says no time"
        fresh = (
            f"{count(new, 'message')} given up since the last look"
            if new > 0
            else f"{count(each.count, 'message')} lie given up"
        )
        yield Finding(
            "delivery/dead-letters",
            "info" if new <= 0 else "error" if new >= _MANY else "warning",
            fact=f"{fresh} in the queue {each.queue}",
            saw=f"{each.count} in all, {since}",
            fix="none automatic: see to the channel (openclaw channels status --probe), then resend what matters",
            subject=each.queue,
        )


@finds(
    "delivery/backlog",
    checks=("delivery/letters",),
    cure=none("the messages wait for their channel; a restart only makes them wait again"),
    means="messages wait for longer than a quarter of an hour (an error beyond one hour)",
    helps="mend the channel they wait for",
)
def backlog(letters: Sequence[Letters], now_ms: int, down_channels: Sequence[str]) -> Iterator[Finding]:
    """Messages that have waited for too long; where their channel is known to be down, a warning beside that."""
    for each in letters:
        age_ms = now_ms - (each.since_ms if each.since_ms is not None else now_ms)
        if not each.count or age_ms <= _WAITING_MS:
            continue
        explained = any(channel.partition(":")[0] in each.queue for channel in down_channels)
        why = f": {cut(' '.join(each.error.split()), 160)}" if each.error else ""
        yield Finding(
            "delivery/backlog",
            "error" if age_ms > _LONG_MS and not explained else "warning",
            fact=f"{count(each.count, 'message')} wait for {span(age_ms / 1000)} in the queue {each.queue}",
            saw=f"the oldest of {clock(moment(each.since_ms or 0))}{why}",
            fix="openclaw channels status --probe",
            subject=each.queue,
        )


@finds(
    "plugins/failed",
    checks=("plugins/loaded",),
    cure=none("a plugin fails again at the next start until it is mended, updated or allowed"),
    means="a plugin that is switched on does not load, or waits for consent",
    helps="update it (`openclaw plugins update`), allow it, or switch it off",
)
def plugins_failed(view: WorkView) -> Finding | None:
    """Plugins that the gateway itself lists as failed: one finding; an error where a channel or the memory needs it."""
    if not view.plugins:
        return None
    channels = {each.channel for each in view.accounts or () if each.enabled and each.configured}
    needed = [each.id for each in view.plugins if each.id in channels]
    shown = "; ".join(
        f"{each.id}: {cut(' '.join(each.why.split()), 120) or 'no reason given'}" for each in view.plugins[:_SHOWN]
    )
    asks = [each.id for each in view.plugins if each.wants_consent]
    names = ", ".join(each.id for each in view.plugins[:_SHOWN])
    fix = f"wants your consent: openclaw plugins enable {asks[0]}" if asks else "see openclaw plugins doctor"
    return Finding(
        "plugins/failed",
        "error" if needed else "warning",
        fact=f"{count(len(view.plugins), 'plugin')} did not load: {names}"
        + (f"; the channel {needed[0]} needs one" if needed else ""),
        saw=shown,
        fix=f"none automatic: {fix}; openclaw plugins disable ID ends the complaint",
    )


@finds(
    "tasks/stuck",
    checks=("tasks/moving",),
    cure=none("a restart aborts whatever else is at work"),
    means="tasks stand in the gateway's queue without moving, by its own audit (a warning)",
    helps="`openclaw tasks audit` names them; `openclaw tasks cancel ID` ends one",
)
def tasks_stuck(stuck: Mapping[str, int]) -> Finding | None:
    """Queued tasks that never begin are a warning; long ones under way are information, since work may be long."""
    queued, running = stuck.get("stale_queued", 0), stuck.get("stale_running", 0)
    if not queued and not running:
        return None
    said = [f"{queued} queued that never began"] if queued else []
    said += [f"{running} under way without a sign of life"] if running else []
    return Finding(
        "tasks/stuck",
        "warning" if queued else "info",
        fact=f"{count(queued + running, 'task')} of the gateway {'does' if queued + running == 1 else 'do'} not move",
        saw=f"its own audit: {' and '.join(said)}",
        fix="openclaw tasks audit",
    )


@finds(
    "backup/stale",
    checks=("backup/fresh",),
    cure=none("oc-ops makes no backups"),
    means="backups were made in a rhythm, and the last good one is far older than that (a warning)",
    helps="see why `openclaw backup create` fails; renew it",
)
def backup_stale(backups: Sequence[tuple[int, bool]], now_ms: int) -> Finding | None:
    """`backups` are moment and success of each, newest first; fewer than three good ones make no rhythm."""
    good = [at_ms for at_ms, well in backups if well]
    if len(good) < _FEWEST_BACKUPS:
        return None
    gaps = sorted(later - earlier for later, earlier in itertools.pairwise(good))
    usual_ms = max(gaps[len(gaps) // 2], _DAY_MS)
    age_ms = now_ms - good[0]
    if age_ms <= 2 * usual_ms:
        return None
    failed = sum(1 for at_ms, well in backups if not well and at_ms > good[0])
    return Finding(
        "backup/stale",
        "warning",
        fact=f"the last good backup is {span(age_ms / 1000)} old",
        saw=f"of {clock(moment(good[0]))}; before that one came every {span(usual_ms / 1000)}"
        + (f"; {failed} failed since" if failed else ""),
        fix="openclaw backup create --verify",
    )


def _said(flag: bool | None) -> str:
    return "not said" if flag is None else str(flag).lower()
