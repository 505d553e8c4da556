"""The process that has the gateway's credential where our environment lacks it, and its value where the OS shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from oc_ops import files
from oc_ops.observe import inside, processes, state
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.target import Target
from oc_ops.text import regex

_ENVIRONMENT_FILE = regex(r"^\s*EnvironmentFile\s*=\s*-?(.+?)\s*$", re.M)


@dataclass(frozen=True, slots=True)
class Held:
    """Where the variables that the credential rests on are, and are not: names only, values never leave `lent`.

    `lent` is what the gateway's own process has and our environment has not, or has otherwise. `holders` are the
    places in words, `note` is what there is to say of a process that lends nothing. `astray` are those of them that our
    own environment has otherwise, or may have: it wins over the state directory's .env. `lacking` says that
    the gateway's own process was started without any of them.
    """

    variables: tuple[str, ...]
    lent: Mapping[str, str] = field(default_factory=dict, repr=False)
    holders: tuple[str, ...] = ()
    note: str = ""
    astray: tuple[str, ...] = ()
    lacking: bool = False


def complete(target: Target) -> tuple[Target, GatewayConfig, Held | None]:
    """The config of a target, with what its credential lacks here taken from the gateway's own process.

    The target's environment then holds it as well, so that our `openclaw` calls have it in theirs, and the config's
    secrets do, so that no report shows it. Nothing is looked for where the config tells the credential. Raises
    CouldNotLook as `state.read_config` does.
    """
    if target.container is not None:
        return target, inside.config_of(target), None
    read = state.read_config(target)
    held = look(target, read)
    if held is None or not held.lent:
        return target, read, held
    fuller = replace(target, environ={**target.environ, **held.lent})
    completed = state.read_config(fuller)
    if completed.credential == read.credential:  # such as from the state directory's .env
        return target, read, replace(held, lent={})
    return fuller, replace(completed, secrets=(*completed.secrets, *held.lent.values())), held


def look(target: Target, read: GatewayConfig) -> Held | None:
    """Look for the variables of the config's credential; None where it rests on none. Costs one process list."""
    variables = read.credential.variables
    if not variables:
        return None
    lent: dict[str, str] = {}
    holders: list[str] = []
    note, lacking = "", False
    astray = tuple(name for name in variables if target.environ.get(name))
    for process in processes.gateway_processes(target):
        if not process.certain:
            continue
        who = f"the gateway's process (pid {process.pid})"
        try:
            environ = psutil.Process(process.pid).environ()
        except (psutil.Error, OSError):
            note = f"the environment of {who} may not be read by this user"
            break
        astray = tuple(name for name in astray if target.environ[name] != environ.get(name))
        has = {name: environ[name] for name in variables if environ.get(name)}
        lent = {name: value for name, value in has.items() if target.environ.get(name) != value}
        if has:
            holders.append(who)
        else:
            lacking = True
            # 2026.9.6 then logs "auth token was missing. Generated a runtime token for this startup …".
            note = f"{who} was started without it, and may use a throw-away token that changes with every restart"
        break
    return Held(variables, lent, (*holders, *_files(target, variables)), note, astray, lacking)


def _files(target: Target, variables: tuple[str, ...]) -> Iterator[str]:
    """The service's own files that set one of them: unit, drop-ins, environment files, launchd agent."""
    suffix = f"-{target.profile}" if target.profile else ""
    units = target.home / ".config" / "systemd" / "user"
    unit = units / f"openclaw-gateway{suffix}.service"
    agent = target.home / "Library" / "LaunchAgents" / f"ai.openclaw.{target.profile or 'gateway'}.plist"
    own = [unit, *sorted((units / f"{unit.name}.d").glob("*.conf")), target.state_dir / "gateway.systemd.env", agent]
    for path in dict.fromkeys([*own, *_named(own, target.home)]):
        text = _text(path)
        if any(re.search(rf"\b{re.escape(name)}\b\s*(?:=|</key>)", text) for name in variables):
            yield str(path)


def _named(units: list[Path], home: Path) -> Iterator[Path]:
    for unit in units:
        for name in _ENVIRONMENT_FILE.findall(_text(unit)):
            path = Path(name.strip("\"'").replace("%h", str(home)))
            if path.is_absolute():
                yield path


def _text(path: Path) -> str:
    """A small regular file's text; empty for whatever else stands there."""
    try:
        return files.read_text(path, files.SMALL_BYTES, errors="replace")
    except OSError:
        return ""
