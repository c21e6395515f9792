"""A graph in a plain program, without a loop of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from greenroom.graph import START, Command, EmptyInputError, interrupt

EDGES = ((START, "a"), ("a", "b"))


def test_invoke_runs_to_the_end(wire: Any, thread: Any) -> None:
    graph = wire("ab", *EDGES)
    assert graph.invoke({"log": ["in"]}, thread) == {"log": ["in", "a", "b"]}
    assert graph.invoke({}, thread) == {"log": ["in", "a", "b", "a", "b"]}


def test_a_paused_thread_is_resumed(wire: Any, thread: Any) -> None:
    def ask(state: Any) -> Any:
        return {"log": [interrupt("?")]}

    graph = wire({"ask": ask}, (START, "ask"))
    assert [q.value for q in graph.invoke({}, thread)["__interrupt__"]] == ["?"]
    assert graph.invoke(Command(resume="yes"), thread) == {"log": ["yes"]}


def test_stream_gives_the_chunks(wire: Any, thread: Any) -> None:
    graph = wire("ab", *EDGES)
    assert list(graph.stream({}, thread)) == [{"a": {"log": ["a"]}}, {"b": {"log": ["b"]}}]
    modes = [
        mode for mode, _ in graph.stream({"log": []}, thread, stream_mode=["values", "updates"])
    ]
    assert modes == ["values", "updates", "values", "updates", "values"]


def test_leaving_a_stream_early_stops_the_run(wire: Any, thread: Any) -> None:
    graph = wire("ab", *EDGES)
    stream = graph.stream({}, thread)
    assert next(iter(stream)) == {"a": {"log": ["a"]}}
    stream.close()
    assert graph.invoke(None, thread) == {"log": ["a", "b"]}


def test_state_history_and_update(wire: Any, thread: Any) -> None:
    graph = wire("ab", *EDGES, interrupt_before=["b"])
    graph.invoke({}, thread)
    assert graph.get_state(thread).next == ("b",)
    config = graph.update_state(thread, {"log": ["u"]})
    assert graph.get_state(config).values == {"log": ["a", "u"]}
    sources = [s.metadata["source"] for s in graph.get_state_history(thread)]
    assert sources == ["update", "loop", "loop", "input"]
    assert len(list(graph.get_state_history(thread, limit=1))) == 1


def test_errors_are_the_same(wire: Any, thread: Any) -> None:
    def fails(state: Any) -> None:
        raise ValueError("boom")

    graph = wire({"a": fails}, (START, "a"))
    with pytest.raises(EmptyInputError):
        graph.invoke(None, thread)
    with pytest.raises(ValueError, match=r"^boom$"):
        graph.invoke({}, thread)
    with pytest.raises(ValueError, match=r"^boom$"):
        list(graph.stream({}, thread))


CALLS = {
    "invoke": lambda graph, config: graph.invoke({}, config),
    "stream": lambda graph, config: list(graph.stream({}, config)),
    "get_state": lambda graph, config: graph.get_state(config),
    "get_state_history": lambda graph, config: list(graph.get_state_history(config)),
    "update_state": lambda graph, config: graph.update_state(config, {}),
}


@pytest.mark.parametrize("name", CALLS)
async def test_on_a_running_trio_loop_they_say_what_to_use(
    wire: Any, thread: Any, name: str
) -> None:
    with pytest.raises(RuntimeError, match=f"a{name}"):
        CALLS[name](wire("ab", *EDGES), thread)


@pytest.mark.parametrize("name", CALLS)
def test_on_a_running_asyncio_loop_they_say_what_to_use(wire: Any, thread: Any, name: str) -> None:
    async def main() -> None:
        CALLS[name](wire("ab", *EDGES), thread)

    with pytest.raises(RuntimeError, match=r"asyncio|trio"):
        asyncio.run(main())


def test_they_work_in_a_plain_node_of_another_graph(wire: Any) -> None:
    inner = wire("ab", *EDGES, checkpointer=None)
    outer = wire({"call": lambda state: inner.invoke({})}, (START, "call"), checkpointer=None)
    assert outer.invoke({}) == {"log": ["a", "b"]}
