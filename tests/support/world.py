"""What one doctor can see, said beforehand: a healthy gateway unless a test changes something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import Blocked, NotAsked
from oc_ops.errors import CouldNotLook
from oc_ops.judge.finding import Finding
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import Hello, RpcRefused
from oc_ops.observe.rpc_reads import RpcReads
from tests.support.sights import answer, call, gateway_process, nothing, reply, sight

STATUS = {"runtimeVersion": "2026.9.6", "heartbeat": {}}
HELLO = Hello("2026.9.6", 4, frozenset(), frozenset(), ("operator.read",), 30_000)
READS = RpcReads(
    HELLO,
    reply("status", STATUS),
    reply("cron.status", {"enabled": True}),
    reply("cron.list", {"jobs": []}),
)
DOWN = sight(nothing("refused", wall_s=0.0), processes=())
HUNG = sight(nothing("silent"), again=nothing("silent"), processes=(gateway_process(),))


class World:
    """What there is to see, and how often it was looked at."""

    def __init__(self) -> None:
        self.look: GatewayProbe | Exception = sight()
        self.reads: RpcReads | RpcRefused | Exception = READS
        self.cli: dict[str, Any] = {
            "version": call("--version", stdout="OpenClaw 2026.9.6"),
            "gateway_status": answer({"config": {"cli": {"valid": True}}}),
            "cron_list": answer({"jobs": []}),
            "cron_status": answer({"enabled": True}),
            "status": answer(STATUS),
            "browser_status": answer({"running": True}),
            "config_validate": answer({"valid": True}),
        }
        self.asked: Counter[str] = Counter()

    def see(self, name: str, value: Any) -> Any:
        """Count a look and give, or raise, what there is."""
        self.asked[name] += 1
        if isinstance(value, Exception) and not isinstance(value, RpcRefused):
            raise value
        return value

    @property
    def calls(self) -> Counter[str]:
        """The `openclaw` calls alone."""
        return Counter({name: count for name, count in self.asked.items() if name in self.cli})


Make = Callable[..., Doctor]

OBSERVATIONS = (
    "config_cause", "look", "http_cause", "rpc_lane", "status_read", "rpc_cause", "cron_status", "cron_list_read",
    "executable", "openclaw", "version", "cli_fault", "status_fault", "cli_cause", "config_rejected", "cron_list",
    "browser_fault", "browser_answer", "browser_status", "log_files", "log_view",
)  # fmt: skip


def everything(doctor: Doctor) -> dict[str, object]:
    """Ask for every observation, costly ones first; what was raised counts as an answer."""
    found: dict[str, object] = {}
    for name in reversed(OBSERVATIONS):
        try:
            found[name] = getattr(doctor, name)()
        except (Blocked, CouldNotLook, NotAsked) as error:
            found[name] = error
    return found


def causes(found: dict[str, object]) -> set[str]:
    """The ids of every finding that came of it, as a cause or by blocking."""
    seen = [each.cause if isinstance(each, Blocked) else each for each in found.values()]
    return {each.check for each in seen if isinstance(each, Finding)}
