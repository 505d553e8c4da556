"""One isolated real gateway: its own home, port, token, log and browser, and nothing of it left after `down`."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
from msgspec import Struct

from oc_ops.lab import config, fakes, sweep
from oc_ops.lab.config import FakeState, LabState, read, write, write_private
from oc_ops.lab.install import DEFAULT_VERSION, LabError, Progress, install, lab_dir, launcher, release
from oc_ops.observe.healers import LONGEST_INSTALL_S, install_of
from oc_ops.observe.http import probe
from oc_ops.process.run import Call, run, signals_held

START_S = 300.0
"""Deadline of a start: the first one of an old release compiles its plugins for a minute in silence."""

START_AT_MOST_S = LONGEST_INSTALL_S
"""For a start whose own package manager is at work: 2026.4.15 and 2026.4.24 fetch plugins before they listen."""

STOP_S = 20.0
"""Time between SIGTERM and SIGKILL. A gateway at work would drain for 315 s; the lab has no work worth that."""

CALL_S = 90.0
OFF = "off"
"""The mode of a fake that is not there."""
_FAKE_S = 20.0
_PROBE_S = 2.0
_POLL_S = 0.1
_KEPT = (
    "LANG", "LC_ALL", "LOGNAME", "SHELL", "TZ", "USER",
    # Whom this machine's network trusts: 2026.4.15 to 2026.4.29 fetch packages of their own before they listen.
    "NODE_EXTRA_CA_CERTS", "SSL_CERT_DIR", "SSL_CERT_FILE", "npm_config_cafile", "npm_config_registry",
)  # fmt: skip
_ANSWERED = ("answered", "lingered")


class LabStatus(Struct, frozen=True):
    """The state of a lab. `healthy` is its own word over HTTP, `browser` whether its Chromium listens."""

    up: bool
    healthy: bool
    browser: bool
    pid: int | None
    port: int
    version: str
    root: str


class Lab:
    """One lab in `root`. Nothing is written, installed or started before `up`.

    Raises LabError when `root` holds a lab of another release, or a lab.json that is not one.
    """

    def __init__(self, root: Path, version: str = DEFAULT_VERSION, *, cache: Path | None = None) -> None:
        self.root = root.absolute()
        self.release = release(version)
        self.cache = cache or lab_dir()
        self.home = self.root / "home"
        self.tmp = self.root / "tmp"
        self.state_dir = self.home / ".openclaw"
        self.config_path = self.state_dir / "openclaw.json"
        self.log_file = self.root / "gateway.log"
        self.output_file = self.root / "gateway.out"
        self.openclaw = launcher(version, self.cache)
        self.begun = False
        """True if this object found the lab down and began to bring it up: then its down is this one's business."""
        self._child: subprocess.Popen[bytes] | None = None
        self._state = LabState(version, secrets.token_hex(24))
        self._recall()

    @property
    def version(self) -> str:
        """The release this lab runs."""
        return self.release.version

    @property
    def port(self) -> int:
        """The gateway's port; 0 before the first `up`."""
        return self._state.port

    @property
    def token(self) -> str:
        """The gateway's token."""
        return self._state.token

    @property
    def environ(self) -> dict[str, str]:
        """The complete environment of everything that runs in the lab: nothing of the caller's OpenClaw is in it."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        path = os.pathsep.join([str(self.openclaw.parent), os.environ.get("PATH", os.defpath)])
        return {"LANG": "C.UTF-8", **kept, "HOME": str(self.home), "TMPDIR": str(self.tmp), "PATH": path}

    def up(self, progress: Progress | None = None, *, mend: bool = True) -> LabStatus:
        """Install, configure, start, seed the cron jobs, start the browser; what is done already is left alone.

        Without `mend` a gateway that runs is left as it is, whatever ails it: somebody wants to look at just that.
        """
        say = progress or (lambda _: None)
        with self._turn():
            if not self._process():
                self.begun = True
                install(self.version, cache=self.cache, progress=progress)
                sweep.end(sweep.residents(self.root), 2.0)
                self._prepare()
                there = {name: self._serve(name, each.mode, each.port) for name, each in self._state.fakes.items()}
                self._remember(fakes=there)
                say(f"starting the gateway on port {self.port}")
                self.start_gateway()
            elif not mend:
                return self.status()
            elif not self.healthy():
                say("waiting for the gateway")
                self.wait_ready()
            self._seed(say)
            if config.find_chromium() and not self.browser_runs():
                say("starting the browser")
                self.start_browser()
        return self.status()

    def fake(self, name: str, mode: str) -> None:
        """Have the lab's channel (`telegram`) or model provider (`provider`) be a fake that behaves so, or `off`.

        The gateway takes the config over by itself. Raises LabError for a mode that there is not.
        """
        if mode not in (*fakes.MODES[name], OFF):
            raise LabError(f"{name} {mode!r}: need one of {', '.join((*fakes.MODES[name], OFF))}")
        with self._turn():
            there = dict(self._state.fakes)
            old = there.pop(name, None)
            if old and (process := sweep.recorded(old.pid, old.started)):
                sweep.end([process], STOP_S)
            if mode != OFF:
                there[name] = self._serve(name, mode, old.port if old else 0)
            self._remember(fakes=there)
            self.write_config({})

    def _serve(self, name: str, mode: str, port: int) -> FakeState:
        """Start a fake as a process of the lab, whose `down` ends it with all others."""
        port = port or fakes.free_port()
        words = [sys.executable, "-m", "oc_ops.lab.fakes", name, mode, str(port)]
        environ = {**self.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with self.output_file.open("ab") as output:
            child = subprocess.Popen(
                words, env=environ, cwd=self.home, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _FAKE_S
        while not _listens(port):
            if child.poll() is not None or time.monotonic() > deadline:
                child.kill()
                raise LabError(f"the fake {name} did not come up on port {port}: {self._last_words()}")
            time.sleep(_POLL_S)
        return FakeState(mode, port, child.pid, psutil.Process(child.pid).create_time())

    def down(self) -> None:
        """End the gateway and every process that lives in the lab; its files stay. Raises LabError if one survives.

        Once begun it goes through, for at most a minute: a Ctrl-C or SIGTERM then waits until it is done.
        """
        if not self.root.is_dir():
            return
        with self._turn(), signals_held():
            if process := self._process():
                sweep.end([process], STOP_S)
            deadline = time.monotonic() + STOP_S
            while (left := sweep.residents(self.root)) and time.monotonic() < deadline:
                sweep.end(left, 2.0)
            self._reap()
            if left:
                pids = ",".join(str(each.pid) for each in left)
                raise LabError(f"processes of the lab survived SIGKILL; look at them with `ps -p {pids}`")
            if self._state.pid or self._state.fakes:
                self._remember(pid=None, started=0.0, fakes={})

    def status(self) -> LabStatus:
        """A look from any process; changes nothing."""
        self._recall()
        process = self._process()
        up = process is not None
        return LabStatus(
            up=up,
            healthy=up and self.healthy(),
            browser=up and self.browser_runs(),
            pid=process.pid if process else None,
            port=self.port,
            version=self.version,
            root=str(self.root),
        )

    def start_gateway(self, *, wait: bool = True, environ: Mapping[str, str] | None = None) -> int:
        """Start `openclaw gateway run` in a session of its own and return its pid; with `wait`, once it is ready.

        `environ` is what this gateway has in its environment beyond the lab's.
        """
        if process := self._process():
            raise LabError(f"the lab's gateway runs already: pid {process.pid} on port {self.port}")
        with self.output_file.open("ab") as output:
            self._child = subprocess.Popen(
                [str(self.openclaw), "gateway", "run", "--port", str(self.port)],
                env={**self.environ, **(environ or {})},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        pid = self._child.pid
        self._remember(pid=pid, started=psutil.Process(pid).create_time())
        if wait:
            self.wait_ready()
        return pid

    def stop_gateway(self) -> None:
        """SIGTERM, SIGKILL after STOP_S; returns when the gateway and all it had started are gone."""
        if process := self._process():
            processes = sweep.tree(process)
            left = sweep.end([process], STOP_S) + sweep.end(processes, 5.0)
            self._reap()
            if left:
                raise LabError(f"the lab's gateway, pid {process.pid}, survived SIGKILL")

    def kill(self) -> None:
        """SIGKILL the gateway alone, as the kernel does when memory runs out; returns once its port is refused."""
        if process := self._process():
            doomed = [self.listener() or process, process]
            for each in doomed:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            deadline = time.monotonic() + STOP_S
            # A process counts as dead while its last threads still hold the port.
            while probe("127.0.0.1", self.port, "/", budget_s=_PROBE_S).kind != "refused":
                if time.monotonic() > deadline:
                    raise LabError(
                        f"port {self.port} is still held after the lab's gateway, pid {process.pid}, was killed"
                    )
                time.sleep(_POLL_S)
            self._reap()

    def listener(self) -> psutil.Process | None:
        """The process that listens on the gateway's port; in older releases a child of the one we started."""
        process = self._process()
        return next((each for each in sweep.tree(process) if sweep.listens(each, self.port)), None) if process else None

    def healthy(self) -> bool:
        """True when the gateway says over HTTP that it is ready; a release without such pages need only answer."""
        for path, word in (("/readyz", "ready"), ("/startupz", "ok")):
            page = probe("127.0.0.1", self.port, path, budget_s=_PROBE_S)
            if page.kind != "answered" or (page.json or {}).get(word, True) is not True:
                return False
        return True

    def wait_ready(self, budget_s: float = START_S) -> None:
        """Wait until `healthy`; raises LabError with the gateway's last words when it ends or does not get there.

        `budget_s` begins anew while the gateway installs packages, up to START_AT_MOST_S in all.
        """
        self._await(self.healthy, budget_s, "become ready", self._installs)

    def call(self, *argv: str, timeout_s: float = CALL_S, environ: Mapping[str, str] | None = None) -> Call:
        """Run `openclaw ARGV…` in the lab; never raises for what the call does."""
        return run([str(self.openclaw), *argv], environ=environ or self.environ, deadline_s=timeout_s, cwd=self.home)

    def write_config(self, changes: Mapping[str, object]) -> None:
        """Write the lab's openclaw.json with `changes` laid over it; a running gateway may act on it at once."""
        write_private(self.config_path, self.config(changes))

    def config(self, changes: Mapping[str, object]) -> str:
        """The text of the lab's openclaw.json, with `changes` laid over it table by table."""
        parts = [fakes.Fake(name, each.mode, each.port).config for name, each in self._state.fakes.items()]
        return config.openclaw_json(self.port, self.token, self.log_file, *parts, changes)

    def browser_runs(self) -> bool:
        """True when the lab's Chromium listens on its debugging port."""
        return _listens(self.port + config.CDP_OFFSET)

    def start_browser(self) -> None:
        """Start the browser profile `openclaw`."""
        self._browser("start", self.browser_runs)

    def stop_browser(self) -> None:
        """Stop it as an operator would."""
        self._browser("stop", lambda: not self.browser_runs())

    def _browser(self, verb: str, done: Callable[[], bool]) -> None:
        # The one spelling that all releases understand; the oldest gives up on a slow start after 15 s that succeeds.
        call = self.call("browser", "--json", "--browser-profile", "openclaw", verb)
        if call.outcome not in _ANSWERED and not done():
            raise LabError(f"the lab's browser did not {verb}: {call.summary}")
        self._await(done, CALL_S, f"{verb} its browser")

    def _prepare(self) -> None:
        """Folders, ports and a fresh config; one that a drill broke is healed by it."""
        for folder in (self.home, self.state_dir, self.tmp):
            folder.mkdir(mode=0o700, exist_ok=True)
        if not (self.port and config.all_free(self.port)):
            self._remember(port=config.free_ports())
        self.write_config({})
        # What Node and the plugins compile into TMPDIR at a first start is the same for all labs of a release.
        for name in ("node-compile-cache", "jiti"):
            shared = self.openclaw.parent.parent / "compiled" / name
            shared.mkdir(parents=True, exist_ok=True)
            if not (self.tmp / name).exists():
                (self.tmp / name).unlink(missing_ok=True)  # a link to a cache that has moved since
                (self.tmp / name).symlink_to(shared)

    def _seed(self, say: Progress) -> None:
        # No `cron list` first: on 2026.5.28 the first call pairs the CLI with its own scopes for ever.
        for name, options in config.seeds(self.release).items():
            if name not in self._state.seeded:
                say(f"adding the cron job {name}")
                call = self.call("cron", "add", "--name", name, *options, "--json")
                if call.outcome not in _ANSWERED:
                    raise LabError(f"cannot add the lab's cron job {name}: {call.summary}")
                self._remember(seeded=(*self._state.seeded, name))

    def _process(self) -> psutil.Process | None:
        """The gateway we started, or one that it left in its place."""
        self._reap()
        if not self.port:
            return None
        if self._state.pid and (process := sweep.recorded(self._state.pid, self._state.started)):
            return process
        return next((each for each in sweep.residents(self.root) if sweep.listens(each, self.port)), None)

    def _reap(self) -> None:
        if self._child is not None and self._child.poll() is not None:
            self._child = None

    def _installs(self) -> bool:
        """True while a package manager of the gateway's own is at work."""
        process = self._process()
        return process is not None and install_of(process.pid) is not None

    def _await(
        self, done: Callable[[], bool], budget_s: float, what: str, moves: Callable[[], bool] = lambda: False
    ) -> None:
        began = time.monotonic()
        deadline = began + budget_s
        while not done():
            if self._process() is None:
                raise LabError(f"the lab's gateway ended before it could {what}: {self._last_words()}")
            if moves():
                deadline = min(time.monotonic() + budget_s, began + START_AT_MOST_S)
            if (now := time.monotonic()) > deadline:
                raise LabError(f"the lab's gateway did not {what} in {now - began:.0f} s: {self._last_words()}")
            time.sleep(_POLL_S)

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self.output_file.read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it said nothing")
        return "it said nothing"

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process at a time takes the lab up or down, and starts from what the last one remembered."""
        from filelock import FileLock

        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(self.root / "lab.lock", timeout=START_S + START_AT_MOST_S):
            self._recall()
            yield

    def _recall(self) -> None:
        self._state = read(self.root / "lab.json") or self._state
        if self._state.version != self.version:
            raise LabError(f"{self.root} holds a lab of OpenClaw {self._state.version}; take another folder")

    def _remember(self, **changes: object) -> None:
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]  # replace checks the names
        write(self.root / "lab.json", self._state)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_PROBE_S):
        return True
    return False


def open_lab(root: Path | None = None, version: str = DEFAULT_VERSION) -> Lab:
    """The lab in `root`; without one the machine's own, `default` in the lab folder or one named after the release."""
    return Lab(root or lab_dir() / ("default" if version == DEFAULT_VERSION else version), version)
