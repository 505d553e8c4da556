"""Which gateway is looked at: its profile, state directory, config file and the environment its CLI gets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from oc_ops.errors import SettingError
from oc_ops.observe import container
from oc_ops.observe.container import Container
from oc_ops.settings import Settings
from oc_ops.text import regex

_PROFILE = regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_CONTAINER = regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
STATE_FOLDER = regex(r"\.openclaw(?:-(?P<profile>[A-Za-z0-9][A-Za-z0-9_-]*))?")
"""The name of a state directory, with the profile that it is of."""
CONTAINERS = ("podman", "docker", "compose", "cell")
"""The kinds of target that are containers, each with a name behind a colon."""

_NOWHERE = Path("/nonexistent")
"""Stands for a state directory that is in the container alone."""


@dataclass(frozen=True, slots=True)
class Target:
    """One OpenClaw installation's state, as the CLI would resolve it from the same environment."""

    environ: Mapping[str, str] = field(repr=False)
    profile: str | None
    home: Path
    state_dir: Path
    config_path: Path
    choice: str = "local"
    """The choice: `local`, `profile:NAME`, or a container."""
    container: Container | None = None
    """The container as it was when it was found; its paths above are those of its mounts on this machine."""

    @property
    def key(self) -> str:
        """A short name for the target, the same in every process that looks at it, by whatever path."""
        return _digest(self.choice if self.container is not None else os.path.realpath(self.state_dir))

    @property
    def name(self) -> str:
        """Its name for people and figures: its profile, `default`, or the container as it was chosen."""
        return self.choice if self.container is not None else self.profile or "default"


class Identity(NamedTuple):
    """`Target.key` and `Target.name`."""

    key: str
    name: str


def identify(environ: Mapping[str, str], profile: str | None = None, choice: str = "local") -> Identity:
    """Which gateway `choose` would resolve, without asking any container runtime; raises SettingError as it does."""
    kind, name = _kind(choice, profile)
    if kind in CONTAINERS:
        return Identity(_digest(choice), choice)
    found = locate(environ, name if kind == "profile" else profile)
    return Identity(found.key, found.name)


def chosen(settings: Settings, environ: Mapping[str, str]) -> Identity | None:
    """The gateway that --target, OC_OPS_TARGET or a settings file names; None where none does. Raises SettingError."""
    if settings.source("target") == "default":
        return None
    return identify(environ, settings.profile, settings.target)


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:12]


def locate(environ: Mapping[str, str], profile: str | None = None) -> Target:
    """Resolve the target as `openclaw [--profile NAME]` does; measured on 2026.9.6 (its docs/help/environment.md).

    `profile` is what `--profile` would be given: it chooses `~/.openclaw-NAME`, unless OPENCLAW_STATE_DIR or
    OPENCLAW_CONFIG_PATH say otherwise. OPENCLAW_PROFILE alone moves no folder: it names the service and the log file.
    Raises SettingError for a profile name that OpenClaw would not accept.
    """
    inherited = environ.get("OPENCLAW_PROFILE", "").strip()
    for name, source in ((profile, "option or setting"), (inherited, "OPENCLAW_PROFILE in environment")):
        if name and not _PROFILE.fullmatch(name):
            raise SettingError("profile", name, source, "letters, digits, - and _ only")
    home = _home(environ)
    own = home / f".openclaw{_suffix(inherited)}"
    state_dir = _path(environ, "OPENCLAW_STATE_DIR", home)
    config_path = _path(environ, "OPENCLAW_CONFIG_PATH", home)
    if profile:
        chosen = home / f".openclaw{_suffix(profile)}"
        # What was inherited from a service of another profile does not bind the chosen one.
        if chosen != own and state_dir in (None, own):
            state_dir = None
            config_path = None if config_path == own / "openclaw.json" else config_path
        state_dir = state_dir or chosen
        config_path = config_path or state_dir / "openclaw.json"
        environ = {
            **environ,
            "OPENCLAW_PROFILE": profile,
            "OPENCLAW_STATE_DIR": str(state_dir),
            "OPENCLAW_CONFIG_PATH": str(config_path),
        }
    state_dir = state_dir or home / ".openclaw"
    named = profile or inherited
    return Target(
        environ=environ,
        profile=named if _suffix(named) else None,
        home=home,
        state_dir=state_dir,
        config_path=config_path or state_dir / "openclaw.json",
    )


def choose(environ: Mapping[str, str], profile: str | None = None, choice: str = "local") -> Target:
    """Resolve what `--target` names: `local` or empty, `profile:NAME`, or a container by its runtime.

    Raises SettingError for a target of no known form, for two profiles at once, and for a name that several have. A
    container that is not there, or a runtime that cannot be asked, is the target's `container` all the same.
    """
    kind, name = _kind(choice, profile)
    if kind == "local":
        return locate(environ, profile)
    if kind == "profile":
        return replace(locate(environ, name), choice=choice)
    return _contained(container.look(kind, name, environ), choice)


def _kind(choice: str, profile: str | None) -> tuple[str, str]:
    """A choice in its two parts; raises SettingError for one of no known form, and for two profiles at once."""
    kind, _, name = choice.partition(":")
    if kind == "local" and not name:
        return kind, name
    if kind == "profile" and name:
        if profile not in (None, name):
            raise SettingError("target", choice, "option or setting", f"the same profile as --oc-profile {profile}")
        return kind, name
    if kind not in CONTAINERS or not _CONTAINER.fullmatch(name):
        forms = "local, profile:NAME, podman:NAME, docker:NAME, compose:SERVICE or cell:TENANT"
        raise SettingError("target", choice, "option or setting", forms)
    if profile:
        raise SettingError("target", choice, "option or setting", "no --oc-profile beside a container")
    return kind, name


def _contained(there: Container, choice: str) -> Target:
    """The target inside a container: its own environment decides, its mounts say where that lies on this machine."""
    own = dict(there.environ)
    own.setdefault("HOME", _home_inside(there))
    inside = locate(own)
    state_dir = there.on_host(PurePosixPath(inside.state_dir))
    if state_dir is None or not container.is_local(state_dir):  # no database is opened over a network or into a machine
        state_dir = _NOWHERE / there.name
    config = there.on_host(PurePosixPath(inside.config_path)) or _NOWHERE / there.name / "openclaw.json"
    return replace(inside, environ=own, state_dir=state_dir, config_path=config, choice=choice, container=there)


def _home_inside(there: Container) -> str:
    """The home of an image that sets no HOME: where its state is mounted, else its user's."""
    for each in there.mounts:
        if each.destination.name == ".openclaw":
            return str(each.destination.parent)
    return "/root" if there.user.partition(":")[0] in ("root", "0") else "/home/node"


def _suffix(profile: str) -> str:
    return f"-{profile}" if profile and profile.lower() != "default" else ""


def _home(environ: Mapping[str, str]) -> Path:
    """OPENCLAW_HOME > HOME > the account's; blank, `undefined` and `null` count as unset, as documented."""
    explicit, home = (
        "" if text in ("undefined", "null") else text
        for text in (environ.get(name, "").strip() for name in ("OPENCLAW_HOME", "HOME"))
    )
    account = Path(home or Path.home())
    return _expanded(explicit, account) if explicit else account.absolute()


def _path(environ: Mapping[str, str], name: str, home: Path) -> Path | None:
    text = environ.get(name, "").strip()
    return _expanded(text, home) if text else None


def _expanded(text: str, home: Path) -> Path:
    return Path(f"{home}{text[1:]}" if text == "~" or text.startswith("~/") else text).absolute()
