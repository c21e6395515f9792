"""A run that is over is gone, with all that it held: nothing of it waits for the garbage collector,
which may be long in coming and takes the longer the more there is."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from operator import add
from typing import Annotated, Any, TypedDict

import pytest
import trio

from greenroom.actors import Conflict, Greenroom
from greenroom.graph import (
    END,
    START,
    Command,
    InMemorySaver,
    InvalidUpdateError,
    NodeTimeoutError,
    RetryPolicy,
    StateGraph,
    asyncio_node,
    entrypoint,
    interrupt,
    step,
    task,
)


class State(TypedDict, total=False):
    x: Annotated[int, add]


LetGo = Callable[[object], trio.Event]


class Held:
    """Something that a run holds: its context."""


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def works(state: State) -> State:
    return {"x": 1}


def works_in_a_thread(state: State) -> State:
    return {"x": 1}


async def fails(state: State) -> State:
    raise ValueError("no")


def fails_in_a_thread(state: State) -> State:
    raise ValueError("no")


async def asks(state: State) -> State:
    return {"x": interrupt("?")}


def asks_in_a_thread(state: State) -> State:
    return {"x": interrupt("?")}


@asyncio_node
async def fails_on_asyncio(state: State) -> State:
    raise ValueError("no")


@asyncio_node
async def asks_on_asyncio(state: State) -> State:
    return {"x": interrupt("?")}


async def makes_a_step(state: State) -> State:
    return {"x": await step("one", lambda: 1)}


async def fails_in_a_step(state: State) -> State:
    return {"x": await step("one", fails, state)}


async def takes_too_long(state: State) -> State:
    await trio.sleep_forever()
    return {}


async def leaves(state: State) -> Command[Any]:
    return Command(goto=END, graph=Command.PARENT)


def graph_of(*nodes: Any, **options: Any) -> Any:
    """Nodes side by side."""
    builder: Any = StateGraph(State)
    for at, node in enumerate(nodes):
        builder.add_node(f"node {at}", node, **options)
        builder.add_edge(START, f"node {at}")
    return builder.compile(checkpointer=InMemorySaver())


@task
async def task_that_fails(x: int) -> int:
    raise ValueError("no")


@task
async def task_that_asks(x: int) -> Any:
    return interrupt("?")


async def calls_what_fails(given: Any) -> Any:
    return await task_that_fails(1)


async def calls_what_asks(given: Any) -> Any:
    return await task_that_asks(1)


async def starts_what_fails(given: Any) -> None:
    task_that_fails(1)


def function(called: Callable[[Any], Any]) -> Any:
    return entrypoint(checkpointer=InMemorySaver())(called)


retried = RetryPolicy(max_attempts=2, initial_interval=0.001, retry_on=ValueError)
inner = StateGraph(State).add_node("asks", asks).add_edge(START, "asks").compile()
leaving = StateGraph(State).add_node("leaves", leaves).add_edge(START, "leaves").compile()

GRAPHS = {
    "works": lambda: graph_of(works),
    "works in a thread": lambda: graph_of(works_in_a_thread),
    "side by side": lambda: graph_of(works, works),
    "fails": lambda: graph_of(fails),
    "fails in a thread": lambda: graph_of(fails_in_a_thread),
    "fails on asyncio": lambda: graph_of(fails_on_asyncio),
    "fails twice": lambda: graph_of(fails, retry_policy=retried),
    "fails, with a handler": lambda: graph_of(fails, error_handler=lambda state, error: {"x": 2}),
    "fails beside another": lambda: graph_of(fails, works, takes_too_long),
    "asks": lambda: graph_of(asks),
    "asks in a thread": lambda: graph_of(asks_in_a_thread),
    "asks on asyncio": lambda: graph_of(asks_on_asyncio),
    "asks beside another": lambda: graph_of(asks, works),
    "asks in a graph inside": lambda: graph_of(inner),
    "speaks to the graph around it": lambda: graph_of(leaving),
    "makes a step": lambda: graph_of(makes_a_step),
    "fails in a step": lambda: graph_of(fails_in_a_step),
    "takes too long": lambda: graph_of(takes_too_long, timeout=0.001),
    "returns no update": lambda: graph_of(lambda state: 5),
    "calls a task that fails": lambda: function(calls_what_fails),
    "calls a task that asks": lambda: function(calls_what_asks),
    "does not ask for the task that fails": lambda: function(starts_what_fails),
}


async def is_left(run: Callable[[Held], Awaitable[object]], let_go: LetGo) -> bool:
    """Whether a run has left behind what it held."""
    held = Held()
    gone = let_go(held)
    with suppress(ValueError, NodeTimeoutError, InvalidUpdateError):
        await run(held)
    del held
    with trio.move_on_after(5):
        await gone.wait()
    return not gone.is_set()


@pytest.mark.parametrize("case", GRAPHS)
async def test_a_run_leaves_nothing_behind_whatever_it_comes_to(case: str, let_go: LetGo) -> None:
    graph: Any = GRAPHS[case]()
    config = {"configurable": {"thread_id": "1"}}

    async def run(held: Held) -> None:
        await graph.ainvoke({"x": 0}, config, context=held)

    assert not await is_left(run, let_go)


@pytest.mark.parametrize("node", [works, fails, asks, takes_too_long])
async def test_a_stream_leaves_nothing_behind_read_to_its_end_or_not(
    node: Any, let_go: LetGo
) -> None:
    graph = graph_of(works, node)
    config = {"configurable": {"thread_id": "1"}}

    async def run(held: Held) -> None:
        async with graph.astream({"x": 0}, config, context=held) as chunks:
            async for _ in chunks:
                if node is takes_too_long:
                    break

    assert not await is_left(run, let_go)


async def test_a_run_that_is_cancelled_leaves_nothing_behind(let_go: LetGo) -> None:
    graph = graph_of(takes_too_long, works)

    async def run(held: Held) -> None:
        with trio.move_on_after(0.001):
            await graph.ainvoke({"x": 0}, {"configurable": {"thread_id": "1"}}, context=held)

    assert not await is_left(run, let_go)


async def test_a_refused_run_of_a_thread_leaves_nothing_behind(let_go: LetGo) -> None:
    builder = StateGraph(State).add_node("long", takes_too_long).add_edge(START, "long")
    async with Greenroom({"agent": builder.compile()}) as room:
        thread = (await room.client.threads.create())["thread_id"]
        await room.client.runs.create(thread, "agent", input={"x": 0})

        async def refused(held: Held) -> None:
            mine = held  # noqa: F841 - in a frame of the traceback
            with suppress(Conflict):
                await room.client.runs.create(
                    thread, "agent", input={"x": 1}, multitask_strategy="reject"
                )

        assert not await is_left(refused, let_go)
