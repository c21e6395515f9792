from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4, uuid5

import pytest

from greenroom.actors import Greenroom, Invalid, NotFound

from .conftest import Serve
from .stage import chain, new_thread, says, text

AGENT = str(uuid5(UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8"), "agent"))


@pytest.fixture
def room(serve: Serve) -> Greenroom:
    return serve({"agent": chain(a=says("a")), "Weather Agent": chain(b=says("b"))})


async def test_every_graph_has_an_assistant_of_its_name(room: Greenroom) -> None:
    async with room:
        found = await room.client.assistants.get("agent")

        assert found.keys() == {
            "assistant_id",
            "graph_id",
            "config",
            "context",
            "metadata",
            "name",
            "description",
            "version",
            "created_at",
            "updated_at",
        }
        assert found["assistant_id"] == AGENT  # the same on every server
        assert (found["graph_id"], found["name"], found["version"]) == ("agent", "agent", 1)
        assert found["metadata"] == {"created_by": "system"}
        assert await room.client.assistants.get(AGENT.upper()) == found


async def test_assistants_outlive_a_restart_unchanged(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        before = await room.client.assistants.get("agent")
    async with serve(chain(a=says("a"))) as room:
        assert await room.client.assistants.search() == [before]


async def test_a_run_takes_an_assistants_id_or_a_graphs_name(room: Greenroom) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        for assistant in ("agent", AGENT):
            run = await room.client.runs.create(thread_id, assistant, input=text("x"))
            assert run["assistant_id"] == AGENT


async def test_assistants_are_searched_and_counted(room: Greenroom) -> None:
    async with room:
        assistants = room.client.assistants

        async def names(**query: Any) -> list[str]:
            return [found["name"] for found in await assistants.search(**query)]

        both = ["Weather Agent", "agent"]
        assert await names(sort_by="name", sort_order="asc") == both
        assert await names(sort_by="name", sort_order="desc", limit=1) == ["agent"]
        assert await names(sort_by="name", sort_order="asc", offset=1) == ["agent"]
        assert await names(graph_id="agent") == ["agent"]
        assert await names(name="weather") == ["Weather Agent"]
        assert await names(metadata={"created_by": "ann"}) == []
        assert await assistants.search(name="agent", select=["name"], graph_id="agent") == [
            {"name": "agent"}
        ]
        assert await assistants.count() == 2
        assert await assistants.count(name="AGENT", graph_id="agent") == 1


async def test_what_no_assistant_fits_is_named(room: Greenroom) -> None:
    async with room:
        assistants, unknown = room.client.assistants, str(uuid4())
        with pytest.raises(NotFound, match=unknown):
            await assistants.get(unknown)
        with pytest.raises(Invalid, match=r"assistant_id: 'nope'.*'agent'"):
            await assistants.get("nope")
        with pytest.raises(Invalid, match="assistant_id: None"):
            await assistants.get(None)  # type: ignore[arg-type]
        with pytest.raises(NotFound, match="'nope'"):
            await assistants.search(graph_id="nope")
        with pytest.raises(Invalid, match="sort_by: 'age'"):
            await assistants.search(sort_by="age")
        with pytest.raises(Invalid, match="select: 'age'"):
            await assistants.search(select=["age"])
        with pytest.raises(Invalid, match="limit: 0"):
            await assistants.search(limit=0)
