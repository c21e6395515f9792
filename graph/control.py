"""What a node says to the graph around it: `Command`, `Send`, `interrupt()`, policies.

Names and meanings follow `langgraph.types`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, Generic, Literal, NamedTuple, TypeVar, overload

import attrs

from .context import current_task

__all__ = [
    "END",
    "START",
    "Command",
    "Interrupt",
    "Overwrite",
    "RetryPolicy",
    "Send",
    "StateUpdate",
    "interrupt",
]

START: Final = "__start__"
END: Final = "__end__"
# Channels of states that are one value: of a graph, and what an entrypoint's next run is given.
ROOT: Final = "__root__"
PREVIOUS: Final = "__previous__"
_OVERWRITE: Final = "__overwrite__"

N = TypeVar("N")


class StateUpdate(NamedTuple):
    """An edit of the state by hand, as if the node `as_node` had returned `values`."""

    values: Any
    as_node: str | None = None


@attrs.frozen
class Send:
    """Run `node` in the next super-step with `arg` as its input in place of the state."""

    node: str
    arg: Any


@attrs.frozen
class Overwrite:
    """A value that replaces what a state key holds, in spite of its reducer.

    Other writes of the super-step to the key are dropped; a second Overwrite among them fails the
    run with InvalidUpdateError. In JSON: `{"__overwrite__": value}`.
    """

    value: Any
    type: Literal["__overwrite__"] = "__overwrite__"

    @staticmethod
    def is_one(value: Any) -> bool:
        """Whether `value` is an Overwrite or one that went through JSON."""
        if isinstance(value, Overwrite):
            return True
        if type(value) is not dict:
            return False
        if len(value) == 1:
            return _OVERWRITE in value
        return len(value) == 2 and value.get("type") == _OVERWRITE and "value" in value

    @staticmethod
    def content(value: Any) -> Any:
        """What one replaces with, in either form."""
        if isinstance(value, Overwrite):
            return value.value
        return value[_OVERWRITE] if _OVERWRITE in value else value["value"]


@attrs.frozen(kw_only=True, repr=False)
class Command(Generic[N]):
    """Updates the state, says where to go, or answers an interrupt.

    `update`: as a node returns it: a dict or an instance of a state type, or a list of (channel,
    value) pairs. `goto`: a node name, a `Send`, or a sequence of them. `resume`: one value for the
    one pending interrupt, or `{interrupt id: value}`. `graph`: `Command.PARENT` addresses the graph
    around this one.
    """

    PARENT: ClassVar[Literal["__parent__"]] = "__parent__"

    graph: str | None = None
    update: Any = None
    resume: Any = None
    goto: Send | N | Sequence[Send | N] = ()

    def __repr__(self) -> str:
        said = [(field, getattr(self, field.name)) for field in attrs.fields(Command)]
        parts = [f"{field.name}={value!r}" for field, value in said if value is not field.default]
        return f"Command({', '.join(parts)})"

    def targets(self) -> tuple[str | Send, ...]:
        """`goto` as a tuple, whatever form it was given in."""
        goto: Any = self.goto
        if isinstance(goto, (str, Send)):
            return (goto,)
        return tuple(goto or ())


@attrs.frozen
class Interrupt:
    """A question that a task waits on.

    `id`: 32 hex digits, one per question: the same node asking twice asks under two ids. `ns`: the
    task that asks, outermost graph first, as `node:task_id`; the id tells it already, so that it is
    not compared.
    """

    value: Any
    id: str
    ns: tuple[str, ...] = attrs.field(default=(), eq=False)
    response_schema: Mapping[str, Any] | None = None


_MISTAKES: Final = (
    ValueError,
    TypeError,
    ArithmeticError,
    ImportError,
    LookupError,
    NameError,
    SyntaxError,
    RuntimeError,
    ReferenceError,
    StopIteration,
    StopAsyncIteration,
)


def _may_go_by(error: Exception) -> bool:
    """Whether the same attempt may work a little later, by LangGraph's rule."""
    if isinstance(error, ConnectionError):
        return True
    for library, name in (("httpx", "HTTPStatusError"), ("requests", "HTTPError")):
        kind = getattr(sys.modules.get(library), name, ())  # nobody raises one without it
        if isinstance(error, kind):
            response: Any = getattr(error, "response", None)
            return response is None or 500 <= response.status_code < 600
    return not isinstance(error, (*_MISTAKES, OSError))


def _check_retry_on(policy: RetryPolicy, field: Any, given: Any) -> None:
    several = given if isinstance(given, (list, tuple)) else (given,)
    if given is None or all(isinstance(o, type) and issubclass(o, Exception) for o in several):
        return
    if isinstance(given, type) or not callable(given):
        raise TypeError(
            f"retry_on must be an exception class, a list of these, or a predicate; got {given!r}"
        )


@attrs.frozen
class RetryPolicy:
    """Try a failed node again.

    `initial_interval`, `max_interval`: seconds. `backoff_factor`: what the wait grows by.
    `max_attempts`: the first one counts. `jitter`: up to a second more, at random. `retry_on`: an
    exception class, several, or a predicate; by default lost connections, answers of 5xx to httpx
    and requests, and whatever is not plainly a mistake in the program (`ValueError`, `TypeError`,
    `ImportError`, …) nor an `OSError`. Raises TypeError for any other `retry_on`.
    """

    initial_interval: float = 0.5
    backoff_factor: float = 2.0
    max_interval: float = 128.0
    max_attempts: int = 3
    jitter: bool = True
    retry_on: type[Exception] | Sequence[type[Exception]] | Callable[[Exception], bool] | None = (
        attrs.field(default=None, validator=_check_retry_on)
    )

    @classmethod
    def coerce(cls, given: RetryPolicy | Sequence[RetryPolicy] | None) -> tuple[RetryPolicy, ...]:
        """One policy, several or None, as a tuple."""
        if given is None:
            return ()
        return (given,) if isinstance(given, RetryPolicy) else tuple(given)

    def retries(self, error: Exception) -> bool:
        """Whether this policy tries again after `error`."""
        match self.retry_on:
            case None:
                return _may_go_by(error)
            case type() as kind:
                return isinstance(error, kind)
            case Sequence() as kinds:
                return isinstance(error, tuple(kinds))
            case predicate:
                return predicate(error)

    def wait(self, attempt: int, random: Callable[[], float]) -> float:
        """Seconds before the attempt after number `attempt` (1, 2, …)."""
        grown = self.initial_interval * self.backoff_factor ** (attempt - 1)
        return min(grown, self.max_interval) + (random() if self.jitter else 0.0)


R = TypeVar("R")


@overload
def interrupt(value: Any, *, response_schema: type[R]) -> R: ...


@overload
def interrupt(value: Any, *, response_schema: Mapping[str, Any] | None = None) -> Any: ...


def interrupt(value: Any, *, response_schema: Any = None) -> Any:
    """Pause here and ask a human `value`; returns the answer once the thread is resumed.

    The node starts again from its top when it is resumed, and the interrupts that were answered
    before return their answers in order; those asked side by side, in a nursery of the node's own,
    by what they ask. Needs a checkpointer, and works in async nodes, plain ones, and in graphs
    inside others. `response_schema`: what the answer is to look like, for those who ask for it: a
    JSON Schema, or a type (TypedDict, dataclass, attrs class, Pydantic model, …), which the answer
    is returned as.

    Raises RuntimeError outside a node, InvalidAnswerError for an answer that is not of the type;
    that fails the run, and the interrupt waits for another answer.
    """
    return current_task("interrupt()").ask(value, response_schema)
