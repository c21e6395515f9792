"""The session: group commit, order, cancellation, the end."""

from __future__ import annotations

import gc
import threading
from contextvars import ContextVar
from math import inf
from typing import Final

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.storage import (
    InsertThread,
    MemoryStorage,
    PutThread,
    RecordExists,
    SqliteStorage,
    StaleEpoch,
    Storage,
    StorageError,
    StorageHeld,
    StorageSession,
    ThreadQuery,
)
from greenroom.storage.testing import make_thread

PATIENCE: Final = 10.0  # seconds

of_who_reads: ContextVar[object] = ContextVar("of_who_reads")


class GatedStorage(MemoryStorage):
    """A blocking storage whose commits wait at a gate; `batches` has their sizes."""

    blocking = True

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches = []
        self.threads = set()
        self.closed = False

    def commit(self, groups, epoch):
        self.batches.append(len(groups))
        self.entered.set()
        self.threads.add(threading.get_ident())
        self.gate.wait()
        return super().commit(groups, epoch)

    def close(self):
        self.closed = True
        super().close()


async def run_inline(function, *args):
    await trio.lowlevel.checkpoint()
    return function(*args)


@pytest.fixture
def gated():
    storage = GatedStorage()
    yield storage
    storage.gate.set()


@pytest.fixture(params=["memory", "sqlite", "threads", "inline"])
def session(request, tmp_path):
    match request.param:
        case "memory":
            return StorageSession(MemoryStorage())
        case "sqlite":
            return StorageSession(SqliteStorage(tmp_path / "greenroom.db"))
        case "threads":
            return StorageSession(GatedStorage())
        case "inline":
            return StorageSession(GatedStorage(), run_blocking=run_inline)


def insert(number):
    return InsertThread(make_thread(str(number)))


async def ids(session):
    query = ThreadQuery(sort_by="thread_id", limit=None, descending=False)
    return [thread.thread_id for thread in await session.read(Storage.search_threads, query)]


async def test_what_was_committed_is_read(session):
    async with session:
        await session.commit([insert(1)])
        assert await ids(session) == ["1"]
        assert await session.read(lambda storage, one: storage.get_thread(one), "2") is None


async def test_commits_are_applied_in_the_order_in_which_they_were_submitted(session):
    async with session:
        commits = [session.submit([insert(1)])]
        commits += [
            session.submit([PutThread(make_thread("1", metadata={"n": n}))]) for n in range(1000)
        ]
        await commits[-1].wait()
        assert all(commit.done for commit in commits)
        thread = await session.read(Storage.get_thread, "1")
        assert thread.metadata == {"n": 999}


async def test_a_refused_group_is_told_to_its_sender_alone(session):
    async with session:
        first, again, other = (session.submit([insert(n)]) for n in (1, 1, 2))
        await first.wait()
        with pytest.raises(RecordExists):
            await again.wait()
        await other.wait()
        assert isinstance(again.error, RecordExists)
        assert await ids(session) == ["1", "2"]


async def test_everything_submitted_is_committed_on_the_way_out(session):
    async with session:
        commits = [session.submit([insert(n)]) for n in range(300)]
    assert all(commit.done and commit.error is None for commit in commits)


async def test_everything_submitted_is_committed_when_cancelled(session):
    with trio.CancelScope() as scope:
        async with session:
            commits = [session.submit([insert(n)]) for n in range(300)]
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert all(commit.done and commit.error is None for commit in commits)
    async with StorageSession(session.storage):
        pass  # the lease was given back


async def test_an_error_inside_comes_out_as_it_is(session):
    commits = []

    async def fail():
        async with session:
            commits.append(session.submit([insert(1)]))
            raise ValueError("of the caller")

    with pytest.raises(ValueError, match="of the caller"):
        await fail()
    assert commits[0].done


async def test_a_session_that_is_over_takes_nothing(session):
    with pytest.raises(StorageError, match="closed"):
        session.submit([insert(1)])
    async with session:
        pass
    with pytest.raises(StorageError, match="closed"):
        session.submit([insert(1)])
    with pytest.raises(StorageError, match="closed"):
        await ids(session)


async def test_a_broken_operation_is_refused_and_the_session_goes_on(session):
    async with session:
        with pytest.raises(StorageError):
            await session.commit([InsertThread(None)])
        await session.commit([insert(1)])


async def test_what_waits_is_committed_in_one_batch_by_one_thread(gated):
    async with StorageSession(gated) as session:
        gated.gate.clear()
        commits = [session.submit([insert(0)])]
        await trio.to_thread.run_sync(gated.entered.wait)
        commits += [session.submit([insert(n)]) for n in range(1, 100)]
        gated.gate.set()
        await commits[-1].wait()
    assert gated.batches == [1, 99]
    assert len(gated.threads) == 1
    assert threading.get_ident() not in gated.threads


async def test_a_waiter_that_is_cancelled_disturbs_nobody(gated):
    async with StorageSession(gated) as session:
        gated.gate.clear()
        commits = [session.submit([insert(n)]) for n in range(3)]
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(commits[1].wait)
                await wait_all_tasks_blocked()
                assert not commits[1].done
                scope.cancel()
        gated.gate.set()
        for commit in commits:
            await commit.wait()
        assert await ids(session) == ["0", "1", "2"]


@pytest.mark.parametrize("at_once", [1, 4])
async def test_reads_go_on_beside_slow_ones(gated, at_once):
    gated.reads_at_once = at_once
    slow, there = threading.Event(), threading.Barrier(4)

    def wait(storage):
        there.wait(PATIENCE)
        slow.wait()
        return "slow"

    found = []

    async def read_slowly(session):
        found.append(await session.read(wait))

    async with StorageSession(gated) as session, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(read_slowly, session)
        await trio.to_thread.run_sync(there.wait, PATIENCE)
        for number in range(20):
            found.append(await session.read(lambda _, number=number: number))
        slow.set()
    assert found == [*range(20), "slow", "slow", "slow"]


async def test_who_helped_while_a_read_was_slow_leaves_the_others_to_one_thread_again(
    gated, monkeypatch
):
    gated.reads_at_once = 1
    slow, there, threads = threading.Event(), threading.Event(), []

    def note(storage):
        threads.append(threading.get_ident())

    def wait(storage):
        there.set()
        slow.wait()
        note(storage)

    async with StorageSession(gated) as session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.read, wait)
            await trio.to_thread.run_sync(there.wait, PATIENCE)
            await session.read(lambda _: None)  # by a helper
            slow.set()
        monkeypatch.setattr("greenroom.storage.readers.STUCK", 1e6)  # no other comes now
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(session.read, note)
    mine = threads[0]
    assert sum(ident != mine for ident in threads) <= 1  # which the helper may have in hand


async def test_reads_that_wait_for_others_are_made_side_by_side(gated):
    together = threading.Barrier(4)
    async with StorageSession(gated) as session, trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(session.read, lambda _: together.wait(PATIENCE))


async def test_reads_that_would_only_contend_are_made_by_one_thread(gated, monkeypatch):
    monkeypatch.setattr("greenroom.storage.readers.STUCK", inf)  # however slow the machine is
    gated.reads_at_once = 1
    threads = set()
    async with StorageSession(gated) as session:
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(session.read, lambda _: threads.add(threading.get_ident()))
    assert len(threads) == 1


async def test_what_the_first_reader_has_in_its_context_goes_with_it(session, let_go):
    gone = None

    async def read():
        nonlocal gone
        mine = GatedStorage()  # any object
        gone = let_go(mine)
        of_who_reads.set(mine)
        await session.read(Storage.get_thread, "one")

    async with session:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
        gc.collect()
        with trio.move_on_after(5):
            await gone.wait()

        assert gone.is_set()


async def test_a_read_that_fails_tells_its_reader(session):
    def fail(storage):
        raise ValueError("of the read")

    async with session:
        with pytest.raises(ValueError, match="of the read"):
            await session.read(fail)
        assert await ids(session) == []


async def test_a_read_that_is_given_up_disturbs_nobody(gated):
    there, going_on = threading.Event(), threading.Event()

    def wait(storage):
        there.set()
        going_on.wait()

    async with StorageSession(gated) as session:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.read, wait)
                await trio.to_thread.run_sync(there.wait)
                scope.cancel()
        going_on.set()
        assert await ids(session) == []


async def test_groups_that_nobody_waits_for_are_committed_by_themselves(gated, autojump_clock):
    async with StorageSession(gated) as session:
        commit = session.submit([insert(1)])
        await trio.to_thread.run_sync(gated.entered.wait)
        await commit.wait()
        assert await ids(session) == ["1"]


async def test_a_commit_that_finds_a_later_lease_says_so_to_the_session(tmp_path):
    storage = SqliteStorage(tmp_path / "greenroom.db")
    async with StorageSession(storage) as session:
        await session.commit([insert(1)])
        assert not session.stale.is_set()
        storage._lock.release()
        async with StorageSession(SqliteStorage(tmp_path / "greenroom.db")) as later:
            assert later.epoch == session.epoch + 1
            with pytest.raises(StaleEpoch):
                await session.commit([insert(2)])
        await session.stale.wait()


async def test_a_session_that_does_not_get_the_lease_holds_nothing(tmp_path):
    path = tmp_path / "greenroom.db"
    async with StorageSession(SqliteStorage(path), owner="the first"):
        with pytest.raises(StorageHeld, match="the first"):
            await StorageSession(SqliteStorage(path)).__aenter__()
    async with StorageSession(SqliteStorage(path)) as session:
        await session.commit([insert(1)])


async def test_the_storage_is_closed_in_the_end(gated):
    async with StorageSession(gated):
        assert not gated.closed
    assert gated.closed


async def test_a_failing_storage_refuses_the_batch_and_is_tried_again(gated, monkeypatch):
    async with StorageSession(gated) as session:
        with monkeypatch.context() as broken:
            broken.setattr(MemoryStorage, "commit", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await session.commit([insert(1)])
        await session.commit([insert(1)])
