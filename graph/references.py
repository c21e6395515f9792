"""What a function refers to: how a node's graphs and tasks are known before it calls them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any, TypeVar

import attrs

from .compiled import CompiledStateGraph
from .nodes import Node
from .tasks import TaskFunction

__all__ = ["declared_inside", "with_references"]

T = TypeVar("T")


def with_references(node: Node) -> Node:
    """A node with the graphs and the tasks that its function refers to, as in `Node`."""
    node, left = _alone(node)
    tasks: dict[str, Node] = {}
    while left:
        called = left.pop()
        if called.name not in tasks:
            tasks[called.name], more = _alone(called)
            left += more
    return attrs.evolve(node, tasks=tasks)


def _alone(node: Node) -> tuple[Node, list[Node]]:
    """A node or a task with what its own function refers to, and the tasks among that."""
    if node.call is None:
        return node, []
    graphs = _referred(node.call.function, CompiledStateGraph)
    tasks = [task.node for task in _referred(node.call.function, TaskFunction)]
    names = tuple(dict.fromkeys(task.name for task in tasks))
    return attrs.evolve(node, calls=graphs, refers=names), tasks


def declared_inside(node: Node) -> frozenset[type]:
    """The classes that the graphs inside a node declare, those that its tasks and its error handler
    call included."""
    found: set[type] = set()
    if node.subgraph is not None:
        found.update(node.subgraph.declared)
    if node.error_handler is not None:
        found.update(declared_inside(node.error_handler))
    for one in (node, *node.tasks.values()):
        for graph in one.calls:
            found.update(graph.declared)
    return frozenset(found)


def _referred(function: Callable[..., Any], kind: type[T]) -> tuple[T, ...]:
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
