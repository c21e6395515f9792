"""What a stream says of questions, and when."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import START, Command, StateGraph, interrupt
from greenroom.graph.saver import InMemorySaver


class State(TypedDict):
    log: Annotated[list[str], operator.add]


MODES = ["values", "updates", "tasks"]
THREAD: Any = {"configurable": {"thread_id": "t"}}


def asks(question: str) -> Any:
    return lambda state: {"log": [f"{question} {interrupt(question)}"]}


@pytest.fixture
def graph() -> Any:
    """Two nodes side by side that ask."""
    builder = StateGraph(State)
    for name in ("first", "second"):
        builder.add_node(name, asks(f"{name}?"))
        builder.add_edge(START, name)
    return builder.compile(checkpointer=InMemorySaver())


def told(mode: str, data: Any) -> Any:
    """An event, in short."""
    if mode == "tasks":
        if "input" in data:
            return f"{data['name']} starts"
        return f"{data['name']} ends"
    if "__interrupt__" in data:
        return mode, [one.value for one in data["__interrupt__"]]
    return mode, data


async def stream(graph: Any, given: Any) -> list[Any]:
    async with graph.astream(given, THREAD, stream_mode=MODES) as events:
        return [told(mode, data) async for mode, data in events]


async def test_each_question_is_told_before_the_task_that_asks_it_ends(graph: Any) -> None:
    assert await stream(graph, {"log": []}) == [
        ("values", {"log": []}),
        "first starts",
        "second starts",
        ("updates", ["first?"]),
        ("values", ["first?"]),
        "first ends",
        ("updates", ["second?"]),
        ("values", ["second?"]),
        "second ends",
    ]


async def test_questions_that_still_wait_are_told_when_the_run_pauses_again(graph: Any) -> None:
    asked = (await graph.ainvoke({"log": []}, THREAD))["__interrupt__"]

    assert await stream(graph, Command(resume={asked[0].id: "Ada"})) == [
        ("values", {"log": []}),
        "first starts",
        ("updates", {"first": {"log": ["first? Ada"]}}),
        "first ends",
        ("updates", ["second?"]),
        ("values", ["second?"]),
        ("values", {"log": ["first? Ada"]}),
    ]
