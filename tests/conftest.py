"""What every test may rely on."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
import time

import hypothesis
import pytest

from tests.support.bytecode import VARIABLE
from tests.support.minutes import minutes

# A run in the background of a script has SIGINT ignored, one under nohup SIGHUP; all that it starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The workers of xdist inherit it: what one process of a run has compiled none of the others compiles again.
if VARIABLE not in os.environ:
    os.environ[VARIABLE] = tempfile.mkdtemp(prefix="oc-ops-tests-")
    atexit.register(shutil.rmtree, os.environ[VARIABLE], ignore_errors=True)

# Times are said in the zone of who looks; what a test expects is of one.
os.environ["TZ"] = "UTC"
time.tzset()

hypothesis.settings.register_profile("ci", max_examples=30, deadline=None, derandomize=True)
hypothesis.settings.register_profile("nightly", max_examples=500, deadline=None)
hypothesis.settings.load_profile("ci")


def pytest_configure(config: pytest.Config) -> None:
    """`-m nightly` takes many examples of each property, any other run a few; xdist keeps the order of collection."""
    config.option.loadscopereorder = False
    if config.option.markexpr == "nightly":
        hypothesis.settings.load_profile("nightly")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest modules first. `-m nightly` selects the properties as well, which every other run has too."""
    items.sort(key=lambda item: -minutes(item.path))
    if config.option.markexpr == "nightly":
        for item in items:
            if hypothesis.is_hypothesis_test(getattr(item, "obj", None)):
                item.add_marker("nightly")
