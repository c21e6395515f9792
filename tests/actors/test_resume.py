from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from greenroom.actors import Client, RunFailed
from greenroom.graph import interrupt

from .conftest import Serve
from .stage import Hold, State, chain, log_of, new_thread, parallel, says, status, statuses, text

YES = {"resume": "yes"}


async def ask(state: State) -> State:
    return {"log": [interrupt("delete the files?")]}


async def ask_again(state: State) -> State:
    return {"log": [interrupt("pay the bill?")]}


@attrs.define(eq=False)
class SlowToAct:
    """Asks, and is held after it was answered."""

    acts: trio.Event = attrs.field(factory=trio.Event)
    let: trio.Event = attrs.field(factory=trio.Event)

    async def node(self, state: State) -> State:
        answer = interrupt("delete the files?")
        self.acts.set()
        await self.let.wait()
        return {"log": [answer]}


async def waiting(client: Client, thread_id: str) -> list[str]:
    """The questions that wait."""
    state = await client.threads.get_state(thread_id)
    return [question["value"] for question in state["interrupts"]]


async def test_an_answer_goes_on_from_the_question(serve: Serve) -> None:
    async with serve(chain(a=says("a"), ask=ask, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        values = await client.runs.wait(thread_id, "agent", command=YES)

        assert values == {"log": ["x", "a", "yes", "b"], "text": "x"}
        assert await status(client, thread_id) == "idle"
        assert (await client.threads.get(thread_id))["interrupts"] == {}
        assert await statuses(client, thread_id) == ["success", "success"]


async def test_an_answer_may_be_to_what_an_older_checkpoint_asks(serve: Serve) -> None:
    async with serve(chain(a=says("a"), ask=ask, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        asked = (await client.threads.get_state(thread_id))["checkpoint"]["checkpoint_id"]
        await client.runs.wait(thread_id, "agent", input=text("y"))

        values = await client.runs.wait(thread_id, "agent", command=YES, checkpoint_id=asked)

        assert values == {"log": ["x", "a", "yes", "b"], "text": "x"}
        assert await status(client, thread_id) == "idle"


@pytest.mark.parametrize("answer", ["", 0, False, [], {}, {"ok": True}, ["yes", 1.5]])
async def test_an_answer_may_be_anything_but_null(serve: Serve, answer: Any) -> None:
    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        values = await client.runs.wait(thread_id, "agent", command={"resume": answer})

        assert values["log"] == ["x", answer]


async def test_a_command_outweighs_an_input(serve: Serve) -> None:
    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        values = await client.runs.wait(thread_id, "agent", input=text("y"), command=YES)

        assert values["log"] == ["x", "yes"]


async def test_going_on_without_an_answer_asks_again(serve: Serve) -> None:
    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.wait(thread_id, "agent", input=text("x"))
        again = await client.runs.wait(thread_id, "agent", input=None)

        assert again["__interrupt__"] == first["__interrupt__"]
        assert await status(client, thread_id) == "interrupted"


async def test_a_command_can_update_the_state_and_say_where_to_go(serve: Serve) -> None:
    async with serve(chain(ask=ask, b=says("b"), c=says("c"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        values = await client.runs.wait(
            thread_id, "agent", command={"resume": "yes", "update": {"text": "new"}}
        )
        assert values == {"log": ["x", "yes", "b", "c"], "text": "new"}

        sent = {"goto": {"node": "c", "input": {"log": []}}, "update": [["text", "sent"]]}
        values = await client.runs.wait(thread_id, "agent", command=sent)
        assert values == {"log": ["x", "yes", "b", "c", "c"], "text": "sent"}
        values = await client.runs.wait(thread_id, "agent", command={"goto": ["b"]})
        assert values["log"][-2:] == ["b", "c"]


async def test_one_run_may_answer_one_question_and_pause_at_the_next(serve: Serve) -> None:
    async with serve(chain(ask=ask, again=ask_again)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.wait(thread_id, "agent", input=text("x"))
        second = await client.runs.wait(thread_id, "agent", command=YES)

        assert second["log"] == ["x", "yes"]
        assert second["__interrupt__"][0]["value"] == "pay the bill?"
        assert second["__interrupt__"][0]["id"] != first["__interrupt__"][0]["id"]
        assert await status(client, thread_id) == "interrupted"


# A resume answers what its sender saw.


async def test_a_double_clicked_yes_does_not_answer_the_next_question(serve: Serve) -> None:
    acts = SlowToAct()
    async with serve(chain(ask=acts.node, again=ask_again)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))

        await client.runs.create(thread_id, "agent", command=YES)
        await acts.acts.wait()  # the first click is being worked on when the second arrives
        second = await client.runs.create(thread_id, "agent", command=YES)
        acts.let.set()
        await client.runs.join(thread_id, second["run_id"])

        assert await waiting(client, thread_id) == ["pay the bill?"]
        assert await log_of(client, thread_id) == ["x", "yes"]
        assert await status(client, thread_id) == "interrupted"
        assert await statuses(client, thread_id) == ["success"] * 3
        [late, click, _] = await client.runs.list(thread_id)
        assert "answers no interrupt" in late["metadata"]["warning"]
        assert "warning" not in click["metadata"]

        # The question can still be answered by who has seen it.
        values = await client.runs.wait(thread_id, "agent", command={"resume": "paid"})
        assert values["log"] == ["x", "yes", "paid"]


async def test_two_clicks_at_the_very_same_time_count_as_one(serve: Serve) -> None:
    async with serve(chain(ask=ask, again=ask_again)) as room:
        client = room.client
        threads = [await new_thread(client) for _ in range(10)]

        async def click(thread_id: str) -> None:
            await client.runs.wait(thread_id, "agent", command=YES)

        for thread_id in threads:
            await client.runs.wait(thread_id, "agent", input=text("x"))
        # Each pair is in the mailbox before its thread looks: nobody has seen the next question.
        async with trio.open_nursery() as nursery:
            for thread_id in threads:
                nursery.start_soon(click, thread_id)
                nursery.start_soon(click, thread_id)

        for thread_id in threads:
            assert await waiting(client, thread_id) == ["pay the bill?"]
            assert await log_of(client, thread_id) == ["x", "yes"]


async def test_an_answer_to_a_question_that_a_new_turn_has_dropped_answers_nothing(
    serve: Serve,
) -> None:
    hold = Hold()
    async with serve(chain(hold=hold.node, ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("one"))
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        late = await client.runs.create(thread_id, "agent", command=YES)
        hold.open()
        await client.runs.join(thread_id, late["run_id"])

        assert await log_of(client, thread_id) == ["one", "did one", "slow", "did slow"]
        assert await waiting(client, thread_id) == ["delete the files?"]
        run = await client.runs.get(thread_id, late["run_id"])
        assert run["status"] == "success"
        assert "warning" in run["metadata"]


async def test_a_resume_on_a_finished_thread_runs_nothing(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(thread_id, "agent", input=text("x"))
        history = await client.threads.get_history(thread_id)

        assert await client.runs.wait(thread_id, "agent", command=YES) == values

        assert await client.threads.get_history(thread_id) == history
        [run, _] = await client.runs.list(thread_id)
        assert run["status"] == "success"
        assert "warning" in run["metadata"]


async def test_a_resume_on_a_finished_thread_shows_what_it_has_come_to(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(thread_id, "agent", input=text("x"))
        modes = ["values", "updates", "checkpoints"]
        stream = client.runs.stream(thread_id, "agent", command=YES, stream_mode=modes)
        told = [(part.event, part.data) async for part in stream]

        assert [event for event, _ in told] == ["metadata", "values", "checkpoints"]
        assert told[1][1] == told[2][1]["values"] == values


async def test_a_resume_after_an_edit_goes_on_and_asks(serve: Serve) -> None:
    async with serve(chain(ask=ask, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.threads.update_state(thread_id, {"text": "edited"})
        assert await waiting(client, thread_id) == []

        await client.runs.wait(thread_id, "agent", command=YES)

        assert await waiting(client, thread_id) == ["delete the files?"]
        values = await client.runs.wait(thread_id, "agent", command=YES)
        assert values == {"log": ["x", "yes", "b"], "text": "edited"}


async def test_a_resume_after_an_edit_in_place_of_the_node_that_asked_goes_on(serve: Serve) -> None:
    async with serve(chain(ask=ask, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.threads.update_state(thread_id, {"log": ["by hand"]}, as_node="ask")
        values = await client.runs.wait(thread_id, "agent", command=YES)
        assert values["log"] == ["x", "by hand", "b"]


async def test_a_resume_of_a_thread_whose_run_was_stopped_goes_on(serve: Serve) -> None:
    hold = Hold()
    async with serve(chain(hold=hold.node, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        hold.open()
        values = await client.runs.wait(thread_id, "agent", command=YES)
        assert values["log"] == ["slow", "did slow", "b"]


async def test_a_resume_on_an_empty_thread_fails(serve: Serve) -> None:
    async with serve(chain(ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed, match="EmptyInputError"):
            await client.runs.wait(thread_id, "agent", command=YES)


# Several questions at once.


async def paused_twice(client: Client) -> tuple[str, dict[str, str]]:
    """A thread with two questions, and their ids by text."""
    thread_id = await new_thread(client)
    result = await client.runs.wait(thread_id, "agent", input=text("x"))
    assert result.keys() == {"__interrupt__"}  # with several, the questions come alone
    return thread_id, {asked["value"]: asked["id"] for asked in result["__interrupt__"]}


async def test_several_questions_are_answered_by_their_ids(serve: Serve) -> None:
    async with serve(parallel(delete=ask, pay=ask_again)) as room:
        client = room.client
        thread_id, ids = await paused_twice(client)
        assert list(ids) == ["delete the files?", "pay the bill?"]

        answers = dict(zip(reversed(ids.values()), ["pay", "delete"], strict=True))
        values = await client.runs.wait(thread_id, "agent", command={"resume": answers})

        assert values["log"] == ["x", "delete", "pay"]  # in the order of the nodes
        assert await status(client, thread_id) == "idle"


async def test_some_questions_may_be_answered_now_and_others_later(serve: Serve) -> None:
    async with serve(parallel(delete=ask, pay=ask_again)) as room:
        client = room.client
        thread_id, ids = await paused_twice(client)

        values = await client.runs.wait(
            thread_id, "agent", command={"resume": {ids["pay the bill?"]: "pay"}}
        )
        assert [asked["value"] for asked in values["__interrupt__"]] == ["delete the files?"]
        assert await status(client, thread_id) == "interrupted"

        # One question is left, so that a plain value says enough.
        values = await client.runs.wait(thread_id, "agent", command={"resume": "delete"})
        assert values["log"] == ["x", "delete", "pay"]


async def test_a_plain_answer_to_several_questions_fails_and_loses_none(serve: Serve) -> None:
    async with serve(parallel(delete=ask, pay=ask_again)) as room:
        client = room.client
        thread_id, ids = await paused_twice(client)

        with pytest.raises(RunFailed) as failure:
            await client.runs.wait(thread_id, "agent", command=YES)

        assert failure.value.error == "InvalidResumeError"
        assert all(ident in failure.value.message for ident in ids.values())
        thread = await client.threads.get(thread_id)
        assert (thread["status"], thread["error"]["error"]) == ("error", "InvalidResumeError")
        assert await statuses(client, thread_id) == ["success", "error"]
        assert await waiting(client, thread_id) == list(ids)
        answers = dict.fromkeys(ids.values(), "yes")
        values = await client.runs.wait(thread_id, "agent", command={"resume": answers})
        assert values["log"] == ["x", "yes", "yes"]
        assert await status(client, thread_id) == "idle"


async def test_an_answer_to_an_unknown_question_answers_none(serve: Serve) -> None:
    async with serve(parallel(delete=ask, pay=ask_again)) as room:
        client = room.client
        thread_id, ids = await paused_twice(client)

        result = await client.runs.wait(thread_id, "agent", command={"resume": {"0" * 32: "yes"}})

        assert [asked["id"] for asked in result["__interrupt__"]] == list(ids.values())
        assert await waiting(client, thread_id) == list(ids)
        assert await statuses(client, thread_id) == ["success", "success"]


# Strict ones.


async def test_a_strict_answer_to_an_unknown_question_fails_its_run_and_nothing_else(
    serve: Serve,
) -> None:
    async with serve(parallel(delete=ask, pay=ask_again)) as room:
        client = room.client
        thread_id, ids = await paused_twice(client)
        before = await client.threads.get_state(thread_id)

        for resume in ({"0" * 32: "yes"}, {ids["pay the bill?"]: "pay", "0" * 32: "yes"}, "yes"):
            with pytest.raises(RunFailed) as failure:
                await client.runs.wait(
                    thread_id, "agent", command={"resume": resume}, strict_resume=True
                )
            assert failure.value.error == "UnknownInterruptError"
            thread = await client.threads.get(thread_id)
            assert (thread["status"], thread["error"]) == ("interrupted", None)
            assert await client.threads.get_state(thread_id) == before

        assert await statuses(client, thread_id) == ["success", "error", "error", "error"]
        answers = dict.fromkeys(ids.values(), "yes")
        values = await client.runs.wait(
            thread_id, "agent", command={"resume": answers}, strict_resume=True
        )
        assert values["log"] == ["x", "yes", "yes"]


async def test_a_strict_answer_to_what_another_has_answered_by_then_says_so(serve: Serve) -> None:
    acts = SlowToAct()
    async with serve(chain(ask=acts.node, again=ask_again)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input=text("x"))
        first = await client.runs.create(thread_id, "agent", command=YES)
        late = {"command": {"resume": "no"}, "strict_resume": True}
        second = await client.runs.create(thread_id, "agent", **late)
        await acts.acts.wait()
        acts.let.set()
        await client.runs.join(thread_id, first["run_id"])

        with pytest.raises(RunFailed, match=paused["__interrupt__"][0]["id"]):
            await client.runs.join(thread_id, second["run_id"])

        assert await waiting(client, thread_id) == ["pay the bill?"]
        assert await status(client, thread_id) == "interrupted"
        assert (await client.runs.wait(thread_id, "agent", command=YES))["log"] == [
            "x",
            "yes",
            "yes",
        ]


async def test_a_strict_resume_goes_on_at_a_breakpoint(serve: Serve) -> None:
    async with serve(chain(a=says("a"), b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), interrupt_before=["b"])
        values = await client.runs.wait(thread_id, "agent", command=YES, strict_resume=True)
        assert values["log"] == ["x", "a", "b"]


# Runs that answered, undone or cut short.


async def test_rolling_back_a_run_that_had_answered_restores_the_question(serve: Serve) -> None:
    acts = SlowToAct()
    async with serve(chain(ask=acts.node, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input=text("x"))
        before = await client.threads.get_state(thread_id)
        run = await client.runs.create(thread_id, "agent", command=YES)
        await acts.acts.wait()
        assert await waiting(client, thread_id) == []

        await client.runs.cancel(thread_id, run["run_id"], wait=True, action="rollback")

        assert await client.threads.get_state(thread_id) == before
        thread = await client.threads.get(thread_id)
        assert thread["status"] == "interrupted"
        [question] = thread["interrupts"].values()
        assert question[0]["id"] == paused["__interrupt__"][0]["id"]
        acts.let.set()
        values = await client.runs.wait(thread_id, "agent", command={"resume": "no"})
        assert values["log"] == ["x", "no", "b"]


async def test_an_answer_that_rolls_another_back_takes_its_place(serve: Serve) -> None:
    acts = SlowToAct()
    async with serve(chain(ask=acts.node, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.runs.create(thread_id, "agent", command=YES)
        await acts.acts.wait()

        no = await client.runs.create(
            thread_id, "agent", command={"resume": "no"}, multitask_strategy="rollback"
        )
        acts.let.set()
        values = await client.runs.join(thread_id, no["run_id"])

        assert values["log"] == ["x", "no", "b"]
        assert await statuses(client, thread_id) == ["success"] * 2


async def test_an_answer_is_kept_when_its_run_is_cut_short(serve: Serve) -> None:
    acts = SlowToAct()
    async with serve(chain(ask=acts.node, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        run = await client.runs.create(thread_id, "agent", command=YES)
        await acts.acts.wait()
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        assert (await client.threads.get_state(thread_id))["next"] == ["ask"]

        acts.let.set()
        values = await client.runs.wait(thread_id, "agent", input=None)

        assert values["log"] == ["x", "yes", "b"]


@pytest.mark.parametrize("strategy", ["enqueue", "interrupt"])
async def test_an_answer_that_comes_while_another_is_at_work_runs_nothing_and_says_so(
    serve: Serve, strategy: str
) -> None:
    acts = SlowToAct()
    async with serve(chain(ask=acts.node, b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        yes = await client.runs.create(thread_id, "agent", command=YES)
        await acts.acts.wait()
        no = await client.runs.create(
            thread_id, "agent", command={"resume": "no"}, multitask_strategy=strategy
        )
        if strategy == "enqueue":
            await client.runs.cancel(thread_id, yes["run_id"])
        acts.let.set()

        values = await client.runs.join(thread_id, no["run_id"])

        assert values["log"] == ["x"]
        assert (await client.runs.get(thread_id, no["run_id"]))["metadata"]["warning"]
        assert await statuses(client, thread_id) == ["success", "interrupted", "success"]
        values = await client.runs.wait(thread_id, "agent", input=None)
        assert values["log"] == ["x", "yes", "b"]


async def test_a_question_outlives_a_restart(serve: Serve) -> None:
    graph = chain(a=says("a"), ask=ask, b=says("b"))
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input=text("x"))
        thread = await client.threads.get(thread_id)
        state = await client.threads.get_state(thread_id)

    async with serve(graph) as room:
        client = room.client
        assert await client.threads.get(thread_id) == thread
        assert await client.threads.get_state(thread_id) == state
        answer = {paused["__interrupt__"][0]["id"]: "yes"}
        values = await client.runs.wait(thread_id, "agent", command={"resume": answer})
        assert values["log"] == ["x", "a", "yes", "b"]
