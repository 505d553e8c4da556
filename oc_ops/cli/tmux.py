"""`oc-ops tmux`: the cockpit, a tmux session that shows the gateway live and holds a shell beside it."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from oc_ops.cli.frame import Json, Target, Whole
from oc_ops.errors import OcOpsError

if TYPE_CHECKING:
    from oc_ops.cockpit.session import Cockpit, Session
    from oc_ops.settings import Settings

app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The cockpit: the tmux session oc-ops with the windows status, runs, browser, incidents and adhoc, a shell.",
)

Socket = Annotated[
    str | None, typer.Option("--socket", metavar="NAME", help="A tmux server of its own (`tmux -L NAME`).")
]


@app.command(
    help="Make sure the session is up: create it, or put back what is missing. The shell in adhoc, its "
    "history and whatever runs in it are never touched. It needs no terminal."
)
def start(socket: Socket = None, target: Target = None, as_json: Json = False) -> None:
    """Idempotent."""
    session = _started(socket, target)
    if as_json:
        _print_json(session)
        return
    print(f"cockpit: {', '.join(session.done) or 'was up'}: {_where(session)}")
    given = (("socket", socket), ("target", target))
    print("look at it:   oc-ops tmux attach" + "".join(f" --{name} {value}" for name, value in given if value))


@app.command(help="Show the session in this terminal, started or mended first; leave it with your prefix key and d.")
def attach(socket: Socket = None, target: Target = None) -> None:
    """From inside tmux as well."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise OcOpsError("attach needs a terminal: `oc-ops tmux status` looks without one")
    _started(socket, target)
    argv, environ = _opened(socket, target)[0].attach()
    sys.stdout.flush()
    os.execve(argv[0], argv, environ)  # noqa: S606 - an argv list, no shell


@app.command(
    help="Say which parts of the session are there; nothing is changed. Exit code: 0 it is up whole, 1 it is not."
)
def status(socket: Socket = None, target: Target = None, as_json: Json = False) -> None:
    """Window by window."""
    session = _opened(socket, target)[0].status()
    if as_json:
        _print_json(session)
    else:
        print(f"cockpit: {'up' if session.up else 'partly up' if session.exists else 'not up'}: {_where(session)}")
        for window, state in session.windows.items():
            print(f"  {window:10} {state}")
        print(f"  {'watcher':10} {_watcher(session)}")
    if not session.up:
        raise typer.Exit(1)


@app.command(help="End the session, what runs in its shell included, and its watcher.")
def stop(socket: Socket = None, target: Target = None, as_json: Json = False) -> None:
    """Exit 0 as well if there is none."""
    cockpit, _, key = _opened(socket, target)
    stopped = cockpit.stop()
    from oc_ops.cockpit import watcher

    watcher.stop(key)
    if as_json:
        print(json.dumps({"stopped": stopped}))
    else:
        print("cockpit: stopped" if stopped else "cockpit: was not up")


def _started(socket: str | None, target: str | None) -> Session:
    """The session, and a watcher from this very environment: only here may be the token that it needs."""
    from oc_ops.cockpit import watcher

    cockpit, settings, _ = _opened(socket, target)
    session = cockpit.start()
    if not session.watched:
        watcher.start(settings)
    return cockpit.watched(session)


def _opened(socket: str | None, target: str | None) -> tuple[Cockpit, Settings, str]:
    from oc_ops import settings
    from oc_ops.cockpit.session import Cockpit
    from oc_ops.observe.target import identify

    loaded, environ = settings.load({"tmux_socket": socket, "target": target}), dict(os.environ)
    if target is not None:
        environ[settings.environment_name("target")] = target  # what is typed in its shell means the same gateway
    key = identify(environ, loaded.profile, loaded.target).key
    return Cockpit(loaded, environ, key), loaded, key


def _where(session: Session) -> str:
    count = session.attached or 0
    look = "no client attached" if not count else f"{count} client{'s' if count > 1 else ''} attached"
    return f"session oc-ops on the tmux socket {session.socket}, {look}"


def _watcher(session: Session) -> str:
    if session.watcher_age_s is None:
        return "has written nothing yet"
    return f"pid {session.watcher_pid}, wrote {session.watcher_age_s:.0f} s ago" + (
        "" if session.watched else " (stale)"
    )


def _print_json(session: Session) -> None:
    print(json.dumps({"up": session.up, "session": "oc-ops", **asdict(session)}))
