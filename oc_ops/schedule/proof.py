"""Would cron run our line: the line as it is read, its shell and its program tried, and a cron there to do it."""

from __future__ import annotations

import itertools
import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from oc_ops.process.run import run
from oc_ops.schedule.crontab import Crontab, trouble
from oc_ops.schedule.plan import PLACES
from oc_ops.text import one_line, regex

_VARIABLE = regex(r"""\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z_]\w*))\s*=\s*(.*?)\s*""")
_NAME = regex(r"[A-Za-z_]\w*=")
_CALL = ("-m", "oc_ops", "schedule", "run")
_TRIED = "oc-ops can be run"
_DEADLINE_S = 10.0
_PATH = "/usr/bin:/bin"
"""The PATH that cron gives where the table sets none (crontab(5))."""
_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "fish", "csh", "tcsh", "rbash")
_DAEMONS = ("cron", "crond", "fcron", "bcron-start", "busybox", "launchd")
_GENERATOR = Path("/usr/lib/systemd/system-generators/systemd-crontab-generator")
"""systemd-cron, which makes timers of the crontabs and has no daemon."""


def troubles(table: Crontab, line: str) -> list[str]:
    """Why cron would not run one of our lines as it was meant, each a clause; empty when it would.

    The line's own shell is started, with cron's environment and that of the table above the line, and only has to
    import us: the doctor is not run.
    """
    if (why := trouble(line)) == "it is commented out":
        return [why]
    found = [why] if why else []
    if daemon := no_daemon():
        found.append(daemon)
    if table.text.endswith(line.encode()):
        found.append("it is the crontab's last line and has no end, and cron passes over such a one")
    command = _command(line)
    words = _words(command)
    if words is None:
        return [*found, "it was changed by hand, and whether it runs cannot be shown: install it again"]
    above = _variables(table, line)
    found += _led_astray(above, words)
    return [*found, *(() if why else _tried(command, words, above))]


def no_daemon() -> str:
    """Why nobody runs crontabs on this machine; empty where one does, or where its process may be hidden from us."""
    if sys.platform == "darwin" or _GENERATOR.exists():
        return ""  # launchd starts cron as soon as there is a crontab
    names, all_seen = set(), os.geteuid() == 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            all_seen = all_seen or process.pid == 1
            names.add(process.name())
            if process.name() == "busybox" and "crond" in process.cmdline()[:2]:
                return ""
    if not all_seen or names & (set(_DAEMONS) - {"busybox", "launchd"}):
        return ""
    return "no cron daemon runs on this machine (sudo systemctl enable --now cron, or crond)"


def _command(line: str) -> str:
    return line.split(maxsplit=1 if line.lstrip().startswith("@") else 5)[-1]


def _words(command: str) -> list[str] | None:
    """The words of a line that `install` wrote; None for one of another shape, which is not to be run by us."""
    with suppress(ValueError):
        words = shlex.split(command.replace("\\%", "%"), comments=True)
        options = words.index(_CALL[0]) if _CALL[0] in words else 0
        shape = words[:1] == ["cd"] and words[2:3] == ["&&"] and tuple(words[options : options + 4]) == _CALL
        if shape and options >= 4 and all(map(_NAME.match, words[3 : options - 1])):
            return words
    return None


def _variables(table: Crontab, line: str) -> dict[str, str]:
    """Variables that the table sets above the line; cron takes quotes off and expands nothing."""
    found = {}
    for each in table.text.decode("utf-8", "replace").splitlines():
        if each == line:
            break
        if not each.lstrip().startswith("#") and (told := _VARIABLE.fullmatch(each)):
            value = told[4]
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            found[told[1] or told[2] or told[3]] = value[1:-1] if quoted else value
    return found


def _led_astray(above: Mapping[str, str], words: list[str]) -> Iterator[str]:
    """Variables of the table that decide which gateway is looked at, or by which settings, and are none of ours."""
    own = {each.partition("=")[0] for each in words[3 : words.index(_CALL[0]) - 1]}
    home = pwd.getpwuid(os.getuid()).pw_dir
    for name, value in above.items():
        if name in own or (name == "HOME" and value == home):
            continue
        if name == "HOME" or name in PLACES or name.startswith("OC_OPS_"):
            yield f"{name}= above it in the crontab decides what it looks at, and is none of the schedule's"


def _tried(command: str, words: list[str], above: Mapping[str, str]) -> Iterator[str]:
    """Start the line as cron would, up to our own program; then whether that finds `openclaw` as it was found."""
    shell, end = above.get("SHELL", "/bin/sh"), words.index(_CALL[0])
    call = command.replace("\\%", "%").rpartition(f" {_CALL[0]} {_CALL[1]} ")[0]
    account = pwd.getpwuid(os.getuid())
    environ = {
        "HOME": account.pw_dir,
        "LOGNAME": account.pw_name,
        "USER": account.pw_name,
        "PATH": _PATH,
        "SHELL": shell,
    }
    program = f"import oc_ops; print({_TRIED!r})"
    if not shell.startswith("/") or Path(shell).name not in _SHELLS:
        yield f"SHELL={shell} above it in the crontab is no shell that runs it: set SHELL=/bin/sh"
        return
    done = run(
        [shell, "-c", f"{call} -c {shlex.quote(program)}"],
        environ={**environ, **above},
        deadline_s=_DEADLINE_S,
        cwd=Path("/"),
    )
    if _TRIED not in done.stdout.text:
        why = one_line((done.stderr.text.strip() or done.summary).splitlines()[-1], 200)
        yield f"cron's {shell} does not run it as it stands ({why}): install it again" + (
            ", and set SHELL=/bin/sh above it" if "SHELL" in above else ""
        )
        return
    path = next((each[5:] for each in words[3:end] if each.startswith("PATH=")), above.get("PATH", _PATH))
    named = next((after for word, after in itertools.pairwise(words) if word == "--openclaw"), "")
    if not shutil.which(named or "openclaw", path=path):
        yield f"{named or 'openclaw'} is not to be found on its PATH any more: install it again"
