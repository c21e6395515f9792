"""What a run streams, and what becomes of it when nobody follows any more."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from greenroom.graph import START, Command, get_stream_writer, interrupt

EDGES = ((START, "a"), ("a", "b"), ("b", "c"))


async def streamed(graph: Any, given: Any, config: Any = None, **options: Any) -> list[Any]:
    async with graph.astream(given, config, **options) as chunks:
        return [chunk async for chunk in chunks]


def tasks_living() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def ask(state: Any) -> Any:
    return {"log": [interrupt("?")]}


async def test_updates_are_what_each_node_returned(wire: Any) -> None:
    graph = wire("abc", *EDGES, checkpointer=None)
    wanted = [{"a": {"log": ["a"]}}, {"b": {"log": ["b"]}}, {"c": {"log": ["c"]}}]
    assert await streamed(graph, {}, stream_mode="updates") == wanted
    assert await streamed(graph, {}) == wanted


async def test_values_are_the_state_after_the_input_and_after_each_step(wire: Any) -> None:
    graph = wire("abc", *EDGES, checkpointer=None)
    assert await streamed(graph, {"log": ["in"]}, stream_mode="values") == [
        {"log": ["in"]},
        {"log": ["in", "a"]},
        {"log": ["in", "a", "b"]},
        {"log": ["in", "a", "b", "c"]},
    ]


async def test_several_modes_come_as_pairs_in_order(wire: Any) -> None:
    graph = wire("a", (START, "a"), checkpointer=None)
    assert await streamed(graph, {"log": ["in"]}, stream_mode=["values", "updates"]) == [
        ("values", {"log": ["in"]}),
        ("updates", {"a": {"log": ["a"]}}),
        ("values", {"log": ["in", "a"]}),
    ]
    assert await streamed(graph, {}, stream_mode=["updates"]) == [
        ("updates", {"a": {"log": ["a"]}})
    ]


async def test_a_node_that_wrote_nothing_shows_in_updates(wire: Any) -> None:
    graph = wire({"a": lambda state: None}, (START, "a"), checkpointer=None)
    assert await streamed(graph, {}, stream_mode="updates") == [{"a": None}]


async def test_the_update_of_a_command_is_shown(wire: Any) -> None:
    graph = wire(
        {"a": lambda state: Command(update={"log": ["a"]})}, (START, "a"), checkpointer=None
    )
    assert await streamed(graph, {}) == [{"a": {"log": ["a"]}}]


async def test_several_updates_of_one_node_are_all_shown(wire: Any) -> None:
    async def node(state: Any) -> Any:
        return [Command(update={"log": ["one"]}), {"log": ["two"]}]

    graph = wire({"a": node}, (START, "a"), checkpointer=None)
    assert await streamed(graph, {}) == [{"a": [{"log": ["one"]}, {"log": ["two"]}]}]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_custom_is_what_a_node_writes(wire: Any, kind: str) -> None:
    def plain(state: Any) -> Any:
        write = get_stream_writer()
        write({"progress": 50})
        write("done")
        return {"log": ["a"]}

    async def on_loop(state: Any) -> Any:
        return plain(state)

    node = plain if kind == "plain" else on_loop
    graph = wire({"a": node}, (START, "a"), checkpointer=None)
    assert await streamed(graph, {}, stream_mode="custom") == [{"progress": 50}, "done"]
    assert await streamed(graph, {}, stream_mode=["custom", "updates"]) == [
        ("custom", {"progress": 50}),
        ("custom", "done"),
        ("updates", {"a": {"log": ["a"]}}),
    ]
    assert await streamed(graph, {}, stream_mode="updates") == [{"a": {"log": ["a"]}}]


async def test_a_pause_for_an_interrupt_ends_updates_and_values(wire: Any, thread: Any) -> None:
    graph = wire({"ask": ask}, (START, "ask"))
    chunks = await streamed(graph, {"log": ["in"]}, thread, stream_mode=["values", "updates"])
    (question,) = (await graph.aget_state(thread)).interrupts
    modes: dict[str, list[Any]] = {"values": [], "updates": []}
    for mode, chunk in chunks:
        if "__interrupt__" in chunk:
            chunk = {**chunk, "__interrupt__": list(chunk["__interrupt__"])}
        modes[mode].append(chunk)
    assert modes == {
        "updates": [{"__interrupt__": [question]}],
        "values": [{"log": ["in"]}, {"log": ["in"], "__interrupt__": [question]}],
    }


async def test_a_pause_at_a_breakpoint_ends_updates(wire: Any, thread: Any) -> None:
    graph = wire("abc", *EDGES, interrupt_before=["b"])
    chunks = await streamed(graph, {}, thread)
    assert chunks[0] == {"a": {"log": ["a"]}}
    assert [(list(c), list(c["__interrupt__"])) for c in chunks[1:]] == [(["__interrupt__"], [])]
    values = await streamed(graph, None, thread, stream_mode="values")
    assert values[0] == {"log": ["a"]}
    assert values[-1] == {"log": ["a", "b", "c"]}


async def test_a_chunk_comes_as_soon_as_its_node_is_done(wire: Any, says: Any) -> None:
    seen = trio.Event()

    async def waits(state: Any) -> Any:
        await seen.wait()
        return {"log": ["waits"]}

    nodes = {"a": says("a"), "waits": waits}
    graph = wire(nodes, (START, "a"), (START, "waits"), checkpointer=None)
    order = []
    async with graph.astream({}) as chunks:
        async for chunk in chunks:
            order += chunk
            seen.set()
    assert order == ["a", "waits"]


async def test_an_error_comes_behind_the_chunks_before_it(wire: Any, says: Any) -> None:
    async def fails(state: Any) -> None:
        raise ValueError("boom")

    graph = wire({"a": says("a"), "b": fails}, (START, "a"), ("a", "b"), checkpointer=None)
    got = []

    async def follow() -> None:
        async with graph.astream({}) as chunks:
            async for chunk in chunks:
                got.append(chunk)

    with pytest.raises(ValueError, match=r"^boom$"):
        await follow()
    assert got == [{"a": {"log": ["a"]}}]


async def test_leaving_early_cancels_the_run_and_leaves_no_task(
    wire: Any, thread: Any, says: Any
) -> None:
    entered, stopped = trio.Event(), []

    async def forever(state: Any) -> None:
        entered.set()
        try:
            await trio.sleep_forever()
        finally:
            stopped.append("forever")

    graph = wire({"a": says("a"), "b": forever}, (START, "a"), ("a", "b"))
    living = tasks_living()
    async with graph.astream({}, thread) as chunks:
        assert await anext(chunks) == {"a": {"log": ["a"]}}
        await entered.wait()
    assert tasks_living() == living
    assert stopped == ["forever"]
    state = await graph.aget_state(thread)
    assert (state.values, state.next) == ({"log": ["a"]}, ("b",))


async def test_an_error_of_the_reader_is_raised_as_it_is(wire: Any) -> None:
    async def forever(state: Any) -> None:
        await trio.sleep_forever()

    graph = wire({"a": forever}, (START, "a"), checkpointer=None)
    living = tasks_living()

    async def read() -> None:
        async with graph.astream({}):
            await trio.testing.wait_all_tasks_blocked()
            raise LookupError("mine")

    with pytest.raises(LookupError, match=r"^mine$"):
        await read()
    assert tasks_living() == living


async def test_a_timeout_around_a_stream_is_the_readers_own(wire: Any, autojump_clock: Any) -> None:
    async def forever(state: Any) -> None:
        await trio.sleep_forever()

    graph = wire({"a": forever}, (START, "a"), checkpointer=None)
    with pytest.raises(trio.TooSlowError):
        with trio.fail_after(1):
            await streamed(graph, {})


async def test_iterating_without_opening_says_how(wire: Any) -> None:
    graph = wire("a", (START, "a"), checkpointer=None)
    with pytest.raises(TypeError, match="async with"):
        async for _ in graph.astream({}):
            pass


@pytest.mark.parametrize("mode", ["value", ["updates", "value"]])
async def test_an_unknown_mode_is_refused(wire: Any, mode: Any) -> None:
    graph = wire("a", (START, "a"), checkpointer=None)
    with pytest.raises(ValueError, match="'value'"):
        graph.astream({}, stream_mode=mode)


async def test_what_a_reader_does_to_a_chunk_does_not_reach_the_run(wire: Any) -> None:
    async def b(state: Any) -> Any:
        return {"log": [len(state["log"])]}

    graph = wire({"a": lambda state: None, "b": b}, (START, "a"), ("a", "b"), checkpointer=None)
    async with graph.astream({"log": [1]}, stream_mode="values") as chunks:
        async for chunk in chunks:
            chunk.clear()
    assert await graph.ainvoke({"log": [1]}) == {"log": [1, 1]}
