"""The strategy of runs that name none: of their thread, of their assistant, or `enqueue`."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.actors import Client, Conflict, Greenroom, Invalid, NotFound
from greenroom.storage import InsertThread
from greenroom.storage.testing import make_thread

from .conftest import Serve
from .stage import Hold, chain, log_of, new_thread, status, text

KEY = "multitask_strategy"


@pytest.fixture
def room(serve: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    return serve(chain(hold=hold.node))


async def texted_twice(client: Client, hold: Hold, thread_id: str, agent: str = "agent") -> Any:
    """What a second run without a strategy of its own came to be while the first was held."""
    await client.runs.create(thread_id, agent, input=text("slow"))
    await hold.reached.wait()
    return await client.runs.create(thread_id, agent, input=text("two"))


async def test_the_default_of_a_thread_is_applied_to_runs_that_name_none(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client = room.client
        thread_id = await new_thread(client, metadata={KEY: "interrupt"})
        second = await texted_twice(client, hold, thread_id)
        assert second[KEY] == "interrupt"
        assert (await client.runs.join(thread_id, second["run_id"]))["log"] == [
            "slow",
            "two",
            "did two",
        ]


async def test_a_run_that_names_a_strategy_has_its_own(room: Greenroom, hold: Hold) -> None:
    async with room:
        client = room.client
        thread_id = await new_thread(client, metadata={KEY: "enqueue"})
        await texted_twice(client, hold, thread_id)
        with pytest.raises(Conflict):
            await client.runs.create(thread_id, "agent", multitask_strategy="reject")


async def test_the_default_of_an_assistant_is_below_that_of_the_thread(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client = room.client
        assistant = await client.assistants.create("agent", metadata={KEY: "reject"})
        agent = assistant["assistant_id"]
        thread_id = await new_thread(client)
        with pytest.raises(Conflict):
            await texted_twice(client, hold, thread_id, agent)

        await client.threads.update(thread_id, metadata={KEY: "merge"})
        second = await client.runs.create(thread_id, agent, input=text("two"))
        assert second[KEY] == "merge"

        await client.threads.update(thread_id, metadata={KEY: None})  # none of its own again
        with pytest.raises(Conflict):
            await client.runs.create(thread_id, agent, input=text("three"))
        await client.assistants.update(agent, metadata={KEY: "enqueue"})
        third = await client.runs.create(thread_id, agent, input=text("three"))
        assert third[KEY] == "enqueue"
        hold.open()
        await client.runs.join(thread_id, third["run_id"])


@pytest.mark.parametrize("given", ["queue", "debounce", 3, ["merge"]])
async def test_what_cannot_be_a_default_is_refused_and_changes_nothing(
    room: Greenroom, given: Any
) -> None:
    metadata = {"own": 1, KEY: given}
    async with room:
        client = room.client
        thread_id = await new_thread(client)
        assistant = (await client.assistants.create("agent"))["assistant_id"]
        for call in (
            lambda: client.threads.create(thread_id=thread_id[:-12] + 12 * "0", metadata=metadata),
            lambda: client.threads.create(metadata=metadata),
            lambda: client.threads.update(thread_id, metadata=metadata),
            lambda: client.assistants.create("agent", metadata=metadata),
            lambda: client.assistants.update(assistant, metadata=metadata),
        ):
            with pytest.raises(Invalid, match=r"metadata\.multitask_strategy: .* is not one of"):
                await call()
        with pytest.raises(NotFound):
            await client.threads.get(thread_id[:-12] + 12 * "0")
        assert (await client.threads.get(thread_id))["metadata"] == {}
        assert await client.threads.count() == 1
        assert (await client.assistants.get(assistant))["metadata"] == {}


@pytest.mark.parametrize("given", ["queue", "debounce", {"a": 1}])
async def test_a_thread_that_was_stored_with_something_else_there_takes_runs_as_any(
    room: Greenroom, hold: Hold, given: Any
) -> None:
    thread = make_thread("6f7f2f3c-0000-4000-8000-000000000001", metadata={KEY: given})
    async with room:
        await room._session.commit([InsertThread(thread)])
        second = await texted_twice(room.client, hold, thread.thread_id)
        assert second[KEY] == "enqueue"
        hold.open()
        await room.client.runs.join(thread.thread_id, second["run_id"])
        assert await log_of(room.client, thread.thread_id) == ["slow", "did slow", "two", "did two"]
        assert await status(room.client, thread.thread_id) == "idle"
