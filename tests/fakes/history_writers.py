"""Processes that write a history, for the tests that kill them, race them, and leave them no room."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT))

from oc_ops.record.history.database import HistoryError, reading  # noqa: E402
from oc_ops.record.history.write import remember  # noqa: E402
from tests.support import past  # noqa: E402

ASKED = ("SELECT count(*) FROM runs", "PRAGMA integrity_check")


def write(folder: Path, writer: int, first: int, count: int) -> None:
    """Write runs one after the other."""
    for number in range(first, first + count):
        remember(folder, past.run(past.NOW_MS + writer * 10**6 + number, key=f"writer{writer}"), 400, lock_s=60)


def kills(folder: Path, rounds: int) -> list[list[int]]:
    """Kill a writer at ever other instants; what they acknowledged."""
    told: list[list[int]] = []
    remember(folder, past.run(past.NOW_MS, key="writer999"), 400)  # imports what a write imports
    for writer in range(rounds):
        heard, said = os.pipe()
        if not (pid := os.fork()):
            for number in range(10**6):
                remember(folder, past.run(past.NOW_MS + writer * 10**6 + number, key=f"writer{writer}"), 400)
                os.write(said, f"{writer} {number}\n".encode())
        os.close(said)
        time.sleep(0.005 * (writer % 25))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with os.fdopen(heard) as report:
            told += [[int(word) for word in line.split()] for line in report]
    return told


def together(folder: Path, writers: int, count: int) -> list[int]:
    """Several at once; their exit codes."""
    argv = [sys.executable, "-I", __file__, "write", str(folder)]
    running = [
        subprocess.Popen([*argv, str(writer), "0", str(count)], stdout=subprocess.DEVNULL) for writer in range(writers)
    ]
    return [each.wait() for each in running]


def full(folder: Path, most_bytes: int) -> dict[str, object]:
    """Write until there is no room, by a limit or (0) by the disk's own size, twice more, and again with room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
    written, refused = 0, []
    while len(refused) < 3:
        try:
            remember(folder, past.run(past.NOW_MS + written), 400)
            written += 1
        except HistoryError as error:
            refused.append(str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (folder / "filler").unlink(missing_ok=True)
    remember(folder, past.run(past.NOW_MS + written), 400)
    with reading(folder) as found:
        assert found is not None
        [(runs,)], [(verdict,)] = (found.execute(each).fetchall() for each in ASKED)
    aside = [each.name for each in folder.glob("*corrupt*")]
    return {"written": written + 1, "refused": refused, "runs": runs, "integrity": verdict, "aside": aside}


if __name__ == "__main__":
    what, where, *numbers = sys.argv[1:]
    acts = {"write": write, "kills": kills, "together": together, "full": full}
    given = acts[what](Path(where), *map(int, numbers))  # type: ignore[operator]
    if given is not None:
        print(json.dumps(given))
