"""Delta channels: lists that LangGraph stores as what was written to them."""

from __future__ import annotations

from typing import Annotated, TypedDict
from uuid import uuid4

import pytest
import trio
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.graph import START, StateGraph
from langgraph.types import Overwrite

from greenroom.actors import Greenroom
from greenroom.storage import SqliteStorage
from greenroom.storage.langgraph import GreenroomSaver

CONFIG = {"configurable": {"thread_id": "1"}}


def joined(state, writes):
    return [*state, *(item for write in writes for item in write)]


class State(TypedDict):
    items: Annotated[list, DeltaChannel(joined, snapshot_frequency=5)]
    count: int


def add(state):
    return {"items": [f"{len(state['items'])} {'x' * 200}"], "count": len(state["items"])}


def also(state):
    return {"items": ["also"]}


def graph_of(saver):
    builder = StateGraph(State).add_node(add).add_node(also)
    return builder.add_edge(START, "add").add_edge(START, "also").compile(checkpointer=saver)


def run(graph, times=1, config=CONFIG):
    for _ in range(times):
        graph.invoke({"items": ["in"]}, config)


def items(graph, config=CONFIG):
    return graph.get_state(config).values["items"]


def ids(saver, thread_id="1"):
    found = saver.list({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})
    return [one.config["configurable"]["checkpoint_id"] for one in found]


def test_every_state_of_a_history_is_what_langgraphs_own_saver_has(saver):
    ours, theirs = graph_of(saver), graph_of(InMemorySaver())
    for graph in (ours, theirs):
        run(graph, 4)
        graph.update_state(CONFIG, {"items": Overwrite(["anew"])}, as_node="add")
        run(graph, 9)
    history = [state.values for state in ours.get_state_history(CONFIG)]
    assert history == [state.values for state in theirs.get_state_history(CONFIG)]
    assert len(history[0]["items"]) == 28


def test_a_delta_channel_is_the_same_after_a_restart(opened):
    with opened() as session:
        run(graph_of(GreenroomSaver(session)), 13)
        before = items(graph_of(GreenroomSaver(session)))
    with opened() as session:
        graph = graph_of(GreenroomSaver(session))
        assert items(graph) == before
        run(graph)
        assert items(graph)[: len(before)] == before


def test_a_runtime_over_the_same_store_leaves_the_history_that_delta_channels_need(path, opened):
    thread_id = str(uuid4())
    config = {"configurable": {"thread_id": thread_id}}
    with opened() as session:
        graph = graph_of(GreenroomSaver(session))
        run(graph, 13, config)
        before = items(graph, config)

    async def prune():
        async with Greenroom({}, storage=SqliteStorage(path)) as room:
            return await room.client.threads.prune([thread_id], strategy="keep_latest")

    assert trio.run(prune) == {"pruned_count": 0}
    with opened() as session:
        assert items(graph_of(GreenroomSaver(session)), config) == before


def test_a_branch_takes_from_its_own_ancestors_only(saver):
    graph = graph_of(saver)
    run(graph, 14)
    early = [state for state in graph.get_state_history(CONFIG) if not state.next][11]
    branch = graph.update_state(early.config, {"items": ["branch"]}, as_node="add")
    assert items(graph, branch) == [*early.values["items"], "branch"]
    run(graph, 3)
    assert items(graph)[: len(early.values["items"]) + 1] == [*early.values["items"], "branch"]


def test_the_history_of_a_channel_begins_at_its_last_snapshot(saver):
    run(graph_of(saver), 4)
    histories = saver.get_delta_channel_history(config=CONFIG, channels=["items", "unknown"])
    assert type(histories["items"]["seed"]) is _DeltaSnapshot
    written = [value for _, _, [value] in histories["items"]["writes"]]
    newest = items(graph_of(saver))
    assert histories["items"]["seed"].value + written == newest
    assert written
    assert histories["unknown"] == {"writes": []}


@pytest.mark.parametrize("times", [1, 2, 3, 4, 5, 6])
def test_pruning_keeps_the_values_of_delta_channels(saver, times):
    graph = graph_of(saver)
    run(graph, times)
    before = graph.get_state(CONFIG).values
    saver.prune(["1"])
    assert len(ids(saver)) == 1
    assert graph.get_state(CONFIG).values == before
    run(graph)
    assert items(graph)[: len(before["items"])] == before["items"]
    whole = items(graph)
    saver.prune(["1"])
    assert items(graph) == whole


def test_forgetting_a_run_keeps_what_later_ones_stand_on(saver):
    graph = graph_of(saver)
    for n in range(3):
        run(graph, 1, {**CONFIG, "metadata": {"run_id": f"run {n}"}})
    before = graph.get_state(CONFIG).values
    saver.delete_for_runs(["run 0", "run 1"])
    runs = {state.metadata["run_id"] for state in graph.get_state_history(CONFIG)}
    assert runs == {"run 2"}
    assert graph.get_state(CONFIG).values == before


def test_a_copy_of_a_thread_has_its_delta_channels(saver):
    graph = graph_of(saver)
    run(graph, 4)
    saver.copy_thread("1", "2")
    other = {"configurable": {"thread_id": "2"}}
    assert items(graph, other) == items(graph)
    saver.delete_thread("1")
    run(graph, 1, other)
    assert len(items(graph, other)) == 15


def test_a_list_that_becomes_a_delta_channel_begins_with_what_it_was(saver):
    class Before(TypedDict):
        items: Annotated[list, lambda old, new: old + new]
        count: int

    builder = StateGraph(Before).add_node(add).add_edge(START, "add")
    builder.compile(checkpointer=saver).invoke({"items": ["old"]}, CONFIG)
    graph = graph_of(saver)
    was = items(graph)
    run(graph, 1)
    assert items(graph)[: len(was)] == was
    saver.prune(["1"])
    assert items(graph)[: len(was)] == was


def test_the_snapshots_of_a_list_share_what_they_have_in_common(saver, session):
    graph = graph_of(saver)
    run(graph, 40)
    snapshots = [
        one.checkpoint["channel_values"]["items"].value
        for one in saver.list({"configurable": {"thread_id": "1", "checkpoint_ns": ""}})
        if "items" in one.checkpoint["channel_values"]
    ]
    assert len(snapshots) > 10
    stored = [row for row in session.storage.read_log("1") if row.kind == "list"]
    assert sum(len(row.data) for row in stored) < 1.1 * len(str(snapshots[0]))
