"""Commands that set things up: `oc-ops targets`, `config`, `notify` and `skill`."""

from __future__ import annotations

import json
import os
import socket
import sys
import sysconfig
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import asdict

from oc_ops.cli.frame import Json, Whole, show_table
from oc_ops.errors import OcOpsError

if TYPE_CHECKING:
    from oc_ops.settings import Settings


def register_targets(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "targets",
        help="List the gateways of this machine: the environment's own, profiles, those that run elsewhere, and "
        "containers of podman and docker. Each is named as --target takes it (and OC_OPS_TARGET).\n\n"
        "No gateway is asked anything; containers are seen as far as this account may ask their runtime.\n\n"
        "Exit code: 0 listed, 1 the runtime of the container that OC_OPS_TARGET names could not be asked, "
        "4 a wrong setting.",
    )(targets)


def targets(
    as_json: Json = False,
) -> None:
    """One look, nothing changed."""
    from pathlib import Path

    from oc_ops import settings
    from oc_ops.observe.gateways import gateways
    from oc_ops.record.redact import Redactor
    from oc_ops.secrecy import secrets_in

    loaded = settings.load()
    found, notes = gateways(dict(os.environ), loaded.profile)
    show = Redactor(secrets_in(os.environ), Path.home()).line
    if as_json:
        print(json.dumps({"targets": [asdict(each) for each in found], "notes": list(notes.values())}))
    else:
        rows = [(each.target, str(each.port or "-"), each.place, each.state) for each in found]
        show_table(("target", "port", "place", "state"), [[show(cell, 1000) for cell in row] for row in rows])
    for note in notes.values():
        print(f"oc-ops: {show(note, 300)}", file=sys.stderr)
    if _wanted(loaded.target, notes):
        raise typer.Exit(1)


def _wanted(choice: str, silent: Collection[str]) -> bool:
    """True if a runtime that could not be asked is the one that was chosen; one that merely is installed may rest."""
    kind = choice.partition(":")[0]
    return kind in silent or (kind in ("compose", "cell") and bool(silent))


_HEAD = ("setting", "value", "from", "meaning")


def register_config(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "config",
        help="Show every setting: its value, where it came from, what it means; and where your own files lie.\n\n"
        "An option wins over the environment, the environment over your own settings.toml, that over the default.\n\n"
        "Exit code: 0 shown, 4 a setting makes no sense.",
    )(config)


def config(as_json: Json = False) -> None:
    """Looks, changes nothing; a secret is never shown."""
    from oc_ops import settings as declared

    settings = declared.load()
    files = dict(_files(settings))
    names = [each.name for each in declared.declared()]
    meanings = {each.name: each.metadata["help"] for each in declared.declared()}
    if as_json:
        told = {
            name: {"value": settings.shown(name), "source": settings.source(name), "meaning": meanings[name]}
            for name in names
        }
        print(json.dumps({"files": {key: str(path) for key, path in files.items()}, "settings": told}))
        return
    for key, path in files.items():
        print(f"{key + ':':12}{path}{'' if os.path.lexists(path) else ' (not there)'}")
    print()
    show_table(
        _HEAD,
        [
            (declared.environment_name(name), _value(settings, name), settings.source(name), meanings[name])
            for name in names
        ],
        lambda row: ["" if row[2] == "default" else "bold"] * len(row),
    )


def _files(settings: Settings) -> Iterator[tuple[str, Path]]:
    from oc_ops.judge import signature_catalogue
    from oc_ops.observe import watchlist
    from oc_ops.settings import CHECKOUT, OWN_SETTINGS, SETTINGS_FILE

    yield "settings", settings.config_dir / OWN_SETTINGS
    if CHECKOUT or os.path.lexists(SETTINGS_FILE):
        yield "then", SETTINGS_FILE
    yield "watchlist", watchlist.place(settings)
    yield "signatures", settings.own_file(signature_catalogue.OWN_FILE)
    yield "memory", settings.memory_dir
    yield "reports", settings.report_dir


def _value(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "(none)" if value is None else f"{value:g}" if isinstance(value, float) else settings.shown(name)


notify_app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Tell people what changed, out of band: OC_OPS_NOTIFY_URLS (Apprise, pip install -e '.[notify]') and a "
    "dead-man OC_OPS_PING_URL.",
)


@notify_app.callback()
def notify_group() -> None:
    """Keep `test` a command of its own, though there is no other."""


@notify_app.command(
    "test", help="Send a test message to every address, and one beat to the dead-man URL; say which accepted it."
)
def notify_test() -> None:
    """Exit code 0: all accepted it; 1: one did not; 4: no address is set. No address is shown."""
    from oc_ops import settings
    from oc_ops.notify import deliver

    loaded = settings.load()
    urls, ping_url = loaded.secret("notify_urls"), loaded.secret("ping_url")
    if not deliver.addresses(urls) and not ping_url:
        raise OcOpsError("no notification address is set: set OC_OPS_NOTIFY_URLS or OC_OPS_PING_URL")
    host, limit_s = socket.gethostname(), loaded.notify_s
    sent: list[deliver.Sent] = []
    if deliver.addresses(urls):  # without any, Apprise need not be installed
        sent += deliver.send(urls, f"TEST: oc-ops on {host}", "Nothing is wrong: this is a test.", "info", limit_s)
    if ping_url:
        sent.append(deliver.ping(ping_url, "ok", f"oc-ops notify test on {host}", limit_s))
    for each in sent:
        print(f"{each.service}: {each.why or 'accepted'}")
    if any(each.why for each in sent):
        raise typer.Exit(1)


skill_app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Teach the gateway's agents when to look, what needs a person, and what they must never do.",
)

IN_CHECKOUT = (
    "`oc-ops` below is `{baseDir}/.venv/bin/oc-ops`. If it is missing, ask the user before you make it: "
    "`cd {baseDir} && python3 -m venv .venv && .venv/bin/pip install -q -e .`"
)
"""The line of SKILL.md that holds in a checkout; an installed skill names the command that installed it."""


@skill_app.command(
    "install",
    help="Write SKILL.md into the managed skills of this account's OpenClaw (~/.openclaw/skills/oc-ops), where "
    "`openclaw skills list` shows it to every agent. Again brings it up to date; nothing else is touched.",
)
def install_skill(
    oc_profile: Annotated[str | None, typer.Option(metavar="NAME", help="The OpenClaw profile to teach.")] = None,
) -> None:
    """Refuses a folder of that name that holds something else, such as a checkout that was cloned there."""
    from oc_ops.observe.target import locate
    from oc_ops.record.folder import write
    from oc_ops.settings import SUITE

    state_dir = locate(os.environ, oc_profile).state_dir
    if not state_dir.is_dir():
        raise OcOpsError(f"there is no OpenClaw for this account: {state_dir} is missing")
    folder = state_dir / "skills" / "oc-ops"
    if folder.is_symlink() or (folder.is_dir() and any(each.name != "SKILL.md" for each in folder.iterdir())):
        raise OcOpsError(f"{folder} holds something else than an installed skill: it was left as it is")
    text = (SUITE / "SKILL.md").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "SKILL.md", text.replace(IN_CHECKOUT, f"`oc-ops` below is `{_command()}`."))
    print(f"installed: {folder / 'SKILL.md'}\nsee it:    openclaw skills info oc-ops")


def _command() -> str:
    script = Path(sysconfig.get_path("scripts")) / "oc-ops"
    return str(script) if script.is_file() else f"{sys.executable} -m oc_ops"
