"""What every test may rely on."""

from __future__ import annotations

import signal

# A run in the background of a script has SIGINT ignored, and would hand that on to all it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
