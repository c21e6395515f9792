"""New threads are not looked for in storage, once it is known which ones there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.graph import START, StateGraph
from greenroom.storage import (
    InsertThread,
    MemoryStorage,
    StorageAway,
    StorageError,
    StorageSaver,
    StorageSession,
    known,
)
from greenroom.storage.testing import FaultyStorage, make_thread


class State(TypedDict, total=False):
    n: int


async def count(state: State) -> State:
    return {"n": state.get("n", 0) + 1}


def at(thread: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}}


def counting(session: StorageSession) -> Any:
    builder = StateGraph(State).add_node(count).add_edge(START, "count")
    return builder.compile(checkpointer=StorageSaver(session))


@pytest.fixture
async def storage() -> FaultyStorage:
    """One that has the threads `t` and `u`."""
    storage = FaultyStorage(MemoryStorage())
    async with StorageSession(storage) as session:
        for thread in "tu":
            await counting(session).ainvoke({"n": 1}, at(thread))
    return storage


def forbid_reads(storage: FaultyStorage) -> None:
    storage.fail("read", times=None)


async def test_a_run_on_a_new_thread_reads_nothing_once_the_threads_are_known(
    storage: FaultyStorage,
) -> None:
    async with StorageSession(storage) as session:
        graph = counting(session)
        await graph.ainvoke({"n": 1}, at("the first new one is looked for"))
        await wait_all_tasks_blocked()
        forbid_reads(storage)
        assert await graph.ainvoke({"n": 5}, at("new")) == {"n": 6}
        assert await graph.ainvoke({}, at("new")) == {"n": 7}


@pytest.mark.parametrize("learned", [False, True])
async def test_threads_that_are_there_are_read(storage: FaultyStorage, learned: bool) -> None:
    async with StorageSession(storage) as session:
        if learned:
            session.learn_threads()
            await wait_all_tasks_blocked()
        graph = counting(session)
        assert await graph.ainvoke({}, at("t")) == {"n": 3}
        await session.commit([InsertThread(make_thread("made by another part"))])
        forbid_reads(storage)
        for there in ("u", "made by another part"):
            with pytest.raises(StorageError, match="the disk is full"):
                await graph.ainvoke({}, at(there))


async def test_a_thread_that_comes_while_the_others_are_read_is_known(
    storage: FaultyStorage,
) -> None:
    async with StorageSession(storage) as session:
        session.learn_threads()
        await session.commit([InsertThread(make_thread("a"))])
        await wait_all_tasks_blocked()
        assert [session.lacks_thread(one) for one in ("a", "t", "new")] == [False, False, True]


async def test_a_thread_whose_insertion_was_answered_with_an_error_may_be_there(
    storage: FaultyStorage,
) -> None:
    async with StorageSession(storage) as session:
        session.learn_threads()
        await wait_all_tasks_blocked()
        storage.fail("after")
        with pytest.raises(StorageError):
            await session.commit([InsertThread(make_thread("a"))])
        assert not session.lacks_thread("a")


@pytest.mark.parametrize("before", [True, False])
async def test_with_too_many_threads_storage_is_asked(
    storage: FaultyStorage, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.setattr(known, "MOST", 1 if before else 2)
    async with StorageSession(storage) as session:
        session.learn_threads()
        await wait_all_tasks_blocked()
        assert session.lacks_thread("new") is not before
        await session.commit([InsertThread(make_thread("one more"))])
        assert not session.lacks_thread("new")


async def test_a_session_is_left_while_the_threads_are_read() -> None:
    class Left(Exception):
        pass

    async def stubborn(function: Callable[..., Any], *args: Any) -> Any:
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
            return function(*args)

    storage = FaultyStorage(MemoryStorage(), blocking=True)
    async with StorageSession(storage, run_blocking=stubborn, closed=Left) as session:
        await session.commit([InsertThread(make_thread())])
        session.learn_threads()
        await trio.lowlevel.checkpoint()
    assert not session.lacks_thread("new")


@pytest.mark.parametrize("error", [StorageError("broken"), StorageAway("gone")])
async def test_where_the_threads_cannot_be_read_storage_is_asked(
    storage: FaultyStorage, error: StorageError, autojump_clock: object
) -> None:
    storage.fail("read", lambda name: name == "scan_threads", error=error, times=None)
    async with StorageSession(storage) as session:
        session.learn_threads()
        graph = counting(session)
        assert await graph.ainvoke({}, at("t")) == {"n": 3}
        assert await graph.ainvoke({}, at("new")) == {"n": 1}
        assert not session.lacks_thread("new")
