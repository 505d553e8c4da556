"""Which gateway is meant: the precedence was measured with `openclaw config file` of 2026.9.6."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.errors import SettingError
from oc_ops.observe.target import choose, chosen, identify, locate
from oc_ops.settings import load
from tests.support import containers

HOME = {"HOME": "/home/u"}


@pytest.mark.parametrize(
    ("environ", "profile", "state_dir", "config"),
    [
        ({}, None, "/home/u/.openclaw", None),
        ({}, "work", "/home/u/.openclaw-work", None),
        ({}, "default", "/home/u/.openclaw", None),
        ({}, "Default", "/home/u/.openclaw", None),
        ({"OPENCLAW_PROFILE": "work"}, None, "/home/u/.openclaw", None),
        ({"OPENCLAW_PROFILE": "work"}, "work", "/home/u/.openclaw-work", None),
        ({"OPENCLAW_PROFILE": "work"}, "rescue", "/home/u/.openclaw-rescue", None),
        ({"OPENCLAW_STATE_DIR": "/st"}, None, "/st", None),
        ({"OPENCLAW_STATE_DIR": "/st"}, "work", "/st", None),
        ({"OPENCLAW_STATE_DIR": " ~/st "}, None, "/home/u/st", None),
        ({"OPENCLAW_STATE_DIR": "~"}, None, "/home/u", None),
        ({"OPENCLAW_STATE_DIR": "  "}, None, "/home/u/.openclaw", None),
        ({"OPENCLAW_STATE_DIR": "/home/u/.openclaw"}, "work", "/home/u/.openclaw-work", None),
        ({"OPENCLAW_CONFIG_PATH": "~/c.json"}, None, "/home/u/.openclaw", "/home/u/c.json"),
        ({"OPENCLAW_CONFIG_PATH": "/etc/c.json"}, "work", "/home/u/.openclaw-work", "/etc/c.json"),
        ({"OPENCLAW_STATE_DIR": "/st", "OPENCLAW_CONFIG_PATH": "/etc/c.json"}, None, "/st", "/etc/c.json"),
        ({"OPENCLAW_HOME": "/srv/o"}, None, "/srv/o/.openclaw", None),
        ({"OPENCLAW_HOME": "~/o"}, "work", "/home/u/o/.openclaw-work", None),
        ({"OPENCLAW_HOME": " undefined "}, None, "/home/u/.openclaw", None),
        ({"OPENCLAW_HOME": "/srv/o", "OPENCLAW_STATE_DIR": "~/st"}, None, "/srv/o/st", None),
    ],
)
def test_the_folders_are_the_cli_s(
    environ: dict[str, str], profile: str | None, state_dir: str, config: str | None
) -> None:
    """State directory and config file are where the CLI finds them in the same environment."""
    target = locate(HOME | environ, profile)
    assert str(target.state_dir) == state_dir
    assert str(target.config_path) == (config or f"{state_dir}/openclaw.json")


def test_a_service_s_own_environment_does_not_bind_another_profile() -> None:
    """Started from inside the default gateway, which exports its folders, `--profile work` still means work."""
    inherited = HOME | {
        "OPENCLAW_STATE_DIR": "/home/u/.openclaw",
        "OPENCLAW_CONFIG_PATH": "/home/u/.openclaw/openclaw.json",
    }
    target = locate(inherited, "work")
    assert str(target.config_path) == "/home/u/.openclaw-work/openclaw.json"


def test_an_inherited_profile_names_the_service_and_moves_no_folder() -> None:
    """OPENCLAW_PROFILE alone: the profile is known, its folder is not taken, the environment stays as it is."""
    environ = HOME | {"OPENCLAW_PROFILE": "work"}
    target = locate(environ)
    assert (target.profile, target.environ) == ("work", environ)


def test_a_chosen_profile_is_in_the_environment_of_every_child() -> None:
    """A child sees the same folders as we do, whichever release it is, even if it forgets `--profile`."""
    target = locate(HOME, "work")
    assert target.environ == HOME | {
        "OPENCLAW_PROFILE": "work",
        "OPENCLAW_STATE_DIR": "/home/u/.openclaw-work",
        "OPENCLAW_CONFIG_PATH": "/home/u/.openclaw-work/openclaw.json",
    }
    again = locate(target.environ)
    assert (again.profile, again.state_dir, again.config_path) == ("work", target.state_dir, target.config_path)


@pytest.mark.parametrize("profile", ["a b", "../x", "-x", "x" * 65, "ü", "a\nb"])
def test_a_profile_that_openclaw_would_refuse_is_refused(profile: str) -> None:
    """The message names the value, its source and the need."""
    with pytest.raises(SettingError, match="letters, digits, - and _ only"):
        locate(HOME, profile)
    with pytest.raises(SettingError, match="OPENCLAW_PROFILE in environment"):
        locate(HOME | {"OPENCLAW_PROFILE": profile})


def test_without_home_the_account_s_home_counts() -> None:
    """cron may leave HOME out."""
    assert locate({}).state_dir == Path.home() / ".openclaw"


def test_paths_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A relative override means this folder, also after somebody changed it."""
    monkeypatch.chdir(tmp_path)
    assert locate(HOME | {"OPENCLAW_STATE_DIR": "st"}).state_dir == tmp_path / "st"


def test_a_state_directory_is_the_same_by_every_path(tmp_path: Path) -> None:
    """/tmp is a link on macOS, ~/.openclaw may be one: whoever acts on a gateway has to meet at one lock."""
    (tmp_path / "disk" / "state").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    one, other = (locate(HOME | {"OPENCLAW_STATE_DIR": f"{tmp_path / each}/state"}) for each in ("disk", "link"))
    assert one.key == other.key
    assert one.key != locate(HOME).key


def test_the_environment_is_not_shown() -> None:
    """A target in a traceback does not spill what the environment holds."""
    assert "hunter2" not in repr(locate(HOME | {"OPENCLAW_GATEWAY_TOKEN": "hunter2"}))


@pytest.mark.parametrize("choice", ["local", "profile:work", "podman:cell"])
def test_a_gateway_is_named_without_asking_any_runtime(tmp_path: Path, choice: str) -> None:
    """Key and name are those of the target that is chosen, whatever a runtime has to say of it."""
    containers.runtime(tmp_path, containers.inspected())
    environ = {**HOME, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    identity = identify(environ, None, choice)
    assert containers.calls(tmp_path) == []
    target = choose(environ, None, choice)
    assert identity == (target.key, target.name)
    assert identity.name == {"local": "default", "profile:work": "work"}.get(choice, choice)


def test_a_target_is_chosen_by_whoever_says_so() -> None:
    """An option, the environment; the default is no choice, and what is no target is said."""
    assert chosen(load({}, {}), HOME) is None
    for options, environ in (({"target": "podman:cell"}, {}), ({}, {"OC_OPS_TARGET": "podman:cell"})):
        one = chosen(load(options, environ), HOME)
        assert one is not None
        assert one.name == "podman:cell"
    with pytest.raises(SettingError, match="podman:NAME"):
        chosen(load({"target": "lxc:cell"}, {}), HOME)
