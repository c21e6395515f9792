"""Values as LangGraph stores them."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from ..objects import form_of

__all__ = ["plain"]

_AS_THEY_ARE: Final = frozenset((str, int, bool, float, type(None), bytes))


def plain(value: Any) -> Any:
    """A copy of `value` in which at any depth exceptions are their text, and objects of subclasses
    of `dict`, `list`, `str` and the like are of these: LangGraph stores them so. Other objects are
    copied as by `isolated`.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE or isinstance(value, Enum):
        return value
    if isinstance(value, BaseException):
        return repr(value)
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if kind is tuple:
        return tuple([plain(item) for item in value])
    for container in (list, set, frozenset):
        if isinstance(value, container):
            return container([plain(item) for item in value])
    for atom in (str, int, float):
        if isinstance(value, atom):
            return atom(value)
    form = form_of(kind)
    return value if form is None else form.copied(value, plain)
