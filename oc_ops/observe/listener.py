"""The owner of a port, shown by the process behind it: the gate that every credential of a gateway passes.

Before a token, a password or a device token leaves, and before an `openclaw` is started that would send one:

- the listener's process is known, and its real and effective user is root, the owner of the state directory, or the
  user who looks: none of these learns anything from us that it cannot read already;
- it is named in the gateway's lock, a file of that owner that is older than no process it names; or it is certainly a
  gateway of this state directory by title or command line and environment; or it is a gateway by title with a database
  of this state directory open; or it is the port forwarder of a container runtime, installed by root;
- for our own connection: its other end belongs to that very process (SO_REUSEPORT and a port that changed hands).

Linux shows another user's process to root alone, but the user of every socket to everybody: such a port is a
stranger's, or not to be seen. macOS shows neither without root: such a port is not to be seen, and nothing is sent.
Not seen on either: where a forwarder leads to; and, but by root on Linux, who else holds a socket that was handed on.
A child's own connection is looked at before it starts, not while it lasts.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil
from msgspec import Struct

from oc_ops.errors import CouldNotLook
from oc_ops.observe import config, processes
from oc_ops.observe.container import Container
from oc_ops.observe.gatewaylocks import lock_pids
from oc_ops.observe.sockets import Forwarder, forwarder, lives_apart
from oc_ops.observe.target import Target

if TYPE_CHECKING:
    from psutil._ntuples import pconn

Address = tuple[str, int]
Why = Literal["foreign", "other", "unseen"]

FORWARDERS = (
    "docker-proxy", "conmon", "rootlessport", "pasta", "pasta.avx2", "slirp4netns", "com.docker.backend", "vpnkit",
    "gvproxy", "wslrelay",
)  # fmt: skip
"""Programs of container runtimes that hold a published port. A general one (ssh, socat, nginx) leads anywhere."""

_PROBE_S = 0.5
_CLOCK_GRACE_S = 1.0
_LISTENING = "0A"
_UNMAPPED_UID = 65534
"""How a user namespace shows a user that it does not know: nobody's name, and no proof of a stranger."""


class Unproven(CouldNotLook):
    """The port's listener was not shown to be the gateway, so nothing secret was sent to it.

    `why`: `foreign` is a process of another user, `other` one that nothing shows to be a gateway, `unseen` one that
    this account may not look at.
    """

    def __init__(self, why: Why, reason: str) -> None:
        self.why: Why = why
        super().__init__(reason)


class Proven(Struct, frozen=True):
    """A process that may be told the gateway's credential, and by what it was recognised."""

    process: psutil.Process
    evidence: str
    forwards: bool = False


def prove(target: Target, host: str, port: int) -> tuple[Proven, ...]:
    """Show that whoever listens on a port of this machine may be told the credential; empty when nothing listens.

    Raises Unproven with the reason, and with what would let us see. Takes some milliseconds, and half a second where a
    listener is not to be seen and does not take a connection.
    """
    if target.container is not None:
        return _contained(target.container, host, port)
    holders = dict.fromkeys(_locked_holders(target, port) or _holders(host, port))
    if not holders and not _is_closed(host, port):
        raise Unproven("unseen", f"{_who(port)} cannot be seen by this account; {_LOOK_AS}")
    return tuple(_proof(target, port, pid) for pid in holders)


def stranger(target: Target, host: str, port: int) -> Unproven | None:
    """Evidence that the port's listener is another user's process; None for anything else, seen or not."""
    if target.container is not None:
        return None  # the runtime's own word says whose the port is
    try:
        prove(target, host, port)
    except Unproven as error:
        return error if error.why == "foreign" else None
    return None


def confirm(proven: Sequence[Proven], ours: Address, theirs: Address) -> None:
    """Raise Unproven unless the other end of our connection, `theirs`, belongs to a process that was proven.

    Behind a forwarder the kernel may have led it into the container: then no process of this machine has that end.
    """
    try:
        if any(each.process.is_running() and _has_connection(each.process, theirs, ours) for each in proven):
            return
    except psutil.Error as error:
        raise Unproven(
            "unseen", f"the sockets behind port {theirs[1]} cannot be seen: {type(error).__name__}"
        ) from None
    if any(each.forwards for each in proven) and not any(_ends(each, theirs, ours) for each in psutil.process_iter()):
        return
    pids = ", ".join(str(each.process.pid) for each in proven) or "no process"
    raise Unproven("other", f"port {theirs[1]} was shown to be held by {pids}, and another process took our connection")


def guard(target: Target) -> None:
    """Raise Unproven when an `openclaw` started now could send the credential to something that is not the gateway.

    It goes to the port of its config: our calls leave OPENCLAW_GATEWAY_URL out. A port on which nothing listens is no
    reason: there is nothing to send to.
    """
    if target.container is not None:
        return  # it is run inside, and asks the loopback of its own container
    read = config.read(target)
    if away := config.elsewhere(read):
        raise Unproven("unseen", f"{away}: no credential is sent from here")
    _refuse_sharers(target, read.port, prove(target, read.host, read.port))


_LOOK_AS = "look as root or as the account that runs the gateway"


# -- who holds the port ------------------------------------------------------------------------------------------------


def _locked_holders(target: Target, port: int) -> list[int]:
    """The processes of the lock, where every listener of the port is theirs: a tenth of the cost of asking everybody.

    Empty on systems without Linux' tables, and where another process listens too or these do not show their files.
    """
    left, pids = {words[9] for words in _table(port)}, []
    for pid in lock_pids(target) if left else ():
        own = _sockets_of(pid)
        if left & own:
            pids.append(pid)
        left -= own
    return [] if left else pids


def _holders(host: str, port: int) -> Iterator[int | None]:
    """The pid of each listener that may answer us there, None for one that the OS does not show.

    A listener on another address of this machine is not asked, nor a wildcard's where one listens on that very
    address; on macOS without root only own processes are seen.
    """
    try:
        sockets = [(each.laddr, each.status, each.pid) for each in psutil.net_connections(kind="tcp")]
    except psutil.AccessDenied:
        sockets = [(each.laddr, each.status, pid) for pid, own in _own_sockets() for each in own]
    found = [
        (_plain(address[0]), pid) for address, status, pid in sockets
        if status == psutil.CONN_LISTEN and address and address[1] == port and _answers_for(address[0], host)
    ]  # fmt: skip
    exact = [each for each in found if host != "localhost" and each[0] == _plain(host)]
    yield from (pid for _, pid in exact or found)


def _refuse_sharers(target: Target, port: int, proven: Sequence[Proven]) -> None:
    """Raise Unproven where another user's process holds a listening socket of theirs as well, and may take connections.

    Linux shows that to root alone; our own connections are looked at by `confirm` besides.
    """
    owner = _owner(target)
    listening = {words[9] for words in _table(port)} if os.geteuid() == 0 else set()
    listening &= {inode for each in proven for inode in _sockets_of(each.process.pid)}
    for pid in psutil.pids() if listening else ():
        if listening & _sockets_of(pid):
            with contextlib.suppress(psutil.Error):
                users = psutil.Process(pid).uids()
                if strangers := {users.real, users.effective} - {0, os.getuid(), owner}:
                    raise _foreign(port, f"pid {pid} of user {_name(strangers.pop())}", owner)


def _sockets_of(pid: int) -> set[str]:
    """The inodes of a process' sockets (Linux), as far as it shows them."""
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                kind, _, inode = str(each.readlink()).partition(":[")
                found |= {inode[:-1]} if kind == "socket" else set()
    return found


def _own_sockets() -> Iterator[tuple[int, Sequence[pconn]]]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            yield process.pid, process.net_connections(kind="tcp")


def _answers_for(address: str, host: str) -> bool:
    """True if a socket bound to `address` may take a connection to `host`, however a client resolves a name."""
    bound = _plain(address)
    try:
        asked, ip = ipaddress.ip_address(_plain(host)), ipaddress.ip_address(bound)
    except ValueError:
        return True
    if host == "localhost" or asked.is_unspecified:
        return ip.is_unspecified or bound in ("127.0.0.1", "::1")
    return ip.is_unspecified or ip == asked


def _plain(address: str) -> str:
    """An address without its zone, and one of IPv4 in IPv6 clothes as IPv4."""
    address = "127.0.0.1" if address == "localhost" else address.partition("%")[0]
    try:
        mapped = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
    except ValueError:
        return address
    return str(mapped or address)


def _is_closed(host: str, port: int) -> bool:
    """True if nothing takes a connection there: what the OS does not show may listen all the same."""
    try:
        socket.create_connection((host, port), timeout=_PROBE_S).close()
    except TimeoutError:
        return False
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EPERM)
    return False


# -- may it be told ----------------------------------------------------------------------------------------------------


def _proof(target: Target, port: int, pid: int | None) -> Proven:
    owner = _owner(target)
    accounts = {0, os.getuid(), owner}
    if pid is None:
        raise _unseen(port, owner, accounts)
    try:
        process = psutil.Process(pid)
        users = process.uids()
        there = forwarder(_title(process), process.name())
        if strangers := {users.real, users.effective} - accounts:
            user = _name(strangers.pop())
            who = f"pid {pid} of user {user}"
            raise _passed_on(target, port, there, who, user) if there else _foreign(port, who, owner)
        evidence, forwards = _evidence(target, process), False
        if not evidence and _is_forwarder(process):
            evidence, forwards = f"{process.name()}, a container runtime's port forwarder", True
    except psutil.NoSuchProcess:
        raise Unproven("unseen", f"{_who(port)} ended while it was looked at") from None
    except psutil.Error as error:
        raise Unproven(
            "unseen", f"{_who(port)}, pid {pid}, cannot be looked at ({type(error).__name__}); {_LOOK_AS}"
        ) from None
    if not evidence:
        where = f"no lock, title or open file shows it to be the gateway of {target.state_dir}"
        apart = lives_apart(pid)
        if there and not apart:
            raise _passed_on(target, port, there, f"pid {pid}")
        then = "; it runs in a container: oc-ops targets names it for --target" if apart else ""
        raise Unproven(
            "other", f"pid {pid} ({_title(process)}) listens on port {port}, and {where}: nothing secret is sent{then}"
        )
    return Proven(process, evidence, forwards)


def _contained(there: Container, host: str, port: int) -> tuple[Proven, ...]:
    """Show that the port leads into this container: its runtime publishes it, and its forwarder or itself holds it."""
    published = (host, port) in there.ports.values()
    found: list[Proven] = []
    for pid in dict.fromkeys(_holders(host, port)):
        if pid is None:
            raise Unproven("unseen", f"{_who(port)} cannot be looked at by this account; {_LOOK_AS}")
        try:
            process = psutil.Process(pid)
            users = process.uids()
            if in_container(pid, there):
                found.append(Proven(process, f"in container {there.name}"))
                continue
            ours = {users.real, users.effective} <= {0, os.getuid()}
            forwards = published and ours and _is_forwarder(process) and _leads_into(process.cmdline(), there)
        except psutil.Error as error:
            raise Unproven("unseen", f"{_who(port)}, pid {pid}, cannot be looked at: {type(error).__name__}") from None
        if not forwards:
            what = f"pid {pid} ({_title(process)}) listens on port {port}"
            raise Unproven("other", f"{what}, and nothing shows that it leads into container {there.name}")
        found.append(Proven(process, f"{process.name()}, which publishes it for container {there.name}", forwards=True))
    if not found:
        raise Unproven("unseen", f"no process shows that port {port} leads into container {there.name}")
    return tuple(found)


def _leads_into(command: Sequence[str], there: Container) -> bool:
    """True if a forwarder's own command line names this container, where it names any: conmon's id, docker's address.

    rootlessport, pasta and slirp4netns name none: that the runtime publishes the port is then the proof.
    """
    for option, own in (("-c", there.id), ("--cid", there.id), ("-container-ip", there.address)):
        if option in command[:-1] and own:
            return command[command.index(option) + 1] == own
    return True


def in_container(pid: int, there: Container) -> bool:
    """True if a process of this machine is in the container's control group (Linux)."""
    if pid <= 0 or not there.id:
        return False
    try:
        return there.id in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _owner(target: Target) -> int:
    """The gateway's user, by its state directory; ours as long as there is none."""
    try:
        return target.state_dir.stat().st_uid
    except OSError:
        return os.getuid()


def _evidence(target: Target, process: psutil.Process) -> str:
    """Evidence that a process is the target's gateway, cheapest first; empty when nothing does."""
    locked = lock_pids(target).get(process.pid)
    # A process younger than the lock that names it has only got the pid of one that is gone.
    if locked is not None and process.create_time() <= locked + _CLOCK_GRACE_S:
        return "named in the gateway lock"
    for each in processes.gateway_processes(target, listening_pid=process.pid):
        if each.pid == process.pid and (each.certain or _has_state_open(process, target)):
            return each.evidence
    return ""


def _has_state_open(process: psutil.Process, target: Target) -> bool:
    state = os.path.realpath(target.state_dir)
    files = (Path(each.path) for each in process.open_files())
    return any(each.suffix == ".sqlite" and each.is_relative_to(state) for each in files)


def _is_forwarder(process: psutil.Process) -> bool:
    """True if it runs a container runtime's forwarder that root installed: a name alone anybody can take."""
    program = process.exe()
    if Path(program).name not in FORWARDERS:
        return False
    try:
        seen = Path(program).stat()
    except OSError:
        return False
    return seen.st_uid == 0 and not seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _unseen(port: int, owner: int, accounts: set[int]) -> Unproven:
    users = _socket_users(port)
    if users and not users & {*accounts, _UNMAPPED_UID}:
        return _foreign(port, f"a process of user {_name(users.pop())}", owner)
    return Unproven("unseen", f"{_who(port)} cannot be looked at by this account; {_LOOK_AS}")


def _passed_on(target: Target, port: int, there: Forwarder, who: str, user: str = "") -> Unproven:
    """A forwarder of no proof, whoever's: it leads anywhere, and shows no stranger on the gateway's port either."""
    unknown = f"nothing shows that it leads to the gateway of {target.state_dir}: nothing secret is sent"
    then = f"look as user {user}, whose container it is" if user and there.kind == "container" else ""
    then = then or "run oc-ops where that runs"
    return Unproven("other", f"{there.name} ({who}) only forwards port {port}, and {unknown}; {then}")


def _foreign(port: int, who: str, owner: int) -> Unproven:
    looked_for = f"the gateway of user {_name(owner)} is looked for"
    return Unproven("foreign", f"{who} listens on port {port}, and {looked_for}: nothing secret is sent to it")


def _socket_users(port: int) -> set[int]:
    """The users whose listening sockets hold a port: Linux shows them to every user (proc(5)), other systems do not."""
    return {int(words[7]) for words in _table(port)}


def _table(port: int) -> Iterator[list[str]]:
    """The lines of the kernel's tables for the listening sockets of a port; none where there are no such tables."""
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            lines = Path("/proc/net", name).read_bytes().decode("ascii", "replace").splitlines()[1:]
            for words in map(str.split, lines):
                if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                    yield words


def _who(port: int) -> str:
    return f"the process that listens on port {port}"


def _name(uid: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return str(uid)


def _title(process: psutil.Process) -> str:
    try:
        words = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return "it does not show its command line"
    return "".join(each if each.isprintable() else " " for each in words[:120]).strip()


# -- the other end of our connection -----------------------------------------------------------------------------------


def _has_connection(process: psutil.Process, here: Address, there: Address) -> bool:
    return any(
        each.laddr and each.raddr and _same(each.laddr, here) and _same(each.raddr, there)
        for each in process.net_connections(kind="tcp")
    )


def _ends(process: psutil.Process, here: Address, there: Address) -> bool:
    try:
        return _has_connection(process, here, there)
    except psutil.Error:
        return False


def _same(one: Address, other: Address) -> bool:
    return one[1] == other[1] and _plain(one[0]) == _plain(other[0])
