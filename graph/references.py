"""What a function refers to: how a node's graphs are known before it calls them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, TypeVar

__all__ = ["referred"]

T = TypeVar("T")


def referred(function: Callable[..., Any], kind: type[T]) -> tuple[T, ...]:
    """The objects of a type that a function has in its closure, among its globals or on its own
    object. One that it reaches in another way is not found."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = getattr(function, "__call__", function)  # noqa: B004 - an object that is called
    owner = getattr(function, "__self__", None)
    function = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(function):
        return ()
    names = set(_names(function.__code__))
    spaces = (function.__globals__, getattr(owner, "__dict__", {}))
    values = [space[name] for space in spaces for name in names if name in space]
    for cell in function.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:  # not bound yet
            continue
    owners = (getattr(value, "__self__", value) for value in values)
    found = [value for value in owners if isinstance(value, kind)]
    return tuple({id(value): value for value in found}.values())


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
