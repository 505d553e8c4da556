"""The only rooms that change a gateway or its jobs, and only when asked to."""
