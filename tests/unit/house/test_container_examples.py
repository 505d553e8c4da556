"""contrib/container as it stands: the first start writes a config whose log the container beside it shares."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.containers import EXAMPLES, example


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_the_first_start_writes_a_config_and_the_next_keeps_it(name: str, tmp_path: Path) -> None:
    """Mode, a token from the environment, and a log in the shared volume; a config that is there is the operator's."""
    node = tmp_path / "node"
    node.write_text('#!/bin/sh\necho "$@"\n')
    node.chmod(0o755)
    environ = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:{os.defpath}", "OPENCLAW_GATEWAY_TOKEN": "not-in-the-file"}
    ran = subprocess.run(["sh", "-c", example(name)], env=environ, capture_output=True, text=True, check=True)
    assert ran.stdout == "dist/index.js gateway --bind lan --port 18789\n"
    config = tmp_path / ".openclaw" / "openclaw.json"
    told = json.loads(config.read_text())
    assert told["gateway"]["mode"] == "local"
    assert told["gateway"]["auth"] == {"token": "${OPENCLAW_GATEWAY_TOKEN}"}
    assert told["logging"] == {"file": f"{tmp_path}/.openclaw/logs/gateway.log"}
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    config.write_text("{}")
    subprocess.run(["sh", "-c", example(name)], env=environ, capture_output=True, check=True)
    assert config.read_text() == "{}"


def test_the_image_brings_the_command_that_the_doctor_asks() -> None:
    """It is built on the gateway's own, with a command of that name where the image has none."""
    text = (EXAMPLES / "Containerfile").read_text(encoding="utf-8")
    assert "FROM ${OPENCLAW}" in text
    assert "command -v openclaw ||" in text
