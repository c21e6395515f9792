"""Graphs of LangGraph's that a function makes, run by run."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.types import interrupt
from typing_extensions import TypedDict

from greenroom.actors import Greenroom
from greenroom.graph.langgraph import LangGraphGraph
from greenroom.storage import SqliteStorage

from ..stage import new_thread
from .stage import chain


@dataclass
class Told:
    text: str


@dataclass
class Asked:
    text: str


@dataclass
class Noted:
    text: str


def graph_of(kind: Any) -> Any:
    keys = {"notes": Annotated[list[kind], operator.add]}
    notes = TypedDict("notes", keys)  # type: ignore[misc]

    async def count(state: Any) -> Any:
        kinds = sorted({type(one).__name__ for one in state["notes"]})
        return {"notes": [kind(" ".join(kinds))]}

    async def ask(state: Any) -> Any:
        return {"notes": [kind(interrupt("what?"))]}

    return chain(state=notes, count=count, ask=ask)


# Each has a class of its own: what is known of one is so for the whole process.
@pytest.mark.parametrize(("kind", "first"), [(Told, "run"), (Asked, "edit"), (Noted, "read")])
async def test_objects_of_the_classes_of_a_made_graph_come_back_after_a_restart(
    tmp_path: Path, kind: Any, first: str
) -> None:
    name = kind.__name__
    async with Greenroom(
        {"agent": graph_of(kind)}, storage=SqliteStorage(tmp_path / "agents.db")
    ) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.wait(thread_id, "agent", input={"notes": []})
    made = LangGraphGraph("agent", lambda: graph_of(kind))
    said = [""]
    async with Greenroom({"agent": made}, storage=SqliteStorage(tmp_path / "agents.db")) as room:
        runs, threads = room.client.runs, room.client.threads
        if first == "edit":
            await threads.update_state(thread_id, {"notes": [kind("edited")]}, as_node="count")
            said.append("edited")
        elif first == "read":
            state = await threads.get_state(thread_id)
            assert state["values"] == {"notes": [kind("")]}
        await runs.wait(thread_id, "agent", input={"notes": []})
        await runs.wait(thread_id, "agent", command={"resume": "answered"})
        await runs.wait(thread_id, "agent", input={"notes": []})
        state = await threads.get_state(thread_id)
    assert state["values"]["notes"] == [kind(text) for text in (*said, name, "answered", name)]
