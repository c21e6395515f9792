"""How long the events of resumable runs are kept."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Greenroom
from greenroom.actors.event_ttl import INTERVAL, SLICE
from greenroom.graph import get_stream_writer

from .conftest import Serve
from .stage import chain, new_thread, says, text
from .test_streams import joined, streamed

TTL = 1000.0


async def chatters(state: Any) -> dict[str, Any]:
    write = get_stream_writer()
    for number in range(2 * SLICE):
        write(number)
    return {}


async def pass_time(clock: MockClock, seconds: float) -> None:
    """Let the sweeper work as often as it does in so long a time."""
    while seconds > 0:
        clock.jump(min(seconds, INTERVAL))
        seconds -= INTERVAL
        await wait_all_tasks_blocked()


async def run_of(room: Greenroom, thread_id: str, **options: Any) -> dict[str, Any]:
    await streamed(
        room.client, thread_id, "agent", input=text("x"), stream_resumable=True, **options
    )
    return (await room.client.runs.list(thread_id, limit=1))[0]


async def test_events_are_kept_for_their_time_and_no_longer(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    async with serve_in_memory(chain(a=says("a")), event_ttl=TTL) as room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await run_of(room, thread_id)
        await pass_time(mock_clock, TTL / 2)
        second = await run_of(room, thread_id)
        kept = await joined(client, second, last_event_id=0)

        await pass_time(mock_clock, TTL / 2 - INTERVAL)
        assert len(await joined(client, first, last_event_id=0)) == len(kept) == 3
        await pass_time(mock_clock, 3 * INTERVAL)
        assert await joined(client, first, last_event_id=0) == []
        assert await joined(client, second, last_event_id=0) == kept
        await pass_time(mock_clock, TTL / 2)
        assert await joined(client, second, last_event_id=0) == []
        assert (await client.threads.get_state(thread_id))["values"]["log"] == ["x", "a", "x", "a"]


async def test_events_that_an_earlier_process_left_go_too_however_many(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    graph = chain(a=chatters)
    async with serve_in_memory(graph, event_ttl=TTL) as room:
        thread_id = await new_thread(room.client)
        run = await run_of(room, thread_id, stream_mode="custom")

    async with serve_in_memory(graph, event_ttl=TTL) as room:
        await pass_time(mock_clock, TTL - INTERVAL)
        assert len(await joined(room.client, run, last_event_id=0)) == 2 * SLICE + 1
        await pass_time(mock_clock, 3 * INTERVAL)
        assert await joined(room.client, run, last_event_id=0) == []


async def test_without_a_time_they_are_kept_as_long_as_their_thread(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    async with serve_in_memory(chain(a=says("a")), event_ttl=None) as room:
        run = await run_of(room, await new_thread(room.client))
        mock_clock.jump(100 * 365 * 24 * 3600)
        await wait_all_tasks_blocked()
        assert len(await joined(room.client, run, last_event_id=0)) == 3


@pytest.mark.parametrize("ttl", [0, -1.0, float("nan")])
def test_a_time_that_is_none_is_refused(serve_in_memory: Serve, ttl: float) -> None:
    with pytest.raises(ValueError, match=f"event_ttl: {ttl}"):
        serve_in_memory(chain(a=says("a")), event_ttl=ttl)
