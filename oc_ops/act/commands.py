"""The `openclaw` commands that change a gateway or its jobs: for recovery, breaker and ad-hoc runs, no doctor's."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from oc_ops.locks import single_flight
from oc_ops.observe import listener
from oc_ops.observe.openclaw import SILENT_SINCE, Answer, Openclaw
from oc_ops.process import pty
from oc_ops.process.jsontext import json_object
from oc_ops.process.run import Call, run


class Commands(Openclaw):
    """The CLI of one target with what changes something: as guarded, and one at a time with every other call."""

    @classmethod
    def of(cls, cli: Openclaw) -> Commands:
        """The same executable, target and lock, for who may change something there."""
        return cls(cli.executable, cli.target, cli.settings, cli.lock, cli.on_call, cli.left_s)

    def cron_disable(self, job_id: str) -> Answer:
        """`cron disable ID`: switches a job off and takes its marker away; prints the job, as JSON unasked."""
        return self._ask("cron", "disable", job_id)

    def cron_enable(self, job_id: str) -> Answer:
        """`cron enable ID`: switches a job on and sets its next run; a due time that has passed is not made up for."""
        return self._ask("cron", "enable", job_id)

    def gateway_restart(self, deadline_s: float, *, safe: bool) -> Answer:
        """`gateway restart`, with `safe` the form that lets work end first. Exit 0 proves nothing (2026.5.28)."""
        return self._change("gateway", "restart", *(["--safe"] if safe else []), "--json", deadline_s=deadline_s)

    def gateway_start(self, deadline_s: float) -> Answer:
        """`gateway start`: the service of a gateway that is down; newer releases refuse `restart` for it."""
        return self._change("gateway", "start", "--json", deadline_s=deadline_s)

    def channel(self, verb: Literal["stop", "start"], params: Mapping[str, str]) -> Answer:
        """`gateway call channels.stop` or `channels.start` of one account; credentials and pairing stay as they are."""
        return self._ask("gateway", "call", f"channels.{verb}", "--params", json.dumps(params), "--json")

    def by_runtime(self, words: Sequence[str]) -> Call:
        """The runtime's own command on the container: a `gateway restart` inside could orphan the gateway there."""
        assert self.target.container is not None
        with single_flight(self.lock, self.settings.cli_lock_s):
            return run(
                words,
                environ=self.target.container.host,
                deadline_s=self.settings.recover_act_s,
                kill_grace_s=self.settings.kill_grace_s,
                survivors_allowed=True,  # podman leaves the container's own watcher behind
                on_call=self.on_call,
            )

    def _change(self, *words: str, deadline_s: float) -> Answer:
        """A command of the service manager. Its own log lines stay: a copy of the config would be another service's."""
        environ = dict(self._environ())
        if self.release is not None and self.release >= SILENT_SINCE:
            environ["OPENCLAW_LOG_LEVEL"] = "silent"
        call = self._run(list(words), environ, deadline_s, asks=True, survivors_allowed=True)
        return Answer(call, json_object(call.stdout.text) or json_object(call.stderr.text))

    def cron_run(
        self,
        words: Sequence[str],
        deadline_s: float,
        *,
        on_output: Callable[[bytes], None],
        begun: Callable[[], bool],
    ) -> Answer:
        """`cron run WORDS` on a terminal of its own, as a person starts it.

        Its output is told as it comes (see `process.run`). The lock is given back once `begun` says that the run is
        under way, at the latest when any other call would have had to end: what then still runs only asks and waits.
        """
        if self.release is None and self._version is None:
            self.version()
        lasts_until = time.monotonic() + self.settings.call_s
        with contextlib.ExitStack() as turn, self._silent() as environ:
            turn.enter_context(single_flight(self.lock, self.settings.cli_lock_s))
            listener.guard(self.target)

            def heard(chunk: bytes) -> None:
                if not chunk and (begun() or time.monotonic() >= lasts_until):
                    turn.pop_all().close()
                on_output(chunk)

            call = run(
                [*self._command(), "cron", "run", *words],
                environ=environ,
                deadline_s=deadline_s,
                kill_grace_s=self.settings.kill_grace_s,
                linger_s=self.settings.linger_s,
                complete=lambda output: json_object(pty.plain(output.decode("utf-8", "replace"))) is not None,
                on_terminal=True,
                on_output=heard,
                on_call=self.on_call,
            )
        return Answer(call, json_object(pty.plain(call.stdout.text)))
