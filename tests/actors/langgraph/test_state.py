"""The state of LangGraph's graphs: read, edited, gone on with from anywhere, copied, forgotten."""

from __future__ import annotations

import operator
from typing import Annotated, Any, ClassVar, TypedDict
from uuid import uuid4

import pytest
from langgraph.channels import DeltaChannel
from langgraph.graph import START, StateGraph
from langgraph.types import Send, interrupt
from pydantic import BaseModel

from greenroom.actors import Client, Refused, RunFailed

from ..conftest import Serve
from ..stage import State, log_of, new_thread, says, status, text
from .stage import chain


async def ask(state: State) -> State:
    return {"log": [interrupt("sure?")]}


async def repeats(state: State) -> State:
    return {"log": [f"heard {len(state['log'])}"]}


async def history(client: Client, thread_id: str, **options: Any) -> list[dict[str, Any]]:
    return await client.threads.get_history(thread_id, limit=100, **options)


async def test_an_edit_counts_as_what_a_node_returned(serve: Serve) -> None:
    async with serve(chain(a=says("a"), b=says("b"), c=says("c"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), interrupt_before=["b"])
        made = await client.threads.update_state(thread_id, {"log": ["by hand"]}, as_node="b")
        state = await client.threads.get_state(thread_id)
        assert state["checkpoint"]["checkpoint_id"] == made["checkpoint"]["checkpoint_id"]
        assert state["metadata"]["source"] == "update"
        assert state["next"] == ["c"]
        values = await client.runs.wait(thread_id, "agent", input=None)
        assert values["log"] == ["x", "a", "by hand", "c"]


async def test_an_edit_that_does_not_fit_changes_nothing(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        before = await history(client, thread_id)
        update = client.threads.update_state
        with pytest.raises(Refused, match="nope"):
            await update(thread_id, {"log": ["y"]}, as_node="nope")
        with pytest.raises(Refused, match="checkpoint"):
            await update(thread_id, {"log": ["y"]}, checkpoint_id=str(uuid4()))
        with pytest.raises(Refused, match="nope"):
            await update(thread_id, {"log": ["y"]}, checkpoint={"checkpoint_ns": "nope:1"})
        with pytest.raises(Refused, match="list"):
            await update(thread_id, {"log": 5})
        assert await history(client, thread_id) == before


async def test_a_command_updates_by_pairs_and_sends_a_node_its_input(serve: Serve) -> None:
    async with serve(chain(ask=ask, b=says("b"), c=says("c"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.runs.wait(
            thread_id, "agent", command={"resume": "yes", "update": {"text": "new"}}
        )
        sent = {"goto": {"node": "c", "input": {"log": []}}, "update": [["text", "sent"]]}
        values = await client.runs.wait(thread_id, "agent", command=sent)
        assert values == {"log": ["x", "yes", "b", "c", "c"], "text": "sent"}


async def test_a_run_goes_on_from_an_older_checkpoint_and_replays(serve: Serve) -> None:
    async with serve(chain(a=says("a"), b=repeats)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.runs.wait(thread_id, "agent", input=text("y"))
        states = await history(client, thread_id)
        [first] = [s for s in states if s["next"] == ["b"] and s["values"]["log"] == ["x", "a"]]

        replayed = await client.runs.wait(
            thread_id, "agent", input=None, checkpoint=first["checkpoint"]
        )
        assert replayed["log"] == ["x", "a", "heard 2"]
        made = await client.threads.update_state(
            thread_id, {"log": ["edited"]}, checkpoint=first["checkpoint"], as_node="a"
        )
        forked = await client.runs.wait(
            thread_id, "agent", input=None, checkpoint=made["checkpoint"]
        )
        assert forked["log"] == ["x", "a", "edited", "heard 3"]
        assert await log_of(client, thread_id) == forked["log"]
        assert [s for s in await history(client, thread_id) if s in states] == states


async def test_the_state_of_a_graph_inside_is_read_and_edited(serve: Serve) -> None:
    inner = chain(note=says("note"), ask=ask, more=says("more"))
    async with serve(chain(before=says("before"), call=inner, after=says("after"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        state = await client.threads.get_state(thread_id, subgraphs=True)
        [task] = state["tasks"]
        inside = task["state"]
        assert inside["next"] == ["ask"]
        assert inside["values"]["log"] == ["x", "before", "note"]
        states = await history(client, thread_id, checkpoint=inside["checkpoint"])
        assert [one["next"] for one in states] == [["ask"], ["note"], ["__start__"]]

        await client.threads.update_state(
            thread_id,
            {"log": ["by hand"]},
            checkpoint={"checkpoint_ns": inside["checkpoint"]["checkpoint_ns"]},
            as_node="ask",
        )
        assert await status(client, thread_id) == "interrupted"
        values = await client.runs.wait(thread_id, "agent", input=None)
        assert values["log"][-3:] == ["by hand", "more", "after"]


class Memory(TypedDict, total=False):
    memory: Annotated[list[Any], operator.add]
    text: str


async def test_a_graph_inside_that_remembers_does_so_over_runs_restarts_and_forks(
    serve: Serve,
) -> None:
    async def note(state: Memory) -> Memory:
        memory = [*state["memory"], state["text"]]
        return {"memory": [state["text"]], "text": " ".join(memory)}

    inner = StateGraph(Memory).add_node("note", note).add_edge(START, "note")
    graph = chain(inner=inner.compile(checkpointer=True))
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        assert (await client.runs.wait(thread_id, "agent", input=text("a")))["text"] == "a"
        middle = (await client.threads.get_state(thread_id))["checkpoint"]
    async with serve(graph) as room:
        client = room.client
        assert (await client.runs.wait(thread_id, "agent", input=text("b")))["text"] == "a b"
        state = await client.threads.get_state(thread_id, {"checkpoint_ns": "inner"})
        assert state["values"]["memory"] == ["a", "b"]
        # As LangGraph has it: what is inside goes on from what was there before the fork.
        forked = await client.runs.wait(thread_id, "agent", input=text("c"), checkpoint=middle)
        assert forked["text"] == "a b c"


async def test_a_thread_is_copied_and_both_go_on(serve: Serve) -> None:
    async with serve(chain(a=says("a"), ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        copy = (await client.threads.copy(thread_id))["thread_id"]
        assert [s["values"] for s in await history(client, copy)] == [
            s["values"] for s in await history(client, thread_id)
        ]
        for one, answer in ((copy, "no"), (thread_id, "yes")):
            values = await client.runs.wait(one, "agent", command={"resume": answer})
            assert values["log"] == ["x", "a", answer]


@pytest.mark.parametrize("paused", [False, True])
async def test_a_thread_that_has_forgotten_its_history_goes_on(serve: Serve, paused: bool) -> None:
    inner = chain(note=says("note"), ask=ask if paused else says("ask"))
    graph = chain(a=says("a"), call=inner)
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        before = await client.runs.wait(thread_id, "agent", input=text("x"))
        pruned = await client.threads.prune([thread_id], strategy="keep_latest")
        assert pruned == {"pruned_count": 1}
        assert len(await history(client, thread_id)) == 1
        assert (await log_of(client, thread_id)) == before["log"]
    async with serve(graph) as room:
        client = room.client
        if paused:
            values = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
            assert values["log"][-2:] == ["note", "yes"]
        else:
            values = await client.runs.wait(thread_id, "agent", input=text("y"))
            assert values["log"][: len(before["log"]) + 2] == [*before["log"], "y", "a"]


def appended(values: list[Any], updates: Any) -> list[Any]:
    return [*values, *(one for update in updates for one in update)]


class Deltas(TypedDict, total=False):
    items: Annotated[list[Any], DeltaChannel(appended)]
    text: str


async def test_delta_channels_are_whole_in_every_state_over_turns_and_restarts(
    serve: Serve,
) -> None:
    async def quiet(state: Any) -> Any:
        return {"text": "quiet"}

    async def counts(state: Any) -> Any:
        return {"items": [f"counted {len(state['items'])}"]}

    graph = chain(state=Deltas, quiet=quiet, count=counts)
    thread_id = ""
    said: list[str] = []
    for word in ("x", "y", "z"):
        async with serve(graph) as room:
            client = room.client
            thread_id = thread_id or await new_thread(client)
            values = await client.runs.wait(thread_id, "agent", input={"items": [word]})
            said += [word, f"counted {len(said) + 1}"]
            assert values["items"] == said
            states = await history(client, thread_id)
            lengths = [len(one["values"].get("items", [])) for one in reversed(states)]
            assert lengths == [
                n for turn in range(0, len(said), 2) for n in (turn, turn + 1, turn + 1, turn + 2)
            ]
            state = await client.threads.get_state(thread_id)
            assert state["values"]["items"] == said


async def test_a_plain_answer_is_heard_after_an_edit_of_the_graph_that_asked(serve: Serve) -> None:
    inner = chain(call=chain(note=says("note"), ask=ask))
    async with serve(chain(call=inner, after=says("after"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        state = await client.threads.get_state(thread_id, subgraphs=True)
        innermost = state["tasks"][0]["state"]["tasks"][0]["state"]["checkpoint"]
        await client.threads.update_state(
            thread_id, {"log": ["by hand"]}, checkpoint=innermost, as_node="note"
        )
        values = await client.runs.wait(thread_id, "agent", command={"resume": 3})
        assert values["log"][-3:] == ["by hand", 3, "after"]


@pytest.mark.parametrize("by_id", [False, True])
async def test_an_answer_is_heard_at_the_checkpoint_of_the_graph_inside_that_asks(
    serve: Serve, by_id: bool
) -> None:
    graph = chain(call=chain(call=chain(note=says("note"), ask=ask)), after=says("after"))
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        state = await client.threads.get_state(thread_id, subgraphs=True)
        [question] = state["interrupts"]
        innermost = state["tasks"][0]["state"]["tasks"][0]["state"]["checkpoint"]
        answer = {question["id"]: "yes"} if by_id else "yes"
        values = await client.runs.wait(
            thread_id, "agent", command={"resume": answer}, checkpoint=innermost
        )
        assert values["log"][-3:] == ["note", "yes", "after"]
        assert await status(client, thread_id) == "idle"


async def test_an_answer_is_not_taken_for_that_to_a_question_before_its_own(serve: Serve) -> None:
    async def ask_both(state: State) -> State:
        return {"log": [interrupt("one"), interrupt("two")]}

    async with serve(chain(call=chain(note=says("note"), ask=ask_both))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.runs.wait(thread_id, "agent", command={"resume": "1"})
        state = await client.threads.get_state(thread_id, subgraphs=True)
        inside = state["tasks"][0]["state"]["checkpoint"]
        asked = await client.runs.wait(
            thread_id, "agent", command={"resume": "2"}, checkpoint=inside
        )
        assert [one["value"] for one in asked["__interrupt__"]] == ["one"]


async def test_keys_that_nothing_was_written_to_are_empty_in_the_thread_as_in_its_state(
    serve: Serve,
) -> None:
    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        waits = await client.runs.wait(thread_id, "agent", input={"text": "x"})
        assert waits["log"] == []
        assert (await client.threads.get(thread_id))["values"] == {"text": "x", "log": []}


async def test_a_task_of_a_send_has_the_path_that_the_reference_gives_it(serve: Serve) -> None:
    builder: Any = StateGraph(State).add_node("ask", ask)
    builder.add_conditional_edges(START, lambda _: [Send("ask", {})], ["ask"])
    async with serve(builder.compile()) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        [task] = (await client.threads.get_state(thread_id))["tasks"]
        assert task["path"] == ["__pregel_push", 0, False]


class Person(BaseModel):
    age: int


async def test_a_state_that_fits_no_schema_is_refused_when_it_is_read(serve: Serve) -> None:
    def grow(person: Person) -> Any:
        return {"age": person.age + 1}

    async with serve(chain(state=Person, grow=grow)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed):
            await client.runs.wait(thread_id, "agent", input={"age": "old"})
        with pytest.raises(Refused, match="valid integer"):
            await client.threads.get_state(thread_id)
        with pytest.raises(Refused, match="valid integer"):
            await client.threads.get_history(thread_id)


async def test_an_edit_that_no_node_could_begin_with_is_refused(serve: Serve) -> None:
    async def ask_age(person: Person) -> Any:
        return {"age": interrupt("how old?")}

    async with serve(chain(state=Person, first=ask_age, second=ask_age)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input={"age": 1})
        before = await history(client, thread_id)
        with pytest.raises(Refused, match="valid integer"):
            await client.threads.update_state(thread_id, {"age": "old"}, as_node="first")
        assert await history(client, thread_id) == before
        await client.threads.update_state(thread_id, {"age": 3}, as_node="first")
        assert (await client.threads.get_state(thread_id))["values"] == {"age": 3}


async def test_an_input_that_a_reducer_refuses_leaves_a_state_to_read(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        with pytest.raises(RunFailed, match="list"):
            await client.runs.wait(thread_id, "agent", input={"log": 5})
        state = await client.threads.get_state(thread_id)
        assert state["values"]["log"] == ["x", "a"]
        assert state["next"] == ["__start__"]
        values = await client.runs.wait(thread_id, "agent", input=text("y"))
        assert values["log"] == ["x", "a", "y", "a"]


async def test_a_state_may_be_one_value(serve: Serve) -> None:
    builder: Any = StateGraph(Annotated[list[str], operator.add])  # type: ignore[arg-type]
    builder.add_node("a", lambda said: [f"heard {len(said)}"]).add_edge(START, "a")
    async with serve(builder.compile()) as room:
        client, thread_id = room.client, await new_thread(room.client)
        assert await client.runs.wait(thread_id, "agent", input=["x"]) == ["x", "heard 1"]
        await client.runs.wait(thread_id, "agent", input=["y"])
        values = ["x", "heard 1", "y", "heard 3"]
        assert (await client.threads.get_state(thread_id))["values"] == values
        assert (await client.threads.get(thread_id))["values"] == values
        schemas = await client.assistants.get_schemas("agent")
        assert schemas["state_schema"]["items"] == {"type": "string"}


class Marks(list[str]):
    made: ClassVar[list[int]] = []

    def __init__(self, *marks: Any) -> None:
        super().__init__(*marks)
        self.made.append(len(self))


class Marked(TypedDict):
    marks: Annotated[Marks, operator.add]


async def test_what_a_state_begins_with_is_made_once_for_all_runs(serve: Serve) -> None:
    async with serve(chain(state=Marked, a=lambda state: {})) as room:
        counts = []
        for _ in range(3):
            Marks.made.clear()
            await room.client.runs.wait(None, "agent", input={})
            counts.append(len(Marks.made))
        first, *others = counts
        assert others == [first - 1] * 2  # beside what LangGraph makes for each
