"""A graph used alone, on a storage backend."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.graph import START, Command, StateGraph, interrupt
from greenroom.storage import (
    AppendLog,
    SqliteStorage,
    Storage,
    StorageError,
    StorageSaver,
    StorageSession,
    Unstorable,
    read_saved,
)
from greenroom.storage.testing import FaultyStorage


class State(TypedDict):
    log: Annotated[list[str], operator.add]


async def ask(state: State) -> dict[str, Any]:
    return {"log": [interrupt("name?")]}


def graph_on(session: StorageSession) -> Any:
    builder = StateGraph(State).add_node("ask", ask).add_edge(START, "ask")
    return builder.compile(checkpointer=StorageSaver(session))


async def test_a_graph_used_alone_pauses_and_is_resumed_from_the_file(tmp_path: Path) -> None:
    thread = {"configurable": {"thread_id": "t"}}
    async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
        paused = await graph_on(session).ainvoke({"log": ["hello"]}, thread)
        assert [question.value for question in paused["__interrupt__"]] == ["name?"]

    async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
        graph = graph_on(session)
        assert await graph.ainvoke(Command(resume="Ada"), thread) == {"log": ["hello", "Ada"]}
        history = [state.values["log"] async for state in graph.aget_state_history(thread)]
        assert history == [["hello", "Ada"], ["hello"], []]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_what_a_run_leaves_is_in_storage_when_it_returns(
    tmp_path: Path, durability: Any
) -> None:
    storage = FaultyStorage(SqliteStorage(tmp_path / "graph.db"))
    gate = storage.hold("after", lambda operation: isinstance(operation, AppendLog))
    thread, returned = {"configurable": {"thread_id": "t"}}, trio.Event()

    async def invoke() -> None:
        await graph_on(session).ainvoke({"log": ["x"]}, thread, durability=durability)
        saved = read_saved(storage, "t")
        assert saved is not None
        assert [task.node for task in saved.checkpoint.next] == ["ask"]
        returned.set()

    async with StorageSession(storage) as session, trio.open_nursery() as nursery:
        nursery.start_soon(invoke)
        await gate.reached()
        await wait_all_tasks_blocked()
        assert not returned.is_set()
        gate.open()
        await returned.wait()


async def test_an_input_that_cannot_be_stored_makes_no_thread(tmp_path: Path) -> None:
    thread = {"configurable": {"thread_id": "t"}}
    async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
        with pytest.raises(Unstorable, match="log"):
            await graph_on(session).ainvoke({"log": [object()]}, thread)
        assert await session.read(Storage.get_thread, "t") is None
        await graph_on(session).ainvoke({"log": ["x"]}, thread)
        assert await session.read(Storage.get_thread, "t") is not None


async def test_a_second_run_on_a_thread_at_the_same_time_is_refused(tmp_path: Path) -> None:
    thread = {"configurable": {"thread_id": "t"}}
    entered, going_on = trio.Event(), trio.Event()

    async def slow(state: State) -> dict[str, Any]:
        entered.set()
        await going_on.wait()
        return {"log": ["slow"]}

    async def quick(state: State) -> dict[str, Any]:
        return {"log": ["quick"]}

    def graph(name: str, node: Any, session: StorageSession) -> Any:
        builder = StateGraph(State).add_node(name, node).add_edge(START, name)
        return builder.compile(checkpointer=StorageSaver(session))

    async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:

        async def first() -> None:
            with pytest.raises(StorageError, match="Another run has written to thread t"):
                await graph("slow", slow, session).ainvoke({"log": []}, thread)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(first)
            await entered.wait()
            await graph("quick", quick, session).ainvoke({"log": []}, thread)
            going_on.set()
        state = await graph("quick", quick, session).aget_state(thread)
        assert state.values == {"log": ["quick"]}
        assert await graph("quick", quick, session).ainvoke({"log": []}, thread) == {
            "log": ["quick", "quick"]
        }


async def test_a_thread_whose_records_were_refused_is_read_anew(tmp_path: Path) -> None:
    thread = {"configurable": {"thread_id": "t"}}

    class Full(SqliteStorage):
        """A disk that is full for a while."""

        full = False

        def commit(self, groups: Any, epoch: int) -> Any:
            if self.full:
                return [StorageError("the disk is full")] * len(groups)
            return super().commit(groups, epoch)

    storage = Full(tmp_path / "graph.db")
    async with StorageSession(storage) as session:
        graph = graph_on(session)
        await graph.ainvoke({"log": ["one"]}, thread)
        storage.full = True
        with pytest.raises(StorageError, match="full"):
            await graph.ainvoke(Command(resume="lost"), thread)
        storage.full = False
        assert await graph.ainvoke(Command(resume="Ada"), thread) == {"log": ["one", "Ada"]}
