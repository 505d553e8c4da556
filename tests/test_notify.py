"""Telling people: what is news and what is not, and that no notifier, however bad, costs a run anything."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oc_ops import settings as oc_settings
from oc_ops.act import notify
from oc_ops.act.notify import deliver, state
from oc_ops.act.notify.deliver import Request
from oc_ops.act.notify.news import Asked, News, Told, news
from oc_ops.cli import app
from oc_ops.errors import OcOpsError, SettingError
from oc_ops.judge.finding import Finding
from oc_ops.record import incidents
from oc_ops.record.events import Attempt, Event, Fault, Gateway
from oc_ops.record.incident import Incident
from oc_ops.record.incident_rules import RunSummary
from tests.machine import Operator, closed_port, gateway, silent_port

T0 = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HUNG = Fault("gateway/hung", "error", "the gateway answers none", "no byte in 2.0 s", "openclaw gateway restart")
SECRET_PATH = "T00000000-B11111111-secretsecret"


def at(minutes: float) -> datetime:
    """That many minutes after the first red."""
    return T0 + timedelta(minutes=minutes)


def incident(*events: Event, fault: Fault = HUNG) -> Incident:
    """An incident that was opened at T0, and what happened to it since."""
    opened = Event("i1", T0, "opened", fault=fault, gateway=Gateway("k", None, 18789), evidence="~/reports/runs/1")
    return Incident("i1", (opened, *events))


def event(minutes: float, what: str, **members: object) -> Event:
    """Something that happened to it."""
    return Event("i1", at(minutes), what, **members)  # type: ignore[arg-type]


def told_now(one: Incident, known: Told | None, minutes: float, **more: object) -> News | None:
    """What is news of this one incident."""
    found = news([one], {"i1": known} if known else {}, at(minutes), 3600.0, **more)  # type: ignore[arg-type]
    return found[0] if found else None


# -- what is news -----------------------------------------------------------------------------------------------------


def test_the_first_red_is_told_once() -> None:
    """Who it is, what is wrong, what helps, which incident; and then silence while nothing changes."""
    first = told_now(incident(), None, 0.1, host="joes-mac")
    assert first is not None
    assert (first.kind, first.title) == ("down", "PROBLEM: gateway/hung on joes-mac")
    assert first.body.splitlines() == [
        "the gateway answers none",
        "fix: openclaw gateway restart",
        "gateway: profile default, port 18789",
        "incident i1, since 2026-11-22T12:00:00.000Z",
        "report: ~/reports/runs/1",
    ]
    assert [told_now(incident(), first.told, minutes) for minutes in (0.1, 5, 59.9)] == [None] * 3


def test_what_lasts_is_told_again_ever_more_rarely() -> None:
    """After an hour, two, four, eight: a day of outage is five messages, not 288."""
    known, when = Told(at(0.0)), []
    for minutes in range(0, 24 * 60, 5):
        if found := told_now(incident(), known, minutes):
            assert found.kind == "still down"
            known = found.told
            when.append(minutes / 60)
    assert when == [1, 2, 4, 8, 16]


def test_a_machine_that_slept_tells_once() -> None:
    """Reminders that fell due while nobody looked are one."""
    found = told_now(incident(), Told(T0), 9 * 60)
    assert found is not None
    assert found.title == "STILL THERE after 9 h 0 min: gateway/hung"
    assert told_now(incident(), found.told, 9 * 60 + 5) is None


@pytest.mark.parametrize(
    "event_",
    [event(5, "acknowledged", by="ann"), event(50, "green"), event(5, "muted", until=at(600))],
    ids=["taken on", "green once", "muted"],
)
def test_who_is_not_told_again(event_: Event) -> None:
    """Somebody has taken it on; it is about to be over; nobody wants to know."""
    assert told_now(incident(event_), Told(T0), 61) is None
    assert told_now(incident(), Told(T0), 61) is not None


def test_recovered_is_told_to_those_who_knew() -> None:
    """One message, with how long it lasted; nothing where nobody had been told."""
    over = incident(event(20, "green"), event(25, "closed"))
    found = told_now(over, Told(T0), 26)
    assert found is not None
    assert (found.kind, found.title) == ("recovered", "RECOVERED after 20 min: gateway/hung")
    assert told_now(over, found.told, 27) is None
    assert told_now(over, None, 27) is None


def test_closed_by_hand_is_no_recovery() -> None:
    """It says who did."""
    found = told_now(incident(event(25, "closed", by="ann")), Told(T0), 26)
    assert found is not None
    assert found.title.startswith("CLOSED by hand after 25 min")
    assert "closed by ann" in found.body


def test_back_again_is_told_again() -> None:
    """After people were told that it was over."""
    back = incident(event(20, "green"), event(25, "closed"), event(40, "reopened", fault=HUNG))
    assert told_now(back, Told(T0), 41) is None, "they never heard that it was over"
    found = told_now(back, Told(T0, over=True), 41)
    assert found is not None
    assert found.kind == "down"


def test_a_muted_incident_is_silent_until_the_mute_is_over() -> None:
    """Then what is still true is told."""
    muted = incident(event(1, "muted", until=at(60)))
    assert told_now(muted, None, 59) is None
    found = told_now(muted, None, 61)
    assert found is not None
    assert found.kind == "down"
    closed = incident(event(1, "muted", until=at(60)), event(30, "green"), event(35, "closed"))
    assert told_now(closed, Told(T0), 40) is None


@pytest.mark.parametrize("known", [None, Told(T0)], ids=["new", "known"])
def test_a_spent_budget_is_told_once(known: Told | None) -> None:
    """By the attempt's record or by what this run's recovery said; other refusals are nobody's business."""
    why = "refused: the budget of 3 restarts of the gateway an hour is spent until 13:00:00 UTC"
    refusal = event(3, "attempt", attempt=Attempt("recoveries/1", "restart", "refused"), text=why)
    for one, more in ((incident(refusal), {}), (incident(), {"refused": {"i1": why}})):
        found = told_now(one, known, 4, **more)
        assert found is not None
        assert (found.kind, found.title) == ("budget spent", "NOT RECOVERED, the budget is spent: gateway/hung")
        assert f"recovery: {why}" in found.body
        assert told_now(one, found.told, 9, **more) is None
    other = event(3, "attempt", attempt=Attempt("recoveries/1", "restart", "refused"), text="this cause is not cured")
    assert told_now(incident(other), Told(T0), 4) is None
    assert told_now(incident(), Told(T0), 4, refused={"i2": why}) is None


def line(what: str, plan: str = "p1", **members: object) -> dict[str, object]:
    """A line of approvals.jsonl, as the breaker writes it."""
    said = {"target": "lock:x", "fact": "nobody holds it", "expires_at": "2026-11-22T12:30:00.000000Z"}
    return {"at": "2026-11-22T12:00:00.0Z", "what": what, "plan": plan, "gateway": "k", **said, **members}


def test_an_act_that_waits_for_approval_is_told_once() -> None:
    """A plan that was made where no terminal is: by an agent, which may not decide."""
    (asked,) = state.waiting([line("planned", by={"user": "joe", "tty": None})], at(1))
    (found,) = news([], {}, at(1), 3600.0, asked=[asked], host="h")
    assert (found.kind, found.title) == ("approval wanted", "APPROVAL WANTED: lock:x on h")
    assert "oc-ops breaker show lock:x" in found.body
    assert news([], {"p1": found.told}, at(2), 3600.0, asked=[asked]) == ()


@pytest.mark.parametrize(
    ("lines", "minutes"),
    [
        ([line("planned", by={"tty": "/dev/pts/1"})], 1),
        ([line("planned"), line("approved")], 1),
        ([line("planned"), line("refused")], 1),
        ([line("planned")], 31),
        ([line("planned", expires_at="soon")], 1),
        ([{}, {"what": "planned"}], 1),
    ],
    ids=["made by who can decide", "approved", "refused", "void", "no time", "foreign"],
)
def test_what_does_not_wait_for_anybody(lines: list[dict[str, object]], minutes: float) -> None:
    """Decided, void, or made by a person who was asked there and then."""
    assert state.waiting(lines, at(minutes)) == ()


def test_no_secret_and_no_control_is_in_a_message() -> None:
    """Findings come redacted; a message is looked through once more, line by line."""
    token = "xoxb-1234567890-abcdefghij"
    hostile = Fault("cron/job-failing", "error", f"said {token}\n\x1b[2J", "", f"fix --token {token}", f"job {token}")
    found = told_now(incident(fault=hostile), None, 1)
    asked = news([], {}, T0, 1.0, asked=[Asked("p", f"x {token}", f"token={token}", at(1))])[0]
    assert found is not None
    for text in (found.title, found.body, asked.title, asked.body):
        assert token not in text
        assert "\x1b" not in text


# -- what was told ----------------------------------------------------------------------------------------------------


def test_what_was_told_is_remembered(tmp_path: Path) -> None:
    """Written and read back; what is long over is forgotten, what lasts is not."""
    old = state.State({"a": Told(at(0), over=True), "b": Told(at(0), 3, said=("budget spent",))}, "slack: no")
    state.save(tmp_path, old)
    assert state.read(tmp_path) == old
    later = old.after("c", Told(T0 + timedelta(days=40)))
    assert set(later.told) == {"b", "c"}


NO_ZONE = '{"told":{"a":{"at":"2026-11-22T12:00:00","times":1,"over":false,"said":[]}},"failed":""}'


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"told": {"a": {}}, "failed": ""}', '{"told": 3, "failed": ""}', NO_ZONE]
)
def test_a_memory_that_cannot_be_read_tells_anew(text: str, tmp_path: Path) -> None:
    """Told twice is better than never."""
    (tmp_path / state.FILE).write_text(text)
    assert state.read(tmp_path) == state.State()


# -- delivery ---------------------------------------------------------------------------------------------------------


@dataclass
class Post:
    """A server that takes what is posted: path, what for a JSON body, its title and text."""

    port: int
    status: int = 200
    came: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _, _ in self.came]

    @property
    def titles(self) -> list[str]:
        """The titles of the messages."""
        return [title for _, title, _ in self.came]

    def until(self, number: int) -> None:
        """Wait for that many."""
        end = time.monotonic() + 20
        while len(self.came) < number:
            assert time.monotonic() < end, self.came
            time.sleep(0.02)


@contextmanager
def post_office() -> Iterator[Post]:
    """Such a server, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            said = json.loads(body) if body.startswith("{") else {"message": body}
            post.came.append((self.path, said.get("title", ""), said.get("message", "")))
            self.send_response(post.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    post = Post(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield post
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def red(memory_dir: Path, *, minutes_ago: float = 0.0) -> None:
    """A run that found the gateway hung."""
    found = Fault.of(Finding(HUNG.check, "error", HUNG.fact, HUNG.saw, HUNG.fix), found_by="live")
    run = RunSummary("unhealthy", True, Gateway("k"), (found,), HUNG.check)
    incidents.observe_run(incidents.journal(memory_dir), run, datetime.now(UTC) - timedelta(minutes=minutes_ago))


def green(memory_dir: Path) -> None:
    """Two runs that found nothing."""
    for seconds in (2, 1):
        run = RunSummary("healthy", True, Gateway("k"), looked=frozenset({"live"}))
        incidents.observe_run(incidents.journal(memory_dir), run, datetime.now(UTC) - timedelta(seconds=seconds))


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
    failed = state.read(tmp_path).failed
    assert failed.startswith("json: ")
    assert SECRET_PATH not in failed
    with post_office() as post:
        post.status = 500
        deliver.tell(request(tmp_path, post.port))
        post.status = 200
        deliver.tell(request(tmp_path, post.port))
        deliver.tell(request(tmp_path, post.port))
    assert len(post.came) == 2
    assert state.read(tmp_path).failed == ""


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
        assert time.monotonic() - began < 4
        deliver.tell(both)
    assert len(post.came) == 1
    assert "nonsense: Apprise does not know such an address" in state.read(tmp_path).failed


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
    assert "pip install -e '.[notify]'" in state.read(tmp_path).failed
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


# -- a run ------------------------------------------------------------------------------------------------------------


def test_a_run_tells_and_beats(tmp_path: Path) -> None:
    """Start, then the end: fail with a message where the gateway is down; nothing secret in what it leaves."""
    with post_office() as post:
        ping, urls = f"http://127.0.0.1:{post.port}/{SECRET_PATH}", f"json://127.0.0.1:{post.port}/{SECRET_PATH}"
        operator = Operator(tmp_path, closed_port())
        run = operator.run("--quick", OC_OPS_NOTIFY_URLS=urls, OC_OPS_PING_URL=ping)
        post.until(3)
    assert run.code == 1
    assert sorted(post.paths) == [f"/{SECRET_PATH}", f"/{SECRET_PATH}/fail", f"/{SECRET_PATH}/start"]
    assert [title for title in post.titles if title.startswith("PROBLEM: gateway/down on ")]
    assert [text for path, _, text in post.came if path.endswith("/fail")] == [run.last_line]
    shown = {each["name"]: each["value"] for each in operator.latest()["environment"]["settings"]}
    assert (shown["notify_urls"], shown["ping_url"]) == ("[redacted]", "[redacted]")
    for path in [each for each in tmp_path.rglob("*") if each.is_file()]:
        assert SECRET_PATH.encode() not in path.read_bytes(), path
    assert SECRET_PATH not in run.out + run.err


def test_a_healthy_run_beats_ok_and_a_part_of_one_does_not(tmp_path: Path) -> None:
    """Three green checks are no healthy gateway; a file may hold the address."""
    file = tmp_path / "ping"
    with post_office() as post, gateway() as port:
        file.write_text(f"http://127.0.0.1:{post.port}/x\n")
        operator = Operator(tmp_path, port)
        part = operator.run("--quick", "-k", "test_gateway", OC_OPS_PING_URL=str(file))
        assert part.code == 0, part.out
        operator.run("--quick", OC_OPS_PING_URL=str(file))
        post.until(2)
    assert post.paths == ["/x/start", "/x"]
    assert operator.latest()["environment"]["settings"][-1]["value"] == str(file)


def test_a_notifier_that_hangs_costs_the_run_nothing(tmp_path: Path) -> None:
    """The verdict and the end of the process come as without it, and what hangs ends itself."""
    operator = Operator(tmp_path, closed_port())
    began = time.monotonic()
    plain = operator.run("--quick")
    plain_s = time.monotonic() - began
    with silent_port() as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        run = operator.run(
            "--quick", OC_OPS_NOTIFY_URLS=f"json://{address}/x?rto=60&cto=60", OC_OPS_PING_URL=f"http://{address}/x",
            OC_OPS_NOTIFY_S="8",
        )  # fmt: skip
        assert time.monotonic() - began < plain_s + 4
        assert (run.code, plain.code) == (1, 1)
        until(lambda: len(delivering(tmp_path)) == 0)


def test_a_scheduled_run_waits_for_what_it_sends(tmp_path: Path) -> None:
    """A scheduler ends what a run leaves behind, so such a run is over when people were told."""
    with post_office() as post:
        operator = Operator(tmp_path, closed_port())
        operator.run("--quick", OC_OPS_NOTIFY_URLS=f"json://127.0.0.1:{post.port}/x", OC_OPS_SCHEDULED="1")
        assert len(post.came) == 1
    assert delivering(tmp_path) == []


def test_a_file_that_is_not_there_costs_the_run_nothing(tmp_path: Path) -> None:
    """`oc-ops notify test` says so; the doctor goes on."""
    run = Operator(tmp_path, closed_port()).run("--quick", OC_OPS_NOTIFY_URLS="/nowhere/urls")
    assert run.code == 1
    assert "gateway/down" in run.last_line


def test_the_next_run_says_that_nobody_was_told(tmp_path: Path) -> None:
    """Beside the report's place, without the address."""
    operator = Operator(tmp_path, closed_port())
    url = f"json://127.0.0.1:{closed_port()}/{SECRET_PATH}"
    operator.run("--quick", OC_OPS_NOTIFY_URLS=url)
    until(lambda: bool(state.read(tmp_path / "memory").failed))
    second = operator.run("--quick", OC_OPS_NOTIFY_URLS=url)
    assert "the last message was not taken: json: " in second.out
    assert SECRET_PATH not in second.out


def test_who_wants_nothing_told_pays_nothing() -> None:
    """Nothing of it is imported by a run that has nobody to tell."""
    code = (
        "import sys, oc_ops.run; print([m for m in sys.modules if 'notify' in m or m in ('apprise', 'oc_ops.telling')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_process_that_cannot_be_started_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory, no python: the run goes on."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    notify.start(oc_settings.Settings(memory_dir=tmp_path), {"urls": "x"}, wait=True)


def delivering(memory: Path) -> list[str]:
    """The processes that deliver for runs below that folder."""
    import psutil

    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environ = process.info["cmdline"] or [], process.info["environ"] or {}
        if words[-1:] == ["oc_ops.act.notify.deliver"] and str(memory) in environ.get("OC_OPS_MEMORY_DIR", ""):
            found.append(" ".join(words))
    return found


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


# -- the command ------------------------------------------------------------------------------------------------------


def test_notify_test_says_who_took_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 0 when all did, 1 when somebody did not; no address is shown."""
    with post_office() as post:
        good = f"json://127.0.0.1:{post.port}/{SECRET_PATH}"
        monkeypatch.setenv("OC_OPS_NOTIFY_URLS", good)
        monkeypatch.setenv("OC_OPS_PING_URL", f"http://127.0.0.1:{post.port}/{SECRET_PATH}")
        done = CliRunner().invoke(app, ["notify", "test"])
        assert (done.exit_code, done.output) == (0, "json: taken\nping: taken\n")
        assert post.titles[0].startswith("TEST: oc-ops on ")
        monkeypatch.setenv("OC_OPS_NOTIFY_URLS", f"{good} json://127.0.0.1:{closed_port()}/{SECRET_PATH}")
        done = CliRunner().invoke(app, ["notify", "test"])
    assert done.exit_code == 1
    assert done.output.count(": taken\n") == 2
    assert SECRET_PATH not in done.output


@pytest.mark.parametrize(("urls", "error"), [("", "nobody is to be told"), ("/nowhere/urls", "notify file=")])
def test_notify_test_refuses_what_cannot_be(urls: str, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence for nobody to tell, and for a file that is not there."""
    monkeypatch.setenv("OC_OPS_NOTIFY_URLS", urls)
    with pytest.raises((OcOpsError, SettingError), match=error):
        CliRunner().invoke(app, ["notify", "test"], catch_exceptions=False)
