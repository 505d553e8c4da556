"""The tmux session `oc-ops`: made, repaired, looked at and ended; the only user of libtmux."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from oc_ops.cockpit import snapshot, tmux
from oc_ops.cockpit.panes import WINDOWS
from oc_ops.errors import CouldNotLook, OcOpsError, SettingError
from oc_ops.locks import lock_dir, single_flight
from oc_ops.process.run import run
from oc_ops.settings import Settings, environment_name, for_a_child, start_folder
from oc_ops.text import one_line

SESSION = "oc-ops"
SHELL = "adhoc"
ALL = (*WINDOWS, SHELL)

_EXACT = f"={SESSION}:"
"""As a target: without the equals sign tmux would take `oc-ops-2` for it as well."""

_MARK, _ROLE = "@oc_ops", "@oc_ops_window"
_SIZE = ("-x", "120", "-y", "36")
_IN_PROJECT = ("-c", str(start_folder()).replace("#", "##"))
_PRINT = ("-P", "-F", "#{pane_id}")
_RESPAWN_S = 2
_LOOK_AGAIN_S = 0.1

State = Literal["up", "dead", "missing"]


class SessionError(OcOpsError):
    """The session cannot be had: another one has its name, or tmux does not do what it is asked."""


class Session(Struct, frozen=True):
    """The cockpit as it stands: each window's state, who looks, and how old the watcher's last word is."""

    socket: str
    windows: Mapping[str, State]
    attached: int = 0
    """Clients that look at it now."""
    watcher_pid: int | None = None
    watcher_age_s: float | None = None
    """Seconds since the watcher wrote; None when it never did."""
    done: tuple[str, ...] = field(default=())
    """Steps that were taken to get here, in words."""

    @property
    def exists(self) -> bool:
        """True if there is anything of the session."""
        return any(each != "missing" for each in self.windows.values())

    @property
    def watched(self) -> bool:
        """True if the watcher writes."""
        return self.watcher_age_s is not None and self.watcher_age_s <= snapshot.STALE_S

    @property
    def up(self) -> bool:
        """True if it is all there: every window, and the watcher."""
        return self.watched and all(each == "up" for each in self.windows.values())


class _Pane(Struct, frozen=True):
    """One pane of ours."""

    id: str
    window: str
    dead: bool


class Cockpit:
    """The session of one gateway on one tmux socket. Every method raises NoTmux or SessionError, in one sentence."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], key: str) -> None:
        """`key` is Doctor.key of the gateway. Touches nothing but looks for tmux."""
        self.socket = settings.tmux_socket or "default"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", self.socket):
            source = settings.source("tmux_socket")
            raise SettingError("tmux_socket", self.socket, source, "a name of letters, digits, . _ and -")
        self._settings, self._environ = settings, for_a_child(environ)
        self._environ.pop("OC_OPS_CALL", None)  # what lives on must not look like a call of ours
        self._key = key
        self._mark = str(snapshot.path_of(settings.memory_dir, key))
        self.tmux = tmux.find(environ)
        self._guarded("-V")

    # -- what an operator asks for ------------------------------------------------------------------------------------

    def start(self) -> Session:
        """Make the session, or put back what is missing of it; what is there, the shell above all, is left alone."""
        with self._alone():
            try:
                return self._look(tuple(self._repaired() if self._ours() else self._made()))
            except SessionError:
                if self._ours():
                    raise
            raise SessionError(
                "tmux ends the session at once: `set -g exit-unattached on` in tmux.conf lets none live unattended"
            )

    def status(self) -> Session:
        """A look that changes nothing."""
        return self._look(()) if self._ours() else self._told(dict.fromkeys(ALL, "missing"))

    def watched(self, session: Session) -> Session:
        """The same once the watcher has written, or after `tmux_s`."""
        until = time.monotonic() + self._settings.tmux_s
        while not session.watched and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN_S)
            session = self._told(session.windows, session.attached, session.done)
        return session

    def stop(self) -> bool:
        """End the session with all its windows; whether there was one."""
        with self._alone():
            if not self._ours():
                return False
            self._tmux("kill-session", "-t", f"={SESSION}")
            return True

    def attach(self) -> tuple[list[str], dict[str, str]]:
        """The command, and its environment, by which a terminal comes to the session; from inside tmux as well."""
        environ = dict(self._environ)
        here = environ.get("TMUX", "").partition(",")[0]
        if here and self._tmux("display-message", "-p", "#{socket_path}")[:1] == [here]:
            return [*self._command(), "switch-client", "-t", f"={SESSION}"], environ
        environ.pop("TMUX", None)  # on another server: a session inside a session, as was asked for
        return [*self._command(), "attach-session", "-t", f"={SESSION}"], environ

    # -- making and mending -------------------------------------------------------------------------------------------

    def _made(self) -> Iterator[str]:
        """All of it, the mark in the same breath as the session."""
        first, *others = WINDOWS
        variables = tmux.variables(self._environ, self._tmux("show-environment", "-g", missing_ok=True))
        new = ["new-session", "-d", "-s", SESSION, *_SIZE, "-n", first, *_IN_PROJECT, *variables]
        keep = [";", "set-option", "-t", _EXACT, _MARK, self._mark, ";", "set-option", "-t", _EXACT]
        (pane,) = self._tmux(*new, *_PRINT, "--", *self._drawing(first), *keep, "destroy-unattached", "off")
        self._settle(first, pane)
        for window in others:
            self._settle(window, self._new_window(window, ["-t", _EXACT]))
        self._settle(SHELL, self._new_window(SHELL, ["-t", _EXACT]))
        yield f"made the session {SESSION}"

    def _repaired(self) -> Iterator[str]:
        """Each dead pane lives again, each missing window is back in its place."""
        panes = self._panes()
        for window, pane in panes.items():
            if pane.dead:
                self._tmux("respawn-pane", "-t", pane.id)
                yield f"started the window {window} again"
        missing = [each for each in ALL if each not in panes]
        for window in missing:
            self._settle(window, self._new_window(window, self._place(window, panes)))
            panes = self._panes()
            yield f"put the window {window} back"
        if missing:
            self._tmux("move-window", "-r", "-t", _EXACT)  # numbered without gaps, as at first

    def _place(self, window: str, panes: Mapping[str, _Pane]) -> list[str]:
        """Behind the nearest window before it; else before the first of ours; else wherever there is room."""
        before = [each for each in ALL[: ALL.index(window)] if each in panes]
        if before:
            return ["-a", "-t", panes[before[-1]].window]
        behind = [each for each in ALL if each in panes]
        return ["-b", "-t", panes[behind[0]].window] if behind else ["-t", _EXACT]

    def _new_window(self, window: str, place: Sequence[str]) -> str:
        command = self._shell() if window == SHELL else ["--", *self._drawing(window)]
        new = ["new-window", "-d", *place, "-n", window, *_IN_PROJECT, *_PRINT, *command]
        (pane,) = self._tmux(*new)
        return pane

    def _settle(self, window: str, pane: str) -> None:
        """The pane's mark, and what must not depend on the user's tmux.conf."""
        drawn = window != SHELL
        options = {"remain-on-exit": "on" if drawn else "off", "automatic-rename": "off", "allow-rename": "off"}
        words = ["set-option", "-p", "-t", pane, _ROLE, window]
        for name, value in options.items():
            words += [";", "set-option", "-w", "-t", pane, name, value]
        if drawn:
            again = f"run-shell -b -d {_RESPAWN_S} -C 'respawn-pane -t {pane}'"
            words += [";", "set-hook", "-w", "-t", pane, "pane-died", again]
        self._tmux(*words)

    def _drawing(self, window: str) -> list[str]:
        return tmux.drawing(window, self._settings.memory_dir, self._key)

    def _shell(self) -> list[str]:
        own = self._tmux("show-options", "-gqv", "default-command")
        (shell,) = self._tmux("show-options", "-gqv", "default-shell")[:1] or ["/bin/sh"]
        return tmux.shell(shell, " ".join(own), self._environ)

    # -- looking ------------------------------------------------------------------------------------------------------

    def _look(self, done: tuple[str, ...]) -> Session:
        panes = self._panes()
        states: dict[str, State] = {
            each: "missing" if each not in panes else "dead" if panes[each].dead else "up" for each in ALL
        }
        clients = self._tmux("list-clients", "-t", f"={SESSION}", "-F", "#{client_name}")
        return self._told(states, len(clients), done)

    def _told(self, states: Mapping[str, State], clients: int = 0, done: tuple[str, ...] = ()) -> Session:
        reading = snapshot.read(Path(self._mark))
        return Session(self.socket, states, clients, reading.snapshot.watcher.pid, reading.age_s, done)

    def _panes(self) -> dict[str, _Pane]:
        """Our panes by window, wherever in the session they were moved."""
        form = f"#{{pane_id}} #{{window_id}} #{{pane_dead}} #{{{_ROLE}}}"
        found = (line.split(" ") for line in self._tmux("list-panes", "-s", "-t", _EXACT, "-F", form))
        return {role: _Pane(pane, window, dead == "1") for pane, window, dead, role in found if role in ALL}

    def _ours(self) -> bool:
        """True if the session is there; refuses one that is not ours, or of another gateway."""
        form = f"#{{session_name}}\t#{{{_MARK}}}"
        names = dict(line.split("\t", 1) for line in self._guarded("list-sessions", "-F", form))
        if SESSION not in names:
            return False
        if names[SESSION] == self._mark:
            return True
        where = f"a tmux session {SESSION} on the socket {self.socket}"
        if not names[SESSION]:
            raise SessionError(
                f"there is {where} that oc-ops did not make: rename it "
                f"(tmux -L {self.socket} rename-session -t {SESSION} NAME) or give the cockpit a socket (--socket NAME)"
            )
        raise SessionError(
            f"there is {where} that shows another gateway ({names[SESSION]}): stop it there, or use --socket NAME"
        )

    # -- tmux itself --------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two starts at once make one session."""
        with single_flight(lock_dir() / f"tmux-{self.socket}.lock", 4 * self._settings.tmux_s):
            yield

    def _command(self) -> list[str]:
        return [str(self.tmux), "-L", self.socket]

    def _guarded(self, *words: str) -> list[str]:
        """One call under a deadline, before libtmux is trusted, which waits for ever; no server is no line."""
        call = run([*self._command(), *words], environ=self._environ, deadline_s=self._settings.tmux_s)
        said = call.stderr.text.strip()
        if words == ("-V",):
            tmux.check_version(call.stdout.text, self.tmux)
        if call.outcome == "timed-out":
            raise SessionError(
                f"the tmux server on the socket {self.socket} does not answer in {self._settings.tmux_s:g} s: "
                f"see what holds it (tmux -L {self.socket} ls), or use --socket NAME"
            )
        if call.outcome == "refused" and ("no server running" in said or "error connecting to" in said):
            return []
        if call.outcome != "answered":
            raise SessionError(f"tmux cannot be used: {call.summary}")
        return call.stdout.text.splitlines()

    def _tmux(self, *words: str, missing_ok: bool = False) -> list[str]:
        """Return tmux's output; raise its complaints."""
        import libtmux

        os.environ["PATH"] = f"{self.tmux.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        os.environ.pop("OC_OPS_CALL", None)
        # A word that ends in a semicolon would end the command there.
        said = [each if each == ";" or not each.endswith(";") else f"{each[:-1]}\\;" for each in words]
        reply = libtmux.Server(socket_name=self.socket).cmd(*said)
        if reply.stderr and not missing_ok:
            raise SessionError(f"tmux {words[0]}: {' '.join(reply.stderr)[:300]}")
        return [] if reply.stderr else [str(line) for line in reply.stdout]


def ensure(settings: Settings, environ: Mapping[str, str]) -> str:
    """`oc-ops tmux start` in a process of its own, within `call_s`. Never raises: no verdict hangs on it."""
    start = [sys.executable, "-c", "from oc_ops.cli import main; main()", "tmux", "start"]
    try:
        call = run(
            start,
            environ={**environ, **_options(settings)},
            deadline_s=settings.call_s,
            cwd=start_folder(),
            survivors_allowed=True,
        )
    except CouldNotLook as error:
        return f"cockpit: not up: {one_line(str(error))}"
    if call.outcome == "answered":
        return one_line(call.stdout.first_line())
    why = call.stderr.first_line().removeprefix("oc-ops: ")
    return f"cockpit: not up: {one_line(why or call.summary, 600)}"


def _options(settings: Settings) -> dict[str, str]:
    """Settings given by option, as the variables that another process reads; the rest it has from where we had it."""
    given = (name for name, source in settings.sources.items() if source.startswith("--"))
    return {environment_name(name): str(getattr(settings, name)) for name in given}
