"""The runtime is left in good order: what is under way comes to its end, or goes on later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Closed, Greenroom
from greenroom.storage import MemoryStorage, Storage
from greenroom.storage.operations import AppendLog
from greenroom.storage.testing import FaultyStorage

from .conftest import Serve
from .stage import Hold, chain, is_a, log_of, new_thread, status, statuses, text


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_run_that_is_put_off_again_and_again_is_not_given_up(
    serve: Serve, durability: str
) -> None:
    made: dict[str, Any] = {}
    for _ in range(5):
        hold = Hold()
        async with serve(chain(hold=hold.node)) as room:
            if not made:
                thread_id = await new_thread(room.client)
                made = await room.client.runs.create(
                    thread_id, "agent", input=text("slow"), durability=durability
                )
            with trio.fail_after(30):
                await hold.reached.wait()

    async with serve(chain(hold=Hold(texts=()).node)) as room:
        assert (await room.client.runs.join(thread_id, made["run_id"]))["log"][-1] == "did slow"


async def test_a_start_that_a_crash_cut_short_still_counts_after_one_that_was_put_off(
    open_storage: Callable[[], Storage],
) -> None:
    made: dict[str, Any] = {}
    for crashes in (False, True, False, True, True):
        hold, storage = Hold(), FaultyStorage(open_storage(), blocking=True)
        async with Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room:
            if not made:
                thread_id = await new_thread(room.client)
                made = await room.client.runs.create(thread_id, "agent", input=text("slow"))
            await hold.reached.wait()
            if crashes:
                storage.crashed.set()

    async with Greenroom({"agent": chain(hold=hold.node)}, storage=open_storage()) as room:
        run = await room.client.runs.join(thread_id, made["run_id"], raise_error=False)
    assert "started 3 times" in run["__error__"]["message"]


async def test_a_drain_waits_for_the_runs_under_way_and_starts_no_other(serve: Serve) -> None:
    hold, drained = Hold(), trio.Event()
    async with serve(chain(hold=hold.node)) as room, trio.open_nursery() as nursery:
        client, idle = room.client, await new_thread(room.client)
        thread_id = await new_thread(client)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await client.runs.create(thread_id, "agent", input=text("two"))

        async def drain() -> None:
            await room.drain()
            drained.set()

        nursery.start_soon(drain)
        await wait_all_tasks_blocked()
        assert not drained.is_set()
        for thread in (thread_id, idle):
            await client.runs.create(thread, "agent", input=text("late"))
        hold.open()
        await client.runs.join(thread_id, first["run_id"])
        await drained.wait()
        assert await statuses(client, thread_id) == ["success", "pending", "pending"]
        assert await statuses(client, idle) == ["pending"]
        assert await status(client, idle) == "busy"
    assert hold.order == ["slow begins", "slow ends"]

    async with serve(chain(hold=hold.node)) as room:
        for thread, texts in ((thread_id, ["slow", "two", "late"]), (idle, ["late"])):
            [last, *_] = await room.client.runs.list(thread)
            await room.client.runs.join(thread, last["run_id"])
            log = await log_of(room.client, thread)
            assert [word for word in log if " " not in word] == texts


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_run_is_still_stopped_during_a_drain_and_the_new_one_waits_for_the_next_start(
    serve: Serve, strategy: str
) -> None:
    hold = Hold()
    async with serve(chain(hold=hold.node)) as room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.start(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        nursery.start_soon(room.drain)
        await wait_all_tasks_blocked()
        await client.runs.create(thread_id, "agent", input=text("new"), multitask_strategy=strategy)
        await first.result()
        left = ["interrupted"] if strategy == "interrupt" else []
        assert await statuses(client, thread_id) == [*left, "pending"]
    assert hold.order == ["slow begins", "slow ends"]
    async with serve(chain(hold=hold.node)) as room:
        [last, *_] = await room.client.runs.list(thread_id)
        values = await room.client.runs.join(thread_id, last["run_id"])
        assert values["log"][-2:] == ["new", "did new"]


@pytest.mark.parametrize("how", ["interrupt", "rollback", "delete"])
async def test_a_run_whose_actor_crashes_during_a_drain_is_stopped_with_what_it_had_done(
    mock_clock: MockClock, how: str
) -> None:
    hold, storage = Hold(), FaultyStorage(MemoryStorage())
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        how_sent = {"multitask_strategy": "merge"}
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        sent = [
            await client.runs.create(thread_id, "agent", input=text(word), **how_sent)
            for word in ("one", "slow")
        ]
        hold.reached = trio.Event()
        hold.open()
        hold.opened = trio.Event()
        await hold.reached.wait()
        member, host = (run["run_id"] for run in sent)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(room.drain)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        storage.fail("before", is_a(AppendLog))
        hold.open()
        await wait_all_tasks_blocked()
        mock_clock.jump(1)
        await wait_all_tasks_blocked()
        assert await statuses(client, thread_id) == ["success", "pending", "running"]
        if how == "delete":
            await client.runs.delete(thread_id, host)
        else:
            await client.runs.cancel(thread_id, host, action=how, wait=True)
        left = {
            "interrupt": ["success", "interrupted", "interrupted"],
            "rollback": ["success", "pending"],
            "delete": ["success", "interrupted"],
        }
        assert await statuses(client, thread_id) == left[how]
        log = ["slow", "did slow", *(["one", "slow"] if how != "rollback" else [])]
        assert await log_of(client, thread_id) == log
        if how == "rollback":
            await client.runs.cancel(thread_id, member)
            assert await statuses(client, thread_id) == ["success", "interrupted"]


async def test_a_reader_of_a_run_accepted_at_the_last_moment_is_told_that_it_is_closed(
    serve: Serve,
) -> None:
    async with serve(chain(hold=Hold(texts=()).node)) as room:
        thread_id = await new_thread(room.client)
        handle = await room.client.runs.start(thread_id, "agent", input=text("one"))
        await handle.result()
        [run] = await room._supervisor.session.read(
            lambda storage: [storage.get_run(thread_id, handle.run_id)]
        )
    with pytest.raises(Closed), trio.fail_after(10):
        await room._supervisor.stream(run, follow=True).wait()
