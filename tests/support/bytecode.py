"""Where the processes that tests start keep what they compile: one place for the whole run, outside the checkout."""

from __future__ import annotations

import os

VARIABLE = "OC_TESTS_BYTECODE"
"""Set by tests/conftest.py. (The doctor refuses a name that begins with OC_OPS_ and is no setting.)"""


def environ() -> dict[str, str]:
    """The variable that has Python keep it there; the homes of tests are new, so each would compile all anew."""
    return {"PYTHONPYCACHEPREFIX": os.environ[VARIABLE]} if VARIABLE in os.environ else {}
