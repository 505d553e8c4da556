"""Where `openclaw` is found, also where cron would not find it, and which release it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oc_ops.errors import SettingError
from oc_ops.gateway import Gateway
from oc_ops.observe import install
from oc_ops.settings import Settings
from tests.support.gatewayprocess import gateway_process

CRON = {"PATH": "/nowhere/bin"}


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """A file that may be executed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def only_below_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own folders may hold an `openclaw`; only those of the test's home are looked at."""
    places = tuple(place for place in install._PLACES if place.startswith("~/"))
    monkeypatch.setattr(install, "_PLACES", places)


def found(home: Path, environ: dict[str, str] | None = None) -> Path | None:
    """What is found without a given path."""
    return install.find(None, "default", environ or CRON, home)


def test_the_path_wins(tmp_path: Path) -> None:
    """The operator's PATH comes first, whatever else is installed, and the first on it."""
    executable(tmp_path / ".local/bin/openclaw")
    first, second = (executable(tmp_path / folder / "openclaw") for folder in ("a", "b"))
    assert found(tmp_path, {"PATH": f"{first.parent}:{second.parent}"}) == first


@pytest.mark.parametrize(
    "folder",
    [
        ".openclaw/bin",
        ".local/bin",
        ".npm-global/bin",
        ".volta/bin",
        ".bun/bin",
        "Library/pnpm",
        ".local/share/pnpm",
        ".nvm/versions/node/v24.1.0/bin",
        ".local/share/fnm/node-versions/v24.1.0/installation/bin",
        ".fnm/node-versions/v24.1.0/installation/bin",
        "Library/Application Support/fnm/node-versions/v24.1.0/installation/bin",
    ],
)
def test_cron_s_bare_path_is_enough(tmp_path: Path, folder: str) -> None:
    """Every usual install place is looked at when PATH has none."""
    there = executable(tmp_path / folder / "openclaw")
    assert found(tmp_path) == there


def test_every_system_place_is_looked_at() -> None:
    """Homebrew on both kinds of machine, and what a package manager uses."""
    places = install.__dict__["_PLACES"]
    assert "~/.local/bin" in places
    source = Path(install.__file__).read_text()
    assert all(
        f'"{place}"' in source for place in ("/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin")
    )


def test_nothing_anywhere_is_none(tmp_path: Path) -> None:
    """Not installed is an observation, nothing is raised; a file that cannot be executed is none."""
    (tmp_path / ".local/bin").mkdir(parents=True)
    (tmp_path / ".local/bin/openclaw").write_text("")
    assert found(tmp_path) is None
    assert install.find(None, "default", {"PATH": ""}, tmp_path) is None


@pytest.mark.parametrize("home", ["home", "99.9.9", "v1.2"])
def test_nvm_s_newest_release_counts(tmp_path: Path, home: str) -> None:
    """v24 is newer than v9 and v24.10 than v24.9, whatever numbers stand in the path before it."""
    versions = ("v9.11.2", "v24.9.0", "v24.10.0", "v22.20.0", "system")
    all_of_them = {each: executable(tmp_path / home / f".nvm/versions/node/{each}/bin/openclaw") for each in versions}
    assert found(tmp_path / home) == all_of_them["v24.10.0"]


@pytest.mark.parametrize(
    "line",
    ["prefix={home}/pre~fix", "  prefix = ${{HOME}}/pre~fix  ", "prefix=~/pre~fix", 'prefix="{home}/pre~fix"'],
    ids=["path", "HOME", "tilde", "quoted"],
)
def test_npm_s_prefix_is_read(tmp_path: Path, line: str) -> None:
    """`npm config set prefix` leaves it in ~/.npmrc, in several spellings."""
    there = executable(tmp_path / "pre~fix/bin/openclaw")
    (tmp_path / ".npmrc").write_text(f"registry=https://example.invalid\n{line.format(home=tmp_path)}\n")
    assert found(tmp_path) == there


@pytest.mark.parametrize("name", ["npm_config_prefix", "NPM_CONFIG_PREFIX"])
def test_npm_s_prefix_in_the_environment_comes_first(tmp_path: Path, name: str) -> None:
    """npm's own order: environment before ~/.npmrc."""
    there = executable(tmp_path / "one/bin/openclaw")
    executable(tmp_path / "two/bin/openclaw")
    (tmp_path / ".npmrc").write_text(f"prefix={tmp_path}/two\n")
    assert found(tmp_path, CRON | {name: f"{tmp_path}/one"}) == there


@pytest.mark.parametrize("name", ["openclaw", "folder", "plain", "x" * 300], ids=["missing", "folder", "mode", "long"])
def test_one_that_was_given_must_be_executable(tmp_path: Path, name: str) -> None:
    """A given path is never replaced by a found one: the message names it, its source and the need."""
    executable(tmp_path / ".local/bin/openclaw")
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("")
    with pytest.raises(SettingError) as error:
        install.find(tmp_path / name, "--openclaw", CRON, tmp_path)
    assert str(error.value) == (
        f'openclaw="{tmp_path / name}" in --openclaw: need the path of an executable `openclaw`'
    )


def test_one_that_was_given_is_taken_as_it_is(tmp_path: Path) -> None:
    """Its name need not be `openclaw`."""
    there = executable(tmp_path / "oc")
    assert install.find(there, "--openclaw", CRON, tmp_path) == there


@pytest.mark.parametrize("beside", [True, False], ids=["node beside it", "node in an nvm folder"])
def test_the_executable_finds_its_node(tmp_path: Path, beside: bool) -> None:
    """`#!/usr/bin/env node` works under cron's PATH."""
    there = executable(tmp_path / ".npm-global/bin/openclaw", "#!/usr/bin/env node\n")
    folder = there.parent if beside else tmp_path / ".nvm/versions/node/v24.1.0/bin"
    executable(folder / "node", "#!/bin/sh\necho this node\n")
    path = install.search_path(there, {"PATH": "/nowhere"}, tmp_path)
    done = subprocess.run([there], env={"PATH": path}, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "this node\n"


def test_the_operator_s_node_is_kept(tmp_path: Path) -> None:
    """Where PATH has a Node nothing is added behind it, and nothing appears twice."""
    node = executable(tmp_path / "a/node")
    executable(tmp_path / ".nvm/versions/node/v24.1.0/bin/node")
    there = executable(tmp_path / "b/openclaw")
    path = install.search_path(there, {"PATH": f"{node.parent}::{there.parent}"}, tmp_path)
    assert path.split(os.pathsep) == [str(there.parent), str(node.parent)]


def test_the_release_is_read_from_the_package(tmp_path: Path) -> None:
    """npm's and nvm's links lead to the package, whose package.json names the release."""
    package = tmp_path / "lib/node_modules/openclaw"
    entry = executable(package / "openclaw.mjs")
    (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": "2026.9.6"}))
    link = tmp_path / "bin/openclaw"
    link.parent.mkdir()
    link.symlink_to(Path("../lib/node_modules/openclaw/openclaw.mjs"))
    assert install.packaged_version(link) == install.packaged_version(entry) == "2026.9.6"


@pytest.mark.parametrize("package", ['{"name": "other", "version": "1.0.0"}', "[]", "{", None])
def test_another_s_package_is_not_taken_for_openclaw(tmp_path: Path, package: str | None) -> None:
    """A shim hides the package: then the release is not known."""
    there = executable(tmp_path / "bin/openclaw")
    if package is not None:
        (tmp_path / "package.json").write_text(package)
    assert install.packaged_version(there) is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("2026.9.6", (2026, 9, 6)),
        ("OpenClaw 2026.9.6 (eb37)", (2026, 9, 6)),
        ("openclaw/2026.7.1-2\n", (2026, 7, 1, 2)),
        ("2026.7.1-beta.3", (2026, 7, 1)),
        ("2026.0.0", (2026, 0, 0)),
        ("v24.19", (24, 19)),
        ("Now using node v24.19.0 (npm v11.6.2)\nOpenClaw 2026.9.6 (eb37)", (2026, 9, 6)),
        ("2026", None),
        ("", None),
        ("system", None),
    ],
)
def test_a_release_is_numbers(text: str, numbers: tuple[int, ...] | None) -> None:
    """Releases compare as numbers; a text without a dotted number has none."""
    assert install.release(text) == numbers


def test_the_command_of_a_gateway_that_runs_is_found_by_its_process(tmp_path: Path) -> None:
    """On its own PATH, else in the checkout that it was started in; of a process that is gone nothing is known."""
    on_path, checkout = tmp_path / "bin" / "openclaw", tmp_path / "checkout" / "openclaw.mjs"
    for command in (on_path, checkout):
        command.parent.mkdir()
        command.write_text("#!/usr/bin/env node\n")
        command.chmod(0o755)
    (checkout.parent / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')

    def started(path: str, cwd: Path) -> Path | None:
        line = [sys.executable, "-c", "print(flush=True); input()"]
        with subprocess.Popen(
            line, env={"PATH": path}, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            found = install.beside(process.pid)
            process.stdin.close()
        return found

    assert started(str(on_path.parent), checkout.parent) == on_path
    assert started("/nowhere", checkout.parent) == checkout
    assert started("/nowhere", tmp_path) is None
    assert install.beside(2**22) is None


def test_releases_compare() -> None:
    """A correction counts as newer, and ten is more than nine."""
    order = ["2026.2.26", "2026.5.28", "2026.7.1", "2026.7.1-2", "2026.9.6", "2026.10.1"]
    numbers = [install.release(each) or () for each in order]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(("uid", "expected"), [(0, True), (1, False)], ids=["ours", "another account's"])
def test_a_running_gateway_s_path_names_its_command(
    uid: int, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cron's bare PATH lacks what the gateway was started from; another account's programs are not run."""
    monkeypatch.setattr(install, "_PLACES", ())
    command = executable(tmp_path / "opt" / "bin" / "openclaw")
    monkeypatch.setattr("oc_ops.observe.processes.os.geteuid", lambda: os.getuid() + uid)
    with gateway_process(tmp_path, environ={"PATH": f"{command.parent}:/usr/bin"}):
        gateway = Gateway(Settings(memory_dir=tmp_path / "memory"), {"HOME": str(tmp_path), **CRON})
    assert gateway.executable == (command if expected else None)
