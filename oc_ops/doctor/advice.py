"""The fix of a finding as it must be pasted here: for this gateway, in its owner's ways, after what was tried."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property

import psutil
from msgspec.structs import replace

from oc_ops.errors import OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge.finding import KINDS, Finding
from oc_ops.judge.findings import state_of
from oc_ops.observe import service
from oc_ops.observe.container import Container
from oc_ops.record.incidents import book
from oc_ops.text import NO_COMMAND, clock

_DOCTOR = "oc-ops doctor"
_COMMANDS = "(?:gateway|browser|channels|config|cron|devices|doctor|tasks)"
_ACTS = ("restart", "start", "browser-restart", "channel-restart")
_MEND_FIRST = ("gateway/start-refused", "gateway/crash-loop")
_NO_SYSTEMD = (
    "in this WSL2 systemd is off, so no unit can bring it back: [boot] systemd=true in /etc/wsl.conf, then "
    "wsl --shutdown from Windows"
)
_NIX = "in your Nix configuration"

_IN_NIX: tuple[tuple[str, str], ...] = (
    (r"openclaw config set ([\w.]+) (\S+?)(?: && openclaw gateway restart)?(?=$|[ ,;:)])", rf"set \1 to \2 {_NIX}"),
    (r"openclaw config set(?: ([\w.]+))?", rf"set it {_NIX}"),
    (r"openclaw gateway install --force(?: && openclaw gateway restart)?", f"rebuild it {_NIX}"),
    (r"(?<!no )openclaw doctor --fix(?: repairs what it can)?", f"change it {_NIX}"),
    (r"npm install -g openclaw(?:@\S+?)?(?=[ ,;)]|$)", f"change its release {_NIX}"),
    (r"\b(?:re)?install the (service|release)\b", rf"change the \1 {_NIX}"),
    (r"\binstall OpenClaw\b( again| there again)?", f"change OpenClaw {_NIX}"),
    (r"correct ExecStart \([^)]*\)|raise LimitNOFILE \([^)]*\)", f"change the unit {_NIX}"),
    (r"\brepair (\S*openclaw\.json\S*)", rf"correct what makes \1, {_NIX}"),
)
"""Commands that a Nix installation refuses or the next rebuild takes back: config, unit and program are its own
(measured: each of these commands of 2026.9.6 refuses under OPENCLAW_NIX_MODE=1)."""


_IN_CONTAINER: tuple[tuple[str, str], ...] = (
    (r"install OpenClaw again \(npm install -g openclaw\)", "create its container again from a whole image"),
    (r"its unit the right \(AmbientCapabilities=\w+\)", "its container the right (--cap-add NET_BIND_SERVICE)"),
    (r"install (the Node\.js that the message names), and reinstall the service with it", r"take an image that has \1"),
    (r"where its service reads it", "where its container reads it (-e, --env-file, a secret)"),
    (r"ulimit -n, LimitNOFILE", "--ulimit nofile"),
)
"""The same advice for a container, whose programs come with its image and whose rights with its creation."""
_STAYS_S = 60.0


class Advice:
    """How fixes are told of one gateway."""

    def __init__(self, gateway: Gateway, *, lab: bool = False) -> None:
        self._gateway, self._lab = gateway, lab

    def on(self, finding: Finding) -> Finding:
        """The finding with its commands as they reach this gateway; the redaction is the caller's."""
        clean = self._after_what_was_tried(finding)
        fix = in_nix(clean.fix) if self._nix else clean.fix
        if finding.check == "gateway/down" and clean.without_unit and service.without_systemd():
            fix = f"{fix}; {_NO_SYSTEMD}"
        there = self._gateway.target.container
        if there is not None and finding.check in _MEND_FIRST:
            fix = self._mended(fix)
            if there.state == "exited" and finding.check == "gateway/start-refused":
                fix = f"{fix}; then {' '.join(there.words('start'))}"
        return replace(clean, fix=self._here(fix), verify=self._here(finding.verify))

    def _mended(self, fix: str) -> str:
        """The fix for a container that does not come up, in a container's words and with the place of its config."""
        for pattern, words in _IN_CONTAINER:
            fix = re.sub(pattern, words, fix)
        if (path := self._gateway.config.path).is_file():
            fix = f"{fix}; its config is {path} on this machine"
        return fix

    def _here(self, command: str) -> str:
        """The command as it must be pasted to reach the gateway that was looked at, and no other."""
        if self._lab:
            warning = f"{NO_COMMAND}this is the lab, in {self._gateway.target.home}: "
            return f"{command} --lab" if command.startswith(_DOCTOR) else re.sub("^(?=openclaw )", warning, command)
        there, settings = self._gateway.target.container, self._gateway.settings
        if there is not None:
            command = re.sub(
                "^openclaw gateway (restart|start)\\b.*",
                lambda each: " ".join(there.words("restart" if each[1] == "restart" else "start")),
                command,
            )
            command = re.sub(rf"\bopenclaw (?={_COMMANDS}\b)", lambda _: f"{shlex.join(_way_in(there))} ", command)
        if settings.target != "local" and command.startswith(_DOCTOR):
            command = f"{command} --target {settings.target}"
        if profile := settings.profile:
            command = re.sub(rf"\bopenclaw (?={_COMMANDS}\b)", f"openclaw --profile {profile} ", command)
            return f"{command} --oc-profile {profile}" if command.startswith(_DOCTOR) else command
        return command

    # -- what was tried -------------------------------------------------------------------------------------------

    @cached_property
    def _tried(self) -> Mapping[str, tuple[datetime, str]]:
        journal = book.journal(self._gateway.settings.memory_dir)
        try:
            return book.tried(journal, self._gateway.key, datetime.now(UTC))
        except OcOpsError:
            return {}

    def _after_what_was_tried(self, finding: Finding) -> Finding:
        """Something else than what recovery tried of this very fault and did not help."""
        kind = KINDS.get(finding.check)
        if finding.severity != "error" or kind is None or kind.cure.action not in _ACTS:
            return finding
        if (found := self._tried.get(finding.check)) is None or finding.for_a_person:
            return finding
        when, command = found
        if not _same(command, finding.fix) and not _same(command, self._here(finding.fix)):
            return finding
        saw = f"{finding.saw}; `{command}` was tried at {clock(when)} and did not help"
        return replace(finding, saw=saw, fix=self._next(finding, kind.cure.action))

    def _next(self, finding: Finding, action: str) -> str:
        """The last advice: the breaker for a process that answers no one, else the reason why it does not start."""
        there, seen = self._gateway.target.container, self._gateway.seen
        if there is not None:
            return f"{there.runtime} logs --tail 50 {there.name}"
        if action in ("browser-restart", "channel-restart"):
            return "openclaw browser doctor" if action == "browser-restart" else "openclaw channels status --probe"
        if state_of(finding.check) == "mute":
            return "oc-ops breaker list"
        unit = seen.service if seen else None
        if unit is not None and unit.manager == "systemd":
            user = "" if unit.scope == "system" else "--user "
            return f"{'sudo ' if unit.scope == 'system' and os.geteuid() else ''}journalctl {user}-u {unit.unit} -n 50"
        return "openclaw gateway status --deep"

    # -- who owns config, unit and program ------------------------------------------------------------------------

    @cached_property
    def _nix(self) -> bool:
        """True if Nix owns them: by the environment of the gateway's process or ours, or by where they lie."""
        target, gateway = self._gateway.target, self._gateway
        if target.environ.get("OPENCLAW_NIX_MODE") == "1":
            return True
        places = [target.config_path, *([gateway.executable] if gateway.executable and not target.container else [])]
        if any(os.path.realpath(each).startswith("/nix/store/") for each in places):
            return True
        for process in gateway.seen.processes if gateway.seen else ():
            try:
                if process.certain and psutil.Process(process.pid).environ().get("OPENCLAW_NIX_MODE") == "1":
                    return True
            except (psutil.Error, OSError):
                continue
        return False


def _way_in(there: Container) -> list[str]:
    """The `openclaw` of a container: by `exec`, or by one of its image and volumes where it does not run, or not long.

    Where no image is known it stays the plain command.
    """
    stays = there.state == "running" and (not there.restarts or (there.age_s or 0.0) > _STAYS_S)
    if stays or there.state == "paused":
        return [there.runtime, "exec", there.name, "openclaw"]
    if not there.image:
        return ["openclaw"]
    user = ["--user", there.user] if there.user else []
    way = [there.runtime, "run", "--rm", "--volumes-from", there.name, *user, "--entrypoint", ""]
    return [*way, there.image, *there.openclaw]


def in_nix(fix: str) -> str:
    """A fix whose edits and installations are made where Nix keeps them; what it does not forbid stays as it is."""
    told = fix
    for pattern, words in _IN_NIX:
        told = re.sub(pattern, words, told)
    if told == fix or told.startswith(NO_COMMAND):
        return told
    return f"{NO_COMMAND}{told}"


def _same(tried: str, fix: str) -> bool:
    """True if a fix begins with what was tried; `--safe` is a way of the same restart."""
    return fix.startswith(tried.removesuffix(" --safe"))
