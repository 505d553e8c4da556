"""Programs that hold a port for a gateway elsewhere: recognised by name, never ended, and never restarted through."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from oc_ops.judge import gateway as judge
from oc_ops.judge.gateway import Limits
from oc_ops.judge.port import behind
from oc_ops.observe.http import Probe
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import Service
from oc_ops.observe.sockets import FORWARDERS, Listener, forwarder
from tests.support.sights import LIVE, PORT, gateway_process, nothing, page, ready, said, sight

DEAD = nothing("garbled", detail="the connection was closed without a word")
SILENT = nothing("silent")
UNIT = Service("systemd", "openclaw-gateway.service", "stopped")
CONMON = "/usr/bin/conmon --api-version 1 -c 91ad6b9d2242 -r /usr/bin/runc"
TITLES = {
    "/usr/bin/docker-proxy -proto tcp -host-ip 127.0.0.1 -host-port 28789": "container",
    CONMON: "container",
    "rootlessport": "container",
    "rootlessport-child": "container",
    "/usr/bin/pasta.avx2 --config-net -t 28789-28789:18789-18789": "container",
    "/usr/bin/slirp4netns --disable-host-loopback": "container",
    "/Applications/Docker.app/Contents/MacOS/com.docker.backend run": "container",
    "com.docker.vpnkit --ethernet fd:3": "container",
    "vpnkit-bridge": "container",
    "/usr/bin/containerd-shim-runc-v2 -namespace moby": "container",
    "/opt/podman/bin/gvproxy -mtu 1500": "machine",
    "wslrelay.exe --mode 2": "machine",
    "C:\\Windows\\System32\\wslrelay.exe": "machine",
    "qemu-system-x86_64 -netdev user,hostfwd=tcp::28789-:18789": "machine",
    "ssh -N -L 28789:127.0.0.1:18789 host": "tunnel",
    "sshd: joe@pts/0": "tunnel",
    "kubectl port-forward svc/openclaw 28789:18789": "tunnel",
    "/usr/sbin/tailscaled --state=/var/lib/tailscale/tailscaled.state": "tunnel",
    "cloudflared tunnel run": "tunnel",
    "socat TCP-LISTEN:28789,fork TCP:10.0.0.2:18789": "proxy",
    "nginx: master process /usr/sbin/nginx": "proxy",
    "caddy run --config /etc/caddy/Caddyfile": "proxy",
    "/usr/local/bin/envoy -c /etc/envoy.yaml": "proxy",
    "haproxy -f /etc/haproxy/haproxy.cfg": "proxy",
    "/lib/systemd/systemd-socket-proxyd 10.0.0.2:18789": "system",
    "/sbin/init": "system",
}


@pytest.mark.parametrize("title", TITLES)
def test_a_forwarder_is_known_by_its_name(title: str) -> None:
    """Whatever folder, options or letters come with it."""
    found = forwarder(title)
    assert found is not None
    assert found.kind == TITLES[title]
    assert found.place


def test_a_program_s_name_with_spaces_in_its_path_is_known_by_the_system_s_word() -> None:
    """macOS' paths hold spaces: the name that the OS gives counts as well."""
    assert forwarder("/Applications/Some Folder/x", "com.docker.backend") is not None


@pytest.mark.parametrize(
    "title",
    ["python3 -m http.server 28789", "openclaw-gateway", "openclaw", "node /srv/index.js", "", "vim nginx.conf",
     "/home/joe/conmon/server.py", "dockerfile-lint", "java -jar app.jar"],
)  # fmt: skip
def test_other_programs_are_no_forwarders(title: str) -> None:
    """A word in the command line or in a folder's name makes nobody a forwarder."""
    assert forwarder(title) is None


def test_the_table_is_in_small_letters() -> None:
    """Names are compared so."""
    assert all(each == each.lower() and each for names in FORWARDERS.values() for each in names)


def through(live: Probe, title: str = CONMON, **changes: object) -> GatewayProbe:
    """What is seen through a forwarder of our own account, a stopped user unit and both runtimes beside it."""
    members: dict[str, object] = {
        "listener": Listener(77, title, uid=os.getuid()),
        "processes": (),
        "service": UNIT,
        "runtimes": ("podman", "docker"),
        "again": SILENT if live.kind == "silent" else None,
    }
    return sight(live, **{**members, **changes})


@pytest.mark.parametrize("title", TITLES)
@pytest.mark.parametrize(
    ("live", "check"),
    [
        (DEAD, "gateway/down"),
        (nothing("garbled", detail="the connection was cut (Connection reset by peer)"), "gateway/down"),
        (page("<html>502 Bad Gateway", status=502), "gateway/down"),
        (SILENT, "gateway/hung"),
        (page("<html>504 Gateway Time-out", status=504), "gateway/hung"),
        (page("<html>Welcome to nginx!"), "gateway/port-taken"),
        (replace(nothing("garbled", detail="b'SSH-2.0'"), body="SSH-2.0"), "gateway/port-taken"),
    ],
    ids=["hangs up", "reset", "502", "silent", "504", "another page", "another protocol"],
)
def test_what_is_behind_a_forwarder_is_judged_and_nobody_is_ended_for_it(live: Probe, check: str, title: str) -> None:
    """Dead or hung behind it, or another program's: the fix leads there, with no restart, start or end of anything."""
    if check == "gateway/hung" and live.kind == "answered":
        seen = through(live, title, startup=live, ready=live)
    else:
        seen = through(live, title, startup=None, ready=None)
    finding = judge.cause(seen, Limits())
    assert finding is not None
    assert (finding.check, finding.proof) == (check, "")
    assert finding.fix.startswith("none automatic: ")
    assert "end that program" not in finding.fix
    assert "openclaw gateway" not in finding.fix
    assert "kill" not in finding.fix


@pytest.mark.parametrize(
    ("runtimes", "title", "words"),
    [
        (("podman", "docker"), CONMON, f"podman ps -a | grep {PORT}"),
        (("podman", "docker"), "docker-proxy -host-port 28789", f"docker ps -a --filter publish={PORT}"),
        (("docker",), CONMON, f"docker ps -a --filter publish={PORT}"),
        ((), CONMON, "ps -fp 77"),
        (("podman",), "ssh -L 28789:x:1 y", "ps -fp 77"),
        (("podman",), "nginx: master", f"the configuration of nginx says where port {PORT} leads"),
    ],
    ids=["podman", "docker", "the other runtime", "no runtime", "tunnel", "proxy"],
)
def test_the_fix_says_how_to_find_what_is_behind_it(runtimes: tuple[str, ...], title: str, words: str) -> None:
    """The runtime's own list where its command is at hand; what the tunnel or proxy says elsewhere."""
    finding = judge.cause(through(SILENT, title, runtimes=runtimes), Limits())
    assert finding is not None
    assert words in finding.fix


def test_another_account_s_runtime_is_asked_as_root() -> None:
    """Only who runs the container sees it."""
    finding = judge.cause(through(SILENT, listener=Listener(77, CONMON, uid=os.getuid() + 1)), Limits())
    assert finding is not None
    assert "sudo podman ps -a" in finding.fix


def test_a_gateway_that_answers_through_a_forwarder_is_judged_as_any_other() -> None:
    """Healthy is healthy, and an event loop that is held up is said of it."""
    assert judge.cause(through(LIVE), Limits()) is None
    found = judge.cause(through(LIVE, ready=ready(delay_ms=2500.0)), Limits())
    assert found is not None
    assert found.check == "gateway/saturated"
    draining = said({"ok": False, "status": "draining", "uptimeMs": 90_000_000}, "/startupz", 503)
    found = judge.cause(through(LIVE, startup=draining), Limits())
    assert found is not None
    assert found.check == "gateway/draining"


def test_a_gateway_by_its_title_is_no_forwarder() -> None:
    """Whoever is known to be the gateway stands behind nothing."""
    assert behind(sight(SILENT)) is None
    own = gateway_process(pid=77)
    assert behind(through(SILENT, processes=(own,))) is None


OWN: Callable[[], Listener] = lambda: Listener(4242, "python3 -m http.server 28789", uid=os.getuid())  # noqa: E731


@pytest.mark.parametrize(
    ("listener", "ends"),
    [
        (OWN, True),
        (lambda: replace(OWN(), uid=os.getuid() + 1), False),
        (lambda: replace(OWN(), uid=None), False),
        (lambda: Listener(None), False),
        (lambda: Listener(None, uid=0), False),
        (lambda: Listener(1, "/sbin/init", uid=os.getuid()), False),
        (lambda: None, False),
    ],
    ids=["our own", "another user's", "of unknown user", "hidden", "root's, hidden", "init", "nobody seen"],
)
def test_only_a_stranger_of_our_own_account_may_be_ended(listener: Callable[[], Listener | None], ends: bool) -> None:
    """Of every other one it is said who has the port and how to see it."""
    seen = sight(page("<html>hello"), listener=listener(), processes=(), startup=None, ready=None)
    finding = judge.cause(seen, Limits())
    assert finding is not None
    assert finding.check == "gateway/port-taken"
    assert ("end that program" in finding.fix) == ends


@pytest.mark.parametrize("live", [SILENT, nothing("garbled", detail="the connection was cut")])
def test_a_silent_program_may_lead_to_a_gateway_that_hangs(live: Probe) -> None:
    """A proxy of an unknown name has shown nothing of itself: it is not ended, and not said to answer; nor one that
    ends TLS and hangs up on plain HTTP.
    """
    finding = judge.cause(sight(live, listener=OWN(), processes=(), startup=None, ready=None), Limits())
    assert finding is not None
    assert finding.check == "gateway/port-taken"
    assert "answers nothing" in finding.fact
    assert "end that program" not in finding.fix
    assert "leads to the gateway" in finding.fix
