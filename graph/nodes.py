"""What a compiled graph is made of: nodes, conditional edges, and how user functions are called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .context import TaskContext
from .control import END, START, Command, RetryPolicy, Send
from .errors import InvalidUpdateError, NodeNotFoundError
from .injection import GIVEN, wanted
from .isolation import isolated
from .policies import CachePolicy, TimeoutPolicy
from .schema import Schema, as_update

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = ["Branch", "Call", "Node", "read_update"]

# Parameters that cannot be given by their name.
_UNNAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)
Pairs = tuple[tuple[str, Any], ...]


@attrs.frozen
class Call:
    """A user's function, whether it is async, and what it asks for beside the state."""

    function: Callable[..., Any]
    is_async: bool
    asks: tuple[tuple[str, str], ...]  # (parameter, key of GIVEN)

    @classmethod
    def of(cls, function: Callable[..., Any], what: str) -> Call:
        """Raises TypeError for a function that cannot be called with a state."""
        if not callable(function):
            raise TypeError(f"{what} must be a function; got {function!r}")
        return cls(function, _is_async(function), _asks(function, what))

    def __call__(self, state: Any, task: TaskContext) -> Any:
        if not self.asks:
            return self.function(state)
        return self.function(state, **{name: GIVEN[given](task) for name, given in self.asks})


@attrs.frozen
class Branch:
    """A conditional edge: a function that says where to go. `schema`: what it reads, None for what
    its node reads."""

    call: Call
    path_map: Mapping[Any, str] | None
    schema: Schema | None = None

    def targets(self, chosen: Any) -> tuple[str | Send, ...]:
        """The function's answer as targets. Raises InvalidUpdateError for what is none."""
        many = chosen if isinstance(chosen, (list, tuple)) else (chosen,)
        return tuple(self._target(one) for one in many)

    def _target(self, one: Any) -> str | Send:
        if isinstance(one, Send):
            return one
        if self.path_map is not None and one in self.path_map:
            return self.path_map[one]
        if isinstance(one, str) and self.path_map is None:
            return one
        known = "" if self.path_map is None else f" (its path map has {list(self.path_map)})"
        raise InvalidUpdateError(
            f"The conditional edge {self.call.function!r} answered {one!r}, "
            f"which is no target{known}"
        )


@attrs.define(kw_only=True)
class Node:
    """A node: its function or the graph it stands for, and where its edges lead.

    `edges`: static targets. `joins`: the edges from several nodes that this one is a source of.
    `schema`: what it reads. `defer`: it runs only when nothing else is left to run.
    `destinations`: where its Commands may go, with the label of each in drawings.
    """

    name: str
    schema: Schema
    call: Call | None = None
    subgraph: CompiledStateGraph | None = None
    retry: tuple[RetryPolicy, ...] = ()
    defer: bool = False
    timeout: TimeoutPolicy | None = None
    cache: CachePolicy | None = None
    error_handler: Call | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    destinations: Mapping[str, str | None] = attrs.field(factory=dict)
    edges: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    branches: tuple[Branch, ...] = ()


def read_update(
    returned: Any, node: str, channels: Mapping[str, Any]
) -> tuple[Pairs, tuple[str | Send, ...], list[Command[Any]]]:
    """What a node returned, as (writes, targets, commands for the graph around this one).

    Keys that the state does not have are passed over, as LangGraph does. Raises InvalidUpdateError
    for what is no update, naming the node.
    """
    match returned:
        case None:
            return (), (), []
        case dict():
            return _pairs(returned, channels), (), []
        case Command(graph=Command.PARENT):
            return (), (), [returned]
        case Command(graph=None):
            return _command_pairs(returned.update, node, channels), returned.targets(), []
        case [*several] if any(isinstance(one, Command) for one in several):
            parts = [read_update(one, node, channels) for one in several]
            return (
                tuple(pair for writes, _, _ in parts for pair in writes),
                tuple(target for _, targets, _ in parts for target in targets),
                [command for _, _, outer in parts for command in outer],
            )
        case _:
            instance = None if isinstance(returned, (Command, Send)) else as_update(returned)
            if instance is not None and any(key in channels for key in instance):
                return _pairs(instance, channels), (), []
            raise InvalidUpdateError(
                f"Node {node!r} returned {_shown(returned)}; expected a dict of state keys, "
                f"a Command or None"
            )


def check_targets(targets: tuple[str | Send, ...], node: str, known: Mapping[str, Any]) -> None:
    """Raises NodeNotFoundError for a target that the graph does not have."""
    for target in targets:
        name = target.node if isinstance(target, Send) else target
        is_end = name == END and not isinstance(target, Send)
        if (name not in known or name == START) and not is_end:
            raise NodeNotFoundError(
                f"Node {node!r} leads to {name!r}, which is no node of the graph"
            )


def _pairs(update: Mapping[str, Any], channels: Mapping[str, Any]) -> Pairs:
    return tuple([(key, isolated(value)) for key, value in update.items() if key in channels])


def _command_pairs(update: Any, node: str, channels: Mapping[str, Any]) -> Pairs:
    """A Command's `update`: None, a dict, an instance of a state type, or a list of pairs, whose
    keys may come more than once.
    """
    if update is None or isinstance(update, dict):
        return _pairs(update or {}, channels)
    if (instance := as_update(update)) is not None:
        return _pairs(instance, channels)
    try:
        pairs = [(key, value) for key, value in update]
    except (TypeError, ValueError):
        raise InvalidUpdateError(
            f"Node {node!r} returned a Command whose update is {_shown(update)}; "
            f"expected a dict of state keys or a list of (key, value) pairs"
        ) from None
    return tuple((key, isolated(value)) for key, value in pairs if key in channels)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({type(value).__name__})"


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - a callable object may be async
    )


def _asks(function: Callable[..., Any], what: str) -> tuple[tuple[str, str], ...]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):  # some built-in functions have no signature
        return ()
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    if not parameters or parameters[0].kind not in positional:
        raise TypeError(f"{what} must take the state as its first argument; got {function!r}")
    asks = []
    given = wanted(function, parameters[1:])
    for parameter in parameters[1:]:
        key = given[parameter.name]
        if key is not None and parameter.kind not in _UNNAMED:
            asks.append((parameter.name, key))
        elif parameter.default is parameter.empty and parameter.kind not in (
            inspect.Parameter.VAR_POSITIONAL,
            inspect.Parameter.VAR_KEYWORD,
        ):
            raise TypeError(
                f"{what} asks for {parameter.name!r}; beside the state, only "
                f"{', '.join(map(repr, GIVEN))} can be given"
            )
    return tuple(asks)
