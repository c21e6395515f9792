"""Static breakpoints: pausing before or after a node."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.graph import START, Command, interrupt

EDGES = ((START, "a"), ("a", "b"), ("b", "c"))
PAUSES = [
    ({"interrupt_before": ["b"]}, [["a"], ["a", "b", "c"]]),
    ({"interrupt_after": ["b"]}, [["a", "b"], ["a", "b", "c"]]),
    ({"interrupt_before": ["a"]}, [[], ["a", "b", "c"]]),
    ({"interrupt_after": ["c"]}, [["a", "b", "c"], ["a", "b", "c"]]),
    ({"interrupt_before": "*"}, [[], ["a"], ["a", "b"], ["a", "b", "c"]]),
    ({"interrupt_after": "*"}, [["a"], ["a", "b"], ["a", "b", "c"]]),
    ({"interrupt_after": ["a"], "interrupt_before": ["b"]}, [["a"], ["a", "b", "c"]]),
    ({"interrupt_before": ["b", "c"]}, [["a"], ["a", "b"], ["a", "b", "c"]]),
]


@pytest.mark.parametrize(("breakpoints", "stops"), PAUSES)
@pytest.mark.parametrize("when", ["compile", "run"])
async def test_a_run_stops_at_its_breakpoints_and_goes_on_with_none(
    wire: Any, thread: Any, breakpoints: Any, stops: list[list[str]], when: str
) -> None:
    at_compile, at_run = (breakpoints, {}) if when == "compile" else ({}, breakpoints)
    graph = wire("abc", *EDGES, **at_compile)
    given: Any = {"log": []}
    for stop in stops:
        assert await graph.ainvoke(given, thread, **at_run) == {"log": stop}
        given = None
    assert (await graph.aget_state(thread)).next == ()


async def test_a_paused_thread_names_the_node_to_come_and_asks_nothing(
    wire: Any, thread: Any
) -> None:
    graph = wire("abc", *EDGES, interrupt_before=["b"])
    await graph.ainvoke({}, thread)
    state = await graph.aget_state(thread)
    assert (state.next, state.interrupts) == (("b",), ())


async def test_a_breakpoint_of_one_run_is_not_the_next_ones(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES)
    await graph.ainvoke({}, thread, interrupt_before="*")
    assert await graph.ainvoke(None, thread) == {"log": ["a", "b", "c"]}


async def test_breakpoints_of_a_run_take_the_place_of_the_compiled_ones(
    wire: Any, thread: Any
) -> None:
    graph = wire("abc", *EDGES, interrupt_before=["b"])
    assert await graph.ainvoke({}, thread, interrupt_before=["c"]) == {"log": ["a", "b"]}


async def test_a_breakpoint_in_a_loop_stops_every_time(wire: Any, thread: Any) -> None:
    graph = wire("ab", (START, "a"), ("a", "b"), ("b", "a"), interrupt_before=["a"])
    assert await graph.ainvoke({}, thread) == {"log": []}
    assert await graph.ainvoke(None, thread) == {"log": ["a", "b"]}
    assert await graph.ainvoke(None, thread) == {"log": ["a", "b", "a", "b"]}


async def test_new_input_at_a_breakpoint_starts_a_new_turn(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES, interrupt_before=["b"])
    await graph.ainvoke({"log": ["one"]}, thread)
    assert await graph.ainvoke({"log": ["two"]}, thread) == {"log": ["one", "a", "two", "a"]}


async def test_a_state_changed_at_a_breakpoint_is_what_the_next_node_sees(
    wire: Any, thread: Any, says: Any
) -> None:
    async def b(state: Any) -> Any:
        return {"log": [f"b saw {state['value']}"]}

    graph = wire({"a": says("a"), "b": b}, (START, "a"), ("a", "b"), interrupt_before=["b"])
    await graph.ainvoke({"value": 1}, thread)
    await graph.aupdate_state(thread, {"value": 2})
    assert (await graph.ainvoke(None, thread))["log"] == ["a", "b saw 2"]


async def test_an_unknown_name_in_a_runs_breakpoints_stops_nothing(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES)
    assert await graph.ainvoke({}, thread, interrupt_before=["z"]) == {"log": ["a", "b", "c"]}


async def test_a_breakpoint_after_a_node_holds_when_its_sibling_was_asking(
    wire: Any, thread: Any, says: Any
) -> None:
    async def ask(state: Any) -> Any:
        return {"log": [interrupt("?")]}

    nodes = {"a": says("a"), "ask": ask, "b": says("b")}
    graph = wire(nodes, (START, "a"), (START, "ask"), ("a", "b"), interrupt_after=["a"])
    assert "__interrupt__" in await graph.ainvoke({}, thread)
    assert await graph.ainvoke(Command(resume="yes"), thread) == {"log": ["a", "yes"]}
    assert (await graph.aget_state(thread)).next == ("b",)
    assert await graph.ainvoke(None, thread) == {"log": ["a", "yes", "b"]}


async def test_without_a_saver_a_breakpoint_ends_the_run(wire: Any) -> None:
    graph = wire("abc", *EDGES, checkpointer=None, interrupt_before=["b"])
    assert await graph.ainvoke({}) == {"log": ["a"]}


async def test_a_breakpoint_behind_the_last_node_is_told_too(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES, interrupt_after=["a", "c"])
    told = []
    for given in ({"log": []}, None, None):
        async with graph.astream(given, thread, stream_mode="updates") as chunks:
            told.append([next(iter(chunk)) async for chunk in chunks])
    assert told == [["a", "__interrupt__"], ["b", "c", "__interrupt__"], []]
