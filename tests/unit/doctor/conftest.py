"""A world for the doctor's observations, and doctors who look at it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from oc_ops.doctor.observations import Doctor
from oc_ops.observe import rpc_reads
from oc_ops.observe.openclaw import Answer, Openclaw
from oc_ops.process.run import Call
from oc_ops.settings import Settings
from tests.support.world import Make, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """A healthy gateway that nobody has looked at."""
    seen = World()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("oc_ops.observe.probe.look", lambda *_, **__: seen.see("look", seen.look))
    monkeypatch.setattr(rpc_reads, "all_at_once", lambda *_, **__: seen.see("rpc", seen.reads))
    for name in seen.cli:

        def ask(_self: Openclaw, name: str = name) -> Answer | Call:
            found: Answer | Call = seen.see(name, seen.cli[name])
            return found

        monkeypatch.setattr(Openclaw, name, ask)
    return seen


@pytest.fixture
def make(world: World, tmp_path: Path) -> Make:
    """Makes doctors of a home with a config and an `openclaw`."""
    executable = tmp_path / "openclaw"
    executable.write_text("#!/bin/false\n")
    executable.chmod(0o755)
    (tmp_path / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
    config = tmp_path / ".openclaw" / "openclaw.json"
    config.parent.mkdir()

    def made(
        *,
        text: str | None = '{"gateway": {"mode": "local"}}',
        quick: bool = False,
        cli: bool = True,
        shell: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> Doctor:
        config.unlink(missing_ok=True)
        if text is not None:
            config.write_text(text)
        settings = Settings(memory_dir=tmp_path / "memory", openclaw=executable if cli else None, **changes)
        environ = {"HOME": str(tmp_path), "PATH": str(tmp_path / "nowhere"), **(shell or {})}
        return Doctor(settings, environ, quick=quick)

    return made
