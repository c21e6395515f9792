"""Editing the state several times over, and reading it with that of inner graphs."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.graph import (
    END,
    START,
    Command,
    InvalidUpdateError,
    StateSnapshot,
    StateUpdate,
    interrupt,
)


async def told(graph: Any, thread: Any) -> list[tuple[Any, Any, Any]]:
    """What each checkpoint of a thread holds, what is next and where it came from, oldest first."""
    states = [state async for state in graph.aget_state_history(thread)]
    return [(s.values["log"], s.next, s.metadata["source"]) for s in reversed(states)]


@pytest.fixture
def abc(wire: Any) -> Any:
    return wire("abc", (START, "a"), ("a", "b"), ("b", "c"))


async def test_each_super_step_of_updates_is_a_checkpoint(abc: Any, thread: Any) -> None:
    made = await abc.abulk_update_state(
        thread,
        [
            [StateUpdate({"log": [0]}, START)],
            [StateUpdate({"log": [1]}, "a"), StateUpdate({"log": [2]}, "b")],
            [StateUpdate(None, END)],
        ],
    )
    assert await told(abc, thread) == [
        ([0], ("a",), "update"),
        ([0, 1, 2], ("b", "c"), "update"),
        ([0, 1, 2], (), "update"),
    ]
    assert (await abc.aget_state(thread)).config == made


async def test_an_update_as_input_begins_a_turn(abc: Any, thread: Any) -> None:
    await abc.abulk_update_state(thread, [[StateUpdate({"log": [0]}, "__input__")]])
    assert await told(abc, thread) == [([], (START,), "input")]
    assert (await abc.ainvoke(None, thread))["log"] == [0, "a", "b", "c"]


async def test_a_thread_that_was_written_by_hand_goes_on_where_it_was_left(
    abc: Any, thread: Any
) -> None:
    steps = [[StateUpdate({"log": ["in"]}, START)], [StateUpdate({"log": ["A"]}, "a")]]
    await abc.abulk_update_state(thread, steps)
    assert (await abc.ainvoke(None, thread))["log"] == ["in", "A", "b", "c"]


async def test_updates_of_one_super_step_arrive_together_at_an_edge_from_several_nodes(
    wire: Any, thread: Any
) -> None:
    graph = wire("abc", (START, "a"), (START, "b"), (["a", "b"], "c"))
    await graph.abulk_update_state(
        thread, [[StateUpdate({"log": [1]}, "a"), StateUpdate({"log": [2]}, "b")]]
    )
    assert (await graph.aget_state(thread)).next == ("c",)


@pytest.mark.parametrize(
    ("updates", "error", "says"),
    [
        ([], ValueError, "at least one"),
        ([StateUpdate({"log": []}, "a"), StateUpdate({"log": []})], InvalidUpdateError, "as_node"),
        ([StateUpdate({"log": []}, "nobody")], InvalidUpdateError, "'nobody'"),
        ([StateUpdate(None, END), StateUpdate(None, "a")], InvalidUpdateError, "alone"),
        ([StateUpdate({"log": []}, END)], InvalidUpdateError, "takes no values; got dict"),
        ([StateUpdate({}, "__input__"), StateUpdate(None, "a")], InvalidUpdateError, "alone"),
        ([StateUpdate(3, "__input__")], InvalidUpdateError, "got int"),
    ],
)
async def test_refused_updates_change_nothing(
    abc: Any, thread: Any, updates: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        await abc.abulk_update_state(thread, [[StateUpdate({"log": [1]}, "a")], updates])
    assert await told(abc, thread) == []


def test_bulk_updates_work_without_an_event_loop(abc: Any, thread: Any) -> None:
    abc.bulk_update_state(thread, [[StateUpdate({"log": [1]}, "a")]])
    assert abc.get_state(thread, subgraphs=True).values == {"log": [1]}


async def ask(state: Any) -> Any:
    return {"log": [interrupt("?")]}


async def test_the_state_of_inner_graphs_comes_with_that_of_the_outer_at_any_depth(
    wire: Any, says: Any, thread: Any
) -> None:
    inner = wire({"x": says("x"), "ask": ask}, (START, "x"), ("x", "ask"), checkpointer=None)
    middle = wire({"inner": inner}, (START, "inner"), checkpointer=None)
    outer = wire({"middle": middle}, (START, "middle"))
    await outer.ainvoke({"log": ["in"]}, thread)

    (task,) = (await outer.aget_state(thread)).tasks
    assert task.state is not None
    assert not isinstance(task.state, StateSnapshot)

    (task,) = (await outer.aget_state(thread, subgraphs=True)).tasks
    assert isinstance(task.state, StateSnapshot)
    assert task.state.next == ("inner",)
    (task,) = task.state.tasks
    assert isinstance(task.state, StateSnapshot)
    assert (task.state.values, task.state.next) == ({"log": ["in", "x"]}, ("ask",))
    assert task.state.interrupts[0].value == "?"

    await outer.aupdate_state(task.state.config, {"log": ["by hand"]}, as_node="ask")
    result = await outer.ainvoke(Command(resume="unused"), thread)
    assert "by hand" in result["log"]


async def test_an_inner_graph_that_has_not_run_has_an_empty_state(
    wire: Any, says: Any, thread: Any
) -> None:
    inner = wire({"x": says("x")}, (START, "x"), checkpointer=None)
    outer = wire({"inner": inner}, (START, "inner"))
    await outer.ainvoke({"log": []}, thread, interrupt_before=["inner"])
    (task,) = (await outer.aget_state(thread, subgraphs=True)).tasks
    assert isinstance(task.state, StateSnapshot)
    assert (task.state.values, task.state.next, task.state.tasks) == ({}, (), ())
