"""A run of a graph that is a node of a LangGraph graph elsewhere, by what `RemoteGraph` sends."""

from __future__ import annotations

from typing import Any

import pytest

from greenroom.actors import Client, Invalid
from greenroom.graph import Runtime, interrupt

from .conftest import Serve
from .stage import State, chain, new_thread, parallel, says, text


async def ask(state: State) -> State:
    return {"log": [f"deleted: {interrupt('delete the files?')}"]}


async def ask_too(state: State) -> State:
    return {"log": [f"paid: {interrupt('pay the bill?')}"]}


async def resumed(client: Client, thread_id: str, answers: Any = None, **more: Any) -> Any:
    """The node is given its input again, and told that the graph around it is resumed."""
    configurable = {"__pregel_resuming": True}
    if answers is not None:
        configurable["__pregel_resume_map"] = answers
    return await client.runs.wait(
        thread_id, "agent", input=text("x"), config={"configurable": configurable}, **more
    )


def questions(values: Any) -> dict[str, str]:
    return {one["value"]: one["id"] for one in values.get("__interrupt__", ())}


async def test_the_answer_to_the_graph_around_it_reaches_the_question(serve: Serve) -> None:
    async with serve(chain(a=says("a"), ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        [ident] = questions(await client.runs.wait(thread_id, "agent", input=text("x"))).values()

        values = await resumed(client, thread_id, {ident: "yes", "f" * 32: "of another node"})

        assert values["log"] == ["x", "a", "deleted: yes"]
        [run, _] = await client.runs.list(thread_id)
        assert "warning" not in run["metadata"]


@pytest.mark.parametrize("answers", [None, {}, {"f" * 32: "of another node"}])
async def test_a_question_that_is_not_answered_is_asked_again(serve: Serve, answers: Any) -> None:
    async with serve(chain(a=says("a"), ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input=text("x"))

        assert await resumed(client, thread_id, answers) == paused


async def test_of_two_questions_one_can_be_answered_and_then_the_other(serve: Serve) -> None:
    async with serve(parallel(ask=ask, ask_too=ask_too)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        ids = questions(await client.runs.wait(thread_id, "agent", input=text("x")))

        half = await resumed(client, thread_id, {ids["pay the bill?"]: "Ada"})
        whole = await resumed(client, thread_id, {ids["delete the files?"]: "yes"})

        assert questions(half) == {"delete the files?": ids["delete the files?"]}
        assert whole["log"] == ["x", "deleted: yes", "paid: Ada"]


async def test_a_command_of_the_run_itself_counts_for_more(serve: Serve) -> None:
    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        values = await resumed(client, thread_id, {}, command={"resume": "yes"})

        assert values["log"] == ["x", "deleted: yes"]


async def test_a_thread_that_has_finished_gives_what_it_came_to(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(thread_id, "agent", input=text("x"))

        assert await resumed(client, thread_id) == values


async def test_a_thread_that_has_not_begun_takes_the_input(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client = room.client

        values = await resumed(client, await new_thread(client))

        assert values["log"] == ["x", "a"]


async def test_a_new_turn_of_the_graph_around_it_is_one_here(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        config = {"configurable": {"__pregel_resuming": False}}
        values = await client.runs.wait(thread_id, "agent", input=text("y"), config=config)

        assert values["log"] == ["x", "a", "y", "a"]


async def test_nodes_do_not_see_what_it_is_told(serve: Serve) -> None:
    async def look(state: State, runtime: Runtime[Any]) -> State:
        return {"log": [runtime.context]}

    async with serve(chain(look=look)) as room:
        client = room.client

        values = await resumed(client, await new_thread(client), {})

        assert values["log"] == ["x", {}]


async def test_answers_that_have_no_ids_are_refused(serve: Serve) -> None:
    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        with pytest.raises(Invalid, match=r"__pregel_resume_map: 'yes' is not an object"):
            await resumed(client, thread_id, "yes")

        assert len(await client.runs.list(thread_id)) == 1
