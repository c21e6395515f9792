"""An async node of LangGraph's that blocks its loop."""

from __future__ import annotations

import logging
import threading

import pytest
import trio
import trio.testing

from greenroom.graph.here import tell_trio

from ..conftest import Serve
from ..stage import State, new_thread, text
from .stage import chain


async def test_a_node_that_blocks_its_loop_is_named(
    serve_in_memory: Serve, caplog: pytest.LogCaptureFixture, mock_clock: trio.testing.MockClock
) -> None:
    blocks, gate = trio.Event(), threading.Event()

    async def slow(state: State) -> State:
        tell_trio(blocks.set)
        gate.wait()
        return {"log": ["slow"]}

    async with serve_in_memory(chain(slow=slow)) as room:
        thread_id = await new_thread(room.client)
        run = await room.client.runs.create(thread_id, "agent", input=text("x"))
        await blocks.wait()
        while not caplog.records:
            mock_clock.jump(1)
            await trio.testing.wait_all_tasks_blocked()
        gate.set()
        await room.client.runs.join(thread_id, run["run_id"])
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "node 'slow' has blocked the asyncio loop" in record.getMessage()
