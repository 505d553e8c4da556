"""`python -m oc_ops.cockpit.panes WINDOW KEY`: what runs in a window of the cockpit; KEY names the gateway."""

from __future__ import annotations

import os
import signal
import sys

from oc_ops import settings
from oc_ops.cockpit.panes.loop import live


def main() -> None:
    """Draw until the terminal goes; a setting that makes no sense is one sentence."""
    window, key = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    loaded = settings.load()

    def start() -> None:
        from oc_ops.cockpit import watcher

        watcher.start(loaded)

    live(window, loaded, key, os.environ, start)


if __name__ == "__main__":
    main()
