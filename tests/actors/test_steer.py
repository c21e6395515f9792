"""Strategy `steer`: the run under way takes more input in between two of its super-steps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Client, Conflict, Greenroom, Invalid, NotFound, RunFailed, TooMany
from greenroom.graph import START, CompiledStateGraph, Send, StateGraph, entrypoint, interrupt
from greenroom.storage import PutThread, SqliteStorage
from greenroom.storage.testing import FaultyStorage

from .conftest import Serve
from .stage import (
    Hold,
    Shielded,
    State,
    chain,
    fails,
    is_a,
    new_thread,
    says,
    status,
    statuses,
    text,
)

HOST = "answered_by_run_id"
INTERRUPT = {"multitask_strategy": "interrupt"}


async def repeats(state: State) -> State:
    return {"log": [f"next {state['text']}"]}


async def send(client: Client, thread_id: str, word: str, **how: Any) -> str:
    how = {"multitask_strategy": "steer", **how}
    run = await client.runs.create(thread_id, "agent", input=text(word), **how)
    run_id: str = run["run_id"]
    return run_id


async def host_of(client: Client, thread_id: str, run_id: str) -> str | None:
    host: str | None = (await client.runs.get(thread_id, run_id))["metadata"].get(HOST)
    return host


@attrs.define(eq=False)
class Stage:
    """A graph of three nodes, the first and the last of which can be held; the one between says
    what the newest text is."""

    first: Hold = attrs.field(factory=Hold)
    last: Hold = attrs.field(factory=lambda: Hold(texts=("more", "slow")))

    @property
    def graph(self) -> CompiledStateGraph:
        return chain(first=self.first.node, between=repeats, last=self.last.node)

    async def begin(self, client: Client, **how: Any) -> tuple[str, str]:
        """A thread, and a run that is held in its first node."""
        thread_id = await new_thread(client)
        host = await send(client, thread_id, "slow", **how)
        await self.first.reached.wait()
        return thread_id, host

    async def take_in(self, client: Client, **how: Any) -> tuple[str, str, str]:
        """As well, and another that it has taken in; it is held in its last node."""
        thread_id, host = await self.begin(client, **how)
        steers = await send(client, thread_id, "more", **how)
        self.first.open()
        await self.last.reached.wait()
        return thread_id, host, steers


@pytest.fixture
def stage() -> Stage:
    return Stage()


TAKEN_IN = ["slow", "did slow", "more", "next more"]


async def test_the_run_under_way_takes_the_input_in_and_its_next_node_sees_it(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        steers = await send(client, thread_id, "more")
        assert await statuses(client, thread_id) == ["running", "pending"]
        stage.first.open()
        stage.last.open()

        for run_id in (host, steers):  # both are told the same
            values = await client.runs.join(thread_id, run_id)
            assert values["log"] == [*TAKEN_IN, "did more"]
        assert await statuses(client, thread_id) == ["success", "success"]
        assert await host_of(client, thread_id, steers) == host
        assert await host_of(client, thread_id, host) is None
        assert await status(client, thread_id) == "idle"
        history = await client.threads.get_history(thread_id, limit=100)
        [taken] = [one for one in history if one["metadata"]["run_id"] == steers]
        assert taken["metadata"]["source"] == "update"
        assert taken["next"] == ["between"]  # what was planned stays, and START is not passed again


async def test_what_was_taken_in_is_pending_until_its_host_ends(serve: Serve, stage: Stage) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host, steers = await stage.take_in(client, durability="sync")
        assert await statuses(client, thread_id) == ["running", "pending"]
        assert await host_of(client, thread_id, steers) == host
        stage.last.open()
        await client.runs.join(thread_id, steers)
        assert await statuses(client, thread_id) == ["success", "success"]


async def test_several_are_taken_in_at_one_boundary_in_order_of_arrival(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        runs = [await send(client, thread_id, word) for word in ("a", "b", "c")]
        stage.first.open()
        values = await client.runs.join(thread_id, host)
        assert values["log"] == ["slow", "did slow", "a", "b", "c", "next c", "did c"]
        assert [await host_of(client, thread_id, run_id) for run_id in runs] == [host] * 3


async def test_a_boundary_with_nothing_left_to_do_is_the_end_and_the_new_run_starts_normally(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        stage.first.open()
        await send(client, thread_id, "slow")
        await stage.last.reached.wait()
        steers = await send(client, thread_id, "two")
        stage.last.open()
        values = await client.runs.join(thread_id, steers)
        assert values["log"][4:] == ["two", "did two", "next two", "did two"]
        assert await host_of(client, thread_id, steers) is None


async def test_on_an_idle_thread_it_starts_as_any_run(serve: Serve, stage: Stage) -> None:
    async with serve(stage.graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(
            thread_id, "agent", input=text("one"), multitask_strategy="steer"
        )
        assert values["log"] == ["one", "did one", "next one", "did one"]


async def test_it_overtakes_what_waits_its_turn(serve: Serve, stage: Stage) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, _ = await stage.begin(client)
        queued = await send(client, thread_id, "queued", multitask_strategy="enqueue")
        await send(client, thread_id, "b")
        stage.first.open()
        values = await client.runs.join(thread_id, queued)
        assert values["log"][:5] == ["slow", "did slow", "b", "next b", "did b"]
        assert values["log"][5:] == ["queued", "did queued", "next queued", "did queued"]


@pytest.mark.parametrize(
    "how",
    [
        {"config": {"tags": ["other"]}},
        {"context": {"user": "other"}},
        {"interrupt_after": ["nowhere"]},
        {"command": {"update": text("two")}},
        {"after_seconds": 1000},
    ],
    ids=lambda how: next(iter(how)),
)
async def test_what_cannot_become_part_of_the_run_waits_its_turn(
    serve: Serve, stage: Stage, how: dict[str, Any]
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        steers = await send(client, thread_id, "two", **how)
        first = await client.runs.attach(thread_id, host)
        stage.first.open()
        stage.last.open()
        values = await first.result()
        assert values["log"] == ["slow", "did slow", "next slow", "did slow"]
        assert await host_of(client, thread_id, steers) is None


async def test_a_delayed_one_steers_once_it_is_due(
    serve_in_memory: Serve, stage: Stage, mock_clock: MockClock
) -> None:
    async with serve_in_memory(stage.graph) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        steers = await send(client, thread_id, "two", after_seconds=10)
        mock_clock.jump(11)
        stage.first.open()
        await client.runs.join(thread_id, host)
        assert await host_of(client, thread_id, steers) == host


async def test_functions_have_no_super_steps_and_cannot_be_steered(serve: Serve) -> None:
    @entrypoint()
    async def function(given: Any) -> Any:
        return given

    async with serve(function) as room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(Invalid, match=r"multitask_strategy: 'steer'.*graph 'agent'"):
            await client.runs.wait(thread_id, "agent", input="one", multitask_strategy="steer")
        assert await client.runs.list(thread_id) == []


async def test_a_run_that_pauses_is_over_and_the_new_one_starts_normally(
    serve: Serve, stage: Stage
) -> None:
    async def ask(state: State) -> State:
        await stage.first.node(state)
        return {"log": [interrupt("sure?")]}

    async with serve(chain(ask=ask, end=says("end"))) as room:
        client = room.client
        thread_id, _ = await stage.begin(client)
        steers = await send(client, thread_id, "two")
        stage.first.open()
        values = await client.runs.join(thread_id, steers)
        assert values["log"] == ["slow", "two"]
        assert len(values["__interrupt__"]) == 1
        assert await statuses(client, thread_id) == ["success", "success"]
        assert await host_of(client, thread_id, steers) is None


async def test_a_run_that_stops_at_a_breakpoint_takes_nothing_in_there(
    serve: Serve, stage: Stage
) -> None:
    how: dict[str, Any] = {"interrupt_before": ["between"]}
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, _ = await stage.begin(client, **how)
        steers = await send(client, thread_id, "two", **how)
        stage.first.open()
        values = await client.runs.join(thread_id, steers)
        assert values["log"] == ["slow", "did slow", "two", "did two"]
        assert await host_of(client, thread_id, steers) is None


async def test_tasks_side_by_side_that_are_planned_stay_and_run_once(
    serve: Serve, stage: Stage
) -> None:
    async def work(number: int) -> State:
        return {"log": [f"work {number}"]}

    builder = StateGraph(State).add_node("first", stage.first.node).add_node("work", work)
    builder.add_node("sum", repeats).add_edge(START, "first").add_edge("work", "sum")
    builder.add_conditional_edges("first", lambda state: [Send("work", n) for n in range(3)])
    async with serve(builder.compile()) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        await send(client, thread_id, "more")
        stage.first.open()
        values = await client.runs.join(thread_id, host)
        work_done = ["work 0", "work 1", "work 2"]
        assert values["log"] == ["slow", "did slow", "more", *work_done, "next more"]


async def test_a_graph_inside_is_not_steered_at_its_own_boundaries(
    serve: Serve, stage: Stage
) -> None:
    inner = chain(first=stage.first.node, inside=repeats)

    async def call(state: State) -> State:
        values = await inner.ainvoke({"text": state["text"], "log": []})
        return {"log": values["log"]}

    async with serve(chain(inner=call, after=repeats)) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        steers = await send(client, thread_id, "more")
        stage.first.open()
        values = await client.runs.join(thread_id, host)
        assert values["log"] == ["slow", "did slow", "next slow", "more", "next more"]
        assert await host_of(client, thread_id, steers) == host


async def test_each_streams_from_when_it_is_part_of_the_run_in_the_mode_it_asked_for(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id = await new_thread(client)
        handles = []
        for word, mode in (("slow", "values"), ("more", "updates")):
            handles.append(
                await client.runs.start(
                    thread_id,
                    "agent",
                    input=text(word),
                    multitask_strategy="steer",
                    stream_mode=mode,
                )
            )
            await stage.first.reached.wait()
        stage.first.open()
        stage.last.open()
        values, updates = [[part async for part in one.parts()] for one in handles]
        host, steers = [one.run_id for one in handles]

        seen = [part.data["log"] for part in values if part.event == "values"]
        assert seen[1:4] == [["slow", "did slow"], ["slow", "did slow", "more"], TAKEN_IN]
        assert updates[0].data == {"run_id": steers, "attempt": 1, HOST: host}
        assert [part.data for part in updates[1:]] == [
            {"between": {"log": ["next more"]}},
            {"last": {"log": ["did more"]}},
        ]


async def test_an_input_that_the_state_cannot_take_harms_its_own_run_only(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        bad = await client.runs.create(
            thread_id, "agent", input={"log": 3, "text": "bad"}, multitask_strategy="steer"
        )
        await send(client, thread_id, "b")
        stage.first.open()
        values = await client.runs.join(thread_id, host)
        assert values["log"] == ["slow", "did slow", "b", "next b", "did b"]
        with pytest.raises(RunFailed, match="TypeError"):
            await client.runs.join(thread_id, bad["run_id"])
        assert await statuses(client, thread_id) == ["success", "error", "success"]


# However its host ends.


async def test_the_failure_of_its_host_is_its_own(serve: Serve, stage: Stage) -> None:
    async with serve(chain(first=stage.first.node, end=fails)) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        steers = await send(client, thread_id, "more")
        stage.first.open()
        for run_id in (host, steers):
            with pytest.raises(RunFailed, match="no such colour"):
                await client.runs.join(thread_id, run_id)
        assert await statuses(client, thread_id) == ["error", "error"]


@pytest.mark.parametrize("which", ["host", "steers"])
async def test_whichever_is_cancelled_both_stop_and_the_text_stays(
    serve: Serve, stage: Stage, which: str
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host, steers = await stage.take_in(client)
        await client.runs.cancel(thread_id, host if which == "host" else steers, wait=True)
        assert await statuses(client, thread_id) == ["interrupted", "interrupted"]
        assert (await client.runs.join(thread_id, steers))["log"] == TAKEN_IN


async def test_one_that_was_not_taken_in_yet_is_cancelled_by_itself(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        steers = await send(client, thread_id, "more")
        await client.runs.cancel(thread_id, steers, wait=True)
        stage.first.open()
        stage.last.open()
        values = await client.runs.join(thread_id, host)
        assert values["log"] == ["slow", "did slow", "next slow", "did slow"]
        assert await statuses(client, thread_id) == ["success", "interrupted"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_it_starts_normally_if_its_host_is_rolled_back_first(
    serve: Serve, stage: Stage, durability: str
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host, steers = await stage.take_in(client, durability=durability)
        with pytest.raises(Conflict, match=f"{steers}.* is answered by run .*{host}"):
            await client.runs.cancel(thread_id, steers, action="rollback")
        await client.runs.cancel(thread_id, host, action="rollback", wait=True)
        stage.last.open()
        values = await client.runs.join(thread_id, steers)
        assert values["log"] == ["more", "did more", "next more", "did more"]
        assert await statuses(client, thread_id) == ["success"]
        assert await host_of(client, thread_id, steers) is None


async def test_the_events_of_one_whose_host_is_rolled_back_are_kept_once(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        how = {"stream_mode": "updates", "stream_resumable": True}
        thread_id, host, steers = await stage.take_in(client, durability="sync", **how)
        handle = await client.runs.attach(thread_id, steers)
        await client.runs.cancel(thread_id, host, action="rollback", wait=True)
        stage.last.open()
        seen = [part async for part in handle.parts(after=0)]
        names = ["metadata", "updates", "metadata", "updates", "updates", "updates"]
        assert [part.event for part in seen] == names
        assert [part.data.get(HOST) for part in seen if part.event == "metadata"] == [host, None]
        kept = client.runs.join_stream(thread_id, steers, last_event_id=0)
        assert [part.id async for part in kept] == [part.id for part in seen]


async def test_all_events_are_kept_of_one_that_never_starts_after_its_host_is_rolled_back(
    serve: Serve,
) -> None:
    stage = Stage(last=Hold(texts=("more", "slow", "other")))
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host = await stage.begin(client)
        await send(client, thread_id, "other", multitask_strategy="enqueue")
        how = {"stream_mode": "custom", "stream_resumable": True}
        steers = await send(client, thread_id, "more", **how)
        handle = await client.runs.attach(thread_id, steers)
        stage.first.open()
        await stage.last.reached.wait()
        await client.runs.cancel(thread_id, host, action="rollback", wait=True)
        new = await send(client, thread_id, "new", **INTERRUPT)
        await client.runs.join(thread_id, new)
        assert await statuses(client, thread_id) == ["interrupted", "interrupted", "success"]
        seen = [part.id async for part in handle.parts(after=0)]
        assert len(seen) == 1
        kept = client.runs.join_stream(thread_id, steers, last_event_id=0)
        assert [part.id async for part in kept] == seen


async def test_a_rollback_removes_both(serve: Serve, stage: Stage) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, *runs = await stage.take_in(client)
        values = await client.runs.wait(
            thread_id, "agent", input=text("new"), multitask_strategy="rollback"
        )
        assert values["log"] == ["new", "did new", "next new", "did new"]
        for run_id in runs:
            with pytest.raises(NotFound):
                await client.runs.get(thread_id, run_id)


@pytest.mark.parametrize("taken_in", [True, False])
async def test_an_interrupt_stops_both_and_the_text_stays(
    serve: Serve, stage: Stage, taken_in: bool
) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        if taken_in:
            thread_id, *_ = await stage.take_in(client)
        else:
            thread_id, _ = await stage.begin(client)
            await send(client, thread_id, "more")
        values = await client.runs.wait(
            thread_id, "agent", input=text("new"), multitask_strategy="interrupt"
        )
        before = TAKEN_IN if taken_in else ["slow", "more"]
        assert values["log"] == [*before, "new", "did new", "next new", "did new"]
        assert await statuses(client, thread_id) == ["interrupted", "interrupted", "success"]


@pytest.mark.parametrize(
    ("durability", "log", "ends"),
    [
        ("async", TAKEN_IN, ["interrupted", "interrupted"]),
        # Nothing of the run was recorded, so that its own input is all that there is of it.
        ("exit", ["slow", "more", "did more", "next more", "did more"], ["interrupted", "success"]),
    ],
)
async def test_nothing_is_lost_with_a_host_that_is_given_up_on(
    serve_in_memory: Serve,
    mock_clock: MockClock,
    durability: str,
    log: Sequence[str],
    ends: Sequence[str],
) -> None:
    stage = Stage(last=Shielded(texts=("more",)))
    async with serve_in_memory(stage.graph) as room:
        client = room.client
        thread_id, host, steers = await stage.take_in(client, durability=durability)
        await client.runs.cancel(thread_id, host)
        await wait_all_tasks_blocked()
        mock_clock.jump(6)
        await wait_all_tasks_blocked()
        stage.last.open()
        assert (await client.runs.join(thread_id, steers))["log"] == log
        assert await statuses(client, thread_id) == ends


async def test_a_run_that_is_about_to_be_stopped_takes_nothing_more_in(
    tmp_path: Path, stage: Stage
) -> None:
    storage = FaultyStorage(SqliteStorage(tmp_path / "agents.db"))
    async with Greenroom({"agent": stage.graph}, storage=storage) as room:
        client = room.client
        thread_id, _ = await stage.begin(client, durability="exit")
        steers = await send(client, thread_id, "more", durability="exit")
        async with trio.open_nursery() as nursery:
            gate = storage.hold("before", is_a(PutThread))
            nursery.start_soon(partial(send, client, thread_id, "new", **INTERRUPT))
            await gate.reached()
            stage.first.open()  # it passes a boundary while the order to stop is being stored
            await stage.last.reached.wait()
            gate.open()
        log = (await client.runs.join(thread_id, steers))["log"]
        assert log.count("more") == 1
        assert await host_of(client, thread_id, steers) is None
        new, *_ = await client.runs.list(thread_id)
        log = (await client.runs.join(thread_id, new["run_id"]))["log"]
        before = ["slow", "did slow", "next slow", "more"]
        assert log == [*before, "new", "did new", "next new", "did new"]


async def test_what_steers_goes_on_counting_as_waiting(serve: Serve, stage: Stage) -> None:
    async with serve(stage.graph, max_queued_runs=1) as room:
        client = room.client
        thread_id, *_ = await stage.take_in(client)
        with pytest.raises(TooMany, match="1 runs waiting"):
            await send(client, thread_id, "too many")
        stage.last.open()


async def test_one_that_is_deleted_leaves_its_text(serve: Serve, stage: Stage) -> None:
    async with serve(stage.graph) as room:
        client = room.client
        thread_id, host, steers = await stage.take_in(client)
        await client.runs.delete(thread_id, steers)
        stage.last.open()
        assert (await client.runs.join(thread_id, host))["log"] == [*TAKEN_IN, "did more"]
        assert await statuses(client, thread_id) == ["success"]


async def test_one_that_is_deleted_as_its_host_ends_does_not_come_back(
    tmp_path: Path, stage: Stage
) -> None:
    storage = FaultyStorage(SqliteStorage(tmp_path / "agents.db"))
    async with Greenroom({"agent": stage.graph}, storage=storage) as room:
        client = room.client
        thread_id, host, steers = await stage.take_in(client, durability="exit")
        async with trio.open_nursery() as nursery:
            gate = storage.hold("before", is_a(PutThread))
            nursery.start_soon(partial(client.threads.update, thread_id, metadata={"busy": True}))
            await gate.reached()
            nursery.start_soon(client.runs.delete, thread_id, steers)
            await wait_all_tasks_blocked()
            stage.last.open()  # what it has taken in is recorded, and is not stored yet
            await wait_all_tasks_blocked()
            gate.open()
        assert (await client.runs.join(thread_id, host))["log"] == [*TAKEN_IN, "did more"]
        assert await statuses(client, thread_id) == ["success"]


# After the process has ended.


async def test_a_run_that_is_carried_on_takes_more_in_after_its_first_super_step(
    serve: Serve, stage: Stage
) -> None:
    async with serve(stage.graph) as room:
        thread_id, _ = await stage.begin(room.client)
        steers = await send(room.client, thread_id, "more")

    again = Stage()
    again.first.open()
    again.last.open()
    async with serve(again.graph) as room:
        values = await room.client.runs.join(thread_id, steers)
        assert values["log"] == [*TAKEN_IN, "did more"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_what_was_taken_in_is_there_once_in_the_next_process(
    serve: Serve, stage: Stage, durability: str
) -> None:
    async with serve(stage.graph) as room:
        thread_id, host, steers = await stage.take_in(room.client, durability=durability)

    again = Stage()
    again.last.open()
    async with serve(again.graph) as room:
        client = room.client
        values = await client.runs.join(thread_id, steers)
        assert values["log"] == [*TAKEN_IN, "did more"]
        assert await statuses(client, thread_id) == ["success", "success"]
        assert await host_of(client, thread_id, steers) == host
