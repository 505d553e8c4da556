"""Which processes are this gateway: psutil, the same on Linux and macOS."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from msgspec import Struct

from oc_ops.errors import OcOpsError, SettingError
from oc_ops.observe import http
from oc_ops.observe.container import Container
from oc_ops.observe.gatewaylocks import lock_pids, same_place
from oc_ops.observe.sockets import forwarder, lives_apart, shares_pids, sockets, user_name
from oc_ops.observe.target import Target, locate

OWN_CALL = "OC_OPS_CALL"
"""The environment marker of oc-ops' own `openclaw` calls: they carry the same title as a starting gateway."""

AMBIGUOUS_S = 30.0
"""How long a process known by its title alone may be a gateway on its way up: 1 to 17 s were measured on 2026.9.6.

On that release a starting gateway is titled `openclaw` and so is every CLI call; `openclaw gateway status` then takes
the gateway's own title. A gateway that is older than this listens, or its lock or service manager names it.
"""

_SLOWEST_S = 240.0
_WORKS = 0.1
"""A starting gateway that other programs starve uses 0.25 of a core for 44 s and more, until its lock names it; a
command that waits or follows a log uses less than 0.03 (2026.9.6 on two cores, load 9)."""

_ANSWER_S = 0.5
_TITLES = ("openclaw-gateway", "openclaw-gatewa")


class GatewayProcess(Struct, frozen=True):
    """One process that is, or may be, the target's gateway. `evidence` says by what it was recognised."""

    pid: int
    parent: int
    age_s: float
    status: str
    cpu_s: float
    rss_bytes: int
    title: str
    evidence: str
    certain: bool = True
    uid: int | None = None

    @property
    def summary(self) -> str:
        """Pid, age, state and memory in words."""
        return (
            f"pid {self.pid} ({self.evidence}), {_age(self.age_s)} old, {self.status}, "
            f"{self.rss_bytes / 2**20:.0f} MB resident"
        )


def gateway_processes(
    target: Target, *, service_pid: int | None = None, listening_pid: int | None = None
) -> tuple[GatewayProcess, ...]:
    """Every process of the target's gateway: by service manager, lock file, command line, or title and port.

    Candidates by title or command line count only if their environment leads to the same state directory (a process
    whose environment the OS hides is another user's). A title alone is not certain, and counts only while young; with
    a listening port and this state directory open it is. oc-ops' own calls never count, nor what lives in a container
    of its own: its port, its lock and its supervisor are others.
    """
    locked, now = lock_pids(target), time.time()
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            # A process younger than the lock that names it has only got the pid of one that is gone.
            names_it = process.pid in locked and process.create_time() <= locked[process.pid] + 1
            evidence = _evidence(process.pid, command, service_pid, names_it)
            if not evidence or lives_apart(process.pid):
                continue
            same, certain = (True, True) if evidence in _PROOF else _same_target(process, command, target)
            age_s = now - process.create_time()
            if evidence in _BY_TITLE and process.pid != listening_pid:
                certain = certain and _serves(process, evidence, target)
                same = same and (certain or age_s < AMBIGUOUS_S or _works(process, age_s))
                same = same and not (evidence == _MAYBE and _runs_command(process))
            if same:
                found.append(_described(process, command, age_s, evidence, certain))
        except psutil.Error:
            continue
    return tuple(sorted(found, key=lambda each: (not each.certain, -each.age_s)))


def again(seen: GatewayProcess) -> GatewayProcess | None:
    """The same process a moment later, or None when it is gone (a reused pid does not count)."""
    try:
        process = psutil.Process(seen.pid)
        age_s = time.time() - process.create_time()
        if age_s < seen.age_s - 1:
            return None
        return _described(process, process.cmdline(), age_s, seen.evidence, seen.certain)
    except psutil.Error:
        return None


def is_gateway_title(title: str) -> bool:
    """True for a command line that only a gateway has: its process title, or `openclaw … gateway [run]`."""
    words = title.split()
    return bool(words) and (words[0] in _TITLES or _runs_gateway(words))


_STOPPED = (
    'for p in /proc/[0-9]*; do read -r l <"$p/stat" || continue; case "$l" in *") T "*) '
    'echo "${p#/proc/} $(tr "\\0" "\\t" <"$p/cmdline")";; esac; done 2>/dev/null'
)
_STOPPED_S = 5.0


def stopped_inside(there: Container) -> int | None:
    """The gateway's pid in a container where that process is stopped (SIGSTOP); None where it is not, or is not seen.

    Asked inside: a process of another machine's or another user's container does not show here.
    """
    argv = there.inside(["sh", "-c", _STOPPED], {}, _STOPPED_S)
    said = (line.partition(" ") for line in there.ask(*argv[1:], deadline_s=_STOPPED_S).stdout.text.splitlines())
    found = {int(pid): title.split("\t") for pid, _, title in said if pid.isdigit()}
    own = (pid for pid, words in found.items() if words[0].strip() in _TITLES or _is_run(words))
    return next(own, next((pid for pid, words in found.items() if words[0].strip() == "openclaw"), None))


def gateways_in(there: Container) -> tuple[int, ...]:
    """The pids, on this machine, of the gateways that run in a container; empty for one in another machine."""
    with contextlib.suppress(psutil.Error):
        if there.pid and sys.platform.startswith("linux"):  # elsewhere the pid is one of the runtime's own machine
            init = psutil.Process(there.pid)
            return tuple(each.pid for each in (init, *init.children(recursive=True)) if is_gateway_title(_title(each)))
    return ()


def _is_run(words: Sequence[str]) -> bool:
    return Path(words[0]).name in ("node", "openclaw") and _runs_gateway(words)


_PROOF = ("the service manager's main process", "named in the gateway lock")
_MAYBE = "an openclaw process that may be a gateway on its way up"
_TITLED = "titled openclaw-gateway"
_BY_TITLE = (_MAYBE, _TITLED)


def _evidence(pid: int, command: Sequence[str], service_pid: int | None, locked: bool) -> str:
    if not command:
        return ""
    title = " ".join(command).strip()
    # A unit that runs a container has the runtime's monitor as its main process: that is no gateway.
    if pid == service_pid and forwarder(title) is None:
        return _PROOF[0]
    if locked and "openclaw" in title:
        return _PROOF[1]
    if command[0].strip() in _TITLES:
        return _TITLED
    if _runs_gateway(command):
        return "started as `openclaw gateway`"
    return _MAYBE if title == "openclaw" else ""


def _runs_gateway(command: Sequence[str]) -> bool:
    """True for `node …/openclaw.mjs [options] gateway [run] [options]`, not for `gateway status` and its kind."""
    for index, word in enumerate(command[:6]):
        if Path(word).name in ("openclaw", "openclaw.mjs", "entry.js", "index.js") and "openclaw" in word:
            words = [each for each in command[index + 1 :] if each]
            while words and words[0].startswith("-"):
                words = words[2:] if words[0] == "--profile" else words[1:]
            return words[:1] == ["gateway"] and (len(words) == 1 or words[1] == "run" or words[1].startswith("-"))
    return False


def _same_target(process: psutil.Process, command: Sequence[str], target: Target) -> tuple[bool, bool]:
    """(may be the target's, certainly so): compares where the process puts its state directory.

    `openclaw --profile NAME` says so in its command line until it takes its title, and nowhere in the environment it
    was started with: for the target's own profile such a process may be it, but not certainly.
    """
    try:
        environ = process.environ()
    except (psutil.AccessDenied, OSError):
        return False, False
    if OWN_CALL in environ:
        return False, False
    try:
        if profile := _profile(command):
            same = same_place(locate(environ, profile).state_dir, target.state_dir)
            return same, same
        if same_place(locate(environ).state_dir, target.state_dir):
            return True, True
        bare = "OPENCLAW_PROFILE" not in environ and "OPENCLAW_STATE_DIR" not in environ
        return bare and same_place(locate(environ, target.profile).state_dir, target.state_dir), False
    except SettingError:
        return False, False


def _profile(command: Sequence[str]) -> str | None:
    """The profile that a command line names with `--profile NAME` or `--profile=NAME`."""
    for word, following in itertools.pairwise((*command, "")):
        if word.startswith("--profile"):
            return word.partition("=")[2] or following
    return None


def _serves(process: psutil.Process, evidence: str, target: Target) -> bool:
    """True if a process known by its title is a gateway of this very state directory, on whatever port.

    A CLI call does not listen, but for a login that waits for its browser: where a call has the gateway's title
    (2026.5.28), the gateway's own answer is wanted as well.
    """
    try:
        found = sockets(process.pid) or ()
        if evidence == _MAYBE:
            found = tuple(each for each in found if any(_answers(host, each.port) for host in each.hosts))
        return bool(found) and _has_open(process, target)
    except (psutil.Error, OSError):
        return False


def _works(process: psutil.Process, age_s: float) -> bool:
    """True for a process that has been at work since it began, as a slow start is, and is no older than such a one.

    One that listens has come up, and would be certain if it were the target's: it is another profile's.
    """
    times = process.cpu_times()
    at_work = times.user + times.system > max(1.0, _WORKS * age_s)
    return age_s < _SLOWEST_S and at_work and not sockets(process.pid)


def _runs_command(process: psutil.Process) -> bool:
    """True for the launcher of a command that has its own title by now (`openclaw-update`, 2026.9.5)."""
    titles = (_title(each) for each in process.children())
    return any(each.startswith("openclaw-") and not is_gateway_title(each) for each in titles)


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline()).strip()
    return ""


def _answers(host: str, port: int) -> bool:
    answer = http.probe(host, port, "/healthz", budget_s=_ANSWER_S).json
    return answer is not None and answer.get("status") == "live"


def _has_open(process: psutil.Process, target: Target) -> bool:
    """True if its state directory is the target's: a gateway of `--profile NAME` looks the same but for its files.

    2026.9.6 and 2026.5.28 keep a database open; older ones are told by their lock, which lies in TMPDIR.
    """
    if state_dirs := _state_dirs(process):
        return any(same_place(each, target.state_dir) for each in state_dirs)
    return process.pid not in lock_pids(target, others=True)


def _state_dirs(process: psutil.Process) -> list[Path]:
    """The state directories whose databases a process has open."""
    files = [path for path in (Path(each.path) for each in process.open_files()) if path.suffix == ".sqlite"]
    return [path.parent.parent for path in files if path.parent.name in ("state", "tasks")]


def foreign_state_dir(pid: int, target: Target) -> Path | None:
    """The state directory of another gateway, by the databases that it has open; None if it has ours, or none open."""
    try:
        found = _state_dirs(psutil.Process(pid))
    except (psutil.Error, OSError):
        return None
    return None if any(same_place(each, target.state_dir) for each in found) else next(iter(found), None)


def hidden_gateway(target: Target) -> str:
    """A gateway that may be the target's and is not ours to look at, in words; empty when there is none.

    One whose environment the OS hides may be it where the state directory is that user's, or is not there at all; one
    in a container is it where it has the target's state directory mounted. With `hidepid` none of that user's is shown.
    """
    owner = _owner(target.state_dir)
    for process in psutil.process_iter():
        try:
            title, uid = " ".join(process.cmdline()).strip(), process.uids().real
            if not is_gateway_title(title) and title != "openclaw":
                continue
            if lives_apart(process.pid):
                if _has_mounted(process, target):
                    if shares_pids(process.pid):
                        place = f"look there (nsenter -t {process.pid} -n)"
                        return f"pid {process.pid} runs it in a network of its own; {place}"
                    return (
                        f"pid {process.pid} runs it in a container; look through the port that its container publishes"
                    )
            elif uid != os.getuid() and owner in (None, uid) and _hides(process):
                return f"pid {process.pid} of user {user_name(uid)} may be this gateway; run the doctor as that user"
        except (psutil.Error, OSError):
            continue
    if owner not in (None, 0, os.getuid()) and os.getuid() and _PROC.is_dir() and not (_PROC / "1").exists():
        who = user_name(owner)
        return f"this account is not shown the processes of user {who} (/proc with hidepid); run the doctor as {who}"
    return ""


_PROC = Path("/proc")


def _owner(place: Path) -> int | None:
    """The user whose state directory it is, by the folders above it where it is closed to us; None where it is not
    there, or root holds it for somebody.
    """
    try:
        return place.stat().st_uid
    except PermissionError:
        for above in place.parents:
            with contextlib.suppress(OSError):
                return above.stat().st_uid or None
    except OSError:
        pass
    return None


def _has_mounted(process: psutil.Process, target: Target) -> bool:
    """True if the state directory of a process in a container is the target's, mounted there."""
    try:
        inside = locate(process.environ(), _profile(process.cmdline())).state_dir
        return Path(f"/proc/{process.pid}/root{inside}").samefile(target.state_dir)
    except (psutil.Error, OSError, SettingError):
        return False


def _hides(process: psutil.Process) -> bool:
    try:
        process.environ()
    except psutil.AccessDenied:
        return True
    return False


def _described(
    process: psutil.Process, command: Sequence[str], age_s: float, evidence: str, certain: bool
) -> GatewayProcess:
    with process.oneshot():
        times = process.cpu_times()
        return GatewayProcess(
            pid=process.pid,
            parent=process.ppid(),
            age_s=age_s,
            status=process.status(),
            cpu_s=times.user + times.system,
            rss_bytes=process.memory_info().rss,
            title=" ".join(command)[:200],
            evidence=evidence,
            certain=certain,
            uid=process.uids().real,
        )


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"


def elsewhere(target: Target) -> Iterator[tuple[int, str]]:
    """Gateways by their process title that are not the target's: pid, and state directory, empty in a container."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, OcOpsError):
            if not is_gateway_title(" ".join(process.cmdline())):
                continue
            if lives_apart(process.pid):
                yield process.pid, ""
            elif place := foreign_state_dir(process.pid, target):
                yield process.pid, str(place)
