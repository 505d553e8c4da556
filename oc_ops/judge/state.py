"""Judges of what keeps a gateway from starting: its state directory, its database, and an older or refused binary."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import TypeGuard

from oc_ops.judge.finding import Finding, finds, none
from oc_ops.judge.lifecycle import quoted
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.container import Container
from oc_ops.observe.install import release
from oc_ops.observe.lastwords import LastWords
from oc_ops.observe.leases import LEASE_S, MIGRATION, Lease
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.state import Piece, StateView
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import clock, listing, regex

_MOST_WORDS = 1000
_MOST_NAMED = 5

REASONS = (
    (r"database disk image is malformed|file is not a database", "state/corrupt"),  # SQLite's own, in every release
    (r"integrity_check failed|quick_check failed|SqliteIntegrityError|SQLITE_(?:CORRUPT|NOTADB)", "state/corrupt"),
    (r"uses newer schema version|schema\(s\) are newer than this build", "state/newer-schema"),  # 2026.9.6
    (r"schema version \d+ is newer than supported version", "state/newer-schema"),  # 2026.5.28
    (r"is older than the config last written by OpenClaw", "cli/outdated"),  # 2026.9.6, 2026.5.28
    (r"startup migrations are already running for this state directory", "state/migrating"),  # 2026.9.6
    (r"\b(?:EACCES|EPERM)\b|not readable by the current process", "state/unreadable"),  # Node's own; 2026.9.6
    (r"\bENOSPC\b|no space left on device|database or disk is full|SQLITE_FULL", "host/disk-low"),  # Node's, SQLite's
)
"""OpenClaw's words when it refuses for another reason than its config, and the finding that this is; the first wins.
Compared with the code of the installed releases that are named beside each."""

_UNGUARDED = (2026, 2, 26)
"""The newest release known to start beside a config that a newer one wrote."""
_ALLOWED = "OPENCLAW_ALLOW_OLDER_BINARY_DESTRUCTIVE_ACTIONS"
_HELD = regex(r"owner lease is still active|startup migrations are already running")
"""2026.9.6's words when a lease of another process keeps it out."""
_AFTER = regex(r"or after (\d{4}-\d\d-\d\dT[\d:.]+Z)")
_TRACE = regex(r"\nRequire stack:(?:\n- [^\n]*)+|(?<=\n)(\s+at [^\n]*)(?:\n\s+at [^\n]*)+")
"""Node's trace below an error's message, of which the first place says enough."""
_CONFIG_S = regex(r"include|JSON5?|SyntaxError|env(?:ironment)? var", re.I)


def fault(seen: StateView) -> Finding | None:
    """The first thing wrong with the state directory, as far as its files tell."""
    return unreadable(seen) or corrupt(seen) or migrating(seen)


def unreadable(seen: StateView) -> Finding | None:
    """The gateway's user cannot use pieces of its own state: one command as another user is enough (#78493)."""
    if not seen.barred:
        return None
    barred = [f"{each.path} ({each.owner}, mode {each.mode:04o})" for each in seen.barred]
    return _unreadable(
        f"{listing(barred, _MOST_NAMED)}; the gateway's user is {seen.runner}: {seen.by}",
        " && ".join(_repairs(seen)),
    )


@finds(
    "state/unreadable",
    checks=("state/readable",),
    cure=none(
        "the gateway's user may not use its own state; a start changes no owner, and one as another user makes it worse"
    ),
    means="the gateway's user cannot use pieces of its own state; names them and who owns them",
    helps="the `chown` that it prints; no restart",
)
def _unreadable(saw: str, repair: str) -> Finding:
    return Finding(
        "state/unreadable",
        "error",
        fact="the gateway's user cannot read or write pieces of its own state",
        saw=saw,
        fix=f"none automatic: {repair}; a start or restart changes nothing before that, "
        "and openclaw commands belong to the gateway's user alone",
    )


def _repairs(seen: StateView) -> list[str]:
    """The exact commands, for those pieces and nothing else."""
    root = PurePath(seen.state_dir)
    repairs = []
    for ours, command in ((False, f"sudo chown -R {seen.runner}"), (True, "chmod -R u+rwX")):
        paths = _outermost([each for each in seen.barred if each.ours is ours])
        if len(paths) > _MOST_NAMED:
            paths = [str(root)]
        if paths:
            repairs.append(" ".join([command, *map(shlex.quote, paths)]))
    return repairs


def _outermost(pieces: Sequence[Piece]) -> list[str]:
    """The paths that are below none of the others."""
    paths = {each.path for each in pieces}
    return sorted(str(each) for each in paths if not paths.intersection(each.parents))


def corrupt(seen: StateView) -> Finding | None:
    """The state database is damaged, or its gateway writes into side files that were deleted under it (#126356)."""
    if seen.detached:
        return _corrupt(
            "the gateway's database files were deleted or moved from under it: what it writes now is lost with its "
            "end, and another start begins without what they hold",
            "; ".join(seen.detached),
            seen,
            "move them back if they were moved; else before anything ends that gateway, copy what it has open (ls -l "
            "/proc/PID/fd shows the numbers) and",
        )
    return _corrupt(_DAMAGED, f"{seen.database}: {seen.damage}", seen) if seen.damage else None


_DAMAGED = "the state database is damaged: a gateway does not start with it, and commands of the CLI fail"


@finds(
    "state/corrupt",
    checks=("state/readable",),
    cure=none(
        "a gateway does not start with a damaged database, and every process that opens it can damage it more",
        proof="the state database itself does not open, or its gateway has deleted files of it open",
    ),
    means="the state database is damaged, or its side files were deleted under the gateway; names the newest backup",
    helps="restore it by hand; no start, no `doctor --fix`",
)
def _corrupt(fact: str, saw: str, seen: StateView, copy: str = "keep a copy of") -> Finding:
    return Finding(
        "state/corrupt",
        "error",
        fact,
        saw=f"{saw}; {_backup(seen)}",
        fix=f"none automatic: stop every openclaw command and job first, {copy} {seen.database.parent}, then "
        f"restore {seen.database} from a verified backup (openclaw backup verify); until then no start, no restart, "
        "no openclaw doctor --fix, and its -wal and -shm files stay",
    )


def _backup(seen: StateView) -> str:
    if not seen.backups:
        return "no backup lies beside it, in the state directory or in the home directory"
    when_s, path = seen.backups[0]
    hours = max(0.0, seen.at_s - when_s) / 3600
    return f"newest backup seen: {path}, {f'{hours:.0f} h' if hours < 48 else f'{hours / 24:.0f} days'} old"


def migrating(seen: StateView) -> Finding | None:
    """Another process holds the start-up migration, or did when its machine went away (#111972)."""
    if seen.lease is None:
        return None
    return _migrating(seen.lease.summary, datetime.fromtimestamp(seen.lease.until_s, UTC))


@finds(
    "state/migrating",
    checks=("state/readable",),
    cure=none(
        "a start is refused until the migration's lease ends, and spends the restart budget for nothing",
        proof="the lease in the state database names its holder and its end",
    ),
    means="a start-up migration holds the state until a given time",
    helps="wait until then, then start once",
)
def _migrating(saw: str, until: datetime | None) -> Finding:
    when = clock(until, "time") if until else "the time that it names"
    return Finding(
        "state/migrating",
        "error",
        fact=f"a start-up migration holds the state until {when}: a gateway that starts before is refused",
        saw=saw,
        fix=f"none automatic: wait until {when}, then start it once; a start before that ends with exit code 78",
    )


@finds(
    "gateway/state-held",
    state="kept-out",
    checks=("gateway/live",),
    cure=none(
        "a start is refused until that claim ends, and spends the restart budget for nothing",
        proof="the claim in the state database names its holder and its end, or the gateway's own last words name it",
    ),
    means="another gateway's claim on the state keeps it out: that of one on the same state, or of one that was killed "
    "and had another host name, such as the predecessor of a container that was created again",
    helps="wait until it ends, then start once; of two that live stop one",
)
def held(lease: Lease, then: str, there: Container | None = None) -> Finding:
    """A gateway is down and would not come up beside another one's lease on its state; `then` is what is right after,
    `there` the container that is looked at.

    A migration's lease is told so of a container's state alone: `migrating` has that of this machine.
    """
    when, holder = clock(datetime.fromtimestamp(lease.until_s, UTC), "time"), lease.holder
    whose = "a start-up migration" if lease.scope == MIGRATION else "another gateway's claim"
    fact = f"{whose} holds the state until {when}: a gateway that starts before is refused"
    fix = f"wait until {when}, then {then}; if that time moves on, a gateway on host {lease.host} still lives on this "
    fix += "state: stop one of the two"
    if holder is not None and holder.state == "running":
        fact = f"container {holder.name} runs a gateway on the same state: a second one is refused"
        keep = f"keep the one that runs, {holder.name}, and "
        fix = f"{keep}stop this one ({there.runtime} stop {there.name})" if there else f"{keep}do not start this one"
        fix += ", or give each a state of its own"
    return Finding("gateway/state-held", "error", fact=fact, saw=lease.summary, fix=f"none automatic: {fix}")


def held_by(words: LastWords | None, then: str, now: datetime) -> Finding | None:
    """The same by the gateway's own last words, where its database is not to be read from here."""
    if not _kept_out(words) or not words.at <= now < words.at + timedelta(seconds=LEASE_S):
        return None
    when = clock(words.at + timedelta(seconds=LEASE_S), "time")
    return Finding(
        "gateway/state-held",
        "error",
        fact=f"another lease holds the state until {when} at the latest: a gateway that starts before is refused",
        saw=quoted(words),
        fix=f"none automatic: wait until {when}, then {then}; if it is refused again, a second gateway lives on this "
        "state: stop one of the two",
    )


def no_longer_held(words: LastWords | None, there: Container) -> Finding | None:
    """A container between two starts whose last one was refused so, and whose state nobody holds any more."""
    if there.state != "restarting" or not _kept_out(words):
        return None
    return Finding(
        "gateway/state-held",
        "error",
        fact="another lease held the state and has ended: the next start is not refused",
        saw=quoted(words),
        fix=f"none automatic: {there.runtime} starts it by itself within a minute: look again then",
    )


def _kept_out(words: LastWords | None) -> TypeGuard[LastWords]:
    return words is not None and _HELD.search(words.text) is not None


@finds(
    "state/newer-schema",
    checks=("state/readable",),
    cure=none(
        "this build refuses what a newer one wrote, at every start; which of the two is meant is the operator's choice"
    ),
    means="the database was written by a newer build, which this one refuses",
    helps="run the newer build, or restore the backup from before",
)
def newer_schema(saw: str, seen: StateView, found: Sequence[tuple[Path, str]] = ()) -> Finding:
    """The database was written by a newer build than the one that would start (#1285 of ClawX, #148866)."""
    facts = f"{seen.database}: schema {seen.schema}, last written by build {seen.writer or 'unknown'}; "
    return Finding(
        "state/newer-schema",
        "error",
        fact="the state database was written by a newer OpenClaw than this one, which refuses it",
        saw=f"{facts if seen.schema is not None else ''}{saw}; {_installed(found)}; {_backup(seen)}",
        fix="none automatic: run the newer build again (first on PATH, or reinstall the service from it), or with "
        "everything stopped restore the backup from before the update; the database itself is never edited",
    )


def outdated(
    config: GatewayConfig,
    command: Path,
    version: str,
    found: Sequence[tuple[Path, str]] = (),
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Finding | None:
    """The command is older than what last wrote the config: every start through it is refused (#154630).

    `version` is the command's own, "" where that is not known; OpenClaw's variable for a wanted downgrade counts.
    """
    own, wrote = release(version), release(config.written_by)
    if own is None or wrote is None or own[:3] >= wrote[:3] or own <= _UNGUARDED:
        return None
    if environ.get(_ALLOWED, "").strip().lower() in ("1", "true", "yes"):
        return None
    saw = f"{command} is {version}; meta.lastTouchedVersion in {config.path} is {config.written_by}"
    return _outdated(saw, found)


def _outdated(saw: str, found: Sequence[tuple[Path, str]]) -> Finding:
    return Finding(
        "cli/outdated",
        "error",
        fact="the `openclaw` command is older than what last wrote the config or state: it refuses to start a gateway",
        saw=f"{saw}; {_installed(found)}",
        fix="none automatic: run the newer one (first on PATH, or npm install -g openclaw@RELEASE and reinstall the "
        "service from it); a start through the older one is refused",
    )


def _installed(found: Sequence[tuple[Path, str]]) -> str:
    listed = ", ".join(f"{path} {version}" for path, version in found[:_MOST_NAMED])
    return f"installed here: {listed}" if listed else "no other openclaw was found here"


# -- what OpenClaw's own validation says -------------------------------------------------------------------------------


def is_config_issue(issue: object) -> bool:
    """True if an issue of `config validate` speaks of the config: "read failed" at its root is any failure at all."""
    words = text_at(issue, "message")
    if not words or text_at(issue, "path") not in ("", "<root>"):
        return bool(words)
    return reason(words) == "" and (not words.startswith("read failed:") or _CONFIG_S.search(words) is not None)


def reason(words: str) -> str:
    """The finding id that these words are known to mean, or nothing."""
    return next((check for pattern, check in REASONS if re.search(pattern, words, re.I)), "")


def refused(answer: Answer, seen: StateView, found: Sequence[tuple[Path, str]] = ()) -> Finding | None:
    """The finding of a known refusal that is not the config's; None for an answer that refuses nothing or is not known.

    A permission that only we lack says nothing of the gateway.
    """
    words = unsaid(answer)
    match reason(words):
        case "state/corrupt":
            return _corrupt(_DAMAGED, words, seen)
        case "state/newer-schema":
            # Beside a gateway that lives it is this command that is too old, not the data too new.
            return _outdated(words, found) if seen.lives else newer_schema(words, seen, found)
        case "cli/outdated":
            return _outdated(words, found)
        case "state/migrating":
            until = _AFTER.search(words)
            return _migrating(words, datetime.fromisoformat(until[1]) if until else None)
        case "state/unreadable" if seen.is_ours:
            return _unreadable(
                words,
                f"see who owns what it names (ls -la {shlex.quote(str(seen.state_dir))}), then "
                f"sudo chown -R {seen.runner} THAT_PATH",
            )
        case "host/disk-low":
            return Finding(
                "host/disk-low",
                "error",
                fact="OpenClaw finds no room to write its state",
                saw=words,
                fix=f"none automatic: make room first (df -h {shlex.quote(str(seen.state_dir))}), not in the state",
            )
    return None


def unsaid(answer: Answer) -> str:
    """Why an answer of `config validate` refuses, when it is not for the config: its words, whole and on one line.

    Nothing for one that accepts, is not offered, did not end, or names an issue of the config.
    """
    if at(answer.value, "valid") is True or answer.not_offered or answer.call.outcome in ("timed-out", "missing"):
        return ""
    issues = at(answer.value, "issues")
    listed = issues if isinstance(issues, list) else []
    if any(map(is_config_issue, listed)):
        return ""
    told = [text_at(each, "message") for each in listed] or [text_at(answer.value, "error", "message")]
    printed = answer.call.stderr.text or ("" if answer.value else answer.call.stdout.text)
    words = " ".join(_TRACE.sub(r"\1", "\n".join(filter(None, told)) or printed).split())
    ended = "fails" if answer.call.outcome in ("answered", "lingered", "refused") else answer.call.outcome
    shown = f"{words[:_MOST_WORDS]}{'…' if len(words) > _MOST_WORDS else ''}" or "it says nothing"
    return f"`openclaw config validate` {ended}: {shown}"
