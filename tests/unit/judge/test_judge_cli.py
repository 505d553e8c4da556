"""The judges of the operator's own tools: the command and the config it reads."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.judge import cli as judge
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.openclaw import Answer
from oc_ops.process.run import Call
from tests.support.sights import answer, call

CONFIG = GatewayConfig(Path("/home/joe/.openclaw/openclaw.json"), exists=True)


def version(outcome: str = "refused", stderr: str = "", why: str = "", exit: int | None = None) -> Call:
    """`openclaw --version` and how it ended."""
    made = call("--version", outcome, stderr=stderr, why=why)  # type: ignore[arg-type]
    return made if exit is None else replace(made, exit=exit)


def test_missing() -> None:
    """No command is a finding that says where it was looked for; a found one is none."""
    config = GatewayConfig(Path("/home/ada/.openclaw/openclaw.json"), exists=True)
    assert judge.missing(Path("/usr/bin/openclaw"), config) is None
    finding = judge.missing(None, config, ["/usr/bin", "/bin"])
    assert finding is not None
    assert (finding.check, finding.fact) == ("cli/missing", "there is no `openclaw` command")
    assert "/usr/bin, /bin" in finding.saw
    assert "OC_OPS_OPENCLAW=" in finding.fix
    beside = judge.missing(None, config, ["/usr/bin"], runs=True, own=Path("/opt/claw/openclaw"))
    unnamed = judge.missing(None, config, ["/usr/bin"], runs=True)
    assert beside is not None
    assert unnamed is not None
    assert beside.fix.endswith("install no other beside it: OC_OPS_OPENCLAW=/opt/claw/openclaw")
    assert "npm install" not in beside.fix + unnamed.fix
    elsewhere = judge.missing(None, dataclasses.replace(config, exists=False), ["/usr/bin"])
    assert elsewhere is not None
    assert "and no config" in elsewhere.fact
    assert "as the user who runs the gateway" in elsewhere.fix


OLD, GONE = "its Node.js is too old", "its Node.js is missing"


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (version(stderr="openclaw: Node.js v22.19+ is required (current: v18.20.4).\nIf you use nvm, run:"), OLD),
        (version(stderr="openclaw requires Node >=22.12.0.\nUpgrade Node and re-run openclaw."), OLD),
        (version(stderr="openclaw: Node 22.20.0: openclaw requires Node >=24.16.0 <25, or >=26.1.0."), OLD),
        (version(stderr="Node 20.1.0 is unsupported; OpenClaw requires >=24.16.0"), OLD),
        (version(stderr="openclaw: this Bun runtime is unsupported …\nUse Node.js >=24.16.0 <25; Bun remains …"), OLD),
        (version(stderr="Node v24.2.0: node:sqlite is unavailable; use 24.16+/26.1+"), OLD),
        (version(stderr="/usr/bin/env: 'node': No such file or directory"), GONE),
        (version(stderr="env: node: No such file or directory"), GONE),
        (version("missing", why="cannot be executed: the interpreter named in its first line is missing"), GONE),
        (version(stderr="Error [ERR_MODULE_NOT_FOUND]: failed because of x\n\nNode.js v24.16.0"), "npm install -g"),
        (version(stderr="/home/u/bin/openclaw: 2: volta: not found", exit=127), "name another: OC_OPS_OPENCLAW="),
        (version(stderr="openclaw: 2: exec: /gone/bin/node: not found", exit=127), "where it looks for it"),
        (version("crashed"), "npm install -g"),
        (version("timed-out"), "npm install -g"),
        (version(), "npm install -g"),
    ],
    ids=["2026.5.28", "2026.2.26", "2026.9.6", "2026.9.6 launcher", "bun", "no sqlite", "no node, GNU", "no node, BSD",
         "interpreter gone", "broken install", "wrapper",
         "wrapper of a Node.js that is gone", "crashed", "hangs", "without words"],
)  # fmt: skip
def test_unusable(seen: Call, words: str) -> None:
    """A Node.js that is missing or too old is told from a broken install, and neither is upgraded unasked."""
    finding = judge.unusable(seen)
    assert finding is not None
    assert finding.check == "cli/unusable"
    assert words in finding.fact + finding.fix
    assert (words in (OLD, GONE)) == ("Node.js" in finding.fact)
    assert finding.fix.startswith("none automatic: ")


def test_what_our_own_shell_gives_the_command_is_looked_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to be reinstalled where NODE_OPTIONS or a limit of open files of ours is in its way."""
    found = judge.unusable(
        version(stderr="node: --garbage is not allowed in NODE_OPTIONS"), {"NODE_OPTIONS": "--garbage"}
    )
    assert found is not None
    assert found.fix.startswith("none automatic: unset NODE_OPTIONS where you look from")
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (20, 20))
    found = judge.unusable(version(stderr="node:fs:622"), {})
    assert found is not None
    assert (
        found.fix
        == "none automatic: allow more open files than 20 where you look from (ulimit -n 1024), and look again"
    )


@pytest.mark.parametrize("outcome", ["answered", "lingered"])
def test_a_command_that_prints_its_version_is_usable(outcome: str) -> None:
    """A version that was printed counts, even if the process then stayed."""
    assert judge.unusable(version(outcome)) is None


def test_invalid_config() -> None:
    """A config that does not parse is named with path and place, and never cured by a restart."""
    assert judge.invalid_config(CONFIG) is None
    broken = GatewayConfig(CONFIG.path, exists=True, error="JSON5 does not parse near line 2 column 17: ','")
    for lives in (False, True):
        finding = judge.invalid_config(broken, lives=lives)
        assert finding is not None
        assert finding.check == "config/invalid"
        assert "line 2 column 17" in finding.saw
        assert finding.fix.startswith("none automatic: ")
        assert ("do not restart it" in finding.fix) == lives


ISSUE = {"path": "gateway.port", "message": "expected number, received string"}


@pytest.mark.parametrize(
    ("value", "saw"),
    [
        ({"config": {"cli": {"valid": True}}}, None),
        ({"valid": True, "issues": []}, None),
        (None, None),
        ({}, None),
        ({"config": []}, None),
        ({"config": {"cli": True}}, None),
        ({"config": {"cli": {"valid": "no"}}}, None),
        ({"valid": "false"}, None),
        ({"valid": False, "issues": [ISSUE]}, "gateway.port: expected number, received string"),
        ({"valid": False, "issues": [{"path": "<root>", "message": "JSON5 parse failed"}]}, ": JSON5 parse failed"),
        ({"valid": False, "issues": []}, None),
        ({"valid": False, "issues": ["x"]}, None),
        ({"valid": False, "issues": {"a": 1}}, None),
        ({"valid": False, "issues": [{"path": 3, "message": None}]}, None),
    ],
    ids=["gateway status, valid", "config validate, valid", "no answer", "empty", "config a list", "cli no object",
         "cli no bool", "valid no bool", "config validate, invalid", "root", "no issue", "issue a text",
         "issues an object", "issue of wrong types"],
)  # fmt: skip
def test_rejected_config(value: Mapping[str, object] | None, saw: str | None) -> None:
    """OpenClaw's own validation is believed when it says no, and only then."""
    finding = judge.rejected_config(answer(value), CONFIG)
    assert (finding is None) == (saw is None)
    if finding is not None and saw is not None:
        assert finding.check == "config/invalid"
        assert saw in finding.saw
        assert str(CONFIG.path) in finding.saw


def test_a_release_that_says_config_invalid_in_front_of_every_answer() -> None:
    """2026.2.26 has no `config validate`, but draws a box that says so above whatever it is asked."""
    boxed = Answer(
        call(
            "gateway status --json",
            stdout="│\n◇  Config ──╮\n│  Config invalid; doctor will run with best-effort config.\n{}",
        ),
        {},
    )
    finding = judge.rejected_config(boxed, CONFIG, lives=True)
    assert finding is not None
    assert finding.check == "config/invalid"
    assert "do not restart it" in finding.fix


@pytest.mark.parametrize(
    ("error", "helps", "not_"),
    [
        ("$include ./gone.json: No such file or directory", "take its $include out of", "doctor --fix"),
        ("JSON5 does not parse: Extra data U+007D at line 35 column 1", "openclaw doctor --fix", "$include"),
    ],
)
def test_an_included_file_that_is_gone_is_not_repaired_in_the_config(error: str, helps: str, not_: str) -> None:
    """The config itself is well: the other file is what to put right."""
    found = judge.invalid_config(GatewayConfig(Path("/home/me/.openclaw/openclaw.json"), exists=True, error=error))
    assert found is not None
    assert helps in found.fix
    assert not_ not in found.fix
