"""The `openclaw` CLI as methods: each call guarded, single-flight, silent in the gateway's log, cheapest form first."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from msgspec import Struct

from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.locks import scratch, single_flight
from oc_ops.observe import config, install, listener
from oc_ops.observe.device import pairing
from oc_ops.observe.target import Target
from oc_ops.process.jsontext import at, complaint, json_object, number_at, telling_line, text_at
from oc_ops.process.run import Call, run
from oc_ops.settings import ENDING_S, Settings

SILENT_SINCE = (2026, 5, 28)
"""The oldest release on which OPENCLAW_LOG_LEVEL=silent was seen to work; on 2026.2.26 it crashes `gateway status`."""

FREE_OF_PAIRING_TRAP = (2026, 9, 6)
"""From here on a read-only first call does not decide the CLI's scopes; on 2026.5.28 it does, for ever."""

BROWSER_PROFILE = "openclaw"
"""The profile that the agent drives; `--profile` would name a state profile to newer releases."""

_ANSWER_S = 1.0
"""How much longer the CLI waits than it lets the gateway's browser control work: for the words why it gave up."""

_TOLD_INSIDE = ("NO_COLOR", "OPENCLAW_GATEWAY_URL", "OPENCLAW_NO_RESPAWN", "OPENCLAW_LOG_LEVEL")
"""The part of our environment that a call in a container gets; everything else is its own."""

_ASKS_NOBODY = (("config", "validate"),)
"""Commands that connect to no gateway, and so pair with none."""

_UNKNOWN = ("unknown option", "unknown command", "does not recognize option", "too many arguments")


class Answer(Struct, frozen=True):
    """One call and the JSON object in its output, whichever stream it came on and whatever stood around it."""

    call: Call
    value: Mapping[str, object] | None

    @property
    def came(self) -> bool:
        """True when a whole answer was printed by a call that did not fail, even if the process then lingered."""
        return self.value is not None and self.call.outcome in ("answered", "lingered")

    @property
    def not_offered(self) -> bool:
        """True when this release does not know the command or an option of it."""
        said = self.call.stderr.text or self.call.stdout.text  # on a terminal both are one
        return self.call.outcome == "refused" and any(each in said for each in _UNKNOWN)

    @property
    def error(self) -> str:
        """The CLI's own words of what went wrong, on one line: the JSON error, else the first that tells something."""
        return telling_line(self.complaint)

    @property
    def complaint(self) -> str:
        """All that the CLI says of what went wrong: its JSON error, else what it printed beside its answer."""
        call = self.call
        told = complaint(call.stdout.text) or complaint(call.stderr.text) or call.stderr.text
        return told or ("" if self.value is not None or call.outcome != "refused" else call.stdout.text)

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes of its JSON error, the most telling first: of a gateway's refusal, of a connection, of the CLI."""
        paths = (
            ("rpc", "connectFailure", "detailCode"),
            ("rpc", "connectFailure", "kind"),
            ("error", "details", "code"),
            ("error", "detailCode"),
            ("error", "code"),
            ("error", "type"),
            ("error", "kind"),
        )
        return tuple(filter(None, (text_at(self.value, *each) for each in paths)))


def alarm_s() -> float:
    """Seconds until this process is interrupted by its alarm, which pytest-timeout sets for a check; inf without one.

    Asked of the timer itself, so that what a check has spent on other things, and on other calls, is counted.
    """
    return signal.getitimer(signal.ITIMER_REAL)[0] or math.inf


@dataclass
class Openclaw:
    """The executable of one target.

    A call that asks the gateway sends it the credential: it is not started, and CouldNotLook says why, where the port's
    listener is not shown to be the gateway. Every call is handed to `on_call` as soon as it ended or was cut short
    (transcript, costs). `left_s` is what the check that asks has left; a call and the wait for it end before that, or
    CouldNotLook says that there was no time.
    """

    executable: Path
    target: Target
    settings: Settings
    lock: Path
    on_call: Callable[[Call], None] = lambda _call: None
    left_s: Callable[[], float] = alarm_s
    _version: str | None = field(default=None, init=False)
    _lacks: set[str] = field(default_factory=set, init=False)

    def version(self) -> Call:
        """`openclaw --version`: the cheapest proof that the CLI and its Node work (0.1 CPU-s)."""
        with self._silent() as environ:
            call = self._run(["--version"], environ, self.settings.call_s, asks=False)
        self._version = call.stdout.text.strip() if call.outcome == "answered" else ""
        return call

    @property
    def release(self) -> tuple[int, ...] | None:
        """The release as numbers, by the version call if there was one, else by the package it belongs to."""
        return install.release(self._version or install.packaged_version(self.executable) or "")

    def gateway_status(self) -> Answer:
        """`gateway status --json`, with --require-rpc where the release has it: proves more, costs a third less."""
        return self._ask("gateway", "status", "--json", optional="--require-rpc")

    def cron_list(self) -> Answer:
        """`cron list --json`, with --all where the release has it: the operator's own path to the scheduler."""
        return self._ask("cron", "list", "--json", optional="--all")

    def cron_status(self) -> Answer:
        """`cron status --json`, for when the RPC lane cannot be used."""
        return self._ask("cron", "status", "--json")

    def status(self) -> Answer:
        """`gateway call status`: what `openclaw status` rests on, at a third of its cost."""
        return self._ask("gateway", "call", "status", "--json")

    def browser_status(self) -> Answer:
        """The payload of `browser status` for the openclaw profile, by the form that costs a fifth of it.

        Asked once more where the gateway has a browser process and calls it not running: it gave it 0.3 to 0.6 s.
        """
        request = {"method": "GET", "path": "/", "query": {"profile": BROWSER_PROFILE}}
        words = ("gateway", "call", "browser.request", "--params", json.dumps(request), "--json")
        answer = self._ask(*words)
        late = at(answer.value, "running") is False and number_at(answer.value, "pid") is not None
        return self._ask(*words) if late else answer

    def browser_start(self, timeout_s: float) -> Answer:
        """`browser start`: nothing happens when it runs already."""
        return self._browse("POST", "/start", timeout_s)

    def browser_stop(self, timeout_s: float) -> Answer:
        """`browser stop`: ends the browser with all its tabs."""
        return self._browse("POST", "/stop", timeout_s)

    def browser_tabs(self, timeout_s: float) -> Answer:
        """`browser tabs`."""
        return self._browse("GET", "/tabs", timeout_s)

    def browser_open(self, url: str, timeout_s: float) -> Answer:
        """`browser open URL`: `targetId` in the answer names the tab. Starts a browser, or restarts one that hangs."""
        return self._browse("POST", "/tabs/open", timeout_s, body={"url": url})

    def browser_snapshot(self, tab: str, timeout_s: float) -> Answer:
        """`browser snapshot` of that tab, as text with a ref for each element."""
        return self._browse("GET", "/snapshot", timeout_s, query={"targetId": tab, "format": "ai"})

    def browser_click(self, tab: str, ref: str, timeout_s: float) -> Answer:
        """`browser click REF` in that tab."""
        return self._browse("POST", "/act", timeout_s, body={"kind": "click", "ref": ref, "targetId": tab})

    def browser_evaluate(self, tab: str, function: str, timeout_s: float) -> Answer:
        """`browser evaluate` of a JavaScript function in that tab; refused where `browser.evaluateEnabled` is false."""
        return self._browse("POST", "/act", timeout_s, body={"kind": "evaluate", "fn": function, "targetId": tab})

    def browser_close(self, tab: str, timeout_s: float) -> Answer:
        """`browser close` of that tab and of no other."""
        return self._browse("DELETE", f"/tabs/{quote(tab, safe='')}", timeout_s)

    def config_validate(self) -> Answer:
        """`config validate --json`: the release's own schema, without asking the gateway."""
        return self._ask("config", "validate", "--json", timeout=False)

    def model_run(self, prompt: str, budget_s: float) -> Answer:
        """`infer model run --gateway`: one prompt to the default agent's model, which costs money where it is asked.

        Without transcript, tools or memory: it leaves no session behind. The release has no deadline of its own for it.
        """
        return self._ask(
            "infer", "model", "run", "--gateway", "--prompt", prompt, "--json", timeout_s=budget_s, told=False
        )

    def restart_preflight(self) -> Answer:
        """Work that a restart would have to wait for or abort, as the gateway itself sees it; only newer ones know."""
        return self._ask("gateway", "call", "gateway.restart.preflight", "--json")

    def refusal(self) -> str | None:
        """Why this CLI must not be called now, or None: on a virgin install a read-only call must not be the first."""
        release = self.release
        if release is None or not (2026, 2, 26) < release < FREE_OF_PAIRING_TRAP:
            return None
        seen = pairing(self.target.state_dir)
        if seen in ("paired", "not needed"):
            return None
        words = "was never paired with this gateway" if seen == "none" else "cannot be seen to be paired"
        return (
            f"the CLI {words}, and on this release a read-only first call would leave it without write access "
            "(run any `openclaw cron add …` or the onboarding first)"
        )

    def _browse(
        self,
        method: str,
        path: str,
        timeout_s: float,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Answer:
        """The route behind a `browser` command of the openclaw profile, at a third of the command's cost.

        The gateway gives up first, after `timeout_s`: what nobody waits for any more must not happen later.
        """
        request: dict[str, object] = {"method": method, "path": path}
        request |= {"query": {**(query or {}), "profile": BROWSER_PROFILE}, "timeoutMs": round(timeout_s * 1000)}
        if body is not None:
            request["body"] = body
        words = ("gateway", "call", "browser.request", "--params", json.dumps(request), "--json")
        return self._ask(*words, timeout_s=timeout_s + _ANSWER_S)

    def _ask(
        self,
        *words: str,
        optional: str | None = None,
        timeout: bool = True,
        timeout_s: float | None = None,
        told: bool = True,
    ) -> Answer:
        """One call; without `timeout` one that does not ask the gateway, without `told` one that takes no --timeout.

        A `timeout_s` of its own moves the process' deadline by as much as it differs from the setting.
        """
        told_s = self.settings.cli_timeout_s if timeout_s is None else timeout_s
        deadline_s = self.settings.call_s + told_s - self.settings.cli_timeout_s
        if self.release is None and self._version is None:
            self.version()  # a shim hides the package, and what may be asked depends on the release
        if words[:2] not in _ASKS_NOBODY and (reason := self.refusal()):
            raise CouldNotLook(reason)
        argv = list(words)
        if optional and optional not in self._lacks:
            argv.append(optional)
        if timeout and told:
            argv += ["--timeout", f"{told_s * 1000:.0f}"]
        with self._silent() as environ:
            call = self._run(argv, environ, deadline_s, asks=timeout)
            if optional and optional not in self._lacks and Answer(call, None).not_offered:
                self._lacks.add(optional)
                call = self._run([each for each in argv if each != optional], environ, deadline_s, asks=timeout)
        value = json_object(call.stdout.text) or json_object(call.stderr.text)
        return Answer(call, value)

    def _run(
        self,
        words: list[str],
        environ: Mapping[str, str],
        deadline_s: float,
        *,
        asks: bool,
        survivors_allowed: bool = False,
    ) -> Call:
        with single_flight(self.lock, min(self.settings.cli_lock_s, self._spare_s(words))):
            if asks:
                listener.guard(self.target)
            granted_s = min(deadline_s, self._spare_s(words) + self.settings.cli_timeout_s)
            call = run(
                self._argv(words, environ, granted_s),
                environ=self.target.container.host if self.target.container else environ,
                deadline_s=granted_s,
                kill_grace_s=self.settings.kill_grace_s,
                linger_s=self.settings.linger_s,
                complete=lambda output: json_object(output.decode("utf-8", "replace")) is not None,
                survivors_allowed=survivors_allowed,
                on_call=self.on_call,
            )
        if call.outcome == "timed-out" and granted_s < deadline_s:
            # With its whole time it may have answered: nobody is to be accused of this.
            raise CouldNotLook(f"{call.summary}: its check had no more time for it (OC_OPS_CHECK_S)")
        return call

    def _argv(self, words: Sequence[str], environ: Mapping[str, str], deadline_s: float) -> list[str]:
        """The whole command line; of a container one that runs the command inside, and ends it there."""
        there = self.target.container
        if there is None:
            return [*self._command(), *words]
        told = {name: environ[name] for name in _TOLD_INSIDE if name in environ}
        return there.inside((*there.openclaw, *words), told, deadline_s)

    def _command(self) -> list[str]:
        # Inherited from the environment a profile moves no folder, given as an option it does: locate() set the rest.
        chosen = self.target.profile and "OPENCLAW_STATE_DIR" in self.target.environ
        return [str(self.executable), *(["--profile", str(self.target.profile)] if chosen else [])]

    def _spare_s(self, words: Sequence[str]) -> float:
        """How long a call may still be put off; raises CouldNotLook when there is no time to ask the gateway at all."""
        needed_s = self.settings.cli_timeout_s + self.settings.kill_grace_s + ENDING_S
        left_s = self.left_s()
        if left_s <= needed_s:
            named = " ".join(["openclaw", *words[:2]])
            why = f"its check ends in {left_s:.1f} s (OC_OPS_CHECK_S) and a call needs {needed_s:g} s"
            raise CouldNotLook(f"no time left for `{named}`: {why}")
        return left_s - needed_s

    def _environ(self) -> Iterator[tuple[str, str]]:
        yield from self.target.environ.items()
        yield "PATH", install.search_path(self.executable, self.target.environ, self.target.home)
        yield "NO_COLOR", "1"
        # Empty it counts as unset, and hides one in the state directory's .env: our calls go to the gateway looked at.
        yield "OPENCLAW_GATEWAY_URL", ""
        # Documented for embedding: without it the CLI starts itself a second time, a quarter of its cost.
        yield "OPENCLAW_NO_RESPAWN", "1"

    @contextlib.contextmanager
    def _silent(self) -> Iterator[dict[str, str]]:
        """An environment in which the call writes nothing into the gateway's log."""
        environ = dict(self._environ())
        if self.release is not None and self.release >= SILENT_SINCE:
            yield {**environ, "OPENCLAW_LOG_LEVEL": "silent"}
            return
        if self.target.container is not None:
            yield environ  # a copy of the config would have to lie inside
            return
        with contextlib.ExitStack() as kept:
            try:
                environ |= self._quieted(kept.enter_context(scratch()))
            except (OSError, OcOpsError) as error:
                why = f"for a call that is silent in the gateway's log: {getattr(error, 'strerror', None) or error}"
                raise CouldNotLook(f"the config cannot be copied {why}") from error
            yield environ

    def _quieted(self, folder: Path) -> dict[str, str]:
        """Variables that point a call to a copy of the config that logs elsewhere; none where there can be none."""
        copy, quiet = folder / "openclaw.json", config.quieted(self.target, folder / "cli.log")
        if quiet is None:
            return {}
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(quiet.text)
        places = {"OPENCLAW_CONFIG_PATH": str(copy), "OPENCLAW_STATE_DIR": str(self.target.state_dir)}
        return {**{name: each for name, each in quiet.environ.items() if name not in self.target.environ}, **places}
