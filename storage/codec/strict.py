"""Plain JSON, for what is searched inside a database."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from .walk import INT_MAX, INT_MIN, Walk, is_text

__all__ = ["encode_json"]

_encoder = msgspec.json.Encoder()


def encode_json(value: Any, name: str = "") -> bytes:
    """`value` as JSON without tags. Raises Unstorable for whatever plain JSON would change."""
    _PlainOnly(name).check(value)
    return _encoder.encode(value)


class _PlainOnly(Walk):
    """Refuses what plain JSON would change."""

    def check(self, value: Any) -> None:
        kind = type(value)
        if kind is dict:
            self._check_depth()
            for key, item in value.items():
                if type(key) is not str:
                    self._refuse(f"the key {key!r} is not a string")
                if not is_text(key) or "\0" in key:
                    self._refuse(f"the key {key!r} has a lone surrogate or a NUL character")
                self._path.append(key)
                self.check(item)
                self._path.pop()
        elif kind is list:
            self._check_depth()
            for at, item in enumerate(value):
                self._path.append(at)
                self.check(item)
                self._path.pop()
        elif kind is str:
            if not is_text(value):
                self._refuse("a string with a lone surrogate cannot be stored here")
            if "\0" in value:  # databases end a text there
                self._refuse("a string with a NUL character cannot be stored here")
        elif kind is int:
            if not INT_MIN <= value <= INT_MAX:
                self._refuse("an integer beyond 64 bits cannot be stored here")
        elif kind is float:
            if not math.isfinite(value):
                self._refuse(f"{value} cannot be stored here")
        elif kind is not bool and value is not None:
            self._refuse_type(value)
