"""Look once: what an observation gave is kept for the run, and so is what kept it from being had."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Protocol, TypeVar, cast

from oc_ops.errors import OcOpsError
from oc_ops.judge.finding import Finding


class Blocked(Exception):
    """A check cannot look because of a cause that is already named."""

    def __init__(self, cause: Finding) -> None:
        super().__init__(f"blocked by {cause.check}")
        self.cause = cause


class NotAsked(OcOpsError):
    """A check was left out on purpose: by --quick, or by a setting."""


class Remembering(Protocol):
    """Whoever looks: `kept` holds what came, `failed` what was raised instead, each by the observation's name."""

    kept: dict[str, object]
    failed: dict[str, BaseException]


Looker = TypeVar("Looker", bound=Remembering)
T = TypeVar("T")


def once(fetch: Callable[[Looker], T]) -> Callable[[Looker], T]:
    """Keep what the first call gave, or whatever it raised: nothing is looked at twice, nor waited for twice."""
    name = fetch.__name__

    @wraps(fetch)
    def remembered(self: Looker) -> T:
        if name in self.failed:
            raise self.failed[name]
        if name not in self.kept:
            try:
                self.kept[name] = fetch(self)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                self.failed[name] = error
                raise
        return cast("T", self.kept[name])

    return remembered
