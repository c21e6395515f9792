"""A way through a value that knows where it is, for the texts of errors."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, NoReturn

from ..errors import StorageError

__all__ = ["INT_MAX", "INT_MIN", "MAX_DEPTH", "TAG", "Unstorable", "Walk", "is_plain", "is_text"]

MAX_DEPTH: Final = 200  # containers inside each other; a tag takes two levels of JSON
TAG: Final = "~"
INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

_ATOMS: Final = frozenset((str, bool, type(None)))


class Unstorable(StorageError):
    """A value that cannot be stored; the text says where it is and what it is."""


class Walk:
    """`name`: what the value is called."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._path: list[str | int] = []

    @property
    def where(self) -> str:
        shown = self._name
        for step in self._path[:8]:
            if isinstance(step, int):
                shown += f"[{step}]"
            else:
                shown += f".{step}" if shown else step
        return f"{shown}…" if len(self._path) > 8 else shown

    def _check_depth(self) -> None:
        if len(self._path) >= MAX_DEPTH:
            self._refuse(f"it is nested more than {MAX_DEPTH} levels deep, or contains itself")

    def _refuse(self, why: str) -> NoReturn:
        where = self.where
        text = f"{where}: {why}" if where else why
        raise Unstorable(text.encode("utf-8", "backslashreplace").decode())

    def _refuse_type(self, value: Any, why: str = "") -> NoReturn:
        kind = type(value)
        name = kind.__qualname__
        if kind.__module__ != "builtins":
            name = f"{kind.__module__}.{name}"
        article = "an" if name[0] in "aeiouAEIOU" else "a"
        self._refuse(f"{article} {name} cannot be stored{why and f': {why}'}")


def is_plain(value: Any, depth: int) -> bool:
    """Whether JSON carries `value` unchanged, lone surrogates apart. The hot path: every changed
    channel of every step goes through here, so the atoms are looked at without a call."""
    kind = type(value)
    items: Iterable[Any]
    if kind is list:
        items = value
    elif kind is dict:
        if TAG in value:
            return False
        for key in value:
            if type(key) is not str:
                return False
        items = value.values()
    elif kind in _ATOMS:
        return True
    elif kind is int:
        return bool(INT_MIN <= value <= INT_MAX)
    else:
        return kind is float and math.isfinite(value)
    if not depth:
        return False
    for item in items:
        kind = type(item)
        if kind in _ATOMS:
            continue
        if kind is int:
            if not INT_MIN <= item <= INT_MAX:
                return False
        elif not is_plain(item, depth - 1):
            return False
    return True


def is_text(value: str) -> bool:
    """Whether `value` has no lone surrogate."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
