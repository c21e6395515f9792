"""The faulty storage: without a fault it is the storage, with one it is as faulty as told."""

from __future__ import annotations

import pytest
import trio

from greenroom.storage import (
    InsertThread,
    MemoryStorage,
    PutThread,
    SqliteStorage,
    Storage,
    StorageError,
    StorageSession,
)
from greenroom.storage.testing import (
    Crashed,
    FaultyStorage,
    StorageContract,
    make_thread,
)


class TestFaultyStorage(StorageContract):
    @pytest.fixture
    def new_storage(self, tmp_path):
        return lambda: FaultyStorage(SqliteStorage(tmp_path / "greenroom.db"))

    @pytest.fixture
    def lose_lease(self):
        return lambda faulty: faulty.storage._lock.release()


@pytest.fixture(params=["memory", "sqlite"])
def faulty(request, tmp_path):
    if request.param == "memory":
        return FaultyStorage(MemoryStorage(), blocking=True)
    return FaultyStorage(SqliteStorage(tmp_path / "greenroom.db"))


@pytest.fixture
def epoch(faulty):
    faulty.open()
    yield faulty.acquire_lease("tests").epoch
    faulty.close()


def insert(*ids):
    return [InsertThread(make_thread(one)) for one in ids]


def ids(storage):
    return [one for one in "abcdef" if storage.get_thread(one) is not None]


@pytest.mark.parametrize(
    ("at", "there"), [("before", ["a", "d"]), ("middle", ["a", "d"]), ("after", [*"abcd"])]
)
def test_a_group_fails_where_it_was_told_to_and_the_others_do_not(faulty, epoch, at, there):
    faulty.fail(at, lambda operation: operation.thread.thread_id == "c")
    answers = faulty.commit([insert("a"), insert("b", "c"), insert("d")], epoch)
    assert [str(answer) for answer in answers] == ["None", "the disk is full", "None"]
    assert ids(faulty) == there
    assert len(faulty.applied) == len(there) - (at == "after")


@pytest.mark.parametrize(
    ("at", "there"), [("before", ["a"]), ("middle", ["a"]), ("after", [*"abc"])]
)
def test_what_has_crashed_answers_nothing_more(faulty, epoch, at, there):
    faulty.crash(at, lambda operation: operation.thread.thread_id == "c")
    with pytest.raises(Crashed):
        faulty.commit([insert("a"), insert("b", "c"), insert("d")], epoch)
    assert faulty.crashed.is_set()
    for call in (
        lambda: faulty.commit([insert("e")], epoch),
        lambda: faulty.commit([], epoch),
        lambda: faulty.get_thread("a"),
        lambda: faulty.open(),
        lambda: faulty.acquire_lease("again"),
    ):
        with pytest.raises(Crashed):
            call()
    assert ids(faulty.storage) == there


def test_a_fault_passes_over_some_and_strikes_some(faulty, epoch):
    faulty.fail("before", skip=1, times=2)
    answers = [faulty.commit([insert(one)], epoch)[0] for one in "abcd"]
    assert [answer is None for answer in answers] == [True, False, False, True]
    faulty.fail("before", times=None)
    assert faulty.commit([insert("e")], epoch) != [None]
    faulty.heal()
    assert faulty.commit([insert("e")], epoch) == [None]


def test_a_read_fails_by_its_name(faulty, epoch):
    faulty.fail("read", lambda name: name == "get_thread", error=StorageError("gone"))
    assert faulty.list_runs("t") == []
    with pytest.raises(StorageError, match="gone"):
        faulty.get_thread("t")
    assert faulty.get_thread("t") is None


def test_faults_at_one_point_strike_in_order_until_one_fails(faulty, epoch):
    order = []
    faulty.plan("before", lambda: order.append("first"))
    faulty.fail("before")
    faulty.plan("before", lambda: order.append("never"))
    assert faulty.commit([insert("a")], epoch) != [None]
    assert order == ["first"]


@pytest.mark.parametrize("at", ["before", "after"])
async def test_a_gate_holds_a_commit_up(faulty, at):
    async with StorageSession(faulty) as session, trio.open_nursery() as nursery:
        gate = faulty.hold(at)
        commit = session.submit(insert("a"))
        nursery.start_soon(commit.wait)
        await gate.reached()
        assert not commit.done
        assert ids(faulty.storage) == (["a"] if at == "after" else [])
        gate.open()
        await commit.wait()


async def test_who_waits_at_a_gate_in_vain_is_told_so(faulty, monkeypatch):
    monkeypatch.setattr("greenroom.storage.testing.faults.PATIENCE", 0.01)
    gate = faulty.hold("before")
    with pytest.raises(StorageError, match=r"Nothing came to the gate for 0\.01 s"):
        await gate.reached()
    async with StorageSession(faulty) as session:
        with pytest.raises(StorageError, match=r"Nobody opened the gate for 0\.01 s"):
            await session.commit(insert("a"))


@pytest.mark.parametrize("at", ["before", "after", "read"])
async def test_a_delay_goes_by_the_clock(faulty, mock_clock, at):
    async with StorageSession(faulty) as session:
        mock_clock.rate = 1000
        began = trio.current_time()
        faulty.delay(at, 60)
        await session.commit(insert("a"))
        assert await session.read(Storage.get_thread, "a") == make_thread("a")
        assert trio.current_time() - began >= 60


def test_what_cannot_wait_is_not_told_to():
    faulty = FaultyStorage(MemoryStorage())
    for plan in (faulty.hold, lambda at: faulty.delay(at, 1)):
        with pytest.raises(ValueError, match="blocking=True"):
            plan("before")
    faulty = FaultyStorage(MemoryStorage(), blocking=True)
    with pytest.raises(ValueError, match="middle"):
        faulty.hold("middle")


def test_a_batch_without_faults_is_passed_on_whole(tmp_path):
    class Counting(MemoryStorage):
        batches = 0

        def commit(self, groups, epoch):
            self.batches += 1
            return super().commit(groups, epoch)

    faulty = FaultyStorage(Counting())
    epoch = faulty.acquire_lease("tests").epoch
    groups = [insert("a"), insert("a"), [PutThread(make_thread("a"))]]
    answers = faulty.commit(groups, epoch)
    assert [answer is None for answer in answers] == [True, False, True]
    assert (faulty.storage.batches, len(faulty.applied)) == (1, 2)
