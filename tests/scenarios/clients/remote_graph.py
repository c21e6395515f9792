"""A served graph as LangGraph sees it: alone, and as a node of another graph that runs here."""

import asyncio
import json
import operator
import sys
from typing import Annotated, TypedDict
from uuid import uuid4

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.pregel.remote import RemoteException, RemoteGraph
from langgraph.types import Command

OSLO = {"city": "Oslo", "notes": []}


class Trip(TypedDict, total=False):
    city: str
    hotel: str
    notes: Annotated[list[str], operator.add]


def pack(state):
    return {"notes": ["packed"]}


def around(remote, schema=Trip):
    builder = StateGraph(schema).add_node("remote", remote).add_edge(START, "remote")
    if schema is Trip:
        builder.add_node("pack", pack).add_edge("remote", "pack")
    return builder.compile(checkpointer=InMemorySaver())


def thread():
    return {"configurable": {"thread_id": str(uuid4())}}


def drawn(graph):
    return sorted([edge.source, edge.target] for edge in graph.edges)


async def alone(remote):
    here = thread()
    paused = await remote.ainvoke(OSLO, here)
    state = await remote.aget_state(here, subgraphs=True)
    final = await remote.ainvoke(Command(resume="yes"), here)
    history = [snapshot async for snapshot in remote.aget_state_history(here)]
    older = [s async for s in remote.aget_state_history(here, before=history[1].config)]
    edited = await remote.aupdate_state(here, {"notes": ["edited"]}, as_node="approve")
    fork = await remote.aupdate_state(history[1].config, {"hotel": "the Ritz"}, as_node="search")
    forked = await remote.aget_state(fork)
    again = await remote.ainvoke(None, here)
    return {
        "asked": [interrupt["value"] for interrupt in paused["__interrupt__"]],
        "waits": [list(state.next), [interrupt.value for interrupt in state.interrupts]],
        "final": final["notes"],
        "history": [[s.metadata["step"], list(s.next)] for s in history],
        "older": [s.metadata["step"] for s in older],
        "past": (await remote.aget_state(history[1].config)).values["notes"],
        "edited": (await remote.aget_state(edited)).values["notes"],
        "forked": [forked.values["hotel"], list(forked.next)],
        "again": again["__interrupt__"][0]["value"],
    }


async def as_a_node(remote):
    graph, here = around(remote), thread()

    async def parts(given):
        return [
            [[name.split(":")[0] for name in ns], data]
            async for ns, data in graph.astream(given, here, stream_mode="updates", subgraphs=True)
            if "__interrupt__" not in data
        ]

    until_asked = await parts(OSLO)
    waits = await graph.aget_state(here)
    [question] = waits.interrupts
    resumed = await parts(Command(resume={question.id: "yes"}))
    return {
        "until_asked": until_asked,
        "waits": [list(waits.next), question.value],
        "resumed": resumed,
        "final": (await graph.aget_state(here)).values["notes"],
        "there": (await remote.aget_state(here)).values["notes"],
    }


async def tokens(remote):
    graph = around(remote, MessagesState)
    said = {"messages": [{"role": "user", "content": "one two"}]}
    messages = graph.astream(said, thread(), stream_mode="messages", subgraphs=True)
    return [message["content"] async for _, (message, _) in messages if isinstance(message, dict)]


async def main(url):
    remote = RemoteGraph("trips", url=url, name="trips")
    try:
        await remote.ainvoke({"notes": []})
    except RemoteException as error:
        failed = error.args[0]["error"]
    report = {
        "alone": await alone(remote),
        "node": await as_a_node(remote),
        "tokens": await tokens(RemoteGraph("talks", url=url)),
        "failed": failed,
        "graph": drawn(await remote.aget_graph(xray=True)),
        "around": drawn(await around(remote).aget_graph(xray=True)),
        "sync": (await asyncio.to_thread(remote.invoke, OSLO))["hotel"],
    }
    print(json.dumps(report))


asyncio.run(main(sys.argv[1]))
