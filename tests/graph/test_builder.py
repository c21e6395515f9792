"""Building a graph in fewer words: sequences and defaults."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

from greenroom.graph import START, NodeError, RetryPolicy, StateGraph

QUICK = RetryPolicy(max_attempts=2, initial_interval=0)


class State(TypedDict, total=False):
    log: list[str]


async def one(state: State) -> State:
    return {"log": [*state.get("log", []), "one"]}


async def two(state: State) -> State:
    return {"log": [*state.get("log", []), "two"]}


class Flaky:
    """Fails the first time."""

    calls = 0

    async def __call__(self, state: State) -> State:
        self.calls += 1
        if self.calls == 1:
            raise ConnectionError("once")
        return {}


async def test_a_sequence_runs_in_its_order() -> None:
    graph = StateGraph(State).add_sequence([one, ("second", two), ("third", one)])
    compiled = graph.add_edge(START, "one").compile()
    assert await compiled.ainvoke({}) == {"log": ["one", "two", "one"]}


@pytest.mark.parametrize(
    ("nodes", "error"),
    [
        ([], "at least one node"),
        ([one, one], "'one' already"),
        ([two, ("a", one), ("b:c", one)], "may not contain ':'"),
    ],
)
def test_a_refused_sequence_adds_nothing(nodes: list[Any], error: str) -> None:
    graph = StateGraph(State)
    with pytest.raises(ValueError, match=error):
        graph.add_sequence(nodes)
    compiled = graph.add_sequence([one, two]).add_edge(START, "one").compile()
    assert list(compiled.get_graph().nodes) == [START, "one", "two", "__end__"]


@pytest.mark.parametrize("before", [True, False])
async def test_a_default_retry_policy_is_for_all_nodes(before: bool) -> None:
    graph = StateGraph(State)
    if before:
        graph.set_node_defaults(retry_policy=QUICK)
    flaky = Flaky()
    graph.add_node("flaky", flaky).add_edge(START, "flaky")
    if not before:
        graph.set_node_defaults(retry_policy=QUICK)
    await graph.compile().ainvoke({})
    assert flaky.calls == 2


async def test_a_default_error_handler_steps_in_for_all_nodes() -> None:
    def broken(state: State) -> None:
        raise ValueError("broken")

    def handle(state: State, error: NodeError) -> dict[str, list[str]]:
        return {"log": [f"{error.node} is {error.error}"]}

    graph = StateGraph(State).set_node_defaults(error_handler=handle)
    graph.add_node("broken", broken).add_edge(START, "broken")
    assert (await graph.compile().ainvoke({}))["log"] == ["broken is broken"]


async def test_a_nodes_own_policy_counts_more_than_the_default() -> None:
    graph = StateGraph(State).set_node_defaults(retry_policy=QUICK)
    never = RetryPolicy(max_attempts=1)
    graph.add_node("flaky", Flaky(), retry_policy=never).add_edge(START, "flaky")
    with pytest.raises(ConnectionError):
        await graph.compile().ainvoke({})


async def test_defaults_do_not_reach_into_graphs_called_as_nodes() -> None:
    flaky = Flaky()
    inner = StateGraph(State).add_node("flaky", flaky).add_edge(START, "flaky").compile()
    graph = StateGraph(State).set_node_defaults(retry_policy=QUICK)
    graph.add_node("inner", inner, retry_policy=RetryPolicy(max_attempts=1))
    compiled = graph.add_edge(START, "inner").compile()
    with pytest.raises(ConnectionError):
        await compiled.ainvoke({})
    assert flaky.calls == 1
