"""Entrypoints of LangGraph's."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
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


@entrypoint()
async def counts(given: Any, *, previous: Any = None) -> Any:
    before = previous or {"turns": 0}
    return {"turns": before["turns"] + 1, "said": interrupt("what?")}


def joined(before: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    return {**before, **update}


def asks(state: dict[str, Any]) -> dict[str, Any]:
    return {"said": interrupt("what?")}


one_value: Any = StateGraph(Annotated[dict[str, Any], joined]).add_node("ask", asks)
one_value.add_edge(START, "ask")


@pytest.mark.parametrize("graph", [counts, one_value.compile()], ids=["entrypoint", "one value"])
async def test_a_state_that_is_one_dictionary_is_in_the_result_of_a_pause(
    serve: Serve, graph: Any
) -> None:
    async with serve(graph) as room:
        client = room.client
        thread_id = await new_thread(client)
        first = await client.runs.wait(thread_id, "agent", input={})
        assert first.keys() == {"__interrupt__"}
        done = await client.runs.wait(thread_id, "agent", command={"resume": "hello"})
        assert done["said"] == "hello"
        paused = await client.runs.wait(thread_id, "agent", input={})
        assert paused.pop("__interrupt__")[0]["value"] == "what?"
        assert paused == done
