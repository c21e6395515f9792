"""Interrupts, breakpoints, cancelling and time limits of LangGraph's graphs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import trio
from langgraph.func import task
from langgraph.graph import START, StateGraph
from langgraph.types import Interrupt, Send, interrupt
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import NotFound, RunFailed
from greenroom.graph.here import tell_trio, to_trio

from .. import stage
from ..conftest import Serve
from ..stage import State, log_of, new_thread, says, status, statuses, text
from .stage import AsyncioHold, BlockingHold, StubbornHold, chain


async def ask(state: State) -> State:
    return {"log": [interrupt("sure?")]}


async def ask_again(state: State) -> State:
    return {"log": [interrupt("really?")]}


def asks(question: str) -> Any:
    def node(state: State) -> State:
        return {"log": [f"{question} {interrupt(question)}"]}

    return node


def side_by_side(**nodes: Any) -> Any:
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name)
    return builder.compile()


async def test_a_double_clicked_yes_does_not_answer_the_next_question(serve: Serve) -> None:
    hold = AsyncioHold(texts=("x",))
    async with serve(chain(ask=ask, hold=hold.node, again=ask_again)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        yes = {"resume": "yes"}
        first = await client.runs.create(thread_id, "agent", command=yes)
        second = await client.runs.create(thread_id, "agent", command=yes)
        await hold.reached.wait()
        third = await client.runs.create(thread_id, "agent", command=yes)
        hold.open()
        for run in (first, second, third):
            await client.runs.join(thread_id, run["run_id"])
        assert await log_of(client, thread_id) == ["x", "yes", "did x"]
        assert await statuses(client, thread_id) == ["success"] * 4
        ended = [await client.runs.get(thread_id, run["run_id"]) for run in (first, second, third)]
        assert ["warning" in run["metadata"] for run in ended] == [False, True, True]
        assert await status(client, thread_id) == "interrupted"
        done = await client.runs.wait(thread_id, "agent", command={"resume": "oh yes"})
        assert done["log"] == ["x", "yes", "did x", "oh yes"]


@pytest.mark.parametrize("inside", [False, True])
async def test_questions_side_by_side_are_answered_by_their_ids_now_or_later(
    serve: Serve, inside: bool
) -> None:
    nodes = {name: asks(name) for name in ("one", "two", "three")}
    if inside:
        nodes = {name: chain(state=State, ask=node) for name, node in nodes.items()}
        nodes = {name: calls(graph) for name, graph in nodes.items()}
    async with serve(side_by_side(**nodes)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input=text("x"))
        ids = {one["value"]: one["id"] for one in paused["__interrupt__"]}
        assert ids.keys() == {"one", "two", "three"}
        with pytest.raises(RunFailed) as failure:
            await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert failure.value.error == "InvalidResumeError"
        before = await client.threads.get_state(thread_id)
        for resume in ("yes", {ids["one"]: "1", "0" * 32: "yes"}):
            with pytest.raises(RunFailed) as failure:
                await client.runs.wait(
                    thread_id, "agent", command={"resume": resume}, strict_resume=True
                )
            assert failure.value.error == "UnknownInterruptError"
            assert await client.threads.get_state(thread_id) == before
        some = await client.runs.wait(
            thread_id, "agent", command={"resume": {ids["two"]: "2", ids["one"]: "1"}}
        )
        assert [one["value"] for one in some["__interrupt__"]] == ["three"]
    async with serve(side_by_side(**nodes)) as room:
        client = room.client
        assert await status(client, thread_id) == "interrupted"
        done = await client.runs.wait(thread_id, "agent", command={"resume": {ids["three"]: "3"}})
        assert sorted(done["log"]) == ["one 1", "three 3", "two 2", "x"]
        assert await status(client, thread_id) == "idle"
        _, asked, *_ = await client.threads.get_history(thread_id)
        told = {
            task["name"]: ([one["value"] for one in task["interrupts"]], task["result"]["log"])
            for task in asked["tasks"]
        }
        assert told == {name: ([name], [f"{name} {at}"]) for at, name in enumerate(nodes, 1)}


def calls(graph: Any) -> Any:
    async def node(state: State) -> State:
        log = (await graph.ainvoke({"log": [], "text": state["text"]}))["log"]
        return {"log": log}

    return node


@pytest.mark.parametrize("end", ["before a breakpoint", "at its end", "in a failure"])
async def test_an_answered_question_waits_no_more_where_the_graph_inside_has_come_to_a_stop(
    serve: Serve, end: str
) -> None:
    async def more(state: State) -> State:
        if end == "in a failure" and not failed:
            failed.append("once")
            raise ValueError("no such colour")
        return {"log": ["more"]}

    failed: list[str] = []
    breakpoints = {
        "before a breakpoint": {"interrupt_before": ["more"]},
        "at its end": {"interrupt_after": ["more"]},
    }
    inner = chain(ask=ask, more=more, compile=breakpoints.get(end, {}))
    async with serve(chain(call=chain(call=inner))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        stopped = await client.runs.wait(
            thread_id, "agent", command={"resume": "yes"}, raise_error=False
        )
        assert "__interrupt__" not in stopped
        state = await client.threads.get_state(thread_id, subgraphs=True)
        [task] = state["tasks"]
        [inside] = task["state"]["tasks"]
        assert [state["interrupts"], task["interrupts"], inside["interrupts"]] == [[], [], []]
        assert (await client.threads.get(thread_id))["interrupts"] == {}
        done = await client.runs.wait(thread_id, "agent", input=None)
        assert done["log"][-2:] == ["yes", "more"]
        asked = (await client.threads.get_history(thread_id))[1]
        assert [one["value"] for one in asked["tasks"][0]["interrupts"]] == ["sure?"]


async def test_a_failure_that_was_made_good_does_not_hide_a_question_beside_it(
    serve: Serve,
) -> None:
    failed: list[str] = []

    async def fails_once(state: State) -> State:
        if not failed:
            failed.append("once")
            raise ValueError("no such colour")
        return {"log": ["made good"]}

    async with serve(side_by_side(ask=ask, fail=fails_once)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed):
            await client.runs.wait(thread_id, "agent", input=text("x"))
        assert await status(client, thread_id) == "error"
        await client.runs.wait(thread_id, "agent", input=None)
        assert await status(client, thread_id) == "interrupted"
        done = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert sorted(done["log"]) == ["made good", "x", "yes"]
        assert await status(client, thread_id) == "idle"
        _, before, *_ = await client.threads.get_history(thread_id)
        told = {task["name"]: task["error"] for task in before["tasks"]}
        assert told == {"ask": None, "fail": "ValueError('no such colour')"}


@pytest.mark.parametrize("where", ["interrupt_before", "interrupt_after"])
@pytest.mark.parametrize("compiled", [False, True])
async def test_a_breakpoint_pauses_and_is_gone_on_from(
    serve: Serve, where: str, compiled: bool
) -> None:
    own: dict[str, Any] = {where: ["b"]}
    nodes = {"a": says("a"), "b": says("b"), "c": says("c")}
    graph = chain(**nodes, compile=own if compiled else {})
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(
            thread_id, "agent", input=text("x"), **({} if compiled else own)
        )
        so_far = ["x", "a"] if where == "interrupt_before" else ["x", "a", "b"]
        assert values["log"] == so_far
        assert await status(client, thread_id) == "interrupted"
        values = await client.runs.wait(thread_id, "agent", input=None)
        assert values["log"] == ["x", "a", "b", "c"]
        assert await status(client, thread_id) == "idle"


async def test_a_run_is_stopped_at_every_node_with_a_breakpoint_for_all(serve: Serve) -> None:
    async with serve(chain(a=says("a"), b=says("b"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        seen = []
        given: Any = text("x")
        for _ in range(3):
            values = await client.runs.wait(thread_id, "agent", input=given, interrupt_before="*")
            seen.append(values["log"])
            given = None
        assert seen == [["x"], ["x", "a"], ["x", "a", "b"]]


async def test_an_answer_is_kept_when_its_run_is_cut_short(serve: Serve) -> None:
    hold = AsyncioHold(texts=("x",))

    async def ask_and_hold(state: State) -> State:
        answer = interrupt("sure?")
        await hold.node(state)
        return {"log": [answer]}

    async with serve(chain(ask=ask_and_hold)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        run = await client.runs.create(thread_id, "agent", command={"resume": "yes"})
        await hold.reached.wait()
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        assert await statuses(client, thread_id) == ["success", "interrupted"]
        hold.open()
        values = await client.runs.wait(thread_id, "agent", input=None)
        assert values["log"] == ["x", "yes"]


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
async def test_cancel_waits_until_the_run_has_stopped_if_told_to(serve: Serve, action: str) -> None:
    hold, over = StubbornHold(), trio.Event()
    async with serve(chain(a=says("a"), hold=hold.node), grace_period=60.0) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        async def cancel() -> None:
            await client.runs.cancel(thread_id, run["run_id"], wait=True, action=action)
            over.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cancel)
            await hold.told.wait()
            await wait_all_tasks_blocked()
            assert not over.is_set()
            hold.open()
        if action == "rollback":
            with pytest.raises(NotFound):
                await client.runs.get(thread_id, run["run_id"])
            assert await client.threads.get_history(thread_id) == []
        else:
            assert await statuses(client, thread_id) == ["interrupted"]
            assert await log_of(client, thread_id) == ["slow", "a", "did slow"]


@pytest.mark.parametrize("kind", [StubbornHold, BlockingHold])
async def test_what_a_run_that_was_given_up_on_still_writes_is_refused(
    serve: Serve, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hold = kind()
    nodes = {"a": says("a"), "hold": hold.node, "b": says("b")}
    async with serve(chain(**nodes), grace_period=0.05) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        values = await client.runs.wait(
            thread_id, "agent", input=text("quick"), multitask_strategy="interrupt"
        )
        history = await client.threads.get_history(thread_id, limit=100)
        assert values["log"] == ["slow", "a", "quick", "a", "did quick", "b"]

        hold.open()  # it goes on now
        if kind is BlockingHold:
            await trio.to_thread.run_sync(hold.left.wait)
        values = await client.runs.wait(thread_id, "agent", input=text("more"))
        assert values["log"][6:] == ["more", "a", "did more", "b"]
        assert await statuses(client, thread_id) == ["interrupted", "success", "success"]
        after = await client.threads.get_history(thread_id, limit=100)
        assert after[-len(history) :] == history


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("comes_to", [{"log": ["a"]}, {}, None])
async def test_no_node_begins_after_one_that_has_swallowed_its_cancellation(
    serve: Serve, comes_to: State | None, depth: int
) -> None:
    reached, began = trio.Event(), list[str]()

    async def swallows(state: State) -> State | None:
        tell_trio(reached.set)
        with suppress(asyncio.CancelledError):
            await to_trio(trio.sleep_forever)
        return comes_to

    async def next_one(state: State) -> State:
        began.append("next")
        return {}

    graph = chain(a=swallows, b=next_one)
    for _ in range(depth):
        graph = chain(inner=graph, after=next_one)
    async with serve(graph, grace_period=60.0) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("x"))
        await reached.wait()
        await client.runs.cancel(thread_id, run["run_id"], wait=True)
        assert began == []
        assert await statuses(client, thread_id) == ["interrupted"]
        await client.runs.wait(thread_id, "agent", input=None)
        assert began == ["next"] * (depth + 1)


async def test_a_run_that_takes_too_long_is_stopped(serve: Serve) -> None:
    hold = AsyncioHold()
    async with serve(chain(a=says("a"), hold=hold.node), run_timeout=0.5) as room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed, match=r"longer than 0\.5 s"):
            await client.runs.wait(thread_id, "agent", input=text("slow"))
        assert await statuses(client, thread_id) == ["timeout"]
        assert hold.order == ["slow begins", "slow ends"]
        values = await client.runs.wait(thread_id, "agent", input=text("quick"))
        assert values["log"] == ["slow", "a", "quick", "a", "did quick"]


async def test_a_run_of_its_own_thread_leaves_nothing_behind(serve: Serve) -> None:
    async with serve(chain(a=says("a"), ask=ask)) as room:
        client = room.client
        values = await client.runs.wait(None, "agent", input=text("x"))
        assert values["log"] == ["x", "a"]
        assert [one["value"] for one in values["__interrupt__"]] == ["sure?"]
        assert await client.threads.count() == 0
        run = await client.runs.create(None, "agent", input=text("x"), on_completion="keep")
        await client.runs.join(run["thread_id"], run["run_id"])
        assert await log_of(client, run["thread_id"]) == ["x", "a"]


async def test_graphs_of_both_kinds_serve_one_thread_in_turn(serve: Serve) -> None:
    graphs = {"agent": chain(a=says("a")), "own": stage.chain(b=says("b"))}
    async with serve(graphs) as room:
        client = room.client
        one, two = await new_thread(client), await new_thread(client)
        assert (await client.runs.wait(one, "agent", input=text("x")))["log"] == ["x", "a"]
        assert (await client.runs.wait(two, "own", input=text("x")))["log"] == ["x", "b"]


async def test_a_question_says_in_which_graph_inside_it_was_asked(serve: Serve) -> None:
    async with serve(chain(outer=chain(inner=chain(ask=ask)))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        waits = await client.runs.wait(thread_id, "agent", input=text("x"))
        [asked] = waits["__interrupt__"]
        assert [place.partition(":")[0] for place in asked["ns"]] == ["outer", "inner", "ask"]


async def test_questions_of_sends_inside_say_which_task_asks(serve: Serve) -> None:
    inner = StateGraph(State).add_node("ask", ask)
    inner.add_conditional_edges(START, lambda state: [Send("ask", state), Send("ask", state)])
    async with serve(chain(call=inner.compile())) as room:
        client, thread_id = room.client, await new_thread(room.client)
        waits = await client.runs.wait(thread_id, "agent", input=text("x"))
        asked = waits["__interrupt__"]
        assert len(asked) == 2
        for one in asked:  # LangGraph makes the ids of it
            assert [place.partition(":")[0] for place in one["ns"]] == ["call", "ask"]
            assert one["id"] == Interrupt.from_ns(None, "|".join(one["ns"])).id


@pytest.mark.parametrize("goto", ["ask", {"node": "ask", "input": {"text": "x"}}])
async def test_what_a_node_asks_that_a_command_goes_to_is_answered(serve: Serve, goto: Any) -> None:
    builder = StateGraph(State).add_node("a", says("a")).add_edge(START, "a")
    async with serve(builder.add_node("ask", ask).compile()) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        waits = await client.runs.wait(thread_id, "agent", command={"goto": goto})
        [asked] = waits["__interrupt__"]
        assert asked["value"] == "sure?"
        assert await status(client, thread_id) == "interrupted"
        values = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert values["log"] == ["x", "a", "yes"]
        assert await status(client, thread_id) == "idle"


async def test_a_question_of_a_call_says_which_node_calls(serve: Serve) -> None:
    @task
    def sure(what: str) -> Any:
        return interrupt(f"{what}?")

    def asks(state: State) -> State:
        return {"log": [sure("sure").result()]}

    async with serve(chain(asks=asks)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        waits = await client.runs.wait(thread_id, "agent", input=text("x"))
        [asked] = waits["__interrupt__"]
        [place] = asked["ns"]
        assert place.startswith("asks:")
        values = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert values["log"] == ["x", "yes"]


async def test_what_tasks_beside_a_question_came_to_is_not_in_the_result_yet(serve: Serve) -> None:
    async with serve(side_by_side(ask=ask, done=says("done"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        waits = await client.runs.wait(thread_id, "agent", input=text("x"))
        assert waits["log"] == ["x"]
