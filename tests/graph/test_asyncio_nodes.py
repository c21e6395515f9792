"""Nodes that run on asyncio, and all that a node can do there."""

from __future__ import annotations

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest
import trio
import trio.testing

from greenroom.graph import (
    END,
    START,
    Command,
    InMemorySaver,
    InMemoryStore,
    NodeTimeoutError,
    RetryPolicy,
    Runtime,
    StateGraph,
    asyncio_node,
    emit_message,
    entrypoint,
    get_config,
    get_stream_writer,
    interrupt,
    step,
    task,
)
from greenroom.graph.here import tell_trio


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


class Value(TypedDict, total=False):
    value: str


def loop_here() -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "trio" if trio.lowlevel.in_trio_run() else "thread"
    return "asyncio"


async def sleeps(given: Any) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"log": [loop_here()]}


def one(wire: Any, node: Any, **options: Any) -> Any:
    return wire({"node": asyncio_node(node)}, (START, "node"), **options)


# Where they run.


async def test_a_marked_node_runs_on_asyncio_and_the_others_on_trio(wire: Any) -> None:
    async def on_trio(state: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return {"log": [loop_here()]}

    nodes = {
        "a": asyncio_node(sleeps),
        "b": on_trio,
        "c": lambda state: {"log": [loop_here()]},
    }
    graph = wire(nodes, (START, "a"), ("a", "b"), ("b", "c"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["asyncio", "trio", "thread"]}


class Sleeps:
    async def __call__(self, state: Any) -> Any:
        return await sleeps(state)

    async def method(self, state: Any) -> Any:
        return await sleeps(state)


class Slotted:
    __slots__ = ()

    async def __call__(self, state: Any) -> Any:
        return await sleeps(state)


@asyncio_node
class Marked(Sleeps):
    pass


@pytest.mark.parametrize(
    "node",
    [asyncio_node(Sleeps()), asyncio_node(Sleeps().method), asyncio_node(Slotted()), Marked()],
    ids=["object", "method", "slots", "class"],
)
async def test_objects_and_methods_can_be_marked(wire: Any, node: Any) -> None:
    graph = wire({"node": node}, (START, "node"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["asyncio"]}


def test_what_is_not_async_cannot_be_marked() -> None:
    with pytest.raises(TypeError, match="async functions; got <function"):
        asyncio_node(lambda state: state)


async def test_a_whole_graph_runs_on_asyncio_with_edges_handlers_and_tasks() -> None:
    seen = []

    @task
    async def called() -> None:
        await asyncio.sleep(0)
        seen.append(("task", loop_here()))

    async def fails(state: Any) -> None:
        await called()
        raise ValueError

    async def handles(state: Any) -> Any:
        await asyncio.sleep(0)
        seen.append(("handler", loop_here()))
        return Command(goto="next")

    async def routes(state: Any) -> str:
        await asyncio.sleep(0)
        seen.append(("edge", loop_here()))
        return END

    builder = StateGraph(State)
    builder.add_node("first", fails, error_handler=handles)
    builder.add_node("next", sleeps)
    builder.add_edge(START, "first")
    builder.add_conditional_edges("next", routes)
    await builder.compile(async_library="asyncio").ainvoke({})
    assert seen == [("task", "asyncio"), ("handler", "asyncio"), ("edge", "asyncio")]


async def test_an_entrypoint_and_its_tasks_run_on_asyncio() -> None:
    @task
    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    @task
    def plain() -> str:
        return loop_here()

    @entrypoint(async_library="asyncio")
    async def program(number: int) -> Any:
        return [loop_here(), await plain(), *await asyncio.gather(double(number), double(3))]

    assert await program.ainvoke(1) == ["asyncio", "thread", 2, 6]


async def test_single_tasks_and_entrypoints_can_be_marked() -> None:
    @task
    @asyncio_node
    async def marked() -> str:
        await asyncio.sleep(0)
        return loop_here()

    @task
    async def other() -> str:
        await trio.lowlevel.checkpoint()
        return loop_here()

    @entrypoint()
    @asyncio_node
    async def program(_: Any) -> Any:
        await asyncio.sleep(0)
        return [await marked(), await other()]

    assert await program.ainvoke(1) == ["asyncio", "trio"]


def test_another_library_is_refused() -> None:
    builder = StateGraph(State).add_node("a", sleeps).add_edge(START, "a")
    with pytest.raises(ValueError, match="async_library must be 'trio' or 'asyncio'; got 'curio'"):
        builder.compile(async_library="curio")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'curio'"):
        entrypoint(async_library="curio")  # type: ignore[arg-type]


def test_a_program_without_a_loop_runs_them(wire: Any) -> None:
    assert one(wire, sleeps, checkpointer=None).invoke({}) == {"log": ["asyncio"]}


# What they can do.


async def test_it_asks_and_is_answered(wire: Any, thread: Any) -> None:
    async def asks(state: Any) -> Any:
        await asyncio.sleep(0)
        return {"log": [interrupt("first?"), interrupt("second?")]}

    graph = one(wire, asks)
    assert [q.value for q in (await graph.ainvoke({}, thread))["__interrupt__"]] == ["first?"]
    await graph.ainvoke(Command(resume=1), thread)
    assert await graph.ainvoke(Command(resume=2), thread) == {"log": [1, 2]}


async def test_tasks_side_by_side_ask_at_once(wire: Any, thread: Any) -> None:
    @task
    @asyncio_node
    async def asks(what: str) -> Any:
        return interrupt(what)

    async def node(state: Any) -> Any:
        return {"log": await asyncio.gather(asks("a"), asks("b"))}

    graph = one(wire, node)
    questions = (await graph.ainvoke({}, thread))["__interrupt__"]
    assert sorted(q.value for q in questions) == ["a", "b"]
    answers = {q.id: q.value.upper() for q in questions}
    assert await graph.ainvoke(Command(resume=answers), thread) == {"log": ["A", "B"]}


async def test_it_is_given_config_runtime_store_and_writer(wire: Any) -> None:
    async def node(state: Any, runtime: Runtime, writer: Any) -> Any:
        assert runtime.store is not None
        await runtime.store.aput(("ns",), "key", {"value": 1})
        item = await runtime.store.aget(("ns",), "key")
        writer("one")
        await asyncio.sleep(0)
        get_stream_writer()("two")
        await asyncio.to_thread(writer, "three")
        runtime.heartbeat()
        assert item is not None
        return {"log": [get_config()["configurable"]["user"], item.value["value"]]}

    graph = one(wire, node, store=InMemoryStore(), checkpointer=None)
    config = {"configurable": {"user": "ann"}}
    async with graph.astream({}, config, stream_mode=["custom", "values"]) as chunks:
        seen = [chunk async for chunk in chunks]
    assert seen == [
        ("custom", "one"),
        ("custom", "two"),
        ("custom", "three"),
        ("values", {"log": ["ann", 1]}),
    ]


async def test_all_that_it_writes_comes_before_its_result(wire: Any) -> None:
    async def node(state: Any, writer: Any) -> Any:
        for number in range(200):
            writer(number)
        return {"value": "end"}

    graph = one(wire, node, checkpointer=None)
    async with graph.astream({}, stream_mode=["custom", "updates"]) as chunks:
        seen = [chunk async for _, chunk in chunks]
    assert seen == [*range(200), {"node": {"value": "end"}}]


async def test_its_steps_are_made_once(wire: Any, thread: Any) -> None:
    made = []

    async def charge(amount: int, idempotency_key: str) -> int:
        await asyncio.sleep(0)
        made.append((loop_here(), bool(idempotency_key)))
        return amount

    def plain() -> str:
        made.append((loop_here(), True))
        return "plain"

    async def node(state: Any) -> Any:
        values = [await step("charge", charge, 5), await step("plain", plain)]
        return {"log": [*values, interrupt("?")]}

    graph = one(wire, node)
    await graph.ainvoke({}, thread)
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"log": [5, "plain", "yes"]}
    assert made == [("asyncio", True), ("thread", True)]


async def test_a_plain_node_makes_a_step_of_a_marked_function(wire: Any) -> None:
    @asyncio_node
    async def fetch() -> str:
        await asyncio.sleep(0)
        return loop_here()

    graph = wire({"a": lambda state: {"log": [step("fetch", fetch)]}}, (START, "a"))
    assert await graph.ainvoke({}, {"configurable": {"thread_id": "1"}}) == {"log": ["asyncio"]}


async def test_threads_that_it_starts_make_steps_and_call_tasks_and_graphs(wire: Any) -> None:
    @task
    def double(number: int) -> int:
        return 2 * number

    async def triple(number: int) -> int:
        await trio.lowlevel.checkpoint()
        return 3 * number

    inner = one(wire, sleeps, checkpointer=None)

    def work() -> list[Any]:
        return [
            double(1).result(),
            step("plain", lambda: 5),
            step("async", triple, 2),
            *inner.invoke({})["log"],
        ]

    async def node(state: Any) -> Any:
        return {"log": await asyncio.to_thread(work)}

    graph = one(wire, node)
    thread = {"configurable": {"thread_id": "1"}}
    assert await graph.ainvoke({}, thread) == {"log": [2, 5, 6, "asyncio"]}


async def test_a_result_that_is_not_there_yet_is_awaited(wire: Any) -> None:
    @task
    async def waits() -> None:
        await trio.sleep_forever()

    async def node(state: Any) -> None:
        waits().result()

    with pytest.raises(RuntimeError, match="await it"):
        await one(wire, node, checkpointer=None).ainvoke({})


async def test_it_calls_graphs_whose_nodes_run_where_they_belong(wire: Any, thread: Any) -> None:
    async def asks(state: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return {"log": [interrupt("?")]}

    inner = wire(
        {"a": asyncio_node(sleeps), "b": asks}, (START, "a"), ("a", "b"), checkpointer=None
    )

    async def node(state: Any) -> Any:
        return await inner.ainvoke({"log": []})

    graph = one(wire, node)
    assert [q.value for q in (await graph.ainvoke({}, thread))["__interrupt__"]] == ["?"]
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"log": ["asyncio", "yes"]}


async def test_it_streams_a_graph_and_may_leave_early(wire: Any) -> None:
    stopped = trio.Event()

    async def endless(state: Any) -> None:
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    inner = wire(
        {"a": asyncio_node(sleeps), "b": endless}, (START, "a"), ("a", "b"), checkpointer=None
    )

    async def node(state: Any) -> Any:
        async with inner.astream({}) as chunks:
            first = await anext(chunks)
        assert stopped.is_set()
        return first["a"]

    assert await one(wire, node, checkpointer=None).ainvoke({}) == {"log": ["asyncio"]}


async def test_a_graph_that_it_streams_to_the_end_ends_or_fails(wire: Any) -> None:
    async def fails(state: Any) -> None:
        raise ValueError("inner")

    inner = wire(
        {"a": asyncio_node(sleeps), "b": fails}, (START, "a"), ("a", "b"), checkpointer=None
    )

    async def node(state: Any) -> Any:
        seen = []
        try:
            async with inner.astream({}) as chunks:
                async for chunk in chunks:
                    seen.append(chunk)
        except ValueError as error:
            seen.append(str(error))
        return {"log": seen}

    result = await one(wire, node, checkpointer=None).ainvoke({})
    assert result == {"log": [{"a": {"log": ["asyncio"]}}, "inner"]}


async def test_it_reads_and_edits_states_of_other_threads(wire: Any, thread: Any) -> None:
    other = wire("ab", (START, "a"), ("a", "b"))

    async def node(state: Any) -> Any:
        config = {"configurable": {"thread_id": "other"}}
        await other.ainvoke({}, config)
        await other.aupdate_state(config, {"log": ["edited"]})
        steps = [one.metadata["step"] async for one in other.aget_state_history(config)]
        return {"log": [(await other.aget_state(config)).values["log"], len(steps)]}

    result = await one(wire, node, checkpointer=None).ainvoke({})
    assert result == {"log": [["a", "b", "edited"], 5]}


async def test_its_messages_are_streamed(wire: Any) -> None:
    async def node(state: Any) -> None:
        for word in ("one", "two"):
            emit_message({"type": "ai", "content": word})
            await asyncio.sleep(0)

    graph = one(wire, node, checkpointer=None)
    async with graph.astream({}, stream_mode="messages") as chunks:
        seen = [message["content"] async for message, _ in chunks]
    assert seen == ["one", "two"]


@pytest.mark.parametrize("way", ["ainvoke", "astream"])
async def test_async_chat_models_are_heard_token_by_token(wire: Any, way: str) -> None:
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    model = GenericFakeChatModel(messages=iter([AIMessage("so it goes")]))

    async def node(state: Any) -> Any:
        if way == "ainvoke":
            return {"value": (await model.ainvoke("?")).content}
        return {"value": "".join([chunk.content async for chunk in model.astream("?")])}

    graph = one(wire, node, checkpointer=None)
    async with graph.astream({}, stream_mode=["messages", "values"]) as chunks:
        seen = [chunk async for chunk in chunks]
    words = [chunk[0].content for mode, chunk in seen if mode == "messages"]
    assert words[:5] == ["so", " ", "it", " ", "goes"]
    assert seen[-1] == ("values", {"log": [], "value": "so it goes"})


def talks(words: list[str]) -> Any:
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import RunnableLambda

    async def asked(state: Any) -> str:
        words.append(loop_here())
        await asyncio.sleep(0)
        return "?"

    model = GenericFakeChatModel(messages=iter([AIMessage("so it goes")]))
    return RunnableLambda(asked) | model | (lambda message: {"value": message.content})


async def test_runnables_of_a_graph_on_asyncio_are_awaited_there_and_heard(wire: Any) -> None:
    from langchain_core.runnables import RunnableLambda

    async def routes(state: Any) -> str:
        seen.append(loop_here())
        await asyncio.sleep(0)
        return END

    seen: list[str] = []
    builder = StateGraph(Value).add_node("talk", talks(seen)).add_edge(START, "talk")
    builder.add_conditional_edges("talk", RunnableLambda(routes))
    graph = builder.compile(async_library="asyncio")
    async with graph.astream({}, stream_mode=["messages", "values"]) as chunks:
        told = [chunk async for chunk in chunks]
    assert seen == ["asyncio", "asyncio"]
    words = [(data[0].content, data[1]["langgraph_node"]) for m, data in told if m == "messages"]
    assert words[:5] == [(word, "talk") for word in ("so", " ", "it", " ", "goes")]
    assert told[-1] == ("values", {"value": "so it goes"})


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_runnable_on_asyncio_asks_and_is_answered(thread: Any, is_async: bool) -> None:
    from langchain_core.runnables import RunnableLambda, RunnablePassthrough

    def asks(state: Any) -> Any:
        return {"value": interrupt("well?")}

    async def asks_there(state: Any) -> Any:
        await asyncio.sleep(0)
        return asks(state)

    chain = RunnablePassthrough() | RunnableLambda(asks_there if is_async else asks)
    builder = StateGraph(Value).add_node("ask", chain).add_edge(START, "ask")
    graph = builder.compile(async_library="asyncio", checkpointer=InMemorySaver())
    paused = await graph.ainvoke({}, thread)
    assert [one.value for one in paused["__interrupt__"]] == ["well?"]
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"value": "yes"}


# Failures and cancelling.


async def test_it_is_tried_again(wire: Any, autojump_clock: Any) -> None:
    attempts = []

    async def node(state: Any) -> Any:
        await asyncio.sleep(0)
        attempts.append(1)
        if len(attempts) < 3:
            raise ConnectionError
        return {"log": ["done"]}

    builder = StateGraph(State)
    builder.add_node("a", asyncio_node(node), retry_policy=RetryPolicy(max_attempts=3))
    builder.add_edge(START, "a")
    await builder.compile().ainvoke({})
    assert len(attempts) == 3


async def test_its_time_ends_and_it_is_cancelled(wire: Any, mock_clock: Any) -> None:
    started, cancelled = trio.Event(), trio.Event()

    async def node(state: Any) -> None:
        tell_trio(started.set)
        try:
            await asyncio.Event().wait()
        finally:
            tell_trio(cancelled.set)

    builder = StateGraph(State)
    builder.add_node("a", asyncio_node(node), timeout=60)
    builder.add_edge(START, "a")

    async def run() -> None:
        with pytest.raises(NodeTimeoutError):
            await builder.compile().ainvoke({})
        assert cancelled.is_set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await started.wait()
        mock_clock.jump(60)


async def test_cancelling_a_run_waits_for_its_asyncio_nodes(wire: Any) -> None:
    started, seen = trio.Event(), []

    async def node(state: Any) -> None:
        tell_trio(started.set)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("node stopped")

    graph = one(wire, node, checkpointer=None)

    async def run() -> None:
        with scope:
            await graph.ainvoke({})
        seen.append("run over")

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await started.wait()
        scope.cancel()
    assert seen == ["node stopped", "run over"]


async def test_cancelling_a_run_reaches_what_its_asyncio_nodes_called(wire: Any) -> None:
    started, seen = trio.Event(), []

    async def waits(state: Any) -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            seen.append("inner stopped")

    inner = wire({"a": waits}, (START, "a"), checkpointer=None)

    async def node(state: Any) -> None:
        await inner.ainvoke({})

    graph = one(wire, node, checkpointer=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(graph.ainvoke, {})
        await started.wait()
        nursery.cancel_scope.cancel()
    assert seen == ["inner stopped"]


async def test_a_node_that_cancels_itself_fails_the_run(wire: Any) -> None:
    async def node(state: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="'node' was cancelled"):
        await one(wire, node, checkpointer=None).ainvoke({})
