"""Keeping hands off the state: what user code gets or gives is a copy of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from .objects import form_of

__all__ = ["isolated", "isolated_state", "own_container"]

_SHARED: Final = frozenset((str, int, bool, float, type(None), bytes))  # nobody can change them


def isolated(value: Any) -> Any:
    """`value` with every container in it copied, and every object of an attrs class, dataclass,
    Pydantic model or named tuple; other objects are shared.

    A node may change what it was given, and a caller what was returned, without anybody else
    seeing it. Costs a fraction of `copy.deepcopy`.
    """
    kind = type(value)
    if kind in _SHARED:
        return value
    if kind is dict:
        return {key: isolated(item) for key, item in value.items()}
    if kind is list:
        return [isolated(item) for item in value]
    if kind is tuple:
        return tuple([isolated(item) for item in value])
    if kind is set:
        return set(value)
    form = form_of(kind)
    return value if form is None else form.copied(value, isolated)


def isolated_state(state: Any, untracked: Collection[str]) -> Any:
    """A state, or what a `Send` gives in place of it; the handles under `untracked` keys stay the
    same."""
    if not untracked or not isinstance(state, dict):
        return isolated(state)
    return {key: item if key in untracked else isolated(item) for key, item in state.items()}


def own_container(value: Any) -> Any:
    """`value` itself copied, if it is something that `isolated` copies, but not what it holds.

    Enough for a reducer, which may add to what is there in place.
    """
    kind = type(value)
    if kind in (dict, list, set):
        return value.copy()
    if kind in _SHARED:
        return value
    form = form_of(kind)
    return value if form is None else form.copied(value, lambda item: item)
