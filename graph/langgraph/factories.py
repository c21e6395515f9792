"""What a configuration file may name: a graph, a builder, or a function that makes one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from typing import Any

import attrs
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

__all__ = ["AnyPregel", "Factory"]

AnyPregel = Pregel[Any, Any, Any, Any]


@attrs.frozen
class Factory:
    """Where a graph comes from. `source`: it itself; or what is called for each run, with the run's
    config if it takes an argument, and returns a graph, a builder, or a context manager or an
    awaitable of one.
    """

    source: AnyPregel | Callable[..., Any]

    @property
    def graph(self) -> AnyPregel | None:
        """The graph, where it is always the same."""
        return self.source if isinstance(self.source, Pregel) else None

    @asynccontextmanager
    async def made(self, config: Any) -> AsyncIterator[AnyPregel]:
        """The graph, on the asyncio loop, for as long as it is used. Raises TypeError where there
        comes out something else."""
        if isinstance(self.source, Pregel):
            yield self.source
            return
        made = self.source(config) if _takes_config(self.source) else self.source()
        if inspect.isawaitable(made):
            made = await made
        if isinstance(made, AbstractAsyncContextManager):
            async with made as graph:
                yield _compiled(graph)
        elif isinstance(made, AbstractContextManager):
            with made as graph:
                yield _compiled(graph)
        else:
            yield _compiled(made)


def _takes_config(source: Callable[..., Any]) -> bool:
    return any(
        one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        for one in inspect.signature(source).parameters.values()
    )


def _compiled(made: Any) -> AnyPregel:
    if isinstance(made, StateGraph):
        made = made.compile()
    if not isinstance(made, Pregel):
        kind = type(made)
        raise TypeError(f"Expected a graph of langgraph, got {kind.__module__}.{kind.__qualname__}")
    return made
