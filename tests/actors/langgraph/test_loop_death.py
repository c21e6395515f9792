"""A node that brings the asyncio loop down: the actors of its runs crash, and nothing else."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
import trio

from greenroom.actors import Greenroom, NotFound, RunFailed
from greenroom.graph.adoption import made_by
from greenroom.storage import Storage
from greenroom.storage.checking import check
from greenroom.storage.testing import FaultyStorage

from .. import stage as own
from ..conftest import Serve
from ..stage import log_of, new_thread, says, status, statuses, text
from .stage import AsyncioHold, StubbornHold, chain


def stops() -> None:
    asyncio.get_running_loop().stop()


def exits() -> None:
    sys.exit("the node's own idea")


def is_interrupted() -> None:
    raise KeyboardInterrupt


class Deadly:
    """A node that brings the loop down, as often as it is to."""

    def __init__(self, how: Callable[[], None], times: int = 1) -> None:
        self.how, self.times, self.begun = how, times, 0

    async def node(self, state: Any) -> Any:
        self.begun += 1
        if self.begun <= self.times:
            self.how()
            await asyncio.sleep(3600)
        return {"log": [f"alive {self.begun}"]}


async def attempts(room: Greenroom, thread_id: str, run_id: str) -> list[int]:
    parts = room.client.runs.join_stream(thread_id, run_id, last_event_id=0)
    return [part.data["attempt"] async for part in parts if part.event == "metadata"]


@pytest.mark.parametrize("how", [stops, exits, is_interrupted])
async def test_a_run_is_taken_up_where_it_was_when_the_loop_dies(
    serve: Serve, how: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    deadly = Deadly(how)
    async with serve(chain(a=says("a"), deadly=deadly.node, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("x"), stream_resumable=True, stream_mode="updates"
        )
        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["x", "a", "alive 2", "b"]
        assert await statuses(client, thread_id) == ["success"]
        assert await status(client, thread_id) == "idle"
        assert await attempts(room, thread_id, run["run_id"]) == [1, 2]
        assert f"the actor of thread {thread_id} crashed" in caplog.text


async def test_a_run_that_brings_it_down_each_time_is_given_up_after_three_starts(
    serve: Serve, open_storage: Callable[[], Storage]
) -> None:
    storage, begun = FaultyStorage(open_storage()), list[str]()

    async def deadly(state: Any) -> Any:
        begun.append(state["text"])
        if state["text"] == "x":
            sys.exit("each time")
        return {"log": [f"did {state['text']}"]}

    async with serve(chain(deadly=deadly), storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("x"), durability="exit")
        queued = await client.runs.create(thread_id, "agent", input=text("y"))
        with pytest.raises(RunFailed, match="started 3 times"):
            await client.runs.join(thread_id, run["run_id"])
        values = await client.runs.join(thread_id, queued["run_id"])
        assert begun == ["x", "x", "x", "y"]
        assert values["log"][-2:] == ["y", "did y"]
        assert await statuses(client, thread_id) == ["error", "success"]
        assert await status(client, thread_id) == "idle"
        assert list(check(storage, lambda _: None)) == []


async def test_a_function_that_exits_instead_of_making_a_graph_fails_its_run_alone(
    serve: Serve,
) -> None:
    def make() -> Any:
        sys.exit("no graph today")

    hold = AsyncioHold()
    async with serve({"agent": made_by("agent", make), "held": chain(hold=hold.node)}) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "held", input=text("slow"), stream_resumable=True)
        await hold.reached.wait()
        with pytest.raises(RunFailed, match=r"The graph raised SystemExit\('no graph today'\)"):
            await client.runs.wait(await new_thread(client), "agent", input=text("x"))
        hold.open()
        await client.runs.join(thread_id, run["run_id"])
        assert await attempts(room, thread_id, run["run_id"]) == [1]


async def test_other_runs_on_the_loop_go_on_and_those_of_this_engine_do_not_notice(
    serve: Serve,
) -> None:
    hold, mine, deadly = AsyncioHold(), own.Hold(), Deadly(exits)
    graphs = {
        "agent": chain(a=says("a"), hold=hold.node),
        "deadly": chain(deadly=deadly.node),
        "own": own.chain(hold=mine.node),
    }
    async with serve(graphs) as room:
        client, runs = room.client, {}
        for name, held in (("agent", hold), ("own", mine)):
            thread_id = await new_thread(client)
            run = await client.runs.create(
                thread_id, name, input=text("slow"), stream_resumable=True
            )
            runs[name] = (thread_id, run["run_id"])
            await held.reached.wait()
        hold.reached = trio.Event()

        values = await client.runs.wait(await new_thread(client), "deadly", input=text("x"))
        assert values["log"] == ["x", "alive 2"]
        await hold.reached.wait()
        for held in (hold, mine):
            held.open()
        assert (await client.runs.join(*runs["agent"]))["log"] == ["slow", "a", "did slow"]
        assert (await client.runs.join(*runs["own"]))["log"] == ["slow", "did slow"]
        assert await attempts(room, *runs["agent"]) == [1, 2]
        assert await attempts(room, *runs["own"]) == [1]


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_run_that_was_told_to_stop_ends_so_if_the_loop_dies_before_it_has(
    serve: Serve, strategy: str
) -> None:
    hold, deadly = StubbornHold(), Deadly(exits)
    graphs = {"agent": chain(a=says("a"), hold=hold.node), "deadly": chain(deadly=deadly.node)}
    async with serve(graphs, grace_period=60.0) as room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        new = await client.runs.create(
            thread_id, "agent", input=text("new"), multitask_strategy=strategy
        )
        values = await client.runs.wait(await new_thread(client), "deadly", input=text("x"))
        assert values["log"] == ["x", "alive 2"]
        values = await client.runs.join(thread_id, new["run_id"])
        if strategy == "rollback":
            assert values["log"] == ["new", "a", "did new"]
            with pytest.raises(NotFound):
                await client.runs.get(thread_id, first["run_id"])
        else:
            assert values["log"] == ["slow", "a", "new", "a", "did new"]
            assert await statuses(client, thread_id) == ["interrupted", "success"]


async def test_state_is_read_and_edited_on_a_new_loop(serve: Serve) -> None:
    deadly = Deadly(exits)
    async with serve(chain(deadly=deadly.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        assert await log_of(client, thread_id) == ["x", "alive 2"]
        await client.threads.update_state(thread_id, {"log": ["edited"]}, as_node="deadly")
        state = await client.threads.get_state(thread_id)
        assert state["values"]["log"] == ["x", "alive 2", "edited"]
        assert state["next"] == []
