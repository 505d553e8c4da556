"""Matches a unit or daemon of any name to a target: by its account, its environment and its command."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import re
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from oc_ops.errors import SettingError
from oc_ops.observe.gatewaylocks import same_place
from oc_ops.observe.target import Target, locate
from oc_ops.text import regex

PROPERTIES = ("Id", "User", "Environment", "EnvironmentFiles", "ExecStart")
"""Properties of `systemctl show` that `leads_to` reads."""

_OUTPUT = regex(r"^\s*Standard(?P<stream>Output|Error)\s*=\s*(?:(?:file|append|truncate):)?(?P<path>.*)$", re.M)
_ARGV = regex(r"argv\[\]=(.*?) ;")
_SUBCOMMAND = regex(r"[a-z][a-z-]+")
_BYTES = 64 * 2**10
_FILES = 1000
_MENTIONS = (b"openclaw", b"gateway")


def argv_of(says: Mapping[str, str]) -> tuple[str, ...]:
    """The words of `ExecStart` as systemctl shows it; empty where it shows none."""
    found = _ARGV.search(says.get("ExecStart", ""))
    return tuple(found[1].split()) if found else ()


def words(text: str) -> list[str]:
    """Words as systemctl quotes them; as they stand where a quote has no end."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def leads_to(target: Target, says: Mapping[str, str], *, system: bool) -> bool:
    """True if a systemd unit runs a gateway whose state directory is the target's."""
    argv = argv_of(says)
    if not _runs_it(says.get("Id", "").removesuffix(".service"), argv, target):
        return False
    environ = _words(says.get("Environment", ""))
    for path in re.findall(r"(/\S+) \(", says.get("EnvironmentFiles", "")):
        environ |= _file(Path(path))
    return _leads(target, says.get("User") or ("root" if system else ""), environ, argv)


def mentioning(folders: Sequence[Path]) -> tuple[str, ...]:
    """Names of the systemd units in these folders that speak of OpenClaw's gateway themselves or in a drop-in.

    A unit that an operator wrote bears any name, and one that rests is in no list of the manager's by its command.
    """
    found = (path for folder in folders for kind in ("*.service", "*.service.d/*.conf") for path in folder.glob(kind))
    names: dict[str, None] = {}
    for path in itertools.islice(found, _FILES):
        name = path.name if path.suffix == ".service" else path.parent.name.removesuffix(".d")
        if _mentions_it(path):
            names[name] = None
    return tuple(sorted(names))


def _mentions_it(path: Path) -> bool:
    with contextlib.suppress(OSError):
        text = _read(path)
        return all(word in text for word in _MENTIONS)
    return False


def labels(folder: Path, target: Target) -> Iterator[str]:
    """The labels of the property lists in a folder, of any name, that run the target's gateway."""
    for path in sorted(itertools.islice(folder.glob("*.plist"), _FILES)):
        if "openclaw" not in path.name and not _mentions_it(path):
            continue
        says = _property_list(path)
        environ = says.get("EnvironmentVariables")
        argv = says.get("ProgramArguments")
        user = str(says.get("UserName") or ("root" if folder.parts[:2] == ("/", "Library") else ""))
        environ = {str(name): str(value) for name, value in environ.items()} if isinstance(environ, dict) else {}
        command = [str(each) for each in argv] if isinstance(argv, list) else []
        label = str(says.get("Label") or path.stem)
        if _runs_it(label.rpartition(".")[2], command, target) and _leads(target, user, environ, command):
            yield label


def outputs(says: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that a systemd unit has its output written to (`file:`, `append:`, `truncate:`), by unit and drop-ins.

    systemctl shows only that it is a file. A path with a specifier other than %h is left out.
    """
    if not {says.get("StandardOutput"), says.get("StandardError")} & {"file", "append", "truncate"}:
        return ()
    where: dict[str, str] = {}
    for each in (says.get("FragmentPath", ""), *words(says.get("DropInPaths", ""))):
        with contextlib.suppress(OSError):
            text = _read(Path(each)).decode("utf-8", "replace")
            where |= {found["stream"]: found["path"].strip() for found in _OUTPUT.finditer(text)}
    paths = (each.replace("%h", str(Path.home())) for each in dict.fromkeys(where.values()))
    return tuple(Path(each) for each in paths if each.startswith("/") and "%" not in each)


def _property_list(path: Path) -> Mapping[str, object]:
    """The content of a property list; nothing for one that cannot be read."""
    import plistlib  # with expat behind it: only macOS has such files
    from xml.parsers.expat import ExpatError

    try:
        says = plistlib.loads(_read(path))
    except (OSError, ValueError, ExpatError, plistlib.InvalidFileException):
        return {}
    return says if isinstance(says, dict) else {}


def _leads(target: Target, user: str, environ: Mapping[str, str], argv: Sequence[str]) -> bool:
    """True if account, environment and `--profile` lead to the target's state directory; without an account our own."""
    try:
        account = pwd.getpwnam(user) if user and not user.isdigit() else pwd.getpwuid(int(user or os.getuid()))
        home = account.pw_dir
        profile = next((argv[at + 1] for at, word in enumerate(argv[:-1]) if word == "--profile"), None)
        return same_place(locate({"HOME": home, **environ}, profile).state_dir, target.state_dir)
    except (KeyError, SettingError):
        return False


def _runs_it(name: str, argv: Sequence[str], target: Target) -> bool:
    """True if a command runs a gateway; of a wrapper that does not show it, whether its name says so."""
    if "gateway" in argv and any("openclaw" in word for word in argv):
        after = next(iter(argv[argv.index("gateway") + 1 :]), "run")
        return after == "run" or _SUBCOMMAND.fullmatch(after) is None  # a watchdog asks `gateway status`
    if any(Path(word).name in ("openclaw", "openclaw.mjs") for word in argv):
        return False  # another part of it, such as `openclaw node run`
    profile = f"-{target.profile}" if target.profile else ""
    return name in [f"{each}{profile}" for each in ("openclaw", "openclawd", "openclaw-gateway", "openclaw-server")]


def _words(text: str) -> dict[str, str]:
    """`Environment=` as systemctl shows it: words, quoted where they hold a space."""
    return dict(word.split("=", 1) for word in words(text) if "=" in word)


def _file(path: Path) -> dict[str, str]:
    """The variables of an environment file; empty for one that is not ours to read."""
    try:
        lines = _read(path).decode("utf-8", "replace").splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith(("#", ";")))
    return {name.strip(): value.strip().strip("\"'") for name, value in pairs}


def _read(path: Path) -> bytes:
    """A regular file's first 64 KiB: a pipe of that name holds nobody up."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no regular file")
        return file.read(_BYTES)
