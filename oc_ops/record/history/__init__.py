"""The history, `memory/ops.sqlite`: every run with its checks and calls, cron runs, incidents and restarts."""
