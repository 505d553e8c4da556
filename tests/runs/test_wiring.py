"""The doctor as an operator runs it, `python -m pytest checks/`: exit codes, the last line, what it leaves behind."""

from __future__ import annotations

import signal
import stat
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.machine import PROJECT, SECRET, Operator, Run, closed_port, gateway, silent_port


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """An operator whose gateway is down."""
    return Operator(tmp_path, closed_port())


# -- verdicts and exit codes ------------------------------------------------------------------------------------------


def test_a_healthy_gateway(tmp_path: Path) -> None:
    """Exit 0, a last line that says healthy, every check passed, every lane used, no secret in anything left."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        run = operator.run()
    assert run.code == 0, run.out + run.err
    assert run.last_line.startswith("doctor: healthy in ")
    assert f"gateway 2026.9.6 on port {port}" in run.last_line
    latest = operator.latest()
    assert (latest["verdict"], latest["cause"], latest["findings"]) == ("healthy", None, [])
    assert {each["id"] for each in latest["checks"] if each["outcome"] != "passed"} == {
        "cron/watched",  # there is no watchlist
        "gateway/install",  # the fake belongs to no package
        "gateway/supervised",  # and no unit runs it
    }
    assert latest["lanes"] == {"http": "ok", "rpc": "ok", "cli": "ok"}
    assert [each["outcome"] for each in latest["calls"]] == ["answered"] * len(operator.calls)
    assert len(operator.calls) <= 5
    for path in [*operator.reports.rglob("*"), *(tmp_path / "memory").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in run.out + run.err


def test_quick_makes_no_call(tmp_path: Path) -> None:
    """--quick is HTTP, RPC and logs; the rest is skipped by choice, which is not could-not-look."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        run = operator.run("--quick")
    assert run.code == 0, run.out
    assert operator.calls == []
    latest = operator.latest()
    assert latest["verdict"] == "healthy"
    assert latest["lanes"]["cli"] == "not asked: --quick"
    assert {each["outcome"] for each in latest["checks"]} == {"passed", "skipped"}


def test_a_gateway_that_is_down(operator: Operator) -> None:
    """Exit 1; one failure names the cause, its dependents are blocked by it, and the summary counts them."""
    run = operator.run()
    assert run.code == 1
    assert run.last_line.startswith("doctor: unhealthy in ")
    assert "gateway/down: nothing listens" in run.last_line
    assert run.last_line.endswith("(openclaw gateway run)")
    latest = operator.latest()
    assert [each["check"] for each in latest["findings"]] == ["gateway/down"]
    blocked = [each for each in latest["checks"] if each["outcome"] == "blocked"]
    assert {each["blocked_by"] for each in blocked} == {"gateway/down"}
    assert f"{len(blocked)} blocked in " in run.out
    assert run.out.count("gateway/down: error: ") == 1
    assert "Traceback" not in run.out + run.err
    assert not [each for each in operator.calls if not each.startswith(("--version", "config validate"))]


def test_one_check_of_a_gateway_that_is_down_names_the_cause(operator: Operator) -> None:
    """A check that cannot look because of a cause does not pass when it is run alone: the run names the cause."""
    run = operator.run("-k", "test_rpc_answers")
    assert run.code == 1
    assert "gateway/down" in run.last_line
    assert operator.latest()["cause"] == "gateway/down"


@pytest.mark.parametrize(
    ("arguments", "checks"),
    [
        (("--check", "host/leftovers"), {"host/leftovers"}),
        (
            ("--check", "gateway/version-drift", "--check", "host/wal"),
            {"gateway/versions", "gateway/install", "host/wal"},
        ),
        (("-k", "host/leftovers or wal"), {"host/leftovers", "host/wal"}),
        (("--check", "browser/act-stalled", "--quick"), {"browser/acts"}),
    ],
    ids=["a check", "findings", "-k by id", "a deep one"],
)
def test_a_check_is_chosen_by_the_words_of_a_report(
    arguments: tuple[str, ...], checks: set[str], tmp_path: Path
) -> None:
    """What a report calls a check or a finding is what selects it; the rest is left out and counted."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        run = operator.run(*arguments, "--nagios")
    assert {each["id"] for each in operator.reported()["checks"]} == checks, run.out


def test_a_k_that_selects_nothing_is_told_what_is_near(operator: Operator) -> None:
    """Exit 5, and the ids that paste."""
    run = operator.run("-k", "leftovrs")
    assert run.code == 5
    assert "-k 'leftovrs' selects no check; nearest: --check host/leftovers" in run.out
    assert not operator.reports.exists() or not list(operator.reports.glob("latest*"))


def test_a_config_that_does_not_parse(tmp_path: Path) -> None:
    """A broken config is the one finding, though the gateway still runs on what it read before."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        operator.config.write_text('{"gateway": {"port": ,}}')
        run = operator.run(OPENCLAW_GATEWAY_PORT=str(port))
    assert run.code == 1
    assert [each["check"] for each in operator.latest()["findings"]] == ["config/invalid"]
    assert "do not restart it" in run.last_line
    assert operator.calls == []


def test_a_warning_is_degraded_and_exits_with_0(tmp_path: Path) -> None:
    """Warnings alone do not turn a run red, but the last line tells of them."""
    with gateway(lambda http: http["/startupz"].update(version="2026.5.28")) as port:
        operator = Operator(tmp_path, port)
        run = operator.run()
    assert run.code == 0, run.out
    assert run.last_line.startswith("doctor: degraded in ")
    assert "gateway/version-drift" in run.last_line
    assert operator.latest()["verdict"] == "degraded"


def test_not_ready_blocks_nothing(tmp_path: Path) -> None:
    """A channel that fails is the one finding; everything else was looked at."""
    with gateway(lambda http: http["/readyz"].update(ready=False, failing=["telegram:default"])) as port:
        operator = Operator(tmp_path, port)
        run = operator.run("--quick")
    assert run.code == 1
    latest = operator.latest()
    assert [each["check"] for each in latest["findings"]] == ["gateway/not-ready"]
    assert "telegram:default" in run.last_line
    assert not [each for each in latest["checks"] if each["outcome"] == "blocked"]


def test_a_check_that_could_not_look_is_not_green(tmp_path: Path) -> None:
    """Exit 1 and verdict unknown where something could not be observed and nothing is known to be wrong."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        operator.log.unlink()
        run = operator.run("--quick")
    assert run.code == 1
    assert run.last_line.startswith("doctor: unknown in ")
    assert "log" in run.last_line
    assert operator.latest()["verdict"] == "unknown"


# -- refusals: exit code 4, one sentence, nothing left ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        ((), {"OC_OPS_START_BUDGET_S": "abc"}, 'OC_OPS_START_BUDGET_S="abc" in environment: need seconds > 0'),
        ((), {"OC_OPS_CHECK_S": "10"}, 'OC_OPS_CHECK_S="10" in environment: need seconds > call_s'),
        (("--openclaw", "/nowhere/openclaw"), {}, 'openclaw="/nowhere/openclaw" in --openclaw: need the path of'),
        ((), {"OC_OPS_OPENCLAW": "/nowhere/openclaw"}, '="/nowhere/openclaw" in environment: need the path of'),
        (("--oc-profile", "../x"), {}, '="../x" in '),
        (("--report-dir", ""), {}, 'report_dir="" in --report-dir: need a non-empty value'),
        (("--check", "host/leftover"), {}, "--check 'host/leftover': there is no such check or finding; nearest: "),
        (("--deep", "--quick"), {}, "--quick makes no `openclaw` call and --deep needs some"),
        (("--deep-model",), {}, "--deep-model asks a model that costs money: say --deep as well"),
        (("--lab", "--oc-profile", "x"), {}, "--lab brings its own OpenClaw"),
        (("--tmux", "--lab"), {}, "--lab is gone after the run and --tmux shows a gateway that stays"),
        (("--report-dir", "/dev/null/reports"), {}, "/dev/null/reports"),
        ((), {"HOME": "/dev/null", "XDG_STATE_HOME": "/dev/null"}, "/dev/null"),
    ],
    ids=["bad setting", "bounds", "no such openclaw", "no such openclaw, by environment", "bad profile",
         "empty report dir", "no such check", "deep", "model", "lab and profile", "tmux and lab",
         "no place for reports", "no place for locks"],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    operator: Operator, arguments: tuple[str, ...], environ: Mapping[str, str], words: str
) -> None:
    """Exit code 4 and one sentence that names value, source and need; no run directory, no lock, no traceback."""
    run = operator.run(*arguments, **environ)
    assert run.code == 4, run.out + run.err
    assert words in run.err
    assert len(run.err.strip().splitlines()) == 1
    assert "Traceback" not in run.out + run.err
    assert not operator.reports.exists()
    assert operator.calls == []


def test_a_config_that_is_no_file_is_could_not_look(operator: Operator) -> None:
    """A run like one with any other input that cannot be read: unknown, one sentence, a report, no `openclaw` call."""
    run = operator.run("--quick", OPENCLAW_CONFIG_PATH="/")
    assert run.code == 1, run.out + run.err
    assert run.last_line.startswith("doctor: unknown in ")
    assert run.last_line.endswith("could not look: cannot read /: it is a folder, not a regular file")
    assert operator.reported()["verdict"] == "unknown"
    assert operator.calls == []


@pytest.mark.parametrize(
    "arguments", [("--check", "models/answers"), ("--deep", "--check", "models")], ids=["named", "deep"]
)
def test_no_model_is_asked_unasked(operator: Operator, arguments: tuple[str, ...]) -> None:
    """Neither the check's own name nor --deep spends money: only --deep-model does."""
    operator.run(*arguments)
    assert not [each for each in operator.calls if "infer" in str(each)]


# -- interruption and overlap -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_an_interrupted_run_reports_and_exits_with_2(tmp_path: Path, number: signal.Signals) -> None:
    """A run that is told to stop writes its report, says that it was interrupted, and is never called healthy."""
    with silent_port() as server:
        operator = Operator(tmp_path, server.getsockname()[1])
        process = operator.start()
        with server.accept()[0]:
            process.send_signal(number)
            run = Run.of(process)
    assert run.code == 2, run.out + run.err
    assert run.last_line.startswith("doctor: unknown in ")
    assert "interrupted" in run.last_line
    assert operator.latest()["verdict"] == "unknown"
    assert list((tmp_path / "temp").iterdir()) == []


def test_a_run_that_lasts_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """Two runs of one gateway do not double the load: the second looks at nothing and leaves no report."""
    with silent_port() as server:
        operator = Operator(tmp_path, server.getsockname()[1])
        first = operator.start(str(PROJECT / "checks"), "-m", "doctor", OC_OPS_HTTP_PROBE_S="7")
        try:
            with server.accept()[0]:
                second = operator.run(OC_OPS_OVERLAP_S="0.5")
                assert second.code == 1
                assert second.last_line.startswith("doctor: unknown in ")
                assert "another doctor run is under way: " in second.last_line
                assert str(first.pid) in second.last_line
                assert not (operator.reports / "latest.json").exists()
                server.settimeout(0)
                with pytest.raises(BlockingIOError):
                    server.accept()
        finally:
            first.send_signal(signal.SIGTERM)
            Run.of(first)


def test_runs_that_are_started_together_give_one_verdict(operator: Operator) -> None:
    """One looks, the others wait for it and take what it found, each with its exit code and its sentence."""
    started = [operator.start(str(PROJECT / "checks"), "-m", "doctor") for _ in range(3)]
    runs = [Run.of(each) for each in started]
    assert len(list(operator.reports.rglob("report.json"))) == 1
    assert len({(each.code, each.last_line) for each in runs}) == 1
    assert runs[0].last_line.startswith("doctor: unhealthy in ")
    assert sum("has just ended; its report: " in each.out for each in runs) == 2


def test_a_part_that_waited_looks_for_itself(operator: Operator) -> None:
    """What was asked for is not what the other run has looked at."""
    first = operator.start(str(PROJECT / "checks"), "-m", "doctor")
    second = operator.start(str(PROJECT / "checks"), "-m", "doctor", "--quick")
    Run.of(first)
    assert "has just ended; its report" not in Run.of(second).out
    assert len(list(operator.reports.rglob("report.json"))) == 2


def test_a_lock_that_cannot_be_taken_is_no_other_run(operator: Operator, tmp_path: Path) -> None:
    """A state folder that cannot be written is said as such: there is no other run to wait for."""
    operator.run("--quick")
    (lock,) = (tmp_path / "state").rglob("doctor-*.lock")
    lock.unlink()
    lock.mkdir()
    run = operator.run("--quick")
    assert run.code == 1
    assert run.last_line.startswith(f"doctor: unknown in 0.0 s: could not look: cannot lock {lock}: ")
    assert "another doctor run" not in run.out


def test_a_page_that_cannot_be_drawn_costs_no_verdict(operator: Operator, tmp_path: Path) -> None:
    """On a disk that fills while the page is drawn the verdict, its summary and report.json stand; no traceback."""
    (tmp_path / "full_disk.py").write_text(
        "import errno, os\nfrom pytest_html.basereport import BaseReport\n"
        "def full(self, page):\n"
        "    self._report_path.write_text(page[:100])\n"
        "    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "BaseReport._write_report = full\n"
    )
    run = operator.run("--quick", "-p", "full_disk", PYTHONPATH=str(tmp_path))
    assert run.code == 1
    assert run.last_line.startswith("doctor: unhealthy in ")
    assert "the report could not be written whole: No space left on device)" in run.out
    assert "1 failed" in run.out
    assert "Traceback" not in run.out + run.err
    assert operator.latest()["verdict"] == "unhealthy"
    assert not list((operator.reports / "runs").rglob("*.html"))
    assert not list(operator.reports.rglob("*.part"))


# -- being a good guest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        (str(PROJECT / "tests" / "unit" / "judge" / "test_findings.py"), "-q"),
        (str(PROJECT / "checks"), "--collect-only", "-q"),
        (str(PROJECT / "checks"), "--help"),
        (str(PROJECT / "checks"), "--markers"),
    ],
    ids=["other tests", "collect-only", "help", "markers"],
)
def test_anything_but_a_doctor_run_is_left_alone(operator: Operator, arguments: tuple[str, ...]) -> None:
    """Other tests and mere listings open no run, take no lock and end without our last line."""
    run = Run.of(operator.start(*arguments))
    assert run.code == 0, run.out + run.err
    assert "doctor: " not in run.last_line
    assert not operator.reports.exists()
    assert operator.locks() == []


def test_nothing_is_left_outside_of_its_places(operator: Operator) -> None:
    """Home, working directory, temporary directory and the checkout's own folders are as they were."""
    ours = [PROJECT / name for name in ("reports", "memory")]
    ours.append(operator.root / "home")
    before = [sorted(folder.rglob("*")) for folder in ours]
    config = operator.config.read_bytes()
    operator.run()
    assert operator.config.read_bytes() == config
    assert list((operator.root / "temp").iterdir()) == []
    assert list((operator.root / "cwd").iterdir()) == []
    assert [sorted(folder.rglob("*")) for folder in ours] == before


def test_report_dir_is_taken_from_the_option(operator: Operator) -> None:
    """--report-dir wins over the environment, and the terminal says where the report is."""
    other = operator.root / "elsewhere"
    run = operator.run("--quick", "--report-dir", str(other))
    assert (other / "latest.json").exists()
    assert (other / "latest.html").exists()
    assert not operator.reports.exists()
    (page,) = other.glob("runs/*/report.html")
    assert f"report: {page}" in run.out


def junit(operator: Operator, *options: str) -> dict[str, tuple[str, str]]:
    """By check, what pytest's own --junitxml says of it: the element's name and its message."""
    target = operator.root / "junit.xml"
    operator.run("--quick", f"--junitxml={target}", *options)
    assert SECRET not in target.read_text()
    suite = ET.parse(target).getroot().find("testsuite")
    assert suite is not None
    checks = {each["nodeid"].partition("::")[2]: each["id"] for each in operator.latest()["checks"]}
    assert int(suite.attrib["tests"]) == len(checks)
    said = {case.attrib["name"]: next(iter(case), ET.Element("passed")) for case in suite.iter("testcase")}
    return {checks[name]: (each.tag, each.get("message", "")) for name, each in said.items()}


def test_junitxml_says_what_the_doctor_says(operator: Operator) -> None:
    """The cause is the one failure, with its fix; what it blocks is skipped and named so, what was left out is not."""
    said = junit(operator)
    failures = {check: message for check, (tag, message) in said.items() if tag == "failure"}
    assert [*failures] == ["gateway/live"]
    assert failures["gateway/live"].startswith("gateway/down: error: nothing listens on port ")
    assert "\n  fix:    " in failures["gateway/live"]
    for each in operator.latest()["checks"]:
        tag, message = said[each["id"]]
        assert tag == {"failed": "failure", "passed": "passed"}.get(each["outcome"], "skipped"), each
        assert (message == "blocked by gateway/down") is (each["outcome"] == "blocked")


def test_junitxml_of_hostile_words_and_of_a_check_that_could_not_look(tmp_path: Path) -> None:
    """Control characters and the gateway's own token stay out; could-not-look is a failure that says so."""
    evil = f"telegram token={SECRET} \x1b[2J\x00]]>"
    (tmp_path / "memory" / "ops_critical_cron_jobs.txt").mkdir(parents=True)
    with gateway(lambda http: http["/readyz"].update(ready=False, failing=[evil])) as port:
        said = junit(Operator(tmp_path, port))
    assert said["gateway/ready"][0] == "failure"
    assert "telegram token=[redacted] ␛[2J␀]]>" in said["gateway/ready"][1]
    assert said["cron/work"][0] == "failure"
    assert said["cron/work"][1].startswith("cron/work: could not look: cannot read the watchlist ")


def test_a_run_with_no_check_selected_is_not_healthy(operator: Operator) -> None:
    """pytest's code for nothing collected is kept, and nobody is told that all is well."""
    run = operator.run("-k", "no_such_check")
    assert run.code == 5
    assert "healthy" not in run.last_line


def test_the_first_failure_stops_a_run_that_asks_for_it(operator: Operator) -> None:
    """`-x` leaves the verdict standing on what was found."""
    run = operator.run("-x")
    assert run.code in (1, 2)
    assert operator.latest()["cause"] == "gateway/down"
    assert "gateway/down" in run.last_line


@pytest.mark.parametrize("option", ["-qq", "-v"])
def test_the_last_line_is_there_however_quiet(operator: Operator, option: str) -> None:
    """However little pytest is to say, the one sentence is said last."""
    assert operator.run("--quick", option).last_line.startswith("doctor: unhealthy in ")
