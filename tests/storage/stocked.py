"""A store with some of everything in it, as a room leaves it."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from greenroom.actors import Greenroom
from greenroom.graph import START, CompiledStateGraph, StateGraph, interrupt
from greenroom.storage import PutCron, PutPost, Storage
from greenroom.storage.testing import make_cron, make_post

FIRST = "00000000-0000-4000-8000-000000000000"  # of all assistants


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    note: str


def say(state: State) -> State:
    return {"log": ["said " * 150], "note": "ключ"}


def ask(state: State) -> State:
    return {"log": [interrupt("is that so?")]}


def fail(state: State) -> State:
    if "bad" in state["log"]:
        raise ValueError("as told")
    return {}


def graph() -> CompiledStateGraph:
    """Says something long, asks inside an inner graph, and fails where the input is `bad`."""
    inner = StateGraph(State)
    inner.add_node("say", say)
    inner.add_node("ask", ask)
    inner.add_edge(START, "say")
    inner.add_edge("say", "ask")
    outer = StateGraph(State)
    outer.add_node("first", say)
    outer.add_node("fail", fail)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "first")
    outer.add_edge("first", "fail")
    outer.add_edge("fail", "inner")
    return outer.compile()


async def stock(storage: Storage) -> dict[str, str]:
    """Fill a store; the ids of its threads by what they have come to."""
    ids = {}
    async with Greenroom({"agent": graph()}, storage=storage) as room:
        client = room.client
        for name in ("empty", "asks", "answered", "failed"):
            thread = await client.threads.create(metadata={"name": name, "n": 1.5})
            ids[name] = thread["thread_id"]
        for name in ("asks", "answered", "failed"):
            given = {"log": ["bad" if name == "failed" else "good"]}
            stream = client.runs.stream(ids[name], "agent", input=given, stream_resumable=True)
            async for _ in stream:
                pass
        await client.runs.wait(ids["answered"], "agent", command={"resume": "yes"})
        await client.runs.wait(ids["answered"], "agent", input={"log": ["more"]})
        await client.runs.wait(ids["answered"], "agent", command={"resume": {"so": ["it", "is"]}})
        made = await client.assistants.create("agent", assistant_id=FIRST, context={"é": 1.0})
        await client.assistants.update(made["assistant_id"], metadata={"n": [1, None]})
        await client.store.put_item(["a", "b"], key="k", value={"é": 1})
        await client.store.put_item(["a"], key="mortal", value={}, ttl=5)
        payload = {"input": {"log": [(1, "ключ")]}}
        crons = [make_cron("of a thread", thread_id=ids["asks"], payload=payload), make_cron("off")]
        post = PutPost(make_post(body={"values": (1, "ключ")}))
        await room._session.commit([*map(PutCron, crons), post])
    return ids
