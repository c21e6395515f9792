from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Closed, Greenroom, RunFailed
from greenroom.graph import CompiledStateGraph, interrupt
from greenroom.storage import MemoryStorage, SqliteStorage, Storage, StorageError, StorageHeld
from greenroom.storage.operations import AppendEvents
from greenroom.storage.testing import FaultyStorage, Gate

from .conftest import Serve
from .stage import (
    Blocking,
    Hold,
    Shielded,
    chain,
    is_a,
    log_of,
    new_thread,
    parallel,
    says,
    status,
    statuses,
    tasks,
    text,
)


async def attempts(room: Greenroom, run: dict[str, Any]) -> list[int]:
    """The numbers of the starts of a resumable run."""
    parts = room.client.runs.join_stream(run["thread_id"], run["run_id"], last_event_id=0)
    return [part.data["attempt"] async for part in parts if part.event == "metadata"]


# Left in the middle.


@pytest.mark.parametrize("way", ["left", "cancelled", "raised"])
async def test_runs_left_behind_are_finished_at_the_next_start(serve: Serve, way: str) -> None:
    hold, again = Hold(), Hold(texts=())
    runs: list[dict[str, Any]] = []

    async def leave_in_the_middle() -> None:
        async with serve(chain(read=says("read"), hold=hold.node)) as room:
            client, thread_id = room.client, await new_thread(room.client)
            for word in ("slow", "two"):
                run = await client.runs.create(
                    thread_id, "agent", input=text(word), stream_resumable=True
                )
                runs.append(run)
            await hold.reached.wait()
            if way == "raised":
                raise KeyError("the program's own")
            if way == "cancelled":
                scope.cancel()
                await trio.lowlevel.checkpoint()

    with trio.CancelScope() as scope:
        if way == "raised":  # what was raised comes out as itself, not in a group
            with pytest.raises(KeyError, match="the program's own"):
                await leave_in_the_middle()
        else:
            await leave_in_the_middle()

    assert hold.order == ["slow begins", "slow ends"]
    async with serve(chain(read=says("read again"), hold=again.node)) as room:
        client, thread_id = room.client, runs[0]["thread_id"]
        values = await client.runs.join(thread_id, runs[1]["run_id"])

        # What was done is not done again.
        assert values["log"] == ["slow", "read", "did slow", "two", "read again", "did two"]
        assert await statuses(client, thread_id) == ["success", "success"]
        assert await status(client, thread_id) == "idle"
        assert [await attempts(room, run) for run in runs] == [[1, 2], [1]]


async def test_a_thread_shows_as_busy_while_its_runs_wait_for_a_restart(serve: Serve) -> None:
    hold, again = Hold(), Hold()
    async with serve(chain(hold=hold.node)) as room:
        thread_id = await new_thread(room.client)
        run = await room.client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

    async with serve(chain(hold=again.node)) as room:
        await again.reached.wait()
        assert await status(room.client, thread_id) == "busy"
        assert await statuses(room.client, thread_id) == ["running"]
        again.open()
        await room.client.runs.join(thread_id, run["run_id"])


async def test_many_threads_are_taken_up_at_once(serve: Serve) -> None:
    hold = Hold(texts="abcdefgh")
    async with serve(chain(hold=hold.node)) as room:
        runs = {}
        for word in hold.texts:
            thread_id = await new_thread(room.client)
            runs[thread_id] = await room.client.runs.create(thread_id, "agent", input=text(word))

    async with serve(chain(hold=Hold(texts=()).node)) as room:
        for thread_id, run in runs.items():
            values = await room.client.runs.join(thread_id, run["run_id"])
            word = values["text"]
            assert values["log"] == [word, f"did {word}"]  # each input once


async def test_a_node_that_had_finished_before_its_sibling_does_not_run_again(
    serve: Serve,
) -> None:
    hold, again = Hold(), Hold(texts=())
    done: list[str] = []

    async def quick(state: Any) -> Any:
        done.append("quick")
        return {"log": ["quick"]}

    async with serve(parallel(hold=hold.node, quick=quick)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await wait_all_tasks_blocked()

    async with serve(parallel(hold=again.node, quick=quick)) as room:
        values = await room.client.runs.join(thread_id, run["run_id"])

    assert values["log"] == ["slow", "did slow", "quick"]
    assert done == ["quick"]


async def test_an_answer_is_not_asked_for_again(serve: Serve) -> None:
    acts, let = trio.Event(), trio.Event()

    async def ask(state: Any) -> Any:
        answer = interrupt("sure?")
        acts.set()
        await let.wait()
        return {"log": [answer]}

    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        run = await client.runs.create(thread_id, "agent", command={"resume": "yes"})
        await acts.wait()

    let.set()
    async with serve(chain(ask=ask)) as room:
        values = await room.client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["x", "yes"]


async def test_an_update_of_a_command_is_made_once(serve: Serve) -> None:
    hold, again = Hold(), Hold(texts=())
    async with serve(chain(a=says("a"), hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        command = {"update": {"log": ["by command"], "text": "slow"}, "goto": "hold"}
        run = await client.runs.create(thread_id, "agent", command=command)
        await hold.reached.wait()

    async with serve(chain(a=says("a"), hold=again.node)) as room:
        values = await room.client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["x", "a", "did x", "by command", "did slow"]


async def test_a_run_that_never_gets_further_is_given_up_after_three_starts(
    serve: Serve, open_storage: Callable[[], Storage]
) -> None:
    began: list[str] = []

    async def stuck(state: Any) -> Any:
        began.append("stuck")
        reached.set()
        await trio.sleep_forever()

    def graph() -> CompiledStateGraph:
        return chain(a=says("a"), stuck=stuck, compile={"interrupt_before": ["stuck"]})

    for attempt in range(3):
        reached, storage = trio.Event(), FaultyStorage(open_storage())
        async with serve(graph(), storage=storage) as room:
            if attempt == 0:
                client, thread_id = room.client, await new_thread(room.client)
                await client.runs.wait(thread_id, "agent", input=text("x"))
                run = await client.runs.create(
                    thread_id, "agent", durability="exit", stream_resumable=True
                )
            await reached.wait()
            storage.crashed.set()

    async with serve(graph()) as room:
        client = room.client
        with pytest.raises(RunFailed, match="started 3 times"):
            await client.runs.join(thread_id, run["run_id"])
        *_, last = [
            part
            async for part in client.runs.join_stream(thread_id, run["run_id"], last_event_id=0)
        ]
        assert last.event == "error"
        assert "started 3 times" in last.data["message"]
        assert began == ["stuck"] * 3
        assert await statuses(client, thread_id) == ["success", "error"]
        thread = await client.threads.get(thread_id)
        assert thread["status"] == "error"
        assert "started 3 times" in thread["error"]["message"]
        # The thread itself can go on.
        values = await client.runs.wait(thread_id, "agent", input=text("y"))
        assert values["log"] == ["x", "a", "y", "a"]

    async with serve(graph()) as room:
        assert await statuses(room.client, thread_id) == ["success", "error", "success"]
    assert began == ["stuck"] * 3


async def test_a_run_that_gets_a_step_further_each_time_is_not_given_up(serve: Serve) -> None:
    names = ["n0", "n1", "n2", "n3", "n4"]
    reached = trio.Event()
    stuck_at = 0

    def node(at: int) -> Any:
        async def node(state: Any) -> Any:
            if at == stuck_at:
                reached.set()
                await trio.sleep_forever()
            return {"log": [at]}

        return node

    nodes = {name: node(at) for at, name in enumerate(names)}
    for stuck_at in range(len(names)):
        reached = trio.Event()
        async with serve(chain(**nodes)) as room:
            if stuck_at == 0:
                thread_id = await new_thread(room.client)
                run = await room.client.runs.create(thread_id, "agent", input=text("x"))
            await reached.wait()

    stuck_at = -1
    async with serve(chain(**nodes)) as room:
        values = await room.client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["x", 0, 1, 2, 3, 4]


async def test_a_run_that_keeps_only_its_last_checkpoint_shows_that_it_runs(serve: Serve) -> None:
    hold = Hold()
    async with serve(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"), durability="exit")
        await hold.reached.wait()
        assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "running"


async def test_the_start_of_a_run_that_was_left_pending_is_counted_before_its_first_node(
    serve: Serve,
) -> None:
    hold = Hold()
    async with serve(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        left = await client.runs.create(thread_id, "agent", input=text("next"))
        await client.runs.cancel(thread_id, (await client.runs.list(thread_id))[-1]["run_id"])

    seen: list[str] = []
    rooms: list[Greenroom] = []

    async def look(state: Any) -> dict[str, Any]:
        seen.append((await rooms[0].client.runs.get(thread_id, left["run_id"]))["status"])
        return {}

    async with serve(chain(look=look)) as room:
        rooms.append(room)
        await room.client.runs.join(thread_id, left["run_id"])
    assert seen == ["running"]


async def test_a_run_of_a_graph_that_is_served_no_more_fails(serve: Serve) -> None:
    hold = Hold()
    async with serve({"old": chain(hold=hold.node)}) as room:
        thread_id = await new_thread(room.client)
        run = await room.client.runs.create(thread_id, "old", input=text("slow"))
        await hold.reached.wait()

    async with serve({"new": chain(a=says("a"))}) as room:
        with pytest.raises(RunFailed, match="'old'"):
            await room.client.runs.join(thread_id, run["run_id"])
        assert (await room.client.threads.get(thread_id))["status"] == "error"


@pytest.mark.parametrize("how", ["cancel", "interrupt", "rollback"])
async def test_a_stop_that_was_acknowledged_outlives_a_restart(serve: Serve, how: str) -> None:
    hold, again = Hold(), Hold(texts=())
    async with serve(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        if how == "cancel":
            await client.runs.cancel(thread_id, run["run_id"])
        else:
            await client.runs.create(
                thread_id, "agent", input=text("quick"), multitask_strategy=how
            )

    async with serve(chain(hold=again.node)) as room:
        [last, *_] = await room.client.runs.list(thread_id)
        await room.client.runs.join(thread_id, last["run_id"])
        assert "slow begins" not in again.order


# Shutting down.


async def test_who_waits_when_the_runtime_is_left_is_told(serve: Serve) -> None:
    hold = Hold()
    waits: dict[str, Callable[[], Any]] = {}
    told: list[str] = []
    ended: list[str] = []

    async def wait(name: str) -> None:
        with pytest.raises(Closed):
            await waits[name]()
        told.append(name)

    async def follow() -> None:
        try:
            async for batch in handle.events():
                ended.extend(part.event for part in batch)
        except Closed:
            ended.append("told")

    async with trio.open_nursery() as nursery, serve(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        handle = await client.runs.start(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        waits = {
            "wait": lambda: client.runs.wait(thread_id, "agent", input=text("two")),
            "join": lambda: client.runs.join(thread_id, handle.run_id),
            "result": handle.result,
        }
        for name in waits:
            nursery.start_soon(wait, name)
        nursery.start_soon(follow)
        await wait_all_tasks_blocked(0.01)
        while len(await client.runs.list(thread_id)) < 2:
            await trio.lowlevel.checkpoint()

    assert sorted(told) == sorted(waits)
    assert ended == ["metadata", "values", "told"]
    for call in (client.runs.wait, client.runs.create):
        with pytest.raises(Closed):
            await call(thread_id, "agent", input=text("x"))


async def test_who_asks_when_the_runtime_has_been_left_is_told_whatever_it_is(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        handle = await client.runs.start(thread_id, "agent", input=text("x"), stream_resumable=True)
        await handle.result()
        handle = await client.runs.attach(thread_id, handle.run_id)
        await client.store.put_item(["a"], key="k", value={})

    async def events() -> None:
        async for _ in handle.events(after=0):
            pass

    for call in (
        lambda: client.threads.get(thread_id),
        lambda: client.threads.get_state(thread_id),
        lambda: client.threads.get_history(thread_id),
        lambda: client.threads.search(),
        lambda: client.threads.update(thread_id, metadata={}),
        lambda: client.runs.get(thread_id, handle.run_id),
        lambda: client.runs.list(thread_id),
        handle.result,
        events,
        lambda: client.assistants.get("agent"),
        lambda: client.assistants.search(),
        lambda: client.crons.search(),
        lambda: client.store.get_item(["a"], key="k"),
        lambda: client.store.put_item(["a"], key="k", value={}),
        room.check_storage,
    ):
        with pytest.raises(Closed):
            await call()


async def test_who_waits_for_a_run_to_stop_is_told_as_well(serve_in_memory: Serve) -> None:
    hold = Shielded()
    told: list[str] = []

    async def wait(call: Any, *args: Any) -> None:
        with pytest.raises(Closed):
            await call(*args)
        told.append(call.__name__)
        hold.open()

    async with trio.open_nursery() as nursery, serve_in_memory(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        nursery.start_soon(wait, client.runs.delete, thread_id, run["run_id"])
        await wait_all_tasks_blocked()
        nursery.start_soon(wait, client.threads.delete, thread_id)
        await wait_all_tasks_blocked()

    assert sorted(told) == ["delete", "delete"]


async def test_who_waits_for_a_cancelled_run_to_stop_is_told_that_it_was_not_seen_to(
    serve_in_memory: Serve,
) -> None:
    hold = Shielded()

    async def cancel() -> None:
        try:
            with pytest.raises(Closed):
                await client.runs.cancel(thread_id, run["run_id"], wait=True)
        finally:
            hold.open()

    async with trio.open_nursery() as nursery, serve_in_memory(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        nursery.start_soon(cancel)
        await wait_all_tasks_blocked()


async def test_who_waits_for_a_deletion_is_told_where_storage_fails_as_the_runtime_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hold, reading = Shielded(), trio.Event()
    fails = False

    async def run_blocking(function: Any, *args: Any) -> Any:
        nonlocal fails
        await trio.lowlevel.checkpoint()
        if fails and not args:  # a read; what has gathered for a commit may come before it
            fails = False
            reading.set()
            with trio.CancelScope(shield=True):  # as a call in a thread
                await hold.opened.wait()
            raise StorageError("the disk is gone")
        return function(*args)

    async def join() -> None:
        with pytest.raises(Closed):
            await client.runs.join(thread_id, run["run_id"])
        hold.open()

    async def delete(run_id: str) -> None:
        with pytest.raises((Closed, StorageError)):
            await client.runs.delete(thread_id, run_id)

    storage = FaultyStorage(MemoryStorage(), blocking=True)
    room = Greenroom({"agent": chain(hold=hold.node)}, storage=storage, run_blocking=run_blocking)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery, room:
            client, thread_id = room.client, await new_thread(room.client)
            over = await client.runs.create(thread_id, "agent", input=text("x"))
            await client.runs.join(thread_id, over["run_id"])
            run = await client.runs.create(thread_id, "agent", input=text("slow"))
            await hold.reached.wait()
            nursery.start_soon(join)
            nursery.start_soon(delete, run["run_id"])
            await wait_all_tasks_blocked()
            fails = True
            nursery.start_soon(delete, over["run_id"])
            await reading.wait()


@pytest.mark.parametrize("kind", [Hold, Blocking], ids=["async", "thread"])
async def test_leaving_the_runtime_leaves_no_task(serve: Serve, kind: type[Any]) -> None:
    hold = kind()
    async with serve(chain(hold=hold.node)) as room:
        client = room.client
        for word in ("slow", "x"):
            thread_id = await new_thread(client)
            await client.runs.create(thread_id, "agent", input=text(word))
        await hold.reached.wait()

    assert await tasks() == 0
    hold.open()


# Events that are refused.


@pytest.mark.parametrize("skip", range(4))
async def test_no_gap_is_left_where_events_of_a_resumable_run_are_refused(skip: int) -> None:
    storage, gate = FaultyStorage(MemoryStorage(), blocking=True), Gate()

    def refuse() -> None:
        gate()
        raise StorageError("the disk is full")

    nodes = {name: says(name) for name in "abc"}
    async with Greenroom({"agent": chain(**nodes)}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        # Then the next run begins with an event, and with nothing for the log.
        await client.runs.wait(thread_id, "agent", input=text("x"), interrupt_before=["a"])
        storage.plan("before", refuse, is_a(AppendEvents), skip=skip)
        handle = await client.runs.start(
            thread_id, "agent", input=None, stream_mode="updates", stream_resumable=True
        )
        await gate.reached()
        await wait_all_tasks_blocked()  # the run has come to its end, or waits for the disk
        gate.open()
        seen = [part.id async for part in handle.parts()]
        assert (await handle.result())["log"] == ["x", "a", "b", "c"]
    async with Greenroom({"agent": chain(**nodes)}, storage=storage) as room:
        parts = room.client.runs.join_stream(thread_id, handle.run_id, last_event_id=0)
        assert [part.id async for part in parts] == seen


# One owner.


async def test_a_second_runtime_on_the_same_file_is_refused(tmp_path: Path) -> None:
    graphs, file = {"agent": chain(a=says("a"))}, tmp_path / "agents.db"
    async with Greenroom(graphs, storage=SqliteStorage(file)) as room:
        thread_id = await new_thread(room.client)
        with pytest.raises(StorageHeld, match=r"agents\.db.*process"):
            await Greenroom(graphs, storage=SqliteStorage(file)).__aenter__()

        # The first is not disturbed.
        values = await room.client.runs.wait(thread_id, "agent", input=text("x"))
        assert values["log"] == ["x", "a"]

    async with Greenroom(graphs, storage=SqliteStorage(file)) as room:
        assert await log_of(room.client, thread_id) == ["x", "a"]


async def test_a_storage_object_serves_one_runtime_at_a_time() -> None:
    graphs, storage = {"agent": chain(a=says("a"))}, MemoryStorage()
    async with Greenroom(graphs, storage=storage) as room:
        thread_id = await new_thread(room.client)
        with pytest.raises(StorageHeld):
            await Greenroom(graphs, storage=storage).__aenter__()

        values = await room.client.runs.wait(thread_id, "agent", input=text("x"))
        assert values["log"] == ["x", "a"]


async def test_only_compiled_graphs_are_served() -> None:
    for graph in (object(), chain, None):
        with pytest.raises(TypeError, match="'agent'"):
            Greenroom({"agent": graph})  # type: ignore[dict-item]


def test_a_runtime_may_be_made_before_the_loop_runs() -> None:
    room = Greenroom({"agent": chain(a=says("a"))})
    assert isinstance(room.storage, MemoryStorage)
    assert list(room.graphs) == ["agent"]

    async def main() -> list[str]:
        async with room:
            thread_id = await new_thread(room.client)
            values = await room.client.runs.wait(thread_id, "agent", input=text("x"))
            return values["log"]  # type: ignore[no-any-return]

    assert trio.run(main) == ["x", "a"]
