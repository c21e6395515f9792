"""What an actor that is awake knows of its runs is not asked of storage."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from greenroom.actors import Greenroom, NotFound
from greenroom.storage import Storage
from greenroom.storage.testing import FaultyStorage

from .stage import Hold, chain, fails, new_thread, says, text


@pytest.fixture
def storage(open_storage: Callable[[], Storage]) -> FaultyStorage:
    return FaultyStorage(open_storage())


@pytest.fixture
def room(storage: FaultyStorage, hold: Hold) -> Greenroom:
    graphs = {"agent": chain(a=says("a"), hold=hold.node), "fails": chain(fail=fails)}
    return Greenroom(graphs, storage=storage)


@pytest.fixture
def no_reads(storage: FaultyStorage) -> Callable[[], None]:
    names = {"get_run", "get_thread", "read_checkpoint"}
    return lambda: storage.fail("read", names.__contains__, times=None)


async def test_runs_under_way_and_waiting_are_shown_and_joined_without_a_read(
    room: Greenroom, hold: Hold, no_reads: Callable[[], None]
) -> None:
    async with room:
        client = room.client
        thread = await new_thread(client)
        first = await client.runs.create(thread, "agent", input=text("slow"))
        await hold.reached.wait()
        second = await client.runs.create(thread, "agent", input=text("two"))
        no_reads()

        assert (await client.runs.get(thread, first["run_id"]))["status"] == "running"
        assert await client.runs.get(thread, second["run_id"]) == second
        hold.open()
        joined = await client.runs.join(thread, second["run_id"])

    assert joined["log"] == ["slow", "a", "did slow", "two", "a", "did two"]


async def test_a_run_that_has_just_ended_is_shown_and_joined_without_a_read(
    room: Greenroom, no_reads: Callable[[], None]
) -> None:
    async with room:
        client = room.client
        thread = await new_thread(client)
        ended = await client.runs.start(thread, "agent", input=text("one"))
        result = await ended.result()
        failed = await client.runs.start(thread, "fails", input=text("two"))
        error = await failed.result()
        no_reads()

        assert (await client.runs.get(thread, ended.run_id))["status"] == "success"
        assert (await client.runs.get(thread, failed.run_id))["status"] == "error"
        newest = await client.runs.join(thread, ended.run_id)
        assert newest["log"] == [*result["log"], "two"]
        assert await client.runs.join(thread, failed.run_id, raise_error=False) == error


async def test_what_storage_has_of_a_run_is_what_was_shown(room: Greenroom) -> None:
    async with room:
        client = room.client
        thread = await new_thread(client)
        for word in ("one", "two"):
            await client.runs.wait(thread, "agent", input=text(word))
        listed = await client.runs.list(thread)

        assert [await client.runs.get(thread, run["run_id"]) for run in listed] == listed


async def test_a_run_that_ended_long_ago_is_still_found(room: Greenroom) -> None:
    async with room:
        client = room.client
        thread = await new_thread(client)
        first = await client.runs.start(thread, "agent", input=text("one"))
        for _ in range(10):
            await client.runs.wait(thread, "agent", input=text("more"))

        assert (await client.runs.get(thread, first.run_id))["status"] == "success"


@pytest.mark.parametrize("deletes", ["the run", "the thread"])
async def test_a_run_that_was_deleted_is_not_found(room: Greenroom, deletes: str) -> None:
    async with room:
        client = room.client
        thread = await new_thread(client)
        run = await client.runs.start(thread, "agent", input=text("one"))
        await run.result()
        if deletes == "the run":
            await client.runs.delete(thread, run.run_id)
        else:
            await client.threads.delete(thread)

        with pytest.raises(NotFound):
            await client.runs.get(thread, run.run_id)
        with pytest.raises(NotFound):
            await client.runs.join(thread, run.run_id)


async def test_what_was_joined_is_the_callers_own(room: Greenroom) -> None:
    async with room:
        client = room.client
        thread = await new_thread(client)
        run = await client.runs.start(thread, "agent", input=text("one"))
        await run.result()
        joined = await client.runs.join(thread, run.run_id)
        joined["log"].append("not mine")

        assert (await client.threads.get(thread))["values"]["log"] == ["one", "a", "did one"]


async def test_what_was_shown_of_a_run_is_the_callers_own(room: Greenroom, hold: Hold) -> None:
    async with room:
        client = room.client
        thread = await new_thread(client)
        made = await client.runs.create(
            thread, "agent", input=text("slow"), metadata={"about": {"who": "Ada"}}
        )
        await hold.reached.wait()
        for shown in (made, await client.runs.get(thread, made["run_id"])):
            shown["metadata"]["about"]["who"] = "not mine"
            shown["kwargs"]["input"]["log"].append("not mine")
        hold.open()
        await client.runs.join(thread, made["run_id"])

        [stored] = await client.runs.list(thread)

    assert stored["metadata"]["about"] == {"who": "Ada"}
    assert stored["kwargs"]["input"] == text("slow")
