"""Has a call print 200 MB and says how much memory that cost the caller: `flooded.py PROJECT OPENCLAW TOKEN`."""

import json
import os
import resource
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from oc_ops.process.run import run


def peak_bytes():
    """The peak resident size; Linux' ru_maxrss would count what the process was before exec too."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def flood(megabytes):
    return run([sys.argv[2], "flood", str(megabytes), sys.argv[3]], environ=os.environ, deadline_s=60)


flood(0)
before = peak_bytes()
call = flood(200)
grown = peak_bytes() - before
head, tail = call.stdout.head, call.stdout.tail
print(
    json.dumps(
        {
            "outcome": call.outcome,
            "grown": grown,
            "total": call.stdout.total_bytes,
            "kept": [len(head), len(tail)],
            "ends": [head[:5].decode(), tail[-5:].decode()],
        }
    )
)
