"""Graphs and stores that nodes of LangGraph's call by the methods that block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_store
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from ..conftest import Serve
from ..stage import State, log_of, new_thread, text
from .stage import chain


def one(state: State) -> State:
    return {"log": ["one"]}


def two(state: State) -> State:
    return {"log": ["two"]}


inner = StateGraph(State).add_node(one).add_node(two).add_edge(START, "one").add_edge("one", "two")
SIDE_BY_SIDE = StateGraph(State).add_node(one).add_node(two).add_edge(START, "one")
INNER: Any = inner.compile()
WIDE: Any = SIDE_BY_SIDE.add_edge(START, "two").compile()


@task
def shouted(word: str) -> str:
    return word.upper()


@entrypoint()
def program(words: list[str]) -> list[str]:
    return [future.result() for future in [shouted(word) for word in words]]


def invokes(state: State) -> State:
    return {"log": INNER.invoke({"log": []})["log"]}


def streams(state: State) -> State:
    return {"log": [next(iter(part)) for part in INNER.stream({"log": []})]}


def invokes_several_nodes_at_once(state: State) -> State:
    return {"log": sorted(WIDE.invoke({"log": []})["log"])}


def invokes_a_function(state: State) -> State:
    return {"log": [word.lower() for word in program.invoke(["one", "two"])]}


def has_a_loop_of_its_own(state: State) -> State:
    return {"log": asyncio.run(INNER.ainvoke({"log": []}))["log"]}


async def stalls_the_loop(state: State) -> State:
    return {"log": INNER.invoke({"log": []})["log"]}


@pytest.mark.parametrize(
    "node",
    [
        invokes,
        streams,
        invokes_several_nodes_at_once,
        invokes_a_function,
        has_a_loop_of_its_own,
        stalls_the_loop,
    ],
    ids=lambda node: node.__name__,
)
async def test_a_node_calls_a_graph_without_awaiting_it(
    serve: Serve, node: Callable[..., Any]
) -> None:
    async with serve(chain(node=node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for number in (1, 2):
            await client.runs.wait(thread_id, "agent", input=text("x"))
            assert await log_of(client, thread_id) == ["x", "one", "two"] * number


async def test_an_answer_comes_to_a_graph_that_was_called_so(serve: Serve) -> None:
    def ask(state: State) -> State:
        return {"log": [interrupt("first?"), interrupt("second?")]}

    asking: Any = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()

    def call(state: State) -> State:
        return {"log": asking.invoke({"log": []})["log"]}

    async with serve(chain(call=call)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        asked = await client.runs.wait(thread_id, "agent", input=text("x"))
        assert [one["value"] for one in asked["__interrupt__"]] == ["first?"]
        asked = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert [one["value"] for one in asked["__interrupt__"]] == ["second?"]
        values = await client.runs.wait(thread_id, "agent", command={"resume": "no"})
        assert values["log"] == ["x", "yes", "no"]


def in_threads_of_langchain(keys: list[str]) -> list[Any]:
    store = get_store()
    return RunnableLambda(lambda key: store.get(("a",), key)).batch(keys)


def in_threads_of_its_own(keys: list[str]) -> list[Any]:
    store = get_store()
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda key: store.get(("a",), key), keys))


@pytest.mark.parametrize(
    "ways", [in_threads_of_langchain, in_threads_of_its_own], ids=lambda ways: ways.__name__
)
async def test_a_node_asks_the_store_in_several_threads(
    serve: Serve, ways: Callable[[list[str]], list[Any]]
) -> None:
    def node(state: State) -> State:
        store = get_store()
        for word in ("one", "two"):
            store.put(("a",), word, {"word": word})
        return {"log": [found.value["word"] for found in ways(["one", "two"])]}

    async with serve(chain(node=node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        assert await log_of(client, thread_id) == ["x", "one", "two"]
