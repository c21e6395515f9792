"""Three nodes in a row, to step through: `graph` stops at its breakpoints, `steps` has none."""

from __future__ import annotations

import operator
from typing import Annotated, TypedDict

from greenroom.graph import END, START, StateGraph


class State(TypedDict):
    visited: Annotated[list[str], operator.add]


def node_a(state: State) -> State:
    return {"visited": ["node_a"]}


def node_b(state: State) -> State:
    return {"visited": ["node_b"]}


def node_c(state: State) -> State:
    return {"visited": ["node_c"]}


graph_builder = StateGraph(State)
graph_builder.add_node("node_a", node_a)
graph_builder.add_node("node_b", node_b)
graph_builder.add_node("node_c", node_c)
graph_builder.add_edge(START, "node_a")
graph_builder.add_edge("node_a", "node_b")
graph_builder.add_edge("node_b", "node_c")
graph_builder.add_edge("node_c", END)

steps = graph_builder.compile()
graph = graph_builder.compile(
    interrupt_before=["node_a"],
    interrupt_after=["node_b", "node_c"],
)
