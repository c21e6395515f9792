"""Context variables of those who send runs: their own, and nobody else's."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import trio

from .conftest import Serve
from .stage import chain, new_thread, says, text

tenant: ContextVar[Any] = ContextVar("tenant", default="nobody")


class Tenant:
    """Something that a sender has in its context."""


async def test_runs_see_the_variables_of_the_program_and_not_of_who_sent_one(serve: Serve) -> None:
    seen: list[Any] = []

    async def look(state: Any) -> None:
        seen.append(tenant.get())

    tenant.set("the program")
    async with serve(chain(look=look)) as room:
        thread = await new_thread(room.client)

        async def send(name: str) -> None:
            tenant.set(name)
            await room.client.runs.wait(thread, "agent", input=text("x"))
            await room.client.runs.wait(None, "agent", input=text("x"))

        for name in ("one", "another"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send, name)

    assert seen == ["the program"] * 4


async def test_what_a_sender_has_in_its_context_goes_with_it(
    serve: Serve, let_go: Callable[[object], trio.Event]
) -> None:
    gone: trio.Event

    async def send() -> None:
        nonlocal gone
        mine = Tenant()
        gone = let_go(mine)
        tenant.set(mine)
        thread = await new_thread(room.client)
        await room.client.runs.wait(thread, "agent", input=text("x"))
        await room.client.threads.get_history(thread)

    async with serve(chain(look=says("x"))) as room:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
        gc.collect()
        with trio.move_on_after(5):
            await gone.wait()

        assert gone.is_set()
