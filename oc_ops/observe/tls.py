"""TLS on a connection whose other end is proven by its process on this machine, whatever its certificate says."""

from __future__ import annotations

import socket
import ssl
import time


class TlsSocket:
    """An encrypted connection that reads and writes as a plain one which never blocks.

    A gateway signs its own certificate; who it is, its process has shown, so that the certificate is not judged.
    """

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        """Shake hands until `deadline`, on the monotonic clock; raises OSError, TimeoutError among them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        sock.settimeout(max(0.001, deadline - time.monotonic()))
        self._sock = context.wrap_socket(sock)
        self.fileno, self.close = self._sock.fileno, self._sock.close
        self.getsockname, self.getpeername = self._sock.getsockname, self._sock.getpeername
        self.setblocking = self._sock.setblocking

    def pending(self) -> bool:
        """True if more can be read at once: what was decrypted already wakes no poll."""
        return self._sock.pending() > 0

    def recv(self, size: int) -> bytes:
        """As of a socket; raises BlockingIOError where nothing whole has come yet."""
        try:
            return self._sock.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def send(self, data: bytes | bytearray) -> int:
        """As of a socket; raises BlockingIOError where nothing can be sent yet."""
        try:
            return self._sock.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
