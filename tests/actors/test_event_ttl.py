"""How long the events of resumable runs are kept, and how many."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Greenroom
from greenroom.actors.event_ttl import INTERVAL
from greenroom.actors.events import SLICE
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


async def says_numbers(state: Any) -> dict[str, Any]:
    write = get_stream_writer()
    for number in range(100):
        write(number)
    return {}


async def says_goodbye(state: Any) -> dict[str, Any]:
    get_stream_writer()("bye")
    return {}


async def test_of_a_run_its_newest_events_are_kept(serve: Serve) -> None:
    graph = chain(a=says_numbers, b=says_numbers, c=says_goodbye)
    async with serve(graph, max_kept_events=150) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("x"), stream_mode="custom", stream_resumable=True
        )
        await client.runs.join(thread_id, run["run_id"])
        kept = await joined(client, run, last_event_id=0)
        assert [part.data for part in kept] == [*range(51, 100), *range(100), "bye"]
        assert await joined(client, run, last_event_id=kept[-2].id) == kept[-1:]
        assert await joined(client, run, last_event_id=1) == kept
        assert room.storage.stats().events == 151  # with that it is over

        other = await run_of(room, thread_id, stream_mode="custom")
        whole = await joined(client, other, last_event_id=0)
        assert await joined(client, run, last_event_id=0) == kept
        async with aclosing(client.threads.events(thread_id, after=0)) as batches:
            told = await anext(batches)
        over = [part.id for part in told if part.event == "metadata" and "status" in part.data]
        assert [part for part in told if part.id not in over] == [*kept, *whole]
        assert [part.id in over for part in told].index(True) == len(kept)


async def test_what_earlier_processes_left_of_a_run_counts_too(serve: Serve) -> None:
    held = trio.Event()

    async def holds(state: Any) -> dict[str, Any]:
        held.set()
        await trio.sleep_forever()
        return {}

    async with serve(chain(a=says_numbers, b=holds), max_kept_events=150) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("x"), stream_mode="custom", stream_resumable=True
        )
        await held.wait()

    async with serve(chain(a=says_numbers, b=says_numbers), max_kept_events=150) as room:
        await room.client.runs.join(thread_id, run["run_id"])
        kept = await joined(room.client, run, last_event_id=0)
    numbers = [part.data for part in kept if part.event == "custom"]
    assert len(kept) == 150
    assert numbers == [*range(51, 100), *range(100)]


@pytest.mark.parametrize("most", [0, -1])
def test_a_number_of_events_that_is_none_is_refused(serve_in_memory: Serve, most: int) -> None:
    with pytest.raises(ValueError, match=f"max_kept_events: expected 1 or more, got {most}"):
        serve_in_memory(chain(a=says("a")), max_kept_events=most)


@pytest.mark.parametrize("ttl", [0, -1.0, float("nan")])
def test_a_time_that_is_none_is_refused(serve_in_memory: Serve, ttl: float) -> None:
    with pytest.raises(ValueError, match=f"event_ttl: {ttl}"):
        serve_in_memory(chain(a=says("a")), event_ttl=ttl)
