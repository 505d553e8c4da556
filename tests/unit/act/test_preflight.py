"""Before the act: what is under way and can still be drained, by the gateway's word where it has one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.errors import CouldNotLook
from oc_ops.gateway import Gateway
from oc_ops.judge import gateway as judge
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcReply
from oc_ops.observe.service import NO_SERVICE, Service
from oc_ops.observe.sockets import Listener
from tests.support import sights
from tests.support.stage import DOWN, HUNG, RUNNING, STOPPED, WELL, Stage, saw

JOBS = {
    "jobs": [
        {"id": "a", "name": "nightly backup", "enabled": True, "state": {"runningAtMs": 1795348735341}},
        {"id": "b", "name": "at rest", "enabled": True, "state": {}},
    ]
}
TASKS = {
    "tasks": [
        {"taskId": "t1", "runtime": "cron", "label": "nightly backup"},
        {"taskId": "t2", "runtime": "agent", "label": "answers\u001b[31m somebody"},
    ]
}
BLOCKERS = {
    "safe": False,
    "blockers": [
        {"kind": "cron-run", "count": 1, "message": "1 active cron run(s)"},
        {"kind": "queue", "count": 2, "message": "2 queued or active operation(s)"},
    ],
}


class Client:
    """An RPC connection that answers from a table, and not at all where that has nothing."""

    def __init__(self, answers: Mapping[str, object], methods: tuple[str, ...]) -> None:
        self.answers, self.hello = answers, SimpleNamespace(methods=methods)

    def request(self, method: str, _params: object = None) -> RpcReply:
        """The answer, or silence."""
        outcome: Any = "ok" if method in self.answers else "silent"
        return RpcReply(method, outcome, self.answers.get(method))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        return None


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """HTTP lives, and an authenticated read was not answered."""
    made = Stage(tmp_path, monkeypatch)
    made.looks, made.services = [sights.sight(), WELL], [RUNNING]
    made.seen = [saw("gateway/rpc-unanswered"), saw("gateway/rpc-unanswered"), saw()]
    return made


def connects(monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, object], *methods: str) -> None:
    """The gateway takes a connection now."""
    monkeypatch.setattr(Gateway, "connect", lambda _: Client(answers, methods))


def line(stage: Stage) -> str:
    """What was said of the work under way."""
    return next(each for each in stage.said if each.startswith("preflight: it would"))


def test_a_gateway_that_can_still_be_asked_is_drained(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running jobs, tasks and what else blocks are named, each once, and the restart is the safe one."""
    connects(monkeypatch, {"cron.list": JOBS, "tasks.list": TASKS}, "gateway.restart.preflight")
    stage.answers["gateway call gateway.restart.preflight"] = (0, BLOCKERS)
    stage.answers["gateway restart --safe"] = (0, {"ok": True, "result": "deferred", "message": "after work drains"})
    assert stage.recover().exit == 0
    assert stage.acts == ["gateway restart --safe --json"]
    said = line(stage)
    assert said.count("nightly backup") == 1
    assert "at rest" not in said
    assert "task answers" in said
    assert "\u001b" not in said
    assert "2 queued or active operation(s)" in said
    assert "1 active cron run(s)" not in said


@pytest.mark.parametrize(
    ("answers", "methods"),
    [
        ({}, ("gateway.restart.preflight",)),
        ({"cron.list": JOBS, "tasks.list": TASKS}, ("status",)),
        ({"cron.list": JOBS, "tasks.list": TASKS}, ("gateway.restart.preflight",)),
    ],
    ids=["silent", "not-offered", "preflight-fails"],
)
def test_one_that_cannot_be_asked_is_restarted_plainly(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, object], methods: tuple[str, ...]
) -> None:
    """Silent, of a release without the method, or with a method that fails: no drain can be asked for."""
    connects(monkeypatch, answers, *methods)
    assert stage.recover().exit == 0
    assert stage.acts == ["gateway restart --json"]


@pytest.mark.parametrize(
    ("look", "shows"),
    [
        (sights.sight(ready=sights.ready(delay_ms=2500.0)), "gateway/saturated"),
        (sights.sight(sights.page("Directory listing"), processes=(), listener=sights.PYTHON), "gateway/port-taken"),
        (HUNG, "gateway/hung"),
    ],
    ids=["saturated", "port-taken", "hung"],
)
def test_an_unanswered_read_that_the_last_look_explains_is_no_reason_to_restart(
    stage: Stage, look: GatewayProbe, shows: str
) -> None:
    """The cause is another one than the doctor saw: looked at anew, and what is never cured is not acted on as this."""
    stage.looks, stage.seen = [look], [saw("gateway/rpc-unanswered")]
    refused = stage.recover(force=True)
    assert (refused.exit, stage.acts) == (3, [])
    assert f"the last look before the act shows {shows}" in refused.why


def test_a_closed_lane_leaves_the_store(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of the work of a gateway that neither answers nor has a store."""

    def closed(_: object) -> Client:
        raise CouldNotLook("the setting rpc is off")

    monkeypatch.setattr(Gateway, "connect", closed)
    assert stage.recover().exit == 0
    assert "nothing is known to be under way" in line(stage)


def test_a_long_list_is_cut(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five by name, the others counted."""
    tasks = {"tasks": [{"taskId": f"t{number}", "runtime": "agent"} for number in range(8)]}
    connects(monkeypatch, {"cron.list": {"jobs": []}, "tasks.list": tasks})
    stage.recover()
    assert line(stage).endswith("task t4 and 3 more")


@pytest.mark.parametrize(("release", "exit_"), [("2026.9.6", 0), ("2026.5.28", 4), ("2026.2.26", 4)])
def test_a_foreground_gateway_is_restarted_only_where_that_does_something(
    stage: Stage, release: str, exit_: int
) -> None:
    """2026.9.6 restarts in place; on older releases the command says yes and does nothing, so it is not given."""
    from oc_ops.observe.service import NO_SERVICE

    stage.services = [NO_SERVICE]
    (stage.root / "package.json").write_text(f'{{"name": "openclaw", "version": "{release}"}}')
    seen = stage.recover()
    assert seen.exit == exit_
    assert stage.acts == (["gateway restart --json"] if exit_ == 0 else [])
    assert exit_ == 0 or f"`openclaw gateway restart` of {release} then restarts nothing" in seen.sentence


def test_an_old_release_s_word_on_the_config_is_its_status(stage: Stage) -> None:
    """2026.2.26 has no `config validate`: it says Config invalid in front of any other answer."""
    script = stage.settings.openclaw
    assert script is not None
    refuses = 'if words.startswith("config validate"):\n    sys.exit(print("unknown command", file=sys.stderr) or 1)\n'
    script.write_text(script.read_text().replace("answers = json", f"{refuses}answers = json"))
    stage.answers["gateway status"] = (0, {"rpc": {"ok": False}})
    assert stage.recover().exit == 0
    stage.answers["gateway status"] = (0, "Config invalid; doctor will run with best-effort config.")
    stage.looks, stage.seen = [HUNG], [saw("gateway/hung")]
    stage.elapsed_s = 4000
    refused = stage.recover()
    assert (refused.exit, len(stage.acts)) == (4, 1)
    assert "the config is invalid" in refused.sentence


def test_a_service_manager_that_does_not_answer_has_not_said_that_no_unit_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a command of OpenClaw could do it is not known then: nothing is done, and nothing is claimed."""
    stage = Stage(tmp_path, monkeypatch)
    stage.services = [Service("systemd", "openclaw-gateway.service", "silent", detail="no answer within 3 s")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.acted, stage.acts) == (2, False, [])
    assert "systemd unit openclaw-gateway.service is silent (no answer within 3 s)" in outcome.why


# -- positive proof ----------------------------------------------------------------------------------------------------

SILENT = sights.nothing("silent")
ZOMBIE = sights.sight(sights.nothing("refused"), service=RUNNING)
SYSTEM = Service("systemd", "openclaw.service", "failed", scope="system", standard=False)
CONMON = Listener(77, "/usr/bin/conmon --api-version 1", uid=0)


@pytest.mark.parametrize("look", [HUNG, ZOMBIE, DOWN], ids=["hung", "zombie", "down"])
def test_what_is_proven_is_acted_on(stage: Stage, look: GatewayProbe) -> None:
    """The process, its sockets and its unit were seen: the cure of the finding is done."""
    cause = site_cause(look)
    stage.looks, stage.services = [look, WELL], [STOPPED if look is DOWN else RUNNING]
    stage.seen = [saw(cause), saw(cause), saw()]
    assert stage.recover().exit == 0
    assert len(stage.acts) == 1


def site_cause(look: GatewayProbe) -> str:
    """What the judge says of it."""
    found = judge.cause(look, judge.Limits())
    assert found is not None
    return found.check


@pytest.mark.parametrize(
    ("look", "service", "why"),
    [
        (replace(HUNG, listener=Listener(None)), RUNNING, "no positive proof"),
        (replace(HUNG, listener=Listener(None, uid=0), processes=()), RUNNING, "no positive proof"),
        (replace(HUNG, processes=()), RUNNING, "no positive proof"),
        (
            replace(HUNG, processes=(sights.gateway_process(certain=False),)),
            RUNNING,
            "no positive proof",
        ),
        (sights.sight(sights.nothing("garbled", detail="no TLS"), service=RUNNING), RUNNING, "no positive proof"),
        (replace(HUNG, again=sights.nothing("refused")), RUNNING, "no positive proof"),
        (replace(HUNG, listener=CONMON), RUNNING, "conmon only forwards the port"),
        (replace(HUNG, listener=CONMON, processes=()), RUNNING, "conmon only forwards the port"),
        (
            sights.sight(sights.nothing("garbled"), listener=CONMON, processes=(), service=STOPPED),
            STOPPED,
            "conmon only forwards the port",
        ),
        (replace(HUNG, wanted=18789), RUNNING, "is wanted on 18789"),
        (replace(ZOMBIE, listens="127.0.0.1:4"), RUNNING, "no positive proof"),
        (replace(DOWN, processes=(sights.gateway_process(age_s=999.0, certain=False),)), STOPPED, "no positive proof"),
        (replace(DOWN, service=NO_SERVICE), NO_SERVICE, "has nothing to start"),
    ],
    ids=[
        "hung, its listener hidden", "hung, another user's", "hung, of an unknown process", "hung, by its title alone",
        "no TLS", "silent and then refused", "hung behind conmon, a gateway of ours beside it", "hung behind conmon",
        "dead behind conmon", "hung on another port", "a zombie that listens somewhere", "down, beside a maybe",
        "down, no unit",
    ],
)  # fmt: skip
def test_without_positive_proof_nothing_is_done(stage: Stage, look: GatewayProbe, service: Service, why: str) -> None:
    """`--force` lifts none of it, a running unit beside it proves nothing, and the finding's own fix is told."""
    check = site_cause(look)
    assert check in ("gateway/hung", "gateway/zombie", "gateway/down")
    stage.looks, stage.services, stage.seen = [look], [service], [saw(check)]
    refused = stage.recover(force=True)
    assert (refused.exit, stage.acts) == (4, [])
    assert why in refused.why
    assert "fix: by hand: " in refused.why


def test_a_system_unit_s_fix_names_the_command_of_a_person() -> None:
    """What OpenClaw's own commands do not reach is started by its manager, as root."""
    down = judge.cause(replace(DOWN, service=SYSTEM), judge.Limits())
    assert down is not None
    assert down.fix == "sudo systemctl start openclaw.service"
    running = replace(SYSTEM, state="running", pid=sights.PID)
    hung = judge.cause(replace(HUNG, service=running), judge.Limits())
    assert hung is not None
    assert hung.fix == "sudo systemctl restart openclaw.service"
    looping = replace(SYSTEM, state="restarting", restarts=9)
    loop = judge.cause(replace(DOWN, service=looping), judge.Limits())
    assert loop is not None
    assert (loop.check, "system systemd unit openclaw.service" in loop.saw) == ("gateway/crash-loop", True)


def test_what_may_not_be_seen_is_unknown(stage: Stage) -> None:
    """Whether the gateway is down is not known: nothing is done, and it is said who may look."""
    stage.looks = [replace(DOWN, hidden="pid 7 of user joe may be this gateway; run the doctor as that user")]
    stage.services, stage.seen = [STOPPED], [saw("gateway/down")]
    refused = stage.recover(force=True)
    assert (refused.exit, stage.acts) == (2, [])
    assert "run the doctor as that user" in refused.why
