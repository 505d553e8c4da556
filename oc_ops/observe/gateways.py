"""Which processes are this gateway, and who listens on its port: psutil, the same on Linux and macOS."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from oc_ops.errors import SettingError
from oc_ops.observe import http
from oc_ops.observe.gatewaylocks import lock_pids, locked_port, same_place
from oc_ops.observe.target import Target, locate

__all__ = [
    "AMBIGUOUS_S",
    "OWN_CALL",
    "GatewayProcess",
    "Listener",
    "again",
    "gateway_processes",
    "is_gateway_title",
    "listener",
    "locked_port",
]

OWN_CALL = "OC_OPS_CALL"
"""The environment marker of oc-ops' own `openclaw` calls: they carry the same title as a starting gateway."""

AMBIGUOUS_S = 30.0
"""How long a process known by its title alone may be a gateway on its way up: 1 to 17 s were measured on 2026.9.6.

On that release a starting gateway is titled `openclaw` and so is every CLI call; `openclaw gateway status` then takes
the gateway's own title. A gateway that is older than this listens, or its lock or service manager names it.
"""

_ANSWER_S = 0.5
_TITLES = ("openclaw-gateway", "openclaw-gatewa")


@dataclass(frozen=True, slots=True)
class GatewayProcess:
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

    @property
    def summary(self) -> str:
        """Pid, age, state and memory in words."""
        return (
            f"pid {self.pid} ({self.evidence}), {_age(self.age_s)} old, {self.status}, "
            f"{self.rss_bytes / 2**20:.0f} MB resident"
        )


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens on the port. `pid` is None when the OS shows that somebody does but not who."""

    pid: int | None
    title: str = ""

    @property
    def summary(self) -> str:
        """The listener in words."""
        return f"pid {self.pid}: {self.title}" if self.pid else "a process of another user"


def listener(port: int) -> Listener | None:
    """Who listens on a TCP port of this machine, as far as the OS lets us see; None when nobody is seen."""
    seen: Listener | None = None
    for connection, pid in _listening():
        if connection == port:
            if pid:
                return Listener(pid, _title(pid))
            seen = Listener(None)
    return seen


def _listening() -> Iterator[tuple[int, int | None]]:
    """(port, pid) of every listening TCP socket; on macOS each own process is asked."""
    try:
        for each in psutil.net_connections(kind="tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr:
                yield each.laddr.port, each.pid
    except psutil.AccessDenied:
        for process in psutil.process_iter():
            try:
                for own in process.net_connections(kind="tcp"):
                    if own.status == psutil.CONN_LISTEN and own.laddr:
                        yield own.laddr.port, process.pid
            except psutil.Error:
                continue


def gateway_processes(
    target: Target, *, service_pid: int | None = None, listening_pid: int | None = None
) -> tuple[GatewayProcess, ...]:
    """Every process of the target's gateway: by service manager, lock file, command line, or title and port.

    Candidates by title or command line count only if their environment leads to the same state directory (a process
    whose environment the OS hides is another user's). A title alone is not certain, and counts only while young; with
    a listening port and this state directory open it is. oc-ops' own calls never count.
    """
    locked, now = lock_pids(target), time.time()
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            # A process younger than the lock that names it has only got the pid of one that is gone.
            names_it = process.pid in locked and process.create_time() <= locked[process.pid] + 1
            evidence = _evidence(process.pid, command, service_pid, names_it)
            if not evidence:
                continue
            same, certain = (True, True) if evidence in _PROOF else _same_target(process, command, target)
            age_s = now - process.create_time()
            if evidence in _BY_TITLE and process.pid != listening_pid:
                certain = certain and _serves(process, evidence, target)
                same = same and (certain or age_s < AMBIGUOUS_S)
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


_PROOF = ("the service manager's main process", "named in the gateway lock")
_MAYBE = "an openclaw process that may be a gateway on its way up"
_TITLED = "titled openclaw-gateway"
_BY_TITLE = (_MAYBE, _TITLED)


def _evidence(pid: int, command: Sequence[str], service_pid: int | None, locked: bool) -> str:
    if not command:
        return ""
    title = " ".join(command).strip()
    if pid == service_pid:
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
    """Whether a process known by its title is a gateway of this very state directory, on whatever port.

    A CLI call does not listen, but for a login that waits for its browser: where a call has the gateway's title
    (2026.5.28), the gateway's own answer is wanted as well.
    """
    try:
        sockets = [each for each in process.net_connections(kind="tcp") if each.status == psutil.CONN_LISTEN]
        if evidence == _MAYBE:
            sockets = [each for each in sockets if _answers(each.laddr.ip, each.laddr.port)]
        return bool(sockets) and _has_open(process, target)
    except (psutil.Error, OSError):
        return False


def _answers(address: str, port: int) -> bool:
    host = "127.0.0.1" if address in ("", "0.0.0.0", "::") else address  # noqa: S104 - read, not bound
    answer = http.probe(host, port, "/healthz", budget_s=_ANSWER_S).json
    return answer is not None and answer.get("status") == "live"


def _has_open(process: psutil.Process, target: Target) -> bool:
    """Whether its state directory is the target's: a gateway of `--profile NAME` looks the same but for its files.

    2026.9.6 and 2026.5.28 keep a database open; older ones are told by their lock, which lies in TMPDIR.
    """
    files = [path for path in (Path(each.path) for each in process.open_files()) if path.suffix == ".sqlite"]
    state_dirs = [path.parent.parent for path in files if path.parent.name in ("state", "tasks")]
    if state_dirs:
        return any(same_place(each, target.state_dir) for each in state_dirs)
    return process.pid not in lock_pids(target, others=True)


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
        )


def _title(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        return (" ".join(process.cmdline()) or process.name())[:200].strip()
    except psutil.Error:
        return "a process that cannot be looked at"


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172800 else f"{seconds / 86400:.0f} days"
