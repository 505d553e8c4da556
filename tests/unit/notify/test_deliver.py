"""The process that tells people: on change only, to whom it can, by its deadline, without a secret."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from oc_ops.cli import app
from oc_ops.errors import OcOpsError
from oc_ops.notify import deliver, news
from oc_ops.notify.deliver import Request
from oc_ops.record.incidents import book
from oc_ops.record.incidents.events import Fault, GatewayName
from oc_ops.record.incidents.rules import RunSummary
from tests.support.machine import closed_port, silent_port
from tests.support.post import SECRET_PATH, post_office

HUNG = Fault(
    "gateway/hung", "error", "it answers nobody", "no byte in 2.0 s", "openclaw gateway restart", found_by="live"
)


def red(memory_dir: Path, *, minutes_ago: float = 0.0) -> None:
    """A run that found the gateway hung."""
    run = RunSummary("unhealthy", True, GatewayName("k"), (HUNG,), HUNG.check)
    book.observe_run(book.journal(memory_dir), run, datetime.now(UTC) - timedelta(minutes=minutes_ago))


def green(memory_dir: Path) -> None:
    """Two runs that found nothing."""
    for seconds in (2, 1):
        run = RunSummary("healthy", True, GatewayName("k"), looked=frozenset({"live"}))
        book.observe_run(book.journal(memory_dir), run, datetime.now(UTC) - timedelta(seconds=seconds))


def request(memory_dir: Path, port: int, **members: object) -> Request:
    """What a run has to tell through Apprise's json:// on that port."""
    return Request(memory_dir, 3600.0, 10.0, urls=f"json://127.0.0.1:{port}/{SECRET_PATH}", **members)  # type: ignore[arg-type]


def test_people_are_told_of_changes_only(tmp_path: Path) -> None:
    """Down once, whatever often it is looked at, and recovered once."""
    with post_office() as post:
        for tell in (red, red, green, green):
            tell(tmp_path)
            deliver.tell(request(tmp_path, post.port))
    assert [title.partition(" on ")[0].partition(" after ")[0] for title in post.titles] == [
        "PROBLEM: gateway/hung",
        "RECOVERED",
    ]
    assert "fix: openclaw gateway restart" in post.came[0][2]


def test_what_was_not_taken_is_told_by_the_next_run(tmp_path: Path) -> None:
    """The network is down with the gateway, as a rule: nothing is lost, and why is on record without the address."""
    red(tmp_path)
    deliver.tell(request(tmp_path, closed_port()))
    failed = news.read(tmp_path).failed
    assert failed.startswith("json: ")
    assert SECRET_PATH not in failed
    with post_office() as post:
        post.status = 500
        deliver.tell(request(tmp_path, post.port))
        post.status = 200
        deliver.tell(request(tmp_path, post.port))
        deliver.tell(request(tmp_path, post.port))
    assert len(post.came) == 2
    assert news.read(tmp_path).failed == ""


def test_one_bad_address_keeps_no_other_from_its_message(tmp_path: Path) -> None:
    """Who took it is not told twice because somebody else did not, and the one that hangs delays nobody."""
    red(tmp_path)
    with post_office() as post, silent_port() as silent:
        good = request(tmp_path, post.port)
        hang = f"json://127.0.0.1:{silent.getsockname()[1]}/"
        urls = f"{hang} # a comment?\n# nonsense://x\nnonsense://x {good.urls}".replace(" # a comment?", "")
        both = replace(good, urls=urls, deadline_s=3.0)
        began = time.monotonic()
        deliver.tell(both)
        assert time.monotonic() - began < 10
        deliver.tell(both)
    assert len(post.came) == 1
    assert "nonsense: Apprise does not know such an address" in news.read(tmp_path).failed


def test_another_gateway_s_incidents_are_its_own_runs_to_tell(tmp_path: Path) -> None:
    """Two profiles may share a memory folder."""
    red(tmp_path)
    with post_office() as post:
        deliver.tell(request(tmp_path, post.port, gateway="other"))
        assert post.came == []
        deliver.tell(request(tmp_path, post.port, gateway="k"))
    assert len(post.came) == 1


def test_without_apprise_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apprise is an extra: the reason is on record, and `oc-ops notify test` says it."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    red(tmp_path)
    deliver.tell(request(tmp_path, 1))
    assert "pip install -e '.[notify]'" in news.read(tmp_path).failed
    monkeypatch.setenv("OC_OPS_NOTIFY_URLS", "json://127.0.0.1:1/")
    with pytest.raises(OcOpsError, match="Apprise is not installed"):
        CliRunner().invoke(app, ["notify", "test"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("url", "beat", "path"),
    [
        ("http://127.0.0.1:{port}/ping/uuid", "start", "/ping/uuid/start"),
        ("http://127.0.0.1:{port}/ping/uuid/", "ok", "/ping/uuid"),
        ("http://127.0.0.1:{port}/ping/uuid?rid=7", "fail", "/ping/uuid/fail?rid=7"),
        ("http://127.0.0.1:{port}", "ok", "/"),
    ],
)
def test_the_beat_is_healthchecks_own(url: str, beat: deliver.Beat, path: str) -> None:
    """URL/start, URL, URL/fail, a query kept; the run's last line is the body."""
    with post_office() as post:
        assert deliver.ping(url.format(port=post.port), beat, "doctor: healthy", 5.0).why == ""
    assert post.came == [(path, "", "doctor: healthy")]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "nonsense", "http://"])
def test_only_the_web_is_pinged(url: str) -> None:
    """A URL of another kind is refused, not opened."""
    assert deliver.ping(url, "ok", "", 1.0).why == "need an http or https URL"


def test_a_ping_that_fails_does_not_name_the_address() -> None:
    """It is a secret: whoever knows it can keep the dead-man quiet."""
    sent = deliver.ping(f"http://127.0.0.1:{closed_port()}/{SECRET_PATH}", "ok", "", 2.0)
    assert sent.why
    assert SECRET_PATH not in sent.why
