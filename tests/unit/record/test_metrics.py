"""The metrics: what the history says is what Prometheus reads, and alert rules and dashboard ask for nothing else."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from oc_ops.cli import app
from oc_ops.observe.target import identify
from oc_ops.record import exporter
from oc_ops.record.history.database import FILE
from oc_ops.record.history.entry import CronRunEntry, IncidentEntry
from oc_ops.record.metrics import METRICS, READABLE, SIZE, Metrics, nearest
from oc_ops.settings import PROJECT
from tests.support import past

RULES = PROJECT / "contrib" / "prometheus" / "oc-ops.rules.yml"
BOARD = PROJECT / "contrib" / "grafana" / "oc-ops.json"
NAME = re.compile(r"\boc_ops_[a-z_]+\b")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def promtool(*words: str, text: str = "") -> str:
    """What the real promtool says; anything but its consent fails the test."""
    program = shutil.which("promtool")
    assert program, "this test needs promtool: apt-get install prometheus"
    done = subprocess.run([program, *words], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def text(memory_dir: Path) -> str:
    """The metrics of a history, at the end of its past."""
    registry = CollectorRegistry()
    registry.register(Metrics(memory_dir, past.NOW_MS))
    return generate_latest(registry).decode()


def samples(memory_dir: Path) -> Samples:
    """Every sample by name and labels, read back as Prometheus does."""
    families = text_string_to_metric_families(text(memory_dir))
    return {(each.name, frozenset(each.labels.items())): each.value for one in families for each in one.samples}


def value(found: Samples, name: str, **labels: str) -> float:
    """One sample; its gateway need not be named."""
    return found[name, frozenset({"gateway": "default", **labels}.items())]


def cron_run(minutes_ago: int, status: str, seconds: float) -> CronRunEntry:
    """A run of a cron job."""
    started_ms = past.NOW_MS - minutes_ago * 60_000
    return CronRunEntry(started_ms, status, round(seconds * 1000), timed_out=status == "error")


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """An hour of runs: eleven healthy ones, a job that runs and times out once, a restart; then a hang."""
    job = past.job(*(cron_run(n, "error" if n == 3 else "ok", 100 - n) for n in range(1, 51)))
    times = (past.NOW_MS - 60_000, past.NOW_MS - 90_000, None, None)
    incident = IncidentEntry("i", "gateway/hung", *times, flaps=0, detect_s=30.0, recover_s=None, attempts=0)
    runs = [past.run(past.NOW_MS - n * past.STEP_MS) for n in range(11, 0, -1)]
    last = past.hung(past.NOW_MS, jobs=(job,), incidents=(incident,), restarts=((past.NOW_MS - 10**6, "openclaw"),))
    return past.remembered(tmp_path, *runs, last)


def test_what_the_history_says(memory: Path) -> None:
    """Verdict, checks, latencies, timeouts, restarts, incidents, jobs and costs, each under its name and labels."""
    found = samples(memory)
    assert value(found, "oc_ops_verdict", verdict="unhealthy") == 1
    assert value(found, "oc_ops_verdict", verdict="healthy") == 0
    assert value(found, "oc_ops_runs_total", verdict="healthy") == 11
    assert value(found, "oc_ops_last_run_timestamp_seconds") == past.NOW_MS / 1000
    assert value(found, "oc_ops_last_healthy_timestamp_seconds") == (past.NOW_MS - past.STEP_MS) / 1000
    assert value(found, "oc_ops_check_status", check="gateway/live", outcome="failed") == 1
    assert value(found, "oc_ops_check_status", check="gateway/rpc", outcome="passed") == 0
    assert value(found, "oc_ops_call_duration_seconds", call="rpc status", quantile="0.5") == 0.04
    assert value(found, "oc_ops_call_duration_seconds_count", call="rpc status") == 11
    assert value(found, "oc_ops_calls_total", call="http /healthz", outcome="silent") == 2
    assert value(found, "oc_ops_call_timeout_ratio", call="http /healthz") == pytest.approx(2 / 13)
    assert value(found, "oc_ops_gateway_restarts_total", by="openclaw") == 1
    assert value(found, "oc_ops_gateway_restarts_last_day") == 1
    assert value(found, "oc_ops_incidents_open") == 1
    assert value(found, "oc_ops_incident_opened_timestamp_seconds") == (past.NOW_MS - 60_000) / 1000
    assert value(found, "oc_ops_incident_detect_seconds", quantile="0.95") == 30
    assert value(found, "oc_ops_cron_runs_total", cron_job="nightly", status="ok") == 49
    assert value(found, "oc_ops_cron_timeouts_total", cron_job="nightly") == 1
    assert value(found, "oc_ops_cron_timeout_ratio", cron_job="nightly") == pytest.approx(1 / 50)
    assert value(found, "oc_ops_cron_run_duration_seconds", cron_job="nightly", quantile="0.99") == 99
    assert value(found, "oc_ops_cron_run_duration_seconds_sum", cron_job="nightly") == sum(range(50, 100))
    assert value(found, "oc_ops_cron_last_run_ok", cron_job="nightly") == 1
    assert value(found, "oc_ops_cron_job_info", cron_job="nightly", watched="true") == 1
    assert value(found, "oc_ops_probe_cpu_seconds_total", part="calls") == pytest.approx(12 * 2.1)
    assert ("oc_ops_incident_recover_seconds_count", frozenset({("gateway", "default")})) not in found


def test_a_chosen_target_is_told_of_alone(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By option or environment the same; a container is called as it is chosen, and without a choice all are told."""
    name = "podman:cell"
    past.remembered(memory, past.run(key=identify({}, None, name).key, profile=name))

    def gateways(*words: str) -> set[str]:
        done = CliRunner().invoke(app, ["metrics", *words], env={"OC_OPS_MEMORY_DIR": str(memory)})
        assert done.exit_code == 0, done.output
        families = text_string_to_metric_families(done.stdout)
        return {each.labels["gateway"] for one in families for each in one.samples if "gateway" in each.labels}

    assert gateways() == {"default", name}
    assert gateways("--target", name) == {name}
    monkeypatch.setenv("OC_OPS_TARGET", name)
    assert gateways() == {name}


def test_promtool_has_nothing_against_them(memory: Path) -> None:
    """The real promtool neither fails nor warns."""
    assert promtool("check", "metrics", text=text(memory)).strip() == ""


def test_every_metric_is_declared_and_given(memory: Path) -> None:
    """What comes out is what METRICS says, with its labels; all of it but what has not happened yet."""
    families = {each.name: each for each in Metrics(memory, past.NOW_MS).collect()}
    given = {f"{name}_total" if each.type == "counter" else name: each for name, each in families.items()}
    assert set(METRICS) - set(given) == {"oc_ops_incident_recover_seconds"}
    assert set(given) - set(METRICS) == {READABLE, SIZE}
    for name, each in METRICS.items():
        for sample in given[name].samples if name in given else ():
            assert set(sample.labels) - {"quantile"} == {"gateway", *each.labels}, name


@pytest.mark.parametrize("path", [RULES, RULES.with_name("oc-ops.rules.test.yml"), BOARD], ids=lambda path: path.name)
def test_rules_and_board_ask_for_what_there_is(path: Path) -> None:
    """No alert waits for a metric that nobody gives."""
    known = {*METRICS, READABLE, SIZE}
    named = set(NAME.findall(path.read_text()))
    assert len(named) > 5
    assert named <= known


def test_promtool_accepts_the_rules() -> None:
    """The alerts parse, and each fires when it should and stays silent when it should."""
    assert "SUCCESS: 11 rules found" in promtool("check", "rules", str(RULES))
    assert "SUCCESS" in promtool("test", "rules", str(RULES.with_name("oc-ops.rules.test.yml")))
    tested = RULES.with_name("oc-ops.rules.test.yml").read_text()
    for alert in re.findall(r"alert: (\w+)", RULES.read_text()):
        assert re.search(rf"alertname: {alert}\n\s+exp_alerts:\n\s+- exp_labels", tested), f"{alert} never fires"


def test_the_board_is_one(tmp_path: Path) -> None:
    """It fits its schema, its panels do not overlap, and the real promtool can parse each of its questions."""
    board: Any = json.loads(BOARD.read_text())
    schema = json.loads((PROJECT / "tests" / "data" / "grafana-dashboard.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(board, schema)
    panels = board["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for each in (one["gridPos"] for one in panels):
        cells = {(each["x"] + x, each["y"] + y) for x in range(each["w"]) for y in range(each["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells
    asked = [one["expr"] for each in panels for one in each["targets"]]
    asked += [each["expr"] for each in board["annotations"]["list"]]
    lines = (f"      - {{record: 'a:b{n}', expr: {json.dumps(each)}}}" for n, each in enumerate(asked))
    rules = tmp_path / "board.yml"
    rules.write_text("groups:\n  - name: board\n    rules:\n" + "\n".join(lines) + "\n")
    assert f"SUCCESS: {len(asked)} rules found" in promtool("check", "rules", str(rules))


def test_labels_stay_bounded_and_harmless(tmp_path: Path) -> None:
    """Of two hundred jobs fifty are told, the watched among them; equal names are told apart, quotes escaped."""
    jobs = [past.job(cron_run(1, "ok", 1), name=f"job {n}", id=f"id{n}", watched=n == 150) for n in range(200)]
    twins = [past.job(cron_run(1, "ok", 1), name='evil "\n\\} 1', id=f"twin{n}") for n in range(2)]
    found = samples(past.remembered(tmp_path, past.run(jobs=(*jobs, *twins))))
    names = {dict(labels)["cron_job"] for name, labels in found if name == "oc_ops_cron_last_run_ok"}
    assert len(names) == 50
    assert "job 150" in names
    assert {'evil "\n\\} 1 (twin0)', 'evil "\n\\} 1 (twin1)'} <= names
    promtool("check", "metrics", text=text(tmp_path))


def test_gateways_are_told_apart(tmp_path: Path) -> None:
    """By their profile, and where two have the same one, by their key as well."""
    past.remembered(tmp_path, past.run(), past.run(key="aa"), past.run(key="bb", profile="work"))
    found = {dict(labels)["gateway"] for name, labels in samples(tmp_path) if name == "oc_ops_run_duration_seconds"}
    assert found == {f"default@{past.KEY}", "default@aa", "work"}


def test_no_history_is_no_error(tmp_path: Path) -> None:
    """Before the first run there is nothing to tell, and promtool agrees."""
    assert samples(tmp_path) == {(READABLE, frozenset()): 1, (SIZE, frozenset()): 0}
    promtool("check", "metrics", text=text(tmp_path))


@pytest.mark.parametrize(("quantile", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (0.0, 1), (1.0, 100)])
def test_nearest_rank(quantile: float, expected: int) -> None:
    """A quantile is always a value that was measured."""
    assert nearest(range(1, 101), quantile) == expected
    assert nearest([7], quantile) == 7


def invoked(memory: Path, *words: str) -> Any:
    """The command, in this process."""
    return CliRunner().invoke(app, ["metrics", *words], env={"OC_OPS_MEMORY_DIR": str(memory)})


def test_text_and_json_say_the_same(memory: Path) -> None:
    """What a person, Prometheus or a program reads comes from one place."""
    told = json.loads(invoked(memory, "--json").stdout)
    printed = text_string_to_metric_families(invoked(memory).stdout)
    as_text = {(e.name, *sorted(e.labels.items()), e.value) for one in printed for e in one.samples}
    as_json = {(e["name"], *sorted(e["labels"].items()), e["value"]) for one in told["metrics"] for e in one["samples"]}
    moving = ("oc_ops_call_duration_seconds", SIZE)
    assert {each for each in as_text if each[0] not in moving} == {each for each in as_json if each[0] not in moving}
    assert told["schema"] == 1


def test_a_textfile_is_whole_and_readable(memory: Path, tmp_path: Path) -> None:
    """It replaces the old one, others may read it, and nothing else is left in its folder."""
    place = tmp_path / "collector" / "oc-ops.prom"
    place.parent.mkdir()
    place.write_text("old")
    assert invoked(memory, "--textfile", str(place)).exit_code == 0
    assert promtool("check", "metrics", text=place.read_text()) == ""
    assert place.stat().st_mode & 0o777 == 0o644
    assert [each.name for each in place.parent.iterdir()] == ["oc-ops.prom"]


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe", "read-only"])
def test_a_textfile_that_is_no_plain_file_is_left_as_it_is(
    memory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Refused in one sentence, and untouched: a link is not replaced, nor what a user may not write."""
    place, other = tmp_path / "oc-ops.prom", tmp_path / "other.prom"
    match kind:
        case "folder":
            place.mkdir()
        case "pipe":
            os.mkfifo(place)
        case "read-only":
            place.write_text("theirs")
            real = os.access  # root may write everything
            monkeypatch.setattr("os.access", lambda path, *how, **more: path != place and real(path, *how, **more))
        case _:
            place.symlink_to(other)
    if kind == "link":
        other.write_text("theirs")
    before = (place.lstat().st_ino, other.read_text() if other.exists() else None)
    done = invoked(memory, "--textfile", str(place))
    assert done.exit_code != 0
    (line,) = str(done.exception).splitlines()
    assert line.startswith(f"--textfile '{place}': need ")
    assert (place.lstat().st_ino, other.read_text() if other.exists() else None) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--textfile", "/tmp/x.txt"), "need a name that ends in .prom"),
        (("--textfile", "/dev/null/x.prom"), "need a folder that is there"),
        (("--textfile", "/nowhere/of/ours/x.prom"), "need a folder that is there"),
        (("--listen", "0.0.0.0:9464"), "need an address of this machine alone"),
        (("--listen", "127.0.0.1:99999"), "need an address of this machine alone"),
        (("--listen", "9464"), "need an address of this machine alone"),
        (("--json", "--textfile", "/tmp/x.prom"), "at most one of"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(memory: Path, words: tuple[str, ...], sentence: str) -> None:
    """Said before anything is written."""
    assert sentence in str(invoked(memory, *words).exception)


def test_a_corrupt_history_is_told(tmp_path: Path) -> None:
    """Whoever watches gets a metric that says so; whoever asks gets the sentence and an exit code."""
    (tmp_path / FILE).write_bytes(b"no database " * 999)
    place = tmp_path / "oc-ops.prom"
    done = invoked(tmp_path, "--textfile", str(place))
    assert done.exit_code == 1
    assert "could not be read: file is not a database" in done.stderr
    assert "oc_ops_history_readable 0.0" in place.read_text()


@pytest.fixture
def listening(memory: Path) -> Iterator[tuple[str, int, Any]]:
    """`oc-ops metrics --listen` in a process of its own: its host, port and process."""
    argv = [sys.executable, "-c", "from oc_ops.cli import main; main()", "metrics", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=PROJECT, env=_environ(memory)) as process:
        try:
            assert process.stdout
            found = re.search(r"http://([\d.]+):(\d+)/metrics", process.stdout.readline())
            assert found
            yield found[1], int(found[2]), process
        finally:
            process.kill()


def _environ(memory: Path) -> dict[str, str]:
    return {**os.environ, "OC_OPS_MEMORY_DIR": str(memory)}


def test_listening(memory: Path, listening: tuple[str, int, Any]) -> None:
    """Each scrape reads the history anew; a taken port is one sentence; Ctrl-C ends it in peace."""
    host, port, process = listening

    def scraped() -> str:
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()

    assert 'oc_ops_runs_total{gateway="default",verdict="healthy"} 11.0' in scraped()
    past.remembered(memory, past.run(past.NOW_MS + past.STEP_MS))
    assert 'oc_ops_runs_total{gateway="default",verdict="healthy"} 12.0' in scraped()
    assert "need a free port" in str(invoked(memory, "--listen", f"127.0.0.1:{port}").exception)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_half_open_connections_cost_little(listening: tuple[str, int, Any]) -> None:
    """Those beyond the limit are sent away at once; the threads stay few, and who comes later is served again."""
    host, port, process = listening
    held = [socket.create_connection((host, port), timeout=10) for _ in range(60)]
    try:
        for each in held:
            each.sendall(b"GET /metrics HTTP/1.1\r\n")  # and no end of it
        away = 0
        for each in held:
            each.settimeout(0.2)
            with contextlib.suppress(TimeoutError):
                with contextlib.suppress(ConnectionError):
                    if each.recv(1):
                        continue
                away += 1
        assert away >= len(held) - exporter.MOST_CONNECTIONS
        # One thread and its clock for each connection that is served, beside the server's own.
        assert psutil.Process(process.pid).num_threads() <= 2 * exporter.MOST_CONNECTIONS + 4
    finally:
        for each in held:
            each.close()
    deadline = time.monotonic() + 10
    while True:
        try:
            connection = http.client.HTTPConnection(host, port, timeout=10)
            connection.request("GET", "/metrics")
            assert connection.getresponse().status == 200
            return
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_client_that_dribbles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is for the whole connection, not for each of its bytes."""
    monkeypatch.setattr(exporter, "DEADLINE_S", 0.5)
    with exporter.Exporter("127.0.0.1", 0, CollectorRegistry()) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
                began = time.monotonic()
                with contextlib.suppress(ConnectionError):
                    while time.monotonic() - began < 10:
                        client.sendall(b"x")
                        time.sleep(0.05)
                assert time.monotonic() - began < 5
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200), ("127.0.0.1:9464", 200), ("LOCALHOST:1", 200), ("[::1]:9464", 200),
        ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("localhost@evil.example", 421), ("", 421),
    ],
)  # fmt: skip
def test_only_this_machine_s_names_are_served(listening: tuple[str, int, Any], host: str, status: int) -> None:
    """A page in somebody's browser whose name was made to lead here reads no figure."""
    connection = http.client.HTTPConnection(listening[0], listening[1], timeout=10)
    connection.putrequest("GET", "/metrics", skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, b"oc_ops_runs_total" in answer.read()) == (status, status == 200)
