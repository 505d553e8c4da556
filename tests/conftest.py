"""What every test may rely on."""

from __future__ import annotations

import signal

# A run in the background of a script has SIGINT ignored, one under nohup SIGHUP; all that it starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
