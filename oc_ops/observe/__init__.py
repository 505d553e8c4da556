"""The only rooms that look outside; they return observations and judge nothing."""
