"""An isolated real OpenClaw gateway to try, drill and test on; it never touches the user's own."""
