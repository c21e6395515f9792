"""What a node is given beside the state, by the name or the annotation of a parameter."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from .context import RunnableConfig, Runtime, StreamWriter, TaskContext
from .declared import register_declared
from .errors import NodeError
from .store import BaseStore

__all__ = ["GIVEN", "hints_of", "register_result", "wanted"]

GIVEN: Final[Mapping[str, Callable[[TaskContext], Any]]] = {
    "config": lambda task: task.config,
    "runtime": lambda task: task.runtime,
    "writer": lambda task: task.runtime.stream_writer,
    "store": lambda task: task.runtime.store,
    "previous": lambda task: task.runtime.previous,
    "error": lambda task: task.error,
}
_BY_ANNOTATION: Final = (
    (RunnableConfig, "config"),
    (Runtime, "runtime"),
    (StreamWriter, "writer"),
    (BaseStore, "store"),
    (NodeError, "error"),
)
# For annotations that cannot be resolved, and for langgraph's and langchain-core's own classes.
_BY_NAME: Final = {
    getattr(kind, "__name__", "StreamWriter"): given for kind, given in _BY_ANNOTATION
}
_UNIONS: Final = (Union, types.UnionType)


def wanted(
    function: Callable[..., Any], parameters: list[inspect.Parameter]
) -> dict[str, str | None]:
    """What each parameter behind the state asks for: a key of `GIVEN`, or None.

    An annotation counts for more than the name. What a `functools.partial` has fixed is not
    given.
    """
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    hints = hints_of(function)
    asks: dict[str, str | None] = {}
    for parameter in parameters:
        name = parameter.name
        given = _of_annotation(hints.get(name, parameter.annotation))
        has_default = parameter.default is not parameter.empty
        if given is None and name in GIVEN and not (name == "error" and has_default):
            given = name
        asks[name] = None if name in fixed else given
    return asks


def hints_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """The annotations of a function, none where they cannot be resolved."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - its annotations
    try:
        return get_type_hints(function)
    except Exception:  # a name that exists for the type checker only, or no function of Python's
        return {}


def register_result(function: Callable[..., Any]) -> None:
    """Have the objects that a function is annotated to return come back from storage as
    themselves."""
    register_declared(hints_of(function).get("return"))


def _of_annotation(annotation: Any) -> str | None:
    if isinstance(annotation, str):
        bare = annotation.replace(" ", "").removeprefix("Optional[").split("|")[0]
        return _BY_NAME.get(bare.partition("[")[0].rstrip("]").rpartition(".")[2])
    if get_origin(annotation) in _UNIONS:
        return next(filter(None, map(_of_annotation, get_args(annotation))), None)
    for kind, given in _BY_ANNOTATION:
        if annotation == kind or get_origin(annotation) is kind:
            return given
    if isinstance(annotation, type) or isinstance(get_origin(annotation), type):
        return _BY_NAME.get((get_origin(annotation) or annotation).__name__)
    return None
