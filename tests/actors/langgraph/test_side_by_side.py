"""Graphs of both kinds in one room: neither waits for the other."""

from __future__ import annotations

import operator
import threading
from typing import Annotated, Any, TypedDict

import trio
from langgraph.graph import START, StateGraph

from greenroom.actors import Greenroom
from greenroom.graph import StateGraph as OurGraph


class State(TypedDict, total=False):
    text: str


class Log(TypedDict):
    log: Annotated[list[str], operator.add]


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


async def test_a_thread_goes_on_with_a_graph_of_the_other_kind() -> None:
    async def add(state: Log) -> Log:
        return {"log": ["added"]}

    graphs = {
        "ours": OurGraph(Log).add_node("add", add).add_edge("__start__", "add").compile(),
        "theirs": StateGraph(Log).add_node("add", add).add_edge(START, "add").compile(),
    }
    async with Greenroom(graphs) as room:
        threads, runs = room.client.threads, room.client.runs
        for first, second in (("ours", "theirs"), ("theirs", "ours")):
            thread_id = (await threads.create())["thread_id"]
            for graph in (first, second):
                await runs.wait(thread_id, graph, input={"log": [graph]})
            state = await threads.get_state(thread_id)
            assert state["values"]["log"] == [first, "added", second, "added"]
            assert state["next"] == []
            history = await threads.get_history(thread_id)
            assert len(history) == 6
