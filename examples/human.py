"""A graph that asks a human before it goes on."""

from __future__ import annotations

from typing import TypedDict

from greenroom.graph import START, StateGraph, interrupt


class State(TypedDict):
    some_text: str


def human_node(state: State) -> State:
    value = interrupt({"text_to_revise": state["some_text"]})  # pauses here until it is answered
    return {"some_text": value}


graph_builder = StateGraph(State)
graph_builder.add_node("human_node", human_node)
graph_builder.add_edge(START, "human_node")

graph = graph_builder.compile()
