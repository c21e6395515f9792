"""A thread that is flooded with messages and the turns that others have meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import uuid4

import attrs
import pytest
import trio

from greenroom.actors import Client, NotFound

from .conftest import Serve
from .stage import Hold, chain, new_thread, text

FLOOD = 500  # messages
OTHERS = 20
MOST = 12  # turns until a run is accepted; trio says in which order tasks have theirs


@attrs.define
class Turns:
    """Counts how often trio has come round to all that are ready."""

    count: int = 0

    async def counted(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.count += 1


async def cancel(client: Client, thread_id: str) -> None:
    with suppress(NotFound):  # there is nothing to wait for
        await client.runs.cancel(thread_id, str(uuid4()))


async def patch(client: Client, thread_id: str) -> None:
    await client.threads.update(thread_id, metadata={"n": 1})


async def send_run(client: Client, thread_id: str) -> None:
    await client.runs.create(thread_id, "agent", input=text("more"))


@pytest.mark.parametrize("message", [cancel, patch, send_run])
async def test_others_wait_for_one_message_of_a_flooded_thread_in_each_of_their_turns(
    serve_in_memory: Serve, message: Callable[[Client, str], Awaitable[None]]
) -> None:
    hold = Hold()
    async with serve_in_memory(chain(hold=hold.node)) as room, trio.open_nursery() as nursery:
        client, flooded = room.client, await new_thread(room.client)
        others = [await new_thread(client) for _ in range(OTHERS)]
        await client.runs.create(flooded, "agent", input=text("slow"))
        await hold.reached.wait()
        turns, handled = Turns(), 0

        async def flood() -> None:
            nonlocal handled
            await message(client, flooded)
            handled += 1

        for _ in range(FLOOD):
            nursery.start_soon(flood)
        nursery.start_soon(turns.counted)
        async with trio.open_nursery() as texts:
            for thread_id in others:
                texts.start_soon(send_run, client, thread_id)
        assert handled <= turns.count <= MOST
        assert room.census().messages >= FLOOD - MOST
        nursery.cancel_scope.cancel()
        hold.open()
