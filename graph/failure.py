"""Why a task failed: as it is recorded, and as an exception again."""

from __future__ import annotations

import builtins
from functools import lru_cache
from typing import Any, Final

import attrs

from . import errors

__all__ = ["TaskError"]

# The exceptions that every program has, by name. A record chooses among them and names no others.
_KNOWN: Final = {
    name: kind
    for module in (builtins, errors)
    for name, kind in vars(module).items()
    if isinstance(kind, type)
    and issubclass(kind, Exception)
    and not issubclass(kind, (BaseExceptionGroup, errors.GraphBubbleUp))
}


@attrs.frozen
class TaskError:
    """Why a task failed: the exception's type name, its text, its `repr`, and as its `base` the
    name of the nearest of its classes that is Python's own or of `graph.errors`."""

    type: str
    message: str
    repr: str
    base: str = "Exception"

    @classmethod
    def of(cls, error: BaseException) -> TaskError:
        known = (kind.__name__ for kind in type(error).__mro__ if _is_known(kind))
        return cls(type(error).__name__, str(error), repr(error), next(known, "Exception"))

    def exception(self) -> Exception:
        """An exception that says the same, of the same type name, which is a `base` too. It has
        neither the class nor the attributes of the one that was recorded."""
        kind = _recorded(self.type, self.base)
        again: Exception = kind.__new__(kind)  # what a class wants to be made of is not known
        again.__dict__["_recorded"] = self
        return again


class _Recorded(Exception):
    _recorded: TaskError

    def __str__(self) -> str:
        return self._recorded.message

    def __repr__(self) -> str:
        return self._recorded.repr


def _is_known(kind: type) -> bool:
    return _KNOWN.get(kind.__name__) is kind


@lru_cache(maxsize=256)
def _recorded(name: str, base: str) -> Any:
    return type(name, (_Recorded, _KNOWN.get(base, Exception)), {})
