"""`python recover.py`: one bounded recovery of the gateway."""

from oc_ops.act.recovery import main

if __name__ == "__main__":
    raise SystemExit(main())
