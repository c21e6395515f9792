"""What becomes of a run that steers and was told to stop, where its host does not end with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Client, Greenroom
from greenroom.storage import SqliteStorage
from greenroom.storage.testing import FaultyStorage

from .conftest import Serve
from .stage import Shielded, log_of, statuses
from .test_steer import INTERRUPT, Stage, send, stage

__all__ = ["stage"]

Stop = Callable[[Client, str, str], Awaitable[None]]


async def cancel(client: Client, thread_id: str, steers: str) -> None:
    await client.runs.cancel(thread_id, steers)


async def text_again(client: Client, thread_id: str, steers: str) -> None:
    await send(client, thread_id, "new", **INTERRUPT)


@pytest.mark.parametrize(
    ("stop", "log", "ends"),
    [
        (cancel, [], []),
        (text_again, ["new", "did new", "next new", "did new"], ["success"]),
    ],
)
async def test_one_whose_host_is_given_up_on_does_not_start_after_all(
    serve_in_memory: Serve,
    mock_clock: MockClock,
    stop: Stop,
    log: list[str],
    ends: list[str],
) -> None:
    stage = Stage(last=Shielded(texts=("more",)))
    async with serve_in_memory(stage.graph) as room:
        client = room.client
        thread_id, _, steers = await stage.take_in(client, durability="exit")
        await stop(client, thread_id, steers)
        await wait_all_tasks_blocked()
        mock_clock.jump(6)
        await wait_all_tasks_blocked()
        stage.last.open()
        for run in await client.runs.list(thread_id):
            await client.runs.join(thread_id, run["run_id"])
        assert await statuses(client, thread_id) == ["interrupted", "interrupted", *ends]
        assert await log_of(client, thread_id) == ["slow", "more", *log]


@pytest.mark.parametrize("stop", [cancel, text_again])
async def test_one_does_not_start_in_the_next_process(tmp_path: Path, stop: Stop) -> None:
    stage = Stage(last=Shielded(texts=("more",)))
    storage = FaultyStorage(SqliteStorage(tmp_path / "agents.db"))
    async with Greenroom({"agent": stage.graph}, storage=storage) as room:
        thread_id, _, steers = await stage.take_in(room.client, durability="exit")
        await stop(room.client, thread_id, steers)
        storage.crashed.set()
        stage.last.open()
    again = Stage()
    again.last.open()
    storage = FaultyStorage(SqliteStorage(tmp_path / "agents.db"))
    async with Greenroom({"agent": again.graph}, storage=storage) as room:
        await room.client.runs.join(thread_id, steers)
        assert (await statuses(room.client, thread_id))[:2] == ["interrupted", "interrupted"]
        assert (await log_of(room.client, thread_id))[:2] == ["slow", "more"]
        assert "did more" not in await log_of(room.client, thread_id)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_one_whose_host_is_rolled_back_later_leaves_its_text_and_does_not_start(
    serve: Serve, durability: str
) -> None:
    stage = Stage(last=Shielded(texts=("more",)))
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host, steers = await stage.take_in(client, durability=durability)
        await client.runs.cancel(thread_id, steers)
        await client.runs.cancel(thread_id, host, action="rollback")
        stage.last.open()
        await client.runs.join(thread_id, steers)
        assert await statuses(client, thread_id) == ["interrupted"]
        assert await log_of(client, thread_id) == ["more"]


async def test_one_that_was_to_be_interrupted_is_so_also_if_its_host_is_rolled_back(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    stage = Stage(last=Shielded(texts=("more",)))
    async with serve_in_memory(stage.graph) as room:
        client = room.client
        thread_id, host, steers = await stage.take_in(client, durability="exit")
        new = await send(client, thread_id, "new", **INTERRUPT)
        await client.runs.cancel(thread_id, host, action="rollback")
        mock_clock.jump(6)
        await client.runs.join(thread_id, steers)
        stage.last.open()
        log = (await client.runs.join(thread_id, new))["log"]
        assert log == ["more", "new", "did new", "next new", "did new"]
        assert await statuses(client, thread_id) == ["interrupted", "success"]


async def test_a_drain_does_not_wait_for_one_that_goes_back_to_wait(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        thread_id, host, _ = await stage.take_in(room.client)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(room.drain)
            await wait_all_tasks_blocked()
            await room.client.runs.cancel(thread_id, host, action="rollback", wait=True)
            nursery.cancel_scope.deadline = trio.current_time() + 10
        assert not nursery.cancel_scope.cancelled_caught
        assert await statuses(room.client, thread_id) == ["pending"]
