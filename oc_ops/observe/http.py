"""Loopback HTTP probes: the cheapest look at a gateway, each under one wall-clock budget."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable, Mapping
from typing import Literal, cast

from msgspec import Struct

from oc_ops import files

Kind = Literal["answered", "refused", "silent", "garbled", "unreachable"]
"""refused: nothing listens; silent: the port accepts and the budget ends without a whole answer;
garbled: what came is not HTTP; unreachable: the network itself says no."""

_BODY_BYTES = 64 * 1024
_DIGITS = 20
"""Of a length that a server announces: Python refuses to read a number of thousands, and none is as long."""


UNTAKEN = "no connection came about"
"""How the detail of a silence begins whose connection was not even taken."""


class Probe(Struct, frozen=True):
    """One GET and what came of it. `wall_s` runs from before the connect to the last byte."""

    path: str
    kind: Kind
    wall_s: float
    status: int | None = None
    content_type: str = ""
    server: str = ""
    body: str = ""
    detail: str = ""

    @property
    def json(self) -> Mapping[str, object] | None:
        """The body as a JSON object, or None; a 200 with HTML (older releases' SPA) is not an answer."""
        if "json" not in self.content_type:
            return None
        try:
            value = files.json_of(self.body)
        except ValueError:
            return None
        return cast("dict[str, object]", value) if isinstance(value, dict) else None

    @property
    def untaken(self) -> bool:
        """True if the silence was no answer to the connection itself: a full backlog, or a rule that drops packets."""
        return self.kind == "silent" and self.detail.startswith(UNTAKEN)

    @property
    def wordless(self) -> bool:
        """True if the connection was taken and ended without a byte."""
        return self.kind == "garbled" and not self.body

    @property
    def summary(self) -> str:
        """One line of evidence."""
        if self.kind == "answered":
            body = self.body if self.json is not None else self.content_type or "no content type"
            return f"GET {self.path} answered {self.status} in {self.wall_s * 1000:.0f} ms: {body[:300].strip()}"
        words = {
            "refused": "connection refused",
            "silent": self.detail or f"the port accepts, no answer in {self.wall_s:.1f} s",
            "garbled": f"not HTTP: {self.detail}",
            "unreachable": self.detail,
        }
        return f"GET {self.path}: {words[self.kind]}"


def probe(
    host: str,
    port: int,
    path: str,
    *,
    budget_s: float,
    tls: bool = False,
    bearer: str = "",
    through: Callable[[], socket.socket] | None = None,
) -> Probe:
    """GET one path; connect, request and answer share `budget_s` seconds, however slowly the bytes come.

    Never raises for anything the network or the answer does. At most 64 KiB of the answer are read. With `tls` the
    certificate is not verified: nothing secret is sent, and a self-signed gateway is to be looked at as well.
    `bearer` is a secret that goes along, for a listener that was proven; `through` makes the connection instead.
    """
    start, taken = time.monotonic(), False
    raw = bytearray()

    def outcome(kind: Kind, detail: str = "") -> Probe:
        return Probe(path, kind, time.monotonic() - start, detail=detail, body=raw[:300].decode("utf-8", "replace"))

    try:
        with through() if through else _connected(host, port, budget_s, tls) as connection:
            taken = True
            name = f"[{host}]" if ":" in host else host
            request = f"GET {path} HTTP/1.1\r\nHost: {name}:{port}\r\nConnection: close\r\nAccept: */*\r\n"
            told = f"Authorization: Bearer {bearer}\r\n" if bearer.isascii() and bearer.isprintable() and bearer else ""
            connection.settimeout(max(start + budget_s - time.monotonic(), 0.001))
            connection.sendall(f"{request}{told}\r\n".encode("ascii"))
            while len(raw) < _BODY_BYTES and not _whole(raw):
                left_s = start + budget_s - time.monotonic()
                if left_s <= 0:
                    return outcome("silent")
                connection.settimeout(left_s)
                chunk = connection.recv(16384)
                if not chunk:
                    break
                raw += chunk
    except ConnectionRefusedError:
        return outcome("refused")
    except TimeoutError:
        return outcome("silent", "" if taken or tls else f"{UNTAKEN} within {time.monotonic() - start:.1f} s")
    except (ConnectionResetError, BrokenPipeError) as error:
        return outcome("garbled", f"the connection was cut ({error.strerror})")
    except OSError as error:
        if hasattr(error, "reason"):  # ssl.SSLError, without importing ssl: somebody answers, but not TLS
            return outcome("garbled", f"no TLS ({error.reason or error})")
        return outcome("unreachable", error.strerror or str(error))
    return _parsed(path, bytes(raw), time.monotonic() - start) or outcome(
        "garbled", repr(bytes(raw[:60])) if raw else "the connection was closed without a word"
    )


def _connected(host: str, port: int, budget_s: float, tls: bool) -> socket.socket:
    until = time.monotonic() + budget_s
    # As bytes: a str would load Python's IDNA tables, a tenth of a probing process's start.
    address = cast("tuple[str, int]", (host.encode("ascii"), port))
    connection = socket.create_connection(address, timeout=budget_s)
    connection.settimeout(max(until - time.monotonic(), 0.001))
    if not tls:
        return connection
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(connection)
    except OSError:
        connection.close()
        raise


def _whole(raw: bytearray) -> bool:
    """True once a body of the announced length is there; other answers end with the connection."""
    head, separator, body = raw.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:") and (length := line[15:].strip()[:_DIGITS]).isdigit():
            return len(body) >= int(length)
        if line.startswith(b"transfer-encoding:") and b"chunked" in line:
            return body.endswith(b"0\r\n\r\n")
    return False


class _Answer:
    """Bytes that look like a socket, as http.client wants them."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: object, **__: object) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _parsed(path: str, raw: bytes, wall_s: float) -> Probe | None:
    """The answer, or None when what came is not HTTP."""
    import http.client  # with ssl behind it 10 ms, for nothing where no gateway answers

    response = http.client.HTTPResponse(cast("socket.socket", _Answer(raw)))
    try:
        response.begin()
        body = response.read(_BODY_BYTES)
    except http.client.IncompleteRead as error:
        body = error.partial
    except (http.client.HTTPException, ValueError, OverflowError):
        return None
    return Probe(
        path,
        "answered",
        wall_s,
        status=response.status,
        content_type=response.headers.get("content-type", ""),
        server=response.headers.get("server", ""),
        body=body.decode("utf-8", "replace"),
    )
