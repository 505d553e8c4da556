"""A gateway's log made up of the wordings that real gateways log, healthy through and through."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

BEGIN = datetime(2026, 11, 22, 0, 0, tzinfo=UTC)

CRON = '{"module":"cron","storeKey":"/home/u/.openclaw/cron/jobs.json"}'
WORDS: tuple[tuple[int, str, str, str], ...] = (
    (40, "gateway/ws", "INFO", "⇄ res ✓ {method} {ms}ms conn={id}…{id4} id={id4}…{id4}"),
    (4, "gateway/ws", "INFO", "⇄ res ✗ {method} {ms}ms errorCode=INVALID_REQUEST errorMessage=unknown field"),
    (3, "gateway/ws", "INFO", "webchat connected conn={id} remote=127.0.0.1 client=control-ui webchat v2026.9.6"),
    (3, "gateway/ws", "INFO", "webchat disconnected code=1001 reason=n/a conn={id}"),
    (2, "gateway/health-monitor", "INFO", "started (interval: 300s, startup-grace: 60s, channel-connect-grace: 120s)"),
    (1, "gateway", "INFO", "received SIGUSR2; restarting"),
    (1, "gateway", "INFO", "draining active work before restart with timeout 300000ms: queueSize=1 cronRuns=1"),
    (1, "gateway", "INFO", "all active work drained"),
    (1, "gateway", "INFO", "agent model: openai/gpt-6-astra (thinking=medium, fast=off)"),
    (1, "gateway", "INFO", "http server listening (14 plugins: anthropic, browser, canvas, device-pair; {ms}ms)"),
    (1, "gateway", "INFO", "gateway ready"),
    (1, "gateway", "INFO", "starting channels and sidecars..."),
    (1, "gateway", "INFO", "remote model catalog refresh failed"),
    (1, "gateway", "INFO", "log file: /tmp/openclaw/openclaw-2026-11-22.log"),
    (1, "gateway", "INFO", "update available (latest): v2026.9.6 (current v2026.9.5)"),
    (1, "gateway", "INFO", "device pairing auto-approved device={id}{id} role=operator"),
    (1, "gateway/shutdown", "INFO", "shutdown completed cleanly in 61ms"),
    (1, "gateway/reload", "INFO", "config change detected; evaluating reload (agents.defaults.model)"),
    (1, "browser/service", "INFO", "Browser control service ready (profiles=2)"),
    (4, "diagnostic", "DEBUG", "lane enqueue: lane=session:agent:main queueSize=1"),
    (4, "diagnostic", "DEBUG", "lane dequeue: lane=main waitMs={ms} queueSize=0"),
    (4, "diagnostic", "DEBUG", "lane task done: lane=main durationMs={ms} active=0 queued=0"),
    (4, "diagnostic", "DEBUG", "session state: sessionId={id} prev=processing new=idle reason=run_completed"),
    (3, "agent/embedded", "DEBUG", "embedded run start: runId={id} provider=openai model=gpt-6-astra thinking=medium"),
    (3, "agent/embedded", "DEBUG", "embedded run tool start: runId={id} tool=browser toolCallId=call_{id4}"),
    (3, "agent/embedded", "DEBUG", "embedded run agent end: runId={id} isError=false"),
    (2, "heartbeat", "INFO", "heartbeat: started"),
    (2, "memory", "DEBUG", "memory sync: 12 files checked, none changed in {ms}ms"),
    (2, "gateway/channels/telegram", "INFO", "[default] starting provider (@lab_bot)"),
    (2, "whatsapp/outbound", "INFO", "Sent message 3EB0{id4} -> 49170xxxx ({ms}ms)"),
    (1, "config", "WARN", "possibly sensitive key found: (models.providers.*.apiKey.id)"),
    (6, "cron", "INFO", "cron: timer armed"),
    (3, "cron", "INFO", "cron: started"),
    (3, "cron", "DEBUG", "cron: job run returned ok status"),
)  # fmt: skip
"""How often, logger, level, message: wordings of the healthy state of three releases, all names made up."""

METHODS = ("status", "health", "cron.list", "cron.status", "chat.history", "sessions.list", "node.list", "logs.tail")


def record(number: int, moment: datetime, chance: random.Random) -> str:
    """One healthy record, as 2026.9.6 writes it."""
    _, source, level, words = chance.choices(WORDS, _WEIGHTS)[0]
    text = words.format(
        method=chance.choice(METHODS), ms=chance.randrange(1, 900), id=f"{number:08x}", id4=f"{number & 0xFFFF:04x}"
    )
    name = CRON if source == "cron" else json.dumps({"subsystem": source}, separators=(",", ":"))
    first: dict[str, object] = {"0": name}
    if source == "cron":
        first |= {"1": {"jobId": f"{number:08x}", "delayMs": 60_000, "clamped": True}, "2": text}
    else:
        first |= {"1": text}
    stamp = moment.isoformat(timespec="milliseconds")
    meta = {
        "runtime": "node", "runtimeVersion": "24.19.0", "hostname": "host", "date": stamp[:-6] + "Z",
        "logLevelId": 3, "logLevelName": level, "name": name, "parentNames": ["openclaw"],
    }  # fmt: skip
    more = (
        {"traceId": f"{number:032x}", "spanId": f"{number:016x}", "traceFlags": "01"} if source == "gateway/ws" else {}
    )
    return json.dumps(
        {**first, "_meta": meta, "time": stamp, "hostname": "host", "message": text, **more},
        ensure_ascii=False, separators=(",", ":"),
    )  # fmt: skip


_WEIGHTS = [each[0] for each in WORDS]


def records(count: int, begin: datetime = BEGIN, step: timedelta = timedelta(milliseconds=80)) -> Iterator[str]:
    """So many records in order of time, the same ones every time."""
    chance = random.Random(20261122)
    return (record(number, begin + number * step, chance) for number in range(count))


def write(path: Path, size: int, seeds: tuple[str, ...] = ()) -> int:
    """Fill a file with about `size` bytes, the seeds strewn among each 50,000 lines; the number of lines.

    A block of records is repeated: the vocabulary does not grow with the file.
    """
    lines = [f"{each}\n" for each in records(50_000)]
    for index, seed in enumerate(seeds, 1):
        lines[index * len(lines) // (len(seeds) + 1)] = seed + "\n"
    data = "".join(lines).encode()
    written = 0
    with path.open("wb") as file:
        for _ in range(max(1, round(size / len(data)))):
            file.write(data)
            written += len(lines)
    return written


def faulty(text: str, number: int = 0) -> str:
    """A record in the same manner whose message is another one."""
    entry = json.loads(record(number, BEGIN + number * timedelta(microseconds=10), random.Random(number)))
    entry |= {"1": text, "message": text}
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def write_flood(path: Path, count: int, text: str) -> None:
    """Fill a file with one and the same fault, a hundred thousand times a second."""
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, count, 100_000):
            stamp = (BEGIN + timedelta(seconds=start // 100_000)).isoformat(timespec="milliseconds")
            entry = json.loads(faulty(text)) | {"time": stamp}
            file.write(
                (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n") * min(100_000, count - start)
            )
