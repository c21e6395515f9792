"""Nodes: where they run, what they see, what they may ask for and return."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

import attrs
import pytest
import trio

from greenroom.graph import (
    START,
    AsyncioNodeError,
    Command,
    InvalidUpdateError,
    RunnableConfig,
    Runtime,
    StateGraph,
    get_config,
    get_runtime,
    get_stream_writer,
)


async def test_async_nodes_run_on_the_loop_and_plain_ones_in_threads(wire: Any) -> None:
    async def on_loop(state: Any) -> Any:
        return {"log": [("on_loop", threading.get_ident())]}

    def in_thread(state: Any) -> Any:
        return {"log": [("in_thread", threading.get_ident())]}

    nodes = {"on_loop": on_loop, "in_thread": in_thread}
    graph = wire(nodes, (START, "on_loop"), (START, "in_thread"), checkpointer=None)
    ran = dict((await graph.ainvoke({}))["log"])
    assert ran["on_loop"] == threading.get_ident()
    assert ran["in_thread"] != threading.get_ident()


async def test_plain_nodes_of_a_step_run_at_the_same_time(wire: Any) -> None:
    barrier = threading.Barrier(2, timeout=30)

    def node(state: Any) -> Any:
        barrier.wait()
        return {"log": ["met"]}

    graph = wire({"a": node, "b": node}, (START, "a"), (START, "b"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["met", "met"]}


async def test_async_nodes_of_a_step_run_at_the_same_time(wire: Any) -> None:
    here, there = trio.Event(), trio.Event()

    async def a(state: Any) -> Any:
        here.set()
        await there.wait()

    async def b(state: Any) -> Any:
        there.set()
        await here.wait()
        return {"log": ["met"]}

    graph = wire({"a": a, "b": b}, (START, "a"), (START, "b"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["met"]}


async def test_all_nodes_of_a_step_see_the_same_state(wire: Any, autojump_clock: Any) -> None:
    def sees(name: str, after: float) -> Any:
        async def node(state: Any) -> Any:
            await trio.sleep(after)
            return {"log": [f"{name} saw {state['log']}"]}

        return node

    nodes = {"a": sees("a", 0), "b": sees("b", 1)}
    graph = wire(nodes, (START, "a"), (START, "b"), checkpointer=None)
    assert await graph.ainvoke({"log": []}) == {"log": ["a saw []", "b saw []"]}


async def test_what_a_node_does_to_its_own_state_dict_is_not_seen_by_others(wire: Any) -> None:
    async def a(state: Any) -> None:
        state["value"] = "changed"

    async def b(state: Any) -> Any:
        return {"log": [state["value"]]}

    graph = wire({"a": a, "b": b}, (START, "a"), ("a", "b"), checkpointer=None)
    assert await graph.ainvoke({"value": "kept"}) == {"log": ["kept"], "value": "kept"}


class Context(TypedDict):
    model: str


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_node_is_given_what_it_asks_for_by_name(kind: str) -> None:
    def plain(state: Any, config: RunnableConfig, *, runtime: Runtime[Context], writer: Any) -> Any:
        writer("wrote")
        conf = config["configurable"]
        return {"seen": [conf["extra"], config["tags"], runtime.context["model"]]}

    async def on_loop(
        state: Any, runtime: Runtime[Context], writer: Any, config: RunnableConfig
    ) -> Any:
        return plain(state, config, runtime=runtime, writer=writer)

    builder = StateGraph(Seen, context_schema=Context)
    builder.add_node("a", plain if kind == "plain" else on_loop).add_edge(START, "a")
    config = {"configurable": {"extra": 1}, "tags": ["t"]}
    stream = builder.compile().astream(
        {}, config, context={"model": "small"}, stream_mode=["custom", "values"]
    )
    async with stream as chunks:
        seen = [chunk async for chunk in chunks]
    assert ("custom", "wrote") in seen
    assert seen[-1] == ("values", {"seen": [1, ["t"], "small"]})


class Seen(TypedDict, total=False):
    seen: list[Any]


async def test_config_and_runtime_are_found_from_inside_a_node(wire: Any, thread: Any) -> None:
    def helper() -> list[Any]:
        return [get_config()["configurable"]["thread_id"], get_runtime().context]

    def in_thread(state: Any) -> Any:
        return {"log": helper()}

    async def on_loop(state: Any) -> Any:
        return {"log": helper()}

    graph = wire({"a": in_thread, "b": on_loop}, (START, "a"), ("a", "b"))
    assert await graph.ainvoke({}, thread, context="ctx") == {"log": ["1", "ctx", "1", "ctx"]}


@dataclass
class DataContext:
    model: str


@attrs.frozen
class AttrsContext:
    model: str


@pytest.mark.parametrize("schema", [DataContext, AttrsContext])
@pytest.mark.parametrize("as_dict", [True, False])
async def test_a_context_becomes_what_the_schema_says(schema: Any, as_dict: bool) -> None:
    def node(state: Any, runtime: Runtime[Any]) -> Any:
        return {"seen": [runtime.context]}

    builder = StateGraph(Seen, context_schema=schema).add_node("a", node).add_edge(START, "a")
    context = {"model": "small"} if as_dict else schema("small")
    assert (await builder.compile().ainvoke({}, context=context))["seen"] == [schema("small")]


@pytest.mark.parametrize("function", [get_config, get_runtime, get_stream_writer])
def test_outside_a_node_there_is_nothing_to_find(function: Callable[[], Any]) -> None:
    with pytest.raises(RuntimeError, match=function.__name__):
        function()


@pytest.mark.parametrize("returned", [7, "text", [1], True, {1, 2}, [{"log": ["a"]}]])
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_what_is_no_update_is_refused_by_node_and_value(
    wire: Any, thread: Any, returned: Any, kind: str
) -> None:
    def plain(state: Any) -> Any:
        return returned

    async def on_loop(state: Any) -> Any:
        return returned

    graph = wire({"a": plain if kind == "plain" else on_loop}, (START, "a"))
    with pytest.raises(InvalidUpdateError) as caught:
        await graph.ainvoke({"log": ["in"]}, thread)
    assert "'a'" in str(caught.value)
    assert repr(returned) in str(caught.value)
    assert (await graph.aget_state(thread)).values == {"log": ["in"]}


async def test_none_an_empty_dict_and_an_empty_command_change_nothing(wire: Any) -> None:
    for returned in (None, {}, Command()):
        graph = wire({"a": lambda state, r=returned: r}, (START, "a"), checkpointer=None)
        assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in"]}


async def test_a_list_with_commands_is_applied_in_order(wire: Any) -> None:
    async def node(state: Any) -> Any:
        return [Command(update={"log": ["one"]}, goto="b"), {"log": ["two"]}]

    async def b(state: Any) -> Any:
        return {"log": ["b"]}

    graph = wire({"a": node, "b": b}, (START, "a"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["one", "two", "b"]}


async def test_pairs_of_an_update_are_all_applied(wire: Any) -> None:
    async def node(state: Any) -> Any:
        return Command(update=[("log", ["one"]), ("value", 1), ("log", ["two"])])

    graph = wire({"a": node}, (START, "a"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["one", "two"], "value": 1}


@pytest.mark.parametrize("update", [7, "text", [1]])
async def test_a_command_whose_update_is_none_is_refused_by_node(wire: Any, update: Any) -> None:
    graph = wire({"a": lambda state: Command(update=update)}, (START, "a"), checkpointer=None)
    with pytest.raises(InvalidUpdateError, match="'a'"):
        await graph.ainvoke({})


async def sleep() -> None:
    await asyncio.sleep(1)


async def yield_once() -> None:
    await asyncio.sleep(0)


async def get_loop() -> None:
    asyncio.get_running_loop()


async def use_a_thread() -> None:
    await asyncio.to_thread(print)


async def set_a_timeout() -> None:
    async with asyncio.timeout(1):
        await trio.lowlevel.checkpoint()


async def wait_for_an_event() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    "asyncio_call", [sleep, yield_once, get_loop, use_a_thread, set_a_timeout, wait_for_an_event]
)
async def test_asyncio_in_an_async_node_says_what_to_do_instead(
    wire: Any, asyncio_call: Any
) -> None:
    async def node(state: Any) -> None:
        await asyncio_call()

    graph = wire({"a": node}, (START, "a"), checkpointer=None)
    with pytest.raises(AsyncioNodeError, match=r"'a'.*@asyncio_node.*anyio.*def") as caught:
        await graph.ainvoke({})
    assert caught.value.__cause__ is not None


async def test_asyncio_works_in_a_plain_node(wire: Any) -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    graph = wire(
        {"a": lambda state: {"log": [asyncio.run(work())]}}, (START, "a"), checkpointer=None
    )
    assert await graph.ainvoke({}) == {"log": ["done"]}


async def test_a_nodes_own_runtime_error_stays_what_it_is(wire: Any) -> None:
    async def node(state: Any) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        await wire({"a": node}, (START, "a"), checkpointer=None).ainvoke({})
