"""The tmux command: where it is, whether it is new enough, and how to get one."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from oc_ops.errors import OcOpsError

OLDEST = (3, 2)

_PLACES = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/opt/local/bin", "/home/linuxbrew/.linuxbrew/bin")
"""Where it is on machines whose cron has a PATH without it."""

_INSTALL = {
    "apt-get": "sudo apt-get install tmux",
    "dnf": "sudo dnf install tmux",
    "yum": "sudo yum install tmux",
    "zypper": "sudo zypper install tmux",
    "pacman": "sudo pacman -S tmux",
    "apk": "sudo apk add tmux",
    "emerge": "sudo emerge app-misc/tmux",
    "nix-env": "nix-env -iA nixpkgs.tmux",
}


class NoTmux(OcOpsError):
    """There is no tmux that could hold the cockpit; the message says how to get one."""


def find(environ: Mapping[str, str]) -> Path:
    """The executable, on PATH or in a usual place; raises NoTmux."""
    places = (environ.get("PATH", os.defpath), os.pathsep.join(_PLACES))
    for path in places:
        if found := shutil.which("tmux", path=path):
            return Path(found)
    raise NoTmux(f"the cockpit needs tmux {_words(OLDEST)} or newer, and there is none: {install_line()}")


def check_version(said: str, executable: Path) -> None:
    """Refuse what `tmux -V` calls older than 3.2 (NoTmux); a build without a number is taken to be new."""
    found = re.search(r"(\d+)\.(\d+)", said)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        need = f"the cockpit needs tmux {_words(OLDEST)} or newer"
        raise NoTmux(f"{need}, and {executable} is {found[0]}: {install_line()}")


def install_line(platform: str = sys.platform, path: str | None = None) -> str:
    """The one command that installs tmux here."""
    if platform == "darwin":
        return "brew install tmux"
    for program, line in _INSTALL.items():
        if shutil.which(program, path=path):
            return line
    return "install it with the system's package manager"


def _words(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
