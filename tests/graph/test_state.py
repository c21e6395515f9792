"""Building and compiling a graph."""

from __future__ import annotations

import functools
import operator
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import END, START, EmptyInputError, InvalidUpdateError, StateGraph


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    value: int


def greet(state: State) -> State:
    return {"log": ["greet"]}


def part(state: State) -> State:
    return {"log": ["part"]}


async def test_a_node_is_named_after_its_function() -> None:
    builder = StateGraph(State)
    builder.add_node(greet)
    builder.add_edge(START, "greet")
    assert await builder.compile().ainvoke({}) == {"log": ["greet"]}


async def test_building_can_be_chained() -> None:
    graph = StateGraph(State).add_node(greet).add_edge(START, "greet").add_edge("greet", END)
    assert await graph.compile().ainvoke({}) == {"log": ["greet"]}


async def test_entry_and_finish_points_are_edges_from_start_and_to_end() -> None:
    builder = StateGraph(State)
    builder.add_node(greet)
    builder.set_entry_point("greet")
    builder.set_finish_point("greet")
    assert await builder.compile().ainvoke({}) == {"log": ["greet"]}


async def test_any_callable_can_be_a_node() -> None:
    class Speaker:
        def __call__(self, state: State) -> State:
            return {"log": ["object"]}

        async def method(self, state: State) -> State:
            return {"log": ["method"]}

    async def said(word: str, state: State) -> State:
        return {"log": [word]}

    builder = StateGraph(State)
    builder.add_node("a", Speaker())
    builder.add_node("b", Speaker().method)
    builder.add_node("c", functools.partial(said, "partial"))
    builder.add_node("d", lambda state: {"log": ["lambda"]})
    for name in "abcd":
        builder.add_edge(START, name)
    result = await builder.compile().ainvoke({})
    assert result == {"log": ["object", "method", "partial", "lambda"]}


def test_a_compiled_graph_has_the_name_it_was_given() -> None:
    builder = StateGraph(State).add_node("a", greet).add_edge(START, "a")
    assert builder.compile(name="greeter").name == "greeter"


async def test_building_on_does_not_change_what_was_compiled() -> None:
    builder = StateGraph(State).add_node("a", greet).add_edge(START, "a")
    before = builder.compile()
    builder.add_node("b", part).add_edge("a", "b")
    assert await before.ainvoke({}) == {"log": ["greet"]}
    assert await builder.compile().ainvoke({}) == {"log": ["greet", "part"]}


async def test_an_empty_input_runs_the_graph() -> None:
    graph = StateGraph(State).add_node("a", greet).add_edge(START, "a").compile()
    assert await graph.ainvoke({}) == {"log": ["greet"]}


async def test_no_input_on_a_new_thread_is_an_error(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    with pytest.raises(EmptyInputError):
        await graph.ainvoke(None, thread)
    assert [s async for s in graph.aget_state_history(thread)] == []


async def test_no_input_on_a_finished_thread_runs_nothing(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({"log": ["in"]}, thread)
    assert await graph.ainvoke(None, thread) == {"log": ["in", "a"]}


async def test_keys_of_the_input_that_the_state_does_not_have_are_passed_over(wire: Any) -> None:
    graph = wire("a", (START, "a"), checkpointer=None)
    assert await graph.ainvoke({"log": ["in"], "other": 1}) == {"log": ["in", "a"]}


async def test_an_input_that_is_no_update_changes_nothing(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    with pytest.raises(InvalidUpdateError, match=r"input.*str"):
        await graph.ainvoke("hello", thread)
    assert [s async for s in graph.aget_state_history(thread)] == []


async def test_a_graph_with_a_saver_needs_a_thread_id(wire: Any) -> None:
    with pytest.raises(ValueError, match="thread_id"):
        await wire("a", (START, "a")).ainvoke({})


async def test_threads_do_not_see_each_other(wire: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({"log": ["one"]}, {"configurable": {"thread_id": "1"}})
    second = {"configurable": {"thread_id": "2"}}
    assert await graph.ainvoke({"log": ["two"]}, second) == {"log": ["two", "a"]}


async def test_a_second_turn_goes_on_from_the_first(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({"log": ["one"]}, thread)
    assert await graph.ainvoke({"log": ["two"]}, thread) == {"log": ["one", "a", "two", "a"]}
