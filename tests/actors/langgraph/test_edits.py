"""Editing the state of LangGraph's graphs."""

from __future__ import annotations

from ..conftest import Serve
from ..stage import says
from .stage import chain


async def test_each_of_several_supersteps_goes_on_from_the_one_before(serve: Serve) -> None:
    async with serve(chain(a=says("a"), b=says("b"))) as room:
        supersteps = [
            {"updates": [{"values": {"text": "x", "log": ["one"]}, "as_node": "__start__"}]},
            {"updates": [{"values": {"log": ["two"]}, "as_node": "a"}]},
        ]
        thread = await room.client.threads.create(graph_id="agent", supersteps=supersteps)
        state = await room.client.threads.get_state(thread["thread_id"])
        assert (state["values"]["log"], state["next"]) == (["one", "two"], ["b"])
        history = await room.client.threads.get_history(thread["thread_id"])
        assert len(history) == 2
