"""What of a run of LangGraph's is in storage, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio

from greenroom.actors import Invalid, RunFailed
from greenroom.graph.checkpoint import Checkpoint, Saved
from greenroom.graph.job import Job
from greenroom.graph.langgraph.performance import given_to
from greenroom.storage import AppendLog, PutRun, Storage
from greenroom.storage.checking import check
from greenroom.storage.testing import FaultyStorage

from ..conftest import Serve
from ..stage import log_of, new_thread, says, status, statuses, text
from .stage import AsyncioHold, chain


async def checkpoints(client: Any, thread_id: str) -> list[tuple[str, list[str]]]:
    """Where each comes from and what is next, oldest first."""
    history = await client.threads.get_history(thread_id, limit=100)
    return [(one["metadata"]["source"], one["next"]) for one in reversed(history)]


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_every_step_leaves_a_checkpoint_and_the_log_is_sound(
    serve: Serve, open_storage: Callable[[], Storage], durability: str
) -> None:
    storage = FaultyStorage(open_storage(), blocking=True)
    async with serve(chain(a=says("a"), b=says("b")), storage=storage) as room:
        client = room.client
        for _ in range(5):  # whose records might come out of order
            thread_id = await new_thread(client)
            await client.runs.wait(thread_id, "agent", input=text("x"), durability=durability)
            assert await checkpoints(client, thread_id) == [
                ("input", ["__start__"]),
                ("loop", ["a"]),
                ("loop", ["b"]),
                ("loop", []),
            ]
        assert list(check(storage, lambda _: None)) == []


async def test_exit_leaves_the_last_checkpoint_alone(serve: Serve) -> None:
    async with serve(chain(a=says("a"), b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in ("x", "y"):
            await client.runs.wait(thread_id, "agent", input=text(word), durability="exit")
        assert await checkpoints(client, thread_id) == [("loop", []), ("loop", [])]
        assert await log_of(client, thread_id) == ["x", "a", "b", "y", "a", "b"]


async def test_sync_waits_for_a_checkpoint_before_the_next_node(
    serve: Serve, open_storage: Callable[[], Storage]
) -> None:
    storage, hold = FaultyStorage(open_storage(), blocking=True), AsyncioHold(texts=("x",))
    graph = chain(a=says("a"), hold=hold.node)
    async with serve(graph, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        gate = storage.hold("before", lambda one: isinstance(one, AppendLog))
        await client.runs.create(thread_id, "agent", input=text("x"), durability="sync")
        await gate.reached()
        assert not hold.reached.is_set()
        gate.open()
        await hold.reached.wait()
        kinds = [
            row.kind
            for group in storage.applied
            for one in group
            if isinstance(one, AppendLog)
            for row in one.rows
        ]
        assert kinds.count("checkpoint") == 3
        hold.open()


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("last", [False, True], ids=["first-node", "last-node"])
async def test_a_value_that_cannot_be_stored_fails_the_run_and_is_named(
    serve: Serve, durability: str, last: bool
) -> None:
    async def bad(state: Any) -> Any:
        return {"log": [{1, 2}, object()]}

    nodes = {"a": says("a"), "bad": bad} if last else {"bad": bad, "a": says("a")}
    async with serve(chain(**nodes)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("x"), durability=durability)
        with pytest.raises(RunFailed, match=r"(?s)Unstorable.*log.*object"):
            await client.runs.join(thread_id, run["run_id"])
        assert await statuses(client, thread_id) == ["error"]
        assert await status(client, thread_id) == "error"
        # Nothing of it is left, and the thread goes on.
        await client.threads.update_state(thread_id, {"log": ["edited"]}, as_node="a")
        assert "edited" in await log_of(client, thread_id)


async def test_an_edit_that_cannot_be_stored_is_refused_and_is_named(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        before = await client.runs.wait(thread_id, "agent", input=text("x"))
        history = await client.threads.get_history(thread_id)
        with pytest.raises(Invalid, match=r"values.*log.*object"):
            await client.threads.update_state(thread_id, {"log": [object()]}, as_node="a")
        assert await client.threads.get_history(thread_id) == history
        assert await log_of(client, thread_id) == before["log"]


async def test_a_disk_that_refuses_a_checkpoint_makes_the_run_start_again(
    serve: Serve, open_storage: Callable[[], Storage]
) -> None:
    storage = FaultyStorage(open_storage(), blocking=True)
    async with serve(chain(a=says("a"), b=says("b")), storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        storage.fail("before", lambda one: isinstance(one, AppendLog), skip=1)
        values = await client.runs.wait(thread_id, "agent", input=text("x"))
        assert values["log"] == ["x", "a", "b"]
        [run] = await client.runs.list(thread_id)
        assert run["status"] == "success"
        assert list(check(storage, lambda _: None)) == []


def together(storage: FaultyStorage, source: str) -> list[list[str]]:
    """The status of the runs that are stored in one commit with a checkpoint of a source."""
    groups = [
        group
        for group in storage.applied
        for one in group
        if isinstance(one, AppendLog)
        if any(
            row.kind == "checkpoint" and b'"' + source.encode() + b'"' in row.data
            for row in one.rows
        )
    ]
    return [[one.run.status for one in group if isinstance(one, PutRun)] for group in groups]


async def test_what_is_taken_in_of_a_run_is_stored_together_with_what_becomes_of_it(
    serve: Serve, open_storage: Callable[[], Storage]
) -> None:
    storage, hold = FaultyStorage(open_storage(), blocking=True), AsyncioHold()
    async with serve(chain(hold=hold.node), storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word, strategy in (
            ("slow", "enqueue"),
            ("stopped", "enqueue"),
            ("slow", "interrupt"),
            ("one", "merge"),
            ("two", "merge"),
        ):
            hold.reached = trio.Event()
            run = await client.runs.create(
                thread_id, "agent", input=text(word), multitask_strategy=strategy
            )
            if word == "slow":
                await hold.reached.wait()
        hold.open()
        await client.runs.join(thread_id, run["run_id"])
        # "stopped" with its end, "one" and "two" with the start of both.
        assert together(storage, "update") == [["interrupted"], ["running", "pending"]]


def test_what_graphs_inside_have_left_is_no_sign_that_the_input_was_taken_up() -> None:
    """With durability `exit` it is in the log before anything of the graph around them."""
    before = Saved(checkpoint_of("earlier"))
    given: Any = {"log": ["three"]}
    job = Job(input=given, carried_on=True, metadata={"run_id": "this"})
    assert given_to(job, before) == (given, None)
    assert given_to(job, Saved(checkpoint_of("this"))) == (None, None)


def checkpoint_of(run_id: str) -> Checkpoint:
    return Checkpoint(
        id="c1",
        step=1,
        source="loop",
        created_at="",
        values={},
        changed=(),
        metadata={"run_id": run_id},
    )
