"""The guarded run: what it reports, what it costs, and that nothing of a call survives it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.process import supervise
from oc_ops.process.run import Call, Output, run
from oc_ops.process.supervise import Capture
from tests.support.survivors import carrying, end, eventually

FAKES = Path(__file__).parents[2] / "fakes"
PROJECT = Path(__file__).parents[3]
ANSWER = '{"ok": true, "jobs": []}\n'
Run = Callable[..., Call]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def openclaw(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The misbehaving fake, run by this interpreter."""
    path = tmp_path_factory.mktemp("bin") / "openclaw"
    _, _, body = (FAKES / "openclaw").read_text().partition("\n")
    path.write_text(f"#!{sys.executable} -IS\n{body}")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def token() -> Iterator[str]:
    """A word that every process of the test carries; none of them may survive it."""
    token = uuid.uuid4().hex
    yield token
    left = carrying(token)
    words = [process.as_dict(["pid", "ppid", "cmdline"]) for process in left]
    end(left)
    assert not words


@pytest.fixture
def call(openclaw: str, token: str) -> Run:
    """Run the fake in a mode, by default with a deadline that a healthy call never meets."""

    def call(*mode: str, **options: Any) -> Call:
        usual: dict[str, Any] = {"environ": os.environ, "deadline_s": 20, "kill_grace_s": 0.2}
        return run([openclaw, *mode, token], **(usual | options))

    return call


@pytest.fixture(params=["adopts", "scans"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The tree is found as on Linux, by adopting orphans, and as elsewhere, by marker and repeated looks."""
    if request.param == "scans":
        monkeypatch.setattr(supervise, "_ADOPTS", False)
    return str(request.param)


def is_json(output: bytes) -> bool:
    """Whether a standard output is a whole JSON value."""
    try:
        json.loads(output)
    except ValueError:
        return False
    return True


def test_answered(call: Run, token: str) -> None:
    """A call that exits 0 is answered, with its output, its times, and a summary of one line."""
    result = call("answer")
    assert (result.outcome, result.exit, result.signal, result.killed) == ("answered", 0, None, 0)
    assert result.stdout == Output(ANSWER.encode(), b"", len(ANSWER))
    assert timedelta(0) < datetime.now(UTC) - result.started_at < timedelta(seconds=20)
    assert 0 < result.cpu_s < 5
    assert 0 < (result.answer_s or 0) <= result.wall_s
    assert result.summary == f"`openclaw answer {token}` answered in {result.wall_s:.1f} s"


def test_refused(call: Run, token: str) -> None:
    """A non-zero exit is refused, and the summary quotes the first line that says anything."""
    result = call("refuse")
    assert (result.outcome, result.exit, result.signal) == ("refused", 3, None)
    assert result.summary.endswith(f"{token}` exited 3 after {result.wall_s:.1f} s: Error: gateway not reachable")


def test_crashed(call: Run) -> None:
    """A death by a signal that was not ours is a crash and names the signal."""
    result = call("crash")
    assert (result.outcome, result.exit, result.signal, result.killed) == ("crashed", None, signal.SIGSEGV, 0)
    assert f"died of SIGSEGV after {result.wall_s:.1f} s" in result.summary


@pytest.mark.parametrize("number", [signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_the_default(number: signal.Signals) -> None:
    """A call starts with the default signal handling, not with what this process or the warden ignores."""
    result = run(["sh", "-c", f"kill -{int(number)} $$; echo alive"], environ=os.environ, deadline_s=20)
    assert (result.outcome, result.signal, result.stdout.total_bytes) == ("crashed", number, 0)


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("no-such-openclaw", "`no-such-openclaw --version` not found"),
        ("{tmp}/plain", "`plain --version` cannot be executed: Permission denied"),
        (
            "{tmp}/orphaned",
            "`orphaned --version` cannot be executed: the interpreter named in its first line is missing",
        ),
        ("{tmp}/garbage", "`garbage --version` cannot be executed: Exec format error"),
    ],
)
def test_missing(tmp_path: Path, program: str, says: str) -> None:
    """What cannot be executed is missing and says why; nothing is raised."""
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    for name, text in (("orphaned", "#!/no/such/node\n"), ("garbage", "\x00\x01")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    result = run([program.format(tmp=tmp_path), "--version"], environ={"PATH": "/usr/bin:/bin"}, deadline_s=20)
    assert (result.outcome, result.exit, result.signal) == ("missing", None, None)
    assert result.summary == says


def test_found_on_the_path_of_the_call(openclaw: str, token: str) -> None:
    """The program is looked up on the PATH that the call is given."""
    environ = {"PATH": f"/usr/bin:{Path(openclaw).parent}"}
    result = run(["openclaw", "answer", token], environ=environ, deadline_s=20)
    assert result.outcome == "answered"


def test_what_a_call_is_given(call: Run, token: str, tmp_path: Path) -> None:
    """Its arguments as they are, the given environment and a marker, no input, its own session, no stray descriptor."""
    environ = {"LC_ALL": "C", "LC_CTYPE": "POSIX", "GREETING": "caf\udce9"}
    result = call("show", cwd=tmp_path, environ=environ)
    assert result.outcome == "answered"
    given = json.loads(result.stdout.text)
    marker = given["environ"].pop("OC_OPS_CALL")
    assert len(marker) == 16
    assert given == {
        "argv": ["show", token],
        "environ": environ,
        "stdin": "",
        "cwd": str(tmp_path.resolve()),
        "leads": True,
        "descriptors": 4,
    }


def test_locale_is_not_touched() -> None:
    """Python's own LC_CTYPE in the C locale does not reach the call."""
    result = run(["/usr/bin/env"], environ={"A": "1"}, deadline_s=20)
    assert [line.split("=")[0] for line in result.stdout.text.splitlines()] == ["A", "OC_OPS_CALL"]


def test_no_shell() -> None:
    """Arguments with shell characters arrive unchanged."""
    argv = ["printf", "%s|", "$(id)", "a b", "*", ";exit 3", "\n", ""]
    result = run(argv, environ=os.environ, deadline_s=20)
    assert result.stdout.text == "".join(f"{word}|" for word in argv[2:])


def test_cannot_start(tmp_path: Path) -> None:
    """A call that cannot even be tried could not look; it is not a fault of the program."""
    with pytest.raises(CouldNotLook, match=r"`true` could not be started: .*/gone"):
        run(["true"], environ=os.environ, deadline_s=20, cwd=tmp_path / "gone")


def test_polluted_output(call: Run) -> None:
    """Everything printed round the answer is kept in order."""
    assert call("pollute").stdout.text == f"│ ◇  Config ── warnings\n{ANSWER}(node:1) Warning: bye\n"


def test_broken_utf8(call: Run) -> None:
    """Bytes that are not UTF-8 are kept as they are and shown as replacement characters."""
    result = call("broken-utf8")
    assert result.stdout.head == b'\xff\xfe{"name": "caf\xc3"}\x00\n'
    assert result.stdout.text == '��{"name": "caf�"}\x00\n'
    assert result.stderr.text == "�(�(\n"


def test_nothing_unread_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was printed before the exit is read, however much of it is still in the pipe by then."""
    monkeypatch.setattr(supervise, "_CHUNK_BYTES", 16)
    result = run(["sh", "-c", "head -c 50000 /dev/zero"], environ=os.environ, deadline_s=20)
    assert (result.outcome, result.stdout.total_bytes) == ("answered", 50000)


@pytest.mark.parametrize("mode", ["hang", "dribble", "mute", "ignore", "polite"])
def test_timed_out(call: Run, mode: str) -> None:
    """At the deadline a call is ended within the grace, whatever it does; what it printed so far is kept."""
    began = time.monotonic()
    result = call(mode, deadline_s=0.6)
    assert time.monotonic() - began < 0.6 + 0.2 + 8
    assert (result.outcome, result.exit, result.signal, result.killed) == ("timed-out", None, None, 1)
    assert 0.5 < result.wall_s < 6
    assert f"timed out after {result.wall_s:.1f} s" in result.summary


def test_transcript_of_the_end(call: Run) -> None:
    """What a process says when it is asked to leave is part of its output."""
    assert call("polite", deadline_s=1.2).stdout.text == "started\nbye\n"


def test_deadline_by_the_given_clock(call: Run) -> None:
    """The deadline counts on the injected clock: one that leaps ends an hour's deadline at once."""
    ticks = count(step=600)
    began = time.monotonic()
    result = call("dribble", deadline_s=3600, clock=lambda: float(next(ticks)))
    assert (result.outcome, result.wall_s >= 3600) == ("timed-out", True)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("mode", ["linger", "mute"])
def test_lingered(call: Run, token: str, mode: str) -> None:
    """A whole answer from a process that does not exit is told apart, and does not cost the deadline."""
    result = call(mode, complete=is_json, linger_s=0.2)
    assert (result.outcome, result.exit, result.signal, result.killed) == ("lingered", None, None, 1)
    assert result.stdout.text == ANSWER
    assert result.wall_s < 10
    assert result.summary == f"`openclaw {mode} {token}` answered in {result.answer_s:.1f} s but did not exit"


def test_lingered_at_the_deadline(call: Run) -> None:
    """A whole answer at the deadline is an answer, even when the linger time is not over."""
    assert call("linger", complete=is_json, deadline_s=1.2, linger_s=60).outcome == "lingered"


def test_half_an_answer_is_none(call: Run) -> None:
    """Silence after something that is not the whole answer is a time-out, and is judged once, not again and again."""
    asked: list[bytes] = []

    def complete(output: bytes) -> bool:
        asked.append(output)
        return False

    assert call("linger", complete=complete, deadline_s=1.2, linger_s=0.1).outcome == "timed-out"
    assert asked == [ANSWER.encode()]


def test_answer_beyond_the_caps_is_not_complete(call: Run) -> None:
    """Of an output with a gap nobody is asked whether it is complete."""
    result = call("linger", complete=lambda _: True, deadline_s=1.2, linger_s=0.1, head_bytes=4, tail_bytes=4)
    assert (result.outcome, result.stdout.head, result.stdout.tail) == ("timed-out", b'{"ok', b"[]}\n")


@pytest.mark.parametrize(
    ("then", "outcome", "killed"), [("hang", "timed-out", 4), ("linger", "lingered", 4), ("exit", "answered", 3)]
)
def test_grandchildren_are_ended(call: Run, then: str, outcome: str, killed: int, either_way: str) -> None:
    """Deaf, in another session or re-parented: no grandchild survives a time-out, a lingering call or a normal exit."""
    deadline_s = 1.0 if then == "hang" else 20
    members = ("stubborn", "apart", "orphan")
    result = call("family", then, *members, complete=is_json, deadline_s=deadline_s, linger_s=0.1)
    assert (result.outcome, result.killed) == (outcome, killed)


@pytest.mark.parametrize("then", ["hang", "exit"])
def test_strangers_are_ended(call: Run, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon with no parent, session or environment of the call's is ended too where orphans are adopted."""
    monkeypatch.setattr(supervise, "_ADOPTS", True)
    result = call("family", then, "stranger", deadline_s=1.5 if then == "hang" else 20)
    assert result.killed == (2 if then == "hang" else 1)


def test_once_seen_never_lost(call: Run, either_way: str) -> None:
    """A grandchild with an empty environment is ended after its parent left, because it was seen before."""
    result = call("family", "exit-later", "bare")
    assert (result.outcome, result.killed) == ("answered", 1)


def test_survivors_allowed(call: Run, token: str) -> None:
    """Where daemons may stay they do, and a pipe they hold open is not waited for."""
    result = call("family", "exit", "apart", survivors_allowed=True)
    left = carrying(token)
    end(left)
    psutil.wait_procs(left, 10)
    assert (result.outcome, result.killed, len(left)) == ("answered", 0, 1)
    assert result.stdout.text == ANSWER


def test_survivors_allowed_still_ends_at_the_deadline(call: Run) -> None:
    """Leave to start daemons is no leave to hang."""
    assert call("family", "hang", "apart", survivors_allowed=True, deadline_s=1.0).killed == 2


def test_what_is_a_containers_is_left(tmp_path: Path, token: str) -> None:
    """podman's monitor and what runs under it belong to the container, also at the deadline: its client alone ends."""
    monitor = tmp_path / "conmon"
    shutil.copy(shutil.which("bash") or "/bin/bash", monitor)
    script = f'"{monitor}" -c "sleep 30 & sleep 30; :" {token} & sleep 30; :'
    result = run(["/bin/sh", "-c", script], environ=os.environ, deadline_s=1.0, kill_grace_s=0.2)
    (left,) = carrying(token)
    name, under = left.name(), left.children(recursive=True)
    end([left, *under])
    psutil.wait_procs([left, *under], 10)
    assert (result.outcome, result.killed, name, len(under)) == ("timed-out", 2, "conmon", 2)


def test_flood_costs_little_memory(openclaw: str, token: str) -> None:
    """200 MB of output cost the caller the caps and a few MB more, and head and tail are right."""
    argv = [sys.executable, str(FAKES / "flooded.py"), str(PROJECT), openclaw, token]
    told = json.loads(subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout)
    assert told["grown"] < (1 << 20) + (1 << 18) + 4 * 2**20
    assert (told["outcome"], told["total"]) == ("answered", 200 * 2**20 + 10)
    assert (told["kept"], told["ends"]) == ([1 << 20, 1 << 18], ["HEAD\n", "TAIL\n"])


@pytest.mark.parametrize("chunk_bytes", [1, 3, 7, 100])
@pytest.mark.parametrize("total_bytes", [0, 4, 5, 9, 10, 90])
def test_capture_keeps_head_and_tail(chunk_bytes: int, total_bytes: int) -> None:
    """However the bytes arrive, the first four and the last five are kept, and the gap is counted."""
    stream = bytes(range(total_bytes))
    capture = Capture(head_bytes=4, tail_bytes=5)
    for start in range(0, total_bytes, chunk_bytes):
        capture.feed(stream[start : start + chunk_bytes])
    assert capture.output() == Output(stream[:4], stream[4:][-5:], total_bytes)
    assert capture.output().left_out_bytes == max(0, total_bytes - 9)


def test_gap_is_visible() -> None:
    """Text with a gap says how much is missing; without one it is the stream, characters at the seam included."""
    assert Output(b"ab", b"yz", 26).text == "ab\n… 22 bytes left out …\nyz"
    assert Output(b"caf\xc3", b"\xa9", 5).text == "café"


def test_summary_is_one_bounded_line() -> None:
    """A long command and a long complaint still make one line of at most 300 characters, outcome included."""
    result = run(["sh", "-c", f"echo {'x' * 5000} >&2; exit 4\n" + "#" * 5000], environ=os.environ, deadline_s=20)
    assert len(result.summary) == 300
    assert "\n" not in result.summary
    assert "…` exited 4 after" in result.summary


def test_cpu_of_the_whole_tree(call: Run) -> None:
    """CPU seconds count the children that a call waited for."""
    assert 0.3 < call("burn", "0.3").cpu_s < 2.0


def test_waiting_is_cheap(call: Run) -> None:
    """A call of one second costs this process less than 100 ms of CPU."""
    call("wait", "0")
    before = time.process_time()
    assert call("wait", "1").outcome == "answered"
    assert time.process_time() - before < 0.1


def test_nothing_leaks(call: Run) -> None:
    """Neither descriptors nor zombies are left in this process, after an answer and after a time-out."""
    before, others = len(list(Path("/dev/fd").iterdir())), psutil.Process().children()
    for mode in ("answer", "hang", "answer"):
        call(mode, deadline_s=20 if mode == "answer" else 0.3)
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert psutil.Process().children() == others


@pytest.mark.parametrize("error", [KeyboardInterrupt("signal 15"), SystemExit(), RuntimeError("no")], ids=repr)
def test_exceptions_end_the_tree_first(call: Run, token: str, error: BaseException) -> None:
    """An exception in the middle of a call passes through; by then nothing of the call is left but its transcript."""
    told: list[Call] = []

    def complete(_: bytes) -> bool:
        raise error

    with pytest.raises(type(error)):
        call("family", "linger", "stubborn", "orphan", complete=complete, linger_s=0.1, on_call=told.append)
    assert not carrying(token)
    (cut,) = told
    assert (cut.outcome, cut.exit, cut.signal, cut.killed, cut.deadline_s) == ("timed-out", None, None, 3, 20)
    assert cut.stdout.text == ANSWER
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    assert cut.summary.endswith(f"` was cut short after {cut.wall_s:.1f} s by {said}")


@pytest.mark.parametrize(
    ("mode", "outcome"), [("answer", "answered"), ("refuse", "refused"), ("crash", "crashed"), ("hang", "timed-out")]
)
def test_every_call_is_told_once(call: Run, mode: str, outcome: str) -> None:
    """What is handed over is what is returned, whatever came of it."""
    told: list[Call] = []
    result = call(mode, deadline_s=20 if mode != "hang" else 0.3, on_call=told.append)
    assert told == [result]
    assert (result.outcome, result.why) == (outcome, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGALRM])
def test_signals_wait_for_the_end(call: Run, token: str, number: signal.Signals) -> None:
    """A signal that falls into the ending of a call raises once the call is ended and handed over, not before."""
    before, mask = signal.signal(number, signal.default_int_handler), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    told: list[Call] = []

    def interrupted(cut: Call) -> None:
        signal.raise_signal(number)
        told.append(cut)

    try:
        with pytest.raises(KeyboardInterrupt):
            call("family", "hang", "stubborn", deadline_s=0.5, on_call=interrupted)
    finally:
        signal.signal(number, before)
    assert [(each.outcome, each.killed) for each in told] == [("timed-out", 2)]
    assert not carrying(token)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def wardens(token: str) -> list[psutil.Process]:
    """The wardens of this test's call."""
    return [each for each in carrying(token) if any(word.endswith("guard.py") for word in each.cmdline())]


def when_started(token: str, number: signal.Signals) -> threading.Thread:
    """Send a signal to the warden once the fake's orphan runs."""

    def strike() -> None:
        if eventually(lambda: len(carrying(token)) == 3):
            wardens(token)[0].send_signal(number)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread


def test_warden_killed(call: Run, token: str) -> None:
    """When somebody kills the warden the call could not be observed, and its tree is ended all the same."""
    striker = when_started(token, signal.SIGKILL)
    told: list[Call] = []
    with pytest.raises(CouldNotLook, match="the warden of `openclaw family hang orphan"):
        call("family", "hang", "orphan", on_call=told.append)
    striker.join()
    assert not carrying(token)
    assert [each.outcome for each in told] == ["timed-out"]
    assert " s: its warden was killed from outside" in told[0].summary


def test_warden_stopped(call: Run, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A warden that does not answer any more is not waited for longer than it may need."""
    monkeypatch.setattr(supervise, "_SLACK_S", 0.2)
    striker = when_started(token, signal.SIGSTOP)
    result = call("family", "hang", "orphan", deadline_s=2)
    striker.join()
    assert (result.outcome, result.killed) == ("timed-out", 2)
    assert not carrying(token)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_warden_is_deaf(call: Run, token: str, number: signal.Signals) -> None:
    """Signals meant for everybody, as a service stop sends them, do not take the warden from its call."""
    striker = when_started(token, number)
    assert call("family", "hang", "orphan", deadline_s=1.5).killed == 2
    striker.join()


def test_calls_beside_each_other(call: Run) -> None:
    """Calls in several threads do not end or wait for each other's processes."""
    with ThreadPoolExecutor(3) as threads:
        hung = threads.submit(call, "hang", deadline_s=0.5)
        slow = threads.submit(call, "wait", "1.5")
        left = threads.submit(call, "family", "exit", "orphan")
    assert [each.result().outcome for each in (hung, slow, left)] == ["timed-out", "answered", "answered"]
    assert [each.result().killed for each in (hung, slow, left)] == [1, 0, 1]


def test_fake_runs_by_itself() -> None:
    """The fake in the checkout is an executable, as other tests put it on a PATH."""
    assert shutil.which("openclaw", path=str(FAKES))
