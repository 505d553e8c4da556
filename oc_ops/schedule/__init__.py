"""The doctor on a schedule: the user's crontab, or a launchd or systemd timer to install by hand."""
