"""Filters of store items: which values of their fields are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import InvalidItemError

__all__ = ["check_filter", "fits", "is_comparison"]

Filter = Mapping[str, Any]


def same(value: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 is 1.0, but not true."""
    if isinstance(value, Mapping) and isinstance(other, Mapping):
        return value.keys() == other.keys() and all(same(value[key], other[key]) for key in value)
    if isinstance(value, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(value) == len(other) and all(map(same, value, other))
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _ordered(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], bool]:
    def ordered(value: Any, other: Any) -> bool:
        try:
            return isinstance(value, bool) == isinstance(other, bool) and bool(
                compare(value, other)
            )
        except TypeError:
            return False

    return ordered


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": same,
    "$ne": lambda value, other: not same(value, other),
    "$gt": _ordered(lambda value, other: value > other),
    "$gte": _ordered(lambda value, other: value >= other),
    "$lt": _ordered(lambda value, other: value < other),
    "$lte": _ordered(lambda value, other: value <= other),
}


def is_comparison(by: Any) -> bool:
    """Whether a filter compares a field as a whole: `{"$gte": 3}`."""
    return isinstance(by, Mapping) and any(str(key).startswith("$") for key in by)


def check_filter(filter: Filter) -> None:
    """Raises InvalidItemError for an operator that is not known, at any depth.

    The keys on the outside are fields, whatever they are called.
    """
    for field, by in filter.items():
        if is_comparison(by):
            for name in by:
                if name not in _COMPARE:
                    known = ", ".join(_COMPARE)
                    raise InvalidItemError(
                        f"filter: unknown operator {name!r} for {field!r}; known are {known}"
                    )
        elif isinstance(by, Mapping):
            check_filter(by)


def fits(value: Mapping[str, Any], filter: Filter) -> bool:
    """Whether all fields are what a filter that was checked asks for.

    A field that is not there is None. What cannot be compared does not fit.
    """
    return all(_fits(value.get(key), by) for key, by in filter.items())


def _fits(value: Any, by: Any) -> bool:
    if not isinstance(by, Mapping):
        return same(value, by)
    if is_comparison(by):
        return all(_COMPARE[name](value, other) for name, other in by.items())
    return isinstance(value, Mapping) and fits(value, by)
