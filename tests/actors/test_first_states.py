"""Threads that begin with a state, and parts of states that are searched for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenroom.actors import Greenroom, Invalid, NotFound, Refused
from greenroom.storage import SqliteStorage

from .conftest import Serve
from .stage import chain, says, text

OWN = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def room(serve: Serve) -> Greenroom:
    """Not entered yet."""
    return serve({"agent": chain(a=says("a"), b=says("b"))})


def step(*updates: dict[str, Any]) -> dict[str, Any]:
    return {"updates": list(updates)}


def update(as_node: str, values: Any) -> dict[str, Any]:
    return {"as_node": as_node, "values": values}


TOLD = [step(update("__input__", text("x"))), step(update("__start__", text("x")))]
FIRST = [*TOLD, step(update("a", {"log": ["had"]}))]


async def test_a_thread_begins_where_another_one_was(room: Greenroom) -> None:
    async with room:
        client = room.client
        thread = await client.threads.create(graph_id="agent", supersteps=FIRST)
        assert (thread["status"], thread["values"]["log"]) == ("interrupted", ["x", "had"])
        history = await client.threads.get_history(thread["thread_id"])
        assert [state["next"] for state in history] == [["b"], ["a"], ["__start__"]]
        values = await client.runs.wait(thread["thread_id"], "agent", input=None)
        assert values["log"] == ["x", "had", "b"]


async def test_it_may_have_come_to_its_end_and_outlives_the_process(tmp_path: Path) -> None:
    graphs = {"agent": chain(a=says("a"), b=says("b"))}
    whole = [*FIRST, step(update("b", {"log": ["been"], "text": "later"}))]
    async with Greenroom(graphs, storage=SqliteStorage(tmp_path / "agents.db")) as room:
        thread = await room.client.threads.create(
            thread_id=OWN, metadata={"graph_id": "agent"}, supersteps=whole
        )
    assert (thread["thread_id"], thread["status"]) == (OWN, "idle")
    async with Greenroom(graphs, storage=SqliteStorage(tmp_path / "agents.db")) as room:
        again = await room.client.threads.get(OWN)
        assert again == thread
        assert again["values"] == {"log": ["x", "had", "been"], "text": "later"}


async def test_an_update_may_be_a_command(room: Greenroom) -> None:
    async with room:
        command = {"update": {"log": ["told"]}, "goto": "b"}
        first = [*TOLD, step({"as_node": "a", "command": command})]
        thread = await room.client.threads.create(graph_id="agent", supersteps=first)
        state = await room.client.threads.get_state(thread["thread_id"])
        assert state["values"]["log"] == ["x", "told"]
        assert state["next"] == ["b"]


async def test_a_thread_that_is_there_stays_as_it_is(room: Greenroom) -> None:
    async with room:
        client = room.client
        await client.threads.create(thread_id=OWN)
        thread = await client.threads.create(
            thread_id=OWN, graph_id="agent", supersteps=FIRST, if_exists="do_nothing"
        )
        assert thread["values"] is None
        assert await client.threads.get_history(OWN) == []


@pytest.mark.parametrize(
    ("supersteps", "error", "text"),
    [
        ([{}], Invalid, "supersteps: {} has no list of updates"),
        ([step()], Invalid, "has no list of updates"),
        (["x"], Invalid, "supersteps: 'x' has no list"),
        ([step({"values": {}})], Invalid, r"supersteps\[0\].updates\[0\]: .* as its as_node"),
        ([*FIRST, step(update("b", 5))], Invalid, r"supersteps\[3\].updates\[0\].values: 5 is"),
        ([step({"as_node": "a", "command": 1})], Invalid, r"updates\[0\].command: 1 is not"),
        ([*FIRST, step(update("nope", {}))], Refused, "'nope'"),
        ([*FIRST, step(update("b", {"log": 5}))], Refused, "values: TypeError"),
    ],
)
async def test_updates_that_do_not_fit_make_no_thread(
    room: Greenroom, supersteps: Any, error: type[Exception], text: str
) -> None:
    async with room:
        client = room.client
        with pytest.raises(error, match=text):
            await client.threads.create(thread_id=OWN, graph_id="agent", supersteps=supersteps)
        assert await client.threads.count() == 0
        thread = await client.threads.create(
            thread_id=OWN, graph_id="agent", supersteps=FIRST, if_exists="raise"
        )
        assert thread["values"]["log"] == ["x", "had"]


async def test_updates_need_a_graph(room: Greenroom) -> None:
    async with room:
        with pytest.raises(Invalid, match="graph_id: required by supersteps"):
            await room.client.threads.create(supersteps=FIRST)
        with pytest.raises(NotFound, match="'nope'"):
            await room.client.threads.create(metadata={"graph_id": "nope"}, supersteps=FIRST)
        assert await room.client.threads.count() == 0


# What a search extracts.


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("values.log", ["x", {"of": [1, 2]}, "a", "b"]),
        ("values.log[0]", "x"),
        ("values.log[-1]", "b"),
        ("values.log[1].of[1]", 2),
        ("values.log[9]", None),
        ("values.log[-9]", None),
        ("values.log.x", None),
        ("values.text[0]", None),
        ("values.nope.x", None),
        ("metadata.my key.ü", 1),
        ("status", "idle"),
    ],
)
async def test_a_search_gives_what_lies_at_a_path(room: Greenroom, path: str, found: Any) -> None:
    async with room:
        client = room.client
        thread = await client.threads.create(metadata={"my key": {"ü": 1}})
        given = {"log": ["x", {"of": (1, 2)}], "text": "x"}
        await client.runs.wait(thread["thread_id"], "agent", input=given)
        (row,) = await client.threads.search(extract={"it": path}, select=["thread_id"])
        assert row == {"thread_id": thread["thread_id"], "extracted": {"it": found}}
        (row,) = await client.threads.search()
        assert "extracted" not in row


@pytest.mark.parametrize(
    ("extract", "text"),
    [
        ({"it": "nope.x"}, "extract.it: 'nope.x' begins with none of thread_id, "),
        ({"it": "values.log[x]"}, r"extract.it: .* cannot be followed from '\[x\]' on"),
        ({"it": "values..log"}, "cannot be followed from '..log' on"),
        ({"it": "values[0"}, "cannot be followed"),
        ({"it": "values.log[9999999999]"}, "cannot be followed"),
        ({"it": ""}, "begins with none of"),
        ({"it": 5}, "extract.it: 5 is no path"),
        ({"it": "values." + "x" * 500}, "is no path of at most 500 characters"),
        ({str(n): "values" for n in range(11)}, "extract: 11 paths; at most 10 are taken"),
        ([], "extract: .* is not an object"),
    ],
)
async def test_what_is_no_path_is_refused(room: Greenroom, extract: Any, text: str) -> None:
    async with room:
        if extract == []:
            extract = ["values"]
        with pytest.raises(Invalid, match=text):
            await room.client.threads.search(extract=extract)
