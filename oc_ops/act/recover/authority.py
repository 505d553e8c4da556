"""The right to command the unit of a gateway, and the words for it: the user's own, root's, or sudo's."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import psutil

from oc_ops.observe.service import Service, ask
from oc_ops.text import regex

Verb = Literal["start", "restart"]

_uid = os.geteuid  # tests put another account in its place
_ASK_S = 5.0
_RULE = regex(r"^\s+\((?P<as>[^)]*)\)\s+(?P<rest>\S.*)$")
_TAG = regex(r"^(?:[A-Z_]+:\s*)+")


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
