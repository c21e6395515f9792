"""Crons: they fire on time, each firing once, whatever happens in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from time import perf_counter
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Greenroom, Invalid, NotFound, Refused
from greenroom.graph import get_config
from greenroom.graph.world import World
from greenroom.storage import MemoryStorage, PutCron, PutRun, Storage
from greenroom.storage.records import Cron
from greenroom.storage.testing import Crashed, FaultyStorage, Gate

from .conftest import Serve
from .stage import Hold, State, chain, is_a, log_of, new_thread, says, statuses, text

MINUTE = 60.0
NOON = "2026-03-01T12:00:00+00:00"


@attrs.define(eq=False)
class Bell:
    """A node that tells when it was rung, and by which cron. `world`: whose clock it looks at."""

    world: World
    rung: list[str] = attrs.field(factory=list)
    crons: list[str] = attrs.field(factory=list)
    _send: Any = None
    _heard: Any = None

    def __attrs_post_init__(self) -> None:
        self._send, self._heard = trio.open_memory_channel[None](1000)

    async def node(self, state: State) -> State:
        self.rung.append(f"{self.world.now():%d %H:%M:%S}")
        self.crons.append(get_config()["configurable"].get("cron_id"))
        self._send.send_nowait(None)
        return {"log": ["rung"]}

    async def heard(self) -> None:
        """Until it is rung once more."""
        with trio.fail_after(1e6):
            await self._heard.receive()


def world_at(date: str) -> World:
    """A world in which it is that time now."""
    ahead = datetime.fromisoformat(date).timestamp() - perf_counter()
    world = World(ahead=lambda: ahead)
    world.now()
    return world


@pytest.fixture
async def bell() -> Bell:
    return Bell(world_at(NOON))


async def everywhere(room: Greenroom) -> list[str]:
    """The statuses of the runs of all threads."""
    threads = await room.client.threads.search(limit=1000)
    return [one for thread in threads for one in await statuses(room.client, thread["thread_id"])]


async def in_order(room: Greenroom) -> None:
    """Until nothing is due and no run is left to do."""
    while True:
        due = await room._session.read(Storage.due_crons, room._world.timestamp(), limit=1)
        left = await room._session.read(Storage.unfinished_runs)
        if not left and not due:
            return


async def test_a_cron_fires_on_time(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        thread_id = await new_thread(room.client)
        crons = room.client.crons
        cron = await crons.create_for_thread(thread_id, "agent", schedule="* * * * *", input={})
        assert cron["next_run_date"] == "2026-03-01T12:01:00.000000+00:00"
        await trio.sleep(3.5 * MINUTE)
        assert bell.rung == ["01 12:01:00", "01 12:02:00", "01 12:03:00"]
        assert bell.crons == [cron["cron_id"]] * 3
        assert await log_of(room.client, thread_id) == ["rung"] * 3
        after = await crons.get(cron["cron_id"])
        assert after == {**cron, "next_run_date": "2026-03-01T12:04:00.000000+00:00"}


async def test_a_cron_may_name_seconds_and_a_time_zone(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        create = room.client.crons.create
        # In Paris clocks go from 2:00 to 3:00 on 29 March, at 1:00 UTC.
        paris = await create(
            "agent", schedule="30 2 * * *", timezone=ZoneInfo("Europe/Paris"), input={}
        )
        assert (paris["timezone"], paris["thread_id"]) == ("Europe/Paris", None)
        await create("agent", schedule="59 12 1 * * */20", input={})
        await trio.sleep(14 * 60 * MINUTE)
        assert bell.rung == ["01 12:59:00", "01 12:59:20", "01 12:59:40", "02 01:30:00"]


async def test_a_cron_on_no_thread_runs_on_a_new_one_each_time(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        options = {"on_run_completed": "keep", "input": text("hello"), "metadata": {"n": 1}}
        cron = await room.client.crons.create("agent", schedule="* * * * *", **options)
        await trio.sleep(2.5 * MINUTE)
        threads = await room.client.threads.search()
        assert [thread["values"]["log"] for thread in threads] == [["hello", "rung"]] * 2
        [run] = await room.client.runs.list(threads[0]["thread_id"])
        assert run["metadata"]["n"] == 1
        assert [thread["metadata"]["n"] for thread in threads] == [1, 1]
        assert run["kwargs"]["config"]["configurable"]["cron_id"] == cron["cron_id"]


async def test_the_thread_of_a_crons_run_goes_with_it_unless_it_is_to_be_kept(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        await room.client.crons.create("agent", schedule="* * * * *", input=text("hello"))
        await trio.sleep(2.5 * MINUTE)
        assert len(bell.rung) == 2
        assert await room.client.threads.count() == 0


async def test_a_run_has_the_context_that_its_cron_was_given(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        thread_id = await new_thread(room.client)
        cron = await room.client.crons.create_for_thread(
            thread_id, "agent", schedule="* * * * *", input={}, context={"colour": "red"}
        )
        await trio.sleep(1.5 * MINUTE)
        [run] = await room.client.runs.list(thread_id)
        assert run["kwargs"]["context"] == {"colour": "red"}
        own = {"colour": "red", "cron_id": cron["cron_id"]}
        assert run["kwargs"]["config"]["configurable"].items() >= own.items()


async def test_what_was_missed_is_run_once(serve: Serve, bell: Bell, mock_clock: MockClock) -> None:
    graph = chain(ring=bell.node)
    async with serve(graph, world=bell.world) as room:
        thread_id = await new_thread(room.client)
        cron = await room.client.crons.create_for_thread(
            thread_id, "agent", schedule="*/2 * * * *", input={}
        )
    mock_clock.jump(11 * MINUTE)
    async with serve(graph, world=bell.world) as room:
        await bell.heard()
        await in_order(room)
        found = await room.client.crons.get(cron["cron_id"])
        assert found["next_run_date"] == "2026-03-01T12:12:00.000000+00:00"
    async with serve(graph, world=bell.world) as room:
        mock_clock.jump(MINUTE)
        await bell.heard()
        await in_order(room)
        assert bell.rung == ["01 12:11:00", "01 12:12:00"]
        assert await statuses(room.client, thread_id) == ["success"] * 2


@pytest.mark.parametrize("on_thread", [True, False])
@pytest.mark.parametrize("at", ["before", "middle", "after"])
async def test_a_death_at_any_commit_neither_loses_nor_doubles_a_firing(
    open_storage: Callable[[], Storage],
    bell: Bell,
    mock_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    at: Any,
    on_thread: bool,
) -> None:
    def serve(storage: Storage) -> Greenroom:
        return Greenroom({"agent": chain(a=says("a"), b=says("b"))}, storage=storage, world=world)

    async def die(skip: int) -> bool:
        """Serve until it dies at a commit; False if there are not so many."""
        storage = FaultyStorage(open_storage())
        storage.crash(at, skip=skip)
        died = trio.Event()

        async def cut() -> None:
            while not storage.crashed.is_set():
                await trio.lowlevel.checkpoint()
            died.set()
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut)
            try:
                async with serve(storage) as room:
                    await in_order(room)
            except* Crashed:
                pass
            nursery.cancel_scope.cancel()
        return died.is_set() or storage.crashed.is_set()

    world, fired, skip = bell.world, 0, 0
    async with serve(open_storage()) as room:
        crons, options = room.client.crons, {"schedule": "* * * * *", "input": text("x")}
        if on_thread:
            thread_id = await new_thread(room.client)
            cron = await crons.create_for_thread(thread_id, "agent", **options)
        else:
            cron = await crons.create("agent", on_run_completed="keep", **options)
    while True:
        mock_clock.jump(MINUTE)
        fired += 1
        dies = await die(skip)
        async with serve(open_storage()) as room:
            await in_order(room)
            assert await everywhere(room) == ["success"] * fired
            found = await room.client.crons.get(cron["cron_id"])
            next_date = datetime.fromisoformat(NOON) + timedelta(minutes=fired + 1)
            assert datetime.fromisoformat(found["next_run_date"]) == next_date
        if not dies:
            break
        skip += 1
    assert skip > 2


async def test_a_cron_does_not_fire_after_its_end_time(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        crons = room.client.crons
        cron = await crons.create(
            "agent", schedule="* * * * *", end_time="2026-03-01T13:02:00+01:00", input={}
        )
        assert cron["end_time"] == "2026-03-01T12:02:00.000000+00:00"
        await trio.sleep(5.5 * MINUTE)
        assert bell.rung == ["01 12:01:00", "01 12:02:00"]
        over = await crons.get(cron["cron_id"])
        assert (over["next_run_date"], over["enabled"]) == (None, True)
        again = await crons.update(cron["cron_id"], end_time=None)
        assert (again["end_time"], "end_time" in again["payload"]) == (None, False)
        await trio.sleep(1 * MINUTE)
        assert bell.rung[2:] == ["01 12:06:00"]


async def test_a_cron_that_is_not_enabled_does_not_fire(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        crons = room.client.crons
        cron = await crons.create("agent", schedule="* * * * *", enabled=False, input={})
        assert cron["next_run_date"] is not None
        await trio.sleep(2.5 * MINUTE)
        assert bell.rung == []
        # What it missed was not to be run.
        again = await crons.update(cron["cron_id"], enabled=True)
        assert again["next_run_date"] == "2026-03-01T12:03:00.000000+00:00"
        await trio.sleep(1 * MINUTE)
        await crons.update(cron["cron_id"], enabled=False)
        await trio.sleep(5 * MINUTE)
        assert bell.rung == ["01 12:03:00"]


async def test_a_change_takes_effect_at_once(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        crons = room.client.crons
        thread_id = await new_thread(room.client)
        cron = await crons.create_for_thread(
            thread_id, "agent", schedule="0 0 1 1 *", input={}, metadata={"a": 1, "b": 1}
        )
        ident = cron["cron_id"]
        await trio.sleep(1)
        changed = await crons.update(ident, schedule="* * * * *", metadata={"b": 2})
        assert changed["metadata"] == {"a": 1, "b": 2}
        assert changed["payload"]["schedule"] == changed["schedule"] == "* * * * *"
        assert cron["created_at"] == changed["created_at"] < changed["updated_at"]
        assert changed == await crons.get(ident)
        await trio.sleep(MINUTE)
        late = await crons.update(ident, timezone="Asia/Kathmandu", schedule="0 18 * * *")
        assert late["next_run_date"] == "2026-03-01T12:15:00.000000+00:00"
        said = await crons.update(ident, input=text("hello"))
        assert said["next_run_date"] == late["next_run_date"]
        await trio.sleep(15 * MINUTE)
        assert bell.rung == ["01 12:01:00", "01 12:15:00"]
        assert await log_of(room.client, thread_id) == ["rung", "hello", "rung"]


async def test_a_cron_that_is_deleted_or_whose_thread_is_does_not_fire(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        crons = room.client.crons
        thread_id = await new_thread(room.client)
        options = {"schedule": "* * * * *", "input": {}}
        deleted = (await crons.create("agent", **options))["cron_id"]
        with_thread = await crons.create_for_thread(thread_id, "agent", **options)
        await crons.delete(deleted)
        await room.client.threads.delete(thread_id)
        await trio.sleep(2 * MINUTE)
        assert bell.rung == []
        assert await crons.count() == 0
        for cron_id in (deleted, with_thread["cron_id"]):
            for call in (crons.get, crons.delete):
                with pytest.raises(NotFound, match=cron_id):
                    await call(cron_id)
            with pytest.raises(NotFound, match=cron_id):
                await crons.update(cron_id, enabled=False)


async def test_a_deletion_that_meets_a_firing_is_not_undone_by_it(
    open_storage: Callable[[], Storage], bell: Bell, mock_clock: MockClock
) -> None:
    storage = FaultyStorage(open_storage(), blocking=True)
    async with Greenroom({"agent": chain(a=bell.node)}, storage=storage, world=bell.world) as room:
        crons = room.client.crons
        cron = await crons.create("agent", schedule="* * * * *", input={})
        gate = storage.hold("before", is_a(PutRun))
        mock_clock.jump(MINUTE)
        await gate.reached()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crons.delete, cron["cron_id"])
            await wait_all_tasks_blocked()
            (lock,) = crons._supervisor.crontab._locks.values()
            assert lock.statistics().tasks_waiting == 1  # the deletion, for the firing
            gate.open()
        await bell.heard()
        assert await crons.search() == []


async def test_a_run_that_is_refused_is_left_out(
    serve_in_memory: Serve,
    bell: Bell,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hold = Hold()
    async with serve_in_memory(chain(hold=hold.node), world=bell.world) as room:
        thread_id = await new_thread(room.client)
        cron = await room.client.crons.create_for_thread(
            thread_id,
            "agent",
            schedule="* * * * *",
            input=text("quick"),
            multitask_strategy="reject",
        )
        await room.client.runs.create(thread_id, "agent", input=text("slow"))
        await trio.sleep(2.5 * MINUTE)
        assert await statuses(room.client, thread_id) == ["running"]
        assert [record.message for record in caplog.records] == [
            f"a run of cron {cron['cron_id']} was refused: Thread {thread_id!r} has a run in "
            f"flight and multitask_strategy is 'reject'"
        ] * 2
        hold.open()
        await trio.sleep(1 * MINUTE)
        assert await statuses(room.client, thread_id) == ["success"] * 2


async def test_a_cron_whose_graph_is_not_served_waits_for_it(
    serve_in_memory: Serve,
    bell: Bell,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage, graph = MemoryStorage(), chain(ring=bell.node)
    async with Greenroom({"bell": graph}, storage=storage, world=bell.world) as room:
        await room.client.crons.create("bell", schedule="* * * * *", input={})
    async with Greenroom({"other": graph}, storage=storage, world=bell.world) as room:
        await trio.sleep(1.5 * MINUTE)
        assert "was refused: Graph 'bell' is not served here" in caplog.text
    async with Greenroom({"bell": graph}, storage=storage, world=bell.world) as room:
        await trio.sleep(1 * MINUTE)
        assert bell.rung == ["01 12:02:00"]


async def test_a_cron_whose_assistant_is_gone_is_deleted(
    serve_in_memory: Serve,
    bell: Bell,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        supervisor = room._supervisor
        assert supervisor is not None
        cron = Cron(
            cron_id="c",
            assistant_id=str(uuid4()),
            schedule="* * * * *",
            created_at=NOON,
            updated_at=NOON,
            payload={},
            next_run_date=NOON,
        )
        await room._session.commit([PutCron(cron)])
        supervisor.crontab.heed()
        await trio.sleep(1)
        assert await room.client.crons.search() == []


async def test_storage_that_fails_is_asked_again(
    bell: Bell, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    storage = FaultyStorage(MemoryStorage())
    async with Greenroom({"agent": chain(a=bell.node)}, storage=storage, world=bell.world) as room:
        for _ in range(30):
            await room.client.crons.create("agent", schedule="0 * * * *", input={})
        storage.fail("before", is_a(PutRun), times=29)
        storage.fail("read", lambda name: name == "due_crons", skip=1)
        await trio.sleep(61 * MINUTE)
        assert len(set(bell.crons)) == 30
        assert bell.rung == ["01 13:00:00", *["01 13:00:05"] * 29]


async def test_a_cron_whose_sender_did_not_wait_until_it_was_stored_fires_all_the_same(
    serve_in_memory: Serve, bell: Bell, mock_clock: MockClock
) -> None:
    storage, gate = FaultyStorage(MemoryStorage(), blocking=True), Gate()
    storage.plan("before", gate, is_a(PutCron))
    async with serve_in_memory(chain(ring=bell.node), storage=storage, world=bell.world) as room:
        async with trio.open_nursery() as nursery:
            create = room.client.crons.create
            nursery.start_soon(partial(create, "agent", schedule="* * * * *", input={}))
            await gate.reached()
            nursery.cancel_scope.cancel()
        gate.open()
        await room._session.commit([])
        mock_clock.jump(2 * MINUTE)
        mock_clock.autojump_threshold = 1  # for the time in which it must be heard
        await bell.heard()
        assert bell.rung == ["01 12:02:00"]


async def test_a_firing_that_takes_long_does_not_hold_up_others(
    bell: Bell, mock_clock: MockClock
) -> None:
    storage = FaultyStorage(MemoryStorage())
    async with Greenroom({"agent": chain(a=bell.node)}, storage=storage, world=bell.world) as room:
        supervisor = room._supervisor
        assert supervisor is not None
        crons = room.client.crons
        slow = await crons.create("agent", schedule="* * * * *", input={})
        quick = await crons.create("agent", schedule="* * * * *", input={})
        async with supervisor.crontab.held(slow["cron_id"]):
            for _ in range(2):
                mock_clock.jump(MINUTE)
                await bell.heard()
                await wait_all_tasks_blocked()
            assert bell.crons == [quick["cron_id"]] * 2
        await bell.heard()
        assert bell.crons[2:] == [slow["cron_id"]]


async def test_crons_follow_the_wall_clock_when_it_is_set(
    serve_in_memory: Serve, bell: Bell, autojump_clock: MockClock
) -> None:
    ahead = bell.world.ahead()
    async with serve_in_memory(chain(ring=bell.node), world=bell.world) as room:
        await room.client.crons.create("agent", schedule="0 18 * * *", input={})
        await trio.sleep(0.5 * MINUTE)
        # The machine slept for six hours, of which trio's clock knows nothing.
        bell.world.ahead = lambda: ahead + 6 * 60 * MINUTE
        await trio.sleep(1.1 * MINUTE)
        assert len(bell.rung) == 1
        # Put back again, the clock shows six a second time, for nothing.
        bell.world.ahead = lambda: ahead
        await trio.sleep(7 * 60 * MINUTE)
        assert len(bell.rung) == 1


async def test_crons_are_searched_and_counted(serve: Serve) -> None:
    async with serve({"agent": chain(a=says("a")), "other": chain(b=says("b"))}) as room:
        crons = room.client.crons
        thread_id = await new_thread(room.client)
        first = await crons.create("agent", schedule="0 0 * * *", metadata={"a": {"b": 1}})
        second = await crons.create_for_thread(thread_id, "other", schedule="0 1 * * *")
        third = await crons.create("agent", schedule="0 2 * * *", enabled=False)

        assert await crons.search() == [third, second, first]
        assert await crons.search(sort_by="created_at", sort_order="asc", limit=2) == [
            *(first, second)
        ]
        assert await crons.search(limit=1, offset=1) == [second]
        assert await crons.search(thread_id=thread_id) == [second]
        assert await crons.search(enabled=False) == [third]
        assert await crons.search(metadata={"a": {"b": 1}}) == [first]
        assert await crons.search(assistant_id="agent") == [third, first]
        assert await crons.search(assistant_id=second["assistant_id"]) == [second]
        assert await crons.search(assistant_id=str(uuid4())) == []
        assert await crons.search(select=["schedule", "user_id"], thread_id=thread_id) == [
            {"schedule": "0 1 * * *", "user_id": None}
        ]
        assert await crons.count() == 3
        assert await crons.count(assistant_id="agent", enabled=True) == 1
        assert await crons.count(thread_id=thread_id, metadata={"a": 1}) == 0
        for field, wrong in {
            "sort_by": "payload",
            "sort_order": "up",
            "limit": 0,
            "offset": -1,
            "select": ["age"],
            "thread_id": "x",
            "assistant_id": "x",
            "metadata": 5,
        }.items():
            with pytest.raises(Invalid, match=field):
                await crons.search(**{field: wrong})


async def test_a_cron_has_what_it_was_given(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        given = {"input": {"text": "x"}, "config": {"tags": ["t"]}, "durability": "exit"}
        cron = await room.client.crons.create("agent", schedule="0 0 * * *", **given)
        configurable = {"cron_id": cron["cron_id"]}
        [assistant] = await room.client.assistants.search()
        assert cron["assistant_id"] == assistant["assistant_id"]
        assert cron["payload"] == {
            **given,
            "assistant_id": assistant["assistant_id"],
            "schedule": "0 0 * * *",
            "config": {"tags": ["t"], "configurable": configurable},
        }
        assert cron["on_run_completed"] == "delete"
        assert (cron["metadata"], cron["user_id"], cron["timezone"]) == ({}, None, None)
        assert await room.client.crons.get(cron["cron_id"]) == cron


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"schedule": "nope"}, "schedule: 'nope'"),
        ({"schedule": 5}, "schedule: 5"),
        ({"timezone": "Mars/X"}, "timezone: 'Mars/X'"),
        ({"timezone": 5}, "timezone: 5"),
        ({"end_time": "soon"}, "end_time: 'soon'"),
        ({"end_time": 5}, "end_time: 5"),
        ({"end_time": "0001-01-01T00:00:00+10:00"}, "end_time: '0001"),
        ({"enabled": "yes"}, "enabled: 'yes'"),
        ({"on_run_completed": "burn"}, "on_run_completed: 'burn'"),
        ({"metadata": [1]}, r"metadata: \[1\]"),
        ({"input": 5}, "input: 5"),
        ({"stream_mode": "films"}, "stream_mode: 'films'"),
        ({"multitask_strategy": "fight"}, "multitask_strategy: 'fight'"),
        (
            {"multitask_strategy": "debounce"},
            "after_seconds: missing; multitask_strategy .debounce.",
        ),
        ({"config": {"recursion_limit": 0}}, "recursion_limit: 0"),
    ],
)
async def test_what_does_not_fit_is_named_and_changes_nothing(
    serve: Serve, wrong: dict[str, Any], text: str
) -> None:
    async with serve(chain(a=says("a"))) as room:
        crons = room.client.crons
        good = {"schedule": "0 0 * * *"}
        cron = await crons.create("agent", **good)
        with pytest.raises(Invalid, match=text):
            await crons.create("agent", **{**good, **wrong})
        with pytest.raises(Invalid, match=text):
            await crons.update(cron["cron_id"], **wrong)
        assert await crons.search() == [cron]


async def test_what_a_cron_is_for_must_be_there(serve: Serve) -> None:
    async with serve(chain(a=says("a"))) as room:
        crons, unknown = room.client.crons, str(uuid4())
        thread_id = await new_thread(room.client)
        for assistant in (unknown, "zzz"):
            with pytest.raises(NotFound, match=assistant):
                await crons.create(assistant, schedule="0 0 * * *")
            with pytest.raises(NotFound, match=assistant):
                await crons.create_for_thread(thread_id, assistant, schedule="0 0 * * *")
        with pytest.raises(NotFound, match=unknown):
            await crons.create_for_thread(unknown, "agent", schedule="0 0 * * *")
        with pytest.raises(Refused, match="at least one field"):
            await crons.update(unknown)
        with pytest.raises(Refused, match="not both"):
            await crons.create(
                *("agent",),
                schedule="0 0 * * *",
                context={"a": 1},
                config={"configurable": {"b": 1}},
            )
        with pytest.raises(TypeError, match="'if_not_exists'"):
            await crons.create("agent", schedule="0 0 * * *", if_not_exists="create")
        assert await crons.count() == 0
