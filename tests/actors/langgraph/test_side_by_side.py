"""Graphs of both kinds in one room: neither waits for the other."""

from __future__ import annotations

import threading
from typing import Any, TypedDict

import trio
from langgraph.graph import START, StateGraph

from greenroom.actors import Greenroom
from greenroom.graph import StateGraph as OurGraph


class State(TypedDict, total=False):
    text: str


async def test_a_node_that_blocks_the_asyncio_loop_holds_no_run_of_the_other_kind() -> None:
    blocked, go_on = trio.Event(), threading.Event()
    token = trio.lowlevel.current_trio_token()

    async def block(state: State) -> State:
        token.run_sync_soon(blocked.set)
        assert go_on.wait(60)
        return {"text": "at last"}

    async def shout(state: State) -> State:
        await trio.lowlevel.checkpoint()
        return {"text": state["text"].upper()}

    graphs: dict[str, Any] = {
        "theirs": StateGraph(State).add_node(block).add_edge(START, "block").compile(),
        "ours": OurGraph(State).add_node(shout).add_edge(START, "shout").compile(),
    }
    async with Greenroom(graphs) as room:
        runs, threads = room.client.runs, room.client.threads
        theirs, ours = [(await threads.create())["thread_id"] for _ in graphs]
        run = await runs.create(theirs, "theirs", input={"text": "hey"})
        try:
            await blocked.wait()
            assert await runs.wait(ours, "ours", input={"text": "hey"}) == {"text": "HEY"}
            assert (await threads.get_state(ours))["values"] == {"text": "HEY"}
            assert (await threads.get(theirs))["status"] == "busy"
        finally:
            go_on.set()
        assert await runs.join(theirs, run["run_id"]) == {"text": "at last"}
