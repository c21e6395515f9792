from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Conflict, Greenroom, NotFound, TooMany
from greenroom.actors.multitask import STRATEGIES
from greenroom.graph import END, START, CompiledStateGraph, StateGraph, interrupt

from ..conftest import Serve
from ..stage import (
    Blocking,
    Hold,
    Shielded,
    State,
    chain,
    fails,
    log_of,
    new_thread,
    says,
    status,
    statuses,
    text,
)

GRACE = 5.0


@pytest.fixture(params=[Hold, Blocking], ids=["async", "thread"])
def hold(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A node that waits, on the loop or in a thread of its own."""
    hold = request.param()
    yield hold
    hold.open()  # lets go of a thread that was given up on


@pytest.fixture
def room(serve: Serve, hold: Any) -> Greenroom:
    """Not entered yet."""
    return serve(chain(read=says("read"), hold=hold.node, end=says("end")))


# One run under way, another arrives.


async def test_reject_refuses_the_new_run_and_leaves_the_first_alone(
    room: Greenroom, hold: Any
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        request: dict[str, Any] = {"input": text("quick"), "multitask_strategy": "reject"}
        for call in (client.runs.create, client.runs.wait, client.runs.start):
            with pytest.raises(Conflict, match=rf"{thread_id}.*'reject'"):
                await call(thread_id, "agent", **request)
        with pytest.raises(Conflict):
            await anext(client.runs.stream(thread_id, "agent", **request))

        hold.open()
        values = await client.runs.join(thread_id, first["run_id"])
        assert values["log"] == ["slow", "read", "did slow", "end"]
        assert await statuses(client, thread_id) == ["success"]
        again = await client.runs.wait(thread_id, "agent", **request)
        assert again["log"][-4:] == ["quick", "read", "did quick", "end"]


async def test_a_run_too_many_in_the_queue_is_refused_and_changes_nothing(
    serve: Serve, hold: Any
) -> None:
    async with serve(chain(hold=hold.node), max_queued_runs=2) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in ("slow", "two", "three"):
            await client.runs.create(thread_id, "agent", input=text(word))
        request: dict[str, Any] = {"input": text("four"), "multitask_strategy": "enqueue"}
        with pytest.raises(TooMany, match=rf"{thread_id}' has 2 runs waiting; at most 2 may"):
            await client.runs.create(thread_id, "agent", **request)

        hold.open()
        last, *_ = await client.runs.list(thread_id)
        await client.runs.join(thread_id, last["run_id"])
        assert await statuses(client, thread_id) == ["success"] * 3
        await client.runs.wait(thread_id, "agent", **request)
    assert room.meters.admissions["enqueue", "refused"] == 1


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_run_that_stops_the_others_gets_past_a_full_queue_until_too_many_were_stopped(
    serve: Serve, strategy: str
) -> None:
    hold = Shielded()
    async with serve(chain(hold=hold.node), max_queued_runs=2) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in ("slow", "two", "three"):
            await client.runs.create(thread_id, "agent", input=text(word))
        await hold.reached.wait()
        request: dict[str, Any] = {"input": text("four"), "multitask_strategy": strategy}
        last = await client.runs.create(thread_id, "agent", **request)
        with pytest.raises(TooMany, match=rf"{thread_id}' has 2 runs waiting; at most 2 may"):
            await client.runs.create(thread_id, "agent", **request)

        hold.open()
        values = await client.runs.join(thread_id, last["run_id"])
        assert values["log"][-2:] == ["four", "did four"]


async def test_enqueue_waits_its_turn_in_order_of_arrival(room: Greenroom, hold: Any) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await client.runs.create(thread_id, "agent", input=text("two"))
        third = await client.runs.create(
            thread_id, "agent", input=text("three"), multitask_strategy="enqueue"
        )
        assert await statuses(client, thread_id) == ["running", "pending", "pending"]
        assert await status(client, thread_id) == "busy"

        hold.open()

        values = await client.runs.join(thread_id, third["run_id"])
        answers = [["slow", "two", "three"][n // 4] for n in range(12)]
        assert values["log"][0::4] == answers[0::4]
        assert values["log"][2::4] == ["did slow", "did two", "did three"]
        assert await statuses(client, thread_id) == ["success"] * 3
        assert await status(client, thread_id) == "idle"


async def test_rollback_leaves_nothing_of_the_first_run(room: Greenroom, hold: Any) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        before = await client.runs.wait(thread_id, "agent", input=text("before"))
        history = await client.threads.get_history(thread_id)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        values = await client.runs.wait(
            thread_id, "agent", input=text("quick"), multitask_strategy="rollback"
        )

        assert values["log"] == [*before["log"], "quick", "read", "did quick", "end"]
        with pytest.raises(NotFound, match=first["run_id"]):
            await client.runs.get(thread_id, first["run_id"])
        assert await statuses(client, thread_id) == ["success", "success"]
        after = await client.threads.get_history(thread_id, limit=100)
        assert after[-len(history) :] == history
        assert first["run_id"] not in {s["metadata"]["run_id"] for s in after}
        assert after[len(after) - len(history) - 1]["parent_checkpoint"] == history[0]["checkpoint"]

        hold.open()


async def test_a_rollback_on_a_new_thread_starts_from_nothing(room: Greenroom, hold: Any) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()

        values = await client.runs.wait(
            thread_id, "agent", input=text("quick"), multitask_strategy="rollback"
        )

        assert values["log"] == ["quick", "read", "did quick", "end"]
        assert len(await client.threads.get_history(thread_id)) == 5


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_a_paused_thread_is_not_busy(serve: Serve, strategy: str) -> None:
    async def ask(state: Any) -> Any:
        return {"log": [interrupt("sure?")]}

    async with serve(chain(read=says("read"), ask=ask)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input=text("one"))
        delay = {"after_seconds": 0.001} if strategy == "debounce" else {}
        values = await client.runs.wait(
            thread_id, "agent", input=text("two"), multitask_strategy=strategy, **delay
        )

        assert values["log"] == ["one", "read", "two", "read"]  # a new turn, from START
        [old], [new] = paused["__interrupt__"], values["__interrupt__"]
        assert old["id"] != new["id"]
        assert await statuses(client, thread_id) == ["success", "success"]
        [waiting] = (await client.threads.get_state(thread_id))["interrupts"]
        assert waiting["id"] == new["id"]


@pytest.mark.parametrize("graph", ["fails", "asks", "ends"])
async def test_a_queued_run_starts_however_the_one_before_it_ended(
    serve: Serve, graph: str
) -> None:
    hold = Hold()

    async def ask(state: Any) -> Any:
        interrupt("sure?")

    graphs = {
        "fails": chain(hold=hold.node, fail=fails),
        "asks": chain(hold=hold.node, ask=ask),
        "ends": chain(hold=hold.node),
        "agent": chain(a=says("a")),
    }
    async with serve(graphs) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, graph, input=text("slow"))
        await hold.reached.wait()
        second = await client.runs.create(thread_id, "agent", input=text("two"))
        hold.open()

        values = await client.runs.join(thread_id, second["run_id"])
        assert values["log"] == ["slow", "did slow", "two", "a"]
        assert await status(client, thread_id) == "idle"


async def test_a_thread_whose_next_run_is_under_way_is_busy_whatever_became_of_the_last(
    serve: Serve,
) -> None:
    hold = Hold(texts=("slow", "two"))
    graphs = {"fails": chain(fail=fails), "agent": chain(hold=hold.node)}
    async with serve(graphs) as room:
        client, thread_id = room.client, await new_thread(room.client)
        handle = await client.runs.start(thread_id, "fails", input=text("one"))
        await client.runs.create(thread_id, "agent", input=text("two"))
        assert "__error__" in await handle.result()
        await hold.reached.wait()

        assert await status(client, thread_id) == "busy"
        hold.open()


# Runs queued behind the one under way.


async def test_interrupt_takes_the_inputs_of_queued_runs_in_and_runs_none_of_their_nodes(
    room: Greenroom, hold: Any
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        queued = [
            await client.runs.create(thread_id, "agent", input=text(word))
            for word in ("two", "three")
        ]

        values = await client.runs.wait(
            thread_id, "agent", input=text("quick"), multitask_strategy="interrupt"
        )

        assert values["log"] == [
            "slow",
            "read",
            "two",
            "three",
            "quick",
            "read",
            "did quick",
            "end",
        ]
        assert await statuses(client, thread_id) == ["interrupted"] * 3 + ["success"]
        assert [word for word in hold.order if "begins" in word] == ["slow begins", "quick begins"]
        history = await client.threads.get_history(thread_id)
        for run in queued:  # one `input` checkpoint each
            [state] = [s for s in history if s["metadata"]["run_id"] == run["run_id"]]
            assert state["metadata"]["source"] == "input"


async def test_a_command_that_waits_is_dropped_by_interrupt(room: Greenroom, hold: Any) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await client.runs.create(thread_id, "agent", command={"update": {"log": ["command"]}})
        await client.runs.create(thread_id, "agent", input=None)

        values = await client.runs.wait(
            thread_id, "agent", input=text("quick"), multitask_strategy="interrupt"
        )

        assert values["log"] == ["slow", "read", "quick", "read", "did quick", "end"]
        assert await statuses(client, thread_id) == ["interrupted"] * 3 + ["success"]


async def test_a_queued_input_that_the_state_cannot_take_harms_its_own_run_only(
    room: Greenroom, hold: Any
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await client.runs.create(thread_id, "agent", input={"log": 5})  # list + int
        await client.runs.create(thread_id, "agent", input=text("three"))

        values = await client.runs.wait(
            thread_id, "agent", input=text("quick"), multitask_strategy="interrupt"
        )

        assert values["log"][:4] == ["slow", "read", "three", "quick"]
        assert await statuses(client, thread_id) == [
            "interrupted",
            "error",
            "interrupted",
            "success",
        ]


# Texts in quick succession.


@pytest.mark.parametrize(
    ("strategy", "ends", "texts"),
    [
        ("enqueue", ["success"] * 5, "12345"),
        ("interrupt", ["interrupted"] * 4 + ["success"], "12345"),
        ("rollback", ["success"], "5"),
        ("reject", ["success"], "1"),
    ],
)
async def test_five_rapid_texts(serve: Serve, strategy: str, ends: list[str], texts: str) -> None:
    hold = Hold(texts="12345")
    async with serve(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        for word in "12345":
            try:
                await client.runs.create(
                    thread_id, "agent", input=text(word), multitask_strategy=strategy
                )
            except Conflict:
                assert strategy == "reject"
        hold.open()
        [last, *_] = await client.runs.list(thread_id)
        log = (await client.runs.join(thread_id, last["run_id"]))["log"]

        assert await statuses(client, thread_id) == ends
        assert "".join(word for word in log if len(word) == 1) == texts
        assert log[-1] == f"did {texts[-1]}"
        # One after the other: whatever begins ends before the next begins.
        assert hold.order[1::2] == [word.replace("begins", "ends") for word in hold.order[0::2]]


async def test_no_text_is_lost_when_several_arrive_at_the_very_same_time(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        client = room.client
        threads = [await new_thread(client) for _ in range(20)]

        async def send(thread_id: str, word: str) -> None:
            await client.runs.wait(
                thread_id, "agent", input=text(word), multitask_strategy="interrupt"
            )

        async with trio.open_nursery() as nursery:
            for thread_id in threads:
                for word in "123":
                    nursery.start_soon(send, thread_id, word)

        for thread_id in threads:
            log = await log_of(client, thread_id)
            assert sorted(word for word in log if word != "a") == ["1", "2", "3"]
            assert await status(client, thread_id) == "idle"


def routed(hold: Hold) -> CompiledStateGraph:
    """A graph that waits in the edge that leaves START."""

    async def route(state: State) -> str:
        await hold.node(state)
        return "a"

    builder = StateGraph(State)
    builder.add_node("a", says("a"))
    builder.add_conditional_edges(START, route, ["a"])
    builder.add_edge("a", END)
    return builder.compile()


async def test_no_text_is_lost_or_waited_for_while_it_is_still_being_routed(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    hold = Hold(texts=("slow", "two"))
    async with serve_in_memory(routed(hold)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        await client.runs.create(thread_id, "agent", input=text("two"))
        with trio.fail_after(60):
            values = await client.runs.wait(
                thread_id, "agent", input=text("quick"), multitask_strategy="interrupt"
            )

        assert values["log"] == ["slow", "two", "quick", "a"]


# A run that will not stop.


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_the_hand_over_is_strict(
    serve_in_memory: Serve, mock_clock: MockClock, strategy: str
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(read=says("read"), hold=hold.node, end=says("end"))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        second = await client.runs.create(
            thread_id, "agent", input=text("quick"), multitask_strategy=strategy
        )
        await wait_all_tasks_blocked()

        # It has been told to stop, and has not: nothing has changed yet.
        assert await statuses(client, thread_id) == ["running", "pending"]
        assert await status(client, thread_id) == "busy"
        assert hold.order == ["slow begins"]

        hold.open()
        values = await client.runs.join(thread_id, second["run_id"])

        assert hold.order == ["slow begins", "slow ends", "quick begins", "quick ends"]
        if strategy == "interrupt":  # what it came to before it stopped is kept
            assert values["log"][:4] == ["slow", "read", "did slow", "quick"]
            run = await client.runs.get(thread_id, first["run_id"])
            assert run["status"] == "interrupted"
        else:
            assert values["log"] == ["quick", "read", "did quick", "end"]
            assert await statuses(client, thread_id) == ["success"]


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_a_run_that_will_not_stop_is_given_up_on_and_writes_no_more(
    serve_in_memory: Serve,
    mock_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    strategy: str,
) -> None:
    hold = Shielded()
    graph = chain(read=says("read"), hold=hold.node, end=says("end"))
    async with serve_in_memory(graph, grace_period=GRACE) as room:
        client, thread_id = room.client, await new_thread(room.client)
        first = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        second = await client.runs.create(
            thread_id, "agent", input=text("quick"), multitask_strategy=strategy
        )
        await wait_all_tasks_blocked()
        mock_clock.jump(GRACE - 0.1)
        await wait_all_tasks_blocked()
        assert await statuses(client, thread_id) == ["running", "pending"]

        mock_clock.jump(0.2)
        values = await client.runs.join(thread_id, second["run_id"])

        kept = ["slow", "read"] if strategy == "interrupt" else []
        assert values["log"] == [*kept, "quick", "read", "did quick", "end"]
        assert hold.order == ["slow begins", "quick begins", "quick ends"]
        ended = ["interrupted", "success"] if strategy == "interrupt" else ["success"]
        assert await statuses(client, thread_id) == ended
        assert f"run {first['run_id']} did not stop within 5 s" in caplog.text

        before = await client.threads.get_history(thread_id)
        hold.open()
        await wait_all_tasks_blocked()
        assert hold.order[-1] == "slow ends"
        assert f"run {first['run_id']} ended after it was given up on" in caplog.text
        assert await client.threads.get_history(thread_id) == before
        assert await statuses(client, thread_id) == ended
        # The thread is as good as new.
        assert (await client.runs.wait(thread_id, "agent", input=text("x")))["log"][-1] == "end"


async def test_a_rollback_outweighs_the_interrupt_that_came_before_it(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        for word, strategy in [
            ("two", "enqueue"),
            ("three", "interrupt"),
            ("four", "enqueue"),
            ("five", "rollback"),
            ("six", "enqueue"),
        ]:
            await client.runs.create(
                thread_id, "agent", input=text(word), multitask_strategy=strategy
            )
        hold.open()
        [last, *_] = await client.runs.list(thread_id)
        values = await client.runs.join(thread_id, last["run_id"])

        assert values["log"] == ["five", "did five", "six", "did six"]
        assert await statuses(client, thread_id) == ["success", "success"]


async def test_an_interrupt_does_not_bring_back_what_a_rollback_had_removed(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(hold=hold.node)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        for word, strategy in [("two", "enqueue"), ("three", "rollback"), ("four", "interrupt")]:
            last = await client.runs.create(
                thread_id, "agent", input=text(word), multitask_strategy=strategy
            )
        hold.open()
        values = await client.runs.join(thread_id, last["run_id"])

        assert values["log"] == ["three", "four", "did four"]
        assert await statuses(client, thread_id) == ["interrupted", "success"]


async def test_one_that_will_not_stop_holds_up_no_other_thread(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    hold = Shielded()
    async with serve_in_memory(chain(hold=hold.node)) as room:
        client = room.client
        stuck, other = await new_thread(client), await new_thread(client)
        await client.runs.create(stuck, "agent", input=text("slow"))
        await hold.reached.wait()
        await client.runs.create(
            stuck, "agent", input=text("quick"), multitask_strategy="interrupt"
        )

        values = await client.runs.wait(other, "agent", input=text("x"))

        assert values["log"] == ["x", "did x"]
        assert await status(client, stuck) == "busy"
        hold.open()
