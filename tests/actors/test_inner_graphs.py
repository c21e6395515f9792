"""Graphs inside the graphs that threads run: their questions, their memory, their checkpoints."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
import trio

from greenroom.actors import Greenroom, Invalid
from greenroom.graph import START, StateGraph, interrupt
from greenroom.storage import AppendLog, SqliteStorage
from greenroom.storage.testing import FaultyStorage

from .conftest import Serve
from .stage import chain, is_a, new_thread, says, text


class Memory(TypedDict, total=False):
    memory: Annotated[list[Any], operator.add]
    text: str


async def note(state: Any) -> Any:
    memory = [*state["memory"], state["text"]]
    return {"memory": [state["text"]], "text": " ".join(memory)}


async def ask(state: Any) -> Any:
    return {"log": [interrupt("sure?")]}


async def ask_more(state: Any) -> Any:
    return {"log": [interrupt("really?")]}


def called(inner: Any) -> Any:
    """A graph whose plain node calls one with what it is given."""

    def call(state: Any) -> Any:
        log = inner.invoke({"log": state["log"]})["log"]
        return {"log": log[len(state["log"]) :]}

    return chain(call=call, after=says("after"))


@pytest.fixture(params=["node", "called"])
def asking(request: Any) -> Any:
    """A graph around one that asks twice."""
    inner = chain(ask=ask, more=ask_more)
    return called(inner) if request.param == "called" else chain(call=inner, after=says("after"))


async def answer(client: Any, thread_id: str, resume: Any, **options: Any) -> Any:
    return await client.runs.wait(thread_id, "agent", command={"resume": resume}, **options)


async def test_questions_inside_are_answered_through_the_thread(serve: Serve, asking: Any) -> None:
    async with serve(asking) as room:
        thread_id = await new_thread(room.client)
        paused = await room.client.runs.wait(thread_id, "agent", input=text("x"))
        assert [one["value"] for one in paused["__interrupt__"]] == ["sure?"]
        assert [part.partition(":")[0] for part in paused["__interrupt__"][0]["ns"]] == [
            "call", "ask"
        ]  # fmt: skip
        await answer(room.client, thread_id, "yes")
    async with serve(asking) as room:
        done = await answer(room.client, thread_id, "oh yes")
        assert done["log"][-3:] == ["yes", "oh yes", "after"]


async def test_debug_shows_where_the_graph_inside_a_task_is(serve: Serve) -> None:
    async with serve(chain(inner=chain(ask=ask))) as room:
        thread_id = await new_thread(room.client)
        stream = room.client.runs.stream(thread_id, "agent", input=text("x"), stream_mode="debug")
        events = [part.data async for part in stream if part.event == "debug"]

        shown = [one["payload"]["tasks"] for one in events if one["type"] == "checkpoint"]
        [task] = shown[-1]
        assert task["checkpoint"]["checkpoint_ns"] == f"inner:{task['id']}"
        assert "state" not in task


async def test_a_run_goes_on_from_a_checkpoint_inside(serve: Serve, asking: Any) -> None:
    async with serve(asking) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await answer(client, thread_id, "yes")
        state = await client.threads.get_state(thread_id, subgraphs=True)
        inside = state["tasks"][0]["state"]["checkpoint"]
        assert inside["checkpoint_map"].keys() == {"", inside["checkpoint_ns"]}
        await answer(client, thread_id, "oh yes")

        again = await client.runs.wait(thread_id, "agent", checkpoint=inside)
        assert [one["value"] for one in again["__interrupt__"]] == ["really?"]
        done = await answer(client, thread_id, "oh no")
        assert done["log"][-3:] == ["yes", "oh no", "after"]
        made = await client.threads.update_state(
            thread_id, {"log": ["by hand"]}, checkpoint=inside, as_node="more"
        )
        done = await client.runs.wait(thread_id, "agent", checkpoint=made["checkpoint"])
        assert done["log"][-3:] == ["yes", "by hand", "after"]


async def test_a_checkpoint_inside_that_makes_no_sense_is_refused(
    serve: Serve, asking: Any
) -> None:
    async with serve(asking) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.wait(thread_id, "agent", input=text("x"))
        state = await room.client.threads.get_state(thread_id, subgraphs=True)
        inside = state["tasks"][0]["state"]["checkpoint"]
        for bad in ({"": "nope"}, "nope"):
            with pytest.raises(Invalid, match="checkpoint_map"):
                await room.client.runs.wait(
                    thread_id, "agent", checkpoint={**inside, "checkpoint_map": bad}
                )


async def test_a_graph_that_remembers_goes_on_after_a_restart(serve: Serve) -> None:
    inner = StateGraph(Memory).add_node("note", note).add_edge(START, "note")
    graph = chain(inner=inner.compile(checkpointer=True))
    async with serve(graph) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.wait(thread_id, "agent", input=text("a"))
        middle = (await room.client.threads.get_state(thread_id))["checkpoint"]
    async with serve(graph) as room:
        client = room.client
        assert (await client.runs.wait(thread_id, "agent", input=text("b")))["text"] == "a b"
        inside = {"checkpoint_ns": "inner"}
        state = await client.threads.get_state(thread_id, inside)
        assert state["values"]["memory"] == ["a", "b"]
        assert len(await client.threads.get_history(thread_id, checkpoint=inside)) == 6
        other = await client.runs.wait(thread_id, "agent", input=text("c"), checkpoint=middle)
        assert other["text"] == "a c"


async def test_a_run_that_is_rolled_back_is_not_remembered(serve: Serve) -> None:
    held = trio.Event()

    async def hold(state: Any) -> None:
        if "b" in state["text"]:
            held.set()
            await trio.sleep_forever()

    inner = StateGraph(Memory).add_node("note", note).add_edge(START, "note")
    graph = chain(inner=inner.compile(checkpointer=True), hold=hold)
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("a"))
        await client.runs.create(thread_id, "agent", input=text("b"))
        await held.wait()
        done = await client.runs.wait(
            thread_id, "agent", input=text("c"), multitask_strategy="rollback"
        )
        assert done["text"] == "a c"


async def test_cancelling_a_run_stops_a_graph_that_a_plain_node_calls(serve: Serve) -> None:
    started, stopped = trio.Event(), trio.Event()

    async def endless(state: Any) -> None:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with serve(called(chain(endless=endless))) as room:
        thread_id = await new_thread(room.client)
        run = await room.client.runs.create(thread_id, "agent", input=text("x"))
        await started.wait()
        await room.client.runs.cancel(thread_id, run["run_id"], wait=True)
        assert stopped.is_set()
        assert (await room.client.threads.get(thread_id))["status"] == "interrupted"


@dataclass
class Approval:
    approved: bool


async def test_an_answer_that_does_not_fit_fails_its_run_and_leaves_the_question(
    serve: Serve,
) -> None:
    async def approve(state: Any) -> Any:
        answer = interrupt("ok?", response_schema=Approval)
        return {"log": [answer.approved]}

    async with serve(chain(inner=chain(approve=approve))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input=text("x"))
        [question] = paused["__interrupt__"]
        assert question["response_schema"]["required"] == ["approved"]
        failed = await answer(client, thread_id, "yes", raise_error=False)
        assert failed["__error__"]["error"] == "InvalidAnswerError"
        state = await client.threads.get_state(thread_id)
        assert [one["id"] for one in state["interrupts"]] == [question["id"]]
        done = await answer(client, thread_id, {"approved": True})
        assert done["log"][-1] is True
        assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_a_run_says_which_of_its_answers_answered_nothing(serve: Serve) -> None:
    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input=text("x"))
        [question] = paused["__interrupt__"]
        unknown = "0" * 32
        await answer(client, thread_id, {question["id"]: "yes", unknown: "no"})
        [newest, *_] = await client.runs.list(thread_id)
        assert unknown in newest["metadata"]["warning"]


async def test_an_answer_comes_to_a_question_from_inside_after_a_kill_in_between(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graphs = {"agent": chain(inner=chain(ask=ask), end=says("end"))}
    storage = FaultyStorage(SqliteStorage(tmp_path / "agents.db"))
    async with trio.open_nursery() as nursery, Greenroom(graphs, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        # The graph around it has noted the answer, and that inside has not.
        storage.crash("after", is_a(AppendLog))
        run = await client.runs.create(
            thread_id, "agent", command={"resume": "yes"}, durability="sync"
        )
        with trio.fail_after(30):
            await trio.to_thread.run_sync(storage.crashed.wait, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()

    async with Greenroom(graphs, storage=SqliteStorage(tmp_path / "agents.db")) as room:
        values = await room.client.runs.join(thread_id, run["run_id"])
        assert values["log"][-2:] == ["yes", "end"]
        assert "__interrupt__" not in values
