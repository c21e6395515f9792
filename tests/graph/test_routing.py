"""Where a run goes next: edges, conditional edges, Command and Send."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
import trio

from greenroom.graph import (
    END,
    START,
    Command,
    InMemorySaver,
    InvalidUpdateError,
    NodeNotFoundError,
    Send,
    StateGraph,
)
from greenroom.graph.job import Job


async def visited(graph: Any, given: Any = None) -> list[Any]:
    return (await graph.ainvoke(given or {})).get("log", [])


def branching(says: Any, route: Any, *path_map: Any) -> Any:
    """`a`, then whatever `route` says of `b` and `c`."""
    builder = StateGraph(State)
    for name in "abc":
        builder.add_node(name, says(name))
    builder.add_edge(START, "a")
    return builder.add_conditional_edges("a", route, *path_map).compile()


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    numbers: list[int]


async def test_a_node_reached_by_two_edges_at_once_runs_once(wire: Any) -> None:
    edges = [(START, "a"), (START, "b"), ("a", "c"), ("b", "c")]
    assert await visited(wire("abc", *edges, checkpointer=None)) == ["a", "b", "c"]


async def test_single_edges_do_not_wait_for_each_other(wire: Any) -> None:
    edges = [(START, "a"), (START, "b"), ("b", "c"), ("a", "d"), ("c", "d")]
    assert await visited(wire("abcd", *edges, checkpointer=None)) == ["a", "b", "c", "d", "d"]


async def test_an_edge_from_several_nodes_waits_for_all(wire: Any) -> None:
    edges = [(START, "a"), (START, "b"), ("b", "c"), (["a", "c"], "d")]
    assert await visited(wire("abcd", *edges, checkpointer=None)) == ["a", "b", "c", "d"]


async def test_an_edge_from_several_nodes_waits_anew_each_turn(wire: Any, thread: Any) -> None:
    edges = [(START, "a"), (START, "b"), ("b", "c"), (["a", "c"], "d")]
    graph = wire("abcd", *edges)
    await graph.ainvoke({}, thread)
    assert (await graph.ainvoke({}, thread))["log"] == list("abcdabcd")


@pytest.mark.parametrize("taken_in", [False, True])
async def test_a_source_that_has_arrived_is_waited_for_no_more_in_the_next_turn(
    says: Any, thread: Any, taken_in: bool
) -> None:
    saver, builder = InMemorySaver(), StateGraph(State)
    for name in "abc":
        builder.add_node(name, says(name))
    builder.add_conditional_edges(START, lambda state: state["log"][-1])
    graph = builder.add_edge(["a", "b"], "c").compile(checkpointer=saver)
    assert await graph.ainvoke({"log": ["a"]}, thread) == {"log": ["a", "a"]}
    if taken_in:  # the input of a run that did not get to begin
        await graph.take_in(Job(input={"log": ["b"]}, log=saver.log("1")))
    result = await graph.ainvoke(None if taken_in else {"log": ["b"]}, thread)
    assert result == {"log": ["a", "a", "b", "b", "c"]}


async def test_a_source_named_twice_is_waited_for_once(wire: Any) -> None:
    graph = wire("ab", (START, "a"), (["a", "a"], "b"), checkpointer=None)
    assert await visited(graph) == ["a", "b"]


async def test_a_source_that_ran_twice_in_a_step_has_arrived_once(wire: Any, says: Any) -> None:
    async def fan_out(state: Any) -> Command:
        return Command(goto=[Send("a", {}), Send("a", {}), "b"])

    async def back_once(state: Any) -> Command:
        return Command(update={"log": ["c"]}, goto="b" if "c" not in state["log"] else END)

    nodes = {"fan_out": fan_out, "a": says("a"), "b": says("b"), "c": back_once}
    graph = wire(nodes, (START, "fan_out"), (["a", "b"], "c"), checkpointer=None)
    assert await visited(graph) == ["b", "a", "a", "c", "b"]


async def test_tasks_are_in_order_of_name_however_long_they_take(
    wire: Any, autojump_clock: Any
) -> None:
    def after(seconds: float, name: str) -> Any:
        async def node(state: Any) -> Any:
            await trio.sleep(seconds)
            return {"log": [name]}

        return node

    nodes = {"b": after(1, "b"), "c": after(0, "c"), "a": after(2, "a")}
    graph = wire(nodes, *((START, name) for name in nodes), checkpointer=None)
    assert await visited(graph) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("chosen", "then"),
    [("b", ["b"]), (["c", "b"], ["b", "c"]), (END, []), ([], []), (Send("c", {}), ["c"])],
)
async def test_a_conditional_edge_goes_where_its_function_says(
    says: Any, chosen: Any, then: list[str]
) -> None:
    assert await visited(branching(says, lambda state: chosen)) == ["a", *then]


async def test_a_path_map_translates_the_answer(says: Any) -> None:
    graph = branching(says, lambda state: len(state["log"]) > 1, {True: "b", False: "c"})
    assert await visited(graph) == ["a", "c"]
    assert await visited(graph, {"log": ["in"]}) == ["in", "a", "b"]


async def test_a_path_map_may_be_a_list_of_nodes(says: Any) -> None:
    assert await visited(branching(says, lambda state: "c", ["b", "c", END])) == ["a", "c"]


async def test_a_conditional_edge_sees_what_its_node_wrote(says: Any) -> None:
    async def route(state: Any) -> str:
        return "b" if state["log"][-1] == "a" else "c"

    assert await visited(branching(says, route)) == ["a", "b"]


async def test_an_edge_and_a_conditional_edge_both_lead_on(says: Any) -> None:
    builder = StateGraph(State)
    for name in "abc":
        builder.add_node(name, says(name))
    builder.add_edge(START, "a").add_edge("a", "b").add_conditional_edges("a", lambda state: "c")
    assert await visited(builder.compile()) == ["a", "b", "c"]


async def test_the_way_in_can_be_conditional(says: Any) -> None:
    builder = StateGraph(State).add_node("a", says("a")).add_node("b", says("b"))
    builder.add_conditional_edges(START, lambda state: state["log"][0])
    assert await visited(builder.compile(), {"log": ["b"]}) == ["b", "b"]


@pytest.mark.parametrize("chosen", [None, 5])
async def test_an_answer_that_is_no_target_is_refused(says: Any, chosen: Any) -> None:
    with pytest.raises(InvalidUpdateError, match=repr(chosen)):
        await visited(branching(says, lambda state: chosen))


async def test_an_answer_that_the_path_map_does_not_have_is_refused(says: Any) -> None:
    with pytest.raises(InvalidUpdateError, match="'b'"):
        await visited(branching(says, lambda state: "b", {True: "b"}))


async def test_a_conditional_edge_to_an_unknown_node_is_refused(says: Any) -> None:
    with pytest.raises(NodeNotFoundError, match="'nowhere'"):
        await visited(branching(says, lambda state: "nowhere"))


@pytest.mark.parametrize("chosen", [START, Send(START, {"log": ["again"]})])
async def test_no_conditional_edge_leads_to_start(says: Any, chosen: Any) -> None:
    with pytest.raises(NodeNotFoundError, match="__start__"):
        await visited(branching(says, lambda state: chosen))


async def test_a_command_updates_and_goes_on(wire: Any, says: Any) -> None:
    async def route(state: Any) -> Command:
        return Command(update={"log": ["route"]}, goto="right")

    nodes = {"route": route, "left": says("left"), "right": says("right")}
    assert await visited(wire(nodes, (START, "route"), checkpointer=None)) == ["route", "right"]


async def test_a_command_adds_to_the_edges_of_its_node(wire: Any, says: Any) -> None:
    nodes = {"a": lambda state: Command(goto="c"), "b": says("b"), "c": says("c")}
    graph = wire(nodes, (START, "a"), ("a", "b"), checkpointer=None)
    assert await visited(graph) == ["b", "c"]


async def test_a_command_may_go_to_several_places_and_send(wire: Any, says: Any) -> None:
    async def route(state: Any) -> Command:
        return Command(update=[("log", ["route"])], goto=["c", Send("b", {}), "a"])

    nodes = {"route": route, "a": says("a"), "b": says("b"), "c": says("c")}
    graph = wire(nodes, (START, "route"), checkpointer=None)
    assert await visited(graph) == ["route", "a", "c", "b"]


@pytest.mark.parametrize(
    "goto", ["nowhere", ["b", "nowhere"], Send("nowhere", {}), Send(END, {}), START]
)
async def test_a_command_to_an_unknown_node_is_refused(wire: Any, says: Any, goto: Any) -> None:
    nodes = {"a": lambda state: Command(goto=goto), "b": says("b")}
    with pytest.raises(NodeNotFoundError, match=r"'a' leads to '(nowhere|__end__|__start__)'"):
        await visited(wire(nodes, (START, "a"), checkpointer=None))


async def test_a_map_over_sends_is_reduced_in_the_order_sent(autojump_clock: Any) -> None:
    async def square(item: Any) -> Any:
        await trio.sleep(1 / item["n"])
        return {"log": [item["n"] ** 2]}

    async def total(state: State) -> Any:
        return {"log": [sum(state["log"])]}

    builder = StateGraph(State).add_node("square", square).add_node("total", total)
    builder.add_conditional_edges(
        START, lambda state: [Send("square", {"n": n}) for n in state["numbers"]], ["square"]
    )
    builder.add_edge("square", "total")
    assert await visited(builder.compile(), {"numbers": [3, 1, 2]}) == [9, 1, 4, 14]


async def test_sends_come_after_tasks_reached_by_edges(says: Any) -> None:
    graph = branching(says, lambda state: [Send("b", {}), "c", Send("c", {})])
    assert await visited(graph) == ["a", "c", "b", "c"]


@pytest.mark.parametrize("arg", [None, 0, "text", [1, 2], {"n": 1}])
async def test_a_node_that_was_sent_something_gets_just_that(wire: Any, arg: Any) -> None:
    async def echo(item: Any) -> Any:
        return {"log": [item]}

    nodes = {"a": lambda state: Command(goto=Send("echo", arg)), "echo": echo}
    graph = wire(nodes, (START, "a"), checkpointer=None)
    assert (await graph.ainvoke({"value": "state"}))["log"] == [arg]


class Narrow(TypedDict, total=False):
    log: list[Any]


@pytest.mark.parametrize("declares", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_conditional_edge_sees_what_its_node_returned_beside_the_state(
    declares: bool, is_async: bool, thread: Any
) -> None:
    def route(state: Any) -> str:
        assert state["log"] == ["in", "a"]
        return str(state.get("more", END))

    async def later(state: Any) -> str:
        return route(state)

    path = later if is_async else route
    path.__annotations__["state"] = Narrow if declares else Any
    builder = StateGraph(State).add_node("a", lambda state: {"log": ["a"], "more": "b"})
    builder.add_node("b", lambda state: {"numbers": [len(state)]})
    builder.add_edge(START, "a").add_conditional_edges("a", path)
    graph = builder.compile(checkpointer=InMemorySaver())
    left = {} if declares else {"numbers": [1]}
    assert await graph.ainvoke({"log": ["in"]}, thread) == {"log": ["in", "a"], **left}
    await graph.aupdate_state(thread, {"more": "b"}, as_node="a")
    assert (await graph.aget_state(thread)).next == (() if declares else ("b",))


def test_a_command_shows_what_it_says() -> None:
    command = Command(goto=[Send("a", 1)], update={"log": []})
    assert repr(command) == "Command(update={'log': []}, goto=[Send(node='a', arg=1)])"
    assert repr(Command(resume=False)) == "Command(resume=False)"


async def test_a_command_as_input_updates_and_goes_beside_what_is_planned(
    wire: Any, thread: Any
) -> None:
    graph = wire("abc", (START, "a"), ("a", "b"), ("b", "c"))
    await graph.ainvoke({}, thread, interrupt_before=["b"])
    result = await graph.ainvoke(Command(goto="c", update={"log": ["u"]}), thread)
    assert result["log"] == ["a", "u", "b", "c", "c"]


async def test_a_command_as_input_starts_a_finished_thread_anywhere(wire: Any, thread: Any) -> None:
    graph = wire("abc", (START, "a"), ("a", "b"), ("b", "c"))
    await graph.ainvoke({}, thread)
    result = await graph.ainvoke(Command(goto="b"), thread)
    assert result["log"] == ["a", "b", "c", "b", "c"]


async def test_a_command_that_only_goes_somewhere_starts_an_empty_thread_too(
    wire: Any, thread: Any
) -> None:
    graph = wire("abc", (START, "a"), ("a", "b"), ("b", "c"))
    result = await graph.ainvoke(Command(goto="b"), thread)
    assert result["log"] == ["a", "b", "b", "c", "c"]


@pytest.mark.parametrize("goto", ["nowhere", START, Send("nowhere", {}), ["a", "nowhere"]])
async def test_a_command_as_input_to_an_unknown_node_changes_nothing(
    wire: Any, thread: Any, goto: Any
) -> None:
    graph = wire("ab", (START, "a"), ("a", "b"))
    await graph.ainvoke({}, thread, interrupt_before=["b"])
    before = await graph.aget_state(thread)
    with pytest.raises(NodeNotFoundError, match=r"nowhere|__start__"):
        await graph.ainvoke(Command(goto=goto, update={"log": ["u"]}), thread)
    assert await graph.aget_state(thread) == before
    assert await graph.ainvoke(None, thread) == {"log": ["a", "b"]}
