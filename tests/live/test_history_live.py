"""History and metrics on a real gateway: its cron runs, its restarts, its jobs; read by a real Prometheus."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest

from oc_ops.lab.lab import Lab
from oc_ops.observe import watchlist
from oc_ops.record.history.database import reading
from oc_ops.settings import PROJECT
from tests.live.examine import Examination, examine
from tests.support.faults import killed, stopped

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

T = TypeVar("T")
PATIENCE_S = 90.0
FLAGS = ("--storage.tsdb.path=data", "--web.enable-lifecycle", "--log.level=warn")


class Operator:
    """Somebody who watches two jobs of a lab, one of which always runs into its timeout."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder, self.memory = lab, folder, folder / "memory"
        self.memory.mkdir()
        (self.memory / watchlist.FILE).write_text("quick\nendless max-failures=9\n")
        self.quick = self.add("quick", "echo fine")
        self.endless = self.add("endless", "sleep 60", "--timeout-seconds", "2")
        for job, times in ((self.quick, 2), (self.endless, 1)):
            for _ in range(times):
                lab.call("cron", "run", job, "--wait", "--wait-timeout", "60s")

    def add(self, name: str, command: str, *more: str) -> str:
        """A cron job, by its id."""
        words = ("--every", "6h", "--no-deliver", "--command", command, *more, "--json")
        return str(json.loads(self.lab.call("cron", "add", "--name", name, *words).stdout.text)["id"])

    def look(self) -> Examination:
        """One doctor run without CLI calls."""
        return examine(self.lab, self.folder, "--quick")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds in the history."""
        with reading(self.memory) as found:
            assert found is not None
            return found.execute(query).fetchall()

    def starts(self) -> list[str]:
        """Who started the gateway, by the history."""
        return [by for (by,) in self.rows("SELECT by FROM restarts ORDER BY at_ms")]


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """The operator of this module, whose first look is done."""
    made = Operator(lab, tmp_path_factory.mktemp("operator"))
    made.look()
    return made


def test_cron_runs_are_there_once(operator: Operator) -> None:
    """The runs of the watched jobs, the timeout known as one; two more looks add none of them again."""
    query = (
        "SELECT name, status, timed_out FROM cron_runs JOIN cron_jobs ON id = cron_runs.job WHERE watched "
        "ORDER BY started_ms"
    )
    runs = [("quick", "ok", 0), ("quick", "ok", 0), ("endless", "error", 1)]
    assert operator.rows(query) == runs
    operator.look()
    operator.look()
    assert operator.rows(query) == runs


def test_the_store_tells_the_same_jobs(operator: Operator) -> None:
    """A gateway that hangs has the jobs it had: what its store says is no change."""
    with stopped(operator.lab):
        hung = operator.look()
    assert hung.report["cause"] == "gateway/hung"
    told = operator.rows("SELECT DISTINCT told FROM states")
    jobs = [{k: v for k, v in json.loads(one).items() if k.startswith("job")} for (one,) in told]
    assert len(jobs) > 1
    assert all(each == jobs[0] for each in jobs)


@pytest.mark.nightly
def test_restarts_count_once_whoever_did_them(operator: Operator) -> None:
    """OpenClaw's own restart under the same pid is told or seen; a crash that nobody tells of is seen."""
    lab = operator.lab
    before = operator.starts()
    lab.call("gateway", "restart", timeout_s=120)
    lab.wait_ready()
    operator.look()
    operator.look()
    first = operator.starts()
    assert len(first) == len(before) + 1, first
    with killed(lab):
        operator.look()
    operator.look()
    operator.look()
    assert operator.starts() == [*first, "unseen"]


@contextmanager
def running(folder: Path, *argv: str, environ: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A program in a folder of its own, ended with the block."""
    folder.mkdir()
    program = shutil.which(argv[0])
    assert program, f"this test needs {argv[0]}: apt-get install prometheus prometheus-node-exporter"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [program, *argv[1:]], cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True, env=environ
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        finally:
            process.kill()


def until(what: Callable[[], T | None], words: str) -> T:
    """Wait for something that must come."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if (found := what()) is not None:
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, f"waited in vain for {words}"
        time.sleep(0.2)


def fetched(url: str) -> str:
    """What a page says."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def free_port() -> int:
    """A port that was free a moment ago: these programs cannot be asked for one."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_real_prometheus_reads_it(operator: Operator, tmp_path: Path) -> None:
    """Scraped from `--listen` and, through node_exporter, from `--textfile`; the shipped rules load and evaluate."""
    environ = {**os.environ, "OC_OPS_MEMORY_DIR": str(operator.memory), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", "from oc_ops.cli import main; main()", "metrics"]
    textfile = tmp_path / "oc-ops.prom"
    subprocess.run([*command, "--textfile", str(textfile)], cwd=PROJECT, env=environ, check=True, timeout=60)
    exporter, own = free_port(), free_port()
    with ExitStack() as programs:
        listening = programs.enter_context(
            running(
                tmp_path / "metrics",
                *command,
                "--listen",
                "127.0.0.1:0",
                environ={**environ, "PYTHONPATH": str(PROJECT)},
            )
        )
        assert listening.stdout
        address = re.search(r"http://([\d.:]+)/metrics", listening.stdout.readline())
        assert address
        node = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{exporter}"]
        node += ["--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={tmp_path}"]
        programs.enter_context(running(tmp_path / "node", *node))
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [{PROJECT}/contrib/prometheus/oc-ops.rules.yml]\n"
            "scrape_configs:\n"
            f"  - {{job_name: port, static_configs: [{{targets: ['{address[1]}']}}]}}\n"
            f"  - {{job_name: file, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}\n"
        )
        server = ("prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{own}", *FLAGS)
        programs.enter_context(running(tmp_path / "prometheus", *server))

        def answers(query: str) -> list[Any] | None:
            told = json.loads(fetched(f"http://127.0.0.1:{own}/api/v1/query?query={quote(query)}"))
            return told["data"]["result"] or None

        for job in ("port", "file"):
            query = f'oc_ops_cron_runs_total{{job="{job}",cron_job="quick",status="ok"}}'
            assert until(lambda query=query: answers(query), query)[0]["value"][1] == "2"  # type: ignore[misc]
        assert until(lambda: answers('oc_ops_verdict{job="port",verdict="healthy"}'), "a verdict")
        rules = json.loads(fetched(f"http://127.0.0.1:{own}/api/v1/rules"))["data"]["groups"][0]["rules"]
        assert {each["health"] for each in rules} <= {"ok", "unknown"}
        bad = f"http://127.0.0.1:{own}/api/v1/targets"
        targets = json.loads(fetched(bad))["data"]["activeTargets"]
        assert {each["lastError"] for each in targets} == {""}
