"""`steer`, `merge` and `debounce` with graphs of LangGraph's; the rest is in the table."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.func import entrypoint

from greenroom.actors import Invalid

from .. import stage as own
from ..conftest import Serve
from ..stage import log_of, new_thread, status, statuses, text
from .stage import AsyncioHold, StubbornHold, chain

KEY = "multitask_strategy"
REFUSED = r"^multitask_strategy: 'steer' is not possible with graph 'agent'"


@pytest.mark.parametrize("where", ["run", "thread", "assistant"])
async def test_steer_is_refused_and_changes_nothing(serve: Serve, where: str) -> None:
    hold = AsyncioHold()
    async with serve(chain(hold=hold.node)) as room:
        client, how = room.client, {KEY: "steer"}
        thread_id = await new_thread(client, metadata=how if where == "thread" else {})
        agent = await client.assistants.create(
            "agent", metadata=how if where == "assistant" else {}
        )
        first = await client.runs.create(
            thread_id, agent["assistant_id"], input=text("slow"), multitask_strategy="enqueue"
        )
        await hold.reached.wait()
        for call in (client.runs.create, client.runs.wait, client.runs.start):
            with pytest.raises(Invalid, match=REFUSED):
                await call(
                    thread_id,
                    agent["assistant_id"],
                    input=text("two"),
                    **(how if where == "run" else {}),
                )
        hold.open()
        await client.runs.join(thread_id, first["run_id"])
        assert await log_of(client, thread_id) == ["slow", "did slow"]
        assert await statuses(client, thread_id) == ["success"]
        assert await status(client, thread_id) == "idle"


async def test_steer_makes_no_thread_and_no_cron(serve: Serve) -> None:
    request = {"input": text("one"), KEY: "steer"}
    async with serve(chain(hold=AsyncioHold().node)) as room:
        client = room.client
        with pytest.raises(Invalid, match=REFUSED):
            await client.runs.create(
                "6f7f2f3c-0000-4000-8000-000000000001", "agent", if_not_exists="create", **request
            )
        with pytest.raises(Invalid, match=REFUSED):
            await client.crons.create("agent", schedule="* * * * *", **request)
        assert await client.threads.count() == 0
        assert await client.crons.count() == 0


async def test_a_graph_of_this_engine_beside_it_is_steered(serve: Serve) -> None:
    hold = own.Hold()
    graphs = {"agent": chain(hold=AsyncioHold().node), "own": own.chain(a=hold.node, b=hold.node)}
    async with serve(graphs) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "own", input=text("slow"))
        await hold.reached.wait()
        steers = await client.runs.create(
            thread_id, "own", input=text("two"), multitask_strategy="steer"
        )
        hold.open()
        values = await client.runs.join(thread_id, steers["run_id"])
        assert values["log"] == ["slow", "did slow", "two", "did two"]


@pytest.mark.parametrize("how", [{KEY: "merge"}, {KEY: "debounce", "after_seconds": 0.01}])
async def test_runs_that_wait_together_get_one_answer(serve: Serve, how: dict[str, Any]) -> None:
    hold = AsyncioHold()
    async with serve(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        runs = [
            await client.runs.create(thread_id, "agent", input=text(word), **how)
            for word in ("one", "two", "three")
        ]
        hold.open()
        for run in runs:
            values = await client.runs.join(thread_id, run["run_id"])
            assert values["log"] == ["slow", "did slow", "one", "two", "three", "did three"]
        assert await statuses(client, thread_id) == ["success"] * 4
        hosts = [
            (await client.runs.get(thread_id, run["run_id"]))["metadata"].get("answered_by_run_id")
            for run in runs
        ]
        assert hosts == [runs[2]["run_id"], runs[2]["run_id"], None]


async def test_a_run_whose_input_the_state_cannot_take_is_left_out_of_a_merge(
    serve: Serve,
) -> None:
    hold = AsyncioHold()
    async with serve(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        one, bad, three = [
            await client.runs.create(thread_id, "agent", input=given, multitask_strategy="merge")
            for given in (text("one"), {"log": 3}, text("three"))
        ]
        hold.open()
        await client.runs.join(thread_id, three["run_id"])
        assert await statuses(client, thread_id) == ["success", "success", "error", "success"]
        log = await log_of(client, thread_id)
        assert log == ["slow", "did slow", "one", "did one", "three", "did three"]
        assert "answered_by_run_id" not in one["metadata"] | bad["metadata"]


async def test_runs_of_entrypoints_are_not_merged(serve: Serve) -> None:
    hold, seen = AsyncioHold(), list[Any]()

    @entrypoint()
    async def function(given: str) -> str:
        seen.append(given)
        await hold.node({"text": given})
        return given

    async with serve(function) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in ("slow", "one", "two"):
            run = await client.runs.create(
                thread_id, "agent", input=word, multitask_strategy="merge"
            )
        await hold.reached.wait()
        hold.open()
        assert await client.runs.join(thread_id, run["run_id"]) == "two"
        assert seen == ["slow", "one", "two"]


@pytest.mark.parametrize(
    ("streams", "kept"),
    [
        ({}, True),
        ({"stream_mode": ["updates", "tasks", "checkpoints"]}, True),
        ({"stream_mode": "messages"}, False),
        ({"stream_mode": "messages-tuple"}, False),
        ({"stream_mode": "custom"}, False),
        ({"stream_subgraphs": True}, False),
    ],
    ids=repr,
)
async def test_what_a_node_comes_to_that_was_told_to_stop_is_lost_where_nodes_are_streamed_at_work(
    serve: Serve, streams: dict[str, Any], kept: bool
) -> None:
    hold = StubbornHold()
    async with serve(chain(hold=hold.node, end=own.says("end"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.start(thread_id, "agent", input=text("slow"), **streams)
        await hold.reached.wait()
        new = await client.runs.start(
            thread_id, "agent", input=text("new"), multitask_strategy="interrupt"
        )
        await hold.told.wait()
        hold.open()

        assert (await new.result())["log"] == [
            "slow",
            *(["did slow"] if kept else []),
            "new",
            "did new",
            "end",
        ]
