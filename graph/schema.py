"""From a state type to its channels."""

from __future__ import annotations

import inspect
from collections import abc
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NotRequired, Required, get_args, get_origin, get_type_hints
from typing import NotRequired as NotRequiredExt
from typing import Required as RequiredExt

from typing_extensions import is_typeddict

from .channels import BinaryOperatorAggregate, Channel, LastValue

__all__ = ["channels_of"]

_WRAPPERS = {Required, NotRequired, RequiredExt, NotRequiredExt}
# What an abstract annotation starts out as.
_CONCRETE: Mapping[Any, Callable[[], Any]] = {
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Set: set,
    abc.MutableSet: set,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
}


def channels_of(schema: Any) -> dict[str, Channel]:
    """A channel for each key of a TypedDict, in order of declaration.

    `Annotated[type, reducer]` folds with the reducer, a function of two arguments; any other key
    holds the last value. Raises TypeError for a type that declares no keys.
    """
    if not is_typeddict(schema):
        raise TypeError(f"The state of a graph is declared as a TypedDict; got {schema!r}")
    return {
        key: _channel(key, hint)
        for key, hint in get_type_hints(schema, include_extras=True).items()
    }


def _channel(key: str, hint: Any) -> Channel:
    while get_origin(hint) in _WRAPPERS:
        hint = get_args(hint)[0]
    if get_origin(hint) is not Annotated:
        return LastValue()
    declared, *extras = get_args(hint)
    reducer = extras[-1]
    if isinstance(reducer, Channel):
        return reducer
    if not callable(reducer) or isinstance(reducer, type):
        return LastValue()
    if not _takes_two(reducer):
        raise ValueError(
            f"The reducer of state key {key!r} must take two arguments (current, update); "
            f"got {reducer!r}"
        )
    kind = get_origin(declared) or declared
    return BinaryOperatorAggregate(_CONCRETE.get(kind, kind), reducer)


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return True
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True
