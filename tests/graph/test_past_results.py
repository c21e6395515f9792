"""What tasks wrote is told by the history, too."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
import trio.testing

from greenroom.graph import START, Command, Overwrite, Send, StateGraph, add_messages, interrupt
from greenroom.graph.saver import InMemorySaver
from greenroom.storage import SqliteStorage, StorageSaver, StorageSession


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    messages: Annotated[list[Any], add_messages]
    total: Annotated[int, operator.add]
    last: str


CONFIG: Any = {"configurable": {"thread_id": "t"}}


@pytest.fixture(params=["memory", "sqlite"])
async def saver(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    if request.param == "memory":
        yield InMemorySaver()
        return
    async with StorageSession(SqliteStorage(tmp_path / "threads.db")) as session:
        yield StorageSaver(session)


def writes(update: Any) -> Callable[[State], Any]:
    return lambda state: update


def in_a_row(saver: Any, *updates: Any) -> Any:
    builder = StateGraph(State)
    builder.add_sequence([(f"n{at}", writes(update)) for at, update in enumerate(updates)])
    builder.add_edge(START, "n0")
    return builder.compile(checkpointer=saver)


async def results(graph: Any) -> dict[str, Any]:
    """By node, of the newest turn first."""
    found: dict[str, Any] = {}
    async for state in graph.aget_state_history(CONFIG):
        for task in state.tasks:
            found.setdefault(task.name, task.result)
    return found


async def test_the_history_tells_what_each_task_wrote(saver: Any) -> None:
    graph = in_a_row(saver, {"log": ["a"], "total": 2}, {"total": 3, "last": "b"}, None)
    await graph.ainvoke({"log": ["x"], "total": 1}, CONFIG)

    assert await results(graph) == {
        "__start__": {"log": ["x"], "total": 1},
        "n0": {"log": ["a"], "total": 2},
        "n1": {"total": 3, "last": "b"},
        "n2": {},
    }


@pytest.mark.parametrize("seconds", [0, 1])
async def test_a_task_that_wrote_nothing_is_told_alike_whether_others_took_longer(
    saver: Any, seconds: float, autojump_clock: trio.testing.MockClock
) -> None:
    async def longer(state: State) -> State:
        await trio.sleep(seconds)
        return {"last": "b"}

    builder = StateGraph(State)
    builder.add_node("nothing", writes(None)).add_node("longer", longer)
    builder.add_edge(START, "nothing").add_edge(START, "longer")
    graph = builder.compile(checkpointer=saver)
    await graph.ainvoke({}, CONFIG)

    found = await results(graph)
    assert (found["nothing"], found["longer"]) == ({}, {"last": "b"})


async def past(graph: Any) -> dict[str, tuple[list[str], str | None, Any]]:
    """What tasks asked, why they failed and what they wrote, by node."""
    return {
        task.name: ([one.value for one in task.interrupts], task.error, task.result)
        async for state in graph.aget_state_history(CONFIG)
        for task in state.tasks
        if task.name != START
    }


async def test_the_history_tells_what_tasks_asked_last_that_were_answered(saver: Any) -> None:
    def asks(*questions: str) -> Callable[[State], Any]:
        return lambda state: {"log": [interrupt(question) for question in questions]}

    inner = StateGraph(State).add_node("asks", asks("inside?")).add_edge(START, "asks")
    builder = StateGraph(State).add_node("inner", inner.compile()).add_edge(START, "inner")
    for name, questions in {"a": ["one?", "two?"], "b": ["three?"], "c": []}.items():
        builder.add_node(name, asks(*questions)).add_edge(START, name)
    graph = builder.compile(checkpointer=saver)
    await graph.ainvoke({"log": []}, CONFIG)
    while waiting := (await graph.aget_state(CONFIG)).interrupts:
        answer = {waiting[0].id: waiting[0].value.upper()}
        await graph.ainvoke(Command(resume=answer), CONFIG)

    assert await past(graph) == {
        "inner": (["inside?"], None, {"log": ["INSIDE?"], "messages": [], "total": 0}),
        "a": (["two?"], None, {"log": ["ONE?", "TWO?"]}),
        "b": (["three?"], None, {"log": ["THREE?"]}),
        "c": ([], None, {"log": []}),
    }


async def test_the_history_tells_why_a_task_failed_before_it_was_tried_again(saver: Any) -> None:
    updates = iter([ValueError("no such colour"), {"last": "red"}])

    def fails_once(state: State) -> Any:
        update = next(updates)
        if isinstance(update, Exception):
            raise update
        return update

    builder = StateGraph(State).add_node("fails_once", fails_once).add_edge(START, "fails_once")
    graph = builder.compile(checkpointer=saver)
    with pytest.raises(ValueError, match="no such colour"):
        await graph.ainvoke({"last": "x"}, CONFIG)
    await graph.ainvoke(None, CONFIG)

    error = "ValueError('no such colour')"
    assert await past(graph) == {"fails_once": ([], error, {"last": "red"})}


async def test_a_state_at_a_checkpoint_tells_what_its_tasks_wrote(saver: Any) -> None:
    graph = in_a_row(saver, {"log": ["a"]}, {"log": ["b", "c"]})
    await graph.ainvoke({"log": []}, CONFIG)
    states = [state async for state in graph.aget_state_history(CONFIG)]
    [state] = [state for state in states if state.next == ("n1",)]

    [task] = (await graph.aget_state(state.config)).tasks

    assert task.result == {"log": ["b", "c"]}
    older = [older async for older in graph.aget_state_history(CONFIG, before=states[0].config)]
    assert older == states[1:]


async def test_tasks_side_by_side_are_told_apart(saver: Any) -> None:
    builder = StateGraph(State)
    builder.add_node("work", lambda item: {"log": [item] * item["n"], "total": 1})
    builder.add_conditional_edges(START, lambda state: [Send("work", {"n": n}) for n in (2, 0, 1)])
    graph = builder.compile(checkpointer=saver)
    await graph.ainvoke({"log": ["x"]}, CONFIG)
    states = [state async for state in graph.aget_state_history(CONFIG)]
    [state] = [state for state in states if state.next == ("work",) * 3]

    assert [task.result for task in state.tasks] == [
        {"log": [{"n": 2}, {"n": 2}], "total": 1},
        {"log": [], "total": 1},
        {"log": [{"n": 1}], "total": 1},
    ]


async def test_messages_are_told_as_the_state_has_them(saver: Any) -> None:
    said = {"role": "assistant", "content": "hello"}
    graph = in_a_row(saver, {"messages": said})
    values = await graph.ainvoke({"messages": [{"role": "user", "content": "hi"}]}, CONFIG)

    assert (await results(graph))["n0"] == {"messages": values["messages"][-1:]}


async def test_a_message_that_takes_anothers_place_is_told_as_it_was_written(saver: Any) -> None:
    changed = [{"role": "user", "content": "changed", "id": "1"}]
    graph = in_a_row(saver, {"messages": changed})
    await graph.ainvoke({"messages": [{"role": "user", "content": "hi", "id": "1"}]}, CONFIG)

    assert (await results(graph))["n0"] == {"messages": changed}


async def test_what_is_written_over_is_told(saver: Any) -> None:
    graph = in_a_row(saver, {"log": Overwrite(["new"])}, {"log": ["a"]})
    await graph.ainvoke({"log": ["x", "y"]}, CONFIG)

    assert (await results(graph))["n1"] == {"log": ["a"]}


async def test_a_task_that_was_answered_is_told_with_what_it_wrote_in_the_end(saver: Any) -> None:
    builder = StateGraph(State)
    builder.add_node("ask", lambda state: {"last": interrupt("who?")})
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=saver)
    await graph.ainvoke({"log": ["x"]}, CONFIG)
    assert (await results(graph))["ask"] is None

    await graph.ainvoke(Command(resume="Ada"), CONFIG)

    assert (await results(graph))["ask"] == {"last": "Ada"}


async def test_a_run_that_keeps_its_end_only_tells_of_no_tasks(saver: Any) -> None:
    graph = in_a_row(saver, {"log": ["a"]}, {"log": ["b"]})
    await graph.ainvoke({"log": ["x"]}, CONFIG, durability="exit")

    assert await results(graph) == {}


def newest(old: Any, new: Any) -> Any:
    return new


async def test_what_a_reducer_takes_as_it_is_is_not_stored_twice(tmp_path: Path) -> None:
    class Pages(TypedDict, total=False):
        page: Annotated[dict[str, str], newest]

    page, storage = {"text": "long " * 1000}, SqliteStorage(tmp_path / "threads.db")
    builder = StateGraph(Pages).add_node("write", lambda state: {"page": page})
    async with StorageSession(storage) as session:
        graph = builder.add_edge(START, "write").compile(checkpointer=StorageSaver(session))
        await graph.ainvoke({"page": {}}, CONFIG)

        assert (await results(graph))["write"] == {"page": page}
        stored = b"".join(row.data for row in storage.read_log("t"))
        assert stored.count(b"long") == 1000
