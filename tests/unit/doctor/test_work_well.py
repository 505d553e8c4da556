"""Hundreds of looks at healthy gateways of every kind, each with the memory of the last: nothing that is noise.

The seed is in the test's id; `OC_OPS_TEST_SEED` chooses where the count begins, and a failure prints the state.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import NotAsked
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.judge.finding import Finding
from oc_ops.observe.jobs import Jobs, jobs_of
from oc_ops.observe.owners import Ownership
from oc_ops.observe.rpc_reads import RpcReads
from tests.support.sights import reply
from tests.support.world import HELLO, STATUS, Make, World

LIVES, LOOKS = 30, 10
FIRST = int(os.environ.get("OC_OPS_TEST_SEED", "20261128"))
MINUTE, HOUR = 60_000, 3_600_000


class Life:
    """One gateway that is well, and goes on from look to look: its jobs run, its channels poll, its letters stay."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = round(time.time() * 1000)
        chance = self.random
        self.old = chance.random() < 0.2
        """A release that tells little of its work."""
        self.dead = chance.choice([0, 0, 1, 5, 40])
        self.kinds = chance.choices(
            ("polling", "socket", "webhook", "off", "unset", "young", "again"), k=chance.randrange(5)
        )
        self.jobs = [self.job(number) for number in range(chance.choice([0, 1, 3, 8, 30]))]
        self.models = chance.choice(["listed", "unlisted", "local", "fallback", "untold"])

    def ago(self, least_ms: int, most_ms: int) -> int:
        """A moment so long ago."""
        return self.now - self.random.randrange(least_ms, most_ms)

    def account(self, kind: str) -> dict[str, Any]:
        """A channel account that is well, or that nobody wants."""
        told: dict[str, Any] = {
            "accountId": "default",
            "running": True,
            "connected": True,
            "lastStartAt": self.ago(HOUR, 9 * HOUR),
        }
        match kind:
            case "polling":
                told |= {"mode": "polling", "lifecycle": "ready", "lastTransportActivityAt": self.ago(0, 100_000)}
                told["lastError"] = self.random.choice([None, "Network request for 'getUpdates' failed!"])
            case "socket":
                told |= {
                    "lastTransportActivityAt": self.ago(HOUR, 8 * HOUR),
                    "reconnectAttempts": self.random.randrange(4),
                }
            case "webhook":
                del told["connected"]
            case "off":
                told |= {"enabled": False, "running": False, "connected": False, "lastError": "401: Unauthorized"}
            case "unset":
                told |= {"configured": False, "running": False, "connected": False}
            case "young":
                told |= {"connected": False, "lifecycle": "starting", "lastStartAt": self.ago(0, 100_000)}
            case "again":
                young = self.ago(0, 100_000)
                told |= {
                    "running": False,
                    "connected": False,
                    "restartPending": True,
                    "lastError": "x",
                    "lastStartAt": young,
                }
        return told

    def job(self, number: int) -> dict[str, Any]:
        """A job that is well, or whose trouble is nobody's: a command, a turn of an agent, a heartbeat, a one-shot."""
        chance = self.random
        every = chance.choice([5 * MINUTE, HOUR, 24 * HOUR])
        ran = self.ago(0, every)
        state: dict[str, Any] = {
            "lastRunAtMs": ran,
            "lastRunStatus": "ok",
            "nextRunAtMs": ran + every,
            "lastDurationMs": 900,
        }
        told: dict[str, Any] = {
            "id": f"job-{number}", "name": f"name-{number}", "enabled": True,
            "createdAtMs": self.now - 90 * 24 * HOUR, "updatedAtMs": self.now - 80 * 24 * HOUR,
            "schedule": {"kind": "every", "everyMs": every, "anchorMs": ran}, "payload": {"kind": "command"},
            "delivery": {"mode": "none"}, "state": state,
        }  # fmt: skip
        match chance.randrange(9):
            case 0:
                told["payload"] = {"kind": "agentTurn", "message": "hi"}
            case 1:
                told |= {"declarationKey": "heartbeat-main", "payload": {"kind": "agentTurn"}}
            case 2:
                told |= {"enabled": False}
                state |= {"lastRunStatus": "error", "consecutiveErrors": 9, "lastError": "exit 3"}
            case 3:
                state |= {"lastRunStatus": "error", "consecutiveErrors": chance.randrange(1, 3), "lastError": "exit 3"}
            case 4:
                state |= {"runningAtMs": self.ago(0, 8 * MINUTE)}
            case 5:
                state |= {"nextRunAtMs": self.now - chance.randrange(MINUTE)}
            case 6:
                state |= {"lastDeliveryStatus": "not-delivered", "deliverySuppressionReason": "nothing to say"}
            case 7:
                told["schedule"] = {"kind": "at", "at": "2099-01-01T00:00:00Z"}
                state.clear()
            case _:
                state |= {"lastDeliveryStatus": "delivered"}
        return told

    def health(self) -> dict[str, Any]:
        """Letters given up long ago, some that just came in, plugins that are loaded or switched off."""
        failed = [{"queueName": "telegram", "count": self.dead, "oldestFailedAt": self.now - 40 * 24 * HOUR}]
        fresh = {
            "channelId": "telegram",
            "pendingCount": 2,
            "claimedCount": 1,
            "oldestReceivedAt": self.ago(0, 10 * MINUTE),
        }
        queues = {
            "failed": failed if self.dead else [],
            "ingressPressure": [fresh] if self.random.random() < 0.5 else [],
        }
        return {
            "deliveryQueues": queues,
            "plugins": {"loaded": ["telegram"], "errors": [], "unavailable": []},
            "defaultAgentId": "main",
        }

    def models_told(self) -> dict[str, Any]:
        """A default agent that can answer, however its release tells that."""
        model: dict[str, Any] = {"primary": "lab/one", "fallbacks": ["other/two"]}
        listed: list[dict[str, Any]] = [
            {"provider": "lab", "id": "one", "available": True},
            {"provider": "other", "id": "two"},
        ]
        having: list[dict[str, Any]] = [{"provider": "lab", "status": "static", "apiKey": {"source": "config"}}]
        if self.models == "unlisted":
            listed = [{"provider": "lab", "id": "three", "available": True}]
            turn = {"kind": "agentTurn", "message": "hi"}
            state = {"lastRunStatus": "ok", "lastRunAtMs": self.ago(0, HOUR), "nextRunAtMs": self.now + HOUR}
            if all(each["id"] != "asks" for each in self.jobs):
                self.jobs.append(
                    {
                        **self.job(900),
                        "declarationKey": None,
                        "id": "asks",
                        "name": "asks",
                        "enabled": True,
                        "payload": turn,
                        "state": state,
                    }
                )
        elif self.models == "local":
            having = []
        elif self.models == "untold":
            listed = [{"provider": "lab", "id": "one"}]
        return {
            "agents.list": {"defaultId": "main", "agents": [{"id": "main", "model": model}, {"id": "second"}]},
            "models.list": {"models": listed},
            "models.authStatus": {"providers": having},
        }

    def look(self) -> RpcReads:
        """What it tells now; an hour or so has passed since it did last."""
        accounts = {f"{kind}{number}": [self.account(kind)] for number, kind in enumerate(self.kinds)}
        told: dict[str, Any] = {
            "health": self.health(),
            "channels.status": {"channelAccounts": accounts},
            **self.models_told(),
        }
        audit = {
            "byCode": {"stale_queued": 0, "lost": self.random.randrange(3), "stale_running": self.random.randrange(2)}
        }
        jobs = reply("cron.list", {"jobs": self.jobs})
        work = {} if self.old else {method: reply(method, payload) for method, payload in told.items()}
        status = reply("status", STATUS if self.old else {**STATUS, "taskAudit": audit})
        return RpcReads(HELLO, status, reply("cron.status", {"enabled": True, "storage": "sqlite"}), jobs, work=work)

    def passes(self) -> None:
        """Jobs run and are added; a one-shot job takes itself away."""
        self.jobs = [each for each in self.jobs if each["schedule"]["kind"] != "at" or self.random.random() < 0.5]
        kept = {each["id"] for each in self.jobs}
        fresh = [self.job(number) for number in range(1000, 1000 + self.random.randrange(3))]
        self.jobs += [each for each in fresh if each["id"] not in kept]
        for number, each in enumerate(self.jobs):
            if each["schedule"]["kind"] == "every" and each["id"] != "asks":
                self.jobs[number] = {**self.job(number), "id": each["id"], "name": each["name"]}


def found(surroundings: Surroundings) -> Iterator[Finding]:
    """Everything that the checks of a gateway's work say."""
    work = surroundings.work
    parts: tuple[Callable[[], Any], ...] = (
        work.channels, work.deliveries, work.cron, work.agent, work.plugins, work.tasks, work.backups,
        surroundings.known_release,
    )  # fmt: skip
    for part in parts:
        try:
            told = part()
        except NotAsked:
            continue
        yield from told if isinstance(told, tuple) else (told,) if told else ()


@pytest.fixture(autouse=True)
def _sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The jobs are those of the one connection; nobody is asked who owns a marker."""

    def sight(doctor: Doctor, _watched: object) -> tuple[Jobs, dict[str, Ownership]]:
        return Jobs(jobs_of(doctor.cron_list_read().payload), "rpc", datetime.now(UTC)), {}

    monkeypatch.setattr("oc_ops.doctor.jobs.sight", sight)


@pytest.mark.parametrize("seed", range(FIRST, FIRST + LIVES))
def test_a_gateway_that_is_well_makes_no_noise(seed: int, world: World, make: Make) -> None:
    """No error and no warning at any of its looks; what is only to be known is information."""
    life = Life(seed)
    for number in range(LOOKS):
        world.reads = life.look()
        loud = [each for each in found(Surroundings(make())) if each.severity != "info"]
        assert not loud, (seed, number, [str(each) for each in loud], json.dumps(life.jobs)[:3000], life.kinds)
        life.passes()


def test_the_same_judges_are_heard_where_something_is_wrong(world: World, make: Make) -> None:
    """The states above are near to these: a channel without its service, a job that fails on, a parked provider."""
    life = Life(FIRST)
    life.old, life.kinds, life.models = False, ["polling"], "listed"
    world.reads = life.look()
    list(found(Surroundings(make())))
    account = {**life.account("polling"), "connected": False, "lastError": "401: Unauthorized"}
    failing = life.job(3) | {
        "enabled": True,
        "state": {"lastRunStatus": "error", "consecutiveErrors": 3, "lastError": "x"},
    }
    turn = life.job(4) | {"id": "turn", "enabled": True, "payload": {"kind": "agentTurn", "message": "hi"}}
    parked = {"provider": "lab", "id": "one", "available": False, "unavailableUntil": life.now + HOUR}
    life.jobs = [failing, turn]
    seen = life.look()
    work = {**seen.work, "channels.status": reply("channels.status", {"channelAccounts": {"telegram": [account]}})}
    work["models.list"] = reply("models.list", {"models": [parked]})
    world.reads = RpcReads(seen.hello, seen.status, seen.cron_status, seen.cron_list, work=work)
    told = {each.check for each in found(Surroundings(make())) if each.severity != "info"}
    assert told >= {"channels/down", "cron/failing-unwatched", "models/parked"}
