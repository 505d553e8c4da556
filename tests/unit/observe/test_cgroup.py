"""The memory limit of a process by its control group, of both versions of the kernel's tables."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oc_ops.observe import limits

MB = 2**20


def machine(tmp_path: Path, lines: str) -> tuple[Path, Path]:
    """A /sys/fs/cgroup and a /proc where pid 7 is in these groups."""
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    (proc / "7").mkdir(parents=True)
    (proc / "7" / "cgroup").write_text(lines)
    return root, proc


def written(folder: Path, files: dict[str, str]) -> None:
    """Put a group's files into its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


KERNEL = """\
[    2.000000] Linux version 6.18.44
[ 2475.231033] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=libpod-d291,mems_allowed=0,\
oom_memcg=/libpod_parent/libpod-d291,task_memcg=/libpod_parent/libpod-d291,task=openclaw,pid=26083,uid=0
"""
"""As 6.18 wrote it when podman 4.3 said `"OOMKilled": false` of that container."""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's log is read on Linux alone")
@pytest.mark.parametrize(
    ("group", "after_s", "expected"),
    [("libpod-d291", 1.0, True), ("libpod-9999", 1.0, False), ("libpod-d291", 4000.0, False), ("", 1.0, False)],
)
def test_the_kernel_s_word_tells_why_a_container_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, after_s: float, expected: bool
) -> None:
    """Of this container, and just before that end; where the kernel's log is not shown nothing is known."""
    monkeypatch.setattr("psutil.boot_time", lambda: 1_000_000.0)
    end = datetime.fromtimestamp(1_000_000.0 + 2475.0 + after_s, UTC)
    dmesg = tmp_path / "dmesg"
    (tmp_path / "told").write_text(KERNEL)
    dmesg.write_text(f"#!/bin/sh\nexec cat {tmp_path}/told\n")
    dmesg.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert limits.ended_for_memory(group, end, environ) is expected
    dmesg.write_text("#!/bin/sh\necho 'dmesg: read kernel buffer failed: Operation not permitted' >&2\nexit 1\n")
    assert not limits.ended_for_memory(group, end, environ)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_limit_is_read_with_what_is_used(tmp_path: Path, version: str) -> None:
    """Used is what the kernel does not give back unasked."""
    if version == "v2":
        root, proc = machine(tmp_path, "0::/user.slice/cell\n")
        told = {"memory.max": str(800 * MB), "memory.current": str(700 * MB)}
        written(root / "user.slice/cell", {**told, "memory.stat": f"anon 1\ninactive_file {200 * MB}\n"})
        written(root / "user.slice", {"memory.max": "max\n", "memory.current": "5\n"})
    else:
        root, proc = machine(tmp_path, "8:pids:/x\n4:memory:/libpod/cell\n")
        told = {"memory.limit_in_bytes": str(800 * MB), "memory.usage_in_bytes": str(700 * MB)}
        written(root / "memory/libpod/cell", {**told, "memory.stat": f"total_inactive_file {200 * MB}\n"})
        written(root / "memory/libpod", {"memory.limit_in_bytes": "9223372036854771712", "memory.usage_in_bytes": "5"})
    assert limits.memory(7, root, proc) == (800 * MB, 500 * MB)


def test_the_tightest_of_nested_limits_counts(tmp_path: Path) -> None:
    """A pod's limit binds its containers."""
    root, proc = machine(tmp_path, "0::/pod/cell\n")
    written(root / "pod/cell", {"memory.max": str(800 * MB), "memory.current": str(100 * MB)})
    written(root / "pod", {"memory.max": str(500 * MB), "memory.current": str(450 * MB)})
    assert limits.memory(7, root, proc) == (500 * MB, 450 * MB)


@pytest.mark.parametrize("lines", ["", "0::/cell\n", "0::/../../x\n", "nonsense"])
def test_without_a_limit_there_is_none(tmp_path: Path, lines: str) -> None:
    """No table, no limit, or one that is not shown."""
    root, proc = machine(tmp_path, lines)
    assert limits.memory(7, root, proc) is None
    assert limits.memory(8, root, proc) is None


PRESSURE = "some avg10=60.00 avg60=50.00 avg300=40.00 total=9\nfull avg10=90.00 avg60={} avg300={} total=7\n"


@pytest.mark.parametrize(
    ("minute", "five", "stalled"), [("31.50", "12.25", 12.25), ("0.00", "12.25", 0.0), ("80.00", "0.10", 0.1)]
)
def test_standing_still_for_want_of_memory_is_told_by_the_kernel(
    tmp_path: Path, minute: str, five: str, stalled: float
) -> None:
    """Of its own group, over minutes: neither a moment nor what is long past counts, nor do the groups above."""
    root, proc = machine(tmp_path, "0::/user.slice/cell\n")
    written(root / "user.slice/cell", {"memory.pressure": PRESSURE.format(minute, five)})
    written(root / "user.slice", {"memory.pressure": PRESSURE.format("99.00", "99.00")})
    assert limits.stalled_percent(7, root, proc) == stalled


@pytest.mark.parametrize("text", ["", "full avg10=x\n", "some avg10=1.00 avg60=1.00 avg300=1.00 total=1\n"])
def test_a_kernel_that_does_not_tell_is_not_read_into(tmp_path: Path, text: str) -> None:
    """PSI is off, or the file is of another form."""
    root, proc = machine(tmp_path, "0::/cell\n")
    written(root / "cell", {"memory.pressure": text})
    assert limits.stalled_percent(7, root, proc) is None
    assert limits.stalled_percent(8, root, proc) is None
