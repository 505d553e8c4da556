"""Writers of one journal: `kills PROJECT FILE HOW_MANY`, `together PROJECT FILE WRITERS LINES`, `full PROJECT FILE`."""

import json
import os
import random
import resource
import select
import signal
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])

from oc_ops.record.journal import Journal, JournalError, parsed

BOOK = Journal(Path(sys.argv[3]), wait_s=30)


def write(writer, number, size):
    with BOOK.writing() as append:
        append({"writer": writer, "number": number, "filling": "x" * size})


def born(writer, lines, acknowledge, dice):
    """A child that appends until its end comes; it reports each line that the journal acknowledged."""
    if pid := os.fork():
        return pid
    try:
        for number in range(lines):
            write(writer, number, dice.choice((1, 300, 300, 20_000)))
            os.write(acknowledge, f"{writer} {number}\n".encode())
    finally:
        os._exit(0)


def kills(how_many):
    """Each writer is killed at a moment of its own, from before its first line to many lines later."""
    acknowledged, dice = [], random.Random(7)
    write(-1, 0, 1)  # imports what a first write imports, so that the kills fall into the writing
    for writer in range(how_many):
        heard, said = os.pipe()
        pid = born(writer, 10**9, said, dice)
        os.close(said)
        select.select([], [], [], dice.uniform(0, 0.04))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with os.fdopen(heard) as report:
            acknowledged += [[int(word) for word in line.split()] for line in report]
    print(json.dumps(acknowledged))


def together(writers, lines):
    """All at once."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    pids = [born(writer, lines, quiet, random.Random(writer)) for writer in range(writers)]
    print(json.dumps([os.waitpid(pid, 0)[1] for pid in pids]))


def full():
    """A file-size limit ends a write short and then refuses it, as a full disk does."""
    write(0, 0, 10)
    before = BOOK.path.read_bytes()
    refused = []
    for room in (0, 1, 20, 40):
        resource.setrlimit(resource.RLIMIT_FSIZE, (BOOK.path.stat().st_size + room, resource.RLIM_INFINITY))
        try:
            write(0, 1, 10)
        except JournalError as error:
            refused.append(str(error))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    write(0, 2, 10)
    numbers = [record["number"] for record in map(parsed, BOOK.lines()) if record]
    kept = BOOK.path.read_bytes().startswith(before)
    print(json.dumps({"refused": refused, "numbers": numbers, "kept": kept, "lines": len(list(BOOK.lines()))}))


{"kills": kills, "together": together, "full": full}[sys.argv[1]](*map(int, sys.argv[4:]))
