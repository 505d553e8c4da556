"""Every limit, path and default, declared once; each value remembers where it came from.

Option > environment `OC_OPS_<SETTING>` > settings.toml of the user > `[tool.oc_ops]` in pyproject.toml > default.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, cast, get_type_hints

from oc_ops import files
from oc_ops.errors import SettingError


def _checkout(package: Path) -> Path | None:
    """Return the checkout that this package lies in, None where it was installed from a wheel."""
    folder = package.parent
    return folder if (folder / "checks").is_dir() and (folder / "pyproject.toml").is_file() else None


def _state_folder() -> Path:
    """Return the user's state directory for oc-ops; nothing is made here."""
    import platformdirs  # 2 ms that a checkout does without

    return platformdirs.user_state_path("oc-ops")


def _config_folder() -> Path:
    """Return the user's own configuration directory for oc-ops; nothing is made here."""
    import platformdirs

    return platformdirs.user_config_path("oc-ops")


_PACKAGE = Path(__file__).resolve().parent

CHECKOUT = _checkout(_PACKAGE)
"""The checkout that oc-ops runs from; None for an installed wheel."""

SUITE = CHECKOUT or _PACKAGE / "suite"
"""The folder that holds checks/, conftest.py and the pytest settings; a wheel carries the checkout's own files."""

PROJECT = CHECKOUT or _state_folder()
"""The folder that holds reports/ and memory/: the checkout, else the user's state directory for oc-ops."""

CONFIG = _config_folder()
"""The folder of the operator's own files, which no upgrade and no checkout touches."""

OWN_SETTINGS = "settings.toml"
"""The operator's own settings in that folder: plain names, or under `[tool.oc_ops]`."""

SETTINGS_FILE = PROJECT / ("pyproject.toml" if CHECKOUT else OWN_SETTINGS)
"""Settings below the operator's own: `[tool.oc_ops]` in a checkout's pyproject.toml; without one, the place of old."""


def start_folder() -> Path:
    """Return a folder that child processes can start in: the checkout, else the first of workplace, home and /."""
    return next((each for each in (PROJECT, Path("~").expanduser()) if each.is_dir()), Path("/"))


def _setting(
    default: Any, text: str, *, above: float | None = None, choices: tuple[str, ...] = (), secret: bool = False
) -> Any:
    return field(default=default, metadata={"help": text, "above": above, "choices": choices, "secret": secret})


def _seconds(default: float, text: str) -> Any:
    return _setting(default, text, above=0)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a run. Times are seconds on the monotonic clock, sizes bytes, unless the name says otherwise."""

    openclaw: Path | None = _setting(None, "the `openclaw` executable; found automatically when not given")
    profile: str | None = _setting(None, "the OpenClaw profile to look at (`openclaw --profile NAME`)")
    target: str = _setting(
        "local",
        "the gateway to look at: local, profile:NAME, podman:NAME, docker:NAME, compose:SERVICE or cell:TENANT",
    )
    memory_dir: Path = _setting(PROJECT / "memory", "what oc-ops remembers between runs")
    report_dir: Path = _setting(PROJECT / "reports", "where runs leave their reports")
    config_dir: Path = _setting(CONFIG, "your own files: settings.toml, the watchlist, signatures.toml")
    rpc: bool = _setting(True, "use the read-only RPC lane; off leaves HTTP and the CLI")
    browser: str = _setting(
        "auto",
        "what is expected of the browser: auto (idle is healthy), running, only answering, or off (not looked at)",
        choices=("auto", "running", "answering", "off"),
    )

    http_probe_s: float = _seconds(2.0, "budget of one HTTP probe")
    rpc_connect_s: float = _seconds(3.0, "budget of the RPC connection and handshake")
    rpc_request_s: float = _seconds(4.0, "budget of one RPC request")
    cli_timeout_s: float = _seconds(8.0, "the `--timeout` passed to every `openclaw` call that has one")
    call_s: float = _seconds(20.0, "deadline of one `openclaw` process; then its whole tree is ended")
    linger_s: float = _seconds(2.0, "how long a call that has answered may take to exit")
    kill_grace_s: float = _seconds(1.0, "time between SIGTERM and SIGKILL")
    cli_lock_s: float = _seconds(25.0, "longest wait for another process's `openclaw` call to end")
    check_s: float = _seconds(60.0, "deadline of one check")
    run_s: float = _seconds(180.0, "deadline of one doctor run")
    cli_every_s: float = _seconds(3600.0, "how old a scheduled run lets the proof of the command line become")
    overlap_s: float = _seconds(60.0, "how long a run waits for another one of this gateway, to take its verdict")
    deep_s: float = _seconds(240.0, "deadline of one deep check, and what --deep adds to the run's")
    model_s: float = _seconds(60.0, "how long a model may take over the one prompt of --deep-model")

    start_budget_s: float = _seconds(240.0, "a gateway younger than this may still be starting (#119958)")
    event_loop_delay_ms: float = _setting(
        1000.0, "event-loop delay (p99) above which a gateway counts as saturated", above=0
    )
    late_answer_s: float = _seconds(1.0, "an HTTP answer later than this counts as late")
    log_window_s: float = _seconds(900.0, "how far back the log check looks")
    log_tail_bytes: int = _setting(32 * 2**20, "most bytes of log read back per file", above=0)

    job_run_s: float = _seconds(180.0, "how long `oc-ops run` waits for a job's run when it is not told")
    keep_job_runs: int = _setting(200, "transcripts of ad-hoc runs kept in memory/cron_run_now", above=0)

    incident_flap_s: float = _seconds(3600.0, "a cause that is back so soon after its incident was closed reopens it")

    job_grace_s: float = _seconds(300.0, "how late a watched job may begin, or its end be recorded")
    restart_per_hour: int = _setting(
        3, "most restarts of the gateway an hour, by whomever, that recovery adds to", above=0
    )
    restart_per_day: int = _setting(6, "most restarts a day that recovery adds to", above=0)
    restart_cool_down_s: float = _seconds(
        300.0, "how long after any restart or start recovery leaves the gateway alone"
    )
    confirm_gap_s: float = _seconds(5.0, "time between the two looks that confirm a fault before anything is restarted")
    confirm_within_s: float = _seconds(60.0, "a fault that was seen for less than this is confirmed by a second look")
    drain_budget_s: float = _seconds(330.0, "how long a gateway may drain before its restart")
    recover_act_s: float = _seconds(600.0, "deadline of one command of recovery: a restart drains and starts within it")
    keep_recoveries: int = _setting(500, "records kept in memory/recoveries", above=0)
    breaker_plan_s: float = _seconds(900.0, "how long a breaker's plan may be approved after its evidence was shown")
    breaker_await_s: float = _seconds(600.0, "a job's next run is awaited after a break if it is due so soon")
    breaker_late_s: float = _seconds(60.0, "how late that run may begin before the break counts as ineffective")
    breaker_enable_s: float = _seconds(60.0, "how long a breaker tries to switch a job on again")
    breaker_stop_s: float = _seconds(
        30.0, "what the service manager, then SIGTERM, gets to end a gateway, then SIGKILL"
    )

    disk_low_bytes: int = _setting(2**30, "free space below which a file system is low; a fifth of it is full", above=0)
    disk_low_percent: float = _setting(
        5.0, "free share below which it is low as well, up to 5 times disk_low_bytes", above=0
    )
    memory_low_percent: float = _setting(5.0, "available memory below which the machine is short of it", above=0)
    gateway_rss_bytes: int = _setting(3 * 2**30, "resident memory above which the gateway takes much", above=0)
    rss_growth_bytes_h: int = _setting(256 * 2**20, "growth an hour above which it takes ever more", above=0)
    log_large_bytes: int = _setting(256 * 2**20, "size above which a log is oversized", above=0)
    wal_large_bytes: int = _setting(64 * 2**20, "size above which a write-ahead log is large", above=0)
    clobbered_window_s: float = _seconds(86_400.0, "how long a config that was replaced stays a finding")

    watch_look_s: float = _seconds(2.0, "how often the cockpit's watcher looks at the port while a client is attached")
    watch_slow_s: float = _seconds(300.0, "how often at most it asks through the CLI, of a gateway that is well")
    watch_idle_s: float = _seconds(60.0, "how long it stays when no session lives any more")
    tmux_socket: str | None = _setting(None, "the cockpit's own tmux server (`tmux -L NAME`); else the user's")
    tmux_s: float = _seconds(5.0, "deadline of one look at the tmux server")
    pane_log_bytes: int = _setting(
        2**20, "size at which memory/panes/<window>.log is moved aside (3 are kept)", above=0
    )
    notify_urls: str | None = _setting(
        None, "Apprise URLs to tell people through, spaces between them, or the path of a file with them", secret=True
    )
    ping_url: str | None = _setting(
        None, "dead-man URL asked at each run's start and end (Healthchecks' form), or a file with it", secret=True
    )
    notify_again_s: float = _seconds(
        3600.0, "an open incident is told again after this long, then twice, 4 times as long"
    )
    notify_s: float = _seconds(20.0, "deadline of telling people, in a process of its own that no run waits for")

    schedule_s: float = _seconds(
        1200.0, "deadline of one scheduled run, plus a recovery's worst case with --recover; then its tree is ended"
    )
    schedule_log_bytes: int = _setting(2**20, "size above which memory/schedule.log is rotated; 3 are kept", above=0)

    keep_healthy_runs: int = _setting(20, "healthy runs kept in reports/runs", above=0)
    keep_failing_runs: int = _setting(2000, "failing runs kept there (a week at one run in 5 minutes)", above=0)
    keep_history_days: int = _setting(400, "days that memory/ops.sqlite keeps runs, calls and cron runs", above=0)

    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def own_files(self, name: str) -> tuple[Path, Path]:
        """The two places of a file of the operator's, the one that counts first where both hold something.

        In a checkout its own memory folder comes first, where git tracks the watchlist; elsewhere `config_dir`.
        """
        apart, beside = self.config_dir / name, self.memory_dir / name
        return (beside, apart) if CHECKOUT else (apart, beside)

    def own_file(self, name: str) -> Path:
        """The one of the two places that exists, else the one where the file belongs."""
        places = self.own_files(name)
        return next(filter(os.path.lexists, places), places[0])

    def source(self, name: str) -> str:
        """Where a setting's value came from, in words: an option, the environment, the file, or `default`."""
        return self.sources.get(name, "default")

    def names_a_file(self, name: str) -> bool:
        """True if a secret setting is the path of a file that holds it, which is no secret."""
        return str(getattr(self, name)).startswith(("/", "~"))

    def secret(self, name: str) -> str:
        """The value of a secret setting, read from its file where it names one; empty when it is not set.

        Raises SettingError for a file that cannot be read.
        """
        value = getattr(self, name)
        if value is None or not self.names_a_file(name):
            return value or ""
        try:
            return files.read_text(Path(value).expanduser(), files.SMALL_BYTES).strip()
        except (OSError, ValueError, RuntimeError) as error:
            file = f"{name.partition('_')[0]} file"
            raise SettingError(file, value, self.source(name), f"a text file that can be read ({error})") from error

    @property
    def secrets(self) -> tuple[str, ...]:
        """Values of the secret settings that must not be shown, as far as it can be read."""
        found: list[str] = []
        for name in (each.name for each in declared() if each.metadata["secret"] and getattr(self, each.name)):
            with contextlib.suppress(SettingError):
                found += self.secret(name).split()
        return tuple(found)

    def shown(self, name: str) -> str:
        """A setting's value as a report may show it."""
        hidden = self.__dataclass_fields__[name].metadata["secret"] and not self.names_a_file(name)
        return "[redacted]" if hidden else str(getattr(self, name))


def declared() -> tuple[Field[Any], ...]:
    """The settings an operator can set, in the order of their declaration."""
    return tuple(each for each in fields(Settings) if each.name != "sources")


def environment_name(name: str) -> str:
    """The environment variable of a setting."""
    return f"OC_OPS_{name.upper()}"


def for_a_child(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for another program: the addresses that people are told through are none of its business."""
    secret = {environment_name(each.name) for each in declared() if each.metadata["secret"]}
    return {name: value for name, value in environ.items() if name not in secret}


def load(
    options: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    pyproject: Path | None = None,
) -> Settings:
    """Read all settings once.

    `options` maps a setting to a command-line value (None: not given). Raises SettingError with the value, its
    source and what is needed, also for a name in `[tool.oc_ops]` that no setting has and for an unreadable file.
    """
    environ = os.environ if environ is None else environ
    options = {name: value for name, value in (options or {}).items() if value is not None}
    own = options.get("config_dir") or environ.get(environment_name("config_dir")) or CONFIG
    files = (pyproject,) if pyproject else (Path(str(own)).expanduser() / OWN_SETTINGS, SETTINGS_FILE)
    tables = [(file, _table(file)) for file in files]
    hints = get_type_hints(Settings)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for each in declared():
        option = f"--{_OPTION_NAMES.get(each.name, each.name.replace('_', '-'))}"
        for raw, source in (
            (options.get(each.name), option),
            (environ.get(environment_name(each.name)) or None, "environment"),
            *((table.get(each.name), _named(file)) for file, table in tables),
        ):
            if raw is not None:
                shown = environment_name(each.name) if source == "environment" else each.name
                values[each.name] = _parsed(each, hints[each.name], raw, shown, source)
                sources[each.name] = source
                break
    _refuse_unknown(environ)
    settings = Settings(**values, sources=sources)
    _check_order(settings)
    return settings


SCHEDULED = "OC_OPS_SCHEDULED"
"""Set in the environment of a run that the scheduler started."""
_OTHERS = ("OC_OPS_CALL", "OC_OPS_LAB_DIR", SCHEDULED)
"""Names of the same family that are no settings: the marks of our own calls and runs, and where the lab lives."""


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    """A mistyped variable would be a setting that silently does nothing."""
    known = [environment_name(each.name) for each in declared()]
    for name in environ:
        if name.startswith("OC_OPS_") and name not in known and name not in _OTHERS:
            import difflib

            near = difflib.get_close_matches(name, known, n=1)
            hint = f", maybe {near[0]}" if near else ""
            raise SettingError(name, None, "environment", f"a known setting{hint}")


_OPTION_NAMES = {"profile": "oc-profile", "tmux_socket": "socket"}


def _named(file: Path) -> str:
    """A settings file as a source: a checkout's by its name, the operator's own by its path."""
    return f"{file} [tool.oc_ops]" if file.name == OWN_SETTINGS else f"{file.name} [tool.oc_ops]"


def _table(pyproject: Path) -> Mapping[str, object]:
    try:
        text = files.read_bytes(pyproject, files.SMALL_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingError(
            "[tool.oc_ops]", pyproject.name, str(pyproject.parent), f"a readable file ({error.strerror})"
        ) from error
    try:
        root: object = tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError("[tool.oc_ops]", pyproject.name, str(pyproject.parent), f"valid TOML ({error})") from error
    plain = pyproject.name == OWN_SETTINGS and isinstance(root, dict) and "tool" not in root
    for key in () if plain else ("tool", "oc_ops"):
        root = cast("Mapping[str, object]", root).get(key, {})
        if not isinstance(root, dict):
            raise SettingError(key, root, pyproject.name, "a table")
    table = cast("Mapping[str, object]", root)
    known = {each.name for each in declared()}
    for name in table:
        if name not in known:
            raise SettingError(name, None, _named(pyproject), f"one of {', '.join(sorted(known))}")
    return table


def _parsed(each: Field[Any], kind: object, raw: object, shown: str, source: str) -> object:
    """The raw value in the setting's own type, or a SettingError that says what is needed."""
    text = str(raw)
    if kind is bool:
        word = text.lower()
        if word in ("on", "true", "yes", "1"):
            return True
        if word in ("off", "false", "no", "0"):
            return False
        raise SettingError(shown, raw, source, "on or off")
    if kind in (float, int):
        unit = "seconds" if each.name.endswith("_s") else "milliseconds" if each.name.endswith("_ms") else "a number"
        need = (
            f"{unit} > {each.metadata['above']:g}" if kind is float else f"a whole number > {each.metadata['above']:g}"
        )
        try:
            number = float(text) if kind is float else int(text)
        except ValueError:
            raise SettingError(shown, raw, source, need) from None
        if not each.metadata["above"] < number < math.inf:
            raise SettingError(shown, raw, source, need)
        if kind is float and number > _MOST:
            raise SettingError(shown, raw, source, f"{unit} <= {_MOST:.0f}")
        return number
    if not isinstance(raw, (str, Path)):
        raise SettingError(shown, raw, source, "a text")
    if choices := each.metadata["choices"]:
        if text not in choices:
            raise SettingError(shown, raw, source, f"one of {', '.join(choices)}")
        return text
    if not text.strip() or "\0" in text:
        raise SettingError(shown, raw, source, "a non-empty value")
    if kind in (str, str | None):
        return text
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise SettingError(shown, raw, source, "a path whose ~user exists") from None


_MOST = 1_000_000.0
"""Longer times than this (11 days) overflow the timers of poll(2)."""

ENDING_S = 1.0
"""Time that a check keeps, beyond the grace of the kill, to end its last call, write it down and say what it saw."""

_ORDER = ("http_probe_s", "cli_timeout_s", "call_s", "check_s", "run_s", "schedule_s")
"""Innermost fires first: each of these must be below the next."""


def _check_order(settings: Settings) -> None:
    for inner, outer in itertools.pairwise(_ORDER):
        if getattr(settings, inner) >= getattr(settings, outer):
            raise SettingError(
                environment_name(outer),
                f"{getattr(settings, outer):g}",
                settings.source(outer),
                f"seconds > {inner}, which is {getattr(settings, inner):g} from {settings.source(inner)}",
            )
    call_s = settings.cli_lock_s + settings.call_s + settings.kill_grace_s + ENDING_S
    if call_s >= settings.check_s:
        raise SettingError(
            environment_name("check_s"),
            f"{settings.check_s:g}",
            settings.source("check_s"),
            f"seconds > cli_lock_s + call_s + kill_grace_s + {ENDING_S:g}, which are {call_s:g} together",
        )
