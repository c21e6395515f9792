"""The methods of a compiled graph for programs without an event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from . import blocking
from .checkpoint import StateSnapshot
from .context import RunnableConfig
from .control import StateUpdate
from .stream import Stream

__all__ = ["BlockingTwins"]


class BlockingTwins(ABC):
    """For each method with an `a` one that runs trio for as long as it takes."""

    __slots__ = ()

    @abstractmethod
    async def ainvoke(self, *args: Any, **options: Any) -> Any: ...

    @abstractmethod
    async def abatch(self, *args: Any, **options: Any) -> list[Any]: ...

    @abstractmethod
    def astream(self, *args: Any, **options: Any) -> Stream: ...

    @abstractmethod
    async def aget_state(self, *args: Any, **options: Any) -> StateSnapshot: ...

    @abstractmethod
    def aget_state_history(self, *args: Any, **options: Any) -> AsyncIterator[StateSnapshot]: ...

    @abstractmethod
    async def aupdate_state(self, *args: Any, **options: Any) -> RunnableConfig: ...

    @abstractmethod
    async def abulk_update_state(self, *args: Any, **options: Any) -> RunnableConfig: ...

    def invoke(self, input: Any, config: RunnableConfig | None = None, **options: Any) -> Any:
        """`ainvoke` for a program without an event loop."""
        return blocking.call(
            "invoke", "await graph.ainvoke(...)", self.ainvoke, input, config, **options
        )

    def batch(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        **options: Any,
    ) -> list[Any]:
        """`abatch` for a program without an event loop."""
        return blocking.call(
            "batch", "await graph.abatch(...)", self.abatch, inputs, config, **options
        )

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **options: Any
    ) -> Iterator[Any]:
        """`astream` for a program without an event loop: iterate over it directly."""
        blocking.refuse_loop("stream", "async with graph.astream(...) as chunks")
        return blocking.iterate(lambda: self.astream(input, config, **options))

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """`aget_state` for a program without an event loop."""
        instead = "await graph.aget_state(...)"
        return blocking.call("get_state", instead, self.aget_state, config, subgraphs=subgraphs)

    def get_state_history(self, config: RunnableConfig, **options: Any) -> Iterator[StateSnapshot]:
        """`aget_state_history` for a program without an event loop."""

        async def collect() -> list[StateSnapshot]:
            return [state async for state in self.aget_state_history(config, **options)]

        instead = "async for state in graph.aget_state_history(...)"
        return iter(blocking.call("get_state_history", instead, collect))

    def update_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None
    ) -> RunnableConfig:
        """`aupdate_state` for a program without an event loop."""
        instead = "await graph.aupdate_state(...)"
        return blocking.call("update_state", instead, self.aupdate_state, config, values, as_node)

    def bulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """`abulk_update_state` for a program without an event loop."""
        instead = "await graph.abulk_update_state(...)"
        return blocking.call(
            "bulk_update_state", instead, self.abulk_update_state, config, supersteps
        )
