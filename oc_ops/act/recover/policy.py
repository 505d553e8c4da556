"""The bounds of recovery: which cure fits which finding, and whether it may command the unit of the gateway."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import psutil

from oc_ops.judge.catalogue import Signature, catalogue
from oc_ops.judge.finding import Cure, Finding
from oc_ops.judge.findings import KINDS
from oc_ops.observe.service import Service, ask

NEVER = (
    "state/",
    "config/",
    "service/",
    "cli/outdated",
    "gateway/auth-rejected",
    "gateway/port-taken",
    "gateway/saturated",
    "gateway/crash-loop",
)
"""Beginnings of ids that no table, option or setting can make recovery act on: the second lock on that door."""

_SIGNATURE = "logs/"

BESIDE: Mapping[str, str] = {
    "auth.device_token": "a device that is refused is no reason to leave a gateway down",
    "auth.pairing": "a device that waits to be paired is no reason to leave a gateway down",
    "auth.scope": "a client that asks for too much is no reason to leave a gateway down",
    "cfg.invalid": "the config is validated again before the act",
    "cfg.reload_skipped": "the config is validated again before the act",
    "gw.mode_missing": "the config is validated again before the act",
    "gw.health_wait": "the start budget is waited for before the act",
}
"""Signature ids that forbid a restart on their own account only, and why: another finding's cure stands beside them."""

_WHY = {
    "forbidden": "a restart does harm here",
    "useless": "a restart cures nothing here",
    "allowed": "the gateway answers: a line in its log alone is no reason to abort its work",
}


def never(check: str) -> bool:
    """True for findings that recovery must not act on by any path, `--force` included."""
    return check.startswith(NEVER)


def cure_of(check: str, signatures: Sequence[Signature] | None = None) -> Cure:
    """The one cure of a finding id; `none` for an id that no release of oc-ops knew when this was written."""
    kind = KINDS.get(check)
    found = kind.cure if kind else _of_signature(check, catalogue() if signatures is None else signatures)
    if found is None:
        return Cure("none", "no cure is known for it")
    return Cure("none", found.why) if never(check) else found


def standing_against(
    findings: Iterable[Finding], signatures: Sequence[Signature] | None = None
) -> tuple[Finding, str] | None:
    """The first log finding that forbids a restart whatever else wants one, and why; None when there is none."""
    known = {f"{_SIGNATURE}{each.id}": each for each in (catalogue() if signatures is None else signatures)}
    for each in findings:
        signature = known.get(each.check)
        if signature is not None and signature.restart == "forbidden" and signature.id not in BESIDE:
            return each, _WHY["forbidden"]
    return None


def _of_signature(check: str, signatures: Sequence[Signature]) -> Cure | None:
    """A line tells of the past: it may speak against a restart, but none is done for a line alone."""
    own = next((each for each in signatures if check == f"{_SIGNATURE}{each.id}"), None)
    return Cure("none", _WHY[own.restart]) if own else None


Verb = Literal["start", "restart"]

_uid = os.geteuid  # tests put another account in its place
_ASK_S = 5.0
_RULE = re.compile(r"^\s+\((?P<as>[^)]*)\)\s+(?P<rest>\S.*)$")
_TAG = re.compile(r"^(?:[A-Z_]+:\s*)+")


def command(service: Service, verb: Verb) -> tuple[str, ...]:
    """The manager's own words for a unit that is not asked through OpenClaw."""
    if service.manager == "launchd":
        return tuple(word for word in service.command(verb).split() if word != "sudo")
    if service.scope == "system":
        return ("systemctl", "--no-ask-password", verb, service.unit)
    return ("systemctl", "--user", verb, service.unit)


def allowed(service: Service, verb: Verb, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The words that command a unit from here without a password; empty where nothing does.

    A user's own unit is that user's. A system unit is root's, or sudo's that is told to run exactly this command for
    nothing: `sudo -n -l` is asked, which runs nothing. Credentials that sudo remembers for a while count for nothing.
    """
    words = command(service, verb)
    if service.scope == "user" or _uid() == 0:
        return words
    plain = tuple(each for each in words if each != "--no-ask-password")
    if shutil.which("sudo", path=environ.get("PATH", os.defpath)) is None:
        return ()
    permitted = ask(["sudo", "-n", "-l", *plain], environ, _ASK_S)
    if permitted.outcome != "answered" or not (path := permitted.stdout.text.split()[:1]):
        return ()
    listed = ask(["sudo", "-n", "-l"], environ, _ASK_S)
    if listed.outcome != "answered" or not _for_nothing(listed.stdout.text, [path[0], *plain[1:]]):
        return ()
    return ("sudo", "-n", *plain)


def _for_nothing(listed: str, words: Sequence[str]) -> bool:
    """True if a list of rules holds one, as root and without a password, for exactly this command."""
    return any(_matches(rule, words) for rule in _free_rules(listed))


def _free_rules(listed: str) -> Iterator[str]:
    """The commands of `sudo -l` that root's rules give without a password; a tag holds until another one says more."""
    joined = re.sub(r",\n\s+", ", ", listed)
    for line in joined.splitlines():
        found = _RULE.match(line)
        if found is None or not {each.strip() for each in re.split(r"[,:]", found["as"])} & {"root", "ALL"}:
            continue
        free = False
        for each in re.split(r",\s+", found["rest"]):
            tags = _TAG.match(each)
            if tags and "NOPASSWD:" in tags[0]:
                free = True
            elif tags and "PASSWD:" in tags[0]:
                free = False
            if free:
                yield _TAG.sub("", each).strip()


def _matches(rule: str, words: Sequence[str]) -> bool:
    if rule == "ALL":
        return True
    try:
        path, *arguments = shlex.split(rule)
    except ValueError:
        return False
    if os.path.realpath(path) != os.path.realpath(words[0]):
        return False
    return not arguments or fnmatch.fnmatchcase(" ".join(words[1:]), " ".join(arguments))


def no_system_manager(environ: Mapping[str, str]) -> bool:
    """True if this machine has no system service manager at all, as in a container: no unit of it can own anything.

    OpenClaw asks that manager whether it has a unit of the same name before it starts the user's, and gives up without
    an answer. One that merely does not answer may own it: that is not "none".
    """
    try:
        if psutil.Process(1).name() in ("systemd", "init", "launchd"):
            return False
    except psutil.Error:
        return False
    said = ask(["systemctl", "show", "--property=Version"], environ, _ASK_S)
    return said.outcome == "refused" and "Failed to connect to bus" in said.stderr.text
