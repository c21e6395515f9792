"""Threads that have just been made: nobody need look for what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from greenroom.actors import Conflict, Greenroom, NotFound
from greenroom.actors.new_threads import MOST
from greenroom.storage import Storage
from greenroom.storage.testing import FaultyStorage

from .stage import chain, ends_a_run, new_thread, says, text


@pytest.fixture
def storage(open_storage: Callable[[], Storage]) -> FaultyStorage:
    return FaultyStorage(open_storage(), blocking=True)


@pytest.fixture
def room(storage: FaultyStorage) -> Greenroom:
    """Not entered yet."""
    return Greenroom({"agent": chain(a=says("a"))}, storage=storage)


def reads(storage: FaultyStorage) -> list[Any]:
    """The names of the reads from now on."""
    names: list[Any] = []

    def note(name: Any) -> bool:
        names.append(name)
        return False

    storage.fail("read", note)
    return names


async def test_the_first_run_of_a_new_thread_reads_nothing_of_it(
    room: Greenroom, storage: FaultyStorage
) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        await room.client.assistants.search()
        seen = reads(storage)
        values = await room.client.runs.wait(thread_id, "agent", input=text("x"))
        assert values["log"] == ["x", "a"]
        stateless = await room.client.runs.wait(None, "agent", input=text("x"))
        assert stateless["log"] == ["x", "a"]
        assert seen == []


async def test_it_is_the_thread_that_was_made(room: Greenroom) -> None:
    async with room:
        threads = room.client.threads
        made = await threads.create(metadata={"who": ["me", {"n": 1}]}, graph_id="agent", ttl=60)
        patched = await threads.update(made["thread_id"], metadata={"more": True})
        assert patched["metadata"] == {"who": ["me", {"n": 1}], "graph_id": "agent", "more": True}
        assert patched["created_at"] == made["created_at"]
        assert patched["ttl"]["expires_at"] > made["ttl"]["expires_at"]
        assert patched["ttl"]["strategy"] == "delete"


async def test_one_that_is_deleted_or_made_again_is_not_new(room: Greenroom) -> None:
    async with room:
        threads = room.client.threads
        thread_id = await new_thread(room.client)
        with pytest.raises(Conflict):
            await threads.create(thread_id=thread_id)
        await threads.delete(thread_id)
        with pytest.raises(NotFound):
            await room.client.runs.wait(thread_id, "agent", input=text("x"))
        await threads.create(thread_id=thread_id)
        values = await room.client.runs.wait(thread_id, "agent", input=text("x"))
        assert values["log"] == ["x", "a"]


async def test_an_actor_that_crashes_leaves_it_to_be_read(
    room: Greenroom, storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with trio.fail_after(30):
        async with room:
            thread_id = await new_thread(room.client)
            storage.fail("before", ends_a_run)
            values = await room.client.runs.wait(thread_id, "agent", input=text("x"))
            assert values["log"] == ["x", "a"]
            assert "crashed" in caplog.text
            values = await room.client.runs.wait(thread_id, "agent", input=text("y"))
            assert values["log"] == ["x", "a", "y", "a"]


async def test_one_of_many_is_read_as_any_other(room: Greenroom) -> None:
    async with room:
        first = await new_thread(room.client)
        for _ in range(MOST):
            await new_thread(room.client)
        assert first not in room.client.threads._supervisor.new_threads
        values = await room.client.runs.wait(first, "agent", input=text("x"))
        assert values["log"] == ["x", "a"]
