"""What can go wrong in a graph. The names follow `langgraph.errors`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs

if TYPE_CHECKING:
    from .control import Command, Interrupt

__all__ = [
    "AsyncioNodeError",
    "AsyncioThreadDied",
    "EmptyInputError",
    "GraphBubbleUp",
    "GraphError",
    "GraphFactoryError",
    "GraphInterrupt",
    "GraphRecursionError",
    "InvalidAnswerError",
    "InvalidItemError",
    "InvalidNamespaceError",
    "InvalidResumeError",
    "InvalidUpdateError",
    "NodeError",
    "NodeNotFoundError",
    "NodeTimeoutError",
    "ParentCommand",
    "UnknownInterruptError",
    "unwrapped",
]


class GraphError(Exception):
    """Base of the errors that this package raises about graphs and runs."""


class GraphRecursionError(GraphError, RecursionError):
    """A run took `recursion_limit` super-steps without coming to an end."""


class InvalidUpdateError(GraphError):
    """An update that the state cannot take."""


class EmptyInputError(GraphError):
    """A run without input on a thread that has nothing to go on with."""


class InvalidItemError(GraphError, ValueError):
    """An item that a store cannot keep, or a search that it cannot do."""


class InvalidNamespaceError(GraphError, ValueError):
    """A namespace that no item can have."""


class InvalidResumeError(GraphError, RuntimeError):
    """A plain resume value while several interrupts wait: which one it answers is not known."""


class UnknownInterruptError(InvalidResumeError):
    """A strict resume that does not fit the questions that wait; nothing was written, and they wait
    on. As LangGraph's error of this name.

    `reason`: `not_pending` (it is for the questions `interrupt_ids`, which do not wait), or
    `ambiguous` (a plain value while several wait). `pending_ids`: the questions that wait.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Literal["not_pending", "ambiguous"],
        interrupt_ids: Sequence[str] = (),
        pending_ids: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.interrupt_ids = tuple(interrupt_ids)
        self.pending_ids = tuple(pending_ids)


class InvalidAnswerError(InvalidResumeError):
    """An answer that is not what the interrupt's `response_schema` asks for. The interrupt waits
    on."""


class NodeNotFoundError(InvalidUpdateError):
    """A route, a `Send` or an update names a node that the graph does not have."""


class NodeTimeoutError(GraphError):
    """An attempt of a node took longer than its `TimeoutPolicy` allows. Not a `TimeoutError`.

    `kind`: which of its two timeouts has run out; `timeout` is that one. All times in seconds.
    """

    def __init__(
        self,
        node: str,
        elapsed: float,
        *,
        kind: Literal["idle", "run"],
        idle_timeout: float | None = None,
        run_timeout: float | None = None,
    ) -> None:
        timeout = idle_timeout if kind == "idle" else run_timeout
        if timeout is None:
            raise ValueError(f"{kind}_timeout is needed where kind is {kind!r}")
        what = "showed no progress for" if kind == "idle" else "ran longer than"
        super().__init__(f"Node {node!r} {what} {timeout:g} s (it had run for {elapsed:.3f} s)")
        self.node = node
        self.elapsed = elapsed
        self.kind = kind
        self.timeout = timeout
        self.idle_timeout = idle_timeout
        self.run_timeout = run_timeout


@attrs.frozen
class NodeError:
    """What an error handler is given: the node that failed, and the error it failed with.

    A handler that starts again, after a question, a stop or a failure of its own, gets the error as
    it was recorded: the same type name, `str` and `repr`, and an instance of the nearest of its
    classes that is Python's own or of this package. It has no attributes and no traceback then.
    """

    node: str
    error: Exception


class AsyncioNodeError(GraphError):
    """An async node on trio awaited something of asyncio; see `asyncio_node`."""


class AsyncioThreadDied(GraphError):
    """The asyncio loop that something ran on, or waited for, has come to an end."""


class GraphFactoryError(GraphError):
    """The function that makes a graph for each run failed, or returned something else."""


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


def unwrapped(error: BaseException) -> BaseException:
    """What an exception group means that has left a node's own nursery.

    Its errors, if it has any, or one for answers that do not fit, if they are all of that kind;
    else a pause, if that is in it; else a command for the graph around. Anything that is no group
    is itself.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    bubbles, errors = error.split(GraphBubbleUp)
    refused, others = (None, None) if errors is None else errors.split(InvalidAnswerError)
    if refused is not None and others is None:
        return next(_leaves(refused))
    if bubbles is None:
        return error
    if errors is not None:
        return errors
    leaves = list(_leaves(bubbles))
    asked = [leaf for leaf in leaves if isinstance(leaf, GraphInterrupt)]
    if asked:
        return GraphInterrupt([interrupt for leaf in asked for interrupt in leaf.interrupts])
    return leaves[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
