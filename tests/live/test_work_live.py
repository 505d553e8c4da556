"""A real gateway that lives and does no work: its channel, its jobs and its model provider are fakes on loopback."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from oc_ops.act.recover.outcome import Observation
from oc_ops.act.recover.run import recover
from oc_ops.gateway import Gateway
from oc_ops.judge import cron, models, work
from oc_ops.lab.fakes import Fake
from oc_ops.lab.lab import Lab
from oc_ops.observe import jobs_now, rpc_reads
from oc_ops.observe.jobs import Job, Jobs
from oc_ops.observe.openclaw import Openclaw
from oc_ops.observe.rpc_reads import RpcReads
from oc_ops.observe.work import WorkView, look
from oc_ops.settings import load

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

WAIT_S = 90.0


@pytest.fixture(scope="module")
def provider(lab: Lab) -> Iterator[Fake]:
    """A provider that the lab's default agent asks; the lab gets its own config and log back afterwards."""
    size = lab.log_file.stat().st_size
    with Fake("provider") as fake, Fake("telegram") as telegram:
        _fakes["telegram"] = telegram
        lab.write_config(_both(fake.config, telegram.config))
        yield fake
        lab.write_config({})
    with lab.log_file.open("rb+") as log:  # what they logged in here is the fault of no later run
        log.truncate(size)


_fakes: dict[str, Fake] = {}


def _both(*parts: Mapping[str, object]) -> Mapping[str, object]:
    return {key: value for part in parts for key, value in part.items()}


def seen(lab: Lab, memory: Path) -> tuple[WorkView, Jobs]:
    """One look at the lab's work over one connection."""
    settings = load({"openclaw": str(lab.openclaw), "memory_dir": memory})
    gateway = Gateway(settings, lab.environ, lambda _call: None)
    gateway.look()
    deadline = time.monotonic() + WAIT_S
    while not isinstance(answers := rpc_reads.all_at_once(gateway.connect), RpcReads):
        assert time.monotonic() < deadline, answers  # a config that was just changed holds the gateway for a while
    with gateway.connect() as client:
        jobs = jobs_now.by_rpc(client, ())
    return look(answers, lab.state_dir, lab.state_dir / "cron" / "jobs.json"), jobs


def until(lab: Lab, memory: Path, wanted: str) -> WorkView:
    """Look until `wanted` is found of channels or models, or the time is over."""
    deadline = time.monotonic() + WAIT_S
    while True:
        view, jobs = seen(lab, memory)
        found = [*work.down(view.accounts or (), view.at_ms), models.unanswerable(view, models.need(view, jobs.jobs))]
        checks = {each.check for each in found if each}
        if wanted in checks or (not wanted and not checks and view.accounts and view.accounts[0].connected):
            return view
        assert time.monotonic() < deadline, (wanted, found, view)
        time.sleep(1.0)


def test_a_gateway_whose_channel_and_provider_work_is_well(lab: Lab, provider: Fake, tmp_path: Path) -> None:
    """Connected, a credential, a model: nothing is said."""
    view = until(lab, tmp_path, "")
    assert view.default_agent == "main"
    assert "getUpdates" in _fakes["telegram"].asked
    assert not list(work.dead_letters(view.dead or (), None))
    assert work.plugins_failed(view) is None


def test_a_job_that_tells_nobody_is_seen(lab: Lab, provider: Fake, tmp_path: Path) -> None:
    """The run is ok, the message does not leave: the gateway keeps the channel's error, and a good run clears it."""
    options = ("--every", "6h", "--announce", "--channel", "telegram", "--to", "42", "--command", "echo hello")
    lab.call("cron", "add", "--name", "tell", *options, "--json")
    _, jobs = seen(lab, tmp_path)
    job = next(each for each in jobs.jobs if each.name == "tell")
    try:
        _fakes["telegram"].mode = "closed"
        lab.call("cron", "run", job.id, "--wait", "--wait-timeout", "60s")
        _, jobs = seen(lab, tmp_path)
        (found,) = cron.undelivered(jobs, [job.id], ())
        assert (found.check, found.severity) == ("cron/undelivered", "error")
        assert "sendMessage" in found.saw
        _fakes["telegram"].mode = "ok"
        lab.call("cron", "run", job.id, "--wait", "--wait-timeout", "60s")
        _, jobs = seen(lab, tmp_path)
        assert not list(cron.undelivered(jobs, [job.id], ()))
    finally:
        _fakes["telegram"].mode = "ok"
        lab.call("cron", "rm", job.id, "--json")


def asked_cli(lab: Lab, memory: Path) -> Openclaw:
    """The command line as the doctor has it, which knows its own release."""
    gateway = Gateway(load({"openclaw": str(lab.openclaw), "memory_dir": memory}), lab.environ, lambda _call: None)
    gateway.look()
    cli = gateway.cli(Openclaw)
    cli.version()
    return cli


def test_a_real_prompt_is_timed(lab: Lab, provider: Fake, tmp_path: Path) -> None:
    """One prompt through the gateway, asked of the provider once."""
    asked = len(provider.asked)
    good = models.answered(asked_cli(lab, tmp_path).model_run("Reply with exactly: fine", WAIT_S))
    assert good is not None
    assert good.fact.startswith("lab/lab-model answered a real prompt through the gateway in ")
    assert provider.asked[asked:] == ["completions"]


def test_a_provider_that_refuses_is_parked(lab: Lab, provider: Fake, tmp_path: Path) -> None:
    """No credit left: OpenClaw leaves the provider alone, and says until when and why; no model is asked by us. A
    prompt that the operator asks for is refused by its own words.
    """
    provider.mode = "402"
    options = ("--every", "6h", "--session", "isolated", "--message", "say hi", "--no-deliver")
    lab.call("cron", "add", "--name", "ask", *options, "--json")
    _, jobs = seen(lab, tmp_path)
    job = next(each for each in jobs.jobs if each.name == "ask")
    try:
        lab.call("cron", "run", job.id, "--wait", "--wait-timeout", "60s")
        asked = len(provider.asked)
        view = until(lab, tmp_path, "models/parked")
        assert len(provider.asked) == asked
        assert view.refusals is not None
        assert view.refusals["lab"].reason == "billing"
        found = models.unanswerable(view, "the job ask")
        assert found is not None
        assert "no credit" in found.fact
        refused = models.unanswered(asked_cli(lab, tmp_path).model_run("Reply with exactly: fine", WAIT_S))
        assert refused is not None
        assert refused.severity == "error"
    finally:
        provider.mode = "ok"
        lab.call("cron", "rm", job.id, "--json")


@pytest.mark.nightly
def test_a_refused_credential_is_parked_by_its_own_word(lab: Lab, provider: Fake, tmp_path: Path) -> None:
    """Half a minute on 2026.9.6: why, and nothing is asked by us."""
    with answering(lab, provider, "401"), asking(lab, tmp_path):
        found = models.unanswerable(until(lab, tmp_path, "models/parked"), "the job ask")
        assert found is not None
        assert "refuses the credential" in found.fact


@pytest.mark.nightly
def test_a_rate_that_was_exceeded_is_no_error(lab: Lab, provider: Fake, tmp_path: Path) -> None:
    """One run of a busy minute: 2026.9.6 goes on calling the model available, and nothing is called broken."""
    with answering(lab, provider, "429"), asking(lab, tmp_path):
        view, jobs = seen(lab, tmp_path)
        assert "completions" in provider.asked
        found = models.unanswerable(view, "the job ask", jobs.jobs)
        assert found is None or found.severity == "warning"


@pytest.mark.nightly
def test_a_provider_that_refused_is_named_after_its_pause(lab: Lab, provider: Fake, tmp_path: Path) -> None:
    """The pause over, models.list says available: true; the run's own reason still tells, until one is answered."""
    with answering(lab, provider, "402"), asking(lab, tmp_path) as job:
        forget(lab)
        view, jobs = seen(lab, tmp_path)
        assert [each.available for each in view.models or ()] == [True]
        found = models.unanswerable(view, "the job ask", jobs.jobs)
        assert found is not None
        assert (found.check, found.severity) == ("models/parked", "warning")
        provider.mode = "slow"
        lab.call("cron", "run", job.id, "--wait", "--wait-timeout", "60s")
        view, jobs = seen(lab, tmp_path)
        assert models.unanswerable(view, "the job ask", jobs.jobs) is None


@contextmanager
def asking(lab: Lab, memory: Path) -> Iterator[Job]:
    """A job that has asked the provider once."""
    options = ("--every", "6h", "--session", "isolated", "--message", "say hi", "--no-deliver")
    lab.call("cron", "add", "--name", "ask", *options, "--json")
    _, jobs = seen(lab, memory)
    job = next(each for each in jobs.jobs if each.name == "ask")
    try:
        lab.call("cron", "run", job.id, "--wait", "--wait-timeout", "60s")
        yield job
    finally:
        lab.call("cron", "rm", job.id, "--json")


@contextmanager
def answering(lab: Lab, provider: Fake, mode: str) -> Iterator[None]:
    """The provider answers so for as long as the block lasts; the gateway knows of no pause before and after."""
    forget(lab)
    provider.mode = mode
    try:
        yield
    finally:
        provider.mode = "ok"
        forget(lab)


def forget(lab: Lab) -> None:
    """Have the gateway start anew without any pause of a provider, as it is after one."""
    lab.stop_gateway()
    for path in lab.state_dir.glob("agents/*/agent/openclaw-agent.sqlite"):
        with closing(sqlite3.connect(path)) as store, store:
            store.execute("DELETE FROM auth_profile_state")
    lab.start_gateway()


def test_a_token_that_two_use_says_so(lab: Lab, provider: Fake, tmp_path: Path) -> None:
    """The channel's own words, and the cure that fits them."""
    _fakes["telegram"].mode = "409"
    view = until(lab, tmp_path, "channels/down")
    _fakes["telegram"].mode = "ok"
    (found,) = work.down(view.accounts or (), view.at_ms)
    assert "conflict" in found.fact.lower()
    assert "another program" in found.fix


@pytest.mark.nightly
def test_a_deaf_channel_is_restarted_as_a_channel(
    lab: Lab, provider: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its polls never end until the bot logs in anew: one stop and start of the account, the same gateway, heard again.

    Two minutes of silence are made five seconds, so that nobody waits for them.
    """
    telegram = _fakes["telegram"]
    deadline = time.monotonic() + WAIT_S
    while not all(each.connected for each in seen(lab, tmp_path)[0].accounts or ()):
        assert time.monotonic() < deadline
        time.sleep(1.0)
    monkeypatch.setattr(work, "DEAF_MS", 5_000)
    monkeypatch.setattr(work, "_BETWEEN_MS", 0)
    silent: dict[str, work.Silence] = {}

    def observe() -> Observation:
        view, _ = seen(lab, tmp_path)
        found = tuple(work.deaf(view.accounts or (), view.at_ms, silent))
        silent.update(work.silences(view.accounts or (), view.at_ms, silent))
        errors = [each for each in found if each.severity == "error"]
        return Observation("unhealthy" if errors else "healthy", next(iter(errors), None), found)

    telegram.mode = "stale"
    deadline = time.monotonic() + WAIT_S
    while not (first := observe()).cause:
        assert time.monotonic() < deadline, first
        time.sleep(1.0)
    pid, settings = lab.listener(), load({"openclaw": str(lab.openclaw), "memory_dir": tmp_path, "confirm_gap_s": 1})
    outcome = recover(settings, lab.environ, observe, first=first)
    assert (outcome.exit, outcome.word, outcome.cure) == (0, "recovered", "channel-restart"), outcome
    assert "channels.stop" in outcome.why
    assert lab.listener() == pid
    assert telegram.mode == "ok"
