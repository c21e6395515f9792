"""Blocking calls of an asyncio loop beside trio's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from functools import partial

import pytest
import trio

from greenroom.graph.asyncio_executor import PLACES
from greenroom.graph.asyncio_thread import asyncio_thread
from greenroom.graph.here import to_trio

LEAVES_ONE_BEHIND = """
import asyncio, threading, trio
from greenroom.graph.asyncio_thread import asyncio_thread
from greenroom.graph.here import tell_trio

async def main():
    blocks = trio.Event()

    def block():
        tell_trio(blocks.set)
        threading.Event().wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(asyncio_thread().run, asyncio.to_thread, block)
        await blocks.wait()
        nursery.cancel_scope.cancel()

trio.run(main)
print("over")
"""


async def test_calls_that_are_cancelled_give_their_places_back() -> None:
    gate, begun = threading.Event(), threading.Semaphore(0)

    def block() -> None:
        begun.release()
        gate.wait()

    async def work() -> str:
        blocked = [asyncio.ensure_future(asyncio.to_thread(block)) for _ in range(PLACES)]
        waiting = asyncio.ensure_future(asyncio.to_thread(str, "waited"))
        await asyncio.sleep(0)  # they are handed to the executor
        for _ in blocked:
            await to_trio(trio.to_thread.run_sync, begun.acquire)
        assert not waiting.done()
        for one in blocked:
            one.cancel()
        return await waiting

    try:
        assert await asyncio_thread().run(work) == "waited"
    finally:
        gate.set()


async def test_a_call_that_has_not_begun_never_does_once_it_is_cancelled() -> None:
    gate, called = threading.Event(), []

    async def work() -> None:
        blocked = [asyncio.ensure_future(asyncio.to_thread(gate.wait)) for _ in range(PLACES)]
        late = asyncio.ensure_future(asyncio.to_thread(called.append, "late"))
        await asyncio.sleep(0)
        late.cancel()
        await asyncio.wait([late])
        gate.set()
        await asyncio.gather(*blocked)
        assert await asyncio.to_thread(partial(str, "next")) == "next"

    await asyncio_thread().run(work)
    assert called == []


async def test_the_error_of_a_call_comes_back_as_it_is() -> None:
    with pytest.raises(ValueError, match="'x'"):
        await asyncio_thread().run(asyncio.to_thread, int, "x")


def test_a_program_does_not_wait_for_what_was_left_behind() -> None:
    command = [sys.executable, "-c", LEAVES_ONE_BEHIND]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("over\n", "")
