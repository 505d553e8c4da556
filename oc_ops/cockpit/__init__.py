"""The cockpit: one watcher looks, and what it writes down is drawn, run beside and recovered by."""
