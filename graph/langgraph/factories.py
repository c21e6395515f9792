"""What a configuration file may name: a graph, a builder, or a function that makes one."""

from __future__ import annotations

import copy
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

import attrs
from langchain_core.runnables import RunnableConfig
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.store.base import BaseStore
from langgraph_sdk.runtime import ServerRuntime

from ..errors import GraphFactoryError

__all__ = ["Access", "AnyPregel", "Factory", "FactoryRuntime"]

logger = logging.getLogger(__name__)

AnyPregel = Pregel[Any, Any, Any, Any]


Access = Literal["threads.create_run", "threads.update", "threads.read", "assistants.read"]


@attrs.frozen
class FactoryRuntime:
    """What a function that makes a graph is given as `langgraph_sdk.runtime.ServerRuntime`, and has
    the attributes of. `access_context`: what the graph is for. `store`: the runtime's. `context`:
    that of the run; None where it is not made for one. `user`: nobody, as there are no users.
    """

    access_context: Access
    store: BaseStore | None = None
    context: Any = None
    user: None = None

    @property
    def execution_runtime(self) -> FactoryRuntime | None:
        """Itself where the graph is made for a run, else None."""
        return self if self.access_context == "threads.create_run" else None

    def ensure_user(self) -> NoReturn:
        """Raises PermissionError."""
        raise PermissionError(f"There are no users here (access_context={self.access_context!r})")


@attrs.frozen
class Factory:
    """Where the graph `name` comes from. `source`: it itself; or what is called for each run, with
    the run's config, a `ServerRuntime` or both if it takes them, and returns a graph, a builder, or
    a context manager or an awaitable of one. `graph`: the graph, where it is always the same.
    """

    name: str
    source: AnyPregel | Callable[..., Any]
    graph: AnyPregel | None = attrs.field(init=False)
    _replaced: set[str] = attrs.field(init=False, factory=set)  # what the log has told of

    def __attrs_post_init__(self) -> None:
        if isinstance(self.source, Pregel):
            self._tell_replaced(self.source)
        else:
            _arguments(self.source, None, None)

    @graph.default
    def _graph(self) -> AnyPregel | None:
        return self._named(self.source) if isinstance(self.source, Pregel) else None

    def _named(self, graph: AnyPregel) -> AnyPregel:
        if graph.name == "LangGraph":  # it was given none
            graph = copy.copy(graph)
            graph.name = self.name
        return graph

    def _tell_replaced(self, graph: AnyPregel) -> None:
        for what, given in (("checkpointer", graph.checkpointer), ("store", graph.store)):
            if given not in (None, False, True) and what not in self._replaced:
                self._replaced.add(what)
                logger.info(
                    "graph %r was compiled with a %s of its own, %s: the runtime's is used",
                    self.name,
                    what,
                    type(given).__name__,
                )

    @asynccontextmanager
    async def made(self, config: Any, runtime: FactoryRuntime) -> AsyncIterator[AnyPregel]:
        """The graph, on the asyncio loop, for as long as it is used. Raises GraphFactoryError where
        the function fails, or there comes out something else."""
        if isinstance(self.source, Pregel):
            assert self.graph is not None
            yield self.graph
            return
        async with AsyncExitStack() as opened:
            try:
                made = await _called(self.source, config, runtime, opened)
                if isinstance(made, StateGraph):
                    made = made.compile()
            except Exception as error:
                # What it says is for the log: it may be a secret of the server's.
                kind = type(error).__name__
                raise GraphFactoryError(
                    f"Graph {self.name!r} could not be made: its function raised {kind}"
                ) from error
            if not isinstance(made, Pregel):
                kind = f"{type(made).__module__}.{type(made).__qualname__}"
                raise GraphFactoryError(
                    f"Graph {self.name!r} could not be made: expected that its function returns a "
                    f"graph of langgraph, got {kind.removeprefix('builtins.')}"
                )
            self._tell_replaced(made)
            yield self._named(made)


async def _called(
    source: Callable[..., Any], config: Any, runtime: FactoryRuntime, opened: AsyncExitStack
) -> Any:
    made = source(**_arguments(source, config, runtime))
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AbstractAsyncContextManager):
        return await opened.enter_async_context(made)
    if isinstance(made, AbstractContextManager):
        return opened.enter_context(made)
    return made


def _arguments(source: Callable[..., Any], config: Any, runtime: Any) -> dict[str, Any]:
    """What a function is called with. Raises ValueError for one that takes something else."""
    signature = inspect.signature(source)
    hints = _hints(source)
    given: dict[str, Any] = {}
    for name, one in signature.parameters.items():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            continue
        is_runtime = _names_runtime(hints.get(name, one.annotation))
        kind = "runtime" if is_runtime else "config"
        if one.kind is one.POSITIONAL_ONLY or kind in given.values():
            break
        given[name] = kind
    else:
        return {name: runtime if kind == "runtime" else config for name, kind in given.items()}
    raise ValueError(
        "a function that makes a graph takes nothing, the run's config, a ServerRuntime or both, "
        f"not {signature}"
    )


def _hints(source: Callable[..., Any]) -> dict[str, Any]:
    function = inspect.unwrap(source)
    if not inspect.isroutine(function):
        function = type(source).__call__
    try:
        # Names that are imported for type checkers alone.
        known = {"ServerRuntime": ServerRuntime, "RunnableConfig": RunnableConfig}
        return get_type_hints(function, localns=known)
    except Exception:  # any other of those
        return {}


def _names_runtime(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation is ServerRuntime or get_origin(annotation) is ServerRuntime
