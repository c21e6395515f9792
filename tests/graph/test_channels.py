"""How the keys of a state take what nodes write."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Annotated, Any, NotRequired, TypedDict

import pytest

from greenroom.graph import START, InvalidUpdateError, StateGraph


async def test_a_plain_key_holds_what_was_written_last(wire: Any) -> None:
    graph = wire({"a": lambda state: {"value": state["value"] + 1}}, (START, "a"))
    config = {"configurable": {"thread_id": "1"}}
    assert (await graph.ainvoke({"value": 1}, config))["value"] == 2
    assert (await graph.ainvoke({"value": 10}, config))["value"] == 11


async def test_a_reducer_folds_the_writes_of_a_step_in_the_order_of_its_nodes(wire: Any) -> None:
    graph = wire("cab", *((START, name) for name in "cab"), checkpointer=None)
    assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in", "a", "b", "c"]}


async def test_two_writers_of_a_plain_key_are_refused_by_name(wire: Any, thread: Any) -> None:
    graph = wire(
        {"left": lambda state: {"value": 1}, "right": lambda state: {"value": 2}},
        (START, "left"),
        (START, "right"),
    )
    with pytest.raises(InvalidUpdateError, match=r"'value'.*'left'.*'right'"):
        await graph.ainvoke({"log": ["in"]}, thread)
    assert "value" not in (await graph.aget_state(thread)).values


async def test_keys_of_an_update_that_the_state_does_not_have_are_passed_over(wire: Any) -> None:
    graph = wire({"a": lambda state: {"log": ["a"], "other": 1}}, (START, "a"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["a"]}


async def test_none_is_a_value_that_can_be_written(wire: Any) -> None:
    graph = wire({"a": lambda state: {"value": None}}, (START, "a"), checkpointer=None)
    assert (await graph.ainvoke({"value": 1}))["value"] is None


class Kinds(TypedDict):
    listed: Annotated[Sequence[int], operator.add]
    total: Annotated[int, operator.add]
    merged: Annotated[dict[str, int], operator.or_]
    longest: NotRequired[Annotated[str, lambda old, new: max(old, new, key=len)]]
    described: Annotated[int, "not a reducer"]


async def test_reducers_start_from_the_empty_value_of_their_type(wire: Any) -> None:
    def node(state: Kinds) -> Any:
        return {"listed": [*state["listed"], 1], "total": state["total"] + 1, "merged": {"a": 1}}

    graph = wire({"a": node}, (START, "a"), state=Kinds, checkpointer=None)
    result = await graph.ainvoke({"longest": "abc", "described": 1})
    assert result == {
        "listed": [1], "total": 1, "merged": {"a": 1}, "longest": "abc", "described": 1
    }  # fmt: skip


class Odd(TypedDict):
    odd: Annotated[list[str], lambda only: only]


def test_a_reducer_of_one_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="'odd'"):
        StateGraph(Odd)


class Totals(TypedDict):
    log: Annotated[list[str], operator.add]
    total: Annotated[int, operator.add]


async def test_a_reducer_that_fails_leaves_no_half_of_a_step(thread: Any, wire: Any) -> None:
    graph = wire(
        {"a": lambda state: {"log": ["a"], "total": 1}, "b": lambda state: {"total": "two"}},
        (START, "a"),
        (START, "b"),
        state=Totals,
    )
    with pytest.raises(TypeError):
        await graph.ainvoke({"log": ["in"]}, thread)
    state = await graph.aget_state(thread)
    assert state.values == {"log": ["in"], "total": 0}


def grow_in_place(old: list[str], new: list[str]) -> list[str]:
    old.extend(new)
    return old


class Careless(TypedDict):
    words: Annotated[list[str], grow_in_place]


async def test_a_reducer_that_works_in_place_does_not_change_what_was_saved(
    thread: Any, wire: Any
) -> None:
    graph = wire({"a": lambda state: {"words": ["a"]}}, (START, "a"), state=Careless)
    await graph.ainvoke({"words": ["in"]}, thread)
    history = [s.values.get("words") async for s in graph.aget_state_history(thread)]
    assert history == [["in", "a"], ["in"], []]


async def test_a_node_that_works_in_place_does_not_change_what_was_saved(
    thread: Any, wire: Any
) -> None:
    def node(state: Any) -> None:
        state["value"].append("by the node")

    graph = wire({"a": node}, (START, "a"))
    await graph.ainvoke({"value": ["in"]}, thread)
    first = [s async for s in graph.aget_state_history(thread)][1]
    assert first.values["value"] == ["in"]


async def test_what_a_caller_does_to_a_result_does_not_reach_the_state(
    thread: Any, wire: Any
) -> None:
    graph = wire("a", (START, "a"))
    (await graph.ainvoke({}, thread))["log"].append("by the caller")
    assert (await graph.aget_state(thread)).values == {"log": ["a"]}
