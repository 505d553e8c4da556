"""How a test declares that it is a check."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from oc_ops.doctor.observations import Lane

_Test = TypeVar("_Test", bound=Callable[..., None])


def check(id: str, *, lane: Lane, by_clock: bool = False) -> Callable[[_Test], _Test]:
    """Make a test a check of the doctor, with its stable id and its lane; the docstring is its claim.

    `by_clock` is one that measures ages or due times: with a clock that is off it is blocked.
    """

    def declared(test: _Test) -> _Test:
        for mark in (pytest.mark.check(id, lane=lane, by_clock=by_clock), pytest.mark.doctor):
            mark(test)  # pytest notes the marks on the function itself
        return test

    return declared
