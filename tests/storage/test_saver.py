"""A graph used alone, on a storage backend."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import START, Command, StateGraph, interrupt
from greenroom.storage import MemoryStorage, SqliteStorage, StorageSaver, StorageSession


class State(TypedDict):
    log: Annotated[list[str], operator.add]


async def ask(state: State) -> dict[str, Any]:
    return {"log": [interrupt("name?")]}


def graph_on(session: StorageSession) -> Any:
    builder = StateGraph(State).add_node("ask", ask).add_edge(START, "ask")
    return builder.compile(checkpointer=StorageSaver(session))


async def test_a_graph_used_alone_pauses_and_is_resumed_from_the_file(tmp_path: Path) -> None:
    thread = {"configurable": {"thread_id": "t"}}
    async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
        paused = await graph_on(session).ainvoke({"log": ["hello"]}, thread)
        assert [question.value for question in paused["__interrupt__"]] == ["name?"]

    async with StorageSession(SqliteStorage(tmp_path / "graph.db")) as session:
        graph = graph_on(session)
        assert await graph.ainvoke(Command(resume="Ada"), thread) == {"log": ["hello", "Ada"]}
        history = [state.values["log"] async for state in graph.aget_state_history(thread)]
        assert history == [["hello", "Ada"], ["hello"], []]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_what_a_run_leaves_is_in_storage_when_it_returns(durability: str) -> None:
    thread = {"configurable": {"thread_id": "t"}}
    async with StorageSession(MemoryStorage()) as session:
        await graph_on(session).ainvoke({"log": ["x"]}, thread, durability=durability)
        assert (await graph_on(session).aget_state(thread)).next == ("ask",)
