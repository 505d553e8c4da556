"""Programs that hold a port for somebody else: what answers, hangs or is dead there runs behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Forwarder:
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
            if name and any(fnmatchcase(name, each) for each in patterns):
                return Forwarder(name, kind)
    return None


def _plain(program: str) -> str:
    """`/usr/sbin/nginx` and `nginx:` are `nginx`, `wslrelay.exe` is `wslrelay`."""
    return program.replace("\\", "/").rpartition("/")[2].rstrip(":").lower().removesuffix(".exe")
