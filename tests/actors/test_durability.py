"""What is in which commit, in which order, and when the caller is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Greenroom
from greenroom.graph import START, CompiledStateGraph, StateGraph, interrupt
from greenroom.storage import AppendLog, DeleteRun, Operation, PutRun, SqliteStorage, StorageError
from greenroom.storage.testing import FaultyStorage

from .stage import (
    Hold,
    State,
    chain,
    ends_a_run,
    is_a,
    new_thread,
    parallel,
    says,
    status,
    statuses,
    text,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


@pytest.fixture
def storage(file: Path) -> FaultyStorage:
    return FaultyStorage(SqliteStorage(file))


def put_run(*, status: str | None = None, stop: str | None = None) -> Any:
    def fits(operation: Operation) -> bool:
        return (
            isinstance(operation, PutRun)
            and status in (None, operation.run.status)
            and stop in (None, operation.run.stop)
        )

    return fits


async def killed(storage: FaultyStorage, nursery: trio.Nursery) -> None:
    """Wait until the storage has crashed, and leave what cannot go on."""
    await trio.to_thread.run_sync(storage.crashed.wait)
    nursery.cancel_scope.cancel()


# In the order in which it was promised.


@pytest.mark.parametrize("how", ["interrupt", "rollback"])
async def test_a_stop_that_came_before_the_first_records_of_a_run_outlives_a_kill(
    storage: FaultyStorage, file: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    hold, again = Hold(texts=("one",)), Hold(texts=())
    gate = storage.hold("before", put_run(status="pending"))
    async with (
        trio.open_nursery() as nursery,
        Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room,
    ):
        client, thread_id = room.client, await new_thread(room.client)

        async def send(word: str, strategy: str = "enqueue") -> None:
            await client.runs.create(
                thread_id, "agent", input=text(word), multitask_strategy=strategy
            )

        nursery.start_soon(send, "one")
        await gate.reached()
        storage.crash("before", is_a(DeleteRun) if how == "rollback" else ends_a_run)
        nursery.start_soon(send, "two", how)
        await wait_all_tasks_blocked()
        gate.open()
        await killed(storage, nursery)
    assert hold.order == ["one begins", "one ends"]

    async with Greenroom({"agent": chain(hold=again.node)}, storage=SqliteStorage(file)) as room:
        client = room.client
        [second, *_] = await client.runs.list(thread_id)
        values = await client.runs.join(thread_id, second["run_id"])
        assert again.order == ["two begins", "two ends"]
        kept = ["one"] if how == "interrupt" else []
        assert values["log"] == [*kept, "two", "did two"]
        stopped = ["interrupted"] if how == "interrupt" else []
        assert await statuses(client, thread_id) == [*stopped, "success"]


async def test_a_look_at_the_history_does_not_part_a_run_from_its_first_records(
    storage: FaultyStorage, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reached, opened = trio.Event(), trio.Event()

    async def route(state: State) -> str:
        reached.set()
        await opened.wait()
        return "a"

    def graph() -> CompiledStateGraph:
        builder = StateGraph(State).add_node("a", says("a")).add_conditional_edges(START, route)
        return builder.compile()

    async with (
        trio.open_nursery() as nursery,
        Greenroom({"agent": graph()}, storage=storage) as room,
    ):
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("x"))
        await reached.wait()
        storage.crash("after", is_a(AppendLog))
        with pytest.raises(StorageError):  # it has what the run has left so far stored first
            await client.threads.get_history(thread_id)
        await killed(storage, nursery)

    async with Greenroom({"agent": graph()}, storage=SqliteStorage(file)) as room:
        opened.set()
        values = await room.client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["x", "a"]
        history = await room.client.threads.get_history(thread_id)
        assert [state["metadata"]["step"] for state in history] == [1, 0, -1]


async def test_the_end_of_a_run_is_not_stored_where_its_last_records_were_refused(
    storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt("sure?")]}

    async with Greenroom(
        {"agent": parallel(ask=ask, quick=says("quick"))}, storage=storage
    ) as room:
        client, thread_id = room.client, await new_thread(room.client)
        storage.fail("before", is_a(AppendLog))

        paused = await client.runs.wait(thread_id, "agent", input=text("x"))

        assert [question["value"] for question in paused["__interrupt__"]] == ["sure?"]
        assert await status(client, thread_id) == "interrupted"
        [waits] = (await client.threads.get_state(thread_id))["interrupts"]
        assert waits["value"] == "sure?"
        values = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert values["log"] == ["x", "yes", "quick"]
