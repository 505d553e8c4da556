"""What a break-in tries: things in the place of a file, servers that lie, words; and a run that is measured."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.fake_gateway import NONCE, TS, accepted, hello, read_request, text_frame

MOST_S, MOST_BYTES = 8.0, 250 * 2**20
"""What any command of ours may take whatever it meets, on a machine at rest."""
STRANGER_UID = 54321
USUAL_S = 2.0
"""A quick run on the machine that the bound is of."""

Plant = Callable[[Path], None]
Script = Callable[[socket.socket, threading.Event], None]

# -- in the place of a file --------------------------------------------------------------------------------------------


def pipe(path: Path) -> None:
    """A pipe that nobody writes into."""
    os.mkfifo(path)


def endless(path: Path) -> None:
    """A link to a device that never ends."""
    path.symlink_to("/dev/zero")


def bound_socket(path: Path) -> None:
    """A socket of somebody's."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def huge(path: Path) -> None:
    """A gigabyte without a block on the disk."""
    with path.open("wb") as file:
        file.truncate(2**30)


def circle(path: Path) -> None:
    """A link to itself."""
    path.symlink_to(path)


def folder(path: Path) -> None:
    """A folder where a file should be."""
    path.mkdir()


def nested(path: Path) -> None:
    """Brackets deeper than any parser goes."""
    path.write_text('{"a":' + "[" * 100_000)


def no_text(path: Path) -> None:
    """Bytes that are no UTF-8."""
    path.write_bytes(b"\xff\xfe\x00{\x80\x81 \xed\xa0\x80" * 50)


def cut_off(path: Path) -> None:
    """The beginning of a JSON document, as a crash leaves it."""
    path.write_text('{"version": 1, "jobs": [{"id": "a", "na')


def other_types(path: Path) -> None:
    """JSON, and nothing in it of the type it should have."""
    path.write_text('{"gateway": [1e999, null], "jobs": {"a": -1}, "version": "x", "at": 1e300, "pid": -1, "port": []}')


def blanks(path: Path) -> None:
    """Eight megabytes of nothing, on one line."""
    path.write_text(" " * 2**23)


def breaks(path: Path) -> None:
    """Two million empty lines."""
    path.write_text("\n" * 2**21)


def strangers(path: Path) -> None:
    """Another user's file, which is theirs to change (root plants it)."""
    path.write_text("{}")
    os.chown(path, STRANGER_UID, STRANGER_UID)


def strangers_link(path: Path) -> None:
    """Another user's link to a file that is not theirs (root plants it)."""
    path.symlink_to("/etc/hostname")
    os.lchown(path, STRANGER_UID, STRANGER_UID)


PLANTS: tuple[Plant, ...] = (
    *(pipe, endless, bound_socket, huge, circle, folder, nested, no_text, cut_off, other_types, blanks, breaks),
    *((strangers, strangers_link) if os.geteuid() == 0 else ()),
)

# -- on the gateway's port ---------------------------------------------------------------------------------------------


def silent(client: socket.socket, over: threading.Event) -> None:
    """Takes connections and says nothing."""
    over.wait(60)


def garbage(client: socket.socket, over: threading.Event) -> None:
    """Bytes that are no HTTP."""
    client.sendall(bytes(range(256)) * 64)


def hangs_up(client: socket.socket, over: threading.Event) -> None:
    """Reads the request and resets the connection."""
    read_request(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _said(client: socket.socket, body: bytes, head: str = "Content-Type: application/json") -> None:
    read_request(client)
    client.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)


def _flood(client: socket.socket, over: threading.Event, data: bytes) -> None:
    while not over.is_set():
        client.sendall(data)


def endless_body(client: socket.socket, over: threading.Event) -> None:
    """An answer that never ends."""
    _said(client, b'{"ok":true,"x":"')
    _flood(client, over, b"x" * 65536)


def endless_head(client: socket.socket, over: threading.Event) -> None:
    """Headers that never end."""
    read_request(client)
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    _flood(client, over, b"X-A: b\r\n" * 4096)


def endless_chunks(client: socket.socket, over: threading.Event) -> None:
    """A chunked answer of tiny chunks that never ends."""
    _said(client, b"", "Content-Type: application/json\r\nTransfer-Encoding: chunked")
    _flood(client, over, b"1\r\n \r\n" * 4096)


def lying_length(client: socket.socket, over: threading.Event) -> None:
    """A body of the length that is no number."""
    _said(
        client,
        b'{"ok":true,"status":"live"}',
        "Content-Type: application/json\r\nContent-Length: -99999999999999999999",
    )


def nested_body(client: socket.socket, over: threading.Event) -> None:
    """JSON that is nested without end."""
    _said(client, b'{"ok":' + b"[" * 60_000)


def slow_drip(client: socket.socket, over: threading.Event) -> None:
    """One byte at a time."""
    read_request(client)
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b" " * 10_000:
        client.sendall(bytes([byte]))
        if over.wait(0.05):
            return


def lookalike(client: socket.socket, over: threading.Event) -> None:
    """The pages of a healthy gateway, and no more."""
    path = read_request(client).split(" ")[1]
    pages = {"/healthz": {"ok": True, "status": "live"}, "/startupz": {"ok": True, "status": "started"}}
    body = json.dumps(pages.get(path, {"ready": True, "failing": [], "uptimeMs": 1e999})).encode()
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\r\n" + body)


def odd_numbers(client: socket.socket, over: threading.Event) -> None:
    """The pages of a gateway with numbers that are none."""
    body = b'{"ok":true,"status":"live","ready":true,"uptimeMs":1e400,"failing":{"a":1},"eventLoop":{"delayP99Ms":NaN}}'
    _said(client, body)


def elsewhere(client: socket.socket, over: threading.Event) -> None:
    """Sends on to itself, again and again."""
    read_request(client)
    client.sendall(b"HTTP/1.1 302 Found\r\nLocation: /healthz\r\nContent-Length: 0\r\n\r\n")


def _socket_or_live(talk: Script) -> Script:
    """A gateway by its pages, whose WebSocket talks like that."""

    def script(client: socket.socket, over: threading.Event) -> None:
        request = read_request(client)
        if "sec-websocket-key" not in request.lower():
            body = b'{"ok":true,"status":"live","ready":true,"failing":[],"uptimeMs":86400000}'
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\r\n" + body)
            return
        client.sendall(accepted(request))
        talk(client, over)

    script.__name__, script.__doc__ = talk.__name__, talk.__doc__
    return script


def ping_flood(client: socket.socket, over: threading.Event) -> None:
    """Pings without end."""
    _flood(client, over, b"\x89\x00" * 2048)


def huge_frame(client: socket.socket, over: threading.Event) -> None:
    """A frame that says it is of 2**62 bytes."""
    client.sendall(b"\x81\x7f" + (2**62).to_bytes(8, "big"))
    _flood(client, over, b" " * 65536)


def endless_message(client: socket.socket, over: threading.Event) -> None:
    """One message in fragments without end."""
    client.sendall(b"\x01\x01x")
    _flood(client, over, (b"\x00\x7e" + (60_000).to_bytes(2, "big") + b"x" * 60_000))


def event_flood(client: socket.socket, over: threading.Event) -> None:
    """Events without end."""
    frame = text_frame(json.dumps({"type": "event", "event": "tick", "payload": {"x": "y" * 900}}).encode())
    _flood(client, over, frame * 64)


def nested_frame(client: socket.socket, over: threading.Event) -> None:
    """A frame nested without end."""
    client.sendall(text_frame(b'{"type":"event","payload":' + b"[" * 60_000))
    over.wait(60)


def masked_frame(client: socket.socket, over: threading.Event) -> None:
    """A frame that a server must not send, with bits that nobody agreed on."""
    client.sendall(b"\xf1\x84\x01\x02\x03\x04abcd")
    over.wait(60)


def lying_challenge(client: socket.socket, over: threading.Event) -> None:
    """Challenges of every wrong type, one after the other."""
    for nonce, ts in (({}, TS), (None, "x"), ("x" * 60_000, 1e300), ([], -1), ("a\0b", 1e999)):
        payload: dict[str, object] = {"nonce": nonce, "ts": ts}
        client.sendall(
            text_frame(json.dumps({"type": "event", "event": "connect.challenge", "payload": payload}).encode())
        )
    over.wait(60)


def _challenged(client: socket.socket) -> None:
    frame = {"type": "event", "event": "connect.challenge", "payload": {"nonce": NONCE, "ts": TS}}
    client.sendall(text_frame(json.dumps(frame).encode()))


def _request_id(client: socket.socket) -> str:
    """The id of the request that a client sent, masked as clients do."""
    data = b""
    while len(data) < 8:
        data += client.recv(65536) or b"\0" * 8
    length, at = data[1] & 0x7F, 2
    if length == 126:
        length, at = int.from_bytes(data[2:4], "big"), 4
    mask, body = data[at : at + 4], data[at + 4 : at + 4 + length]
    found = re.search(rb'"id": ?"([^"]+)"', bytes(each ^ mask[number % 4] for number, each in enumerate(body)))
    return found[1].decode() if found else "1"


def long_token(client: socket.socket, over: threading.Event) -> None:
    """A device token of 60 kB in the welcome."""
    _challenged(client)
    payload = hello(deviceToken="t" * 60_000)
    answer = {"type": "res", "id": _request_id(client), "ok": True, "payload": payload}
    client.sendall(text_frame(json.dumps(answer).encode()[:65_000]))
    over.wait(60)


def odd_welcome(client: socket.socket, over: threading.Event) -> None:
    """A welcome in which nothing has its type, and a version that takes the terminal over."""
    _challenged(client)
    payload: dict[str, object] = {
        **hello(),
        "server": {"version": "\x1b]0;x\x07\u202e<script>"},
        "features": 3,
        "policy": [],
        "auth": 1,
    }
    answer = {"type": "res", "id": _request_id(client), "ok": True, "payload": payload}
    client.sendall(text_frame(json.dumps(answer).encode()))
    over.wait(60)


def odd_refusal(client: socket.socket, over: threading.Event) -> None:
    """A refusal whose words are not words."""
    _challenged(client)
    error = {"code": ["x"], "message": "\x1b[2J" + "no " * 9_000, "details": {"code": 7}, "retryAfterMs": -1e300}
    answer = {"type": "res", "id": _request_id(client), "ok": False, "error": error}
    client.sendall(text_frame(json.dumps(answer).encode()))
    over.wait(60)


def long_goodbye(client: socket.socket, over: threading.Event) -> None:
    """A closing frame with a reason that is too long and takes the terminal over."""
    client.sendall(b"\x88\x7e" + (60_000).to_bytes(2, "big") + b"\x03\xf0" + b"\x1b[2J\n" * 11_999 + b"xyz")
    over.wait(60)


PAGES: tuple[Script, ...] = (
    *(silent, garbage, hangs_up, endless_body, endless_head, endless_chunks, lying_length, nested_body, slow_drip),
    *(lookalike, odd_numbers, elsewhere),
)
SOCKETS: tuple[Script, ...] = tuple(
    map(
        _socket_or_live,
        (
            *(silent, garbage, ping_flood, huge_frame, endless_message, event_flood, nested_frame, masked_frame),
            *(lying_challenge, long_token, odd_welcome, odd_refusal, long_goodbye),
        ),
    )
)

# -- hostile words -----------------------------------------------------------------------------------------------------

HOSTILE_WORDS = (
    "\x1b[2J\x1b[31mred",
    "\x1b]52;c;aGk=\x07",
    "\x1b]8;;http://x\x07link\x1b]8;;\x07",
    "\x9b2J\x90q\x9c",
    "good\rbad\bX",
    "a\nb\r\nc\x0bd\x0ce\u2028f\u2029g\x85h",
    "user\u202egpj.exe\u2066x\u2069",
    "\u200b\ufeff\U000e0041",
    "a\0b\x7f",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"'><svg/onload=alert(1)>&lt;b&gt;",
    "</title></textarea></script><iframe src=javascript:alert(1)>",
    "{{ 7*7 }}{% raw %}${jndi:x}%s%n{0}",
    'job{name="x"} 1\\n# HELP',
    "`rm -rf ~`; $(id) | cat && true",
    "../../../../etc/passwd",
    "-rf --help",
    "[bold]rich[/bold][/][link=http://x]y",
    "#(touch /tmp/x)#[fg=red]#{pid}",
    "=cmd|' /C calc'!A0",
    "\ud800lone",
    "é" * 300,
    "x" * 30_000,
)
"""Terminal, bidi, HTML, templates, Prometheus, shell, paths, rich, tmux, spreadsheets, surrogates, length."""
_ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def hostile_name(dice: random.Random) -> str:
    """A name of one to three hostile pieces."""
    return "".join(dice.choice(HOSTILE_WORDS) for _ in range(dice.randint(1, 3)))


def acts(text: str) -> list[str]:
    """What of a text a terminal would act upon."""
    return _ACTS.findall(text)


# -- a run that is measured --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measured:
    """What a command took and said: the wall clock, the peak of its largest process, its exit, both its streams."""

    wall_s: float
    peak_bytes: int
    exit: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams."""
        return self.out + self.err

    @property
    def sentence(self) -> str:
        """The last line of what it said."""
        return (self.out.rstrip("\n") or self.err.rstrip("\n")).rpartition("\n")[2]


_MEASURE = """
import json, resource, subprocess, sys, time
began = time.monotonic()
done = subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
took = time.monotonic() - began
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
told = [took, peak, done.returncode, *(each.decode("utf-8", "backslashreplace") for each in (done.stdout, done.stderr))]
open(sys.argv[1], "w").write(json.dumps(told))
"""


def measure(argv: Sequence[str], environ: Mapping[str, str], cwd: Path, timeout_s: float = 100.0) -> Measured:
    """Run it to its end; the peak is asked of a parent that has no other child. Raises TimeoutExpired."""
    into = cwd / f".measured-{time.monotonic_ns()}"
    command = [sys.executable, "-S", "-c", _MEASURE, str(into), *argv]
    with subprocess.Popen(command, cwd=cwd, env=environ, start_new_session=True) as process:
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            raise
    told = json.loads(into.read_text())
    into.unlink()
    return Measured(*told)
