"""Looking at a compiled graph: its drawing, its inner graphs, its schemas, its cache."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from .cache import BaseCache, cache_namespace
from .context import RunnableConfig
from .drawing import DrawnGraph, draw
from .errors import NodeNotFoundError
from .jsonschema import json_schema, value_schema
from .nodes import Node
from .plan import Topology

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph
    from .functional import Signature
    from .state import StateGraph

__all__ = ["Inspection"]


class Inspection:
    """What can be asked of a compiled graph that runs nothing."""

    __slots__ = ()

    if TYPE_CHECKING:
        name: str
        topology: Topology
        state_schema: type[Any]
        context_schema: type[Any] | None
        builder: StateGraph | Signature | None
        cache: BaseCache | None

    def get_name(self) -> str:
        """The name it was compiled with."""
        return self.name

    def get_graph(
        self, config: RunnableConfig | None = None, *, xray: int | bool = False
    ) -> DrawnGraph:
        """Its nodes and edges, for a drawing: `graph.get_graph().draw_mermaid()`.

        `xray`: True shows what is inside graphs called as nodes, a number so many levels of it.
        `config` makes no difference.
        """
        return draw(cast("CompiledStateGraph", self), xray)

    async def aget_graph(
        self, config: RunnableConfig | None = None, *, xray: int | bool = False
    ) -> DrawnGraph:
        """Same as `get_graph`, which does not wait for anything."""
        return self.get_graph(config, xray=xray)

    def get_subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> Iterator[tuple[str, CompiledStateGraph]]:
        """The graphs called as nodes, and those that the functions of nodes, of their tasks and of
        their error handlers refer to, by namespace: names of nodes and tasks joined by `|`.

        `namespace`: only the one there. `recurse`: those inside them too, which a `namespace` that
        leads into one needs.
        """
        for node in self.topology.places.values():
            for name, graph in _called(node, node.tasks, ()):
                if namespace is None or namespace == name:
                    yield name, graph
                if recurse:
                    for inner, deeper in graph.get_subgraphs(recurse=True):
                        if namespace is None or namespace == f"{name}|{inner}":
                            yield f"{name}|{inner}", deeper

    async def aget_subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> AsyncIterator[tuple[str, CompiledStateGraph]]:
        """Same as `get_subgraphs`, which does not wait for anything."""
        for found in self.get_subgraphs(namespace=namespace, recurse=recurse):
            yield found

    def get_input_jsonschema(self) -> dict[str, Any]:
        """The JSON Schema of what the graph takes."""
        return self._jsonschema(getattr(self.builder, "input_schema", self.state_schema))

    def get_output_jsonschema(self) -> dict[str, Any]:
        """The JSON Schema of what the graph gives back."""
        return self._jsonschema(getattr(self.builder, "output_schema", self.state_schema))

    def get_state_jsonschema(self) -> dict[str, Any]:
        """The JSON Schema of the graph's state."""
        return self._jsonschema(self.state_schema)

    def _jsonschema(self, declared: Any) -> dict[str, Any]:
        if self.topology.whole:
            return value_schema(declared)
        return json_schema(declared, self.topology.channels)

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """The JSON Schema of `Runtime.context`; None where none is declared."""
        return None if self.context_schema is None else json_schema(self.context_schema)

    async def aclear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """Forget what the cache holds of these nodes, or of all. Raises ValueError without a
        cache."""
        await self._cache().aclear(self._cached(nodes))

    def clear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """`aclear_cache` for a program without an event loop."""
        self._cache().clear(self._cached(nodes))

    def _cache(self) -> BaseCache:
        if self.cache is None:
            raise ValueError("This graph has no cache: compile it with cache=InMemoryCache()")
        return self.cache

    def _cached(self, nodes: Sequence[str] | None) -> list[tuple[str, ...]]:
        known = self.topology.nodes
        for name in nodes or ():
            if name not in known:
                raise NodeNotFoundError(f"The graph has no node {name!r}")
        return [cache_namespace(known[name]) for name in (known if nodes is None else nodes)]


def _called(
    node: Node, tasks: Mapping[str, Node], callers: tuple[str, ...]
) -> Iterator[tuple[str, CompiledStateGraph]]:
    """The graph that a node or a task calls, and those that its tasks do, each by its namespace."""
    path = (*callers, node.name)
    if node.inner is not None:
        yield "|".join(path), node.inner
    for name in node.refers:
        if name not in path:  # a task may call itself
            yield from _called(tasks[name], tasks, path)
