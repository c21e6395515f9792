"""Nodes that wait until nothing else is left to run."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import START, Command, InMemorySaver, Send, StateGraph, interrupt


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


@pytest.fixture
def build(says: Any) -> Any:
    """A builder of nodes that log their names; those in `last` are deferred."""

    def build(names: Iterable[str], last: str, *edges: tuple[Any, str]) -> StateGraph:
        builder = StateGraph(State)
        for name in names:
            builder.add_node(name, says(name), defer=name in last, input_schema=State)
        for source, target in edges:
            builder.add_edge(source, target)
        return builder

    return build


async def test_a_deferred_node_runs_once_after_branches_of_different_length(build: Any) -> None:
    graph = build(
        "abcd", "d", (START, "a"), ("a", "b"), ("a", "d"), ("b", "c"), ("c", "d")
    ).compile()
    assert await graph.ainvoke({}) == {"log": ["a", "b", "c", "d"]}


async def test_deferred_nodes_that_wait_run_together(build: Any) -> None:
    graph = build("abxy", "xy", (START, "y"), (START, "a"), ("a", "x"), ("a", "b")).compile()
    assert await graph.ainvoke({}) == {"log": ["a", "b", "x", "y"]}


async def test_a_deferred_node_waits_for_sends(build: Any) -> None:
    builder = build("abd", "d", (START, "a"), ("a", "d"))
    builder.add_conditional_edges("a", lambda state: [Send("b", {}), Send("b", {})])
    assert await builder.compile().ainvoke({}) == {"log": ["a", "b", "b", "d"]}


async def test_an_edge_from_several_nodes_to_a_deferred_node_waits_for_all_else(
    build: Any,
) -> None:
    graph = build("abcd", "d", (START, "a"), (START, "b"), (["a", "b"], "d"), ("a", "c")).compile()
    assert await graph.ainvoke({}) == {"log": ["a", "b", "c", "d"]}


async def test_what_follows_a_deferred_node_goes_on_and_can_come_back(build: Any) -> None:
    builder = build("ad", "d", (START, "a"), ("a", "d"))
    rounds = iter(["a", "__end__"])
    builder.add_conditional_edges("d", lambda state: next(rounds))
    assert await builder.compile().ainvoke({}) == {"log": ["a", "d", "a", "d"]}


async def test_a_route_to_the_end_does_not_drop_a_deferred_node(build: Any) -> None:
    builder = build("abd", "d", (START, "a"), ("a", "d"), ("a", "b"), ("b", "__end__"))
    assert await builder.compile().ainvoke({}) == {"log": ["a", "b", "d"]}


async def test_a_deferred_node_waits_across_an_interrupt(build: Any, thread: Any) -> None:
    builder = build("ad", "d", (START, "a"), ("a", "d"), ("a", "ask"))
    builder.add_node("ask", lambda state: {"log": [interrupt("?")]})
    graph = builder.compile(checkpointer=InMemorySaver())
    await graph.ainvoke({}, thread)
    assert (await graph.aget_state(thread)).next == ("ask",)
    assert await graph.ainvoke(Command(resume="b"), thread) == {"log": ["a", "b", "d"]}


async def test_an_update_of_the_state_keeps_a_deferred_node_waiting(
    build: Any, thread: Any
) -> None:
    builder = build("abd", "d", (START, "a"), ("a", "d"), ("a", "b"))
    graph = builder.compile(checkpointer=InMemorySaver(), interrupt_before=["b"])
    await graph.ainvoke({}, thread)
    await graph.aupdate_state(thread, {"log": ["by hand"]}, as_node="b")
    assert (await graph.aget_state(thread)).next == ("d",)
    assert await graph.ainvoke(None, thread) == {"log": ["a", "by hand", "d"]}
