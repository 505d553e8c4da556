"""tmux: one call, and the windows of the session."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from oc_ops.cockpit.panes.log import log_of
from oc_ops.errors import OcOpsError
from oc_ops.secrecy import secrets_in
from oc_ops.text import regex

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


_OWN = regex(r"OC_OPS_|OPENCLAW_")
_LOGIN_SHELLS = ("bash", "zsh", "fish", "sh", "dash", "ksh", "ash")

KEEP = """
trap '' INT QUIT TSTP
log=$1; shift
wait_s=1
while :; do
  began=$(date +%s)
  "$@"
  code=$?
  [ $(($(date +%s) - began)) -gt 60 ] && wait_s=1
  why="exit code $code"
  [ "$code" -gt 128 ] && why="signal $((code - 128))"
  at=$(date '+%Y-%m-%d %H:%M:%S %z' | sed 's/\\(..\\)$/:\\1/; s/[+-]00:00$/UTC/')
  said="$at this window ended: $why; it starts again in $wait_s s"
  printf '\\033[0m\\033[?7h\\r\\n%s\\r\\n' "$said"
  (umask 077; mkdir -p "$(dirname "$log")" && [ ! -L "$log" ] && printf '=== %s\\n' "$said" >>"$log")
  sleep "$wait_s"
  wait_s=$((wait_s * 2))
  [ "$wait_s" -gt 60 ] && wait_s=60
done
"""
"""The command of a drawn window: a shell of 1 MB that starts the drawing again, ever later, and says why it ended."""


def drawing(window: str, memory_dir: Path, key: str) -> list[str]:
    """The command of a window that is drawn."""
    draw = [sys.executable, "-m", "oc_ops.cockpit.panes", window, key]
    return ["/bin/sh", "-c", KEEP, "oc-ops", str(log_of(memory_dir, window)), *draw]


def shell(default_shell: str, default_command: str, environ: Mapping[str, str]) -> list[str]:
    """tmux' words for the user's own shell: login files read, `oc-ops` on PATH whatever they set PATH to.

    A `default-command` of theirs, or a shell that is started in some other way, is left to tmux.
    """
    folder = command_dir(environ)
    path = ["-e", f"PATH={folder}{os.pathsep}{environ.get('PATH', os.defpath)}"]
    if default_command or Path(default_shell).name not in _LOGIN_SHELLS:
        return path
    then = f'exec env PATH={shlex.quote(folder)}:"$PATH" {shlex.quote(default_shell)} -i'
    return [*path, "--", default_shell, "-l", "-c", then]


def variables(environ: Mapping[str, str], server: Sequence[str]) -> Iterator[str]:
    """Variables that name the gateway and the settings, as the caller has them; secrets stay out of a command line.

    `server` are the lines of `show-environment -g`: of another shell, which happened to start the tmux server.
    """
    own = {name: value for name, value in environ.items() if _OWN.match(name)}
    secret = secrets_in(own)
    wanted = {name: value for name, value in own.items() if value not in secret}
    for line in server:
        name = line.partition("=")[0]
        if _OWN.match(name) and name not in environ:
            wanted[name] = ""
    wanted.pop("OC_OPS_TMUX_SOCKET", None)
    for name, value in wanted.items():
        yield from ("-e", f"{name}={value}")


def command_dir(environ: Mapping[str, str]) -> str:
    """The folder of the `oc-ops` command: the one beside this Python, else the first on PATH."""
    scripts = sysconfig.get_path("scripts")
    found = shutil.which("oc-ops", path=os.pathsep.join((scripts, environ.get("PATH", os.defpath))))
    return str(Path(found).parent) if found else scripts
