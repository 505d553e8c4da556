"""The windows of the cockpit: each draws one part of the state snapshot, and looks at nothing else."""

from __future__ import annotations

WINDOWS = ("status", "runs", "browser", "incidents")
"""The windows that are drawn, in their order; the shell `adhoc` comes after them."""
