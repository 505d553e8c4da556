"""The lab's configuration and jobs."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from msgspec import Struct

from oc_ops.lab.install import LabError, Release

CDP_OFFSET = 11
"""Chromium's debugging port is the gateway's plus this; browser control takes +2 and +3 or +10 (seen on all three)."""

_PORTS = 21
_CHROMIUMS = (
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "microsoft-edge",
    "brave-browser",
)
_MAC_CHROMIUMS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)


def openclaw_json(port: int, token: str, log_file: Path, *changes: Mapping[str, object]) -> str:
    """The text of a lab's openclaw.json, with each of `changes` laid over it table by table.

    It asks nobody for updates and does not advertise itself on the network.
    """
    chromium = find_chromium()
    browser: dict[str, object] = {"enabled": chromium is not None, "headless": True}
    if chromium:
        browser |= {"executablePath": chromium, "noSandbox": os.geteuid() == 0}
    gateway = {"mode": "local", "bind": "loopback", "port": port, "auth": {"mode": "token", "token": token}}
    config: dict[str, object] = {
        "gateway": gateway,
        "browser": browser,
        "logging": {"file": str(log_file)},
        "update": {"checkOnStart": False},
        "discovery": {"mdns": {"mode": "off"}},
    }
    for each in changes:
        config = _overlaid(config, each)
    return json.dumps(config, indent=2) + "\n"


def _overlaid(config: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    merged = dict(config)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _overlaid(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def find_chromium() -> str | None:
    """A Chromium of this machine that OpenClaw can drive, or None."""
    if found := next(filter(None, map(shutil.which, _CHROMIUMS)), None):
        return found
    return next((path for path in _MAC_CHROMIUMS if sys.platform == "darwin" and os.access(path, os.X_OK)), None)


def free_ports() -> int:
    """A random port below the ephemeral range, free like the twenty after it, from which OpenClaw takes its own.

    Raises LabError when there is none.
    """
    for _ in range(200):
        port = random.randrange(20000, 32000)  # noqa: S311 - chosen to be elsewhere than others, not to be secret
        if all_free(port):
            return port
    raise LabError(f"no {_PORTS} free ports in a row between 20000 and 32000; end what holds them")


def all_free(port: int) -> bool:
    """True if nobody listens on that port of 127.0.0.1 nor on the twenty after it."""
    return all(_free(each) for each in range(port, port + _PORTS))


def _free(port: int) -> bool:
    with socket.socket() as trial:
        # Connections of a gateway that has just ended linger in TIME_WAIT; they are no hindrance.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


NAMES = ("lab-ok", "lab-failing", "lab-slow")

_RARELY = ("--every", "6h")
"""None runs by itself while a test looks on, so that a test meets only the runs it asked for."""

_QUICK = (*_RARELY, "--session", "main", "--wake", "next-heartbeat", "--system-event")


def seeds(release: Release) -> Mapping[str, tuple[str, ...]]:
    """The options of `cron add` for each job. Releases without command jobs know no slow work that needs no model."""
    if release.command_jobs:
        commands = ("echo fine", "echo this job always fails >&2; exit 3", "sleep 45; echo done")
        return {name: (*_RARELY, "--no-deliver", "--command", line) for name, line in zip(NAMES, commands, strict=True)}
    failing = (*_RARELY, "--no-deliver", "--session", "isolated", "--message", "fails: the lab has no model")
    return dict(zip(NAMES, ((*_QUICK, "fine"), failing, (*_QUICK, "not slow in this release")), strict=True))


class FakeState(Struct, frozen=True):
    """A fake of the lab that serves: what it does, where, and which process it is."""

    mode: str
    port: int
    pid: int
    started: float


@dataclass(frozen=True, slots=True)
class LabState:
    """One lab. `port` is 0 before its first start; `started` is the gateway's start time (seconds since the epoch)."""

    version: str
    token: str = field(repr=False)
    port: int = 0
    seeded: tuple[str, ...] = ()
    pid: int | None = None
    started: float = 0.0
    fakes: dict[str, FakeState] = field(default_factory=dict)


def read(path: Path) -> LabState | None:
    """The remembered state, None when there is none; raises LabError when the file is not one we wrote."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=LabState)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise LabError(f"cannot read {path} ({error}); remove {path.parent} and start a fresh lab") from error


def write(path: Path, state: LabState) -> None:
    """Replace the file at once."""
    write_private(path, msgspec.json.encode(state).decode())


def write_private(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
