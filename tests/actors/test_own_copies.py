"""What callers pass and get is theirs: they may change it, and nobody else sees that."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from .conftest import Serve
from .stage import Hold, chain, new_thread, says, text


def spoil(value: Any) -> None:
    """Change everything in a value that can be changed."""
    for item in list(value.values() if isinstance(value, dict) else value):
        if isinstance(item, dict | list):
            spoil(item)
    if isinstance(value, dict):
        value["spoilt"] = True
    else:
        value.append("spoilt")


@pytest.mark.parametrize("thread_id", [None, str(uuid4())], ids=["any id", "an id of its own"])
async def test_the_metadata_of_a_thread(serve: Serve, thread_id: str | None) -> None:
    async with serve(chain(a=says("a"))) as room:
        threads = room.client.threads
        given, more = {"a": {"k": [1]}}, {"b": [2]}
        made = await threads.create(thread_id=thread_id, metadata=given)
        spoil(given)
        spoil(made["metadata"])
        patched = await threads.update(made["thread_id"], metadata=more)
        spoil(more)
        spoil(patched["metadata"])
        await threads.update(made["thread_id"], metadata={"c": 3})
        shown = await threads.get(made["thread_id"])
        assert shown["metadata"] == {"a": {"k": [1]}, "b": [2], "c": 3}


async def test_what_a_run_that_waits_is_asked_to_do(serve: Serve) -> None:
    hold = Hold()
    async with serve(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        given = {"log": [["two"]], "text": "two"}
        metadata: dict[str, Any] = {"m": {"k": [1]}}
        config: dict[str, Any] = {"configurable": {"c": {"k": [1]}}}
        run = await client.runs.create(
            thread_id, "agent", input=given, metadata=metadata, config=config
        )
        for value in (given, metadata, config, run["metadata"], run["kwargs"]):
            spoil(value)
        hold.open()
        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["slow", "did slow", ["two"], "did two"]
        shown = await client.runs.get(thread_id, run["run_id"])
        assert shown["metadata"]["m"] == {"k": [1]}
        assert shown["kwargs"]["config"]["configurable"]["c"] == {"k": [1]}


async def test_what_a_run_comes_to(serve: Serve) -> None:
    async with serve(chain(a=says(["a"]))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        handle = await client.runs.start(thread_id, "agent", input=text("x"))
        for values in [await handle.result(), await handle.result()]:
            assert values == {"log": ["x", ["a"]], "text": "x"}
            spoil(values)
        state = await client.threads.get_state(thread_id)
        assert state["values"] == {"log": ["x", ["a"]], "text": "x"}
        spoil(state["values"])
        update = {"log": [["u"]]}
        await client.threads.update_state(thread_id, update, as_node="a")
        spoil(update)
        values = await client.runs.wait(thread_id, "agent", input=text("y"))
        assert values["log"] == ["x", ["a"], ["u"], "y", ["a"]]
