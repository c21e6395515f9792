"""Checkpoints: what is kept of a run, going back to it, and changing it by hand."""

from __future__ import annotations

import operator
from datetime import datetime
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import (
    END,
    START,
    Command,
    GraphRecursionError,
    InMemorySaver,
    InvalidUpdateError,
    NodeNotFoundError,
    StateGraph,
    StateSnapshot,
    interrupt,
)


class State(TypedDict):
    log: Annotated[list[str], operator.add]


EDGES = ((START, "a"), ("a", "b"), ("b", "c"))


async def history(graph: Any, thread: Any, **options: Any) -> list[StateSnapshot]:
    return [snapshot async for snapshot in graph.aget_state_history(thread, **options)]


def made(snapshots: list[StateSnapshot]) -> list[tuple[str, int]]:
    return [(s.metadata["source"], s.metadata["step"]) for s in snapshots if s.metadata]


def checkpoint_id(config: Any) -> Any:
    return config["configurable"]["checkpoint_id"]


async def ask(state: Any) -> Any:
    return {"log": [interrupt("?")]}


async def test_there_is_a_checkpoint_after_the_input_and_after_every_step(
    wire: Any, thread: Any
) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({"log": ["in"]}, thread)
    snapshots = await history(graph, thread)
    assert made(snapshots) == [("loop", 3), ("loop", 2), ("loop", 1), ("loop", 0), ("input", -1)]
    assert [s.next for s in snapshots] == [(), ("c",), ("b",), ("a",), (START,)]
    assert [s.values["log"] for s in snapshots] == [
        ["in", "a", "b", "c"], ["in", "a", "b"], ["in", "a"], ["in"], []
    ]  # fmt: skip


async def test_an_older_checkpoint_shows_all_nodes_that_ran_side_by_side_after_it(
    wire: Any, thread: Any
) -> None:
    graph = wire("abc", (START, "a"), (START, "b"), (["a", "b"], "c"))
    await graph.ainvoke({}, thread)
    assert [s.next for s in await history(graph, thread)] == [(), ("c",), ("a", "b"), (START,)]


async def test_each_checkpoint_names_its_parent(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({}, thread)
    snapshots = await history(graph, thread)
    ids = [checkpoint_id(s.config) for s in snapshots]
    assert ids == sorted(ids, reverse=True)
    assert [checkpoint_id(s.parent_config) for s in snapshots[:-1]] == ids[1:]
    assert snapshots[-1].parent_config is None


async def test_a_checkpoint_says_when_it_was_made(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({}, thread)
    (last, *_) = snapshots = await history(graph, thread)
    assert datetime.fromisoformat(str(last.created_at)).utcoffset() is not None
    times = [str(s.created_at) for s in snapshots]
    assert times == sorted(times, reverse=True)


async def test_the_state_is_the_newest_checkpoint(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({}, thread)
    assert await graph.aget_state(thread) == (await history(graph, thread))[0]


async def test_states_and_their_tasks_are_tuples_of_their_parts(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES, interrupt_before=["b"])
    await graph.ainvoke({}, thread)
    state = await graph.aget_state(thread)
    values, following, *_ = state
    assert (values, following) == ({"log": ["a"]}, ("b",))
    assert state._asdict()["next"] == state[1]
    ((_, name, *_),) = state._replace(values={}).tasks
    assert name == "b"


async def test_the_state_of_an_older_checkpoint_can_be_read(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({}, thread)
    for snapshot in await history(graph, thread):
        assert await graph.aget_state(snapshot.config) == snapshot


async def test_a_new_thread_is_empty(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    state = await graph.aget_state(thread)
    assert (state.values, state.next, state.tasks, state.interrupts) == ({}, (), (), ())
    assert (state.metadata, state.created_at, state.parent_config) == (None, None, None)
    assert await history(graph, thread) == []


async def test_steps_go_on_counting_in_the_next_turn(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({}, thread)
    await graph.ainvoke({}, thread)
    assert made(await history(graph, thread)) == [
        ("loop", 4), ("loop", 3), ("input", 2), ("loop", 1), ("loop", 0), ("input", -1)
    ]  # fmt: skip


async def test_history_can_be_limited_filtered_and_begun_further_back(
    wire: Any, thread: Any
) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({}, thread)
    whole = await history(graph, thread)
    assert await history(graph, thread, limit=2) == whole[:2]
    assert await history(graph, thread, before=whole[1].config) == whole[2:]
    assert await history(graph, thread, before=whole[1].config, limit=1) == whole[2:3]
    assert await history(graph, thread, filter={"source": "input"}) == whole[-1:]
    assert await history(graph, thread, filter={"source": "loop"}, limit=2) == whole[:2]
    assert await history(graph, thread, filter={"step": 1}, limit=1) == whole[2:3]


async def test_the_metadata_of_a_run_is_on_its_checkpoints(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({}, {**thread, "metadata": {"who": "me"}})
    assert {s.metadata["who"] for s in await history(graph, thread) if s.metadata} == {"me"}


async def test_a_run_from_an_older_checkpoint_forks(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({}, thread)
    before = await history(graph, thread)
    assert await graph.ainvoke(None, before[2].config) == {"log": ["a", "b", "c"]}
    after = await history(graph, thread)
    assert after[-len(before) :] == before
    forked = after[: -len(before)]
    assert [source for source, _ in made(forked)] == ["loop", "loop", "fork"]
    assert forked[-1].parent_config == before[2].config
    steps = [before[2].metadata["step"], *(one.metadata["step"] for one in reversed(forked))]
    assert steps == [1, 2, 3, 4]


async def test_new_input_from_an_older_checkpoint_goes_on_from_there(
    wire: Any, thread: Any
) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({"log": ["one"]}, thread)
    after_one = (await graph.aget_state(thread)).config
    await graph.ainvoke({"log": ["two"]}, thread)
    result = await graph.ainvoke({"log": ["other"]}, after_one)
    assert result == {"log": ["one", "a", "other", "a"]}
    assert (await graph.aget_state(thread)).values == result


async def test_an_update_is_a_checkpoint_of_its_own(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES, interrupt_before=["b"])
    await graph.ainvoke({}, thread)
    before = await graph.aget_state(thread)
    config = await graph.aupdate_state(thread, {"log": ["u"]})
    after = await graph.aget_state(thread)
    assert after.config == config
    assert after.parent_config == before.config
    assert made([before, after]) == [("loop", 1), ("update", 2)]
    assert (after.values, after.next) == ({"log": ["a", "u"]}, ("b",))
    assert await graph.ainvoke(None, thread) == {"log": ["a", "u", "b", "c"]}


@pytest.mark.parametrize(("node", "then"), [("a", ("b",)), ("b", ("c",)), ("c", ())])
async def test_an_update_as_a_node_goes_on_after_it(
    wire: Any, thread: Any, node: str, then: tuple[str, ...]
) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({}, thread)
    await graph.aupdate_state(thread, {"log": ["u"]}, as_node=node)
    assert (await graph.aget_state(thread)).next == then


async def test_an_update_as_a_node_follows_its_conditional_edges(
    wire: Any, thread: Any, says: Any
) -> None:
    builder = StateGraph(State).add_node("a", says("a")).add_node("b", says("b"))
    builder.add_edge(START, "a").add_conditional_edges("a", lambda state: state["log"][-1])
    graph = builder.compile(checkpointer=InMemorySaver())
    await graph.aupdate_state(thread, {"log": ["b"]}, as_node="a")
    assert (await graph.aget_state(thread)).next == ("b",)


async def test_an_update_as_end_leaves_nothing_to_do(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES, interrupt_before=["b"])
    await graph.ainvoke({}, thread)
    await graph.aupdate_state(thread, None, as_node=END)
    state = await graph.aget_state(thread)
    assert (state.next, state.values) == ((), {"log": ["a"]})


async def test_an_update_of_a_new_thread_is_its_input(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES)
    await graph.aupdate_state(thread, {"log": ["u"]})
    state = await graph.aget_state(thread)
    assert (state.values, state.next) == ({"log": ["u"]}, ("a",))
    assert await graph.ainvoke(None, thread) == {"log": ["u", "a", "b", "c"]}


async def test_an_update_of_an_older_checkpoint_forks(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({}, thread)
    after_a = (await history(graph, thread))[2]
    config = await graph.aupdate_state(after_a.config, {"log": ["u"]})
    assert await graph.ainvoke(None, config) == {"log": ["a", "u", "b", "c"]}


async def test_an_update_that_could_be_of_several_nodes_must_say_of_which(
    wire: Any, thread: Any
) -> None:
    graph = wire("ab", (START, "a"), (START, "b"))
    await graph.ainvoke({}, thread)
    before = await history(graph, thread)
    with pytest.raises(InvalidUpdateError, match="as_node"):
        await graph.aupdate_state(thread, {"log": ["u"]})
    assert await history(graph, thread) == before
    await graph.aupdate_state(thread, {"log": ["u"]}, as_node="a")
    assert (await graph.aget_state(thread)).values == {"log": ["a", "b", "u"]}


async def test_an_update_as_an_unknown_node_changes_nothing(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({}, thread)
    before = await history(graph, thread)
    with pytest.raises((NodeNotFoundError, InvalidUpdateError), match="'nowhere'"):
        await graph.aupdate_state(thread, {"log": ["u"]}, as_node="nowhere")
    assert await history(graph, thread) == before


async def test_an_update_that_is_none_changes_nothing(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({}, thread)
    before = await history(graph, thread)
    with pytest.raises(InvalidUpdateError, match="'text'"):
        await graph.aupdate_state(thread, "text")
    assert await history(graph, thread) == before


async def test_an_update_of_a_thread_that_asks_drops_the_question(wire: Any, thread: Any) -> None:
    graph = wire({"ask": ask}, (START, "ask"))
    await graph.ainvoke({}, thread)
    await graph.aupdate_state(thread, {"log": ["u"]})
    state = await graph.aget_state(thread)
    assert (state.next, state.interrupts) == (("ask",), ())
    result = await graph.ainvoke(None, thread)
    assert (result["log"], len(result["__interrupt__"])) == (["u"], 1)
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"log": ["u", "yes"]}


async def test_an_update_as_the_node_that_asks_answers_in_its_place(
    wire: Any, thread: Any, says: Any
) -> None:
    graph = wire({"ask": ask, "b": says("b")}, (START, "ask"), ("ask", "b"))
    await graph.ainvoke({}, thread)
    await graph.aupdate_state(thread, {"log": ["u"]}, as_node="ask")
    assert (await graph.aget_state(thread)).next == ("b",)
    assert await graph.ainvoke(None, thread) == {"log": ["u", "b"]}


async def test_a_saver_serves_several_graphs_one_after_the_other(wire: Any, thread: Any) -> None:
    saver = InMemorySaver()
    await wire("a", (START, "a"), checkpointer=saver).ainvoke({}, thread)
    other = wire("b", (START, "b"), checkpointer=saver)
    assert await other.ainvoke({}, thread) == {"log": ["a", "b"]}


async def test_a_thread_that_a_saver_deleted_is_new(wire: Any, thread: Any) -> None:
    saver = InMemorySaver()
    graph = wire("a", (START, "a"), checkpointer=saver)
    assert await graph.ainvoke({}, thread) == {"log": ["a"]}
    saver.delete_thread("1")
    assert await history(graph, thread) == []
    assert await graph.ainvoke({}, thread) == {"log": ["a"]}
    await saver.adelete_thread("1")
    assert await history(graph, thread) == []


async def test_without_a_saver_there_is_no_state_to_read_or_change(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"), checkpointer=None)
    with pytest.raises(ValueError, match="checkpointer"):
        await graph.aget_state(thread)
    with pytest.raises(ValueError, match="checkpointer"):
        await history(graph, thread)
    with pytest.raises(ValueError, match="checkpointer"):
        await graph.aupdate_state(thread, {})


async def test_the_state_needs_a_thread_id(wire: Any) -> None:
    with pytest.raises(ValueError, match="thread_id"):
        await wire("a", (START, "a")).aget_state({})


async def test_an_update_without_a_node_does_not_double_what_siblings_had_finished(
    wire: Any, thread: Any, says: Any
) -> None:
    nodes = {"ask": ask, "work": says("worked"), "after": says("after")}
    graph = wire(nodes, (START, "ask"), (START, "work"), (["ask", "work"], "after"))
    await graph.ainvoke({}, thread)
    await graph.aupdate_state(thread, {"log": ["u"]})
    await graph.ainvoke(None, thread)
    result = await graph.ainvoke(Command(resume="yes"), thread)
    assert sorted(result["log"]) == ["after", "u", "worked", "yes"]


async def test_an_update_as_one_of_several_that_ask_leaves_the_others_waiting(
    wire: Any, thread: Any, says: Any
) -> None:
    nodes = {"a": ask, "b": ask, "c": says("c")}
    graph = wire(nodes, (START, "a"), (START, "b"), ("a", "b"), ("a", "c"))
    await graph.ainvoke({}, thread)
    await graph.aupdate_state(thread, {"log": ["u"]}, as_node="a")
    assert sorted((await graph.aget_state(thread)).next) == ["b", "c"]


async def test_a_checkpoint_that_is_not_there_is_an_error(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"))
    await graph.ainvoke({}, thread)
    before = await history(graph, thread)
    nowhere = {"configurable": {**thread["configurable"], "checkpoint_id": "nowhere"}}
    with pytest.raises(ValueError, match="'nowhere'"):
        await graph.ainvoke(None, nowhere)
    with pytest.raises(ValueError, match="'nowhere'"):
        await graph.aupdate_state(nowhere, {})
    assert await history(graph, thread) == before


async def test_checkpoints_are_in_order_within_one_moment(wire: Any, thread: Any) -> None:
    graph = wire("a", (START, "a"), ("a", "a"))
    with pytest.raises(GraphRecursionError):
        await graph.ainvoke({}, {**thread, "recursion_limit": 50})
    ids = [checkpoint_id(s.config) for s in await history(graph, thread)]
    assert ids == sorted(set(ids), reverse=True)
