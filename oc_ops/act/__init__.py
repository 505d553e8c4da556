"""The only rooms that change anything, and only when asked to."""
