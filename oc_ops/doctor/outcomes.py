"""Look once: what an observation gave is kept for the run, and so is what kept it from being had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, cast, overload

from msgspec import Struct

from oc_ops.errors import OcOpsError
from oc_ops.judge.finding import Finding


class Blocked(Exception):
    """A check cannot look because of a cause that is already named."""

    def __init__(self, cause: Finding) -> None:
        super().__init__(f"blocked by {cause.check}")
        self.cause = cause


class NotAsked(OcOpsError):
    """A check was left out on purpose: by --quick, or by a setting."""


class Memo(Struct):
    """Observations of one looker, each under its method: what came, or what was raised instead."""

    values: dict[object, object] = {}
    errors: dict[object, BaseException] = {}


class Looker(Protocol):
    """An object with observations."""

    memo: Memo


L = TypeVar("L", bound=Looker)
T = TypeVar("T")


class Lookup(Generic[T]):
    """One observation of one looker: call it to look, or ask what an earlier call gave."""

    def __init__(self, memo: Memo, key: object, fetch: Callable[[], T]) -> None:
        self._memo, self._key, self._fetch = memo, key, fetch

    def __call__(self) -> T:
        """Return what the first call gave, or raise what it raised: nothing is looked at twice, nor awaited twice."""
        memo, key = self._memo, self._key
        if key in memo.errors:
            raise memo.errors[key]
        if key not in memo.values:
            try:
                memo.values[key] = self._fetch()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                memo.errors[key] = error
                raise
        return cast("T", memo.values[key])

    @property
    def came(self) -> bool:
        """True if it was looked at and a value came, which may be None. Does not look."""
        return self._key in self._memo.values

    @property
    def seen(self) -> T | None:
        """The value, where it was looked at and came; None otherwise. Does not look."""
        return cast("T | None", self._memo.values.get(self._key))

    @property
    def failure(self) -> BaseException | None:
        """The error of a look that failed. Does not look."""
        return self._memo.errors.get(self._key)


class once(Generic[L, T]):  # noqa: N801 -- read as the decorator it is
    """Make a method an observation: `doctor.look()` looks, `doctor.look.seen` is what was seen, if anything was."""

    def __init__(self, fetch: Callable[[L], T]) -> None:
        self._fetch = fetch
        self.__doc__ = fetch.__doc__

    @overload
    def __get__(self, looker: None, owner: type[L]) -> once[L, T]: ...
    @overload
    def __get__(self, looker: L, owner: type[L]) -> Lookup[T]: ...
    def __get__(self, looker: L | None, owner: type[L]) -> once[L, T] | Lookup[T]:
        """Bind to one looker."""
        if looker is None:
            return self
        return Lookup(looker.memo, self, lambda: self._fetch(looker))
