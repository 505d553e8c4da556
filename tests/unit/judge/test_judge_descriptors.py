"""Judges of open files: a gateway without a descriptor left is told as that, one with plenty stays silent."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from oc_ops.judge import gateway as judge_gateway
from oc_ops.judge.descriptors import near
from oc_ops.judge.findings import KINDS
from oc_ops.judge.gateway import Limits
from oc_ops.observe.limits import Descriptors, Watches
from oc_ops.observe.service import Service
from tests.support.sights import PID, nothing, sight

CUT, SILENT = nothing("garbled"), nothing("silent")
UNIT = Service("systemd", "openclaw-gateway.service", "running")


@pytest.mark.parametrize("live", [CUT, SILENT], ids=["closed without a word", "silent"])
@pytest.mark.parametrize("used", [107, 108, 110])
def test_a_gateway_without_a_descriptor_left_is_not_plainly_hung(live: object, used: int) -> None:
    """What a restart would hide for a while is named, and recovery keeps its hands off."""
    seen = sight(live, again=live, service=UNIT)  # type: ignore[arg-type]
    finding = judge_gateway.cause(replace(seen, descriptors=Descriptors(PID, used, 110)), Limits())
    assert finding is not None
    assert (finding.check == "gateway/fd-limit") is (used >= 108)
    if used >= 108:
        assert f"{used} of at most 110" in finding.saw
        assert "LimitNOFILE (systemctl --user edit openclaw-gateway.service)" in finding.fix
        assert KINDS[finding.check].cure.action == "none"


def test_a_hung_gateway_with_descriptors_to_spare_stays_hung() -> None:
    """Descriptors explain nothing while there are some left."""
    seen = replace(sight(SILENT, again=SILENT), descriptors=Descriptors(PID, 40, 110))
    finding = judge_gateway.cause(seen, Limits())
    assert finding is not None
    assert finding.check == "gateway/hung"


@pytest.mark.parametrize(("used", "found"), [(100, True), (90, True), (89, False), (20, False)])
def test_few_descriptors_left_are_a_warning(used: int, found: bool) -> None:
    """From 90 % on it is told before it hurts."""
    finding = near(replace(sight(), descriptors=Descriptors(PID, used, 100)), None)
    assert (finding is not None and finding.severity == "warning") is found


@pytest.mark.parametrize(("used", "found"), [(128, True), (126, True), (125, False), (3, False)])
def test_the_last_inotify_instances_are_a_warning(used: int, found: bool) -> None:
    """The limit is its user's: another program may have taken them."""
    finding = near(sight(), Watches(1000, used, 128))
    assert (finding is not None and "inotify" in finding.fact) is found


@pytest.mark.parametrize(
    ("watched", "most", "found"), [(8192, 8192, True), (7400, 8192, True), (7000, 8192, False), (50, 0, False)]
)
def test_the_last_inotify_watches_are_a_warning(watched: int, most: int, found: bool) -> None:
    """A watch that is refused (ENOSPC) is no full disk; where the kernel tells no limit, nothing is said."""
    finding = near(sight(), Watches(1000, 3, 128, watched, most))
    assert (finding is not None and f"{watched} of at most {most} inotify watches" in finding.saw) is found
    if finding is not None:
        assert "fs.inotify.max_user_watches=524288" in finding.fix


def test_one_reason_is_one_red_line() -> None:
    """Beside a gateway that answers nobody the warning is not given as well."""
    assert near(replace(sight(SILENT), descriptors=Descriptors(PID, 110, 110)), None) is None
