"""Run one outside program, bounded, and leave nothing of it behind."""
