"""Runs that take too long."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Greenroom, RunFailed

from .conftest import Serve
from .stage import Hold, Shielded, chain, log_of, new_thread, says, status, statuses, text

LIMIT = 60.0
TOO_LONG = r"TimeoutError: The run was stopped: it took longer than 60 s"


@pytest.fixture
def room(serve_in_memory: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    graph = chain(read=says("read"), hold=hold.node, end=says("end"))
    return serve_in_memory(graph, run_timeout=LIMIT)


async def pass_time(clock: MockClock, seconds: float) -> None:
    clock.jump(seconds)
    for _ in range(3):  # a run is stopped, and what follows it
        await wait_all_tasks_blocked()


async def test_a_run_that_takes_too_long_is_stopped_and_says_so(
    room: Greenroom, hold: Hold, mock_clock: MockClock
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.start(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await pass_time(mock_clock, LIMIT - 1)
        assert await statuses(client, thread_id) == ["running"]
        await pass_time(mock_clock, 2)

        assert hold.order == ["slow begins", "slow ends"]
        assert await statuses(client, thread_id) == ["timeout"]
        events = [part async for part in run.parts()]
        assert events[-1].event == "error"
        assert events[-1].data["error"] == "TimeoutError"
        assert (await run.result())["__error__"] == events[-1].data
        with pytest.raises(RunFailed, match=TOO_LONG):
            await client.runs.join(thread_id, run.run_id)
        thread = await client.threads.get(thread_id)
        assert (thread["status"], thread["error"]) == ("error", events[-1].data)
        assert thread["values"]["log"] == ["slow", "read"]


async def test_the_thread_goes_on_from_the_node_that_was_cut(
    room: Greenroom, hold: Hold, mock_clock: MockClock
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await pass_time(mock_clock, LIMIT + 1)
        hold.open()
        values = await client.runs.wait(thread_id, "agent")
        assert values["log"] == ["slow", "read", "did slow", "end"]
        assert await statuses(client, thread_id) == ["timeout", "success"]
        assert await status(client, thread_id) == "idle"


async def test_the_next_run_starts_and_has_all_its_time(
    room: Greenroom, hold: Hold, mock_clock: MockClock
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        second = await client.runs.start(thread_id, "agent", input=text("slow"))
        await pass_time(mock_clock, LIMIT + 1)
        assert await statuses(client, thread_id) == ["timeout", "running"]
        await pass_time(mock_clock, LIMIT - 1)
        hold.open()
        assert "__error__" not in await second.result()
        assert await statuses(client, thread_id) == ["timeout", "success"]


async def test_one_that_will_not_stop_is_given_up_on(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(hold=hold.node), run_timeout=LIMIT, grace_period=5) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await pass_time(mock_clock, LIMIT + 1)
        assert await statuses(client, thread_id) == ["running"]
        await pass_time(mock_clock, 5)
        assert await statuses(client, thread_id) == ["timeout"]
        hold.open()
        await wait_all_tasks_blocked()
        assert await log_of(client, thread_id) == ["slow"]


async def test_a_cancellation_outweighs_the_time_limit(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(hold=hold.node), run_timeout=LIMIT, grace_period=5) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await pass_time(mock_clock, LIMIT + 1)
        await client.runs.cancel(thread_id, run["run_id"])
        await pass_time(mock_clock, 5)
        assert await statuses(client, thread_id) == ["interrupted"]
        hold.open()


async def test_a_run_with_a_thread_of_its_own_says_so_too(
    room: Greenroom, autojump_clock: MockClock
) -> None:
    async with room:
        with pytest.raises(RunFailed, match=TOO_LONG):
            await room.client.runs.wait(None, "agent", input=text("slow"))
        assert await room.client.threads.count() == 0


async def test_a_delay_does_not_count(room: Greenroom, autojump_clock: MockClock) -> None:
    async with room:
        values = await room.client.runs.wait(None, "agent", input=text("x"), after_seconds=1000)
        assert values["log"] == ["x", "read", "did x", "end"]


@pytest.mark.parametrize(("given", "ends"), [({}, True), ({"run_timeout": None}, False)])
async def test_the_limit_is_an_hour_or_none(
    serve_in_memory: Serve, mock_clock: MockClock, given: dict[str, Any], ends: bool
) -> None:
    hold = Hold()
    async with serve_in_memory(chain(hold=hold.node), **given) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await pass_time(mock_clock, 3599)
        assert await statuses(client, thread_id) == ["running"]
        await pass_time(mock_clock, 2)
        assert await statuses(client, thread_id) == ["timeout" if ends else "running"]


@pytest.mark.parametrize("given", [0, -1, float("nan")])
def test_a_limit_that_is_no_time_is_refused(serve_in_memory: Serve, given: float) -> None:
    with pytest.raises(ValueError, match="run_timeout"):
        serve_in_memory(chain(a=says("a")), run_timeout=given)
