"""Channels beyond the last value and reducers, and managed values."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import (
    START,
    AnyValue,
    EphemeralValue,
    GraphRecursionError,
    InMemorySaver,
    InvalidUpdateError,
    IsLastStep,
    LastValue,
    Overwrite,
    RemainingSteps,
    StateGraph,
    Topic,
    UntrackedValue,
)


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    brief: Annotated[int, EphemeralValue]
    loose: Annotated[int, EphemeralValue(int, guard=False)]
    agreed: Annotated[int, AnyValue]
    news: Annotated[list[str], Topic]
    all_news: Annotated[list[str], Topic(str, accumulate=True)]
    handle: Annotated[object, UntrackedValue]
    plain: Annotated[int, LastValue(int)]


class Handle:
    """Something that no log can store."""


def seen_by(seen: list[Any], returns: Any = None) -> Any:
    def node(state: State) -> Any:
        seen.append({key: value for key, value in state.items() if key != "log"})
        return returns or {"log": ["x"]}

    return node


@pytest.mark.parametrize("key", ["brief", "agreed"])
async def test_a_value_that_fades_is_seen_in_the_next_super_step_and_gone_after(
    wire: Any, thread: Any, key: str
) -> None:
    seen: list[Any] = []
    graph = wire(
        {"a": lambda state: {key: 1}, "b": seen_by(seen), "c": seen_by(seen)},
        (START, "a"),
        ("a", "b"),
        ("b", "c"),
        state=State,
    )
    assert await graph.ainvoke({key: 0}, thread) == {"log": ["x", "x"]}
    assert seen == [{key: 1}, {}]
    history = [s.values.get(key) async for s in graph.aget_state_history(thread)]
    assert history == [None, None, 1, 0, None]


async def test_a_conditional_edge_sees_what_is_left_after_its_node(wire: Any) -> None:
    seen: list[Any] = []
    given = {"brief": 1, "agreed": 1, "loose": 1, "news": ["in"], "all_news": ["in"]}
    graph = wire({"a": lambda state: {"loose": 2}}, (START, "a"), state=State, checkpointer=None)
    builder = graph.builder.add_conditional_edges(
        "a", lambda state: seen.append(state) or "__end__"
    )
    await builder.compile().ainvoke(given)
    assert seen == [{"log": [], "loose": 2, "all_news": ["in"]}]


async def test_a_value_of_the_last_super_step_is_in_the_result(wire: Any) -> None:
    graph = wire({"a": lambda state: {"brief": 1}}, (START, "a"), state=State, checkpointer=None)
    assert (await graph.ainvoke({}))["brief"] == 1


async def test_what_the_next_turn_does_not_give_fades(wire: Any, thread: Any) -> None:
    seen: list[Any] = []
    graph = wire({"a": seen_by(seen, {"brief": 2})}, (START, "a"), state=State)
    await graph.ainvoke({"brief": 1}, thread)
    await graph.ainvoke({"log": ["in"]}, thread)
    assert seen == [{"brief": 1}, {}]


async def test_a_guarded_value_refuses_two_writers_by_name(wire: Any) -> None:
    nodes = {"left": lambda state: {"brief": 1}, "right": lambda state: {"brief": 2}}
    graph = wire(nodes, (START, "left"), (START, "right"), state=State, checkpointer=None)
    with pytest.raises(InvalidUpdateError, match=r"'brief'.*'left'.*'right'.*guard=False"):
        await graph.ainvoke({})


@pytest.mark.parametrize("key", ["loose", "agreed"])
async def test_an_unguarded_value_takes_the_last_of_several(wire: Any, key: str) -> None:
    nodes = {"a": lambda state: {key: 1}, "b": lambda state: {key: 2}}
    graph = wire(nodes, (START, "a"), (START, "b"), state=State, checkpointer=None)
    assert (await graph.ainvoke({}))[key] == 2


async def test_a_topic_holds_what_was_published_in_the_last_super_step(wire: Any) -> None:
    seen: list[Any] = []
    graph = wire(
        {
            "a": lambda state: {"news": ["a", "b"], "all_news": "one"},
            "b": lambda state: {"news": "c", "all_news": ["two"]},
            "c": seen_by(seen, {"news": "d"}),
            "d": seen_by(seen),
            "e": seen_by(seen, {"news": []}),
        },
        (START, "a"),
        (START, "b"),
        (["a", "b"], "c"),
        ("c", "d"),
        ("d", "e"),
        state=State,
        checkpointer=None,
    )
    result = await graph.ainvoke({})
    everything = {"all_news": ["one", "two"]}
    assert seen == [
        {"news": ["a", "b", "c"], **everything},
        {"news": ["d"], **everything},
        everything,
    ]
    assert "news" not in result
    assert result["all_news"] == ["one", "two"]


async def test_an_untracked_value_lasts_for_the_run_and_is_in_no_checkpoint(
    wire: Any, thread: Any
) -> None:
    handle, seen = Handle(), list[Any]()
    graph = wire(
        {"a": lambda state: {"handle": handle}, "b": seen_by(seen), "c": seen_by(seen)},
        (START, "a"),
        ("a", "b"),
        ("b", "c"),
        state=State,
    )
    assert (await graph.ainvoke({}, thread))["handle"] is handle
    assert seen == [{"handle": handle}] * 2
    async for state in graph.aget_state_history(thread):
        assert "handle" not in state.values
    await graph.ainvoke({"log": ["in"]}, thread)


@pytest.mark.parametrize(
    "new",
    [Overwrite(["new"]), {"__overwrite__": ["new"]}, {"type": "__overwrite__", "value": ["new"]}],
    ids=["object", "short JSON", "long JSON"],
)
async def test_overwrite_replaces_in_spite_of_the_reducer(wire: Any, new: Any) -> None:
    graph = wire(
        {"a": lambda state: {"log": new}, "b": lambda state: {"log": ["lost"]}},
        (START, "a"),
        (START, "b"),
        checkpointer=None,
    )
    assert await graph.ainvoke({"log": ["old"]}) == {"log": ["new"]}


async def test_two_overwrites_in_a_super_step_are_refused_by_name(wire: Any) -> None:
    nodes = dict.fromkeys("ab", lambda state: {"log": Overwrite([])})
    graph = wire(nodes, (START, "a"), (START, "b"), checkpointer=None)
    with pytest.raises(InvalidUpdateError, match=r"'log'.*'a', 'b'"):
        await graph.ainvoke({})


async def test_overwrite_works_in_inputs_updates_and_on_plain_keys(wire: Any, thread: Any) -> None:
    graph = wire({"a": lambda state: {"value": Overwrite(1)}}, (START, "a"))
    assert await graph.ainvoke({"log": Overwrite(["in"])}, thread) == {"log": ["in"], "value": 1}
    await graph.aupdate_state(thread, {"log": Overwrite(["edited"])})
    assert (await graph.aget_state(thread)).values == {"log": ["edited"], "value": 1}


async def test_what_an_overwrite_brought_is_changed_by_nobody_else(wire: Any, thread: Any) -> None:
    mine = ["mine"]
    graph = wire({"a": lambda state: {"log": Overwrite(mine)}}, (START, "a"))
    await graph.ainvoke({}, thread)
    mine.append("later")
    assert (await graph.aget_state(thread)).values["log"] == ["mine"]


class Counted(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    left: RemainingSteps
    last: IsLastStep


async def test_managed_values_are_given_to_nodes_and_edges_and_stored_nowhere(thread: Any) -> None:
    def node(state: Counted) -> Any:
        return {"log": [(state["left"], state["last"])], "left": 100}

    def again(state: Counted) -> str:
        return "__end__" if state["last"] else "node"

    builder = StateGraph(Counted)
    builder.add_node(node)
    builder.add_edge(START, "node").add_conditional_edges("node", again)
    graph = builder.compile(checkpointer=InMemorySaver())
    result = await graph.ainvoke({}, {**thread, "recursion_limit": 3})
    assert result == {"log": [(3, False), (2, False), (1, True)]}
    assert (await graph.aget_state(thread)).values == result


async def test_one_step_more_than_the_last_is_one_too_many(wire: Any) -> None:
    seen: list[int] = []
    graph = wire(
        {"a": lambda state: seen.append(state["left"])},
        (START, "a"),
        ("a", "a"),
        state=Counted,
        checkpointer=None,
    )
    with pytest.raises(GraphRecursionError):
        await graph.ainvoke({}, {"recursion_limit": 2})
    assert seen == [2, 1]


def test_inputs_and_results_have_no_managed_values() -> None:
    class Plain(TypedDict):
        log: list[Any]

    with pytest.raises(ValueError, match=r"left, last of Counted"):
        StateGraph(Plain, input_schema=Counted)
