"""Entrypoints served to threads."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import pytest
import trio

from greenroom.actors import Invalid
from greenroom.graph import entrypoint, interrupt, task

from .conftest import Serve
from .stage import chain, new_thread, says, status, statuses

YES = {"resume": "yes"}


async def test_an_entrypoint_pauses_on_a_thread_and_is_resumed_without_repeating_its_tasks(
    serve: Serve,
) -> None:
    done: list[str] = []

    @task
    async def write(topic: str) -> str:
        done.append(topic)
        return f"an essay about {topic}"

    @task
    async def review(essay: str) -> Any:
        return interrupt({"essay": essay})

    @entrypoint()
    async def essay(topic: str, *, previous: Any) -> Any:
        text = await write(topic)
        return [text, await review(text), previous]

    async with serve(essay) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input="cats")
        assert [question["value"] for question in paused["__interrupt__"]] == [
            {"essay": "an essay about cats"}
        ]
        shown = await client.threads.get(thread_id)
        assert (shown["status"], shown["values"]) == ("interrupted", None)
        [asked] = shown["interrupts"].values()
        assert [question["value"] for question in asked] == [{"essay": "an essay about cats"}]

    async with serve(essay) as room:
        client = room.client
        result = await client.runs.wait(thread_id, "agent", command=YES)
        assert result == ["an essay about cats", "yes", None]
        assert done == ["cats"]
        assert await status(client, thread_id) == "idle"
        assert (await client.threads.get(thread_id))["values"] == result
        assert (await client.threads.get_state(thread_id))["values"] == result

        await client.runs.wait(thread_id, "agent", input="dogs")
        again = await client.runs.wait(thread_id, "agent", command=YES)
        assert again == ["an essay about dogs", "yes", result]
        assert await statuses(client, thread_id) == ["success"] * 4
        [run, *_] = await client.runs.list(thread_id)
        assert await client.runs.join(thread_id, run["run_id"]) == again


async def test_one_of_two_questions_is_answered_over_a_restart(serve: Serve) -> None:
    @task
    async def ask(question: str) -> Any:
        return interrupt(question)

    @entrypoint()
    async def both(_: Any) -> Any:
        futures = [ask("a"), ask("b")]
        return [await future for future in futures]

    async with serve(both) as room:
        thread_id = await new_thread(room.client)
        paused = await room.client.runs.wait(thread_id, "agent", input=0)
        ids = {question["value"]: question["id"] for question in paused["__interrupt__"]}
        await room.client.runs.wait(thread_id, "agent", command={"resume": {ids["b"]: "B"}})
    async with serve(both) as room:
        resume = {"resume": {ids["a"]: "A"}}
        assert await room.client.runs.wait(thread_id, "agent", command=resume) == ["A", "B"]


async def test_a_stopped_run_that_is_resumed_keeps_its_finished_tasks(serve: Serve) -> None:
    done: list[str] = []
    reached, opened = trio.Event(), trio.Event()

    @task
    async def work(thing: str) -> str:
        done.append(thing)
        return thing.upper()

    @task
    async def held() -> None:
        reached.set()
        await opened.wait()

    @entrypoint()
    async def program(thing: str) -> str:
        result = await work(thing)
        await held()
        return result

    async with serve(program) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input="a")
        await reached.wait()
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        assert await status(client, thread_id) == "interrupted"
        opened.set()
        assert await client.runs.wait(thread_id, "agent", input=None) == "A"
        assert done == ["a"]


async def test_a_run_that_was_under_way_when_its_server_was_left_goes_on(serve: Serve) -> None:
    done: list[str] = []
    reached, opened = trio.Event(), trio.Event()

    @task
    async def work(thing: str) -> str:
        done.append(thing)
        return thing.upper()

    @entrypoint()
    async def program(thing: str) -> str:
        result = await work(thing)
        reached.set()
        await opened.wait()
        return result

    async with serve(program) as room:
        thread_id = await new_thread(room.client)
        run = await room.client.runs.create(thread_id, "agent", input="a")
        await reached.wait()
    opened.set()
    async with serve(program) as room:
        assert await room.client.runs.join(thread_id, run["run_id"]) == "A"
    assert done == ["a"]


@pytest.mark.parametrize("strategy", ["interrupt", "rollback", "enqueue"])
async def test_a_second_text_to_an_entrypoint(serve: Serve, strategy: str) -> None:
    reached, opened = trio.Event(), trio.Event()

    @task
    async def hold(text: str) -> None:
        if text == "slow":
            reached.set()
            await opened.wait()

    @entrypoint()
    async def program(text: str, *, previous: Any) -> Any:
        await hold(text)
        return [text, previous]

    async with serve(program) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input="first")
        await client.runs.create(thread_id, "agent", input="slow")
        await reached.wait()
        queued = await client.runs.create(thread_id, "agent", input="queued")
        last = await client.runs.create(
            thread_id, "agent", input="last", multitask_strategy=strategy
        )
        opened.set()
        result = await client.runs.join(thread_id, last["run_id"])
        assert result[0] == "last"
        before = {"enqueue": ["queued", ["slow", ["first", None]]]}
        assert result[1] == before.get(strategy, ["first", None])
        if strategy == "interrupt":
            ended = await client.runs.get(thread_id, queued["run_id"])
            assert ended["status"] == "interrupted"


async def test_the_stream_of_an_entrypoint(serve: Serve) -> None:
    @task
    async def double(number: int) -> int:
        return number * 2

    @entrypoint()
    async def program(number: int) -> int:
        return await double(number)

    async with serve(program) as room:
        client, thread_id = room.client, await new_thread(room.client)
        stream = client.runs.stream(thread_id, "agent", input=4, stream_mode=["updates", "values"])
        async with aclosing(stream):
            parts = [(part.event, part.data) async for part in stream]
        assert [part for part in parts if part[0] != "metadata"] == [
            ("updates", {"double": 8}),
            ("updates", {"program": 8}),
            ("values", 8),
        ]


async def test_a_graph_with_keys_still_takes_an_object_only(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        thread_id = await new_thread(room.client)
        with pytest.raises(Invalid, match="input: 'text' is not an object"):
            await room.client.runs.wait(thread_id, "agent", input="text")
