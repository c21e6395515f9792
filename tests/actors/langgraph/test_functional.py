"""Entrypoints of LangGraph's."""

from __future__ import annotations

import asyncio
from typing import Any

from langgraph.func import entrypoint, task
from langgraph.types import interrupt

from ..conftest import Serve
from ..stage import new_thread, status


@task
async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


@entrypoint()
async def sums(number: int, *, previous: Any = None) -> Any:
    twice = await doubled(number)
    more = interrupt({"so far": twice})
    kept = twice + more + (previous or 0)
    return entrypoint.final(value={"sum": kept}, save=kept)


async def test_an_entrypoint_asks_is_answered_and_remembers(serve: Serve) -> None:
    async with serve(sums) as room:
        client = room.client
        thread_id = await new_thread(client)
        asked = await client.runs.wait(thread_id, "agent", input=5)
        assert asked["__interrupt__"][0]["value"] == {"so far": 10}
        assert await status(client, thread_id) == "interrupted"
        assert await client.runs.wait(thread_id, "agent", command={"resume": 1}) == {"sum": 11}
        await client.runs.wait(thread_id, "agent", input=6)
        assert await client.runs.wait(thread_id, "agent", command={"resume": 1}) == {"sum": 24}
        state = await client.threads.get_state(thread_id)
        assert (state["values"], state["next"]) == ({"sum": 24}, [])
        assert await status(client, thread_id) == "idle"
