"""`python -m oc_ops`: the `oc-ops` command where no console script is on the PATH, as in a schedule."""

from __future__ import annotations

from oc_ops.cli import main

if __name__ == "__main__":
    main()
