"""Keeping hands off the state: what user code gets or gives is a copy of its own."""

from __future__ import annotations

from typing import Any

__all__ = ["isolated", "own_container"]


def isolated(value: Any) -> Any:
    """`value` with every dict, list, set and tuple in it copied; other objects are shared.

    A node may change what it was given, and a caller what was returned, without anybody else
    seeing it. Costs a fraction of `copy.deepcopy`.
    """
    kind = type(value)
    if kind is dict:
        return {key: isolated(item) for key, item in value.items()}
    if kind is list:
        return [isolated(item) for item in value]
    if kind is tuple:
        return tuple([isolated(item) for item in value])
    if kind is set:
        return set(value)
    return value


def own_container(value: Any) -> Any:
    """`value` itself copied, if it is a dict, list or set, but not what it holds.

    Enough for a reducer, which may add to what is there in place.
    """
    return value.copy() if type(value) in (dict, list, set) else value
