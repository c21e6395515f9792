"""Compiled graphs as nodes of other graphs."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

from greenroom.graph import START, Command, StateGraph, interrupt


async def ask(state: Any) -> Any:
    return {"log": [interrupt("?")]}


@pytest.fixture
def asking(wire: Any, says: Any) -> Any:
    """`before`, then an inner graph of `x` and `ask`, then `after`."""
    inner = wire({"x": says("x"), "ask": ask}, (START, "x"), ("x", "ask"), checkpointer=None)
    nodes = {"before": says("before"), "inner": inner, "after": says("after")}
    return wire(nodes, (START, "before"), ("before", "inner"), ("inner", "after"))


async def test_an_inner_graph_shares_the_state_keys_it_has_in_common(wire: Any, says: Any) -> None:
    async def shout(state: Any) -> Any:
        return {"value": state["value"].upper()}

    inner = wire({"shout": shout}, (START, "shout"), checkpointer=None)
    graph = wire({"inner": inner, "b": says("b")}, (START, "inner"), ("inner", "b"))
    config = {"configurable": {"thread_id": "1"}}
    assert await graph.ainvoke({"value": "hi"}, config) == {"log": ["b"], "value": "HI"}


class Inner(TypedDict, total=False):
    value: int
    secret: int


async def test_keys_of_the_inner_state_alone_stay_inside(wire: Any) -> None:
    async def node(state: Any) -> Any:
        return {"secret": 1, "value": state["value"] + 1}

    builder = StateGraph(Inner).add_node("a", node).add_edge(START, "a")
    graph = wire({"inner": builder.compile()}, (START, "inner"), checkpointer=None)
    assert await graph.ainvoke({"value": 1, "log": []}) == {"value": 2, "log": []}


async def test_an_interrupt_inside_pauses_the_whole_and_is_answered_from_outside(
    asking: Any, thread: Any
) -> None:
    result = await asking.ainvoke({"log": []}, thread)
    (question,) = result["__interrupt__"]
    assert (question.value, result["log"]) == ("?", ["before"])
    assert [part.partition(":")[0] for part in question.ns] == ["inner", "ask"]
    state = await asking.aget_state(thread)
    assert (state.next, state.interrupts) == (("inner",), (question,))

    result = await asking.ainvoke(Command(resume="yes"), thread)
    assert result["log"][-3:] == ["x", "yes", "after"]


async def test_inner_nodes_that_had_finished_are_not_run_again(wire: Any, thread: Any) -> None:
    ran = []

    async def x(state: Any) -> None:
        ran.append("x")

    inner = wire({"x": x, "ask": ask}, (START, "x"), ("x", "ask"), checkpointer=None)
    graph = wire({"inner": inner}, (START, "inner"))
    await graph.ainvoke({}, thread)
    await graph.ainvoke(Command(resume="yes"), thread)
    assert ran == ["x"]


async def test_an_inner_graph_has_checkpoints_of_its_own(asking: Any, thread: Any) -> None:
    await asking.ainvoke({"log": []}, thread)
    (task,) = (await asking.aget_state(thread)).tasks
    inner = await asking.aget_state(task.state)
    assert inner.config["configurable"]["checkpoint_ns"] == f"inner:{task.id}"
    assert (inner.values, inner.next) == ({"log": ["before", "x"]}, ("ask",))
    history = [s async for s in asking.aget_state_history(task.state)]
    assert [(s.metadata["source"], s.metadata["step"]) for s in history] == [
        ("loop", 1), ("loop", 0), ("input", -1)
    ]  # fmt: skip
    outer = [s async for s in asking.aget_state_history(thread)]
    assert len(outer) == 3


async def test_the_state_of_an_inner_graph_is_read_and_changed_as_its_own(
    wire: Any, thread: Any
) -> None:
    async def node(state: Any) -> Any:
        return {"value": state["secret"]}

    builder = StateGraph(Inner).add_node("a", node).add_edge(START, "a")
    graph = wire({"inner": builder.compile(interrupt_before=["a"])}, (START, "inner"))
    await graph.ainvoke({"value": 1}, thread)
    (task,) = (await graph.aget_state(thread)).tasks
    await graph.aupdate_state(task.state, {"secret": 7})
    inner = await graph.aget_state(task.state)
    assert (inner.values, inner.next) == ({"value": 1, "secret": 7}, ("a",))
    assert (await graph.ainvoke(None, thread))["value"] == 7


async def test_graphs_inside_graphs_inside_graphs(wire: Any, thread: Any) -> None:
    graph = wire({"ask": ask}, (START, "ask"), checkpointer=None)
    for name in ("one", "two"):
        graph = wire({name: graph}, (START, name), checkpointer=None)
    graph = wire({"three": graph}, (START, "three"))
    (question,) = (await graph.ainvoke({}, thread))["__interrupt__"]
    assert [part.partition(":")[0] for part in question.ns] == ["three", "two", "one", "ask"]
    assert (await graph.ainvoke(Command(resume="yes"), thread))["log"] == ["yes"]


async def test_inner_graphs_side_by_side_ask_each_for_itself(wire: Any, thread: Any) -> None:
    inner = wire({"ask": ask}, (START, "ask"), checkpointer=None)
    graph = wire({"a": inner, "b": inner}, (START, "a"), (START, "b"))
    first, second = (await graph.ainvoke({}, thread))["__interrupt__"]
    assert first.id != second.id
    result = await graph.ainvoke(Command(resume={second.id: "B", first.id: "A"}), thread)
    assert result["log"] == ["A", "B"]


async def test_an_inner_graph_starts_afresh_each_time(wire: Any, thread: Any) -> None:
    async def count(state: Any) -> Any:
        return {"value": state.get("value", 0) + 1}

    inner = wire({"count": count}, (START, "count"), checkpointer=None)
    graph = wire({"inner": inner}, (START, "inner"))
    await graph.ainvoke({"value": 10}, thread)
    assert (await graph.ainvoke({"value": 20}, thread))["value"] == 21


async def test_an_inner_node_can_speak_to_the_graph_around_it(wire: Any, says: Any) -> None:
    async def leave(state: Any) -> Command:
        return Command(graph=Command.PARENT, update={"log": ["left"]}, goto="b")

    nodes = {"leave": leave, "never": says("never")}
    inner = wire(nodes, (START, "leave"), ("leave", "never"), checkpointer=None)
    graph = wire({"inner": inner, "b": says("b")}, (START, "inner"), checkpointer=None)
    assert await graph.ainvoke({}) == {"log": ["left", "b"]}


async def test_an_inner_failure_is_raised_as_it_is(wire: Any, thread: Any) -> None:
    error = ValueError("boom")

    async def fails(state: Any) -> None:
        raise error

    inner = wire({"fails": fails}, (START, "fails"), checkpointer=None)
    graph = wire({"inner": inner}, (START, "inner"))
    with pytest.raises(ValueError, match=r"^boom$") as caught:
        await graph.ainvoke({}, thread)
    assert caught.value is error


async def test_a_breakpoint_of_an_inner_graph_pauses_the_whole(
    wire: Any, thread: Any, says: Any
) -> None:
    inner = wire("xy", (START, "x"), ("x", "y"), checkpointer=None, interrupt_before=["y"])
    graph = wire({"inner": inner, "b": says("b")}, (START, "inner"), ("inner", "b"))
    await graph.ainvoke({"log": []}, thread)
    assert (await graph.aget_state(thread)).next == ("inner",)
    assert (await graph.ainvoke(None, thread))["log"] == ["x", "y", "b"]


async def test_inner_updates_are_streamed_where_asked_for(asking: Any, thread: Any) -> None:
    async def names(given: Any, **options: Any) -> list[Any]:
        async with asking.astream(given, thread, stream_mode="updates", **options) as chunks:
            return [chunk async for chunk in chunks]

    assert [list(chunk) for chunk in await names({"log": []})] == [["before"], ["__interrupt__"]]
    shown = await names(Command(resume="yes"), subgraphs=True)
    (task_ns,) = {ns for ns, _ in shown if ns}
    assert task_ns[0].startswith("inner:")
    assert [(ns, list(chunk)) for ns, chunk in shown] == [
        (task_ns, ["ask"]), ((), ["inner"]), ((), ["after"])
    ]  # fmt: skip
