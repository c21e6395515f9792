"""Runs that start later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Client, Conflict, Greenroom, Invalid, NotFound
from greenroom.actors.joining import is_to_wait
from greenroom.actors.queue import in_turn
from greenroom.actors.schedule import iso
from greenroom.graph.world import World
from greenroom.storage.testing import make_run

from .conftest import Serve
from .stage import Hold, chain, log_of, new_thread, says, status, statuses, tasks, text

DAY = 24 * 3600.0


@pytest.fixture
def room(serve_in_memory: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    return serve_in_memory(chain(hold=hold.node))


async def send(client: Client, thread_id: str, word: str, **how: Any) -> dict[str, Any]:
    return await client.runs.create(thread_id, "agent", input=text(word), **how)


async def pass_time(clock: MockClock, seconds: float) -> None:
    clock.jump(seconds)
    for _ in range(3):  # a run and what follows it
        await wait_all_tasks_blocked()


class OtherDay(World):
    """As if the process were started some time later."""

    def __init__(self, later: float) -> None:
        super().__init__()
        self.now()
        assert self._wall is not None
        self._wall += timedelta(seconds=later)
        self._began += int(later * 1e6)


class Hesitant(World):
    """Its clock shows once that the time `comes`, on trio's clock, is not quite there."""

    comes = float("inf")

    def timestamp(self) -> str:
        if trio.current_time() < self.comes:
            return super().timestamp()
        self.comes = float("inf")
        return iso(self.now() - timedelta(milliseconds=1))


async def test_a_run_that_comes_to_be_due_while_its_thread_looks_starts(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    world = Hesitant()
    async with serve_in_memory(chain(a=says("a")), world=world) as room:
        client = room.client
        for _ in range(10):  # whose look comes first is a matter of chance
            thread_id = await new_thread(client)
            world.comes = trio.current_time() + 60
            run = await send(client, thread_id, "x", after_seconds=60)
            await pass_time(mock_clock, 60)
            await pass_time(mock_clock, 1)
            assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "success"


async def test_a_delayed_run_starts_when_it_is_due_and_not_before(
    room: Greenroom, mock_clock: MockClock
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await send(client, thread_id, "x", after_seconds=60)
        made, sent = (datetime.fromisoformat(run[name]) for name in ("created_at", "updated_at"))
        assert (made - sent).total_seconds() == 60

        await pass_time(mock_clock, 59)
        assert await statuses(client, thread_id) == ["pending"]
        assert await status(client, thread_id) == "busy"
        await pass_time(mock_clock, 2)
        assert await statuses(client, thread_id) == ["success"]
        assert await log_of(client, thread_id) == ["x", "did x"]


async def test_who_waits_is_answered_though_the_thread_has_slept_meanwhile(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(a=says("a")), idle_timeout=1) as room:
        client, thread_id = room.client, await new_thread(room.client)
        began = trio.current_time()
        values = await client.runs.wait(thread_id, "agent", input=text("x"), after_seconds=DAY)
        assert values["log"] == ["x", "a"]
        assert 0 <= trio.current_time() - began - DAY < 1
        parts = client.runs.stream(thread_id, "agent", input=text("y"), after_seconds=DAY)
        assert [part.event async for part in parts] == ["metadata", "values", "values"]


async def test_runs_that_come_meanwhile_do_not_wait(room: Greenroom, mock_clock: MockClock) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await send(client, thread_id, "later", after_seconds=60)
        await client.runs.wait(thread_id, "agent", input=text("now"))

        assert await statuses(client, thread_id) == ["pending", "success"]
        assert await status(client, thread_id) == "busy"
        await pass_time(mock_clock, 61)
        assert await log_of(client, thread_id) == ["now", "did now", "later", "did later"]


async def test_a_run_that_is_due_waits_behind_those_that_came_before_it_was(
    room: Greenroom, hold: Hold, mock_clock: MockClock
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await send(client, thread_id, "slow")
        await hold.reached.wait()
        await send(client, thread_id, "late", after_seconds=90)
        await send(client, thread_id, "later", after_seconds=60)
        await send(client, thread_id, "before")
        await pass_time(mock_clock, 100)
        last = await send(client, thread_id, "last")
        hold.open()
        await client.runs.join(thread_id, last["run_id"])

        begun = [entry for entry in hold.order if entry.endswith("begins")]
        words = ["slow", "before", "later", "late", "last"]
        assert begun == [f"{word} begins" for word in words]


async def test_a_later_alarm_does_not_hide_a_sooner_one(
    room: Greenroom, mock_clock: MockClock
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        for seconds in (300, 100, 200):
            await send(client, thread_id, f"{seconds}", after_seconds=seconds)
        done: list[str] = []
        for seconds in (100, 200, 300):
            await pass_time(mock_clock, 101)
            done += [f"{seconds}", f"did {seconds}"]
            assert await log_of(client, thread_id) == done


@pytest.mark.parametrize("after", [0, 59, 60, 3 * DAY])
async def test_a_run_left_behind_starts_when_it_is_due_or_at_once_if_it_was(
    serve: Serve, mock_clock: MockClock, after: float
) -> None:
    hold = Hold()
    async with serve(chain(hold=hold.node)) as room:
        thread_id = await new_thread(room.client)
        run = await send(room.client, thread_id, "x", after_seconds=60)
        due = datetime.fromisoformat(run["created_at"])

    world = OtherDay(after)
    async with serve(chain(hold=hold.node), world=world) as room:
        client = room.client
        if after < 60:
            await wait_all_tasks_blocked()
            assert await statuses(client, thread_id) == ["pending"]
            assert hold.order == []
            mock_clock.jump((due - world.now()).total_seconds() + 1)
        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["x", "did x"]


async def test_runs_that_are_not_due_have_no_actor_after_a_restart(
    serve_in_memory: Serve, mock_clock: MockClock
) -> None:
    async with serve_in_memory(chain(a=says("a"))):
        empty = await tasks()
    async with serve_in_memory(chain(a=says("a"))) as room:
        for _ in range(5):
            await send(room.client, await new_thread(room.client), "x", after_seconds=60)
    async with serve_in_memory(chain(a=says("a"))):
        assert await tasks() == empty


@pytest.mark.parametrize("slept", [False, True])
@pytest.mark.parametrize("way", ["interrupt", "rollback", "delete", "delete thread"])
async def test_it_can_be_cancelled_and_deleted_before_it_is_due(
    room: Greenroom, hold: Hold, mock_clock: MockClock, way: str, slept: bool
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        run_id = (await send(client, thread_id, "x", after_seconds=60))["run_id"]
        handle = await client.runs.attach(thread_id, run_id)
        if slept:
            await pass_time(mock_clock, 30)
        if way == "delete thread":
            await client.threads.delete(thread_id)
        elif way == "delete":
            await client.runs.delete(thread_id, run_id)
        else:
            await client.runs.cancel(thread_id, run_id, action=way, wait=True)
        if way in ("delete", "delete thread"):
            with pytest.raises(NotFound):
                await handle.result()
        else:
            assert await handle.result() == {}
        if way != "delete thread":
            assert await status(client, thread_id) == "idle"
            assert await statuses(client, thread_id) == ["interrupted"] * (way == "interrupt")
        await pass_time(mock_clock, 61)
        assert hold.order == []
        if way == "delete thread":
            assert await client.threads.count() == 0
        else:
            assert await log_of(client, thread_id) == []


async def test_the_strategy_of_a_run_is_applied_when_it_is_sent(
    room: Greenroom, hold: Hold, mock_clock: MockClock
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await send(client, thread_id, "slow")
        await hold.reached.wait()
        with pytest.raises(Conflict):
            await send(client, thread_id, "x", after_seconds=60, multitask_strategy="reject")
        await send(client, thread_id, "later", after_seconds=60, multitask_strategy="interrupt")
        await wait_all_tasks_blocked()
        assert await statuses(client, thread_id) == ["interrupted", "pending"]


@pytest.mark.parametrize(
    ("strategy", "left", "log"),
    [
        ("interrupt", ["interrupted", "success"], ["later", "now", "did now"]),
        ("rollback", ["success"], ["now", "did now"]),
        ("enqueue", ["pending", "success"], ["now", "did now"]),
    ],
)
async def test_what_a_strategy_does_to_a_run_that_is_not_due(
    room: Greenroom, mock_clock: MockClock, strategy: str, left: list[str], log: list[str]
) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        await send(client, thread_id, "later", after_seconds=60)
        with pytest.raises(Conflict):
            await send(client, thread_id, "refused", multitask_strategy="reject")
        now = await send(client, thread_id, "now", multitask_strategy=strategy)
        await client.runs.join(thread_id, now["run_id"])
        assert await statuses(client, thread_id) == left
        assert await log_of(client, thread_id) == log


async def test_a_run_with_a_thread_of_its_own_can_be_delayed(
    room: Greenroom, autojump_clock: MockClock
) -> None:
    async with room:
        values = await room.client.runs.wait(None, "agent", input=text("x"), after_seconds=60)
        assert values["log"] == ["x", "did x"]
        assert await room.client.threads.count() == 0


@pytest.mark.parametrize("given", [-1, float("nan"), float("inf"), 1e10, True, "5"])
async def test_a_delay_that_is_no_time_is_refused(room: Greenroom, given: Any) -> None:
    async with room:
        thread_id = await new_thread(room.client)
        with pytest.raises(Invalid, match=r"after_seconds: .* is no number of seconds"):
            await send(room.client, thread_id, "x", after_seconds=given)
        assert await statuses(room.client, thread_id) == []


def run(name: str, made: float, *, delayed: bool = False, **how: Any) -> Any:
    kwargs = {"after_seconds": 1.0} if delayed else {}
    return make_run(name, created_at=at(made), kwargs=kwargs, **how)


def at(second: float) -> str:
    return iso(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second))


def test_runs_left_behind_start_in_order_of_arrival_but_for_those_that_were_due_later() -> None:
    runs = [
        run("under way", 9, attempt=1),
        run("clock was wrong", 8),
        run("due last", 7, delayed=True),
        run("due first", 4, delayed=True),
        run("before", 3),
        run("after", 5),
    ]
    order = ["under way", "due first", "due last", "clock was wrong", "before", "after"]
    due = {one.run_id: one.created_at for one in runs if is_to_wait(one)}
    assert [one.run_id for one in in_turn(runs, due)] == order
    late = ["before", "due first", "after", "due last"]
    assert [one.run_id for one in in_turn(runs[2:], due)] == late


def test_the_run_that_was_under_way_goes_on_first_whatever_had_come_before_it() -> None:
    runs = [run("before", 3), run("under way", 4, delayed=True, attempt=1), run("after", 5)]
    assert [one.run_id for one in in_turn(runs, {})] == ["under way", "before", "after"]


def test_a_text_that_joins_what_was_due_before_it_came_passes_no_other() -> None:
    runs = [
        run("debounce", 4, delayed=True),
        run("enqueue", 5),
        run("one more", 7, delayed=True),  # sent at 6
        run("late", 7.5),
    ]
    due = {"debounce": at(4.5), "one more": at(4.5)}  # as ten times the first one's wait is over
    assert in_turn(runs, due) == runs


def test_a_text_that_comes_just_when_what_it_joins_is_due_comes_behind_it() -> None:
    runs = [run("debounce", 4, delayed=True, seq=1), run("one more", 7, delayed=True, seq=2)]
    assert in_turn(runs, {"debounce": at(6), "one more": at(6)}) == runs


def test_a_run_that_is_due_does_not_pass_others_for_one_that_was_told_to_stop() -> None:
    stopped = run("stopped", 9, delayed=True, stop="rollback")
    runs = [stopped, run("before", 3), run("due", 4, delayed=True)]
    assert [one.run_id for one in in_turn(runs, {"due": at(4)})] == ["stopped", "before", "due"]
