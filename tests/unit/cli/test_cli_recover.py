"""`oc-ops recover` and `python recover.py`, as a person types them and as a machine reads them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from oc_ops.settings import PROJECT
from tests.support.machine import Operator, closed_port, gateway, silent_port
from tests.support.survivors import eventually

pytestmark = pytest.mark.timeout(180)
INTERRUPTED_AT = """
import signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {moment!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from oc_ops.cli.recover import main
main()
"""
FORMS = {
    "recover.py": [str(PROJECT / "recover.py")],
    "oc-ops": ["-c", "from oc_ops.cli import main; main()", "recover"],
}


def run(
    operator: Operator, *options: str, form: str = "recover.py", **environ: str
) -> subprocess.CompletedProcess[str]:
    """One recovery to its end."""
    return subprocess.run(
        [sys.executable, *FORMS[form], *options],
        cwd=operator.root / "cwd",
        env={**operator.environ, "PYTHONPATH": str(PROJECT), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_healthy_gateway_is_one_sentence(tmp_path: Path, form: str) -> None:
    """Both spellings: exit 0, the last line says that nothing was done."""
    with gateway() as port:
        done = run(Operator(tmp_path, port), form=form)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("recover: healthy in ")
    assert done.stdout.endswith("; nothing was done\n")


def test_a_person_sees_the_decision_and_the_fix(tmp_path: Path) -> None:
    """A gateway that is down without a service: cause, cure and why, then the refusal with what to do by hand."""
    operator = Operator(tmp_path, closed_port())
    typed = pexpect.spawn(
        sys.executable,
        [str(PROJECT / "recover.py")],
        env=operator.environ,
        cwd=str(tmp_path),
        timeout=90,
        encoding="utf-8",
        dimensions=(50, 200),
    )
    typed.expect("looking at the gateway\r\n")
    typed.expect("cause: gateway/down: nothing listens on port")
    typed.expect("cure:  none from here: no service unit runs this gateway, so nothing here can start it")
    typed.expect(r"record: \S+jsonl\r\n")
    assert "confirm:" not in (typed.before or ""), "nothing is waited for that cannot be done afterwards"
    typed.expect(
        r"recover: refused in [\d.]+ s: gateway/down is not cured by recovery: no service unit runs this gateway"
    )
    typed.expect(r"fix: by hand: [^\r]+openclaw gateway run")
    typed.expect(pexpect.EOF)
    typed.close()
    assert typed.exitstatus == 4


def test_a_machine_gets_json_and_nothing_else(tmp_path: Path) -> None:
    """One object on stdout; progress is on stderr."""
    with silent_port() as server:
        operator = Operator(tmp_path, server.getsockname()[1])
        done = run(operator, "--json", "--dry-run")
    told = json.loads(done.stdout)
    assert (done.returncode, told["exit"], told["cause"]) == (4, 4, "gateway/port-taken")
    assert told["record"] is None
    assert not (tmp_path / "memory" / "recoveries").exists()


@pytest.mark.parametrize(
    ("options", "environ", "words"),
    [
        (["--openclaw", "/nowhere"], {}, "/nowhere"),
        ([], {"OC_OPS_CONFIRM_GAP_S": "soon"}, "OC_OPS_CONFIRM_GAP_S"),
        (["--oc-profile", "../x"], {}, "profile"),
    ],
    ids=["openclaw", "setting", "profile"],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_wrong_option_is_one_sentence(
    tmp_path: Path, options: list[str], environ: dict[str, str], words: str, as_json: bool
) -> None:
    """Exit 4, which value, and no traceback."""
    done = run(Operator(tmp_path, closed_port()), *options, *(["--json"] if as_json else []), **environ)
    assert done.returncode == 4, done.stderr
    sentence = json.loads(done.stdout)["sentence"] if as_json else done.stdout.splitlines()[-1]
    assert sentence.startswith("recover: refused: ")
    assert words in sentence
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("moment", ["oc_ops.act.recover.outcome", "oc_ops.act.recover.run"])
def test_an_interruption_before_the_first_look_is_no_verdict(tmp_path: Path, moment: str) -> None:
    """While it still reads its own code: exit 2 and the same sentence, nobody was told that it tried."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT.format(moment=moment)],
        cwd=tmp_path,
        env={**Operator(tmp_path, closed_port()).environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.splitlines()[-1].startswith("recover: interrupted: ")


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=["ctrl-c", "sigterm", "terminal closed"]
)
def test_an_interruption_is_one_sentence_and_frees_the_lock(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM, a terminal that closes: exit 2, the record ended, the next recovery under way at once."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        executable = tmp_path / "bin" / "openclaw"
        executable.write_text(executable.read_text().replace('"running": True', '"running": False'))
        process = subprocess.Popen(
            [sys.executable, str(PROJECT / "recover.py")],
            env={**operator.environ, "OC_OPS_BROWSER": "running", "OC_OPS_CONFIRM_GAP_S": "60"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        folder = tmp_path / "memory" / "recoveries"
        assert eventually(lambda: any('"bounds"' in each.read_text() for each in folder.glob("*.jsonl")), 60)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 2, err
    assert out.splitlines()[-1].startswith("recover: interrupted: ")
    assert "Traceback" not in err
    (record,) = folder.glob("*.jsonl")
    assert json.loads(record.read_text().splitlines()[-1])["outcome"] == "interrupted"
    again = run(operator, OC_OPS_CONFIRM_GAP_S="0.1")
    assert again.returncode == 4, again.stderr
    assert "another recovery" not in again.stdout


def test_a_lock_that_cannot_be_taken_is_no_other_recovery(tmp_path: Path) -> None:
    """A place that cannot be locked is said as such: exit 2, and nobody is told to wait for somebody."""
    operator = Operator(tmp_path, closed_port())
    run(operator, OC_OPS_CONFIRM_GAP_S="0.1")
    (lock,) = (tmp_path / "state").rglob("recovery-*.lock")
    lock.unlink()
    lock.mkdir()
    done = run(operator, OC_OPS_CONFIRM_GAP_S="0.1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"cannot lock {lock}: " in done.stdout
    assert "another recovery" not in done.stdout


def test_a_locale_that_lacks_a_character_costs_no_answer(tmp_path: Path) -> None:
    """The sentence is told with its escape, with its own exit code and no traceback."""
    done = run(Operator(tmp_path, closed_port()), PYTHONUTF8="0", PYTHONIOENCODING="ascii", OC_OPS_CONFIRM_GAP_S="0.1")
    assert done.returncode == 4, done.stderr
    assert done.stdout.splitlines()[-1].startswith("recover: ")
    assert "Traceback" not in done.stderr
