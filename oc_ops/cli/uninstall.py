"""`oc-ops uninstall`: what oc-ops keeps on this machine, how large it is, and the command that removes each of it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec import Struct

from oc_ops.errors import OcOpsError
from oc_ops.locks import lock_dir

if TYPE_CHECKING:
    from oc_ops.settings import Settings

_OWN = ("ops_critical_cron_jobs.txt", "signatures.toml", "settings.toml", ".gitignore", ".gitkeep")
"""Files of the operator's and of git's: they stay wherever they lie."""
_COMMAND_S = 60.0


class Keepsake(Struct, frozen=True):
    """One thing that oc-ops keeps: what it is, how large, the command that removes it, and how we run that.

    Without `act` it is for the operator alone.
    """

    what: str
    command: str
    act: Callable[[], str] | None = None
    size_bytes: int | None = None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "uninstall",
        help="Print what oc-ops keeps on this machine, its size, and the command that removes each of it: the "
        "schedule, the cockpit, the lab, the paired device, the skill, memory, reports. With --yes run those commands, "
        "and nothing else. Your own files (watchlist, signatures, settings) and OpenClaw's stay.\n\n"
        "Exit code: 0 shown, or all is removed; 1 something could not be removed.",
    )(uninstall)


def uninstall(yes: Annotated[bool, typer.Option("--yes", help="Run the commands.")] = False) -> None:
    """One look; then, only with --yes, piece by piece."""
    from oc_ops import settings as declared

    settings = declared.load()
    pieces = list(_pieces(settings))
    failed = False
    for piece in pieces:
        size = "" if piece.size_bytes is None else f" ({_size(piece.size_bytes)})"
        print(f"{piece.what}{size}\n  {piece.command}")
        if yes and piece.act is not None:
            trouble = piece.act()
            print(f"  {f'could not be removed: {trouble}' if trouble else 'removed'}")
            failed |= bool(trouble)
    if not pieces:
        print("oc-ops keeps nothing here")
    for path in sorted({*settings.own_files(_OWN[0]), *settings.own_files(_OWN[1]), settings.config_dir / _OWN[2]}):
        if os.path.lexists(path):
            print(f"yours, it stays: {path}")
    print("last, the program itself: pipx uninstall oc-ops, or delete its checkout or virtual environment")
    if pieces and not yes:
        print("oc-ops uninstall --yes runs these commands")
    if failed:
        raise typer.Exit(1)


def _pieces(settings: Settings) -> Iterator[Keepsake]:
    yield from _schedules()
    yield from _cockpit(settings)
    yield from _lab()
    yield from _device(settings)
    yield from _skill(settings)
    yield from _folders(settings)


def _schedules() -> Iterator[Keepsake]:
    from oc_ops.schedule import crontab

    if shutil.which("crontab") is not None:
        try:
            names = crontab.read(os.environ).names
        except OcOpsError as error:
            yield Keepsake(f"the crontab: {error}", "crontab -l")
            names = ()
        for name in names:
            option = "--target" if ":" in name else "--oc-profile"
            words = ["schedule", "remove", *([option, name] if name != "default" else [])]
            yield Keepsake(f"a line in your crontab, for the gateway {name!r}", _own(words), partial(_run, words))
    home = Path.home()
    for timer in sorted((home / ".config" / "systemd" / "user").glob("oc-ops-doctor*.timer")):
        service = timer.with_suffix(".service")
        command = f"systemctl --user disable --now {timer.name} && {_rm(timer, service)}"
        yield Keepsake(f"a systemd timer: {timer}", command)
    for agent in sorted((home / "Library" / "LaunchAgents").glob("org.oc-ops.*.plist")):
        yield Keepsake(f"a launchd agent: {agent}", f"launchctl bootout gui/{os.getuid()} {shlex.quote(str(agent))}")


def _cockpit(settings: Settings) -> Iterator[Keepsake]:
    from oc_ops.cockpit.session import Cockpit
    from oc_ops.observe.target import identify

    try:
        key = identify(os.environ, settings.profile, settings.target).key
        session = Cockpit(settings, dict(os.environ), key).status()
    except OcOpsError:
        return  # without tmux there is no session
    if session.exists or session.watched:
        words = ["tmux", "stop"]
        yield Keepsake("the cockpit's session and its watcher", _own(words), partial(_run, words))


def _lab() -> Iterator[Keepsake]:
    from oc_ops.lab.install import lab_dir
    from oc_ops.lab.lab import open_lab

    folder = lab_dir()
    if not folder.is_dir():
        return
    words = ["lab", "down"]

    def remove() -> str:
        return _run(words) or _removed([folder])

    up = open_lab().status().up
    what = f"the lab{', which is up,' if up else ''} and the releases it installed: {folder}"
    yield Keepsake(what, f"{_own(words)} && {_rm(folder)}", remove, _bytes(folder))


def _device(settings: Settings) -> Iterator[Keepsake]:
    """OpenClaw's own list is changed by OpenClaw's own command."""
    from oc_ops.observe import device

    found = device.known(settings.memory_dir)
    if found is not None and found.tokens:
        id = found.identify()[0]
        profile = f"--profile {settings.profile} " if settings.profile else ""
        yield Keepsake(
            f"a device that is paired with {', '.join(sorted(found.tokens))}; its key is in {found.path}",
            f"openclaw {profile}devices remove {id}",
            partial(_unpaired, settings, id),
        )


def _skill(settings: Settings) -> Iterator[Keepsake]:
    from oc_ops.observe.target import locate

    folder = locate(os.environ, settings.profile).state_dir / "skills" / "oc-ops"
    if not folder.is_symlink() and folder.is_dir() and [each.name for each in folder.iterdir()] == ["SKILL.md"]:
        yield Keepsake(f"the skill: {folder}", _rm(folder), partial(_removed, [folder]), _bytes(folder))


def _folders(settings: Settings) -> Iterator[Keepsake]:
    for name, path in (("reports", settings.report_dir), ("memory", settings.memory_dir)):
        entries = [each for each in sorted(path.iterdir()) if each.name not in _OWN] if path.is_dir() else []
        if entries and settings.source(f"{name.removesuffix('s')}_dir") == "default":
            command = f"cd {shlex.quote(str(path))} && {_rm(*(Path(each.name) for each in entries))}"
            yield Keepsake(f"{name}: {path}", command, partial(_removed, entries), sum(map(_bytes, entries)))
        elif entries:
            what = f"{name}, in a folder that you chose, for you to remove: {path}"
            yield Keepsake(what, f"ls {shlex.quote(str(path))}", None, _bytes(path))
    locks = lock_dir()
    yield Keepsake(f"locks: {locks}", _rm(locks), partial(_removed, [locks]), _bytes(locks))


def _own(words: list[str]) -> str:
    return shlex.join(["oc-ops", *words])


def _rm(*paths: Path) -> str:
    return shlex.join(["rm", "-rf", "--", *map(str, paths)])


def _run(words: list[str]) -> str:
    """Run a command of our own; what went wrong, or nothing."""
    from oc_ops.process.run import run

    call = run([sys.executable, "-m", "oc_ops", *words], environ=os.environ, deadline_s=_COMMAND_S)
    return "" if call.exit == 0 else (call.stderr.text.strip() or call.summary)


def _unpaired(settings: Settings, id: str) -> str:
    """Have the gateway forget our device, through its own command."""
    from oc_ops.doctor.observations import Doctor
    from oc_ops.doctor.outcomes import Blocked
    from oc_ops.process.run import run

    try:
        doctor = Doctor(settings, dict(os.environ))
        argv = [str(doctor.executable()), "devices", "remove", id, "--timeout", "10000"]
        call = run(argv, environ=doctor.target.environ, deadline_s=_COMMAND_S)
    except (Blocked, OcOpsError) as error:
        return str(error)
    return "" if call.exit == 0 else call.summary


def _removed(paths: list[Path]) -> str:
    """Delete these; the first that would not go, in words."""
    for path in paths:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            return f"{path}: {error.strerror}"
    return ""


def _bytes(path: Path) -> int:
    """Its size on disk in bytes; links are not followed."""
    try:
        own = path.lstat().st_blocks * 512
    except OSError:
        return 0
    if path.is_symlink() or not path.is_dir():
        return own
    try:
        return own + sum(map(_bytes, path.iterdir()))
    except OSError:
        return own


def _size(count: int) -> str:
    from oc_ops.judge.host import size

    return size(count) if count >= 2**20 else f"{count // 1024} KB"
