"""A graph used alone, on a storage backend."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.graph import START, Command, NodeError, StateGraph, interrupt
from greenroom.graph.failure import TaskError
from greenroom.storage import (
    AppendLog,
    MemoryStorage,
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


async def test_a_graph_used_alone_pauses_and_is_resumed_by_the_next_process(
    new_storage: Callable[[], Storage],
) -> None:
    thread = {"configurable": {"thread_id": "t"}}
    async with StorageSession(new_storage()) as session:
        paused = await graph_on(session).ainvoke({"log": ["hello"]}, thread)
        assert [question.value for question in paused["__interrupt__"]] == ["name?"]

    async with StorageSession(new_storage()) as session:
        graph = graph_on(session)
        assert await graph.ainvoke(Command(resume="Ada"), thread) == {"log": ["hello", "Ada"]}
        history = [state.values["log"] async for state in graph.aget_state_history(thread)]
        assert history == [["hello", "Ada"], ["hello"], []]


class Refused(PermissionError):
    pass


class Handled:
    """A graph whose node fails and whose error handler asks; remembers who ran with what."""

    def __init__(self, session: StorageSession) -> None:
        self.ran: list[Any] = []
        self.session = session
        builder = StateGraph(State).add_node("node", self.node, error_handler=self.handle)
        self.graph = builder.add_edge(START, "node").compile(checkpointer=StorageSaver(session))

    async def node(self, state: State) -> Any:
        self.ran.append("node")
        raise Refused("not yours")

    async def handle(self, state: State, error: NodeError) -> Any:
        (stored,) = read_saved(self.session.storage, "t").pending.values()  # type: ignore[union-attr]
        self.ran.append((error.node, repr(error.error), stored.handles, stored.node))
        return {"log": [interrupt(isinstance(error.error, PermissionError))]}


async def test_an_error_handler_goes_on_in_the_next_process(
    new_storage: Callable[[], Storage],
) -> None:
    thread, sync = {"configurable": {"thread_id": "t"}}, {"durability": "sync"}
    failed = TaskError("Refused", "not yours", "Refused('not yours')", "PermissionError")
    handled = ("node", failed.repr, failed, "node")
    async with StorageSession(new_storage()) as session:
        first = Handled(session)
        paused = await first.graph.ainvoke({"log": ["hello"]}, thread, **sync)
        assert [question.value for question in paused["__interrupt__"]] == [True]
        assert first.ran == ["node", handled]

    async with StorageSession(new_storage()) as session:
        second = Handled(session)
        done = await second.graph.ainvoke(Command(resume="Ada"), thread, **sync)
        assert done == {"log": ["hello", "Ada"]}
        assert second.ran == [handled]


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


class Inner(TypedDict):
    memory: Annotated[list[str], operator.add]


async def note(state: Inner) -> dict[str, Any]:
    return {"memory": [interrupt(state["memory"])]}


def around(session: StorageSession, checkpointer: Any) -> Any:
    inner = StateGraph(Inner).add_node("note", note).add_edge(START, "note")
    called = inner.compile(checkpointer=checkpointer)

    async def call(state: State) -> dict[str, Any]:
        return {"log": (await called.ainvoke({}))["memory"]}

    builder = StateGraph(State).add_node("call", call).add_edge(START, "call")
    return builder.compile(checkpointer=StorageSaver(session))


async def test_what_a_graph_inside_remembers_is_in_the_file(tmp_path: Path) -> None:
    thread = {"configurable": {"thread_id": "t"}}
    for turn, before in (("a", []), ("b", ["a"])):
        async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
            paused = await around(session, True).ainvoke({}, thread)
            assert [question.value for question in paused["__interrupt__"]] == [before]
        async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
            await around(session, True).ainvoke(Command(resume=turn), thread)
            inner = {"configurable": {"thread_id": "t", "checkpoint_ns": "call"}}
            state = await around(session, True).aget_state(inner)
            assert state.values == {"memory": [*before, turn]}


async def test_an_edit_of_a_state_is_in_storage_when_it_returns() -> None:
    thread = {"configurable": {"thread_id": "t"}}
    storage = MemoryStorage()
    async with StorageSession(storage) as session:
        graph = around(session, None)
        await graph.ainvoke({"log": ["x"]}, thread)
        state = await graph.aget_state(thread, subgraphs=True)
        await graph.aupdate_state(state.tasks[0].state.config, {"memory": ["edited"]})
    async with StorageSession(storage) as session:
        graph = around(session, None)
        state = await graph.aget_state(thread, subgraphs=True)
        assert state.tasks[0].state.values == {"memory": ["edited"]}
        result = await graph.ainvoke(Command(resume="done"), thread)
        assert result == {"log": ["x", "edited", "done"]}


async def test_answers_find_their_question_after_a_restart(tmp_path: Path) -> None:
    async def ask_both(state: State) -> dict[str, Any]:
        answers: dict[str, Any] = {}

        async def one(name: str) -> None:
            answers[name] = interrupt(name)

        async with trio.open_nursery() as nursery:
            for name in ("a", "b", "c"):
                nursery.start_soon(one, name)
        return {"log": [answers[name] for name in ("a", "b", "c")]}

    thread = {"configurable": {"thread_id": "t"}}
    given: Any = {}
    while True:
        async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
            builder = StateGraph(State).add_node("ask", ask_both).add_edge(START, "ask")
            graph = builder.compile(checkpointer=StorageSaver(session))
            result = await graph.ainvoke(given, thread)
        if not (waiting := result.get("__interrupt__")):
            break
        given = Command(resume={waiting[-1].id: waiting[-1].value.upper()})
    assert result["log"] == ["A", "B", "C"]


async def test_a_second_run_on_a_thread_at_the_same_time_is_refused(storage: Storage) -> None:
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

    async with StorageSession(storage) as session:

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


async def test_a_deleted_thread_begins_anew(storage: Storage) -> None:
    thread, other = ({"configurable": {"thread_id": name}} for name in ("t", "other"))
    async with StorageSession(storage) as session:
        saver = StorageSaver(session)
        builder = StateGraph(State).add_node("say", lambda state: {"log": ["said"]})
        graph = builder.add_edge(START, "say").compile(checkpointer=saver)
        for config in (thread, other):
            await graph.ainvoke({"log": ["first"]}, config)
        await saver.adelete_thread("t")
        await saver.adelete_thread("never there")
        assert [state async for state in graph.aget_state_history(thread)] == []
        assert await graph.ainvoke({"log": ["second"]}, thread) == {"log": ["second", "said"]}
        assert (await graph.aget_state(other)).values == {"log": ["first", "said"]}
