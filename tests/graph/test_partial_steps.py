"""A super-step of which a part is done: what its state, its history and its result show."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
import trio.testing

from greenroom.graph import (
    END,
    START,
    Command,
    CompiledStateGraph,
    InMemorySaver,
    Send,
    StateGraph,
    interrupt,
)


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    value: int


def asks(state: State) -> State:
    return {"log": [interrupt("well?")]}


async def does(state: State) -> State:
    return {"log": ["done"]}


async def fails(state: State) -> State:
    await trio.testing.wait_all_tasks_blocked()  # what is beside it is done then
    raise OSError("not now")


def graph(other: Any, done: Any = None) -> CompiledStateGraph:
    """`done` finishes, `other` does not; `last` comes after both."""
    builder = StateGraph(State).add_edge(START, "done").add_edge(START, "other")
    builder.add_node("done", done or (lambda state: {"log": ["done"]}))
    builder.add_node("other", other).add_node("last", lambda state: {"log": ["last"]})
    return builder.add_edge(["done", "other"], "last").compile(checkpointer=InMemorySaver())


async def steps(built: CompiledStateGraph, thread: Any) -> list[Any]:
    return [(s.values["log"], s.next) async for s in built.aget_state_history(thread)]


async def test_a_result_has_what_the_siblings_of_a_question_have_done(thread: Any) -> None:
    built = graph(asks)
    paused = await built.ainvoke({"log": ["in"]}, thread)
    assert paused["log"] == ["in", "done"]
    assert len(paused["__interrupt__"]) == 1
    result = await built.ainvoke(Command(resume="fine"), thread)
    assert result["log"] == ["in", "done", "fine", "last"]


async def test_the_values_stream_ends_with_what_the_siblings_have_done(thread: Any) -> None:
    built = graph(asks)
    async with built.astream({"log": ["in"]}, thread, stream_mode="values") as chunks:
        told = [(chunk["log"], "__interrupt__" in chunk) async for chunk in chunks]
    assert told == [(["in"], False), (["in"], True), (["in", "done"], False)]


async def test_a_question_without_siblings_has_nothing_behind_it(thread: Any, wire: Any) -> None:
    built = wire({"a": asks}, (START, "a"), state=State)
    async with built.astream({"log": ["in"]}, thread, stream_mode="values") as chunks:
        told = [(chunk["log"], "__interrupt__" in chunk) async for chunk in chunks]
    assert told == [(["in"], False), (["in"], True)]


@pytest.mark.parametrize("other", [asks, fails])
async def test_the_state_shows_what_is_done_and_its_history_what_was(
    other: Any, thread: Any
) -> None:
    built = graph(other, done=does)
    try:
        await built.ainvoke({"log": ["in"]}, thread)
    except OSError:
        assert other is fails
    now = await built.aget_state(thread)
    assert (now.values["log"], now.next) == (["in", "done"], ("other",))
    then = await built.aget_state(now.config)  # a checkpoint by its id is as it was made
    assert (then.values["log"], then.next) == (["in"], ("done", "other"))
    assert (await steps(built, thread))[0] == (["in"], ("done", "other"))
    assert [task.result for task in now.tasks] == [task.result for task in then.tasks]


async def test_the_history_of_a_finished_run_has_all_nodes_of_each_super_step(thread: Any) -> None:
    built = graph(lambda state: {"log": ["other"]})
    await built.ainvoke({"log": ["in"]}, thread)
    assert await steps(built, thread) == [
        (["in", "done", "other", "last"], ()),
        (["in", "done", "other"], ("last",)),
        (["in"], ("done", "other")),
        ([], ("__start__",)),
    ]


async def test_a_state_has_the_tasks_of_sends_before_those_of_edges(wire: Any, thread: Any) -> None:
    nodes = {"choose": lambda _: Command(goto=["b", Send("a", 1)]), "a": asks, "b": asks}
    built = wire(nodes, (START, "choose"), state=State)
    result = await built.ainvoke({"log": ["in"]}, thread)
    state = await built.aget_state(thread)
    assert state.next == ("a", "b")
    assert [task.name for task in state.tasks] == ["a", "b"]
    asked = [question for task in state.tasks for question in task.interrupts]
    assert result["__interrupt__"] == [*state.interrupts] == asked


async def test_clearing_what_is_left_to_do_keeps_what_is_done(thread: Any) -> None:
    built = graph(asks)
    await built.ainvoke({"log": ["in"]}, thread)
    await built.aupdate_state(thread, None, as_node=END)
    state = await built.aget_state(thread)
    assert (state.values["log"], state.next, state.interrupts) == (["in", "done"], (), ())
    assert (await built.ainvoke({"log": ["again"]}, thread))["log"] == [
        "in",
        "done",
        "again",
        "done",
    ]


async def test_writes_that_clash_are_not_shown_until_the_super_step_ends(thread: Any) -> None:
    built = graph(asks, done=lambda state: [Command(update=[("value", 1), ("value", 2)])])
    assert "value" not in await built.ainvoke({"log": []}, thread)
    assert (await built.aget_state(thread)).interrupts


async def test_looking_at_a_part_of_a_super_step_changes_nothing(thread: Any) -> None:
    built = graph(asks)
    await built.ainvoke({"log": ["in"]}, thread)
    for _ in range(2):
        state = await built.aget_state(thread)
        state.values["log"].append("mine")
        assert state.values["log"] == ["in", "done", "mine"]
    assert (await built.ainvoke(Command(resume="x"), thread))["log"] == ["in", "done", "x", "last"]
