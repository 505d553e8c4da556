"""Where the `openclaw` executable is, also for cron's bare PATH, and which release it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
from msgspec import Struct

from oc_ops import files
from oc_ops.errors import SettingError
from oc_ops.text import regex

_PLACES = (
    "~/.openclaw/bin",
    "~/.local/bin",
    "~/.npm-global/bin",
    "~/.volta/bin",
    "~/.bun/bin",
    "~/Library/pnpm",
    "~/.local/share/pnpm",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/home/linuxbrew/.linuxbrew/bin",
)
_VERSIONED_PLACES = (
    "~/.nvm/versions/node/*/bin",
    "~/.local/share/fnm/node-versions/*/installation/bin",
    "~/.fnm/node-versions/*/installation/bin",
    "~/Library/Application Support/fnm/node-versions/*/installation/bin",
)
"""The usual install places that cron's PATH lacks: Homebrew, npm prefix, nvm, fnm, Volta, pnpm, bun."""


def find(given: Path | None, source: str, environ: Mapping[str, str], home: Path) -> Path | None:
    """The executable: the given one, else the first on PATH, else in a usual place; None when there is none.

    Raises SettingError when one was given that is not an executable file.
    """
    if given is not None:
        if os.path.isfile(given) and os.access(given, os.X_OK):  # noqa: PTH113 - Path.is_file raises for some names
            return given
        name = "OC_OPS_OPENCLAW" if source == "environment" else "openclaw"
        raise SettingError(name, given, source, "the path of an executable `openclaw`")
    if found := on_path(environ.get("PATH", os.defpath)):
        return found
    for folder in _folders(environ, home):
        if (path := shutil.which("openclaw", path=str(folder))) is not None:
            return Path(path)
    return None


def on_path(path: str) -> Path | None:
    """The first `openclaw` in the folders of a PATH."""
    found = shutil.which("openclaw", path=path) if path else None
    return Path(found).absolute() if found else None


def beside(pid: int) -> Path | None:
    """The command of a gateway that runs: on the PATH of its process, or in the checkout that it was started in."""
    try:
        process = psutil.Process(pid)
        path, script = process.environ().get("PATH", ""), Path(process.cwd()) / "openclaw.mjs"
    except (psutil.Error, OSError):
        return None
    if found := on_path(path):
        return found
    return script if os.access(script, os.X_OK) and package(script) else None


def search_path(executable: Path, environ: Mapping[str, str], home: Path) -> str:
    """A PATH on which the executable's `#!/usr/bin/env node` finds the Node that belongs to it."""
    folders = [str(executable.parent), *environ.get("PATH", os.defpath).split(os.pathsep)]
    if shutil.which("node", path=os.pathsep.join(folders)) is None:
        folders += [str(folder) for folder in _folders(environ, home) if folder.is_dir()]
    return os.pathsep.join(dict.fromkeys(folder for folder in folders if folder))


def _folders(environ: Mapping[str, str], home: Path) -> Iterator[Path]:
    prefix = environ.get("npm_config_prefix") or environ.get("NPM_CONFIG_PREFIX") or _npmrc_prefix(home)
    if prefix:
        yield _under(prefix.strip("\"'").replace("${HOME}", str(home)), home) / "bin"
    for place in _PLACES:
        yield _under(place, home)
    for place in _VERSIONED_PLACES:
        root, _, rest = place.partition("/*/")
        base = _under(root, home)
        folders = base.glob(f"*/{rest}")
        yield from sorted(folders, key=lambda each: release(str(each.relative_to(base))) or (0,), reverse=True)


def _under(place: str, home: Path) -> Path:
    return home / place[2:] if place.startswith("~/") else Path(place)


def _npmrc_prefix(home: Path) -> str | None:
    try:
        text = files.read_text(home / ".npmrc", files.SMALL_BYTES, errors="replace")
    except OSError:
        return None
    pairs = (line.partition("=") for line in text.splitlines())
    return next((value.strip() for name, _, value in pairs if name.strip() == "prefix" and value.strip()), None)


def everywhere(environ: Mapping[str, str], home: Path) -> Iterator[tuple[Path, str]]:
    """Every `openclaw` on PATH and in the usual places, each package once, with its release; nothing is started."""
    path = (Path(folder) for folder in environ.get("PATH", os.defpath).split(os.pathsep) if folder)
    packages: set[Path] = set()
    for folder in dict.fromkeys((*path, *_folders(environ, home))):
        name = shutil.which("openclaw", path=str(folder))
        found = package(Path(name)) if name else None
        if name and found and found.path not in packages:
            packages.add(found.path)
            yield Path(name), found.version


def version(executable: Path, known: tuple[int, ...] | None) -> str:
    """Its release in words without starting it, by what is known of it or by its package; "" where neither says."""
    found = None if known else package(executable)
    return ".".join(map(str, known)) if known else found.version if found else ""


def packaged_version(executable: Path) -> str | None:
    """The release named in the package.json the executable belongs to; None when it is a shim that hides it."""
    folder = executable.resolve().parent
    for candidate in (folder, folder.parent):
        try:
            package = files.json_of(files.read_text(candidate / "package.json", files.SMALL_BYTES))
        except (OSError, ValueError):
            continue
        if isinstance(package, dict) and package.get("name") == "openclaw":
            return str(package.get("version"))
    return None


_DOTTED = regex(r"(\d+)\.(\d+)(?:\.(\d+))?(?:-(\d+))?")
_DATED = regex(r"\b(20\d\d)\.(\d{1,2})(?:\.(\d+))?(?:-(\d+))?")
"""A wrapper of nvm says "Now using node v24.19.0" in front of the release."""


def release(text: str) -> tuple[int, ...] | None:
    """The release in a text as comparable integers: "OpenClaw 2026.9.6 (eb37)" gives (2026, 9, 6).

    It is the first number of a year and a month, as OpenClaw's releases are; else the first dotted number at all.
    """
    match = _DATED.search(text) or _DOTTED.search(text)
    return tuple(int(each) for each in match.groups() if each) if match else None


_SCRIPT = regex(rb"""["'\s]([^"'\s]*/openclaw\.mjs)""")
_SHIM_BYTES = 4096


class Package(Struct, frozen=True):
    """One installed package; `written_s` is when its package.json came to be, in seconds since the epoch."""

    path: Path
    version: str
    written_s: float


def package(executable: Path) -> Package | None:
    """The package an executable belongs to, through links and through shell shims (pnpm writes one).

    None for a shim that hides it (Volta's is a program), or one whose package cannot be read.
    """
    for folder in _package_folders(Path(os.path.realpath(executable))):
        path = folder / "package.json"
        try:
            written_s = path.stat().st_mtime
            told = files.json_of(files.read_text(path, files.SMALL_BYTES))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and told.get("name") == "openclaw":
            return Package(path, str(told.get("version")), written_s)
    return None


def _package_folders(executable: Path) -> Iterator[Path]:
    """Where the package may be: beside its script, above it, or where a shim's script is."""
    yield executable.parent
    yield executable.parent.parent
    try:
        with files.open_regular(executable) as file:
            text = file.read(_SHIM_BYTES)
    except OSError:
        return
    if text.startswith(b"#!"):
        for found in _SCRIPT.finditer(text):
            script = os.fsdecode(found[1]).replace("${basedir}", "$basedir")
            yield Path(script.replace("$basedir", str(executable.parent))).parent
