"""PostgreSQL that is cut off, goes away, comes back, or is taken over."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

pytest.importorskip("psycopg", reason="psycopg is not installed")

from greenroom.storage import (
    InsertThread,
    PutThread,
    RecordExists,
    StaleEpoch,
    Storage,
    StorageAway,
    StorageHeld,
    StorageSession,
    ThreadQuery,
)
from greenroom.storage.postgres import PostgresStorage
from greenroom.storage.testing import make_thread

from .postgres_line import laid_line
from .postgres_server import let_the_lease_run_out


@pytest.fixture
def line(dsn, postgres):
    with laid_line(postgres.folder) as line:
        yield line


@pytest.fixture
def storage(line):
    """A storage at the end of the line, with its lease taken."""
    storage = PostgresStorage(line.dsn())
    storage.open()
    storage.acquire_lease("tests")
    yield storage
    storage.close()


def insert(*ids):
    return [[InsertThread(make_thread(one))] for one in ids]


def commit(storage, groups):
    """As often as it takes."""
    for _ in range(100):
        try:
            return storage.commit(groups, storage._lease.epoch)
        except StorageAway:
            pass
    raise AssertionError("still away")


def ids(storage):
    query = ThreadQuery(sort_by="thread_id", limit=None, descending=False)
    return [thread.thread_id for thread in storage.search_threads(query)]


# A line that is cut in the middle of a commit.


@pytest.mark.parametrize("moment", ["before", "after", "late"])
def test_a_commit_whose_answer_is_lost_is_applied_once(storage, line, moment):
    line.cut = moment
    with pytest.raises(StorageAway, match="cannot be reached"):
        storage.commit(insert("a", "b"), storage._lease.epoch)
    assert line.cuts == 1
    assert commit(storage, insert("a", "b")) == [None, None]
    assert commit(storage, insert("c")) == [None]
    assert ids(storage) == ["a", "b", "c"]


@pytest.mark.parametrize("moment", ["before", "after", "late"])
def test_a_refusal_is_told_although_the_answer_was_lost(storage, line, moment):
    assert commit(storage, insert("a")) == [None]
    line.cut = moment
    with pytest.raises(StorageAway):
        storage.commit(insert("a", "b"), storage._lease.epoch)
    refused, none = commit(storage, insert("a", "b"))
    assert isinstance(refused, RecordExists)
    assert none is None
    assert ids(storage) == ["a", "b"]


@pytest.mark.parametrize(
    "moments", [("before", "after"), ("before", "before", "late"), ("held", "after")]
)
def test_a_line_that_is_cut_again_and_again_changes_nothing(storage, line, moments):
    for moment in moments:
        line.cut = moment
        with pytest.raises(StorageAway):
            storage.commit(insert("a"), storage._lease.epoch)
    assert line.cuts == len(moments)
    assert commit(storage, insert("a")) == [None]
    assert ids(storage) == ["a"]


def test_a_commit_that_the_server_sees_after_it_was_made_again_changes_nothing(storage, line):
    busy = [[PutThread(make_thread(status="busy"))]]
    idle = [[PutThread(make_thread(status="idle"))]]
    assert commit(storage, insert("t")) == [None]
    line.cut = "held"
    with pytest.raises(StorageAway):
        storage.commit(busy, storage._lease.epoch)
    assert commit(storage, busy) == [None]
    assert commit(storage, idle) == [None]
    line.deliver()
    assert storage.get_thread("t").status == "idle"
    assert commit(storage, []) == []


def test_a_connection_that_the_server_never_hears_from_again_holds_nobody_up(
    storage, line, monkeypatch
):
    monkeypatch.setattr("greenroom.storage.postgres_lease.LOCK_TIME", 0.05)
    line.cut = "never"
    assert commit(storage, insert("a")) == [None]
    assert line.cuts == 1
    assert ids(storage) == ["a"]


def test_connections_that_the_server_ends_are_made_again(storage, postgres):
    for number in range(10):
        assert commit(storage, insert(str(number))) == [None]
        assert storage.get_thread(str(number)) is not None
        assert postgres.cut_connections() == 2
    assert storage.get_thread("0") is not None


def test_kills_in_the_middle_of_commits_lose_nothing_and_add_nothing(dsn, postgres):
    storage = PostgresStorage(dsn)
    storage.open()
    storage.acquire_lease("tests")
    done = []

    async def kill():
        for _ in range(10):  # no more, so that each commit gets through in the end
            await trio.to_thread.run_sync(postgres.cut_connections)

    async def main():
        for number in range(100):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill)
                done.append(await trio.to_thread.run_sync(commit, storage, insert(f"{number:02}")))
                nursery.cancel_scope.cancel()

    trio.run(main)
    assert done == [[None]] * 100
    assert ids(storage) == [f"{number:02}" for number in range(100)]
    storage.close()


# A server that goes away, as a session sees it.


async def until(condition):
    """Threads are at work: what they come to is looked for, not waited for by events."""
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_what_is_asked_while_the_server_is_away_is_done_when_it_is_back(
    dsn, postgres, caplog
):
    async with StorageSession(PostgresStorage(dsn)) as session:
        await session.commit([InsertThread(make_thread("before"))])
        postgres.stop()
        found = []

        async def read():
            found.append(await session.read(Storage.get_thread, "before"))

        async with trio.open_nursery() as nursery:
            commits = [session.submit(group) for group in insert("a", "b")]
            nursery.start_soon(commits[0].wait)
            nursery.start_soon(read)
            await until(lambda: session.away is not None)
            with pytest.raises(StorageAway, match="cannot be reached"):
                await session.check()
            assert not commits[1].done
            assert not found
            await trio.to_thread.run_sync(postgres.start)
        await session.check()
        assert [commit.error for commit in commits] == [None, None]
        assert found == [make_thread("before")]
        assert await session.read(ids) == ["a", "b", "before"]
        assert session.away is None
        assert not session.stale.is_set()
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2
    assert warnings[0].startswith("postgresql://")
    assert warnings[0].endswith("trying again until it is back")
    assert warnings[1] == "storage is back"


async def test_a_server_that_is_down_at_the_start_is_said_at_once(dsn, postgres):
    postgres.stop()
    with pytest.raises(StorageAway, match=r"^postgresql://.* cannot be reached: ") as refused:
        await StorageSession(PostgresStorage(dsn)).__aenter__()
    assert "\n" not in str(refused.value)


async def test_a_lease_is_renewed_while_there_is_nothing_to_do(dsn, db, mock_clock):
    def commits():
        return db.execute("SELECT commits FROM greenroom.lease").fetchone()

    async with StorageSession(PostgresStorage(dsn, lease_time=60)) as session:
        for _ in range(12):
            await session.commit([])  # whatever came before is over then
            await wait_all_tasks_blocked()
            before = commits()
            mock_clock.jump(10)
            while commits() == before:
                await wait_all_tasks_blocked(0.01)
        assert not session.stale.is_set()


async def test_work_stops_while_a_third_of_the_lease_is_left(dsn, postgres, mock_clock):
    async with StorageSession(PostgresStorage(dsn, lease_time=60)) as session:
        postgres.stop()
        commit = session.submit([InsertThread(make_thread("lost"))])
        while session.away is None:
            mock_clock.jump(0.01)
            await wait_all_tasks_blocked(0.01)
        while not session.stale.is_set():
            mock_clock.jump(1)
            await wait_all_tasks_blocked()
        assert 39 < trio.current_time() < 42
        assert "could not be renewed in time: postgresql://" in str(session.why)
        with pytest.raises(StaleEpoch):
            await commit.wait()
        with pytest.raises(StaleEpoch):
            await session.commit([InsertThread(make_thread("lost, too"))])
        with pytest.raises(StorageAway):
            await session.read(Storage.get_thread, "x")


@pytest.mark.parametrize("cancelled", [False, True])
async def test_leaving_while_the_server_is_away_ends_with_the_lease(
    dsn, postgres, mock_clock, cancelled
):
    left = trio.Event()

    async def leave():
        with trio.CancelScope() as scope:
            async with StorageSession(PostgresStorage(dsn, lease_time=60)) as session:
                postgres.stop()
                commits.append(session.submit([InsertThread(make_thread("lost"))]))
                await wait_all_tasks_blocked()
                if cancelled:
                    scope.cancel()
                    await trio.sleep_forever()
        left.set()

    commits = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        while not left.is_set():
            await wait_all_tasks_blocked(0.05)
            mock_clock.jump(1)
    assert trio.current_time() > 39
    assert isinstance(commits[0].error, StaleEpoch)


async def test_a_process_that_was_frozen_goes_on_if_nobody_has_taken_over(dsn, mock_clock):
    async with StorageSession(PostgresStorage(dsn)) as session:
        await wait_all_tasks_blocked()
        mock_clock.jump(10_000)
        await wait_all_tasks_blocked()
        await session.commit([InsertThread(make_thread("t"))])
        assert not session.stale.is_set()


async def test_a_process_that_was_frozen_stops_if_somebody_has_taken_over(dsn, db, mock_clock):
    async with StorageSession(PostgresStorage(dsn)) as session:
        let_the_lease_run_out(db)
        async with StorageSession(PostgresStorage(dsn), owner="the next one"):
            await wait_all_tasks_blocked()
            mock_clock.jump(10_000)
            await session.stale.wait()
            assert "was taken over by the next one" in str(session.why)


async def test_who_comes_after_a_holder_that_died_waits_for_its_lease_to_run_out(
    dsn, db, mock_clock, caplog
):
    dead = PostgresStorage(dsn)
    dead.open()
    dead.acquire_lease("the dead one")

    async def come():
        async with StorageSession(PostgresStorage(dsn), owner="the heir") as session:
            await session.commit([])
            came.set()

    came = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(come)
        while not caplog.records:
            await wait_all_tasks_blocked(0.05)
        for _ in range(5):
            await wait_all_tasks_blocked(0.05)
            mock_clock.jump(1)
        assert not came.is_set()
        let_the_lease_run_out(db)
        while not came.is_set():
            await wait_all_tasks_blocked(0.05)
            mock_clock.jump(1)
    dead.close()
    (line,) = [record.message for record in caplog.records]
    assert "is in use by the dead one; waiting" in line


async def test_who_comes_while_the_holder_lives_is_refused(dsn, mock_clock):
    async with StorageSession(PostgresStorage(dsn), owner="the holder"):

        async def come():
            with pytest.raises(StorageHeld, match="is in use by the holder"):
                await StorageSession(PostgresStorage(dsn)).__aenter__()
            refused.set()

        refused = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(come)
            while not refused.is_set():
                await wait_all_tasks_blocked(0.05)
                mock_clock.jump(1)
