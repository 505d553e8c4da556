"""Listening TCP sockets: who holds a port, on which network, and which programs hold one for somebody else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import psutil
from msgspec import Struct

_LISTENING = "0A"
_WILD = ("", "0.0.0.0", "::")  # noqa: S104 - read, not bound
_LOOPBACK = ("127.0.0.1", "::1")


class Listener(Struct, frozen=True):
    """The listener of a port. `pid` is None if the OS shows a listener and not its process; `uid` may be known."""

    pid: int | None
    title: str = ""
    program: str = ""
    uid: int | None = None

    @property
    def summary(self) -> str:
        """The listener in words."""
        if self.pid:
            return f"pid {self.pid}: {self.title}"
        return f"a process of user {user_name(self.uid)}" if self.uid is not None else "a process of another user"

    @property
    def own(self) -> bool:
        """True if it was seen to be a process of the account that looks."""
        return self.pid is not None and self.uid == os.getuid()


class Socket(Struct, frozen=True):
    """One address that a process listens on."""

    address: str
    port: int

    @property
    def hosts(self) -> tuple[str, ...]:
        """Where it is reached from this machine; a wildcard at both loopback addresses, where it takes them."""
        if self.address not in _WILD:
            return (self.address,)
        return _LOOPBACK if self.address == "::" else _LOOPBACK[:1]

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def listener(port: int, host: str | None = None) -> Listener | None:
    """The program that listens on a TCP port of this machine, as far as the OS shows it; None if none is seen.

    With `host`, the one who gets a connection to that address: of several sockets the nearest to it.
    """
    found = [(each, pid) for each, pid in _listening() if each.port == port]
    if not found:
        return None
    if host is not None:
        found.sort(key=lambda each: (each[0].address != host, host not in each[0].hosts))
    elif all(pid is None for _, pid in found):
        found = found[:1]
    else:
        found = [each for each in found if each[1] is not None]
    socket, pid = found[0]
    return _described(pid) if pid else _forwarding(port) or Listener(None, uid=_owner(socket))


def listens(pid: int, host: str, port: int) -> bool:
    """True if a process is seen to listen where a connection to that address leads.

    One on `::` counts for IPv6 alone: whether it takes IPv4 as well is not to be seen.
    """
    led = {host, "::" if ":" in host else "0.0.0.0"}  # noqa: S104 - compared, not bound
    return any(each.port == port and each.address in led for each in sockets(pid) or ())


def waiting(port: int) -> int | None:
    """How many connections wait to be taken by whoever listens on a port; None where that is not shown (not Linux)."""
    found: list[int] = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    found.append(int(fields[4].rpartition(":")[2], 16))
    return sum(found) if found else None


def sockets(pid: int) -> tuple[Socket, ...] | None:
    """Where a process listens; None when we may not see its sockets, or it is gone."""
    try:
        return tuple(
            dict.fromkeys(
                Socket(each.laddr.ip, each.laddr.port)
                for each in psutil.Process(pid).net_connections(kind="tcp")
                if each.status == psutil.CONN_LISTEN and each.laddr
            )
        )
    except (psutil.Error, OSError):
        return None


def lives_apart(pid: int) -> bool:
    """True if a process lives in a container of its own: another network, or other pids, than ours (Linux).

    Its listening sockets are none of this machine's, and its lock names a pid of another world.
    """
    return not _shares("net", pid) or not shares_pids(pid)


def shares_pids(pid: int) -> bool:
    """True unless a process was seen to have other pids than ours: then a network of its own is no container's."""
    return _shares("pid", pid)


def _shares(kind: str, pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/ns/{kind}").readlink() == Path(f"/proc/self/ns/{kind}").readlink()
    return True


def user_name(uid: int | None) -> str:
    """An account by name, else by number."""
    if uid is None:
        return "unknown"
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _listening() -> Iterator[tuple[Socket, int | None]]:
    """Every listening TCP socket and its pid; on macOS each own process is asked."""
    try:
        for each in psutil.net_connections(kind="tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr:
                yield Socket(each.laddr.ip, each.laddr.port), each.pid
    except psutil.AccessDenied:
        for process in psutil.process_iter():
            try:
                for own in process.net_connections(kind="tcp"):
                    if own.status == psutil.CONN_LISTEN and own.laddr:
                        yield Socket(own.laddr.ip, own.laddr.port), process.pid
            except psutil.Error:
                continue


def _described(pid: int) -> Listener:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            name = process.name()
            title = (" ".join(process.cmdline()) or name)[:200].strip()
            return Listener(pid, title, name, process.uids().real)
    except psutil.Error:
        return Listener(pid, "a process that cannot be looked at")


def _forwarding(port: int) -> Listener | None:
    """Docker's proxy of a published port: it is root's, and its command line is everybody's to read."""
    for process in psutil.process_iter():
        try:
            if process.name() == "docker-proxy":
                words = process.cmdline()
                if words[words.index("-host-port") + 1] == str(port):
                    return _described(process.pid)
        except (psutil.Error, ValueError, IndexError):
            continue
    return None


def _owner(socket: Socket) -> int | None:
    """The account of a listening socket, which Linux tells everybody."""
    if not sys.platform.startswith("linux"):
        return None
    for table in ("tcp", "tcp6"):
        with suppress(OSError, ValueError, IndexError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == socket.port:
                    return int(fields[7])
    return None


Kind = Literal["container", "machine", "tunnel", "proxy", "system"]
"""container: a runtime's port forwarder; machine: a virtual machine's; system: it holds sockets for what it starts."""

FORWARDERS: Mapping[Kind, tuple[str, ...]] = {
    "container": (
        *("docker-proxy", "dockerd", "com.docker.*", "docker", "vpnkit*", "podman", "conmon*", "conmon-rs"),
        *("rootlessport*", "rootlesskit*", "slirp4netns", "pasta*", "passt*", "netavark", "aardvark-dns"),
        *("containerd*", "runc", "crun", "youki", "nerdctl", "orbstack*", "colima", "finch*"),
        *("kubelet", "kube-proxy", "k3s*", "k0s", "minikube", "kind", "lxd", "lxc*", "incus*", "systemd-nspawn"),
    ),
    "machine": (
        *("gvproxy*", "gvforwarder", "wslrelay*", "wslhost*", "wsl", "vmnet*", "vmware*", "vboxheadless"),
        *("vboxnetnat", "qemu-system*", "limactl", "lima*", "socket_vmnet", "krunkit", "vfkit", "firecracker"),
        *("utm*", "parallels*", "prl_*", "multipass*"),
    ),
    "tunnel": (
        *("ssh", "sshd*", "autossh", "dropbear", "dbclient", "sshuttle", "plink", "kubectl", "oc", "telepresence"),
        *("tailscale", "tailscaled", "cloudflared", "ngrok", "frpc", "frps", "chisel", "gost", "bore", "rathole"),
        *("zrok", "boundary", "tsh", "teleport", "gcloud", "aws", "session-manager-plugin", "stunnel*", "zerotier*"),
        *("wireproxy", "openvpn", "code-tunnel", "iproxy", "adb"),
    ),
    "proxy": (
        *("nginx*", "openresty", "angie", "caddy", "envoy*", "haproxy*", "traefik*", "apache2", "httpd", "lighttpd"),
        *("h2o", "varnishd", "squid", "pound", "hitch", "socat*", "ncat", "rinetd", "redir", "simpleproxy", "xray"),
        *("linkerd*-proxy", "pilot-agent", "istio*", "consul", "boringproxy", "sniproxy", "mitmproxy", "mitmdump"),
        *("mitmweb", "goproxy", "tinyproxy", "privoxy", "v2ray", "sing-box", "clash*", "mihomo*", "oauth2-proxy"),
        *("authelia", "pomerium", "angie*", "litespeed", "lshttpd", "nghttpx", "pgbouncer"),
    ),
    "system": (
        *("systemd", "systemd-socket-proxyd", "systemd-socket-activate", "init", "launchd", "inetd", "xinetd"),
        *("svchost", "system", "iphlpsvc", "kernel_task", "tini", "dumb-init", "s6-*", "runsv*"),
    ),
}
"""By the program's name in lower case, without folder and `.exe`; `*` for what varies by release."""


class Forwarder(Struct, frozen=True):
    """A program of that table."""

    name: str
    kind: Kind

    @property
    def place(self) -> str:
        """Where the gateway runs that is reached through it."""
        return {
            "container": "in a container",
            "machine": "in a virtual machine",
            "tunnel": "at the other end of that tunnel",
            "proxy": "behind that proxy",
            "system": "behind a socket that the system holds for it",
        }[self.kind]


def forwarder(title: str, program: str = "") -> Forwarder | None:
    """The forwarder that a process is, by its name and its command line; None for any other program."""
    first = title.split(" ", 1)[0]
    for name in dict.fromkeys((_plain(program), _plain(first))):
        for kind, patterns in FORWARDERS.items():
            if name and any(_is_named(name, each) for each in patterns):
                return Forwarder(name, kind)
    return None


def _is_named(name: str, pattern: str) -> bool:
    """True if the pattern is of that name; to make expressions of all of them would cost 10 ms."""
    return name.startswith(pattern.partition("*")[0]) and fnmatchcase(name, pattern)


def _plain(program: str) -> str:
    """`/usr/sbin/nginx` and `nginx:` are `nginx`, `wslrelay.exe` is `wslrelay`."""
    return program.replace("\\", "/").rpartition("/")[2].rstrip(":").lower().removesuffix(".exe")
