from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Greenroom, NotFound
from greenroom.graph import interrupt
from greenroom.storage import (
    AppendLog,
    DeleteRun,
    DeleteThread,
    InsertThread,
    MemoryStorage,
    Operation,
    PutRun,
    PutThread,
    SqliteStorage,
    StaleEpoch,
    StorageError,
)
from greenroom.storage.testing import FaultyStorage

from .conftest import Serve
from .stage import (
    Hold,
    Shielded,
    chain,
    ends_a_run,
    is_a,
    log_of,
    new_thread,
    says,
    status,
    statuses,
    tasks,
    text,
)
from .test_streams import joined

IDLE = 10.0


async def ask(state: Any) -> Any:
    return {"log": [interrupt("sure?")]}


# Asleep and awake.


async def test_a_thread_that_is_idle_for_a_while_costs_no_task(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    async with serve_in_memory(chain(a=says("a")), idle_timeout=IDLE) as room:
        client, asleep = room.client, await tasks()
        threads = [await new_thread(client) for _ in range(5)]
        for thread_id in threads:
            await client.runs.wait(thread_id, "agent", input=text("x"))
        assert await tasks() == asleep + 5
        mock_clock.jump(IDLE - 1)
        assert await tasks() == asleep + 5
        await client.threads.update(threads[0], metadata={"a": 1})

        mock_clock.jump(2)

        assert await tasks() == asleep + 1  # the one that was spoken to
        mock_clock.jump(IDLE)
        assert await tasks() == asleep


async def test_a_thread_that_was_asleep_answers_as_before(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    graph = chain(a=says("a"), ask=ask, b=says("b"))
    async with serve_in_memory(graph, idle_timeout=IDLE) as room:
        client, asleep = room.client, await tasks()
        thread_id = await new_thread(client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        [run] = await client.runs.list(thread_id)

        async def everything() -> list[Any]:
            return [
                await client.threads.get(thread_id),
                await client.threads.get_state(thread_id),
                await client.threads.get_history(thread_id),
                await client.threads.search(),
                await client.runs.list(thread_id),
                await client.runs.join(thread_id, run["run_id"]),
            ]

        awake = await everything()
        await trio.sleep(IDLE + 1)
        assert await tasks() == asleep

        assert await everything() == awake
        assert await tasks() == asleep  # reading wakes nobody
        values = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert values["log"] == ["x", "a", "yes", "b"]


async def test_a_thread_at_work_does_not_fall_asleep(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    hold = Hold()
    async with serve_in_memory(chain(hold=hold.node), idle_timeout=IDLE) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await trio.sleep(IDLE * 10)
        assert await statuses(client, thread_id) == ["running"]

        hold.open()

        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["slow", "did slow"]


async def test_asking_for_threads_that_do_not_exist_leaves_nothing_behind(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        asleep = await tasks()
        for _ in range(5):
            with pytest.raises(NotFound):
                await room.client.threads.delete(str(uuid4()))
            with pytest.raises(NotFound):
                await room.client.runs.create(str(uuid4()), "agent", input=text("x"))

        assert await tasks() <= asleep  # a commit that gathers has a task for a moment


@pytest.mark.parametrize("idle_timeout", [0, -1])
async def test_a_thread_may_go_to_sleep_at_once(serve: Serve, idle_timeout: float) -> None:
    async with serve(chain(a=says("a")), idle_timeout=idle_timeout) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in "xy":
            await client.runs.wait(thread_id, "agent", input=text(word))

        assert await log_of(client, thread_id) == ["x", "a", "y", "a"]


# Crashed and started again.


@pytest.fixture(params=["memory", "sqlite"])
def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A storage that refuses what it is told to."""
    return FaultyStorage(
        MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "agents.db")
    )


async def test_a_run_whose_end_cannot_be_stored_is_carried_on(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold()
    once: list[str] = []

    async def first(state: Any) -> Any:
        once.append("first")
        return {"log": ["a"]}

    async with Greenroom({"agent": chain(a=first, hold=hold.node)}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail("before", ends_a_run)

        values = await client.runs.wait(thread_id, "agent", input=text("x"))

        # The last step goes with the run's end, and is done again with it; no other is.
        assert values["log"] == ["x", "a", "did x"]
        assert hold.order == ["x begins", "x ends"] * 2
        assert once == ["first"]
        assert await statuses(client, thread_id) == ["success"]
        assert await status(client, thread_id) == "idle"
        assert f"the actor of thread {thread_id} crashed" in caplog.text


async def test_a_run_whose_end_is_stored_although_storage_refused_it_is_posted(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    faulty = FaultyStorage(MemoryStorage())
    send, posts = trio.open_memory_channel[dict[str, Any]](10)

    class Posts:
        async def check(self, url: str) -> None: ...

        async def post(self, url: str, body: dict[str, Any]) -> None:
            await send.send(body)

    graphs = {"agent": chain(a=says("a"))}
    async with Greenroom(graphs, storage=faulty, poster=Posts()) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail("after", ends_a_run)

        await client.runs.wait(thread_id, "agent", input=text("x"), webhook="https://hook.test")
        with trio.fail_after(60):
            body = await posts.receive()
        await trio.sleep(60)

        assert (body["status"], body["values"]["log"]) == ("success", ["x", "a"])
        assert posts.statistics().current_buffer_used == 0  # it is posted once
        assert f"the actor of thread {thread_id} crashed" in caplog.text


async def test_the_events_of_a_run_that_is_carried_on_after_a_crash_are_each_kept_once(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async with Greenroom({"agent": chain(a=says("a"), b=says("b"))}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail("before", ends_a_run)

        stream = client.runs.stream(thread_id, "agent", input=text("x"), stream_resumable=True)
        seen = [part async for part in stream]

        assert [part.event for part in seen].count("metadata") == 2  # b was done again
        assert seen[-1].data["log"] == ["x", "a", "b"]
        run = (await client.runs.list(thread_id))[0]
        assert run["status"] == "success"
        assert await joined(client, run, last_event_id=0) == seen


async def test_a_step_that_cannot_be_stored_is_done_again(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async with Greenroom({"agent": chain(a=says("a"), b=says("b"))}, storage=faulty) as room:
        client = room.client
        thread_id, other = await new_thread(client), await new_thread(client)
        faulty.fail("before", is_a(AppendLog))

        values = await client.runs.wait(thread_id, "agent", input=text("x"))

        assert values["log"] == ["x", "a", "b"]
        assert await log_of(client, thread_id) == ["x", "a", "b"]
        assert await statuses(client, thread_id) == ["success"]
        # No other thread has noticed.
        assert (await client.runs.wait(other, "agent", input=text("y")))["log"] == ["y", "a", "b"]


async def test_who_asked_for_what_cannot_be_stored_is_told_and_nothing_has_changed(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async with Greenroom({"agent": chain(a=says("a"))}, storage=faulty) as room:
        client = room.client
        thread_id = await new_thread(client, metadata={"v": 1})
        await client.runs.wait(thread_id, "agent", input=text("x"))
        before = await client.threads.get(thread_id), await client.runs.list(thread_id)
        unknown = str(uuid4())
        calls: list[tuple[Any, Callable[[Operation], bool]]] = [
            (
                lambda: client.runs.create(thread_id, "agent", input=text("y")),
                is_a(PutRun),
            ),
            (
                lambda: client.threads.update(thread_id, metadata={"v": 2}),
                is_a(PutThread),
            ),
            (lambda: client.threads.update_state(thread_id, {"log": ["z"]}), is_a(AppendLog)),
            (
                lambda: client.threads.create(thread_id=unknown),
                is_a(InsertThread),
            ),
        ]
        for call, refused in calls:
            faulty.fail("before", refused)
            with pytest.raises(StorageError, match="the disk is full"):
                await call()

        after = await client.threads.get(thread_id), await client.runs.list(thread_id)
        assert after == before
        assert await client.threads.count() == 1
        assert (await client.runs.wait(thread_id, "agent", input=text("y")))["log"][-2:] == [
            "y",
            "a",
        ]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_breakpoint_holds_across_a_crash(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture, after: bool
) -> None:
    graphs = {"agent": chain(a=says("a"), b=says("b"))}
    breakpoints = {"interrupt_after": ["a"]} if after else {"interrupt_before": ["b"]}
    async with Greenroom(graphs, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail("before", ends_a_run)

        values = await client.runs.wait(thread_id, "agent", input=text("x"), **breakpoints)

        assert values["log"] == ["x", "a"]
        assert (await client.threads.get_state(thread_id))["next"] == ["b"]
        assert (await client.runs.wait(thread_id, "agent"))["log"] == ["x", "a", "b"]


async def test_a_question_is_asked_once_across_a_crash(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async with Greenroom({"agent": chain(ask=ask, b=says("b"))}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail("before", ends_a_run)
        paused = await client.runs.wait(thread_id, "agent", input=text("x"))
        [question] = paused["__interrupt__"]

        faulty.fail("before", ends_a_run)
        command = {"resume": {question["id"]: "yes"}}
        values = await client.runs.wait(thread_id, "agent", command=command)

        assert values["log"] == ["x", "yes", "b"]
        assert await status(client, thread_id) == "idle"


async def test_a_run_that_failed_for_good_stays_failed_across_a_crash(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async def boom(state: Any) -> Any:
        raise ValueError("no such colour")

    async with Greenroom({"agent": chain(a=says("a"), boom=boom)}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail("before", ends_a_run)

        result = await client.runs.wait(thread_id, "agent", input=text("x"), raise_error=False)

        assert result == {"__error__": {"error": "ValueError", "message": "no such colour"}}
        assert await statuses(client, thread_id) == ["error"]
        assert await status(client, thread_id) == "error"
        assert await log_of(client, thread_id) == ["x", "a"]


async def test_an_input_is_taken_in_once_though_its_runs_start_was_not_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty = FaultyStorage(MemoryStorage())
    async with Greenroom({"agent": chain(a=says("a"), b=says("b"))}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail(
            "before",
            lambda operation: (
                isinstance(operation, PutRun) and operation.run.status in ("running", "success")
            ),
            times=2,  # the start, and then the end
        )

        values = await client.runs.wait(thread_id, "agent", input=text("x"))

        assert values["log"] == ["x", "a", "b"]


async def test_mail_that_comes_while_an_actor_is_down_is_answered_when_it_is_up(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    faulty, hold = FaultyStorage(MemoryStorage()), Hold()
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        queued = await client.runs.create(thread_id, "agent", input=text("two"))
        await hold.reached.wait()
        faulty.fail("before", ends_a_run)
        hold.open()
        await wait_all_tasks_blocked()
        assert "crashed" in caplog.text
        values: dict[str, Any] = {}

        async def join(run_id: str) -> None:
            values[run_id] = await client.runs.join(thread_id, run_id)

        async def third() -> None:
            values["third"] = await client.runs.wait(thread_id, "agent", input=text("three"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(join, run["run_id"])
            nursery.start_soon(join, queued["run_id"])
            nursery.start_soon(third)

        log = ["slow", "did slow", "two", "did two", "three", "did three"]
        assert values["third"]["log"] == log
        assert values[queued["run_id"]]["log"] == log[:4]
        assert values[run["run_id"]]["log"] == log[:2]
        assert hold.order[0::2] == [f"{word} begins" for word in ("slow", "slow", "two", "three")]


async def test_while_storage_is_down_all_who_ask_are_told_so_at_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = FaultyStorage(MemoryStorage())
    async with Greenroom({"agent": chain(a=says("a"))}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail("before", times=None)
        started, told = trio.current_time(), list[int]()

        async def ask(number: int) -> None:
            with pytest.raises(StorageError, match="the disk is full"):
                await client.threads.update(thread_id, metadata={"a": number})
            told.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)

        assert len(told) == 20
        assert trio.current_time() - started < 1  # the first comes alone, the second with the rest
        faulty.heal()
        assert (await client.threads.update(thread_id, metadata={"a": 1}))["metadata"]["a"] == 1


async def test_an_actor_that_crashes_again_and_again_is_started_ever_more_slowly(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    faulty = FaultyStorage(MemoryStorage())
    async with Greenroom({"agent": chain(a=says("a"))}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        started = trio.current_time()
        faulty.fail("before", ends_a_run, times=3)

        values = await client.runs.wait(thread_id, "agent", input=text("x"))

        assert values["log"] == ["x", "a"]
        assert trio.current_time() - started == pytest.approx(0.1 + 0.2 + 0.4)
        assert caplog.text.count("crashed") == 3


async def test_a_run_under_way_is_over_before_its_crashed_actor_is_started_again(
    mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    faulty, hold = FaultyStorage(MemoryStorage()), Shielded()
    graphs = {"agent": chain(hold=hold.node, end=says("end"))}
    async with Greenroom(graphs, storage=faulty, grace_period=5) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        faulty.fail("before", is_a(PutThread))
        with pytest.raises(StorageError):
            await client.threads.update(thread_id, metadata={"a": 1})
        await wait_all_tasks_blocked()

        mock_clock.jump(4)
        await wait_all_tasks_blocked()
        assert hold.order == ["slow begins"]
        hold.open()  # what it came to is refused
        await wait_all_tasks_blocked()
        assert hold.order == ["slow begins", "slow ends"]
        mock_clock.jump(1)

        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["slow", "did slow", "end"]
        assert hold.order == ["slow begins", "slow ends"] * 2


async def test_a_deletion_of_a_run_outlives_a_crash(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold()
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        faulty.fail("before", is_a(DeleteRun))

        await client.runs.delete(thread_id, run["run_id"])

        assert await client.runs.list(thread_id) == []
        assert await status(client, thread_id) == "interrupted"


async def test_a_deletion_outlives_a_crash(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold()
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        faulty.fail("before", is_a(DeleteThread))

        await client.threads.delete(thread_id)

        with pytest.raises(NotFound):
            await client.threads.get(thread_id)


@pytest.mark.parametrize("fails", [False, True])
async def test_an_end_that_is_stored_though_nobody_could_tell_is_found(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture, fails: bool
) -> None:
    async def node(state: Any) -> Any:
        if fails:
            raise ValueError("no such colour")
        return {"log": ["done"]}

    async with Greenroom({"agent": chain(node=node)}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        faulty.fail("after", ends_a_run)

        result = await client.runs.wait(thread_id, "agent", input=text("x"), raise_error=False)

        if fails:
            assert result == {"__error__": {"error": "ValueError", "message": "no such colour"}}
        else:
            assert result["log"] == ["x", "done"]
        assert await statuses(client, thread_id) == ["error" if fails else "success"]


async def test_a_removal_that_is_stored_though_nobody_could_tell_is_found(
    faulty: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    hold = Hold()
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=faulty) as room:
        client, thread_id = room.client, await new_thread(room.client)
        handle = await client.runs.start(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        faulty.fail("after", is_a(DeleteRun))
        await client.runs.cancel(thread_id, handle.run_id, action="rollback")

        with pytest.raises(NotFound, match=handle.run_id):
            await handle.result()
        assert await client.runs.list(thread_id) == []
        assert await log_of(client, thread_id) == []


async def test_the_end_of_a_run_that_a_crashed_actor_had_started_is_not_taken_for_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage, hold = FaultyStorage(SqliteStorage(tmp_path / "agents.db")), Hold()
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        async def update() -> None:
            with pytest.raises(StorageError):
                await client.threads.update(thread_id, metadata={"a": 1})

        async with trio.open_nursery() as nursery:
            gate = storage.hold("before", is_a(PutThread))
            storage.fail("before", is_a(PutThread))
            nursery.start_soon(update)
            await gate.reached()
            hold.open()  # the run ends while its actor waits for storage, and crashes then
            await wait_all_tasks_blocked()
            assert hold.order == ["slow begins", "slow ends"]
            gate.open()

        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["slow", "did slow"]
        assert await statuses(client, thread_id) == ["success"]
        assert caplog.text.count("crashed") == 1


async def test_a_thread_that_is_made_again_right_after_its_deletion_starts_from_nothing(
    tmp_path: Path,
) -> None:
    storage = FaultyStorage(SqliteStorage(tmp_path / "agents.db"))
    async with Greenroom({"agent": chain(a=says("a"))}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        gate = storage.hold("before", is_a(DeleteThread))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.threads.delete, thread_id)
            await gate.reached()
            nursery.start_soon(lambda: client.threads.create(thread_id=thread_id))
            await wait_all_tasks_blocked()  # the actor has it in its mailbox
            gate.open()

        assert await log_of(client, thread_id) == []
        assert (await client.runs.wait(thread_id, "agent", input=text("y")))["log"] == ["y", "a"]
        history = await client.threads.get_history(thread_id)
        assert [state["metadata"]["step"] for state in history] == [1, 0, -1]


# Overtaken.


async def test_a_runtime_whose_storage_was_taken_over_stops_everything() -> None:
    hold, storage = Hold(), MemoryStorage()

    async def run_until_overtaken() -> None:
        async with Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room:
            client, thread_id = room.client, await new_thread(room.client)
            await client.runs.create(thread_id, "agent", input=text("slow"))
            await hold.reached.wait()
            storage.close()
            storage.acquire_lease("somebody else")
            with pytest.raises(StaleEpoch):
                await client.threads.update(thread_id, metadata={"a": 1})
            await trio.sleep_forever()

    with pytest.raises(StaleEpoch, match="has ended; this process has stopped"):
        await run_until_overtaken()

    assert hold.order == ["slow begins", "slow ends"]
