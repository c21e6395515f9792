"""The states of graphs inside others: read, edited, and gone on from."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pytest

from greenroom.graph import (
    START,
    Command,
    InMemorySaver,
    NodeNotFoundError,
    Send,
    StateGraph,
    StateSnapshot,
    interrupt,
)


async def one(state: Any) -> Any:
    return {"log": [f"1 {interrupt('one?')}"]}


async def two(state: Any) -> Any:
    return {"log": [f"2 {interrupt('two?')}"]}


@pytest.fixture(params=[None, True], ids=["afresh", "remembers"])
def inner(request: Any, wire: Any, says: Any) -> Any:
    """A graph that says `x`, and asks twice."""
    nodes = {"x": says("x"), "one": one, "two": two}
    edges = ((START, "x"), ("x", "one"), ("one", "two"))
    return wire(nodes, *edges, checkpointer=request.param)


@pytest.fixture(params=["node", "called", "two levels"])
def graph(request: Any, wire: Any, says: Any, inner: Any) -> Any:
    """`before`, the inner graph, and `after`."""
    match request.param:
        case "called":

            async def held(state: Any) -> Any:
                return {"log": (await inner.ainvoke({"log": []}))["log"]}

        case "node":
            held = inner
        case _:
            middle = wire({"deep": inner}, (START, "deep"), checkpointer=inner.checkpointer)

            async def held(state: Any) -> Any:
                return {"log": (await middle.ainvoke({"log": []}))["log"]}

    nodes = {"before": says("before"), "inner": held, "after": says("after")}
    return wire(nodes, (START, "before"), ("before", "inner"), ("inner", "after"))


async def deepest(graph: Any, config: Any) -> StateSnapshot:
    """The state of the innermost graph."""
    state = await graph.aget_state(config, subgraphs=True)
    while isinstance(state.tasks[0].state, StateSnapshot):
        state = state.tasks[0].state
    return state


async def ask(graph: Any, given: Any, config: Any) -> Any:
    """The questions that a run comes to, or the end of its log."""
    result = await graph.ainvoke(given, config)
    return [q.value for q in result.get("__interrupt__", ())] or result["log"][-4:]


async def sources(graph: Any, thread: Any) -> list[tuple[str, tuple[str, ...]]]:
    history = [state async for state in graph.aget_state_history(thread)]
    return [(state.metadata["source"], state.next) for state in history]


async def test_the_state_of_a_graph_inside_is_read_with_that_around_it(
    graph: Any, thread: Any
) -> None:
    await ask(graph, {"log": []}, thread)
    state = await deepest(graph, thread)
    assert (state.values["log"][-1], state.next) == ("x", ("one",))
    assert state.interrupts == (await graph.aget_state(thread)).interrupts
    plain = await graph.aget_state(thread)
    assert isinstance(plain.tasks[0].state, Mapping)
    assert (await graph.aget_state(plain.tasks[0].state)).next != ()


async def test_its_history_is_read_by_its_namespace(graph: Any, thread: Any) -> None:
    await ask(graph, {"log": []}, thread)
    await ask(graph, Command(resume=1), thread)
    state = await deepest(graph, thread)
    own = {"thread_id": "1", "checkpoint_ns": state.config["configurable"]["checkpoint_ns"]}
    history = [s async for s in graph.aget_state_history({"configurable": own})]
    assert [s.next for s in history] == [("two",), ("one",), ("x",), ("__start__",)]
    older = await graph.aget_state(history[1].config)
    assert (older.next, older.values["log"][-1]) == (("one",), "x")


async def test_a_past_checkpoint_shows_what_the_graph_inside_came_to_then(
    graph: Any, thread: Any
) -> None:
    for turn in ("a", "b"):
        for given in ({"log": []}, Command(resume=f"{turn}1"), Command(resume=f"{turn}2")):
            await ask(graph, given, thread)
    history = [state async for state in graph.aget_state_history(thread)]
    past = [state.config for state in reversed(history) if state.next == ("inner",)]
    for turn, config in zip(("a", "b"), past, strict=True):
        state = await graph.aget_state(config, subgraphs=True)
        inner = state.tasks[0].state
        assert (inner.next, inner.values["log"][-1]) == ((), f"2 {turn}2")


async def test_an_edit_of_a_paused_graph_inside_is_what_its_nodes_see(
    graph: Any, thread: Any
) -> None:
    await ask(graph, {"log": []}, thread)
    (question,) = (await graph.aget_state(thread)).interrupts
    state = await deepest(graph, thread)
    await graph.aupdate_state(state.config, {"log": ["edited"]})
    assert (await deepest(graph, thread)).values["log"][-2:] == ["x", "edited"]
    assert (await graph.aget_state(thread)).interrupts == (question,)
    assert await ask(graph, Command(resume={question.id: 1}), thread) == ["two?"]
    assert await ask(graph, Command(resume=2), thread) == ["edited", "1 1", "2 2", "after"]


async def test_an_edit_as_the_node_that_asks_answers_in_its_place(graph: Any, thread: Any) -> None:
    await ask(graph, {"log": []}, thread)
    state = await deepest(graph, thread)
    made = await graph.aupdate_state(state.config, {"log": ["mine"]}, as_node="one")
    assert (await graph.aget_state(made)).next == ("two",)
    assert await ask(graph, None, thread) == ["two?"]
    assert await ask(graph, Command(resume=2), thread) == ["x", "mine", "2 2", "after"]


async def test_a_node_that_is_visited_again_after_an_edit_asks_again(
    wire: Any, thread: Any
) -> None:
    inner = wire({"one": one}, (START, "one"), ("one", "one"), checkpointer=None)
    graph = wire({"inner": inner}, (START, "inner"))
    assert await ask(graph, {"log": []}, thread) == ["one?"]
    state = await deepest(graph, thread)
    await graph.aupdate_state(state.config, {"log": ["mine"]}, as_node="one")
    (question,) = (await graph.aget_state(thread)).interrupts
    result = await graph.ainvoke(Command(resume={question.id: "spent"}), thread)
    (other,) = result["__interrupt__"]
    assert other.id != question.id
    assert (await deepest(graph, thread)).values["log"] == ["mine"]


async def test_an_edit_that_sends_tasks_anew_asks_what_they_ask(wire: Any, thread: Any) -> None:
    async def ask_it(state: Any) -> Any:
        return {"log": [interrupt(state)]}

    async def plan(state: Any) -> None: ...

    def sends(state: Any) -> Any:
        return [Send("ask_it", state["value"])]

    builder = StateGraph(wire("a", (START, "a")).state_schema)
    builder.add_node("plan", plan).add_node("ask_it", ask_it).add_edge(START, "plan")
    inner = builder.add_conditional_edges("plan", sends, ["ask_it"]).compile()
    graph = wire({"inner": inner}, (START, "inner"))
    assert await ask(graph, {"value": "old?"}, thread) == ["old?"]
    state = await deepest(graph, thread)
    await graph.aupdate_state(state.config, {"value": "new?"}, as_node="plan")
    assert await ask(graph, None, thread) == ["new?"]


# Time travel.


async def test_going_on_from_a_place_inside_goes_on_from_what_was_there(
    graph: Any, thread: Any
) -> None:
    await ask(graph, {"log": []}, thread)
    first = (await deepest(graph, thread)).config
    await ask(graph, Command(resume=1), thread)
    second = (await deepest(graph, thread)).config
    assert await ask(graph, Command(resume=2), thread) == ["x", "1 1", "2 2", "after"]

    assert await ask(graph, None, second) == ["two?"]
    assert await ask(graph, Command(resume=20), thread) == ["x", "1 1", "2 20", "after"]
    assert await ask(graph, None, first) == ["one?"]
    assert await ask(graph, Command(resume=10), thread) == ["two?"]
    assert await ask(graph, Command(resume=30), thread) == ["x", "1 10", "2 30", "after"]


async def test_going_on_from_a_place_inside_is_a_branch_of_its_own(graph: Any, thread: Any) -> None:
    await ask(graph, {"log": []}, thread)
    config = (await deepest(graph, thread)).config
    await ask(graph, Command(resume=1), thread)
    await ask(graph, Command(resume=2), thread)
    await ask(graph, None, config)
    history = await sources(graph, thread)
    assert history[:4] == [
        ("fork", ("inner",)), ("loop", ()), ("loop", ("after",)), ("loop", ("inner",))
    ]  # fmt: skip
    fork, *_, origin = [s async for s in graph.aget_state_history(thread)][:4]
    assert fork.parent_config == origin.config
    inside = await deepest(graph, thread)
    assert inside.metadata["source"] == "fork"
    if (parent := inside.parent_config) is not None:
        assert (await graph.aget_state(parent)).values == inside.values


async def test_a_place_inside_that_is_the_newest_is_gone_on_from_without_a_branch(
    graph: Any, thread: Any
) -> None:
    await ask(graph, {"log": []}, thread)
    config = (await deepest(graph, thread)).config
    before = await sources(graph, thread)
    assert await ask(graph, None, config) == ["one?"]
    assert await ask(graph, Command(resume=1), config) == ["two?"]
    assert await sources(graph, thread) == before


async def test_an_older_place_inside_a_paused_graph_is_asked_about_again(
    graph: Any, thread: Any
) -> None:
    await ask(graph, {"log": []}, thread)
    config = (await deepest(graph, thread)).config
    assert await ask(graph, Command(resume=1), thread) == ["two?"]
    assert await ask(graph, None, config) == ["one?"]
    assert await ask(graph, Command(resume=10), thread) == ["two?"]
    assert await ask(graph, Command(resume=20), thread) == ["x", "1 10", "2 20", "after"]


async def test_an_edited_place_inside_is_gone_on_from(graph: Any, thread: Any) -> None:
    await ask(graph, {"log": []}, thread)
    config = (await deepest(graph, thread)).config
    for answer in (1, 2):
        await ask(graph, Command(resume=answer), thread)
    edited = await graph.aupdate_state(config, {"log": ["edited"]})
    assert await ask(graph, None, edited) == ["one?"]
    assert await ask(graph, Command(resume=10), thread) == ["two?"]
    assert await ask(graph, Command(resume=20), thread) == ["edited", "1 10", "2 20", "after"]


async def test_the_end_of_a_graph_inside_leads_on_at_once(graph: Any, thread: Any) -> None:
    await ask(graph, {"log": []}, thread)
    place = (await deepest(graph, thread)).config["configurable"]
    for answer in (1, 2):
        await ask(graph, Command(resume=answer), thread)
    own = {"thread_id": "1", "checkpoint_ns": place["checkpoint_ns"]}
    last = await graph.aget_state({"configurable": own})
    assert last.next == ()
    assert await ask(graph, None, last.config) == ["x", "1 1", "2 2", "after"]
    assert (await sources(graph, thread))[2] == ("fork", ("inner",))


async def test_from_a_checkpoint_around_it_a_graph_inside_starts_anew(
    graph: Any, thread: Any
) -> None:
    await ask(graph, {"log": []}, thread)
    outer = (await graph.aget_state(thread)).config
    await ask(graph, Command(resume=1), thread)
    await ask(graph, Command(resume=2), thread)
    assert await ask(graph, None, outer) == ["one?"]
    assert await ask(graph, Command(resume=3), thread) == ["two?"]
    assert await ask(graph, Command(resume=4), thread) == ["x", "1 3", "2 4", "after"]


@pytest.mark.parametrize("inside", [False, True])
async def test_a_question_that_was_dropped_is_answered_from_its_checkpoint(
    graph: Any, thread: Any, inside: bool
) -> None:
    await ask(graph, {"log": []}, thread)
    state = await (deepest(graph, thread) if inside else graph.aget_state(thread))
    await ask(graph, {"log": ["new turn"]}, thread)
    assert await ask(graph, Command(resume="old"), state.config) == ["two?"]
    assert await ask(graph, Command(resume=2), thread) == ["x", "1 old", "2 2", "after"]


async def test_a_place_that_is_not_there_is_an_error(graph: Any, thread: Any) -> None:
    await ask(graph, {"log": []}, thread)
    config = (await deepest(graph, thread)).config
    await ask(graph, Command(resume=1), thread)
    own = config["configurable"]
    ns = own["checkpoint_ns"]
    missing = {**own, "checkpoint_map": {**own["checkpoint_map"], ns: "nope"}}
    with pytest.raises(ValueError, match="There is no checkpoint 'nope'"):
        await graph.ainvoke(None, {"configurable": missing})


async def test_a_namespace_that_leads_to_no_graph_is_an_error(
    wire: Any, thread: Any, says: Any
) -> None:
    graph = wire({"a": says("a")}, (START, "a"))
    for ns in ("a:1", "nope"):
        with pytest.raises(NodeNotFoundError, match="leads to no graph"):
            await graph.aget_state({"configurable": {"thread_id": "1", "checkpoint_ns": ns}})


def test_graphs_that_nodes_refer_to_are_known(wire: Any, says: Any) -> None:
    inner = wire({"a": says("a")}, (START, "a"), checkpointer=None)
    other = wire({"b": says("b")}, (START, "b"), checkpointer=False)

    class Holder:
        def __init__(self) -> None:
            self.graph = inner

        async def method(self, state: Any) -> Any:
            return await self.graph.ainvoke(state)

        async def __call__(self, state: Any) -> Any:
            return await self.graph.ainvoke(state)

    async def nested(state: Any) -> Any:
        async def call() -> Any:
            return await inner.ainvoke(state)

        return await call()

    async def none(state: Any) -> Any:
        return await other.ainvoke(state)

    bound = inner.ainvoke

    async def method_of(state: Any) -> Any:
        return await bound(state)

    def logged(function: Any) -> Any:
        @functools.wraps(function)
        async def call(state: Any) -> Any:
            return await function(state)

        return call

    nodes = {
        "wrapped": functools.partial(logged(nested)),
        "nested": nested,
        "method": Holder().method,
        "object": Holder(),
        "method_of": method_of,
        "none": none,
        "node": inner,
    }
    builder = StateGraph(inner.state_schema)
    for name, node in nodes.items():
        builder.add_node(name, node)
    graph = builder.add_edge(START, "node").compile(checkpointer=InMemorySaver())
    found = dict(graph.get_subgraphs())
    assert found == dict.fromkeys(
        ("wrapped", "nested", "method", "object", "method_of", "node"), inner
    )
