"""Strategies `merge` and `debounce`: runs that wait together become one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Client, Conflict, Greenroom, Invalid, NotFound, RunFailed, TooMany
from greenroom.actors.joining import due_times, merges
from greenroom.graph import START, StateGraph, entrypoint, interrupt
from greenroom.graph.checkpoint import Checkpoint
from greenroom.graph.job import Job
from greenroom.graph.update import take_in
from greenroom.storage import SqliteStorage
from greenroom.storage.testing import FaultyStorage, make_run

from .conftest import Serve
from .stage import Hold, State, chain, fails, log_of, new_thread, says, status, statuses, text

HOST = "answered_by_run_id"


@pytest.fixture
def room(serve: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    return serve(chain(hold=hold.node))


async def send(client: Client, thread_id: str, word: str, **how: Any) -> str:
    how = {"multitask_strategy": "merge", **how}
    run = await client.runs.create(thread_id, "agent", input=text(word), **how)
    run_id: str = run["run_id"]
    return run_id


async def busy_thread(client: Client, hold: Hold) -> str:
    """A thread with a run under way that is held."""
    thread_id = await new_thread(client)
    await send(client, thread_id, "slow")
    await hold.reached.wait()
    return thread_id


async def hosts(client: Client, thread_id: str) -> list[str | None]:
    """By which run the runs of a thread were answered, oldest first."""
    runs = await client.runs.list(thread_id, limit=100)
    return [run["metadata"].get(HOST) for run in reversed(runs)]


async def test_runs_that_wait_together_get_one_answer_with_their_inputs_in_order(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        runs = [await send(client, thread_id, word) for word in ("one", "two", "three")]
        assert await statuses(client, thread_id) == ["running", "pending", "pending", "pending"]
        hold.open()

        for run_id in runs:  # each is told the same
            values = await client.runs.join(thread_id, run_id)
            assert values["log"] == ["slow", "did slow", "one", "two", "three", "did three"]
        assert await statuses(client, thread_id) == ["success"] * 4
        assert await hosts(client, thread_id) == [None, runs[2], runs[2], None]
        assert await status(client, thread_id) == "idle"
        history = await client.threads.get_history(thread_id, limit=100)
        taken_in = [one["metadata"]["run_id"] for one in history if one["next"] == ["__start__"]]
        assert taken_in[:3] == runs[::-1]


async def test_a_run_that_need_not_wait_starts_at_once(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in ("one", "two"):
            run_id = await send(client, thread_id, word)
            await client.runs.join(thread_id, run_id)
        assert await log_of(client, thread_id) == ["one", "did one", "two", "did two"]
        assert await hosts(client, thread_id) == [None, None]


@pytest.mark.parametrize(
    "other",
    [
        {"multitask_strategy": "enqueue"},
        {"config": {"tags": ["other"]}},
        {"context": {"user": "other"}},
        {"interrupt_before": ["nowhere"]},
        {"interrupt_after": ["nowhere"]},
        {"durability": "sync"},
        {"command": {"update": {"log": ["two"], "text": "two"}}},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_a_run_of_another_kind_starts_on_its_own_and_in_its_turn(
    room: Greenroom, hold: Hold, other: dict[str, Any]
) -> None:
    async with room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        one = await send(client, thread_id, "one")
        await send(client, thread_id, "two", **other)
        three = await send(client, thread_id, "three")
        hold.open()
        await client.runs.join(thread_id, three)

        log = [word for word in await log_of(client, thread_id) if not word.startswith("did")]
        assert log == ["slow", "one", "two", "three"]
        assert await hosts(client, thread_id) == [None] * 4
        assert "did one" in await log_of(client, thread_id)
        assert (await client.runs.get(thread_id, one))["status"] == "success"


async def test_runs_of_two_assistants_are_not_merged(serve: Serve, hold: Hold) -> None:
    graphs = {"agent": chain(hold=hold.node), "other": chain(other=says("other"))}
    async with serve(graphs) as room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        await send(client, thread_id, "one")
        await client.runs.create(thread_id, "other", input=text("two"), multitask_strategy="merge")
        last = await send(client, thread_id, "three")
        hold.open()
        await client.runs.join(thread_id, last)
        log = await log_of(client, thread_id)
        assert log[2:] == ["one", "did one", "two", "other", "three", "did three"]


async def test_a_run_from_an_older_checkpoint_is_not_merged(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("before"))
        at = (await client.threads.get_state(thread_id))["checkpoint_id"]
        await send(client, thread_id, "slow")
        await hold.reached.wait()
        for word in ("one", "two"):
            last = await send(client, thread_id, word, checkpoint_id=at)
        hold.open()
        values = await client.runs.join(thread_id, last)
        assert values["log"] == ["before", "did before", "two", "did two"]


async def test_functions_have_no_state_to_merge_into_and_run_one_by_one(
    serve: Serve, hold: Hold
) -> None:
    seen: list[Any] = []

    @entrypoint()
    async def function(given: Any) -> Any:
        seen.append(given)
        await hold.node({"text": given})
        return given

    async with serve(function) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in ("slow", "one", "two"):
            run = await client.runs.create(
                thread_id, "agent", input=word, multitask_strategy="merge"
            )
        hold.open()
        assert await client.runs.join(thread_id, run["run_id"]) == "two"
        assert seen == ["slow", "one", "two"]


async def test_each_reader_streams_the_answer_in_the_mode_it_asked_for(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        handles = [
            await client.runs.start(
                thread_id, "agent", input=text(mode), multitask_strategy="merge", stream_mode=mode
            )
            for mode in ("updates", "values")
        ]
        hold.open()
        updates, values = [[part async for part in one.parts()] for one in handles]

        assert [part.event for part in updates] == ["metadata", "updates"]
        assert [part.event for part in values] == ["metadata", "values", "values"]
        first, second = [one.run_id for one in handles]
        assert updates[0].data == {"run_id": first, "attempt": 1, HOST: second}
        assert values[0].data == {"run_id": second, "attempt": 1}
        assert updates[1].data == {"hold": {"log": ["did values"]}}
        assert values[-1].data["log"][-3:] == ["updates", "values", "did values"]


async def test_who_follows_the_thread_is_told_once_and_a_reader_who_comes_back_is_too(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        runs = [
            await send(client, thread_id, word, stream_mode="updates", stream_resumable=True)
            for word in ("one", "two")
        ]
        live: list[Any] = []

        async def follow() -> None:
            async for part in client.threads.join_stream(thread_id):
                live.append(part)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await wait_all_tasks_blocked()
            hold.open()
            await client.runs.join(thread_id, runs[1])
            await wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        answers = [part for part in live if part.event == "updates" and "two" in part.json.decode()]
        assert len(answers) == 1
        done = [part.data["run_id"] for part in live if part.data.get("status") == "run_done"]
        assert done[1:] == [runs[1], runs[0]]

        for run_id in runs:
            parts = [
                part.event
                async for part in client.runs.join_stream(thread_id, run_id, last_event_id=0)
            ]
            assert parts == ["metadata", "updates"]
        kept: list[Any] = []
        with trio.move_on_after(0.05):
            async for part in client.threads.join_stream(thread_id, last_event_id=0):
                kept.append(part)
        of_two = [part.id for part in live if part.id in [one.id for one in kept]]
        assert [part.id for part in kept] == of_two
        assert [part.event for part in kept] == ["metadata", "updates", "metadata", "metadata"]
        assert [part.data["run_id"] for part in kept[2:]] == [runs[1], runs[0]]


async def test_a_run_that_waits_to_be_merged_is_cancelled_or_deleted_by_itself(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        one, two, three, four = [
            await send(client, thread_id, word) for word in ("one", "two", "three", "four")
        ]
        await client.runs.cancel(thread_id, two, wait=True)
        await client.runs.delete(thread_id, three)
        hold.open()
        values = await client.runs.join(thread_id, four)
        assert values["log"] == ["slow", "did slow", "one", "four", "did four"]
        assert await statuses(client, thread_id) == ["success", "success", "interrupted", "success"]
        assert (await client.runs.get(thread_id, one))["metadata"][HOST] == four


@pytest.fixture
async def merged(serve: Serve) -> AsyncGenerator[tuple[Client, str, list[str], Hold]]:
    """Three runs that have become one, which is held in its second node."""
    first, second = Hold(), Hold(texts=("three",))
    async with serve(chain(read=says("read"), first=first.node, second=second.node)) as room:
        client, thread_id = room.client, await busy_thread(room.client, first)
        runs = [await send(client, thread_id, word) for word in ("one", "two", "three")]
        first.open()
        await second.reached.wait()
        yield client, thread_id, runs, second
        second.open()


BEFORE = ["slow", "read", "did slow", "did slow"]


async def test_what_was_merged_is_pending_until_its_answer_is_there(merged: Any) -> None:
    client, thread_id, runs, hold = merged
    assert await statuses(client, thread_id) == ["success", "pending", "pending", "running"]
    assert await hosts(client, thread_id) == [None, runs[2], runs[2], None]
    hold.open()
    await client.runs.join(thread_id, runs[0])
    assert await statuses(client, thread_id) == ["success"] * 4


@pytest.mark.parametrize("which", [0, 2], ids=["member", "host"])
async def test_whichever_of_them_is_cancelled_all_stop_and_nothing_is_lost(
    merged: Any, which: int
) -> None:
    client, thread_id, runs, _ = merged
    await client.runs.cancel(thread_id, runs[which], wait=True)
    assert await statuses(client, thread_id) == ["success"] + ["interrupted"] * 3
    log = await log_of(client, thread_id)
    assert log == [*BEFORE, "one", "two", "three", "read", "did three"]


async def test_a_run_rolled_back_by_hand_leaves_those_merged_into_it_to_be_answered(
    merged: Any,
) -> None:
    client, thread_id, runs, _ = merged
    with pytest.raises(Conflict, match=f"{runs[0]}.* is answered by run .*{runs[2]}"):
        await client.runs.cancel(thread_id, runs[0], action="rollback")
    await client.runs.cancel(thread_id, runs[2], action="rollback")
    values = await client.runs.join(thread_id, runs[0])
    assert values["log"] == [*BEFORE, "one", "two", "read", "did two", "did two"]
    assert await statuses(client, thread_id) == ["success"] * 3
    assert await hosts(client, thread_id) == [None, runs[1], None]


async def test_all_of_them_are_rolled_back_by_hand(merged: Any) -> None:
    client, thread_id, _, _ = merged
    await client.runs.cancel_many(status="all", action="rollback")
    assert (await client.runs.wait(thread_id, "agent", input=text("new")))["log"] == [
        *BEFORE,
        *("new", "read", "did new", "did new"),
    ]
    assert await statuses(client, thread_id) == ["success", "success"]


async def test_what_a_reader_was_shown_of_a_merged_run_is_kept_when_it_is_alone_again_and_stopped(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        how = {"multitask_strategy": "merge", "after_seconds": 3600, "stream_mode": "tasks"}
        run = await client.runs.start(
            thread_id, "agent", input=text("one"), stream_resumable=True, **how
        )
        host = await send(client, thread_id, "slow", after_seconds=0.001)  # both start in 10 ms
        await hold.reached.wait()
        await client.runs.cancel(thread_id, host, action="rollback", wait=True)
        await client.runs.cancel(thread_id, run.run_id, wait=True)
        seen = [part.event async for part in run.parts()]
        assert seen == ["metadata", "tasks"]
        kept = client.runs.join_stream(thread_id, run.run_id, last_event_id=0)
        assert [part.event async for part in kept] == seen


async def test_a_rollback_removes_all_that_were_merged(merged: Any) -> None:
    client, thread_id, runs, _ = merged
    values = await client.runs.wait(
        thread_id, "agent", input=text("new"), multitask_strategy="rollback"
    )
    assert values["log"] == [*BEFORE, "new", "read", "did new", "did new"]
    assert await statuses(client, thread_id) == ["success", "success"]
    for run_id in runs:
        with pytest.raises(NotFound):
            await client.runs.get(thread_id, run_id)


async def test_an_interrupt_stops_all_that_were_merged(merged: Any) -> None:
    client, thread_id, _, _ = merged
    values = await client.runs.wait(
        thread_id, "agent", input=text("new"), multitask_strategy="interrupt"
    )
    end = ["new", "read", "did new", "did new"]
    assert values["log"] == [*BEFORE, "one", "two", "three", "read", "did three", *end]
    assert await statuses(client, thread_id) == ["success"] + ["interrupted"] * 3 + ["success"]


async def test_what_was_merged_is_in_the_state_once_if_it_is_stopped_before_its_first_node(
    serve: Serve, hold: Hold
) -> None:
    reached, order = trio.Event(), list[str]()

    async def route(state: State) -> str:
        if state["text"] == "two":
            reached.set()
            await trio.sleep_forever()
        order.append(state["text"])
        return "hold"

    builder = StateGraph(State).add_node("hold", hold.node)
    builder.add_conditional_edges(START, route, ["hold"])
    async with serve(builder.compile()) as room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        for word in ("one", "two"):
            await send(client, thread_id, word)
        hold.open()
        await reached.wait()
        values = await client.runs.wait(
            thread_id, "agent", input=text("new"), multitask_strategy="interrupt"
        )
        assert values["log"] == ["slow", "did slow", "one", "two", "new", "did new"]
        assert order == ["slow", "new"]


async def test_what_is_half_merged_is_not_stored_for_who_reads_the_thread_then(
    tmp_path: Path, hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go_on = trio.Event(), trio.Event()

    async def slow(compiled: Any, job: Job) -> Checkpoint:
        if job.input["text"] == "two":
            reached.set()
            await go_on.wait()
        return await take_in(compiled, job)

    monkeypatch.setattr("greenroom.graph.performing.take_in", slow)
    storage = FaultyStorage(SqliteStorage(tmp_path / "agents.db"))
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        last = [await send(client, thread_id, word) for word in ("one", "two")][-1]
        hold.open()
        await reached.wait()
        newest = (await client.threads.get_history(thread_id, limit=1))[0]
        assert newest["values"]["log"] == ["slow", "did slow"]
        storage.fail("before")  # the actor starts again from what is stored
        go_on.set()
        values = await client.runs.join(thread_id, last)
        assert values["log"] == ["slow", "did slow", "one", "two", "did two"]


async def test_a_merged_run_is_deleted_by_itself_and_what_it_said_stays(merged: Any) -> None:
    client, thread_id, runs, hold = merged
    await client.runs.delete(thread_id, runs[0])
    hold.open()
    values = await client.runs.join(thread_id, runs[1])
    assert values["log"][4:7] == ["one", "two", "three"]
    assert await statuses(client, thread_id) == ["success"] * 3
    assert [run["run_id"] for run in await client.runs.list(thread_id)][:2] == runs[:0:-1]


async def test_runs_cancelled_as_pending_leave_the_run_under_way_alone(merged: Any) -> None:
    client, thread_id, runs, hold = merged
    with pytest.raises(NotFound):
        await client.runs.cancel_many(status="pending")
    hold.open()
    await client.runs.join(thread_id, runs[0])
    assert await statuses(client, thread_id) == ["success"] * 4


async def test_runs_rolled_back_as_running_leave_what_was_merged_into_them_to_be_answered(
    merged: Any,
) -> None:
    client, thread_id, runs, _ = merged
    await client.runs.cancel_many(status="running", action="rollback")
    values = await client.runs.join(thread_id, runs[0])
    assert values["log"] == [*BEFORE, "one", "two", "read", "did two", "did two"]
    assert await statuses(client, thread_id) == ["success"] * 3


async def test_the_failure_of_the_run_that_answers_is_that_of_all(serve: Serve, hold: Hold) -> None:
    async with serve({"agent": chain(hold=hold.node, end=fails)}) as room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        runs = [await send(client, thread_id, word) for word in ("one", "two")]
        hold.open()
        for run_id in runs:
            with pytest.raises(RunFailed, match="no such colour"):
                await client.runs.join(thread_id, run_id)
        assert await statuses(client, thread_id) == ["error"] * 3
        assert await status(client, thread_id) == "error"


async def test_an_input_that_the_state_cannot_take_harms_its_own_run_only(
    room: Greenroom, hold: Hold
) -> None:
    async with room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        one = await send(client, thread_id, "one")
        bad = await client.runs.create(
            thread_id, "agent", input={"log": 3, "text": "bad"}, multitask_strategy="merge"
        )
        last = [await send(client, thread_id, word) for word in ("two", "three")][-1]
        hold.open()
        values = await client.runs.join(thread_id, last)
        assert values["log"][2:] == ["one", "did one", "two", "three", "did three"]
        with pytest.raises(RunFailed, match="TypeError"):
            await client.runs.join(thread_id, bad["run_id"])
        assert (await client.runs.get(thread_id, one))["status"] == "success"


async def test_questions_of_the_run_that_answers_are_told_to_all(serve: Serve, hold: Hold) -> None:
    async def ask(state: State) -> State:
        if state["text"] == "slow":
            return {}
        return {"log": [interrupt("sure?")]}

    async with serve(chain(hold=hold.node, ask=ask)) as room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        runs = [await send(client, thread_id, word) for word in ("one", "two")]
        hold.open()
        handles = [await client.runs.attach(thread_id, run_id) for run_id in runs]
        for handle in handles:
            [question] = (await handle.result())["__interrupt__"]
            assert question["value"] == "sure?"
        values = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert values["log"][2:] == ["one", "two", "did two", "yes"]


async def test_a_text_that_stops_the_others_gets_past_a_full_queue(
    serve: Serve, hold: Hold
) -> None:
    async with serve(chain(hold=hold.node), max_queued_runs=2) as room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        for word in ("one", "two"):
            await send(client, thread_id, word)
        with pytest.raises(TooMany):
            await send(client, thread_id, "three")

        last = await send(client, thread_id, "stop", multitask_strategy="interrupt")

        values = await client.runs.join(thread_id, last)
        assert values["log"] == ["slow", "one", "two", "stop", "did stop"]


async def test_runs_that_wait_to_be_merged_count_as_waiting(serve: Serve, hold: Hold) -> None:
    async with serve(chain(hold=hold.node), max_queued_runs=2) as room:
        client, thread_id = room.client, await busy_thread(room.client, hold)
        for word in ("one", "two"):
            await send(client, thread_id, word)
        with pytest.raises(TooMany, match="2 runs waiting"):
            await send(client, thread_id, "three")
        hold.open()


async def test_a_client_cannot_say_which_run_answers_it(room: Greenroom, hold: Hold) -> None:
    async with room:
        client = room.client
        thread_id = await new_thread(client, metadata={HOST: "a"})
        await send(
            client, thread_id, "slow", metadata={HOST: "b"}, config={"metadata": {HOST: "c"}}
        )
        hold.open()
        assert await hosts(client, thread_id) == [None]


# After a crash.


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_runs_that_were_one_when_the_process_ended_are_one_in_the_next(
    serve: Serve, durability: str
) -> None:
    first, second = Hold(), Hold(texts=("two",))
    async with serve(chain(first=first.node, second=second.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await send(client, thread_id, "slow")
        await first.reached.wait()
        runs = [await send(client, thread_id, w, durability=durability) for w in ("one", "two")]
        first.open()
        await second.reached.wait()

    async with serve(chain(first=says("first"), second=says("second"))) as room:
        client = room.client
        values = await client.runs.join(thread_id, runs[0])
        assert values["log"][3:5] == ["one", "two"]
        assert values["log"][-1] == "second"
        assert values["log"].count("one") == values["log"].count("two") == 1
        assert await statuses(client, thread_id) == ["success"] * 3
        assert await hosts(client, thread_id) == [None, runs[1], None]


# Debounce.


@pytest.fixture
def calm(serve_in_memory: Serve, hold: Hold) -> Greenroom:
    """A room in which nothing is held. Not entered yet."""
    hold.open()
    return serve_in_memory(chain(hold=hold.node))


async def pass_time(clock: MockClock, seconds: float) -> None:
    clock.jump(seconds)
    for _ in range(3):  # a run and what follows it
        await wait_all_tasks_blocked()


@pytest.mark.parametrize("strategy", ["merge", "debounce"])
async def test_each_further_text_restarts_the_wait_and_all_get_one_answer(
    calm: Greenroom, mock_clock: MockClock, strategy: str
) -> None:
    how = {"multitask_strategy": strategy, "after_seconds": 5}
    async with calm as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in ("one", "two", "three"):
            last = await send(client, thread_id, word, **how)
            await pass_time(mock_clock, 4)
        assert await statuses(client, thread_id) == ["pending"] * 3
        await pass_time(mock_clock, 2)
        assert await statuses(client, thread_id) == ["success"] * 3
        assert await log_of(client, thread_id) == ["one", "two", "three", "did three"]
        assert await hosts(client, thread_id) == [last, last, None]


async def test_who_never_stops_texting_is_answered_after_ten_times_the_wait(
    calm: Greenroom, mock_clock: MockClock
) -> None:
    async with calm as room:
        client, thread_id = room.client, await new_thread(room.client)
        for second in range(0, 60, 4):
            await send(client, thread_id, str(second), after_seconds=5)
            await pass_time(mock_clock, 4)
        log = await log_of(client, thread_id)
        assert log == [*[str(second) for second in range(0, 49, 4)], "did 48"]


async def test_a_text_restarts_the_wait_of_those_that_are_due_and_could_not_start(
    serve_in_memory: Serve, hold: Hold, mock_clock: MockClock
) -> None:
    async with serve_in_memory(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await send(client, thread_id, "slow")
        await hold.reached.wait()
        await send(client, thread_id, "one", after_seconds=5)
        await pass_time(mock_clock, 6)
        await send(client, thread_id, "two", after_seconds=5)
        hold.open()
        await pass_time(mock_clock, 4)
        assert await statuses(client, thread_id) == ["success", "pending", "pending"]
        await pass_time(mock_clock, 2)
        assert await log_of(client, thread_id) == ["slow", "did slow", "one", "two", "did two"]


async def test_texts_that_wait_to_be_merged_wait_on_in_the_next_process(
    serve_in_memory: Serve, hold: Hold, mock_clock: MockClock
) -> None:
    hold.open()
    graph = chain(hold=hold.node)
    async with serve_in_memory(graph) as room:
        thread_id = await new_thread(room.client)
        await send(room.client, thread_id, "one", after_seconds=5)
        await pass_time(mock_clock, 4)
        await send(room.client, thread_id, "two", after_seconds=5)
    async with serve_in_memory(graph) as room:  # its clock begins where that of the first did
        await pass_time(mock_clock, 8)
        assert await statuses(room.client, thread_id) == ["pending"] * 2
        await pass_time(mock_clock, 2)
        assert await log_of(room.client, thread_id) == ["one", "two", "did two"]


async def test_debounce_without_a_wait_is_refused(room: Greenroom, hold: Hold) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        for wait, given in (
            ({}, "missing"),
            ({"after_seconds": None}, "missing"),
            ({"after_seconds": 0}, "0 is no wait"),
        ):
            with pytest.raises(Invalid, match=rf"after_seconds: {given}; .*'debounce' needs one"):
                await send(client, thread_id, "one", multitask_strategy="debounce", **wait)
        assert await statuses(client, thread_id) == []


def waiting(name: str, seq: int, second: int, wait: float = 5.0, **changes: Any) -> Any:
    kwargs = {
        "input": {},
        "command": None,
        "config": {"configurable": {}},
        "context": {},
        "interrupt_before": None,
        "interrupt_after": None,
        "durability": "async",
        "temporary": False,
        "after_seconds": wait,
    }
    due = f"2026-01-01T00:00:{second:02d}.000000+00:00"
    return make_run(
        name,
        seq=seq,
        created_at=due,
        multitask_strategy=changes.pop("multitask_strategy", "merge"),
        kwargs=kwargs,
        metadata={"graph_id": "g"},
        **changes,
    )


def test_runs_are_due_together_when_the_last_is() -> None:
    runs = [
        waiting("a", 1, 5),
        waiting("b", 2, 9),
        waiting("alone", 3, 7, multitask_strategy="enqueue"),
        waiting("c", 4, 20, assistant_id="other"),
    ]
    due = due_times(runs, merges)
    seconds = {name: datetime.fromisoformat(time).second for name, time in due.items()}
    assert seconds == {"a": 9, "b": 9, "alone": 7, "c": 20}


def test_a_run_that_has_started_or_was_told_to_stop_is_due_no_more() -> None:
    runs = [waiting("a", 1, 5, attempt=1), waiting("b", 2, 9, stop="interrupt")]
    assert due_times(runs, merges) == {}
