"""Following a thread, whatever runs on it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Client, Closed, Greenroom, Invalid, NotFound, RunFailed, StreamPart
from greenroom.storage import MemoryStorage, SqliteStorage
from greenroom.storage.testing import FaultyStorage

from .conftest import Serve
from .stage import Hold, chain, ends_a_run, fails, new_thread, says, text

PATIENCE = 30.0  # seconds, for what must not hang
NIL = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def room(serve: Serve, hold: Hold) -> Greenroom:
    """Not entered yet."""
    return serve(
        {
            "agent": chain(a=says("a"), b=says("b")),
            "held": chain(a=says("a"), hold=hold.node),
            "fails": chain(fail=fails),
        }
    )


@attrs.define
class Reader:
    """Follows a thread. `parts`: what has come so far. `end`: how it ended."""

    client: Client
    thread_id: str
    parts: list[StreamPart] = attrs.field(factory=list)
    end: Exception | str | None = None
    _news: trio.Event = attrs.field(factory=trio.Event)

    @property
    def events(self) -> list[str]:
        return [part.event for part in self.parts]

    @property
    def ids(self) -> list[int]:
        return [part.id for part in self.parts]

    async def read(self, **how: Any) -> None:
        try:
            async for part in self.client.threads.join_stream(self.thread_id, **how):
                self.parts.append(part)
                self._tell()
            self.end = "over"
        except Closed as error:
            self.end = error
        self._tell()

    async def has_seen(self, *events: str) -> None:
        """These events, and no others."""
        with trio.move_on_after(PATIENCE):
            while len(self.parts) < len(events):
                await self._news.wait()
        await self.client.threads.update(self.thread_id)  # behind all that was on its way
        await wait_all_tasks_blocked()
        assert self.events == list(events)

    async def has_ended(self) -> None:
        with trio.fail_after(PATIENCE):
            while self.end is None:
                await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()


async def follow(nursery: trio.Nursery, client: Client, thread_id: str, **how: Any) -> Reader:
    reader = Reader(client, thread_id)
    nursery.start_soon(partial(reader.read, **how))
    await wait_all_tasks_blocked()  # it misses nothing from here on
    return reader


OF_A_RUN = ["metadata", "updates", "updates", "metadata"]


async def test_a_reader_sees_the_runs_that_come_with_what_each_of_them_streams(
    room: Greenroom,
) -> None:
    async with room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        other = await new_thread(client)
        await client.runs.wait(thread_id, "agent", input=text("before"))
        reader = await follow(nursery, client, thread_id)
        run = await client.runs.create(thread_id, "agent", input=text("one"), stream_mode="updates")
        await client.runs.join(thread_id, run["run_id"])
        await client.runs.wait(other, "agent", input=text("elsewhere"))
        with pytest.raises(RunFailed):
            await client.runs.wait(thread_id, "fails", input=text("two"), stream_mode="updates")
        await reader.has_seen(*OF_A_RUN, "metadata", "error", "metadata")
        assert reader.parts[0].data == {"run_id": run["run_id"], "attempt": 1}
        assert reader.parts[3].data == {"run_id": run["run_id"], "status": "run_done"}
        assert reader.ids == sorted(set(reader.ids))
        nursery.cancel_scope.cancel()


async def test_a_reader_is_told_of_the_ends_of_runs_that_are_rolled_back_and_deleted(
    room: Greenroom, hold: Hold
) -> None:
    async with room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        reader = await follow(nursery, client, thread_id, stream_mode="lifecycle")
        runs = [
            await client.runs.create(thread_id, "held", input=text(word))
            for word in ("slow", "two", "three")
        ]
        await hold.reached.wait()
        first, second, third = (run["run_id"] for run in runs)
        await client.runs.cancel(thread_id, third, action="rollback")
        await client.runs.delete(thread_id, second)
        await client.runs.cancel(thread_id, first, action="rollback", wait=True)
        await reader.has_seen(*["metadata"] * 4)
        assert [part.data for part in reader.parts] == [
            {"run_id": first, "attempt": 1},
            {"run_id": third, "status": "run_done"},
            {"run_id": second, "status": "run_done"},
            {"run_id": first, "status": "run_done"},
        ]
        nursery.cancel_scope.cancel()


async def test_a_reader_that_comes_in_the_middle_of_a_run_sees_the_rest_of_it(
    room: Greenroom, hold: Hold
) -> None:
    async with room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "held", input=text("slow"), stream_mode="updates")
        await hold.reached.wait()
        reader = await follow(nursery, client, thread_id)
        hold.open()
        await reader.has_seen("updates", "metadata")
        nursery.cancel_scope.cancel()


VALUES = ["metadata", "values", "values", "values", "metadata"]


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        ("lifecycle", ["metadata", "metadata"]),
        ("state_update", ["state_update"]),
        (["lifecycle", "state_update"], ["metadata", "metadata", "state_update"]),
        (["run_modes", "state_update"], [*VALUES, "state_update"]),
        ("run_modes", VALUES),
    ],
)
async def test_modes_say_what_a_reader_sees(
    room: Greenroom, modes: Any, expected: list[str]
) -> None:
    async with room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        reader = await follow(nursery, client, thread_id, stream_mode=modes)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        await client.threads.update_state(thread_id, {"log": ["edited"]})
        await reader.has_seen(*expected)
        if "state_update" in expected:
            state = await client.threads.get_state(thread_id)
            assert state["values"]["log"] == ["x", "a", "b", "edited"]
            assert reader.parts[-1].data == {"state": state, "thread_id": thread_id}
        nursery.cancel_scope.cancel()


async def test_a_reader_that_comes_back_misses_nothing_that_was_kept(
    room: Greenroom, hold: Hold
) -> None:
    async with room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        kept = {"stream_mode": "updates", "stream_resumable": True}
        whole = await follow(nursery, client, thread_id)
        await client.runs.wait(thread_id, "agent", input=text("one"), **kept)
        await client.runs.create(thread_id, "held", input=text("slow"), **kept)
        await hold.reached.wait()
        await whole.has_seen(*OF_A_RUN, "metadata", "updates")
        for after in (0, -1, whole.ids[1], whole.ids[3]):
            again = await follow(nursery, client, thread_id, last_event_id=after)
            expected = [part for part in whole.parts if part.id > after]
            await again.has_seen(*(part.event for part in expected))
            assert again.parts == expected
        last = await follow(nursery, client, thread_id, last_event_id=0)
        hold.open()
        await last.has_seen(*OF_A_RUN, *OF_A_RUN)
        await whole.has_seen(*OF_A_RUN, *OF_A_RUN)
        assert last.parts == whole.parts
        assert last.ids == sorted(set(last.ids))
        nursery.cancel_scope.cancel()


async def test_what_comes_while_the_end_of_a_run_is_stored_is_told_in_order(hold: Hold) -> None:
    storage = FaultyStorage(MemoryStorage(), blocking=True)
    graph = chain(a=says("a"), hold=hold.node)
    async with Greenroom({"agent": graph}, storage=storage) as room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        kept = {"stream_mode": "updates", "stream_resumable": True}
        whole = await follow(nursery, client, thread_id)
        slow = await client.runs.create(thread_id, "agent", input=text("slow"), **kept)
        await hold.reached.wait()
        waits = await client.runs.create(thread_id, "agent", input=text("x"), **kept)
        gate = storage.hold("before", ends_a_run)
        nursery.start_soon(client.runs.cancel, thread_id, waits["run_id"])
        await gate.reached()
        hold.open()
        await wait_all_tasks_blocked()
        assert whole.events == ["metadata", "updates", "updates"]
        gate.open()
        await whole.has_seen("metadata", "updates", "updates", "metadata", "metadata")
        over = [part.data["run_id"] for part in whole.parts[3:]]
        assert over == [waits["run_id"], slow["run_id"]]
        assert whole.ids == sorted(set(whole.ids))
        nursery.cancel_scope.cancel()


async def test_what_was_kept_is_read_after_a_restart(tmp_path: Path) -> None:
    graphs = {"agent": chain(a=says("a"), b=says("b"))}
    request = {"input": text("x"), "stream_mode": "updates", "stream_resumable": True}
    async with Greenroom(graphs, storage=SqliteStorage(tmp_path / "agents.db")) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.wait(thread_id, "agent", **request)
    async with (
        Greenroom(graphs, storage=SqliteStorage(tmp_path / "agents.db")) as room,
        trio.open_nursery() as nursery,
    ):
        reader = await follow(nursery, room.client, thread_id, last_event_id=0)
        await room.client.runs.wait(thread_id, "agent", **request)
        await reader.has_seen(*OF_A_RUN, *OF_A_RUN)
        assert reader.ids == sorted(set(reader.ids))
        nursery.cancel_scope.cancel()


async def test_a_reader_is_told_how_it_ends(room: Greenroom) -> None:
    async with trio.open_nursery() as nursery:
        async with room:
            client = room.client
            deleted, thread_id = await new_thread(client), await new_thread(client)
            gone = await follow(nursery, client, deleted)
            left = await follow(nursery, client, thread_id)
            await client.threads.delete(deleted)
            await gone.has_ended()
            assert (gone.end, left.end) == ("over", None)
        await left.has_ended()
    assert isinstance(left.end, Closed)


async def test_a_thread_deleted_while_a_reader_looks_it_up_is_over_and_not_unknown() -> None:
    looking, deleted = trio.Event(), trio.Event()

    async def run_blocking(function: Any, *args: Any) -> Any:
        if reader is not None and not looking.is_set():
            looking.set()
            await deleted.wait()
        await trio.lowlevel.checkpoint()
        return function(*args)

    reader: Reader | None = None
    storage = FaultyStorage(MemoryStorage(), blocking=True)
    graphs = {"agent": chain(a=says("a"))}
    room = Greenroom(graphs, storage=storage, run_blocking=run_blocking)
    async with room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        reader = Reader(client, thread_id)
        nursery.start_soon(reader.read)
        await looking.wait()
        await client.threads.delete(thread_id)
        deleted.set()
        await reader.has_ended()
    assert reader.end == "over"


async def test_a_reader_that_is_too_far_behind_is_let_go(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.actors.feeds.MOST_WAITING", 3)
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        with client.threads._supervisor.feeds.follower(thread_id) as feed:
            await client.runs.wait(thread_id, "agent", input=text("x"))
            batches = feed.follow()
            assert [part.event for part in await anext(batches)] == VALUES[:3]
            with pytest.raises(Closed, match="3 events behind"):
                await anext(batches)


async def test_a_thread_that_nobody_follows_any_more_costs_nothing(room: Greenroom) -> None:
    async with room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        feeds = client.threads._supervisor.feeds
        await follow(nursery, client, thread_id)
        assert feeds.followed(thread_id)
        nursery.cancel_scope.cancel()
    assert not feeds.followed(thread_id)


async def test_what_cannot_be_followed_is_said(room: Greenroom) -> None:
    async with room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(NotFound, match=NIL):
            await anext(client.threads.events(NIL))
        with pytest.raises(Invalid, match="stream_mode: 'nope'"):
            await anext(client.threads.events(thread_id, stream_mode="nope"))
        with pytest.raises(Invalid, match="last_event_id: 'x'"):
            await anext(client.threads.join_stream(thread_id, last_event_id="x"))
