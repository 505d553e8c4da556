"""What runs in the windows of the cockpit: a drawing that is started again, the user's own shell, their variables."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from oc_ops.record.redact import secrets_in
from oc_ops.supervise.panes.kept import log_of

_OWN = re.compile(r"OC_OPS_|OPENCLAW_")
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
  said="$(date '+%Y-%m-%d %H:%M:%S') this window ended: $why; it starts again in $wait_s s"
  printf '\\033[0m\\033[?7h\\r\\n%s\\r\\n' "$said"
  mkdir -p "$(dirname "$log")" && printf '=== %s\\n' "$said" >>"$log"
  sleep "$wait_s"
  wait_s=$((wait_s * 2))
  [ "$wait_s" -gt 60 ] && wait_s=60
done
"""
"""What runs in a drawn window: a shell of 1 MB that starts the drawing again, ever later, and says why it ended."""


def drawing(window: str, memory_dir: Path, key: str) -> list[str]:
    """The command of a window that is drawn."""
    draw = [sys.executable, "-m", "oc_ops.supervise.panes", window, key]
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
    """What names the gateway and the settings, as the caller has it; secrets stay out of a command line.

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
