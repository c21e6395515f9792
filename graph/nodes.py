"""What a compiled graph is made of: nodes, conditional edges, and how user functions are called."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, cast

import attrs

from .channels import Channel
from .context import TaskContext
from .control import END, ROOT, START, Command, RetryPolicy, Send
from .errors import InvalidUpdateError, NodeNotFoundError
from .injection import GIVEN, wanted
from .isolation import isolated, isolated_state
from .policies import CachePolicy, TimeoutPolicy
from .schema import Schema, as_update, has_keys

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = [
    "INPUT",
    "AsyncLibrary",
    "Branch",
    "Call",
    "Node",
    "Pairs",
    "asyncio_node",
    "check_function",
    "check_targets",
    "is_async",
    "is_marked",
    "is_runnable",
    "name_of",
    "read_update",
]


# Parameters that cannot be given by their name.
_UNNAMED = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)
INPUT: Final = "__input__"  # who writes what a Command given as input brings
AsyncLibrary = Literal["trio", "asyncio"]
F = TypeVar("F", bound=Callable[..., Any])
Pairs = tuple[tuple[str, Any], ...]
Update = tuple[Pairs, tuple[str | Send, ...], list[Command[Any]]]


@attrs.frozen
class Call:
    """A user's function, whether it is async, and what it asks for beside the state. `on_asyncio`:
    it is async, and is to run on an asyncio loop. `ainvoke`: what is called there in its place."""

    function: Callable[..., Any]
    is_async: bool
    asks: tuple[tuple[str, str], ...]  # (parameter, key of GIVEN)
    on_asyncio: bool = attrs.field(kw_only=True, default=False)
    ainvoke: Callable[..., Any] | None = attrs.field(kw_only=True, default=None)

    @classmethod
    def of(cls, function: Callable[..., Any], what: str) -> Call:
        """Raises TypeError for a function that cannot be called with a state.

        A Runnable of langchain-core is called in a worker thread, as its async side is asyncio's.
        """
        if is_runnable(function):
            runnable = cast(Any, function)
            config = (("config", "config"),)
            return cls(runnable.invoke, False, config, ainvoke=runnable.ainvoke)
        if not callable(function):
            raise TypeError(f"{what} must be a function; got {function!r}")
        asks = _asks(function, what)
        return cls(function, is_async(function), asks, on_asyncio=is_marked(function))

    def moved(self) -> Self:
        """The same on an asyncio loop, where it is async."""
        if self.ainvoke is not None:
            return attrs.evolve(self, function=self.ainvoke, is_async=True, on_asyncio=True)
        return attrs.evolve(self, on_asyncio=self.is_async)

    def arguments(self, given: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """What the function is called with, beside what it asks for."""
        return (given,), {}

    def __call__(self, state: Any, task: TaskContext) -> Any:
        if not self.asks:
            return self.function(state)
        return self.function(state, **{name: GIVEN[given](task) for name, given in self.asks})


@attrs.frozen
class Branch:
    """A conditional edge: a function that says where to go from the node `source`. `schema`: what
    it reads, None for what its node reads."""

    source: str
    call: Call
    path_map: Mapping[Any, str] | None
    schema: Schema | None = None

    def targets(self, chosen: Any, channels: Mapping[str, Channel]) -> tuple[str | Send, ...]:
        """The function's answer as targets. Raises InvalidUpdateError for what is none."""
        many = chosen if isinstance(chosen, (list, tuple)) else (chosen,)
        return own_targets(tuple(self._target(one) for one in many), channels)

    def _target(self, one: Any) -> str | Send:
        if isinstance(one, Send):
            return one
        if self.path_map is None:
            if isinstance(one, str):
                return one
        elif isinstance(one, Hashable) and one in self.path_map:
            return self.path_map[one]
        name = getattr(self.call.function, "__name__", repr(self.call.function))
        known = "" if self.path_map is None else f"; its path map has {list(self.path_map)}"
        raise InvalidUpdateError(
            f"The conditional edge {name!r} from node {self.source!r} answered {_shown(one)}, "
            f"which is no target{known}"
        )


@attrs.define(kw_only=True)
class Node:
    """A node: its function or the graph it stands for, and where its edges lead.

    `edges`: static targets. `joins`: the edges from several nodes that this one is a source of.
    `schema`: what it reads. `calls`: the graphs that its function refers to, `refers`: the names of
    the `@task` functions, `tasks`: these and those that they refer to, by name. `defer`: it runs
    only when nothing else is left to run. `destinations`: where its Commands may go, with the label
    of each in drawings. `writer`: makes its writes of what it returned, where that is no update of
    state keys.
    """

    name: str
    schema: Schema
    call: Call | None = None
    subgraph: CompiledStateGraph | None = None
    calls: tuple[CompiledStateGraph, ...] = ()
    refers: tuple[str, ...] = ()
    tasks: Mapping[str, Node] = attrs.field(factory=dict)
    retry: tuple[RetryPolicy, ...] = ()
    defer: bool = False
    timeout: TimeoutPolicy | None = None
    cache: CachePolicy | None = None
    error_handler: Node | None = None
    writer: Callable[[Any], Pairs] | None = None
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    destinations: Mapping[str, str | None] = attrs.field(factory=dict)
    edges: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    branches: tuple[Branch, ...] = ()

    @property
    def inner(self) -> CompiledStateGraph | None:
        """The graph inside it that keeps checkpoints, as far as is known."""
        graphs = self.calls if self.subgraph is None else (self.subgraph,)
        return next((graph for graph in graphs if graph.checkpointer is not False), None)

    def on_asyncio(self) -> Node:
        """The same with all that is async in it on an asyncio loop."""
        handler = self.error_handler
        return attrs.evolve(
            self,
            call=None if self.call is None else self.call.moved(),
            error_handler=None if handler is None else handler.on_asyncio(),
            branches=tuple(attrs.evolve(one, call=one.call.moved()) for one in self.branches),
        )

    def read(self, returned: Any, channels: Mapping[str, Any]) -> Update:
        """What the node returned, as `read_update` gives it, which it raises as."""
        if self.writer is not None:
            return self.writer(returned), (), []
        return read_update(returned, self.name, channels)


def read_update(returned: Any, node: str, channels: Mapping[str, Any]) -> Update:
    """What a node returned, as (writes, targets, commands for the graph around this one).

    Keys that the state does not have are passed over, as LangGraph does. Raises InvalidUpdateError
    for what is no update, naming the node.
    """
    match returned:
        case None:
            return (), (), []
        case dict() if ROOT not in channels:
            return _pairs(returned, channels), (), []
        case Command(graph=Command.PARENT):
            return (), (), [returned]
        case Command(graph=None):
            goto = own_targets(_goto(returned, node), channels)
            return _command_pairs(returned.update, node, channels), goto, []
        case Command():
            raise InvalidUpdateError(
                f"{_who(node)} a Command with graph={returned.graph!r}; it is None for this graph "
                f"or Command.PARENT for the one around it"
            )
        case [*several] if any(isinstance(one, Command) for one in several):
            parts = [read_update(one, node, channels) for one in several]
            return (
                tuple(pair for writes, _, _ in parts for pair in writes),
                tuple(target for _, targets, _ in parts for target in targets),
                [command for _, _, outer in parts for command in outer],
            )
        case _ if ROOT in channels:
            return ((ROOT, isolated(returned)),), (), []
        case _:
            if not isinstance(returned, (Command, Send)) and has_keys(returned, channels):
                return _pairs(as_update(returned) or {}, channels), (), []
            raise InvalidUpdateError(
                f"{_who(node)} {_shown(returned)}; expected a dict of state keys, a Command or None"
            )


def name_of(function: Callable[..., Any]) -> str:
    """What a function is called."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", type(function).__name__)


def check_targets(targets: tuple[str | Send, ...], node: str, known: Mapping[str, Any]) -> None:
    """Raises NodeNotFoundError for a target that the graph does not have."""
    for target in targets:
        name = target.node if isinstance(target, Send) else target
        is_end = name == END and not isinstance(target, Send)
        if (name not in known or name == START) and not is_end:
            who = "The Command given as input" if node == INPUT else f"Node {node!r}"
            raise NodeNotFoundError(f"{who} leads to {name!r}, which is no node of the graph")


def own_targets(
    targets: tuple[str | Send, ...], channels: Mapping[str, Channel]
) -> tuple[str | Send, ...]:
    """Targets whose `Send`s share nothing with what they were made of, but for untracked keys."""
    if all(isinstance(target, str) for target in targets):
        return targets
    untracked = [key for key, channel in channels.items() if not channel.tracked]
    return tuple(
        Send(target.node, isolated_state(target.arg, untracked))
        if isinstance(target, Send)
        else target
        for target in targets
    )


def _goto(command: Command[Any], node: str) -> tuple[str | Send, ...]:
    """Raises InvalidUpdateError for what is no target at all."""
    goto = command.goto
    if isinstance(goto, (str, Send, Sequence, NoneType)):
        targets = command.targets()
        if all(isinstance(target, (str, Send)) for target in targets):
            return targets
    raise InvalidUpdateError(
        f"{_who(node)} a Command with goto={goto!r}; expected a node's name, a Send, or a list of "
        f"these"
    )


def _who(node: str) -> str:
    """The beginning of a sentence about what somebody gave."""
    return {INPUT: "The input is", START: "The update is"}.get(node, f"Node {node!r} returned")


def _pairs(update: Mapping[str, Any], channels: Mapping[str, Any]) -> Pairs:
    return _isolated_pairs(update.items(), channels)


def _isolated_pairs(pairs: Iterable[tuple[str, Any]], channels: Mapping[str, Any]) -> Pairs:
    return tuple(
        [
            (key, isolated(value) if channels[key].tracked else value)
            for key, value in pairs
            if key in channels
        ]
    )


def _command_pairs(update: Any, node: str, channels: Mapping[str, Any]) -> Pairs:
    """A Command's `update`: None, a dict, an instance of a state type, or a list of pairs, whose
    keys may come more than once.
    """
    if ROOT in channels:
        return () if update is None else ((ROOT, isolated(update)),)
    if update is None or isinstance(update, dict):
        return _pairs(update or {}, channels)
    if (instance := as_update(update)) is not None:
        return _pairs(instance, channels)
    try:
        pairs = [(key, value) for key, value in update]
    except (TypeError, ValueError):
        raise InvalidUpdateError(
            f"{_who(node)} a Command whose update is {_shown(update)}; "
            f"expected a dict of state keys or a list of (key, value) pairs"
        ) from None
    return _isolated_pairs(pairs, channels)


def is_runnable(action: Any) -> bool:
    """Whether it is a Runnable of langchain-core: a chain, a chat model, a prompt."""
    module = sys.modules.get("langchain_core.runnables")  # nobody has one without it
    return module is not None and isinstance(action, module.Runnable)


def _shown(value: Any) -> str:
    text, kind = repr(value), type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return f"{text if len(text) <= 80 else text[:77] + '...'} ({name})"


def is_async(function: Any) -> bool:
    """Whether it is an async function, or an object or partial that is called as one."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - a callable object may be async
    )


def asyncio_node(function: F) -> F:
    """Have an async node run on an asyncio loop, in a thread beside trio's: for libraries that know
    asyncio alone.

        @asyncio_node
        async def ask_model(state: MessagesState) -> dict: ...

    It can do there all that a node can. For conditional edges, error handlers, functions of steps,
    `@task` and `@entrypoint` functions too, under their decorators; for whole graphs see
    `StateGraph.compile`. Takes functions and callable objects, or their class.

    Raises TypeError for what is not async: plain functions run in threads of their own.
    """
    if not is_async(function):
        raise TypeError(f"asyncio_node is for async functions; got {function!r}")
    try:
        function.__greenroom_asyncio__ = True  # type: ignore[attr-defined]
    except AttributeError:  # a method, or an object with slots
        return asyncio_node(cast("F", functools.partial(function)))
    return function


def is_marked(function: Any) -> bool:
    """Whether it, or what it is a partial or a method of, is an `asyncio_node`."""
    while not getattr(function, "__greenroom_asyncio__", False):
        if not isinstance(function, functools.partial):
            return False
        function = function.func
    return True


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


def check_function(function: Any, what: str) -> None:
    """Raises TypeError for what is no function, NotImplementedError for a generator."""
    if not callable(function):
        raise TypeError(f"{what} must be a function; got {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise NotImplementedError(
            f"{what} is a generator, which is no task and no entrypoint: write to the stream writer"
        )
