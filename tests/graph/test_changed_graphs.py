"""Threads that an earlier version of a graph has begun, or another graph."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import START, Command, InMemorySaver, StateGraph, interrupt


class Old(TypedDict, total=False):
    text: str


class New(TypedDict, total=False):
    text: str
    log: Annotated[list[str], operator.add]


async def ask(state: Any) -> Any:
    return {"text": interrupt("which?")}


async def note(state: Any) -> Any:
    return {"log": [*state["log"], state["text"]]}


@pytest.fixture
def saver() -> InMemorySaver:
    return InMemorySaver()


def old(saver: InMemorySaver) -> Any:
    builder = StateGraph(Old).add_node("ask", ask).add_edge(START, "ask")
    return builder.compile(checkpointer=saver)


def with_log(saver: InMemorySaver) -> Any:
    builder = StateGraph(New).add_node("ask", ask).add_node("note", note)
    return builder.add_edge(START, "ask").add_edge("ask", "note").compile(checkpointer=saver)


def without_ask(saver: InMemorySaver) -> Any:
    builder = StateGraph(New).add_node("note", note).add_edge(START, "note")
    return builder.compile(checkpointer=saver)


async def test_a_key_that_a_state_has_gained_has_its_first_value_in_a_new_turn(
    saver: InMemorySaver, thread: Any
) -> None:
    await old(saver).ainvoke({"text": "x"}, thread)
    graph = without_ask(saver)
    assert await graph.ainvoke({"text": "y"}, thread) == {"text": "y", "log": ["y"]}
    assert (await graph.aget_state(thread)).values == {"text": "y", "log": ["y"]}


async def test_a_key_that_a_state_has_gained_is_there_for_who_goes_on(
    saver: InMemorySaver, thread: Any
) -> None:
    await old(saver).ainvoke({"text": "x"}, thread)
    answered = await with_log(saver).ainvoke(Command(resume="red"), thread)
    assert answered == {"text": "red", "log": ["red"]}


async def test_a_key_that_a_state_has_gained_is_there_after_an_edit(
    saver: InMemorySaver, thread: Any
) -> None:
    await old(saver).ainvoke({"text": "x"}, thread)
    graph = with_log(saver)
    await graph.aupdate_state(thread, {"text": "by hand"}, as_node="ask")
    assert await graph.ainvoke(None, thread) == {"text": "by hand", "log": ["by hand"]}


@pytest.mark.parametrize("given", [Command(resume="red"), None])
async def test_a_task_of_a_node_that_the_graph_lacks_waits_for_one_that_has_it(
    saver: InMemorySaver, thread: Any, given: Any
) -> None:
    await with_log(saver).ainvoke({"text": "x"}, thread)
    assert await without_ask(saver).ainvoke(given, thread) == {"text": "x", "log": []}
    answered = await with_log(saver).ainvoke(Command(resume="blue"), thread)
    assert answered == {"text": "blue", "log": ["blue"]}
