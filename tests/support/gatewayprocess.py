"""A gateway in a process of its own: its title, its environment, its lock, and sockets where a test wants them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
PROGRAM = """
import contextlib, socket, sys, threading
from tests.support.machine import gateway
host, mode = sys.argv[1], sys.argv[2]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with contextlib.ExitStack() as held:
    if mode == "serves" and host == "127.0.0.1":
        port = held.enter_context(gateway())
    elif mode == "deaf":
        port = 0
    else:
        server = held.enter_context(socket.create_server((host, 0), family=family))
        port = server.getsockname()[1]
    print(port, flush=True)
    while mode == "serves" and host != "127.0.0.1":
        client, _ = server.accept()
        client.recv(4096)
        body = b'{"ok":true,"status":"live"}'
        head = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body)
        client.sendall(head + body)
        client.close()
    threading.Event().wait()
"""


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """The process and the port that it listens on."""

    process: subprocess.Popen[str]
    port: int

    @property
    def pid(self) -> int:
        """Its pid."""
        return self.process.pid


@contextmanager
def gateway_process(
    home: Path,
    mode: str = "serves",
    *,
    host: str = "127.0.0.1",
    title: str = "openclaw-gateway",
    lock: bool | None = True,
    environ: Mapping[str, str] | None = None,
) -> Iterator[GatewayProcess]:
    """Start one. `mode`: serves, silent (accepts only) or deaf (no socket). `lock`: with its port, None without one."""
    config = home / ".openclaw" / "openclaw.json"
    path = config.parent / "tmp" / "openclaw-0" / "gateway.0a1b2c3d.lock"
    env = {"HOME": str(home), "PATH": os.defpath, "PYTHONHOME": sys.base_prefix, **(environ or {})}
    process = subprocess.Popen(
        [title, "-c", PROGRAM, host, mode],
        executable=sys.executable,
        env={**env, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            if lock is not False:
                path.parent.mkdir(parents=True, exist_ok=True)
                told = {"pid": process.pid, "configPath": str(config), **({"port": port} if lock else {})}
                path.write_text(json.dumps(told))
            yield GatewayProcess(process, port)
        finally:
            process.kill()
            path.unlink(missing_ok=True)
