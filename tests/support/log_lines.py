"""Log lines as a gateway writes them, and a look at a file of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.logs import LogView, files, recent
from oc_ops.observe.target import locate

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WINDOW = NOW - timedelta(minutes=15)

LOTS = 32 * 2**20


def line(
    *words: object,
    time: str = "2026-11-22T12:00:00.000Z",
    name: str = '{"subsystem":"gateway"}',
    level: str = "ERROR",
    **more: Any,
) -> str:
    """A record as OpenClaw writes it; the gateway's own loggers have a parent, a console has none."""
    numbered = {str(number): word for number, word in enumerate((name, *words) if name.startswith("{") else words)}
    meta: dict[str, object] = {"runtime": "node", "hostname": "unknown", "name": name}
    if name.startswith("{"):
        meta["parentNames"] = ["openclaw"]
    meta |= {"date": time, "logLevelId": 5, "logLevelName": level}
    return json.dumps({**numbered, "_meta": meta, "time": time, **more}, ensure_ascii=False, separators=(",", ":"))


def at(moment: datetime) -> str:
    """A moment as OpenClaw writes it."""
    return moment.isoformat(timespec="milliseconds")


def look(path: Path, *literals: str, since: datetime = WINDOW, tail_bytes: int = LOTS) -> LogView:
    """One look at one file."""
    return recent([path], literals, since=since, tail_bytes=tail_bytes)


def texts(view: LogView) -> list[str]:
    """The messages that were found."""
    return [record.text for record in view.records]


def found(profile: str | None = None, config: GatewayConfig | None = None, **options: Any) -> list[str]:
    """The log files of a target, as text."""
    target = locate({"HOME": "/home/u", **options.pop("environ", {})}, profile)
    options.setdefault("platform", "linux")
    config = config or GatewayConfig(Path("/c"), exists=True)
    return [str(path) for path in files(target, config, datetime(2026, 11, 22, 0, 5), **options)]
