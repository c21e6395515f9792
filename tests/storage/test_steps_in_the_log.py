"""Steps are on disk before their node goes on; results of tasks come back from the file."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypedDict

import attrs
import pytest
import trio
import trio.lowlevel

from greenroom.graph import START, Command, StateGraph, entrypoint, interrupt, step, task
from greenroom.storage import (
    SqliteStorage,
    Storage,
    StorageSaver,
    StorageSession,
    Unstorable,
    read_saved,
)

THREAD = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    value: Any


def graph_of(node: Any, session: StorageSession) -> Any:
    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    return builder.compile(checkpointer=StorageSaver(session))


@pytest.fixture
async def session(storage: Storage) -> AsyncIterator[StorageSession]:
    async with StorageSession(storage) as session:
        yield session


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_task_is_stored_before_its_step_and_the_result_before_the_node_goes_on(
    session: StorageSession, durability: str
) -> None:
    keys: list[str] = []

    def stored() -> Any:
        saved = read_saved(session.storage, "t")
        assert saved is not None
        return saved

    async def charge(idempotency_key: str) -> str:
        keys.append(idempotency_key)
        assert [planned.node for planned in stored().checkpoint.next] == ["node"]
        assert stored().pending == {}
        return "paid"

    async def node(state: State) -> Any:
        receipt = await step("charge", charge)
        assert stored().pending[keys[0]].writes == (("__return__", "paid"),)
        return {"value": [receipt, interrupt("?")]}

    graph = graph_of(node, session)
    await graph.ainvoke({}, THREAD, durability=durability)
    done = await graph.ainvoke(Command(resume="yes"), THREAD, durability=durability)
    assert done == {"value": ["paid", "yes"]}
    assert len(keys) == 1


async def test_with_durability_exit_what_came_before_the_step_is_kept_as_well(
    session: StorageSession,
) -> None:
    async def before(state: State) -> Any:
        return {"value": "before"}

    async def node(state: State) -> Any:
        await step("note", list)

    builder = StateGraph(State).add_sequence([("before", before), ("node", node)])
    graph = builder.add_edge(START, "before").compile(checkpointer=StorageSaver(session))
    await graph.ainvoke({}, THREAD, durability="exit")
    history = [state async for state in graph.aget_state_history(THREAD)]
    assert [(state.next, state.values) for state in history] == [
        ((), {"value": "before"}),
        (("node",), {"value": "before"}),
    ]
    assert history[0].parent_config == history[1].config


async def test_a_step_outlives_the_process(tmp_path: Path) -> None:
    charged: list[int] = []

    async def node(state: State) -> Any:
        await step("charge", charged.append, 5)
        if len(charged) == 1 and not came_back:
            raise OSError("the end")
        return {"value": "fine"}

    came_back = False
    async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
        with pytest.raises(OSError, match="the end"):
            await graph_of(node, session).ainvoke({}, THREAD)
    came_back = True
    async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
        assert await graph_of(node, session).ainvoke(None, THREAD) == {"value": "fine"}
    assert charged == [5]


async def test_a_result_that_cannot_be_stored_fails_and_names_the_step(
    session: StorageSession,
) -> None:
    async def node(state: State) -> None:
        await step("open-till", threading.Event)

    with pytest.raises(Unstorable, match=r"open-till.*Event"):
        await graph_of(node, session).ainvoke({}, THREAD)


async def test_results_come_back_as_they_were(session: StorageSession) -> None:
    def receipt() -> Any:
        return {"amounts": (1, 2), "tags": {"a"}, "raw": b"\0"}

    async def node(state: State) -> Any:
        got = await step("charge", receipt)
        interrupt("?")
        return {"value": got}

    await graph_of(node, session).ainvoke({}, THREAD)
    done = await graph_of(node, session).ainvoke(Command(resume="yes"), THREAD)
    assert done == {"value": receipt()}


async def test_tasks_that_finished_outlive_the_process_and_so_does_previous(tmp_path: Path) -> None:
    done: list[str] = []

    @task
    async def work(name: str) -> tuple[str, str]:
        done.append(name)
        return (name, name.upper())

    @task
    async def ask(question: str) -> Any:
        return [interrupt(question), interrupt(f"{question}?")]

    def program(session: StorageSession) -> Any:
        @entrypoint(checkpointer=StorageSaver(session))
        async def program(name: str, *, previous: Any) -> Any:
            answers = ask(name)
            return [await work(name), await answers, previous]

        return program

    inputs: list[Any] = ["a", Command(resume=1), Command(resume=2), "b"]
    for given in inputs:
        async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
            result = await program(session).ainvoke(given, THREAD)
            if given == inputs[2]:
                assert result == [("a", "A"), [1, 2], None]
    async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
        await program(session).ainvoke(Command(resume=3), THREAD)
        result = await program(session).ainvoke(Command(resume=4), THREAD)
        assert result == [("b", "B"), [3, 4], [("a", "A"), [1, 2], None]]
    assert done == ["a", "b"]


@attrs.frozen
class Receipt:
    number: int


@attrs.frozen
class Parcel:
    receipt: Receipt


async def test_what_tasks_and_steps_are_annotated_to_return_comes_back_as_itself(
    tmp_path: Path,
) -> None:
    seen: list[Any] = []

    async def charge(number: int) -> Receipt:
        return Receipt(number)

    @task
    async def pack(receipt: Receipt) -> list[Parcel]:
        return [Parcel(receipt)]

    def program(session: StorageSession) -> Any:
        @entrypoint(checkpointer=StorageSaver(session))
        async def program(number: int) -> Any:
            receipt = await step("charge", charge, number)
            seen.append([receipt, await pack(receipt)])
            return interrupt("?")

        return program

    for given in (7, Command(resume="yes")):
        async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
            await program(session).ainvoke(given, THREAD)
    assert seen == [[Receipt(7), [Parcel(Receipt(7))]]] * 2


async def test_a_result_of_a_task_that_cannot_be_stored_fails_and_names_the_task(
    session: StorageSession,
) -> None:
    @task
    async def open_till() -> threading.Event:
        return threading.Event()

    @entrypoint(checkpointer=StorageSaver(session))
    async def program(_: Any) -> None:
        await open_till()

    with pytest.raises(Unstorable, match=r"open_till.*Event"):
        await program.ainvoke(0, THREAD)


async def test_a_task_is_on_its_way_to_storage_as_soon_as_it_has_finished(
    session: StorageSession,
) -> None:
    @task
    async def work() -> str:
        return "done"

    @entrypoint(checkpointer=StorageSaver(session))
    async def program(_: Any) -> str:
        result = await work()
        with trio.fail_after(10):
            while not (saved := read_saved(session.storage, "t")) or not saved.pending:
                await trio.lowlevel.checkpoint()  # the commit takes its time
        return result

    assert await program.ainvoke(0, THREAD) == "done"


async def test_an_input_after_a_failed_run_is_the_one_that_is_stored(tmp_path: Path) -> None:
    def program(session: StorageSession) -> Any:
        @entrypoint(checkpointer=StorageSaver(session))
        async def program(name: str) -> Any:
            if name == "a":
                raise KeyError(name)
            return [name, interrupt("?")]

        return program

    async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
        with pytest.raises(KeyError):
            await program(session).ainvoke("a", THREAD)
        await program(session).ainvoke("b", THREAD)
    async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
        assert await program(session).ainvoke(Command(resume="yes"), THREAD) == ["b", "yes"]


async def test_an_answer_that_edits_the_state_leaves_steps_made_after_a_restart(
    tmp_path: Path,
) -> None:
    charged: list[int] = []

    async def node(state: State) -> Any:
        await step("charge", charged.append, 5)
        return {"value": [state["value"], interrupt("?")]}

    async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
        await graph_of(node, session).ainvoke({"value": "first"}, THREAD)
    async with StorageSession(SqliteStorage(tmp_path / "a.db")) as session:
        answer = Command(resume="yes", update={"value": "edited"})
        done = await graph_of(node, session).ainvoke(answer, THREAD)
    assert done == {"value": ["edited", "yes"]}
    assert charged == [5]
