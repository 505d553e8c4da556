"""The judges of the gateway's state: one finding for each scenario, and a cure that fits it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from oc_ops.judge import files as judge_files
from oc_ops.judge import gateway as judge
from oc_ops.judge import lifecycle
from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import in_state, of_check
from oc_ops.judge.gateway import Limits
from oc_ops.observe.healers import Healer
from oc_ops.observe.http import Kind, Probe
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import Service
from oc_ops.observe.sockets import Listener
from tests.support.sights import (
    CONTROL_UI,
    GATEWAY,
    LIVE,
    PID,
    PYTHON,
    STARTED,
    YOUNG,
    gateway_process,
    nothing,
    page,
    ready,
    restarts,
    said,
    sight,
)

REFUSED, SILENT = nothing("refused", wall_s=0.0), nothing("silent")
GARBLED = nothing("garbled", detail="b'SSH-2.0-OpenSSH_9.2'")
NO_TLS = nothing("unreachable", detail="[SSL: WRONG_VERSION_NUMBER] wrong version number")
LATE = said({"ok": True, "status": "live"}, wall_s=1.7)
STARTING = said(
    {"ok": False, "status": "starting", "version": "2026.9.6", "uptimeMs": 4176, "pendingReason": "startup-sidecars"},
    "/startupz",
    503,
)
DRAINING = said({"ok": False, "status": "draining", "version": "2026.9.6", "uptimeMs": 90_000_000}, "/startupz", 503)
OLD_PAGE = page(CONTROL_UI)
"""2026.2.26 answers every path so; 2026.5.28 /startupz alone."""


def unit(state: str, **changes: object) -> Service:
    """The gateway's systemd unit."""
    return replace(Service("systemd", "openclaw-gateway.service", "running"), state=state, **changes)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is seen, which finding explains it (None: healthy), and what its texts must say."""

    seen: GatewayProbe
    check: str | None
    fix: str = ""
    words: str = ""


STOPPED = (gateway_process(status="stopped"),)
MAYBE = (gateway_process(age_s=5.0, title="openclaw", evidence="may be a gateway on its way up", certain=False),)
UNIT = unit("running")
SCENARIOS: Mapping[str, Scenario] = {
    "healthy 2026.9.6": Scenario(sight(), None),
    "healthy 2026.5.28, whose /startupz is a page": Scenario(sight(startup=page(CONTROL_UI, "/startupz")), None),
    "healthy 2026.2.26, which answers with its page": Scenario(
        sight(OLD_PAGE, startup=page(CONTROL_UI, "/startupz"), ready=page(CONTROL_UI, "/readyz")), None
    ),
    "2026.2.26 with its page switched off": Scenario(
        sight(page("Not Found", status=404), startup=page("", status=404), ready=page("", status=404)), None
    ),
    "healthy, its listener hidden by the OS": Scenario(sight(listener=Listener(None)), None),
    "healthy, seen through a forwarder": Scenario(sight(listener=Listener(77, "docker-proxy -host-port 28789")), None),
    # nothing listens
    "refused, no process": Scenario(
        sight(REFUSED, processes=()), "gateway/down", "none automatic: no service unit", "no service"
    ),
    "refused, no process, unit stopped": Scenario(
        sight(REFUSED, processes=(), service=unit("stopped")), "gateway/down", judge.START, "is stopped"
    ),
    "refused, young process": Scenario(sight(REFUSED, processes=YOUNG), "gateway/starting", "none", "228 s more"),
    "refused, a process that may be one": Scenario(sight(REFUSED, processes=MAYBE), "gateway/starting", "none"),
    "refused, an old one that may be one": Scenario(
        sight(REFUSED, processes=(replace(MAYBE[0], age_s=999.0),)), "gateway/down"
    ),
    "refused, old process, no service": Scenario(sight(REFUSED), "gateway/zombie", f"none automatic: end pid {PID}"),
    "refused, old process of a service": Scenario(
        sight(REFUSED, service=unit("running", pid=PID)), "gateway/zombie", judge.RESTART
    ),
    "refused, old process that installs": Scenario(
        sight(REFUSED, installing=Healer(99, "npm install", 200.0)), "gateway/starting", "none automatic: wait until"
    ),
    "refused, old process whose install never ends": Scenario(
        sight(REFUSED, installing=Healer(99, "npm install", 7200.0)), "gateway/zombie", f"none automatic: end pid {PID}"
    ),
    "silent, and it installs a part of its own": Scenario(
        sight(SILENT, installing=Healer(99, "npm install", 200.0, own=True)), "gateway/starting", "none automatic: wait"
    ),
    "silent, and a tool of its own installs": Scenario(
        sight(SILENT, installing=Healer(99, "npm install", 200.0)), "gateway/hung"
    ),
    "refused, stopped process before it listened": Scenario(sight(REFUSED, processes=STOPPED), "gateway/zombie"),
    "refused, first automatic restart": Scenario(
        sight(REFUSED, processes=(), service=unit("restarting", restarts=0)), "gateway/starting", "none"
    ),
    "refused, fifth automatic restart": Scenario(
        sight(REFUSED, processes=(), service=unit("restarting", restarts=5)), "gateway/crash-loop", "none", "5 times"
    ),
    "refused, restarting after exit 78": Scenario(
        sight(REFUSED, processes=(), service=unit("restarting", restarts=1, exit_status=78)),
        "gateway/crash-loop", "none", "exits with 78",
    ),
    "refused, failed with exit 78": Scenario(
        sight(REFUSED, processes=(), service=unit("failed", exit_status=78, result="exit-code")),
        "gateway/crash-loop", "none", "gave up",
    ),
    "refused, start limit hit": Scenario(
        sight(REFUSED, processes=(), service=unit("failed", exit_status=1, result="start-limit-hit")),
        "gateway/crash-loop", "none", "start-limit-hit",
    ),
    "refused, failed once": Scenario(
        sight(REFUSED, processes=(), service=unit("failed", exit_status=1, result="exit-code", restarts=0)),
        "gateway/down", judge.START, "last exit 1",
    ),
    "refused, young again after many restarts": Scenario(
        sight(REFUSED, processes=YOUNG, service=unit("running", restarts=57)), "gateway/starting", "none", "57 times"
    ),
    "unreachable": Scenario(sight(nothing("unreachable"), listener=None, processes=()), "gateway/down"),
    # the port accepts and no answer comes
    "silent, stopped process": Scenario(
        sight(SILENT, processes=STOPPED), "gateway/hung", f"kill -CONT {PID}", "is stopped"
    ),
    "silent, young and stopped": Scenario(
        sight(SILENT, processes=(gateway_process(9.0, "stopped"),)), "gateway/hung", f"kill -CONT {PID}"
    ),
    "silent twice, spinning": Scenario(
        sight(SILENT, again=SILENT, busy=0.98, service=UNIT), "gateway/hung", judge.RESTART, "spinning (98 % of a core)"
    ),
    "silent twice, idle": Scenario(
        sight(SILENT, again=SILENT, busy=0.0, service=UNIT), "gateway/hung", judge.RESTART, "is idle"
    ),
    "silent twice, no service": Scenario(
        sight(SILENT, again=SILENT, busy=0.0), "gateway/hung", "none automatic: no service unit", "is idle"
    ),
    "silent twice, blocked": Scenario(
        sight(SILENT, again=SILENT, processes=(gateway_process(status="disk-sleep"),), busy=0.0, service=UNIT),
        "gateway/hung", judge.RESTART, "blocked in the kernel",
    ),
    "silent twice, its process hidden": Scenario(
        sight(SILENT, again=SILENT, processes=(), listener=Listener(None)),
        "gateway/hung", "none automatic: see who has the port", "cannot be seen",
    ),
    "silent twice, young process": Scenario(sight(SILENT, again=SILENT, processes=YOUNG), "gateway/starting", "none"),
    "silent, then refused": Scenario(sight(SILENT, again=REFUSED), "gateway/hung", words="connection refused"),
    "silent, then answered": Scenario(sight(SILENT, again=LIVE), "gateway/saturated", "none"),
    "silent, then answered, young": Scenario(sight(SILENT, again=LIVE, processes=YOUNG), "gateway/starting", "none"),
    "garbled, gateway process": Scenario(sight(GARBLED, service=UNIT), "gateway/hung", "none automatic", "SSH-2.0"),
    "garbled, young gateway process": Scenario(sight(GARBLED, processes=YOUNG), "gateway/starting", "none"),
    "no TLS where the config says so": Scenario(sight(NO_TLS), "gateway/hung", words="WRONG_VERSION"),
    # somebody else
    "silent stranger": Scenario(sight(SILENT, again=SILENT, listener=PYTHON), "gateway/port-taken", "none", "python3"),
    "silent stranger beside a zombie": Scenario(sight(SILENT, listener=PYTHON), "gateway/port-taken", "none"),
    "silent, then a stranger's page": Scenario(
        sight(SILENT, again=page("<html>hello"), listener=PYTHON, processes=()), "gateway/port-taken", "none"
    ),
    "stranger's page": Scenario(
        sight(page("<html>hello"), listener=PYTHON, processes=(), startup=None, ready=None),
        "gateway/port-taken", "none",
    ),
    "stranger's page beside a zombie": Scenario(sight(page("<html>"), listener=PYTHON), "gateway/port-taken", "none"),
    "stranger's 404, hidden": Scenario(
        sight(page("nope", status=404), listener=None, processes=(), startup=None, ready=None),
        "gateway/port-taken", "none", "cannot be seen",
    ),
    "other JSON": Scenario(
        sight(said({"status": "UP"}), listener=None, startup=said({"status": "UP"}), ready=said({"status": "UP"})),
        "gateway/port-taken",
    ),
    "other JSON of the same keys": Scenario(
        sight(said({"ok": True, "status": "UP"}), listener=None, startup=None, ready=None), "gateway/port-taken", "none"
    ),
    "lookalike on /healthz": Scenario(
        sight(listener=PYTHON, startup=page("", status=404), ready=page("", status=404)), "gateway/port-taken", "none"
    ),
    "lookalike on every path": Scenario(
        sight(listener=PYTHON, startup=LIVE, ready=LIVE), "gateway/port-taken", "none", "python3 -m http.server"
    ),
    "lookalike in a folder named openclaw": Scenario(
        sight(listener=Listener(9, "python3 serve.py --root /home/openclaw"), startup=LIVE, ready=LIVE),
        "gateway/port-taken",
    ),
    "garbled, no gateway process": Scenario(sight(GARBLED, processes=()), "gateway/port-taken", "none"),
    "garbled stranger": Scenario(sight(GARBLED, listener=PYTHON), "gateway/port-taken", "none"),
    # live, and not quite there
    "startupz says starting": Scenario(
        sight(startup=STARTING, ready=ready(("startup-sidecars",), uptime_ms=4176)),
        "gateway/starting", "none automatic: wait, at most 236 s more", "startup-sidecars",
    ),
    "readyz says startup-sidecars": Scenario(
        sight(startup=page(CONTROL_UI, "/startupz"), ready=ready(("startup-sidecars",), uptime_ms=900)),
        "gateway/starting", "none", "startup-sidecars",
    ),
    "restarted in place: an old process is starting": Scenario(
        sight(startup=STARTING, ready=ready(("startup-sidecars",), uptime_ms=4176)), "gateway/starting"
    ),
    "startupz says draining": Scenario(
        sight(startup=DRAINING, ready=ready(("gateway-draining",))), "gateway/draining", "none"
    ),
    "readyz says draining": Scenario(
        sight(startup=page(CONTROL_UI, "/startupz"), ready=ready(("draining",))), "gateway/draining", "none"
    ),
    "held-up event loop": Scenario(
        sight(ready=ready(delay_ms=1500, utilization=0.2)), "gateway/saturated", "none", "p99 1500 ms, limit 1000 ms"
    ),
    "held up once, not a second later": Scenario(
        sight(ready=ready(delay_ms=1500), ready_again=ready(delay_ms=30)), None
    ),
    "held up twice": Scenario(
        sight(ready=ready(delay_ms=1500), ready_again=ready(delay_ms=4000)), "gateway/saturated", "none", "1500 ms"
    ),
    "busy without delay (#79017)": Scenario(sight(ready=ready(delay_ms=0, utilization=1.0)), None),
    "late answers": Scenario(
        sight(LATE, startup=replace(STARTED, wall_s=1.2), ready=replace(ready(), wall_s=1.4)),
        "gateway/saturated", "none", "1700 ms",
    ),
    "late answer and nothing after it": Scenario(sight(LATE, startup=None, ready=None), "gateway/saturated", "none"),
    "one late answer among prompt ones": Scenario(sight(LATE), None),
    "a channel is not ready": Scenario(sight(ready=ready(("telegram:default",))), None),
    # nonsense
    "startupz of wrong types": Scenario(sight(startup=said({"status": 3, "uptimeMs": "x"}, "/startupz")), None),
    "readyz of wrong types": Scenario(sight(ready=said({"failing": "x", "eventLoop": [1]}, "/readyz")), None),
    "readyz is no JSON": Scenario(sight(ready=said("x", "/readyz")), None),
    "delay is no number": Scenario(sight(ready=said({"eventLoop": {"delayP99Ms": True}}, "/readyz")), None),
}  # fmt: skip
JUDGES = (
    judge.port_taken, judge.crash_loop, lifecycle.starting, judge.zombie, judge.down, judge.hung, judge.draining,
    judge.saturated,
)  # fmt: skip
ON_TIME = (
    "refused, young process",
    "refused, old process that installs",
    "silent, and it installs a part of its own",
    "silent twice, young process",
    "silent, then answered, young",
    "garbled, young gateway process",
    "startupz says starting",
    "readyz says startup-sidecars",
    "restarted in place: an old process is starting",
    "startupz says draining",
    "readyz says draining",
)
"""Starts and drains that are known to be within their budget: slow is not failed."""
NO_RESTART = ("config/", "gateway/auth-rejected", "gateway/port-taken", "gateway/saturated", "gateway/starting",
              "gateway/draining", "gateway/crash-loop")  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_cause_names_the_one_thing_that_is_wrong(name: str) -> None:
    """Each scenario has exactly the finding that explains it, with its evidence and a fix that fits."""
    scenario = SCENARIOS[name]
    finding = judge.cause(scenario.seen, Limits())
    assert (finding.check if finding else None) == scenario.check
    if finding is not None:
        assert finding.severity == ("warning" if name in ON_TIME else "error")
        assert finding.fix.startswith(scenario.fix)
        assert scenario.words in f"{finding.fact} {finding.saw} {finding.fix}"
        assert "\n" not in f"{finding.fact}{finding.saw}{finding.fix}"
        assert not (restarts(finding) and finding.check.startswith(NO_RESTART))


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_cause_belongs_to_exactly_one_check(name: str) -> None:
    """A finding of `cause` is claimed by one of the three claims made of it, and /readyz does not add a second one."""
    seen = SCENARIOS[name].seen
    finding = judge.cause(seen, Limits())
    claims = [of_check(finding, f"gateway/{each}") for each in ("live", "started", "prompt")]
    assert [each for each in claims if each] == ([finding] if finding else [])
    if of_check(finding, "gateway/started"):
        assert judge.not_ready(seen) is None


@pytest.mark.parametrize("check", sorted(in_state("absent", "mute", "passing", "kept-out", "late")))
def test_a_gateway_that_does_not_serve_fails_a_check_of_its_own(check: str) -> None:
    """Whichever cause `http_cause` gives, one of its claims tells it; OpenClaw's own refusals have other checks."""
    found = Finding(check, "error", "it does not serve", "seen", "none automatic: look")
    claims = [each for each in ("live", "started", "prompt") if of_check(found, f"gateway/{each}")]
    assert len(claims) == (0 if check == "config/invalid" else 1)


ELSEWHERE = {
    "gateway/drain-stuck",
    "gateway/fd-limit",
    "gateway/oom-killed",
    "service/exec-missing",
    "service/unit-broken",
    "gateway/start-refused",
    "gateway/state-held",
    "config/invalid",
    "config/mode-missing",
}
"""Found in rooms of their own, whose tests have the scenarios."""


def test_every_cause_has_a_scenario() -> None:
    """The table above misses none of the findings that `cause` can give."""
    possible = in_state("absent", "mute", "passing", "kept-out", "late") - ELSEWHERE
    assert {each.check for each in SCENARIOS.values() if each.check} == possible
    assert len(JUDGES) == len(possible)


@pytest.mark.parametrize("kind", ["answered", "refused", "silent", "garbled", "unreachable"])
def test_no_kind_of_answer_without_a_gateway_is_healthy(kind: Kind) -> None:
    """Where no gateway is seen and nothing of its words came, there is always a finding."""
    assert judge.cause(GatewayProbe(1, Probe("/healthz", kind, 0.1)), Limits()) is not None


@pytest.mark.parametrize(
    ("seen", "check"),
    [
        (sight(processes=(gateway_process(),), startup=replace(STARTING, body=STARTING.body.replace("4176", "999000")),
               ready=ready(("startup-sidecars",), uptime_ms=999_000)), None),
        (sight(REFUSED, processes=(gateway_process(age_s=200.0),)), "gateway/zombie"),
        (sight(LIVE, ready=ready(delay_ms=600)), "gateway/saturated"),
        (sight(replace(LIVE, wall_s=0.6), startup=None, ready=None), "gateway/saturated"),
    ],
    ids=["start budget, by uptime", "start budget, by age", "event-loop delay", "late answer"],
)  # fmt: skip
def test_limits_are_those_of_the_settings(seen: GatewayProbe, check: str | None) -> None:
    """The judges measure against what they are given, not against the defaults."""
    finding = judge.cause(seen, Limits(start_budget_s=100.0, late_answer_s=0.5, event_loop_delay_ms=500.0))
    assert (finding.check if finding else None) == check


def test_a_start_that_never_ends_is_not_called_starting_for_ever() -> None:
    """Beyond the start budget the gateway counts as not ready: somebody has to look."""
    uptime_ms = 3_600_000
    lifecycle = replace(STARTING, body=STARTING.body.replace("4176", str(uptime_ms)))
    seen = sight(startup=lifecycle, ready=ready(("startup-sidecars",), uptime_ms=uptime_ms))
    assert judge.cause(seen, Limits()) is None
    finding = judge.not_ready(seen)
    assert finding is not None
    assert "startup-sidecars" in finding.fact


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (ready(), None),
        (page(CONTROL_UI, "/readyz"), None),
        (None, None),
        (said(["ready"], "/readyz"), None),
        (ready(("telegram:default", "agent-db"), delay_ms=12), "telegram:default, agent-db"),
        (said({"ready": False, "failing": []}, "/readyz", 503), "does not say why"),
        (said({"ready": False, "failing": None}, "/readyz", 200), "does not say why"),
        (page("Service Unavailable", "/readyz", 503), "does not say why"),
        (nothing("silent", "/readyz"), "cannot be learnt"),
        (nothing("refused", "/readyz"), "cannot be learnt"),
    ],
    ids=["ready", "a release without /readyz", "not asked", "not an object", "failing list", "empty list", "says false",
         "503 without JSON", "silent", "gone"],
)  # fmt: skip
def test_not_ready(probe: Probe | None, words: str | None) -> None:
    """What /readyz says fails is in the fact; a /readyz that says nothing is not taken for ready."""
    finding = judge.not_ready(sight(ready=probe))
    assert (finding is None) == (words is None)
    if finding is not None and words is not None:
        assert finding.check == "gateway/not-ready"
        assert words in finding.fact + finding.saw


def test_not_ready_blocks_nothing() -> None:
    """A channel that fails is no cause: the gateway is live, started and prompt."""
    seen = sight(ready=ready(("telegram:default",)))
    assert judge.cause(seen, Limits()) is None
    assert judge.not_ready(seen) is not None


@pytest.mark.parametrize(
    ("processes", "found"),
    [
        ((), False),
        ((gateway_process(),), False),
        ((gateway_process(), gateway_process(pid=PID + 1)), True),
        ((gateway_process(pid=50), gateway_process(pid=51, parent=50)), False),
        ((gateway_process(), gateway_process(pid=PID + 1, certain=False)), False),
    ],
    ids=["none", "one", "two", "launcher and its child", "one and a maybe"],
)
def test_duplicate(processes: tuple[object, ...], found: bool) -> None:
    """Two gateways of one state directory are a fault; a launcher is not a second gateway."""
    finding = judge.duplicate(processes)  # type: ignore[arg-type]
    assert (finding is not None) == found
    if finding is not None:
        assert finding.check == "gateway/duplicate"
        assert str(PID) in finding.saw


@pytest.mark.parametrize(
    ("cli", "gateway", "service", "fix"),
    [
        ((2026, 9, 6), "2026.9.6", "", None),
        ((2026, 9, 6), "2026.9.6", "2026.9.6", None),
        ((2026, 9, 6), None, "", None),
        ((2026, 9, 6), "dev", "", None),
        (None, "2026.9.6", "", None),
        ((2026, 9, 6), "2026.9.6", "no release", None),
        ((2026, 9, 6), "2026.5.28", "", "openclaw gateway restart"),
        ((2026, 9, 6), "2026.9.6", "2026.5.28", "openclaw gateway install --force && "),
        ((2026, 9, 6), "2026.5.28", "2026.5.28", "openclaw gateway install --force && "),
    ],
    ids=["same", "same, with service", "gateway unknown", "gateway unreadable", "CLI unknown",
         "service malformed", "gateway older", "service older", "service and gateway older"],
)  # fmt: skip
def test_version_drift(cli: tuple[int, ...] | None, gateway: str | None, service: str, fix: str | None) -> None:
    """A warning names the releases that differ; an unknown one is no drift."""
    finding = judge_files.version_drift(cli, gateway, service)
    assert (finding is None) == (fix is None)
    if finding is not None and fix is not None:
        assert (finding.check, finding.severity) == ("gateway/version-drift", "warning")
        assert finding.fix.startswith(fix)
        assert "2026.5.28" in finding.saw


# -- authenticated reads -----------------------------------------------------------------------------------------------


def test_the_listener_that_is_a_gateway_of_any_spelling_is_no_stranger() -> None:
    """Titles of all three releases, and the command lines before the title is set, are known."""
    for title in (
        "openclaw-gateway",
        "openclaw",
        "node /usr/lib/node_modules/openclaw/openclaw.mjs gateway run --port 28789",
        "/usr/bin/node /usr/lib/node_modules/openclaw/dist/entry.js gateway --port 28789",
        "/home/joe/.local/bin/openclaw gateway",
    ):
        seen = sight(SILENT, again=SILENT, listener=Listener(777, title), processes=())
        finding = judge.port_taken(seen)
        assert finding is None, title
    assert judge.port_taken(sight(SILENT, again=SILENT, listener=GATEWAY)) is None
