"""The settings: where each value comes from, and what a bad one is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from oc_ops import settings
from oc_ops.errors import SettingError

NAMES = [each.name for each in settings.declared()]
TIMES = [name for name in NAMES if name.endswith("_s")]


def load(
    tmp_path: Path,
    *,
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    toml: str | None = None,
) -> settings.Settings:
    """Settings from these sources and no others."""
    pyproject = tmp_path / "pyproject.toml"
    if toml is not None:
        pyproject.write_text(toml)
    return settings.load(options, environ or {}, pyproject)


def refusal(tmp_path: Path, **sources: object) -> str:
    """The message with which these sources are refused."""
    with pytest.raises(SettingError) as caught:
        load(tmp_path, **sources)  # type: ignore[arg-type]
    return str(caught.value)


def table(line: str) -> str:
    """A pyproject.toml with one setting."""
    return f"[tool.oc_ops]\n{line}\n"


def test_defaults(tmp_path: Path) -> None:
    """Without any source everything has its default and says so; a missing pyproject.toml is fine."""
    loaded = load(tmp_path)
    assert loaded == settings.Settings()
    assert {loaded.source(name) for name in NAMES} == {"default"}


@pytest.mark.parametrize(
    ("options", "environ", "toml", "value", "source"),
    [
        ({"report_dir": "/a"}, {"OC_OPS_REPORT_DIR": "/b"}, 'report_dir = "/c"', "/a", "--report-dir"),
        ({"report_dir": None}, {"OC_OPS_REPORT_DIR": "/b"}, 'report_dir = "/c"', "/b", "environment"),
        ({}, {"OC_OPS_REPORT_DIR": ""}, 'report_dir = "/c"', "/c", "pyproject.toml [tool.oc_ops]"),
        ({}, {}, "", str(settings.PROJECT / "reports"), "default"),
    ],
    ids=["option", "environment", "pyproject", "default"],
)
def test_precedence(
    options: Mapping[str, object], environ: Mapping[str, str], toml: str, value: str, source: str, tmp_path: Path
) -> None:
    """Option before environment before pyproject.toml before default; what is empty or not given does not count."""
    loaded = load(tmp_path, options=options, environ=environ, toml=table(toml))
    assert (str(loaded.report_dir), loaded.source("report_dir")) == (value, source)


def test_each_setting_can_be_set_by_environment_and_by_file(tmp_path: Path) -> None:
    """Every declared setting has its variable and its line; what is read is what its default is, written down."""
    defaults = settings.Settings()
    for name in NAMES:
        default = getattr(defaults, name)
        text = "on" if default is True else "/x/y" if default is None or isinstance(default, Path) else str(default)
        by_environ = load(tmp_path, environ={settings.environment_name(name): text}, toml="")
        by_file = load(tmp_path, toml=table(f'{name} = "{text}"'))
        assert by_environ.source(name) == "environment"
        assert getattr(by_environ, name) == getattr(by_file, name)
        if default is not None and not isinstance(default, Path):
            assert getattr(by_environ, name) == default


def test_every_setting_says_what_it_is_for() -> None:
    """The help of each setting is one phrase, and its name carries its unit."""
    for each in settings.declared():
        assert each.metadata["help"]
        if each.metadata["above"] is not None:
            assert each.name.endswith(
                ("_s", "_ms", "_bytes", "_bytes_h", "_percent", "_per_hour", "_per_day")
            ) or each.name.startswith("keep_")


@pytest.mark.parametrize("raw", ["abc", "0", "-1", "nan", "inf", "-inf", "1e400", " ", "5s", "0x10", "1,5"])
def test_bad_seconds_name_value_source_and_need(raw: str, tmp_path: Path) -> None:
    """A time that is none, and one that would never or always be over, is refused in the house's words."""
    environ = {"OC_OPS_START_BUDGET_S": raw}
    assert refusal(tmp_path, environ=environ) == f'OC_OPS_START_BUDGET_S="{raw}" in environment: need seconds > 0'


@pytest.mark.parametrize("name", TIMES)
def test_no_time_may_overflow_the_clocks(name: str, tmp_path: Path) -> None:
    """A time beyond what timers can hold is refused up front, not in the middle of a run."""
    variable = settings.environment_name(name)
    message = refusal(tmp_path, environ={variable: "1e300"})
    assert message == f'{variable}="1e300" in environment: need seconds <= 1000000'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('rpc = "maybe"', 'rpc="maybe" in pyproject.toml [tool.oc_ops]: need on or off'),
        ("rpc = 2", 'rpc="2" in pyproject.toml [tool.oc_ops]: need on or off'),
        ('browser = "on"', 'browser="on" in pyproject.toml [tool.oc_ops]: need one of auto, running, answering, off'),
        ("browser = true", 'browser="True" in pyproject.toml [tool.oc_ops]: need a text'),
        ("log_tail_bytes = 1.5", 'log_tail_bytes="1.5" in pyproject.toml [tool.oc_ops]: need a whole number > 0'),
        ("keep_healthy_runs = 0", 'keep_healthy_runs="0" in pyproject.toml [tool.oc_ops]: need a whole number > 0'),
        ("event_loop_delay_ms = -1", 'event_loop_delay_ms="-1" in pyproject.toml [tool.oc_ops]: need milliseconds > 0'),
        ("call_s = true", 'call_s="True" in pyproject.toml [tool.oc_ops]: need seconds > 0'),
        ("call_s = [20]", 'call_s="[20]" in pyproject.toml [tool.oc_ops]: need seconds > 0'),
        ('memory_dir = ""', 'memory_dir="" in pyproject.toml [tool.oc_ops]: need a non-empty value'),
        ("memory_dir = false", 'memory_dir="False" in pyproject.toml [tool.oc_ops]: need a text'),
        ('openclaw = "~nobody-of-that-name/x"',
         'openclaw="~nobody-of-that-name/x" in pyproject.toml [tool.oc_ops]: need a path whose ~user exists'),
        ('profile = " "', 'profile=" " in pyproject.toml [tool.oc_ops]: need a non-empty value'),
        ('memory_dir = "a\\u0000b"', 'memory_dir="a�b" in pyproject.toml [tool.oc_ops]: need a non-empty value'),
    ],
)  # fmt: skip
def test_bad_values_in_the_file(line: str, message: str, tmp_path: Path) -> None:
    """Each kind of setting refuses what it cannot be, naming value, source and need."""
    assert refusal(tmp_path, toml=table(line)) == message


def test_a_bad_option_is_named_as_an_option(tmp_path: Path) -> None:
    """An operator who mistyped an option is not sent to look for a variable."""
    assert refusal(tmp_path, options={"report_dir": " "}) == 'report_dir=" " in --report-dir: need a non-empty value'
    assert refusal(tmp_path, options={"profile": ""}) == 'profile="" in --oc-profile: need a non-empty value'


def test_huge_whole_number(tmp_path: Path) -> None:
    """A whole number too long for a float is still just a number."""
    huge = "1" + "0" * 400
    assert load(tmp_path, environ={"OC_OPS_LOG_TAIL_BYTES": huge}).log_tail_bytes == int(huge)


@pytest.mark.parametrize(
    ("words", "value"),
    [(("on", "ON", "true", "True", "yes", "1"), True), (("off", "OFF", "false", "False", "no", "0"), False)],
)
def test_words_for_on_and_off(words: tuple[str, ...], value: bool, tmp_path: Path) -> None:
    """The usual words switch a setting on and off, whatever their case."""
    for word in words:
        assert load(tmp_path, environ={"OC_OPS_RPC": word}).rpc is value
    assert load(tmp_path, toml=table(f"rpc = {str(value).lower()}")).rpc is value


@pytest.mark.parametrize("choice", ["auto", "running", "answering", "off"])
def test_choices(choice: str, tmp_path: Path) -> None:
    """Each choice is taken as it stands."""
    assert load(tmp_path, environ={"OC_OPS_BROWSER": choice}).browser == choice


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path means the same wherever the run goes; `~` is the operator's home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/joe")
    loaded = load(tmp_path, environ={"OC_OPS_REPORT_DIR": "out", "OC_OPS_MEMORY_DIR": "~/memory"})
    assert loaded.report_dir == tmp_path / "out"
    assert loaded.memory_dir == Path("/home/joe/memory")


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    """A mistyped line in the file is refused, not passed over."""
    message = refusal(tmp_path, toml=table("probe_s = 3"))
    assert message.startswith("probe_s in pyproject.toml [tool.oc_ops]: need one of breaker_await_s, ")
    assert all(name in message for name in NAMES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[tool.oc_ops\n", "valid TOML (Expected ']'"),
        (b"\xff\xfe", "valid TOML ('utf-8' codec"),
        (b"tool = 3\n", 'tool="3" in pyproject.toml: need a table'),
        (b"[tool]\noc_ops = 3\n", 'oc_ops="3" in pyproject.toml: need a table'),
    ],
    ids=["no TOML", "no UTF-8", "tool no table", "oc_ops no table"],
)
def test_a_file_that_cannot_be_used(content: bytes, message: str, tmp_path: Path) -> None:
    """A broken pyproject.toml is one sentence, not a traceback."""
    (tmp_path / "pyproject.toml").write_bytes(content)
    assert message in refusal(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """An unreadable pyproject.toml is not taken for an empty one."""
    (tmp_path / "pyproject.toml").mkdir()
    message = refusal(tmp_path)
    assert message.startswith(f'[tool.oc_ops]="pyproject.toml" in {tmp_path}: need a readable file (')


def test_a_file_without_our_table(tmp_path: Path) -> None:
    """Somebody else's pyproject.toml sets nothing."""
    assert load(tmp_path, toml='[project]\nname = "x"\n') == settings.Settings()


def test_our_own_file_is_good() -> None:
    """The checkout's own pyproject.toml changes no default."""
    assert settings.load({}, {}) == settings.Settings()


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"OC_OPS_HTTP_PROBE_S": "8"},
         'OC_OPS_CLI_TIMEOUT_S="8" in default: need seconds > http_probe_s, which is 8 from environment'),
        ({"OC_OPS_CALL_S": "5"},
         'OC_OPS_CALL_S="5" in environment: need seconds > cli_timeout_s, which is 8 from default'),
        ({"OC_OPS_CHECK_S": "15"},
         'OC_OPS_CHECK_S="15" in environment: need seconds > call_s, which is 20 from default'),
        ({"OC_OPS_RUN_S": "60"}, 'OC_OPS_RUN_S="60" in environment: need seconds > check_s, which is 60 from default'),
        ({"OC_OPS_CHECK_S": "47"},
         'OC_OPS_CHECK_S="47" in environment: need seconds > cli_lock_s + call_s + kill_grace_s + 1, '
         "which are 47 together"),
        ({"OC_OPS_CLI_LOCK_S": "50"},
         'OC_OPS_CHECK_S="60" in default: need seconds > cli_lock_s + call_s + kill_grace_s + 1, '
         "which are 72 together"),
    ],
    ids=["probe", "call", "check", "run", "check and lock", "lock"],
)  # fmt: skip
def test_bounds_fire_from_the_inside_out(environ: Mapping[str, str], message: str, tmp_path: Path) -> None:
    """An inner bound that would outlive its outer one is refused, naming both values and where they came from."""
    assert refusal(tmp_path, environ=environ) == message


def test_the_defaults_are_in_order() -> None:
    """CLI --timeout < process deadline < check timeout < run deadline, as every bound that encloses another."""
    each = settings.Settings()
    assert each.http_probe_s < each.cli_timeout_s < each.call_s < each.check_s < each.run_s
    assert each.cli_lock_s + each.call_s + each.kill_grace_s + settings.ENDING_S < each.check_s
    assert each.rpc_connect_s + 3 * each.rpc_request_s < each.check_s
    assert each.linger_s < each.call_s


def test_settings_cannot_be_changed_afterwards() -> None:
    """What a run goes by stands."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.Settings().call_s = 1.0  # type: ignore[misc]


def test_a_secret_is_shown_nowhere_and_may_lie_in_a_file(tmp_path: Path) -> None:
    """The value is masked in reports, the path of a file is not; both are known to redactors."""
    file = tmp_path / "urls"
    file.write_text("slack://AAAA/BBBB\nmailto://joe:pass@example.org\n")
    loaded = load(tmp_path, environ={"OC_OPS_NOTIFY_URLS": str(file), "OC_OPS_PING_URL": "https://hc.example/uuid"})
    assert loaded.secret("notify_urls") == "slack://AAAA/BBBB\nmailto://joe:pass@example.org"
    assert (loaded.shown("notify_urls"), loaded.shown("ping_url")) == (str(file), "[redacted]")
    assert loaded.secrets == ("slack://AAAA/BBBB", "mailto://joe:pass@example.org", "https://hc.example/uuid")
    assert "uuid" not in refusal(tmp_path, environ={"OC_OPS_PING_URL": "https://hc.example/uuid\0"})


def test_a_secret_s_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The path is no secret; what redactors need of it is then nothing."""
    loaded = load(tmp_path, environ={"OC_OPS_NOTIFY_URLS": "/nowhere/urls"})
    with pytest.raises(SettingError, match='notify file="/nowhere/urls" in environment: need a text file'):
        loaded.secret("notify_urls")
    assert loaded.secrets == ()
    assert settings.Settings().secret("notify_urls") == ""


def test_an_installed_package_is_no_checkout(tmp_path: Path) -> None:
    """site-packages may hold a `checks` of somebody else's; only with a pyproject.toml beside it is it a checkout."""
    package = tmp_path / "site-packages" / "oc_ops"
    package.mkdir(parents=True)
    (package.parent / "checks").mkdir()
    assert settings._checkout(package) is None
    (package.parent / "pyproject.toml").touch()
    assert settings._checkout(package) == package.parent
