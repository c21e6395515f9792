"""Keeping hands off the state: what user code gets or gives is a copy of its own."""

from __future__ import annotations

from typing import Any

from .control import Interrupt, Overwrite, Send

__all__ = ["isolated", "own_container"]


def isolated(value: Any) -> Any:
    """`value` with every dict, list, set and tuple in it copied, and what a `Send`, an `Overwrite`
    or an `Interrupt` carries; other objects are shared.

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
    if kind is Send:
        return Send(value.node, isolated(value.arg))
    if kind is Overwrite:
        return Overwrite(isolated(value.value))
    if kind is Interrupt:
        return Interrupt(isolated(value.value), value.id, value.ns, value.response_schema)
    return value


def own_container(value: Any) -> Any:
    """`value` itself copied, if it is a dict, list or set, but not what it holds."""
    return value.copy() if type(value) in (dict, list, set) else value
