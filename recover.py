"""`python recover.py`: one bounded recovery of the gateway."""

from oc_ops.cli.recover import main

if __name__ == "__main__":
    main()
