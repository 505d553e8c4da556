"""`oc-ops notify test`: whether people would be told, and by whom not."""

from __future__ import annotations

import sys

import pytest
from typer.testing import CliRunner

from oc_ops.cli import app
from oc_ops.errors import OcOpsError, SettingError
from tests.support.machine import closed_port
from tests.support.post import SECRET_PATH, post_office


def test_notify_test_says_who_took_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0 when all did, 1 when somebody did not; no address is shown."""
    with post_office() as post:
        good = f"json://127.0.0.1:{post.port}/{SECRET_PATH}"
        monkeypatch.setenv("OC_OPS_NOTIFY_URLS", good)
        monkeypatch.setenv("OC_OPS_PING_URL", f"http://127.0.0.1:{post.port}/{SECRET_PATH}")
        done = CliRunner().invoke(app, ["notify", "test"])
        assert (done.exit_code, done.output) == (0, "json: accepted\nping: accepted\n")
        assert post.titles[0].startswith("TEST: oc-ops on ")
        monkeypatch.setenv("OC_OPS_NOTIFY_URLS", f"{good} json://127.0.0.1:{closed_port()}/{SECRET_PATH}")
        done = CliRunner().invoke(app, ["notify", "test"])
    assert done.exit_code == 1
    assert done.output.count(": accepted\n") == 2
    assert SECRET_PATH not in done.output


def test_a_dead_man_alone_needs_no_apprise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is for messages; who has only a ping URL can try that one."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with post_office() as post:
        monkeypatch.setenv("OC_OPS_PING_URL", f"http://127.0.0.1:{post.port}/x")
        done = CliRunner().invoke(app, ["notify", "test"])
    assert (done.exit_code, done.output, post.paths) == (0, "ping: accepted\n", ["/x"])


@pytest.mark.parametrize(("urls", "error"), [("", "no notification address is set"), ("/nowhere/urls", "notify file=")])
def test_notify_test_refuses_what_cannot_be(urls: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence for nobody to tell, and for a file that is not there."""
    monkeypatch.setenv("OC_OPS_NOTIFY_URLS", urls)
    with pytest.raises((OcOpsError, SettingError), match=error):
        CliRunner().invoke(app, ["notify", "test"], catch_exceptions=False)
