"""Runs with threads of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from greenroom.actors import Conflict, Greenroom, Invalid, NotFound, Refused, RunFailed
from greenroom.graph import interrupt
from greenroom.storage import Storage, ThreadQuery
from greenroom.storage.operations import DeleteThread
from greenroom.storage.testing import FaultyStorage

from .conftest import Serve
from .stage import Hold, chain, fails, log_of, new_thread, says, status, text


@pytest.fixture
def room(serve: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    return serve(chain(read=says("read"), hold=hold.node, end=says("end")))


async def nothing_left(room: Greenroom) -> bool:
    """Whether storage has no thread, and no run of one."""

    def read(storage: Storage) -> bool:
        return storage.count_threads(ThreadQuery()) == 0 and storage.stats().runs == {}

    return await room._session.read(read)


async def test_checkpoints_that_go_with_their_run_are_not_shown(room: Greenroom) -> None:
    async with room:
        modes = ["debug", "checkpoints", "updates"]
        options = {"input": text("x"), "interrupt_before": ["hold"], "stream_mode": modes}
        seen = [part async for part in room.client.runs.stream(None, "agent", **options)]

        assert {part.event for part in seen} == {"metadata", "debug", "updates"}
        kinds = {part.data["type"] for part in seen if part.event == "debug"}
        assert kinds == {"task", "task_result"}


async def test_a_run_without_a_thread_answers_and_leaves_nothing(room: Greenroom) -> None:
    async with room:
        values = await room.client.runs.wait(None, "agent", input=text("x"))
        parts = room.client.runs.stream(None, "agent", input=text("y"), stream_mode="updates")
        seen = [part.data async for part in parts if part.event == "updates"]

        assert values["log"] == ["x", "read", "did x", "end"]
        assert [name for update in seen for name in update] == ["read", "hold", "end"]
        assert await nothing_left(room)


async def test_who_has_only_the_runs_id_finds_it(room: Greenroom, hold: Hold) -> None:
    async with room:
        runs = room.client.runs
        run = await runs.create(None, "agent", input=text("slow"), on_completion="keep")
        await hold.reached.wait()
        under_way = await runs.attach(None, run["run_id"])
        hold.open()

        values = await under_way.result()
        assert values["log"] == ["slow", "read", "did slow", "end"]
        assert await runs.join(None, run["run_id"]) == values
        with pytest.raises(NotFound):
            await runs.join(None, run["thread_id"])


async def test_what_keeps_its_thread_can_be_gone_on_with(room: Greenroom) -> None:
    async with room:
        client = room.client
        run = await client.runs.create(None, "agent", input=text("x"), on_completion="keep")
        thread_id = run["thread_id"]
        await client.runs.join(thread_id, run["run_id"])
        values = await client.runs.wait(thread_id, "agent", input=text("y"))

        first, second = (["x", "read", "did x", "end"], ["y", "read", "did y", "end"])
        assert values["log"] == first + second
        assert run["kwargs"]["temporary"] is False


async def test_the_thread_is_there_until_the_run_has_ended(room: Greenroom, hold: Hold) -> None:
    async with room:
        client = room.client
        run = await client.runs.create(None, "agent", input=text("slow"))
        thread_id, run_id = run["thread_id"], run["run_id"]
        await hold.reached.wait()

        assert await status(client, thread_id) == "busy"
        assert await log_of(client, thread_id) == ["slow", "read"]
        with pytest.raises(Conflict, match="is of one run, and is deleted with it"):
            await client.runs.create(thread_id, "agent", input=text("more"))

        handle = await client.runs.attach(thread_id, run_id)
        hold.open()
        assert (await handle.result())["log"] == ["slow", "read", "did slow", "end"]
        with pytest.raises(NotFound):
            await client.runs.get(thread_id, run_id)
        with pytest.raises(NotFound):
            await client.runs.create(thread_id, "agent", input=text("more"))


@pytest.mark.parametrize("way", ["interrupt", "rollback", "delete"])
async def test_a_run_that_is_stopped_takes_its_thread_with_it(
    room: Greenroom, hold: Hold, way: str
) -> None:
    async with room:
        run = await room.client.runs.create(None, "agent", input=text("slow"))
        thread_id, run_id = run["thread_id"], run["run_id"]
        handle = await room.client.runs.attach(thread_id, run_id)
        await hold.reached.wait()
        if way == "delete":
            await room.client.runs.delete(thread_id, run_id)
            with pytest.raises(NotFound, match="was deleted"):
                await handle.result()
        else:
            await room.client.runs.cancel(thread_id, run_id, wait=True, action=way)
            left = {} if way == "rollback" else {"log": ["slow", "read"], "text": "slow"}
            assert await handle.result() == left
        assert await nothing_left(room)


async def test_who_waits_for_one_that_is_deleted_before_its_turn_is_told(room: Greenroom) -> None:
    async with room:
        run = await room.client.runs.create(None, "agent", input=text("x"), after_seconds=60)
        handle = await room.client.runs.attach(run["thread_id"], run["run_id"])
        await room.client.runs.delete(run["thread_id"], run["run_id"])
        with pytest.raises(NotFound, match="was deleted"):
            await handle.result()
        assert await nothing_left(room)


async def test_a_run_that_fails_or_pauses_takes_its_thread_with_it(serve: Serve) -> None:
    async def ask(state: Any) -> Any:
        return {"log": [interrupt("sure?")]}

    graphs = {"fails": chain(a=says("a"), fails=fails), "asks": chain(a=says("a"), ask=ask)}
    async with serve(graphs) as room:
        with pytest.raises(RunFailed, match="no such colour"):
            await room.client.runs.wait(None, "fails", input=text("x"))
        paused = await room.client.runs.wait(None, "asks", input=text("x"))
        stopped = await room.client.runs.wait(
            None, "asks", input=text("x"), interrupt_before=["ask"]
        )

        assert [question["value"] for question in paused["__interrupt__"]] == ["sure?"]
        assert stopped["log"] == ["x", "a"]
        assert await nothing_left(room)


async def test_an_answer_needs_a_thread_that_asked(room: Greenroom) -> None:
    async with room:
        for how in ({}, {"on_completion": "keep"}):
            with pytest.raises(Refused, match="has nothing to resume"):
                await room.client.runs.create(None, "agent", command={"resume": "yes"}, **how)
        assert await nothing_left(room)


async def test_what_becomes_of_a_thread_is_asked_only_for_one_of_the_runs_own(
    room: Greenroom,
) -> None:
    async with room:
        client = room.client
        thread_id = await new_thread(client)
        with pytest.raises(Invalid, match="on_completion: only a run without a thread_id"):
            await client.runs.create(thread_id, "agent", input=text("x"), on_completion="delete")
        with pytest.raises(Invalid, match="on_completion: 'burn' is not one of"):
            await client.runs.create(None, "agent", input=text("x"), on_completion="burn")


async def test_a_run_left_in_the_middle_is_finished_and_leaves_nothing(serve: Serve) -> None:
    hold, again = Hold(), Hold()
    async with serve(chain(read=says("read"), hold=hold.node)) as room:
        run = await room.client.runs.create(None, "agent", input=text("slow"))
        await hold.reached.wait()

    async with serve(chain(read=says("read again"), hold=again.node)) as room:
        await again.reached.wait()
        handle = await room.client.runs.attach(run["thread_id"], run["run_id"])
        again.open()
        assert (await handle.result())["log"] == ["slow", "read", "did slow"]
        assert await nothing_left(room)

    async with serve(chain(hold=again.node)) as room:
        assert await nothing_left(room)


async def test_a_batch_starts_each_run_on_a_thread_of_its_own(room: Greenroom) -> None:
    async with room:
        client = room.client
        words = ["one", "two", "three"]
        payloads = [
            {"assistant_id": "agent", "input": text(word), "on_completion": "keep"}
            for word in words
        ]
        runs = await client.runs.create_batch(payloads)

        assert len({run["thread_id"] for run in runs}) == 3
        for run, word in zip(runs, words, strict=True):
            values = await client.runs.join(run["thread_id"], run["run_id"])
            assert values["log"] == [word, "read", f"did {word}", "end"]


@pytest.mark.parametrize(
    ("payloads", "problem"),
    [
        ([], "payloads: names no run"),
        ([{"assistant_id": "agent"}, {"assistant_id": "agent", "durability": "never"}], "never"),
    ],
)
async def test_a_batch_with_one_that_does_not_fit_starts_none(
    room: Greenroom, payloads: list[dict[str, Any]], problem: str
) -> None:
    async with room:
        with pytest.raises(Invalid, match=problem):
            await room.client.runs.create_batch(payloads)
        assert await nothing_left(room)


async def test_a_thread_that_is_deleted_is_deleted_once(
    open_storage: Callable[[], Storage], hold: Hold
) -> None:
    storage = FaultyStorage(open_storage())
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room:
        run = await room.client.runs.create(None, "agent", input=text("slow"))
        await hold.reached.wait()
        await room.client.threads.delete(run["thread_id"])
        assert await nothing_left(room)
    applied = [operation for group in storage.applied for operation in group]
    assert applied.count(DeleteThread(run["thread_id"])) == 1
