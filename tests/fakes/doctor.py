"""A doctor to be killed: `doctor.py PROJECT OPENCLAW TOKEN` runs one hard call, as SIGTERM-proof as the real one."""

import os
import signal
import sys

sys.path.insert(0, sys.argv[1])

from oc_ops.process.run import run


def stop(number, frame):
    raise SystemExit(128 + number)


signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, signal.default_int_handler)
print("ready", flush=True)
try:
    openclaw = [sys.argv[2], "family", "hang", "stubborn", "apart", "orphan", "stranger", sys.argv[3]]
    run(openclaw, environ=os.environ, deadline_s=60, kill_grace_s=0.2)
except KeyboardInterrupt:
    sys.exit(130)
