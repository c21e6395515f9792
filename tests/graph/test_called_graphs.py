"""Graphs that nodes call: they take part in the run around them."""

from __future__ import annotations

import contextvars
import threading
from typing import Any, TypedDict

import attrs
import pytest
import trio

from greenroom.graph import (
    END,
    START,
    Command,
    GraphRecursionError,
    InMemorySaver,
    InMemoryStore,
    RetryPolicy,
    RunnableConfig,
    Runtime,
    Send,
    StateGraph,
    get_config,
    get_stream_writer,
    interrupt,
)


async def ask(state: Any) -> Any:
    return {"log": [interrupt(f"{state['log'][0]}?")]}


@pytest.fixture
def asking(wire: Any, says: Any) -> Any:
    """A graph that says `x` and asks."""
    return wire({"x": says("x"), "ask": ask}, (START, "x"), ("x", "ask"), checkpointer=None)


@pytest.fixture(params=["async", "plain"])
def calling(request: Any) -> Any:
    """Makes a node that calls a graph with each of the words and gives back their logs."""

    def calling(graph: Any, *words: str, **options: Any) -> Any:
        async def call(state: Any) -> Any:
            return {"log": [(await graph.ainvoke({"log": [w]}, **options))["log"] for w in words]}

        def call_in_thread(state: Any) -> Any:
            return {"log": [graph.invoke({"log": [word]}, **options)["log"] for word in words]}

        return call if request.param == "async" else call_in_thread

    return calling


def asked(result: Any) -> list[Any]:
    return [question.value for question in result["__interrupt__"]]


async def test_a_question_in_a_called_graph_is_answered_through_the_run_around_it(
    wire: Any, thread: Any, asking: Any, calling: Any
) -> None:
    graph = wire({"call": calling(asking, "one")}, (START, "call"))
    result = await graph.ainvoke({"log": []}, thread)
    (question,) = result["__interrupt__"]
    assert (question.value, result["log"]) == ("one?", [])
    assert [part.partition(":")[0] for part in question.ns] == ["call", "ask"]
    assert (await graph.aget_state(thread)).interrupts == (question,)
    result = await graph.ainvoke(Command(resume={question.id: "yes"}), thread)
    assert result == {"log": [["one", "x", "yes"]]}


async def test_a_node_may_ask_beside_the_graph_that_it_calls(
    wire: Any, thread: Any, asking: Any
) -> None:
    async def call(state: Any) -> Any:
        before = interrupt("before?")
        inside = (await asking.ainvoke({"log": ["one"]}))["log"][-1]
        return {"log": [before, inside, interrupt("after?")]}

    graph = wire({"call": call}, (START, "call"))
    assert asked(await graph.ainvoke({"log": []}, thread)) == ["before?"]
    assert asked(await graph.ainvoke(Command(resume=1), thread)) == ["one?"]
    assert asked(await graph.ainvoke(Command(resume=2), thread)) == ["after?"]
    assert await graph.ainvoke(Command(resume=3), thread) == {"log": [1, 2, 3]}


async def test_each_call_of_a_task_goes_on_from_where_it_was(
    wire: Any, thread: Any, asking: Any, calling: Any
) -> None:
    graph = wire({"call": calling(asking, "one", "two")}, (START, "call"))
    assert asked(await graph.ainvoke({"log": []}, thread)) == ["one?"]
    assert asked(await graph.ainvoke(Command(resume="1"), thread)) == ["two?"]
    result = await graph.ainvoke(Command(resume="2"), thread)
    assert result == {"log": [["one", "x", "1"], ["two", "x", "2"]]}


async def test_the_second_call_of_a_task_has_a_state_of_its_own(
    wire: Any, thread: Any, asking: Any, calling: Any
) -> None:
    graph = wire({"call": calling(asking, "one", "two")}, (START, "call"))
    await graph.ainvoke({"log": []}, thread)
    await graph.ainvoke(Command(resume="1"), thread)
    (task,) = (await graph.aget_state(thread)).tasks
    place = {"thread_id": "1", "checkpoint_ns": f"call:{task.id}|1"}
    state = await graph.aget_state({"configurable": place})
    assert (state.values["log"], state.next) == (["two", "x"], ("ask",))
    await graph.aupdate_state(state.config, {"log": ["edited"]})
    result = await graph.ainvoke(Command(resume="2"), thread)
    assert result["log"][1] == ["two", "x", "edited", "2"]


async def test_what_a_called_graph_has_done_is_not_done_again(
    wire: Any, thread: Any, calling: Any
) -> None:
    ran = []

    async def x(state: Any) -> None:
        ran.append(state["log"][0])

    inner = wire({"x": x, "ask": ask}, (START, "x"), ("x", "ask"), checkpointer=None)
    graph = wire({"call": calling(inner, "one", "two")}, (START, "call"))
    await graph.ainvoke({"log": []}, thread)
    for answer in ("1", "2"):
        await graph.ainvoke(Command(resume=answer), thread)
    assert ran == ["one", "two"]


async def test_a_called_graph_starts_afresh_in_the_next_turn(
    wire: Any, thread: Any, asking: Any, calling: Any
) -> None:
    graph = wire({"call": calling(asking, "one")}, (START, "call"))
    for turn in (1, 2):
        assert asked(await graph.ainvoke({"log": []}, thread)) == ["one?"]
        result = await graph.ainvoke(Command(resume=turn), thread)
    assert result["log"] == [["one", "x", 1], ["one", "x", 2]]


@pytest.mark.parametrize("own_saver", [False, True])
async def test_calls_side_by_side_find_their_own_runs_in_whatever_order_they_start(
    wire: Any, thread: Any, asking: Any, own_saver: bool
) -> None:
    if own_saver:  # which is not used in a run around it
        asking = asking.builder.compile(checkpointer=InMemorySaver())
    words = [f"w{n}" for n in range(6)]

    async def call(state: Any) -> Any:
        logs: dict[str, Any] = {}

        async def one(word: str) -> None:
            logs[word] = (await asking.ainvoke({"log": [word]}))["log"]

        async with trio.open_nursery() as nursery:
            for word in words:
                nursery.start_soon(one, word)
        return {"log": [logs[word] for word in words]}

    graph = wire({"call": call}, (START, "call"))
    result = await graph.ainvoke({"log": []}, thread)
    while questions := result.get("__interrupt__"):
        answer = {questions[-1].id: questions[-1].value.upper()}
        result = await graph.ainvoke(Command(resume=answer), thread)
    assert result["log"] == [[word, "x", f"{word.upper()}?"] for word in words]


async def test_tasks_that_were_sent_call_each_for_itself(
    wire: Any, thread: Any, asking: Any
) -> None:
    def call(state: Any) -> Any:
        return {"log": [asking.invoke({"log": [state]})["log"]]}

    async def plan(state: Any) -> Command:
        return Command(goto=[Send("call", word) for word in ("a", "b", "c")])

    graph = wire({"plan": plan, "call": call}, (START, "plan"))
    questions = (await graph.ainvoke({"log": []}, thread))["__interrupt__"]
    assert [question.value for question in questions] == ["a?", "b?", "c?"]
    answers = {question.id: question.value.upper() for question in questions}
    result = await graph.ainvoke(Command(resume=answers), thread)
    assert result["log"] == [["a", "x", "A?"], ["b", "x", "B?"], ["c", "x", "C?"]]


async def test_a_breakpoint_in_a_called_graph_pauses_the_whole(
    wire: Any, thread: Any, calling: Any
) -> None:
    inner = wire("xy", (START, "x"), ("x", "y"), checkpointer=None, interrupt_before=["y"])
    graph = wire({"call": calling(inner, "one")}, (START, "call"))
    assert await graph.ainvoke({"log": []}, thread) == {"log": []}
    assert (await graph.aget_state(thread)).next == ("call",)
    assert await graph.ainvoke(None, thread) == {"log": [["one", "x", "y"]]}


async def test_a_call_may_bring_breakpoints_of_its_own(
    wire: Any, thread: Any, calling: Any
) -> None:
    inner = wire("xy", (START, "x"), ("x", "y"), checkpointer=None)
    graph = wire({"call": calling(inner, "one", interrupt_after=["x"])}, (START, "call"))
    assert await graph.ainvoke({"log": []}, thread) == {"log": []}
    assert await graph.ainvoke(None, thread) == {"log": [["one", "x", "y"]]}


async def test_a_called_graph_that_failed_goes_on_where_it_failed(
    wire: Any, thread: Any, calling: Any
) -> None:
    ran = []

    async def x(state: Any) -> None:
        ran.append("x")

    async def fails(state: Any) -> None:
        ran.append("fails")
        if ran.count("fails") == 1:
            raise ValueError("boom")

    inner = wire({"x": x, "fails": fails}, (START, "x"), ("x", "fails"), checkpointer=None)
    graph = wire({"call": calling(inner, "one")}, (START, "call"))
    with pytest.raises(ValueError, match=r"^boom$"):
        await graph.ainvoke({"log": []}, thread)
    await graph.ainvoke(None, thread)
    assert ran == ["x", "fails", "fails"]


async def test_a_retry_of_the_node_goes_on_with_the_called_graph(wire: Any, thread: Any) -> None:
    ran = []

    async def x(state: Any) -> None:
        ran.append("x")

    inner = wire({"x": x}, (START, "x"), checkpointer=None)

    async def call(state: Any) -> None:
        await inner.ainvoke({})
        ran.append("call")
        if ran.count("call") == 1:
            raise ConnectionError

    builder = StateGraph(inner.state_schema)
    builder.add_node("call", call, retry_policy=RetryPolicy(initial_interval=0, jitter=False))
    graph = builder.add_edge(START, "call").compile(checkpointer=InMemorySaver())
    await graph.ainvoke({}, thread)
    assert ran == ["x", "call", "call"]


async def test_a_called_graph_can_speak_to_the_graph_of_the_node(
    wire: Any, says: Any, calling: Any
) -> None:
    async def leave(state: Any) -> Command:
        return Command(graph=Command.PARENT, update={"log": ["left"]}, goto="b")

    inner = wire({"leave": leave}, (START, "leave"), checkpointer=None)
    nodes = {"call": calling(inner, "one"), "b": says("b")}
    graph = wire(nodes, (START, "call"), checkpointer=None)
    assert await graph.ainvoke({"log": []}) == {"log": ["left", "b"]}


async def test_a_command_for_the_graph_around_may_leave_through_a_nursery(
    wire: Any, says: Any
) -> None:
    async def leave(state: Any) -> Command:
        return Command(graph=Command.PARENT, update={"log": ["left"]}, goto="b")

    inner = wire({"leave": leave}, (START, "leave"), checkpointer=None)

    async def call(state: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(inner.ainvoke, {"log": []})

    graph = wire({"call": call, "b": says("b")}, (START, "call"), checkpointer=None)
    assert await graph.ainvoke({"log": []}) == {"log": ["left", "b"]}


async def test_a_call_for_a_thread_of_its_own_is_a_run_of_its_own(
    wire: Any, thread: Any, says: Any, calling: Any
) -> None:
    inner = wire({"x": says("x"), "ask": ask}, (START, "x"), ("x", "ask"))
    own = {"configurable": {"thread_id": "own"}}
    graph = wire({"call": calling(inner, "one", config=own)}, (START, "call"))
    assert await graph.ainvoke({"log": []}, thread) == {"log": [["one", "x"]]}
    assert (await graph.aget_state(thread)).next == ()
    state = await inner.aget_state(own)
    assert (state.next, state.config["configurable"]["checkpoint_ns"]) == (("ask",), "")
    assert (await inner.ainvoke(Command(resume="yes"), own))["log"] == ["one", "x", "yes"]


async def test_a_saver_of_its_own_is_not_used_in_a_run_around_it(
    wire: Any, thread: Any, says: Any, calling: Any
) -> None:
    inner = wire({"x": says("x")}, (START, "x"))
    graph = wire({"call": calling(inner, "one")}, (START, "call"))
    assert await graph.ainvoke({"log": []}, thread) == {"log": [["one", "x"]]}
    assert (await inner.aget_state(thread)).values == {}


async def test_passing_on_the_config_of_the_node_is_no_thread_of_its_own(
    wire: Any, thread: Any, asking: Any
) -> None:
    async def call(state: Any, config: RunnableConfig) -> Any:
        return {"log": (await asking.ainvoke({"log": ["one"]}, {**config, "tags": ["t"]}))["log"]}

    graph = wire({"call": call}, (START, "call"))
    assert asked(await graph.ainvoke({"log": []}, thread)) == ["one?"]
    assert (await graph.ainvoke(Command(resume=1), thread))["log"] == ["one", "x", 1]


async def test_a_call_inherits_the_config_and_may_add_to_it(wire: Any) -> None:
    seen = []

    async def look(state: Any) -> None:
        config = get_config()
        own = config["configurable"]
        seen.append((config["tags"], own.get("a"), own.get("b"), config["metadata"].get("m")))

    inner = wire({"look": look}, (START, "look"), checkpointer=None)

    async def call(state: Any) -> None:
        await inner.ainvoke({})
        await inner.ainvoke({}, {"tags": ["u"], "configurable": {"b": 2}, "metadata": {"m": 1}})

    graph = wire({"call": call}, (START, "call"), checkpointer=None)
    await graph.ainvoke({}, {"tags": ["t"], "configurable": {"a": 1}})
    assert seen == [(["t"], 1, None, None), (["t", "u"], 1, 2, 1)]


async def test_the_recursion_limit_holds_inside_unless_the_call_has_one(wire: Any) -> None:
    builder = StateGraph(TypedDict("Count", {"n": int}))
    builder.add_node("up", lambda state: {"n": state["n"] + 1}).add_edge(START, "up")
    builder.add_conditional_edges("up", lambda state: "up" if state["n"] < 9 else END)
    inner = builder.compile()

    def calling(config: Any) -> Any:
        return lambda state: {"value": inner.invoke({"n": 0}, config)["n"]}

    graph = wire({"call": calling(None)}, (START, "call"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": [], "value": 9}
    with pytest.raises(GraphRecursionError):
        await graph.ainvoke({}, {"recursion_limit": 5})
    graph = wire({"call": calling({"recursion_limit": 9})}, (START, "call"), checkpointer=None)
    assert (await graph.ainvoke({}, {"recursion_limit": 5}))["value"] == 9


@attrs.frozen
class Who:
    name: str


async def test_store_and_context_are_those_of_the_run_unless_the_call_has_a_context(
    wire: Any,
) -> None:
    store, seen = InMemoryStore(), []

    async def look(state: Any, runtime: Runtime[Who]) -> None:
        seen.append((runtime.context.name, runtime.store is store))

    inner = StateGraph(TypedDict("Empty", {"log": Any}), Who).add_node("look", look)
    called = inner.add_edge(START, "look").compile()

    async def call(state: Any) -> None:
        await called.ainvoke({})
        await called.ainvoke({}, context={"name": "other"})

    graph = wire({"call": call}, (START, "call"), checkpointer=None, store=store)
    await graph.ainvoke({}, context=Who("outer"))
    assert seen == [("outer", True), ("other", True)]


async def test_called_graphs_are_streamed_with_the_run_around_them(
    wire: Any, thread: Any, says: Any, calling: Any
) -> None:
    inner = wire({"x": says("x")}, (START, "x"), checkpointer=None)
    graph = wire({"call": calling(inner, "one", "two")}, (START, "call"))

    async def shown(**options: Any) -> list[Any]:
        async with graph.astream({"log": []}, thread, **options) as chunks:
            return [chunk async for chunk in chunks]

    assert await shown() == [{"call": {"log": [["one", "x"], ["two", "x"]]}}]
    first, second, last = await shown(subgraphs=True)
    (place,) = first[0]
    assert place.startswith("call:")
    assert [first[1], second] == [{"x": {"log": ["x"]}}, ((place, "1"), {"x": {"log": ["x"]}})]
    assert last[0] == ()


async def speak(state: Any) -> Any:
    get_stream_writer()("hi")
    return {"log": ["spoke"]}


async def test_a_graph_streamed_in_an_async_node_is_read_there_and_around(wire: Any) -> None:
    inner, read = wire({"speak": speak}, (START, "speak"), checkpointer=None), []

    async def follow(state: Any) -> None:
        async with inner.astream({"log": []}, stream_mode=["custom", "values"]) as chunks:
            read.extend([chunk async for chunk in chunks])

    graph = wire({"follow": follow}, (START, "follow"), checkpointer=None)
    async with graph.astream({"log": []}, stream_mode="updates", subgraphs=True) as chunks:
        around = [chunk for _, chunk in [chunk async for chunk in chunks]]
    assert read == [
        ("values", {"log": []}), ("custom", "hi"), ("values", {"log": ["spoke"]})
    ]  # fmt: skip
    assert around == [{"speak": {"log": ["spoke"]}}, {"follow": None}]


async def test_a_graph_streamed_in_a_node_shows_what_each_reader_asked_for(wire: Any) -> None:
    deep = wire({"speak": speak}, (START, "speak"), checkpointer=None)
    inner, read = wire({"deep": deep}, (START, "deep"), checkpointer=None), []

    async def follow(state: Any) -> None:
        for subgraphs in (False, True):
            async with inner.astream({"log": []}, subgraphs=subgraphs) as chunks:
                read.append([chunk async for chunk in chunks])

    graph = wire({"follow": follow}, (START, "follow"), checkpointer=None)
    async with graph.astream({"log": []}, stream_mode=["updates", "custom"]) as chunks:
        assert [chunk async for chunk in chunks] == [("updates", {"follow": None})]
    plain, nested = read
    assert plain == [{"deep": {"log": ["spoke"]}}]
    assert [list(chunk) for _, chunk in nested] == [["speak"], ["deep"]]


async def test_a_graph_streamed_in_a_plain_node_pauses_the_run_too(
    wire: Any, thread: Any, asking: Any
) -> None:
    def follow(state: Any) -> Any:
        return {"log": list(asking.stream({"log": ["one"]}, stream_mode="updates"))}

    graph = wire({"follow": follow}, (START, "follow"))
    assert asked(await graph.ainvoke({"log": []}, thread)) == ["one?"]
    result = await graph.ainvoke(Command(resume="yes"), thread)
    assert result["log"] == [{"ask": {"log": ["yes"]}}]


async def test_a_plain_node_may_leave_a_stream_early(wire: Any) -> None:
    stopped = trio.Event()

    async def endless(state: Any) -> None:
        get_stream_writer()("started")
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    inner = wire({"endless": endless}, (START, "endless"), checkpointer=None)

    def follow(state: Any) -> Any:
        return {"log": [next(iter(inner.stream({}, stream_mode="custom")))]}

    graph = wire({"follow": follow}, (START, "follow"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["started"]}
    assert stopped.is_set()


async def test_cancelling_a_run_stops_the_graphs_that_its_nodes_call(
    wire: Any, calling: Any
) -> None:
    started, stopped = trio.Event(), trio.Event()

    async def endless(state: Any) -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    inner = wire({"endless": endless}, (START, "endless"), checkpointer=None)
    graph = wire({"call": calling(inner, "one")}, (START, "call"), checkpointer=None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(graph.ainvoke, {"log": []})
        await started.wait()
        nursery.cancel_scope.cancel()
    assert stopped.is_set()


async def test_a_thread_of_the_node_may_call_a_graph(wire: Any, thread: Any, asking: Any) -> None:
    async def call(state: Any) -> Any:
        result = await trio.to_thread.run_sync(asking.invoke, {"log": ["one"]})
        return {"log": result["log"]}

    graph = wire({"call": call}, (START, "call"))
    assert asked(await graph.ainvoke({"log": []}, thread)) == ["one?"]
    assert (await graph.ainvoke(Command(resume=1), thread))["log"] == ["one", "x", 1]


async def test_a_thread_that_outlives_its_node_can_call_no_graph_in_its_run(
    wire: Any, says: Any
) -> None:
    inner = wire({"x": says("x")}, (START, "x"), checkpointer=None)
    waits, errors = threading.Event(), []
    late: list[threading.Thread] = []

    def call(state: Any) -> None:
        def later() -> None:
            waits.wait()
            try:
                inner.invoke({"log": []})
            except RuntimeError as error:
                errors.append(str(error))

        thread = threading.Thread(target=contextvars.copy_context().run, args=(later,))
        thread.start()
        late.append(thread)

    graph = wire({"call": call}, (START, "call"), checkpointer=None)
    await graph.ainvoke({})
    waits.set()
    await trio.to_thread.run_sync(late[0].join)
    assert errors == ["A call of graph 'LangGraph' in node 'call' came after its time"]


async def test_an_async_node_is_told_not_to_block_the_loop(wire: Any, says: Any) -> None:
    inner = wire({"x": says("x")}, (START, "x"), checkpointer=None)

    async def call(state: Any) -> None:
        inner.invoke({"log": []})

    graph = wire({"call": call}, (START, "call"), checkpointer=None)
    with pytest.raises(RuntimeError, match=r"use 'await graph\.ainvoke"):
        await graph.ainvoke({})


def test_graphs_are_called_in_programs_without_a_loop_too(
    wire: Any, thread: Any, asking: Any
) -> None:
    graph = wire({"call": lambda state: asking.invoke({"log": ["one"]})}, (START, "call"))
    assert asked(graph.invoke({"log": []}, thread)) == ["one?"]
    assert graph.invoke(Command(resume=1), thread)["log"] == ["one", "x", 1]
