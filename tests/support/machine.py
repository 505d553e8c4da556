"""Somebody's machine with a scripted gateway, for whole doctor runs in a process of their own."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from oc_ops.observe.target import locate
from tests.fakes.fake_gateway import Talk
from tests.support import bytecode, proven

PROJECT = Path(__file__).resolve().parents[2]
SECRET = "shared-secret-0123456789"
TOO_LONG_S = 120.0

CLI = f"""#!{sys.executable}
import json, os, sys
words = " ".join(sys.argv[1:])
with open(os.environ["FAKE_CALLS"], "a") as file:
    file.write(words + "\\n")
answers = {{
    "config validate": {{"valid": True, "issues": []}},
    "gateway status": {{"rpc": {{"ok": True}}, "config": {{"cli": {{"valid": True}}}}}},
    "gateway call status": {{"runtimeVersion": "2026.9.6", "heartbeat": {{}}}},
    "cron list": {{"jobs": []}},
    "gateway call browser.request": {{"enabled": True, "running": True}},
}}
print("OpenClaw 2026.9.6" if words == "--version" else
      json.dumps(next((value for start, value in answers.items() if words.startswith(start)), {{}})))
"""
HTTP = {
    "/healthz": {"ok": True, "status": "live"},
    "/startupz": {"ok": True, "status": "started", "version": "2026.9.6", "uptimeMs": 86_400_000},
    "/readyz": {"ready": True, "failing": [], "uptimeMs": 86_400_000, "eventLoop": {"delayP99Ms": 12.0}},
}
RPC = {
    "status": {"runtimeVersion": "2026.9.6", "heartbeat": {}, "taskAudit": {"byCode": {"stale_queued": 0}}},
    "cron.status": {"enabled": True, "jobs": 0},
    "cron.list": {"jobs": []},
    "health": {
        "ok": True,
        "plugins": {"loaded": ["openai"], "errors": [], "unavailable": []},
        "defaultAgentId": "main",
    },
    "channels.status": {"channelAccounts": {}, "statusIssues": []},
    "agents.list": {"defaultId": "main", "agents": [{"id": "main", "model": {"primary": "lab/one"}}]},
    "models.list": {"models": [{"provider": "lab", "id": "one", "available": True}]},
    "models.authStatus": {"providers": [{"provider": "lab", "apiKey": {"source": "config"}}]},
}


class Operator:
    """Somebody's machine: a home with a config, an `openclaw`, and places for what the doctor leaves."""

    def __init__(self, root: Path, port: int) -> None:
        self.root = root
        for name in ("home/.openclaw", "bin", "temp", "cwd", "state"):
            (root / name).mkdir(parents=True)
        self.config = root / "home" / ".openclaw" / "openclaw.json"
        self.log = root / "gateway.log"
        self.log.touch()
        self.configure(port)
        executable = root / "bin" / "openclaw"
        executable.write_text(CLI)
        executable.chmod(0o755)
        self.reports = root / "reports"
        self.environ = {
            "PATH": f"{root / 'bin'}{os.pathsep}{os.defpath}",
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "temp"),
            "XDG_STATE_HOME": str(root / "state"),
            "OC_OPS_MEMORY_DIR": str(root / "memory"),
            "OC_OPS_REPORT_DIR": str(self.reports),
            "FAKE_CALLS": str(root / "calls.txt"),
            **bytecode.environ(),
        }

    def configure(self, port: int, **more: object) -> None:
        """Write the config, and the lock that makes this process the gateway."""
        config = {"gateway": {"mode": "local", "port": port, "auth": {"mode": "token", "token": SECRET}}, **more}
        self.config.write_text(json.dumps({**config, "logging": {"file": str(self.log)}}))
        proven.lock(locate({"HOME": str(self.root / "home")}), port)

    def start(self, *arguments: str, module: str = "pytest", **environ: str) -> subprocess.Popen[str]:
        """Start a run, or another program of ours, from somewhere else than the checkout."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *(arguments or (str(PROJECT / "checks"), "-m", "doctor"))],
            cwd=self.root / "cwd",
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A test run started in the background of a script has SIGINT ignored, and would hand that on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def run(self, *arguments: str, **environ: str) -> Run:
        """One run of the doctor, to its end."""
        return Run.of(self.start(str(PROJECT / "checks"), "-m", "doctor", *arguments, **environ))

    @property
    def calls(self) -> list[str]:
        """The `openclaw` calls made so far."""
        path = Path(self.environ["FAKE_CALLS"])
        return path.read_text().splitlines() if path.exists() else []

    def latest(self) -> dict[str, Any]:
        """The latest report, or the last run's where only a part of the doctor ever ran."""
        runs = sorted(self.reports.glob("runs/*/report.json"))
        latest = self.reports / "latest.json"
        value = json.loads((latest if latest.exists() else runs[-1]).read_text())
        assert isinstance(value, dict)
        return value

    def reported(self) -> dict[str, Any]:
        """The report of the last run, the latest of a whole gateway or not."""
        value = json.loads(max(self.reports.glob("runs/*/report.json")).read_text())
        assert isinstance(value, dict)
        return value

    def locks(self) -> list[str]:
        """The locks that were ever taken, but for the gateway's own."""
        return [path.name for path in self.root.rglob("*.lock") if "home" not in path.relative_to(self.root).parts]


class Run:
    """A run that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @classmethod
    def of(cls, process: subprocess.Popen[str]) -> Run:
        """Wait for the end; a run that does not end is killed and fails the test."""
        try:
            out, err = process.communicate(timeout=TOO_LONG_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return cls(process.returncode, out, err)

    @property
    def last_line(self) -> str:
        """The last thing on the terminal."""
        return self.out.rstrip("\n").rpartition("\n")[2]


def closed_port() -> int:
    """A port on which nothing listens, outside the range that the system gives to the tests beside this one."""
    for port in random.sample(range(10_000, 20_000), 100):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no free port in 100 tries")


@contextmanager
def gateway(
    change: Callable[[dict[str, Any]], None] = lambda _http: None, *, silent: str | Callable[[str], bool] | None = None
) -> Iterator[int]:
    """A gateway that answers HTTP and RPC as a healthy 2026.9.6 does.

    `change` may alter its HTTP answers, also to functions that give them; the RPC method `silent`, or each of which
    that says so, is taken and never answered.
    """
    answers: dict[str, Any] = json.loads(json.dumps(HTTP))
    change(answers)

    def http(connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        told = answers.get(request.path)
        answer = told() if callable(told) else told
        ready = not isinstance(answer, dict) or answer.get("ready") is not False
        response = connection.respond(200 if ready else 503, json.dumps(answer))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json; charset=utf-8"
        return response

    def rpc(connection: ServerConnection) -> None:
        talk = Talk(connection, [])
        with suppress(ConnectionClosed):
            talk.welcome()
            while True:
                frame = talk.take()
                if silent(frame["method"]) if callable(silent) else frame["method"] == silent:
                    talk.hang()
                talk.answer(frame, RPC[frame["method"]])

    with serve(rpc, "127.0.0.1", 0, process_request=http, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent_port() -> Iterator[socket.socket]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TOO_LONG_S)
        yield server
