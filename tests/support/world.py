"""What one doctor can see, said beforehand: a healthy gateway unless a test changes something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from oc_ops.doctor.observations import Doctor
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
