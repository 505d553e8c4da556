"""A real Chromium opens a real report full of hostile text: nothing runs, nothing is fetched, and it can be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from oc_ops.process import run
from oc_ops.record.page import html as page_html
from oc_ops.record.redact import Redactor
from tests.support import bytecode

pytestmark = pytest.mark.live

PROJECT = Path(__file__).resolve().parents[2]
SUITE = PROJECT / "tests" / "fakes" / "report_suite"
PLUGINS = ("-p", "wiring", "-p", "no:libtmux", "-p", "no:hypothesispytest", "-p", "no:cacheprovider")
SECRET = "t0p-secret-value-of-the-gateway"
FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-extensions --hide-scrollbars
"""


@dataclass
class Listener:
    """A loopback web server that keeps the path of every request."""

    port: int
    requests: list[str] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)

    @property
    def payload(self) -> str:
        """Text that, wherever a page takes it for HTML, renames the page and calls this server."""
        url = f"http://127.0.0.1:{self.port}"
        act = f"document.title='pwned';window.name='pwned';fetch('{url}/fetch')"
        return (
            f"</pre></textarea></title></style></script><script>{act}</script>\"'><img src={url}/img onerror={act}>"
            f"<svg onload={act}></svg><style>@import url({url}/css)</style><iframe src={url}/frame></iframe>"
            f"<link rel=stylesheet href={url}/link><base href={url}/><a href=javascript:{act} id=trap>x</a>"
        )


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A listener that must stay unasked, closed afterwards."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.requests.append(self.path)
            found.asked.set()
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Listener(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chromium(tmp_path: Path, *arguments: str) -> str:
    """Run a headless Chromium of its own profile to its end and return what it printed."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program is not None, "this test needs Chromium: apt-get install chromium"
    call = run.run(
        [program, *FLAGS.split(), f"--user-data-dir={tmp_path / 'profile'}", *arguments],
        environ={**os.environ, "HOME": str(tmp_path)},
        deadline_s=90,
        head_bytes=1 << 24,
        survivors_allowed=False,
    )
    assert call.outcome == "answered", call.summary
    return call.stdout.text


def dom(tmp_path: Path, html: Path) -> str:
    """The page as Chromium has it after its scripts ran."""
    return chromium(tmp_path, "--virtual-time-budget=3000", "--dump-dom", html.as_uri())


def built(tmp_path: Path, kind: str, **environ: str) -> Path:
    """The report.html of one pytest run of the fake suite."""
    reports = tmp_path / "reports"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-c",
            os.devnull,
            "--rootdir",
            str(SUITE),
            "--confcutdir",
            str(SUITE),
            *PLUGINS,
            str(SUITE / "suite.py"),
        ],
        env={
            **os.environ,
            "PYTHONPATH": f"{SUITE}{os.pathsep}{PROJECT}",
            **bytecode.environ(),
            "OC_TEST_REPORTS": str(reports),
            "OC_TEST_PAGE": kind,
            "OC_TEST_SECRET": SECRET,
            **environ,
        },
        cwd=tmp_path,
        check=False,
        stdout=subprocess.DEVNULL,
        timeout=300,
    )
    [run] = (reports / "runs").iterdir()
    assert (reports / "latest.html").read_bytes() == (run / "report.html").read_bytes()
    assert not list(run.glob(".*"))
    return run / "report.html"


class Elements(HTMLParser):
    """Counts what a page consists of, and collects its attributes that act or fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.acting: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of one element."""
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.acting += [
            f"{tag} {name}={value}"
            for name, value in attrs
            if name.startswith("on") or (name in ("src", "href", "action", "srcdoc") and value)
        ]


@pytest.mark.parametrize(
    "cells", [pytest.param("", id="our cells"), pytest.param("1", id="pytest-html's cells", marks=pytest.mark.nightly)]
)
def test_hostile_text_shows_and_does_nothing(tmp_path: Path, listener: Listener, cells: str) -> None:
    """With the payload in every string of run and tests, nothing executes or fetches, and it is all there."""
    html = built(
        tmp_path,
        "hostile",
        OC_TEST_PAYLOAD=listener.payload,
        OC_TEST_NO_CELLS=cells,
        BUILD_TAG=listener.payload,  # pytest-metadata puts variables of CI systems into the environment table
        GITHUB_ACTIONS="true",
        GITHUB_REF=listener.payload,
        JENKINS_URL="http://x",
    )
    assert html.stat().st_size < 2_000_000
    assert SECRET not in html.read_text("utf-8")
    shown = dom(tmp_path, html)
    elements = Elements(shown)
    assert "<title>pwned" not in shown
    assert listener.requests == []
    assert elements.tags["script"] == 1
    assert elements.tags["style"] == 1
    assert elements.tags["title"] == 1
    assert not {"iframe", "svg", "link", "base", "a", "form"} & elements.tags.keys()
    assert elements.acting == []
    assert shown.count('class="collapsible"') == 7, "pytest-html's own table must work under the policy"
    assert "&lt;/textarea&gt;" in shown
    assert "␛]52;c;x␇" in shown
    assert SECRET not in shown


def test_payload_acts_in_an_unprotected_page(tmp_path: Path, listener: Listener) -> None:
    """The control: the same payload in a plain page runs and asks the server, so the test above can fail."""
    html = tmp_path / "plain.html"
    html.write_text(f"<html><head><title>x</title></head><body>{listener.payload}</body></html>")
    shown = dom(tmp_path, html)
    assert listener.asked.wait(10)
    assert "<title>pwned" in shown
    assert {"/fetch", "/img"} <= set(listener.requests)


def test_policy_holds_where_escaping_would_fail(tmp_path: Path, listener: Listener) -> None:
    """Even put into the finished page as HTML, the payload neither runs nor fetches: the policy stands too."""
    html = built(tmp_path, "hung")
    html.write_text(html.read_text("utf-8").replace("<main>", f"<main>{listener.payload}"))
    shown = dom(tmp_path, html)
    assert "<title>pwned" not in shown
    assert listener.requests == []
    assert "<iframe" in shown, "the payload must really be in the page"


def test_page_of_an_unknown_shape_is_still_protected(tmp_path: Path, listener: Listener) -> None:
    """If pytest-html changes its page, what remains of ours carries the policy all the same."""
    html = tmp_path / "strange.html"
    html.write_text(page_html.finish(f"<p>{listener.payload}</p>", "x", Redactor([], Path("/home/joe"))))
    assert "<title>pwned" not in dom(tmp_path, html)
    assert listener.requests == []


PHONE, LAPTOP, LIGHT, DARK = "360,740", "1280,800", 1, 0


@pytest.mark.parametrize(
    "kind", ["hung", *(pytest.param(each, marks=pytest.mark.nightly) for each in ("healthy", "unknown"))]
)
@pytest.mark.parametrize(
    "screens",
    [
        pytest.param(((PHONE, DARK), (LAPTOP, LIGHT)), id="two"),
        pytest.param(((PHONE, LIGHT), (LAPTOP, DARK)), id="the others", marks=pytest.mark.nightly),
    ],
)
def test_pictures_on_every_screen(tmp_path: Path, kind: str, screens: tuple[tuple[str, int], ...]) -> None:
    """Every kind of run makes a picture on phone and laptop, light and dark, that is more than an empty page."""
    html = built(tmp_path, kind)
    for size, preferred in screens:
        picture = tmp_path / f"{size}-{preferred}.png"
        look = f"--blink-settings=preferredColorScheme={preferred}"
        chromium(tmp_path, look, f"--window-size={size}", f"--screenshot={picture}", html.as_uri())
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 10_000
