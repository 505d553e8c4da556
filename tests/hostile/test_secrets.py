"""Generated secrets, planted through every input and said back in every spelling: in no file, output, argv or child."""

from __future__ import annotations

import json
import random
import string
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.hostile.runs import dice, doctor, oc_ops
from tests.support import machine
from tests.support.hostile import Measured
from tests.support.log_lines import line
from tests.support.machine import Operator, gateway
from tests.unit.record.test_secrecy import SPELLINGS, bared

CHILD = """#!{python}
import json, os, sys
with open({into!r}, "a") as file:
    file.write(json.dumps([sys.argv, dict(os.environ)]) + chr(10))
print({said!r}, file=sys.stderr)
words = " ".join(sys.argv[1:])
print("OpenClaw 2026.9.6" if words == "--version" else json.dumps({{"jobs": [], "said": {said!r}}}))
sys.exit(0 if words == "--version" else 1)
"""


def secret(drawn: random.Random) -> str:
    """One that no pattern knows: of letters and digits, or of them and signs, 9 to 40 characters."""
    signs = drawn.choice(["", "-_", "+/", ".~-", "@:!"])
    letters = string.ascii_letters + string.digits * 3 + signs
    return (
        drawn.choice(string.ascii_letters) + "".join(drawn.choice(letters) for _ in range(drawn.randint(8, 39))) + "7k"
    )


def planted(operator: Operator, drawn: random.Random) -> dict[str, str]:
    """Put one secret into each input; returns them by their places."""
    places = (
        *("token", "env", "header", "number", "url", "look-alike", "dotenv", "GH_PAT", "SLACK_WEBHOOK", "MYAPP_PIN"),
        *("DATABASE_URL", "OC_OPS_NOTIFY_URLS", "OC_OPS_PING_URL", "argument", "include", "passphrase"),
    )
    known = {each: secret(drawn) for each in places}
    known["number"] = str(drawn.randrange(10**9, 10**10))
    config = json.loads(operator.config.read_text())
    config["gateway"]["auth"]["token"] = known["token"]
    config |= {
        "env": {"INNOCENT": known["env"]},
        "mcp": {
            "servers": {
                "a": {
                    "url": f"https://u:{known['url'].translate(str.maketrans('@:/', 'abc'))}@example.org",
                    "headers": {"X-A": known["header"]},
                    "args": ["--token", known["argument"]],
                }
            }
        },
        "channels": {"x": {"password": int(known["number"]), "passphrase": known["passphrase"]}},
        "skills": {"token": {"source": "x", "id": "y", "value": known["look-alike"]}},
        "$include": "./more.json",
    }
    known["url"] = known["url"].translate(str.maketrans("@:/", "abc"))
    operator.config.write_text(json.dumps(config))
    (operator.config.parent / "more.json").write_text(json.dumps({"hooks": {"apiKey": known["include"]}}))
    (operator.config.parent / ".env").write_text(f"SOMETHING_TOKEN={known['dotenv']}\n")
    operator.environ |= {name: known[name] for name in ("GH_PAT", "SLACK_WEBHOOK", "MYAPP_PIN")}
    operator.environ["DATABASE_URL"] = (
        f"postgres://joe:{known['DATABASE_URL'].translate(str.maketrans('@:/', 'abc'))}@h/x"
    )
    known["DATABASE_URL"] = known["DATABASE_URL"].translate(str.maketrans("@:/", "abc"))
    operator.environ["OC_OPS_NOTIFY_URLS"] = f"json://127.0.0.1:9/{known['OC_OPS_NOTIFY_URLS']}"
    operator.environ["OC_OPS_PING_URL"] = f"http://127.0.0.1:9/{known['OC_OPS_PING_URL']}"
    return known


def _leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, salt: str, bounded: Callable[[Measured], None], quick: bool
) -> None:
    drawn = dice(salt)
    with gateway() as port:
        operator = Operator(tmp_path / "machine", port)
        known = planted(operator, drawn)
        said = [drawn.choice(list(SPELLINGS.values()))(each) for each in known.values() for _ in range(3)]
        jobs = [{"id": f"j{n}", "name": f"job {each}", "enabled": True, "schedule": {}} for n, each in enumerate(said)]
        monkeypatch.setitem(machine.RPC, "cron.list", {"jobs": jobs})
        health = {"ok": True, "plugins": {"loaded": [], "errors": [{"id": "x", "error": each} for each in said]}}
        monkeypatch.setitem(machine.RPC, "health", health)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        operator.log.write_text(
            "".join(f"{line(f'EPIPE gateway timeout after 30000ms {each}', time=now)}\n" for each in said)
        )
        children = tmp_path / "children.jsonl"
        child = CHILD.format(python=sys.executable, into=str(children), said="\n".join(said))
        (operator.root / "bin" / "openclaw").write_text(child)
        runs = [doctor(operator)] if quick else [oc_ops(operator, "doctor"), oc_ops(operator, "jobs")]
        runs += [oc_ops(operator, "incidents", "list")]
    for run in runs[:1] if quick else runs[2:]:
        bounded(run)
    written = [
        each for name in ("reports", "memory", "state", "temp") for each in (operator.root / name).rglob("*")
        if each.is_file() and each.name != "device.json"
    ]  # fmt: skip
    assert any(each.name == "report.json" for each in written)
    texts = [*((str(each), each.read_bytes().decode("utf-8", "replace")) for each in written)]
    texts += [("the terminal", run.said) for run in runs]
    started = [json.loads(each) for each in children.read_text().splitlines()] if children.exists() else []
    texts += [("a child's argv", " ".join(argv)) for argv, _ in started]
    texts += [
        ("a child's environment", json.dumps({n: v for n, v in env.items() if n.startswith("OC_OPS_")}))
        for _, env in started
    ]
    for where, text in texts:
        bare = bared(text)
        for place, value in known.items():
            for spelt in (value, value[::-1], value.encode().hex()):
                assert bared(spelt) not in bare, f"{place} ({value}) in {where}"
    assert quick or started
    assert not any(name in env for _, env in started for name in ("OC_OPS_NOTIFY_URLS", "OC_OPS_PING_URL"))


def test_generated_secrets_are_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: Callable[[Measured], None]
) -> None:
    """Sixteen of them, each said back three times by gateway, log and names."""
    _leaves_none(tmp_path, monkeypatch, "secrets", bounded, quick=True)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(20))
def test_other_generated_secrets_are_nowhere(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: Callable[[Measured], None]
) -> None:
    """The same with the command line as well."""
    _leaves_none(tmp_path, monkeypatch, f"secrets {number}", bounded, quick=False)
