"""What user code does in place to what it was given, or has given, is seen by nobody else."""

from __future__ import annotations

import operator
from contextvars import ContextVar
from typing import Annotated, Any, TypedDict

import pytest
import trio

from greenroom.graph import START, Command, Overwrite, Send, StateGraph, interrupt


def count(held: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Adds up what is inside, in place."""
    for name, number in given["by"].items():
        by = held.setdefault("by", {})
        by[name] = by.get(name, 0) + number
    return held


class Counts(TypedDict, total=False):
    counts: Annotated[dict[str, Any], count]


async def test_a_reducer_that_works_in_place_inside_a_value_counts_once(
    wire: Any, thread: Any
) -> None:
    graph = wire({"a": lambda state: {"counts": {"by": {"a": 1}}}}, (START, "a"), state=Counts)
    builder = graph.builder.add_conditional_edges("a", lambda state: "__end__")
    graph = builder.compile(checkpointer=graph.checkpointer)
    result = await graph.ainvoke({"counts": {"by": {"in": 1}}}, thread)
    assert result == {"counts": {"by": {"in": 1, "a": 1}}}
    history = [s.values["counts"] async for s in graph.aget_state_history(thread)]
    assert history == [{"by": {"in": 1, "a": 1}}, {"by": {"in": 1}}, {}]


def swallow(held: list[Any], given: list[Any]) -> list[Any]:
    """Empties what it was given."""
    held += [given.pop(0) for _ in list(given)]
    return held


class Swallowed(TypedDict, total=False):
    words: Annotated[list[Any], swallow]


async def test_a_reducer_that_empties_an_update_leaves_it_to_others(wire: Any) -> None:
    graph = wire({"a": lambda state: {"words": ["a"]}}, (START, "a"), state=Swallowed)
    builder = graph.builder.add_conditional_edges("a", lambda state: "__end__")
    async with builder.compile().astream({"words": ["in"]}) as chunks:
        assert [chunk async for chunk in chunks] == [{"a": {"words": ["a"]}}]
    assert await builder.compile().ainvoke({"words": ["in"]}) == {"words": ["in", "a"]}


async def test_what_a_node_sent_or_overwrote_stays_as_it_was_then(wire: Any) -> None:
    sent, replaced = ["sent"], ["replaced"]

    async def a(state: Any) -> Command[Any]:
        return Command(update={"log": Overwrite(replaced)}, goto=[Send("c", sent), "b"])

    async def b(state: Any) -> None:
        sent.append("later")
        replaced.append("later")

    async def c(got: Any) -> Any:
        return {"log": got}

    graph = wire({"a": a, "b": b, "c": c, "d": b}, (START, "a"), ("c", "d"), checkpointer=None)
    for _ in range(2):
        sent[:], replaced[:] = ["sent"], ["replaced"]
        assert await graph.ainvoke({}) == {"log": ["replaced", "sent"]}


async def test_what_a_caller_does_to_an_input_does_not_reach_the_thread(
    wire: Any, thread: Any
) -> None:
    graph, given = wire("a", (START, "a")), {"log": ["in"]}
    await graph.ainvoke(given, thread)
    given["log"].append("later")
    *_, first = [state async for state in graph.aget_state_history(thread)]
    assert first.tasks[0].result == {"log": ["in"]}
    assert await graph.ainvoke(None, first.config) == {"log": ["in", "a"]}


async def test_what_a_reader_does_to_a_state_does_not_reach_the_thread(
    wire: Any, thread: Any
) -> None:
    async def ask(state: Any) -> Any:
        return {"log": [interrupt(["?"])]}

    graph = wire({"a": lambda state: {"log": ["a"]}, "ask": ask}, (START, "a"), (START, "ask"))
    (shown,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    shown.value.append("by the caller")
    for _ in range(2):
        state = await graph.aget_state(thread)
        assert state.interrupts[0].value == ["?"]
        assert state.tasks[0].result == {"log": ["a"]}
        state.interrupts[0].value.append("by the reader")
        state.tasks[0].result["log"].append("by the reader")
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"log": ["a", "yes"]}


async def test_an_answer_is_the_same_each_time_a_node_begins_again(wire: Any, thread: Any) -> None:
    async def ask(state: Any) -> Any:
        first = interrupt("first?")
        first.append(interrupt("second?"))
        first.append(interrupt("third?"))
        return {"log": first}

    graph = wire({"ask": ask}, (START, "ask"))
    await graph.ainvoke({}, thread)
    answer = ["one"]
    await graph.ainvoke(Command(resume=answer), thread)
    answer.append("by the caller")
    await graph.ainvoke(Command(resume="two"), thread)
    assert await graph.ainvoke(Command(resume="three"), thread) == {"log": ["one", "two", "three"]}


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


current_user: ContextVar[str] = ContextVar("current_user", default="nobody")


@pytest.mark.parametrize("waits", [False, True])
async def test_a_context_variable_that_a_node_sets_is_not_seen_by_its_siblings(
    waits: bool,
) -> None:
    async def node(state: Any) -> Any:
        found = current_user.get()
        current_user.set(state["name"])
        if waits:
            await trio.lowlevel.checkpoint()
        return {"log": [f"{found} {current_user.get()}"]}

    def spread(state: Any) -> list[Send]:
        return [Send("node", {"name": name}) for name in ("ann", "bob", "cid")]

    builder = StateGraph(Log).add_node("node", node)
    graph = builder.add_conditional_edges(START, spread, ["node"]).compile()
    result = await graph.ainvoke({"log": []})
    assert result["log"] == ["nobody ann", "nobody bob", "nobody cid"]
