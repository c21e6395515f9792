"""Graphs over a small state, wired in a line or two."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import CompiledStateGraph, InMemorySaver, StateGraph


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    value: Any


Nodes = Mapping[str, Any] | Iterable[str]
Wire = Callable[..., CompiledStateGraph]


@pytest.fixture
def says() -> Callable[[Any], Any]:
    """Makes a node that adds a word to the log."""
    return _says


@pytest.fixture
def wire() -> Wire:
    """Makes a compiled graph from nodes and edges.

    `nodes`: a mapping to functions, or just names of nodes that add their name to the log. It has a
    saver unless `checkpointer` says otherwise; the rest goes to `compile`.
    """

    def wire(nodes: Nodes, *edges: tuple[Any, str], state: Any = State, **options: Any) -> Any:
        builder = StateGraph(state)
        named = nodes if isinstance(nodes, Mapping) else {name: _says(name) for name in nodes}
        for name, node in named.items():
            builder.add_node(name, node)
        for source, target in edges:
            builder.add_edge(source, target)
        return builder.compile(**{"checkpointer": InMemorySaver(), **options})

    return wire


@pytest.fixture
def thread() -> dict[str, Any]:
    return {"configurable": {"thread_id": "1"}}


def _says(word: Any) -> Any:
    async def node(state: State) -> State:
        return {"log": [word]}

    return node
