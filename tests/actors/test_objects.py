"""Objects in what runs are asked, do and ask: within the program they are themselves."""

from __future__ import annotations

import enum
import operator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict
from uuid import uuid4

import pytest

from greenroom.actors import Greenroom, Invalid, RunFailed
from greenroom.graph import START, Command, Send, StateGraph, interrupt
from greenroom.storage import Unstorable

from .conftest import Serve
from .stage import Hold, chain, new_thread, status


class Mood(enum.Enum):
    GOOD = "good"


@dataclass
class Item:
    name: str


@dataclass
class Undeclared:
    name: str


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    items: Annotated[list[Item], operator.add]
    mood: Mood
    text: str


async def look(state: State) -> Any:
    return {"log": [[type(item).__name__ for item in state["items"]], repr(state.get("mood"))]}


async def test_the_objects_of_a_run_that_waits_outlive_the_process(serve: Serve) -> None:
    hold = Hold()
    async with serve(chain(state=State, hold=hold.node)) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.create(thread_id, "agent", input={"text": "slow"})
        await hold.reached.wait()
        given = {"items": [Item("tea"), Undeclared("cup")], "mood": Mood.GOOD, "text": "two"}
        waits = await room.client.runs.create(thread_id, "agent", input=given)

    async with serve(chain(state=State, hold=Hold(texts=()).node, look=look)) as room:
        values = await room.client.runs.join(thread_id, waits["run_id"])
    assert values["items"] == [Item("tea"), {"name": "cup"}]
    assert values["mood"] is Mood.GOOD
    assert values["log"][-2:] == [["Item", "dict"], "<Mood.GOOD: 'good'>"]


async def test_undeclared_objects_of_an_input_are_plain_data_without_a_restart_too(
    serve: Serve,
) -> None:
    async with serve(chain(state=State, look=look)) as room:
        thread_id = await new_thread(room.client)
        given = {"items": [Undeclared("cup"), Item("tea")]}
        values = await room.client.runs.wait(thread_id, "agent", input=given)
    assert values["log"] == [["dict", "Item"], "None"]


async def test_a_command_with_objects_outlives_the_process(serve: Serve) -> None:
    async def ask(state: State) -> Any:
        return {"items": [interrupt(Item("which?"))]}

    hold = Hold()
    builder = {"hold": hold.node, "ask": ask}
    async with serve(chain(state=State, **builder)) as room:
        thread_id = await new_thread(room.client)
        paused = await room.client.runs.wait(thread_id, "agent", input={"text": "quick"})
        assert paused["__interrupt__"][0]["value"] == Item("which?")
        sends = [Send("hold", {"text": "slow", "items": [Item("sent")]})]
        command = {"resume": Item("this"), "update": {"mood": Mood.GOOD}, "goto": sends}
        run = await room.client.runs.create(thread_id, "agent", command=command)
        await hold.reached.wait()

    again = {"hold": Hold(texts=()).node, "ask": ask}
    async with serve(chain(state=State, **again)) as room:
        await room.client.runs.join(thread_id, run["run_id"])
        assert await status(room.client, thread_id) != "error"
        values = (await room.client.threads.get_state(thread_id))["values"]
    assert values["mood"] is Mood.GOOD
    assert Item("this") in values["items"]


async def test_a_thread_shows_the_same_question_awake_and_asleep(serve: Serve) -> None:
    async def ask(state: State) -> Any:
        interrupt({"one": Undeclared("cup"), "of": [Item("tea"), Mood.GOOD]})

    async with serve(chain(state=State, ask=ask)) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.wait(thread_id, "agent", input={})
        awake = await room.client.threads.get(thread_id)
        state = await room.client.threads.get_state(thread_id)
    async with serve(chain(state=State, ask=ask)) as room:
        asleep = await room.client.threads.get(thread_id)
        assert await room.client.threads.get_state(thread_id) == state
    assert asleep == awake
    [[question]] = asleep["interrupts"].values()
    assert question["value"] == {"one": {"name": "cup"}, "of": [Item("tea"), Mood.GOOD]}


async def test_threads_are_found_by_what_clients_see_of_objects(serve: Serve) -> None:
    async with serve(chain(state=State, look=look)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input={"items": [Item("a")], "mood": Mood.GOOD})
        for values in ({"items": [{"name": "a"}]}, {"mood": "good"}, {"mood": Mood.GOOD}):
            [found] = await client.threads.search(values=values)
            assert found["thread_id"] == thread_id
        assert await client.threads.search(values={"items": [{"name": "b"}]}) == []


async def test_what_cannot_be_stored_is_refused_as_input_and_fails_the_run_as_an_update(
    serve: Serve,
) -> None:
    async def write(state: State) -> Any:
        return {"items": [Item("a"), Item(print)]}  # type: ignore[arg-type]

    async with serve(chain(state=State, write=write)) as room:
        thread_id = await new_thread(room.client)
        with pytest.raises(Invalid, match=r"input\.items\[0\]\.name: a builtin_function"):
            await room.client.runs.wait(thread_id, "agent", input={"items": [Item(print)]})  # type: ignore[arg-type]
        with pytest.raises(RunFailed, match=r"items\[1\]\.name: a builtin_function") as failed:
            await room.client.runs.wait(thread_id, "agent", input={})
        assert failed.value.error == Unstorable.__name__
        assert await status(room.client, thread_id) == "error"
        assert (await room.client.threads.get(thread_id))["values"] == {"log": [], "items": []}


@pytest.mark.parametrize("restarts", [False, True])
async def test_undeclared_objects_are_the_same_plain_data_awake_and_after_a_restart(
    serve: Serve, restarts: bool
) -> None:
    moods = [Undeclared("a"), None, "x"]
    seen: list[Any] = []

    async def note(state: State) -> Any:
        seen.append(state.get("mood"))
        mood = moods[len(seen) - 1]
        return {"mood": mood} if mood else None

    async def spread(state: State) -> Any:
        return Command(goto=[Send("use", {"mood": Undeclared("sent")}), "wrote"])

    async def use(state: State) -> Any:
        return {"log": [interrupt("?"), type(state["mood"]).__name__]}

    async def wrote(state: State) -> Any:
        return {"items": [Undeclared("written")]}

    builder = StateGraph(State).add_sequence([note, spread]).add_edge(START, "note")
    graph = builder.add_node(use).add_node(wrote).compile()
    thread_id = str(uuid4())

    async def turn(room: Greenroom) -> dict[str, Any]:
        client, options = room.client, {"if_not_exists": "create"}
        await client.runs.wait(thread_id, "agent", input={}, **options)
        state = await client.threads.get_state(thread_id)
        assert {"items": [{"name": "written"}]} in [task["result"] for task in state["tasks"]]
        return await client.runs.wait(thread_id, "agent", command={"resume": "yes"})

    if restarts:
        for _ in moods:
            async with serve(graph) as room:
                values = await turn(room)
    else:
        async with serve(graph) as room:
            for _ in moods:
                values = await turn(room)
    assert seen == [None, {"name": "a"}, {"name": "a"}]
    assert values == {
        "mood": "x",
        "log": ["yes", "dict"] * 3,
        "items": [{"name": "written"}] * 3,
    }
