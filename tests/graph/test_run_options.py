"""How a run can be asked for: its output, its config, several at once."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pydantic
import pytest
import trio

from greenroom.graph import (
    START,
    Command,
    CompiledStateGraph,
    GraphOutput,
    InMemorySaver,
    RunnableConfig,
    Runtime,
    StateGraph,
    interrupt,
)


class State(TypedDict, total=False):
    value: int
    log: Annotated[list[Any], operator.add]


@dataclass
class Declared:
    value: int
    log: Annotated[list[Any], operator.add] = field(default_factory=list)


class Answer(pydantic.BaseModel):
    value: int


def more(state: Any) -> dict[str, Any]:
    value = state["value"] if isinstance(state, dict) else state.value
    return {"value": value + 1}


def graph(action: Callable[..., Any] = more, state: Any = State, **schemas: Any) -> Any:
    builder = StateGraph(state, **schemas).add_node("a", action).add_edge(START, "a")
    return builder.compile(checkpointer=InMemorySaver())


def shown(config: RunnableConfig) -> dict[str, Any]:
    return {"log": [config]}


async def seen(built: CompiledStateGraph, *config: Any) -> Any:
    """The config that the node of such a graph sees."""
    return (await built.ainvoke({}, *config))["log"][0]


async def test_a_run_can_be_asked_for_its_chunks(thread: Any) -> None:
    built = graph()
    assert await built.ainvoke({"value": 1}, thread, stream_mode="updates") == [{"a": {"value": 2}}]
    assert await built.ainvoke({"value": 1}, thread, stream_mode=["updates", "values"]) == [
        ("values", {"value": 1, "log": []}),
        ("updates", {"a": {"value": 2}}),
        ("values", {"value": 2, "log": []}),
    ]


async def test_no_stream_mode_is_that_of_updates(thread: Any) -> None:
    built = graph()
    assert await built.ainvoke({"value": 1}, thread, stream_mode=None) == [{"a": {"value": 2}}]
    async with built.astream({"value": 1}, thread, stream_mode=None) as chunks:
        assert [chunk async for chunk in chunks] == [{"a": {"value": 2}}]


def test_the_chunks_of_a_run_can_be_had_without_an_event_loop(thread: Any) -> None:
    assert graph().invoke({"value": 1}, thread, stream_mode="updates") == [{"a": {"value": 2}}]


@pytest.mark.parametrize(
    ("schemas", "output"),
    [
        ({}, {"value": 2, "log": []}),
        ({"state": Declared}, Declared(2, [])),
        ({"output_schema": Answer}, Answer(value=2)),
    ],
)
async def test_the_second_version_of_a_result_is_what_the_output_is_declared_as(
    schemas: Any, output: Any, thread: Any
) -> None:
    result = await graph(**schemas).ainvoke({"value": 1}, thread, version="v2")
    assert result == GraphOutput(output)


async def test_the_second_version_of_a_result_has_the_questions_apart(thread: Any) -> None:
    built = graph(lambda state: {"value": interrupt("how much?")}, state=Declared)
    result = await built.ainvoke({"value": 1}, thread, version="v2")
    assert result.value == Declared(1)
    (asked,) = result.interrupts
    assert asked.value == "how much?"
    assert await built.ainvoke(Command(resume=5), thread, version="v2") == GraphOutput(Declared(5))


@pytest.mark.parametrize("state", [Declared, State])
async def test_the_second_version_of_a_stream_has_parts_of_one_shape(
    state: Any, thread: Any
) -> None:
    built = graph(lambda state: {"value": interrupt("?")}, state=state)
    modes = ["values", "updates"]
    data = state(value=1, log=[])
    async with built.astream({"value": 1}, thread, stream_mode=modes, version="v2") as chunks:
        first, paused, last = [part async for part in chunks]
    assert first == {"type": "values", "ns": (), "data": data, "interrupts": ()}
    (asked,) = paused["data"]["__interrupt__"]
    assert (paused["type"], paused["ns"]) == ("updates", ())
    assert last == {"type": "values", "ns": (), "data": data, "interrupts": (asked,)}


async def test_parts_of_inner_graphs_say_where_they_come_from() -> None:
    inner = StateGraph(State).add_node("b", more).add_edge(START, "b").compile()
    outer = StateGraph(Declared).add_node("a", inner).add_edge(START, "a").compile()
    stream = outer.astream({"value": 1}, stream_mode="values", subgraphs=True, version="v2")
    async with stream as chunks:
        told = [(part["ns"], part["data"]) async for part in chunks]
    assert told[0] == ((), Declared(1))
    assert [(ns[0].partition(":")[0], data) for ns, data in told[1:-1]] == [
        ("a", {"value": 1, "log": []}),
        ("a", {"value": 2, "log": []}),
    ]
    assert told[-1] == ((), Declared(2))


async def test_a_result_that_does_not_fit_its_declaration_is_the_callers_error(
    thread: Any,
) -> None:
    built = graph(lambda state: {"value": "many"}, output_schema=Answer)
    with pytest.raises(pydantic.ValidationError):
        await built.ainvoke({"value": 1}, thread, version="v2")
    state = await built.aget_state(thread)
    assert (state.values["value"], state.next) == ("many", ())


async def test_a_part_that_does_not_fit_its_declaration_is_the_readers_error(thread: Any) -> None:
    built = graph(lambda state: {"value": "many"}, output_schema=Answer)
    stream = built.astream({"value": 1}, thread, stream_mode="values", version="v2")
    async with stream as chunks:
        assert (await anext(chunks))["data"] == Answer(value=1)
        with pytest.raises(pydantic.ValidationError):
            await anext(chunks)
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)
    assert (await built.aget_state(thread)).values["value"] == "many"


@pytest.mark.parametrize("ask", ["ainvoke", "astream"])
async def test_an_unknown_version_is_refused(ask: str) -> None:
    with pytest.raises(ValueError, match="'v3'"):
        await getattr(graph(), ask)({}, version="v3")


@pytest.mark.parametrize(("during", "checkpoints"), [(True, 3), (False, 1)])
async def test_checkpoint_during_is_the_old_spelling_of_durability(
    during: bool, checkpoints: int, thread: Any
) -> None:
    built = graph()
    with pytest.warns(DeprecationWarning, match="durability"):
        await built.ainvoke({"value": 1}, thread, checkpoint_during=during)
    assert len([state async for state in built.aget_state_history(thread)]) == checkpoints


async def test_both_spellings_of_durability_at_once_are_refused(thread: Any) -> None:
    with pytest.raises(ValueError, match="checkpoint_during"):
        await graph().ainvoke({}, thread, checkpoint_during=True, durability="sync")


async def test_a_graph_with_a_config_runs_with_it() -> None:
    built = StateGraph(State).add_node("a", lambda state, config: shown(config))
    bound = (
        built.add_edge(START, "a")
        .compile()
        .with_config({"tags": ["one"], "metadata": {"x": 1, "y": 1}, "configurable": {"k": 1}})
        .with_config(tags=["two"], run_name="mine")
    )
    given: Any = {"tags": ["three"], "metadata": {"y": 2}, "configurable": {"l": 2}}
    config = await seen(bound, given)
    assert config["tags"] == ["one", "two", "three"]
    assert (config["metadata"]["x"], config["metadata"]["y"]) == (1, 2)
    assert (config["configurable"]["k"], config["configurable"]["l"]) == (1, 2)
    assert "run_name" not in config  # that of the run, and of nothing that a node calls
    assert "three" not in (await seen(bound))["tags"]


async def test_the_config_of_a_graph_names_its_thread_and_marks_its_checkpoints() -> None:
    built = graph()
    bound = built.with_config(
        {"configurable": {"thread_id": "mine"}, "metadata": {"by": "me"}, "recursion_limit": 1}
    )
    await bound.ainvoke({"value": 1})
    state = await bound.aget_state({})
    assert state.values["value"] == 2
    assert state.metadata["by"] == "me"
    assert state == await built.aget_state({"configurable": {"thread_id": "mine"}})
    await bound.aupdate_state({}, {"value": 7})
    assert (await bound.aget_state({})).values["value"] == 7


async def test_a_graph_called_as_a_node_keeps_its_config_below_that_of_the_run() -> None:
    inner = StateGraph(State).add_node("b", lambda state, config: shown(config))
    bound = inner.add_edge(START, "b").compile().with_config(tags=["inner"], max_concurrency=1)
    outer = StateGraph(State).add_node("a", bound).add_edge(START, "a").compile()
    config = await seen(outer, {"tags": ["outer"], "max_concurrency": 2})
    assert (config["tags"], config["max_concurrency"]) == (["inner", "outer"], 2)


async def test_the_metadata_of_a_graph_called_as_a_node_marks_its_own_checkpoints(
    thread: Any,
) -> None:
    inner = StateGraph(State).add_node("b", more).add_edge(START, "b").compile()
    outer = graph(inner.with_config(metadata={"by": "inner"}))
    async with outer.astream({"value": 1}, thread, subgraphs=True) as chunks:
        (place,) = {ns[0] async for ns, _ in chunks if ns}
    own = {"configurable": {"thread_id": "1", "checkpoint_ns": place}}
    assert (await outer.aget_state(own)).metadata["by"] == "inner"
    assert "by" not in (await outer.aget_state(thread)).metadata


async def test_callbacks_of_the_graph_and_of_the_run_both_count() -> None:
    built = StateGraph(State).add_node("a", lambda state, config: shown(config))
    bound = built.add_edge(START, "a").compile().with_config(callbacks=["one"])
    assert (await seen(bound, {"callbacks": ["two"]}))["callbacks"] == ["one", "two"]


async def test_many_inputs_run_side_by_side_with_results_in_order(autojump_clock: Any) -> None:
    async def node(state: State) -> dict[str, Any]:
        await trio.sleep(10 - state["value"])
        return {"value": state["value"] * 2}

    built = StateGraph(State).add_node("a", node).add_edge(START, "a").compile()
    started = trio.current_time()
    results = await built.abatch([{"value": at} for at in (1, 2, 3)])
    assert [result["value"] for result in results] == [2, 4, 6]
    assert trio.current_time() - started == pytest.approx(9)
    await built.abatch([{"value": 9}] * 3, {"max_concurrency": 1})
    assert trio.current_time() - started == pytest.approx(12)


async def test_each_of_many_inputs_may_have_a_config_of_its_own() -> None:
    built = graph()
    threads: list[Any] = [{"configurable": {"thread_id": name}} for name in "ab"]
    await built.abatch([{"value": 1}, {"value": 5}], threads, durability="sync")
    assert [(await built.aget_state(one)).values["value"] for one in threads] == [2, 6]
    with pytest.raises(ValueError, match="1 inputs and 2 configs"):
        await built.abatch([{}], threads)


def fails(state: State) -> dict[str, Any]:
    if state["value"] % 2:
        raise KeyError(state["value"])
    return {"value": state["value"]}


def test_one_of_many_inputs_that_fails_fails_them_all_or_is_a_result() -> None:
    built = StateGraph(State).add_node("a", fails).add_edge(START, "a").compile()
    inputs = [{"value": at} for at in (2, 1, 4)]
    with pytest.raises(KeyError, match="1"):
        built.batch(inputs)
    first, failed, last = built.batch(inputs, return_exceptions=True)
    assert (first["value"], last["value"]) == (2, 4)
    assert isinstance(failed, KeyError)
    assert built.batch([]) == []


async def test_the_first_error_of_many_stops_the_others(autojump_clock: Any) -> None:
    stopped = []

    async def node(state: State) -> None:
        if state["value"] == 1:
            await trio.sleep(1)
            raise KeyError("first")
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(state["value"])
            raise ValueError("while it was cut short")

    built = StateGraph(State).add_node("a", node).add_edge(START, "a").compile()
    with pytest.raises(KeyError, match="first"):
        await built.abatch([{"value": 0}, {"value": 1}, {"value": 2}])
    assert sorted(stopped) == [0, 2]


def test_a_graph_says_its_name() -> None:
    builder = StateGraph(State).add_node("a", more).add_edge(START, "a")
    assert builder.compile().get_name() == "LangGraph"
    assert builder.compile(name="agent").get_name() == "agent"


def test_graphs_can_be_annotated_with_what_they_are_of() -> None:
    assert StateGraph[State](State).state_schema is State
    assert CompiledStateGraph[State, None, State, State]


def test_a_runtime_can_be_changed_and_merged() -> None:
    def writer(chunk: Any) -> None: ...

    first = Runtime(context="me", previous=1)
    assert first.override(context="you") == Runtime(context="you", previous=1)
    merged = first.merge(Runtime(previous=2, stream_writer=writer))
    assert (merged.context, merged.previous, merged.stream_writer) == ("me", 2, writer)
    with pytest.raises(TypeError, match="nonsense"):
        first.override(nonsense=1)
