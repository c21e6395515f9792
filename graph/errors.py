"""What can go wrong in a graph. The names follow `langgraph.errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .control import Command, Interrupt

__all__ = [
    "AsyncioNodeError",
    "EmptyInputError",
    "GraphBubbleUp",
    "GraphError",
    "GraphInterrupt",
    "GraphRecursionError",
    "InvalidResumeError",
    "InvalidUpdateError",
    "NodeNotFoundError",
    "ParentCommand",
]


class GraphError(Exception):
    """Base of the errors that this package raises about graphs and runs."""


class GraphRecursionError(GraphError, RecursionError):
    """A run took `recursion_limit` super-steps without coming to an end."""


class InvalidUpdateError(GraphError):
    """An update that the state cannot take."""


class EmptyInputError(GraphError):
    """A run without input on a thread that has nothing to go on with."""


class InvalidResumeError(GraphError):
    """A plain resume value while several interrupts wait: which one it answers is not known."""


class NodeNotFoundError(GraphError):
    """A route, a `Send` or an update names a node that the graph does not have."""


class AsyncioNodeError(GraphError):
    """An async node awaited something of asyncio; async nodes run on trio."""


class GraphBubbleUp(Exception):
    """Not a failure: leaves a node on its way to the executor. Do not catch it."""


class GraphInterrupt(GraphBubbleUp):
    """Raised by `interrupt()` to pause the task that called it."""

    def __init__(self, interrupts: Sequence[Interrupt] = ()) -> None:
        super().__init__(tuple(interrupts))
        self.interrupts = tuple(interrupts)


class ParentCommand(GraphBubbleUp):
    """Carries a `Command(graph=Command.PARENT)` from a subgraph to the graph around it."""

    def __init__(self, command: Command[Any]) -> None:
        super().__init__(command)
        self.command = command
