"""A listener on loopback that treats each connection as the next of its scripts says; the last one stays."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Script = Callable[[socket.socket, threading.Event], None]
"""Gets the connection, and an event that is set when the test is over."""


@contextlib.contextmanager
def listening(*scripts: Script, host: str = "127.0.0.1") -> Iterator[int]:
    """Yield the port; every thread is joined and every socket closed at the end."""
    over = threading.Event()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.create_server((host, 0), family=family)
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket, script: Script) -> None:
        with connection, contextlib.suppress(OSError):
            script(connection, over)

    def accept() -> None:
        number = 0
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            script = scripts[min(number, len(scripts) - 1)]
            number += 1
            threads.append(threading.Thread(target=serve, args=(connection, script)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server.getsockname()[1]
    finally:
        over.set()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
        acceptor.join(5)
        for thread in threads:
            thread.join(5)


def request(connection: socket.socket) -> bytes:
    """What was asked, up to the empty line."""
    raw = b""
    while b"\r\n\r\n" not in raw and (chunk := connection.recv(4096)):
        raw += chunk
    return raw


def says(raw: bytes) -> Script:
    """Answer with these bytes and close."""

    def script(connection: socket.socket, _: threading.Event) -> None:
        request(connection)
        connection.sendall(raw)

    return script


def keeps_open(raw: bytes) -> Script:
    """Answer with these bytes and keep the connection."""

    def script(connection: socket.socket, over: threading.Event) -> None:
        request(connection)
        connection.sendall(raw)
        over.wait(30)

    return script


def silent(connection: socket.socket, over: threading.Event) -> None:
    """Accept and never say a word."""
    over.wait(30)


def http(body: str, status: str = "200 OK", content_type: str = "application/json") -> bytes:
    """A whole HTTP answer as bytes."""
    data = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def answer(body: str, status: str = "200 OK", content_type: str = "application/json") -> Script:
    """Answer every request like this."""
    return says(http(body, status, content_type))
