"""What a configuration file may name: a graph, a builder, or a function that makes one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from typing import Any

import attrs
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from ..errors import GraphFactoryError

__all__ = ["AnyPregel", "Factory"]

AnyPregel = Pregel[Any, Any, Any, Any]


@attrs.frozen
class Factory:
    """Where the graph `name` comes from. `source`: it itself; or what is called for each run, with
    the run's config if it takes an argument, and returns a graph, a builder, or a context manager
    or an awaitable of one.
    """

    name: str
    source: AnyPregel | Callable[..., Any]

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.source, Pregel):
            _check(self.source)

    @property
    def graph(self) -> AnyPregel | None:
        """The graph, where it is always the same."""
        return self.source if isinstance(self.source, Pregel) else None

    @asynccontextmanager
    async def made(self, config: Any) -> AsyncIterator[AnyPregel]:
        """The graph, on the asyncio loop, for as long as it is used. Raises GraphFactoryError where
        the function fails, or there comes out something else."""
        if isinstance(self.source, Pregel):
            yield self.source
            return
        async with AsyncExitStack() as opened:
            try:
                made = await _called(self.source, config, opened)
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
            yield made


async def _called(source: Callable[..., Any], config: Any, opened: AsyncExitStack) -> Any:
    made = source(config) if _takes_config(source) else source()
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, AbstractAsyncContextManager):
        return await opened.enter_async_context(made)
    if isinstance(made, AbstractContextManager):
        return opened.enter_context(made)
    return made


def _takes_config(source: Callable[..., Any]) -> bool:
    return any(
        one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        for one in inspect.signature(source).parameters.values()
    )


def _check(source: Callable[..., Any]) -> None:
    """Raises ValueError for what cannot be called with a config or with nothing."""
    signature = inspect.signature(source)
    try:
        signature.bind(*([{}] if _takes_config(source) else []))
        fits = "ServerRuntime" not in str(signature)  # something else that the reference gives
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(
            f"a function that makes a graph takes nothing or the run's config, not {signature}"
        )
