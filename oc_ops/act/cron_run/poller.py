"""The look beside a run: once a second over HTTP whether the gateway lives, and if so what it says of the job."""

from __future__ import annotations

import shlex
import threading
import time
from dataclasses import dataclass

import psutil

from oc_ops.act.cron_run.lanes import JobLanes, JobView
from oc_ops.gateway import Gateway
from oc_ops.observe import http
from oc_ops.observe.http import Probe
from oc_ops.observe.processes import stopped_inside

EVERY_S = 1.0
"""How often it looks: 3 ms over HTTP and a few over RPC."""
_SILENT_LOOKS = 2
"""One probe without an answer is a pause, the second one a silence."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look. `silent_s` is how long the gateway has not answered, None while it does; `number` counts the looks."""

    number: int
    probe: Probe
    sight: JobView
    silent_s: float | None = None
    wake: str = ""
    """The command that lets the gateway's process go on, where that is stopped."""

    @property
    def trouble(self) -> str:
        """Why the gateway does not answer, in words; empty while it does."""
        if self.silent_s is None:
            return ""
        if self.probe.kind == "refused":
            what = "its port refuses connections: it is down, or restarting"
        elif self.wake:
            what = f"its process is stopped (`{self.wake}` lets it go on)"
        else:
            what = self.probe.summary
        return f"the gateway does not answer since {self.silent_s:.0f} s: {what}"


class Beside:
    """Looks from a thread of its own while the caller waits for something else; use it as a context manager."""

    def __init__(self, gateway: Gateway, job_id: str, gateway_pid: int | None) -> None:
        self._gateway, self._job_id, self._pid = gateway, job_id, gateway_pid
        self._over, self._news = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="oc-ops run: beside", daemon=True)
        self._seen: Sighting | None = None
        self._broken: BaseException | None = None

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A look that hangs ends by its own budgets; nobody has to wait for it, and it keeps nothing open.
        self._thread.join(EVERY_S / 4)

    @property
    def seen(self) -> Sighting | None:
        """The latest look, None before the first; raises what a look died of."""
        if self._broken is not None:
            raise self._broken
        return self._seen

    def wait(self, after: Sighting | None, timeout_s: float) -> Sighting | None:
        """The first look after that one, or the latest when none came in time."""
        number = after.number if after else 0
        with self._news:
            self._news.wait_for(
                lambda: self._broken is not None or (self._seen is not None and self._seen.number > number),
                timeout=max(0.0, timeout_s),
            )
        return self.seen

    def _watch(self) -> None:
        lanes = JobLanes(self._gateway)
        try:
            silent_since: float | None = None
            misses = number = 0
            while not self._over.is_set():
                began = time.monotonic()
                probe = self._probe()
                misses = 0 if probe.kind == "answered" else misses + 1
                if not misses:
                    silent_since = None
                elif silent_since is None:
                    silent_since = began
                sight = self._sight(lanes) if not misses else JobView("")
                if misses:
                    lanes.close()
                number += 1
                stopped = misses > 0 and self._stopped()
                silent = stopped or misses >= _SILENT_LOOKS or probe.kind == "refused"
                silent_s = time.monotonic() - silent_since if silent and silent_since is not None else None
                self._tell(Sighting(number, probe, sight, silent_s, self._wake() if stopped else ""))
                self._over.wait(EVERY_S)
        except BaseException as error:
            with self._news:
                self._broken = error
                self._news.notify_all()
        finally:
            lanes.close()

    def _sight(self, lanes: JobLanes) -> JobView:
        try:
            return lanes.sight(self._job_id)
        except Exception as error:  # whatever keeps us from looking, the run goes on and is waited for
            return JobView("", closed=(f"{type(error).__name__}: {error}",))

    def _probe(self) -> Probe:
        config, settings = self._gateway.served, self._gateway.settings
        return http.probe(config.host, config.port, "/healthz", budget_s=settings.http_probe_s, tls=config.tls)

    def _stopped(self) -> bool:
        """True if the gateway's process is stopped (SIGSTOP); a process that cannot be seen is not said to be."""
        try:
            return self._pid is not None and psutil.Process(self._pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return False

    def _wake(self) -> str:
        there = self._gateway.target.container
        inside = stopped_inside(there) if there else None
        return shlex.join(there.wake(inside)) if there and inside is not None else f"kill -CONT {self._pid}"

    def _tell(self, seen: Sighting) -> None:
        with self._news:
            self._seen = seen
            self._news.notify_all()
