from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Conflict, Greenroom, Invalid, NotFound

from .conftest import Serve
from .stage import (
    Blocking,
    Hold,
    Shielded,
    chain,
    log_of,
    new_thread,
    says,
    status,
    statuses,
    text,
)

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def room(serve: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    return serve(chain(read=says("read"), hold=hold.node, end=says("end")))


# Cancelling runs.


async def test_a_cancelled_run_is_kept_with_what_it_had_done(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        await client.runs.cancel(thread_id, run["run_id"], wait=True)

        assert hold.order == ["slow begins", "slow ends"]
        assert await statuses(client, thread_id) == ["interrupted"]
        thread = await client.threads.get(thread_id)
        assert (thread["status"], thread["error"]) == ("interrupted", None)  # a node is left to do
        assert thread["values"]["log"] == ["slow", "read"]

        hold.open()
        values = await client.runs.wait(thread_id, "agent", input=None)  # from the cut node on
        assert values["log"] == ["slow", "read", "did slow", "end"]


async def test_a_node_that_works_in_a_thread_is_left_at_once(serve: Serve) -> None:
    blocking = Blocking()
    async with serve(chain(hold=blocking.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await blocking.reached.wait()

        await client.runs.cancel(thread_id, run["run_id"], wait=True)

        assert not blocking.left.is_set()
        assert await statuses(client, thread_id) == ["interrupted"]
        blocking.open()
        await trio.to_thread.run_sync(blocking.left.wait)
        assert await log_of(client, thread_id) == ["slow"]


async def test_a_run_rolled_back_by_hand_is_gone_with_its_checkpoints(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        before = await client.threads.get_history(thread_id)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        await client.runs.cancel(thread_id, run["run_id"], wait=True, action="rollback")

        with pytest.raises(NotFound, match=run["run_id"]):
            await client.runs.get(thread_id, run["run_id"])
        assert await client.threads.get_history(thread_id) == before
        assert await status(client, thread_id) == "idle"


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_a_queued_run_is_cancelled_while_another_runs_on(
    room: Greenroom, hold: Hold, action: str
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        second = await client.runs.create(thread_id, "agent", input=text("two"))

        await client.runs.cancel(thread_id, second["run_id"], wait=True, action=action)

        ended = ["running", "interrupted"] if action == "interrupt" else ["running"]
        assert await statuses(client, thread_id) == ended
        assert await status(client, thread_id) == "busy"  # because of the first
        assert await client.threads.count(status="busy") == 1
        with pytest.raises(Conflict):
            await client.runs.create(
                thread_id, "agent", input=text("x"), multitask_strategy="reject"
            )
        hold.open()
        values = await client.runs.join(thread_id, first["run_id"])
        assert values["log"] == ["slow", "read", "did slow", "end"]
        assert await status(client, thread_id) == "idle"


@pytest.mark.parametrize(
    ("strategy", "action", "log", "ended"),
    [
        # Two's text had been promised to be kept.
        ("interrupt", "interrupt", ["slow", "read", "two", "new"], ["interrupted"] * 2),
        ("interrupt", "rollback", ["slow", "read", "new"], ["interrupted"]),
        ("rollback", "interrupt", ["new"], []),
        ("rollback", "rollback", ["new"], []),
    ],
)
async def test_a_queued_run_that_was_told_to_stop_is_cancelled_by_the_sterner_order(
    serve: Serve, strategy: str, action: str, log: list[str], ended: list[str]
) -> None:
    hold = Shielded()
    async with serve(chain(read=says("read"), hold=hold.node, end=says("end"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        two = await client.runs.create(thread_id, "agent", input=text("two"))
        new = await client.runs.create(
            thread_id, "agent", input=text("new"), multitask_strategy=strategy
        )

        await client.runs.cancel(thread_id, two["run_id"], action=action)
        hold.open()
        await client.runs.join(thread_id, new["run_id"])

        assert await statuses(client, thread_id) == [*ended, "success"]
        said = [*log, "read", "did new", "end"]
        assert [one for one in await log_of(client, thread_id) if one != "did slow"] == said


async def test_the_next_run_starts_once_the_cancelled_one_has_stopped(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        second = await client.runs.create(thread_id, "agent", input=text("two"))

        await client.runs.cancel(thread_id, first["run_id"])

        values = await client.runs.join(thread_id, second["run_id"])
        assert values["log"] == ["slow", "read", "two", "read", "did two", "end"]
        assert hold.order == ["slow begins", "slow ends", "two begins", "two ends"]
        assert await statuses(client, thread_id) == ["interrupted", "success"]


async def test_a_run_that_is_over_cannot_be_cancelled(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.runs.wait(thread_id, "agent", input=text("y"), interrupt_before=["hold"])
        before = await client.runs.list(thread_id)

        for run in before:
            for wait in (True, False):
                with pytest.raises(NotFound, match=run["run_id"]):
                    await client.runs.cancel(thread_id, run["run_id"], wait=wait)
        with pytest.raises(Invalid, match="action: 'stop'"):
            await client.runs.cancel(thread_id, before[0]["run_id"], action="stop")
        assert await client.runs.list(thread_id) == before


async def test_cancel_waits_until_the_run_has_stopped_if_told_to(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(read=says("read"), hold=hold.node, end=says("end"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        stopped = trio.Event()

        async def cancel() -> None:
            await client.runs.cancel(thread_id, run["run_id"], wait=True)
            stopped.set()

        async with trio.open_nursery() as nursery:
            await client.runs.cancel(thread_id, run["run_id"])  # certain, though not over
            nursery.start_soon(cancel)
            await wait_all_tasks_blocked()
            assert not stopped.is_set()
            assert await statuses(client, thread_id) == ["running"]
            assert await status(client, thread_id) == "busy"
            hold.open()

        assert await statuses(client, thread_id) == ["interrupted"]
        assert await log_of(client, thread_id) == ["slow", "read", "did slow"]


async def test_a_cancelled_run_that_will_not_stop_is_given_up_on(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(read=says("read"), hold=hold.node), grace_period=5) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        started = trio.current_time()

        await client.runs.cancel(thread_id, run["run_id"], wait=True)

        assert trio.current_time() - started == pytest.approx(5)
        assert await statuses(client, thread_id) == ["interrupted"]
        hold.open()
        await wait_all_tasks_blocked()
        assert await log_of(client, thread_id) == ["slow", "read"]
        assert (await client.threads.get_state(thread_id))["next"] == ["hold"]


# Deleting runs and threads.


async def test_a_finished_run_is_deleted_and_its_state_stays(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(thread_id, "agent", input=text("x"))
        [run] = await client.runs.list(thread_id)

        await client.runs.delete(thread_id, run["run_id"])

        assert await client.runs.list(thread_id) == []
        assert (await client.threads.get(thread_id))["values"] == values
        with pytest.raises(NotFound, match=run["run_id"]):
            await client.runs.delete(thread_id, run["run_id"])


async def test_a_running_run_is_stopped_before_it_is_deleted(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        await client.runs.delete(thread_id, run["run_id"])

        assert hold.order == ["slow begins", "slow ends"]
        with pytest.raises(NotFound, match=run["run_id"]):
            await client.runs.get(thread_id, run["run_id"])
        assert await status(client, thread_id) == "interrupted"  # and not busy for good
        assert await log_of(client, thread_id) == ["slow", "read"]
        values = await client.runs.wait(thread_id, "agent", input=text("x"))
        assert values["log"][-1] == "end"


async def test_a_queued_run_is_deleted_while_another_runs_on(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        second = await client.runs.create(thread_id, "agent", input=text("two"))

        await client.runs.delete(thread_id, second["run_id"])

        assert await statuses(client, thread_id) == ["running"]
        assert await status(client, thread_id) == "busy"
        hold.open()
        values = await client.runs.join(thread_id, first["run_id"])
        assert values["log"] == ["slow", "read", "did slow", "end"]


async def test_deleting_a_thread_stops_its_work_first(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.start(thread_id, "agent", input=text("slow"))
        second = await client.runs.start(thread_id, "agent", input=text("two"))
        await hold.reached.wait()

        await client.threads.delete(thread_id)

        assert hold.order == ["slow begins", "slow ends"]
        for handle in (first, second):
            with pytest.raises(NotFound, match=thread_id):
                await handle.result()
            with pytest.raises(NotFound):
                await client.runs.get(thread_id, handle.run_id)
        with pytest.raises(NotFound, match=thread_id):
            await client.threads.get(thread_id)
        hold.open()
        await client.threads.create(thread_id=thread_id)
        assert await log_of(client, thread_id) == []
        values = await client.runs.wait(thread_id, "agent", input=text("x"))
        assert values["log"] == ["x", "read", "did x", "end"]


async def test_a_thread_that_is_being_deleted_takes_nothing_new(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        calls: list[Any] = [
            lambda: client.runs.create(thread_id, "agent", input=text("x")),
            lambda: client.runs.create(thread_id, "agent", input={}, if_not_exists="create"),
            lambda: client.threads.update(thread_id, metadata={}),
            lambda: client.threads.create(thread_id=thread_id, if_exists="do_nothing"),
            lambda: client.threads.delete(thread_id),
        ]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.threads.delete, thread_id)
            await wait_all_tasks_blocked()
            for call in calls:
                with pytest.raises(NotFound, match=thread_id):
                    await call()
            hold.open()

        assert await client.threads.count() == 0


async def test_what_a_run_of_a_deleted_thread_still_does_reaches_no_new_thread_of_that_id(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(hold=hold.node, end=says("end"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await client.threads.delete(thread_id)  # after the grace period
        await client.threads.create(thread_id=thread_id)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        before = await client.threads.get_history(thread_id)

        hold.open()
        await wait_all_tasks_blocked()

        assert hold.order[-1] == "slow ends"
        assert await client.threads.get_history(thread_id) == before
        assert await log_of(client, thread_id) == ["x", "did x", "end"]


# Editing the state.


async def test_the_state_of_a_busy_thread_cannot_be_edited(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        with pytest.raises(Conflict, match=thread_id):
            await client.threads.update_state(thread_id, {"log": ["by hand"]})

        hold.open()
        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["slow", "read", "did slow", "end"]
        await client.threads.update_state(thread_id, {"log": ["by hand"]})
        assert (await log_of(client, thread_id))[-1] == "by hand"


# Cancelling many.


async def test_runs_of_a_thread_are_cancelled_by_their_ids(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        runs = [await client.runs.create(thread_id, "agent", input=text("slow"))]
        await hold.reached.wait()
        runs += [await client.runs.create(thread_id, "agent", input=text(w)) for w in ("x", "y")]
        under_way, waits, stays = (run["run_id"] for run in runs)
        await client.runs.cancel_many(thread_id=thread_id, run_ids=[waits, NOBODY, under_way])
        await client.runs.join(thread_id, stays)

        assert await statuses(client, thread_id) == ["interrupted", "interrupted", "success"]
        with pytest.raises(NotFound, match="No run was found"):
            await client.runs.cancel_many(thread_id=thread_id, run_ids=[waits, NOBODY])


@pytest.mark.parametrize(
    ("which", "left"),
    [
        ("pending", ["success", "interrupted"]),
        ("running", ["interrupted", "pending"]),
        ("all", ["interrupted", "interrupted"]),
    ],
)
async def test_runs_of_all_threads_are_cancelled_by_their_status(
    serve: Serve, which: str, left: list[str]
) -> None:
    holds = [Hold(), Hold()]
    room = serve({str(at): chain(hold=hold.node) for at, hold in enumerate(holds)})
    async with room:
        client, threads, handles = room.client, [], []
        for at, hold in enumerate(holds):
            threads.append(thread_id := await new_thread(client))
            handles.append(await client.runs.start(thread_id, str(at), input=text("slow")))
            await hold.reached.wait()
            await client.runs.create(thread_id, str(at), input=text("x"), after_seconds=60)

        await client.runs.cancel_many(status=which)
        for hold, handle in zip(holds, handles, strict=True):
            if which == "pending":
                hold.open()
            await handle.result()
        for thread_id in threads:
            assert await statuses(client, thread_id) == left


async def test_many_are_rolled_back(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        handle = await client.runs.start(thread_id, "agent", input=text("x"))
        await client.runs.cancel_many(status="all", action="rollback")
        await handle.result()
        await wait_all_tasks_blocked()
        await client.threads.update(thread_id, metadata={})  # behind all that came before
        assert await statuses(client, thread_id) == []
        assert await log_of(client, thread_id) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "run_ids: give either status, or"),
        ({"thread_id": NOBODY}, "run_ids: give either status, or"),
        ({"thread_id": NOBODY, "run_ids": NOBODY}, "run_ids: give either status, or"),
        ({"status": "pending", "thread_id": NOBODY}, "status: give either status, or"),
        ({"status": "all", "run_ids": [NOBODY]}, "status: give either status, or"),
        ({"status": "success"}, "status: 'success' is not one of"),
        ({"thread_id": "x", "run_ids": [NOBODY]}, "thread_id: 'x'"),
        ({"thread_id": NOBODY, "run_ids": ["x"]}, "run_ids: 'x'"),
        ({"status": "all", "action": "explode"}, "action: 'explode'"),
    ],
)
async def test_what_does_not_say_which_runs_is_refused(
    room: Greenroom, given: dict[str, Any], problem: str
) -> None:
    async with room:
        with pytest.raises(Invalid, match=problem):
            await room.client.runs.cancel_many(**given)
