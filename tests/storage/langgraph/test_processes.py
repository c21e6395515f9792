"""Two processes at one file, and one that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from greenroom.storage import (
    InsertThread,
    MemoryStorage,
    SqliteStorage,
    StaleEpoch,
    StorageAway,
    StorageError,
    StorageHeld,
)
from greenroom.storage.langgraph import BlockingSession, GreenroomSaver
from greenroom.storage.testing import make_thread

PLACE = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}

HOLDER = """
import sys
from langgraph.checkpoint.base import empty_checkpoint
from greenroom.storage import SqliteStorage
from greenroom.storage.langgraph import BlockingSession, GreenroomSaver

class Dying(BlockingSession):
    def wait(self, group):
        if "writes" in [row.kind for row in group.operations[-1].rows]:
            print("between", flush=True)
            sys.stdin.read()
        super().wait(group)

with Dying(SqliteStorage(sys.argv[1]), owner="the first program") as session:
    saver = GreenroomSaver(session)
    checkpoint = empty_checkpoint() | {"channel_values": {"x": 1}, "channel_versions": {"x": 1}}
    place = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    at = saver.put(place, checkpoint, {"source": "loop", "step": 1}, {"x": 1})
    saver.put_writes(at, [("y", 2)], "task")
"""


def put(saver, **values):
    checkpoint = empty_checkpoint() | {
        "channel_values": values,
        "channel_versions": dict.fromkeys(values, 1),
    }
    return saver.put(PLACE, checkpoint, {"source": "loop", "step": 1}, dict.fromkeys(values, 1))


def test_a_second_process_is_refused_by_name_until_the_first_is_dead(path, opened):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, os.fspath(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "between\n"
        with pytest.raises(StorageHeld, match="the first program"), opened():
            pass
        holder.send_signal(signal.SIGKILL)
    with opened() as session:
        saver = GreenroomSaver(session)
        found = saver.get_tuple(PLACE)
        assert found.checkpoint["channel_values"] == {"x": 1}
        assert found.pending_writes == []  # they were not acknowledged
        saver.put_writes(found.config, [("y", 3)], "task")
        assert saver.get_tuple(PLACE).pending_writes == [("task", "y", 3)]


def test_a_second_session_in_the_process_is_refused(opened):
    with opened() as first:
        with pytest.raises(StorageHeld, match=f"process {os.getpid()}"), opened():
            pass
        put(GreenroomSaver(first), x=1)


def test_one_that_lost_its_lease_writes_nothing_more(path, opened):
    with opened() as session:
        saver = GreenroomSaver(session)
        put(saver, x=1)
        # As where the lock was lost: somebody else has raised the epoch.
        other = SqliteStorage(path)
        session.storage._lock.release()
        with BlockingSession(other) as second:
            put(GreenroomSaver(second), x=2)
            with pytest.raises(StaleEpoch):
                put(saver, x=3)
            newest = GreenroomSaver(second).get_tuple(PLACE)
        assert newest.checkpoint["channel_values"] == {"x": 2}


def test_a_refused_commit_leaves_the_thread_usable():
    class Failing(MemoryStorage):
        fails = False

        def commit(self, groups, epoch):
            if self.fails:
                raise StorageError("the disk is full")
            return super().commit(groups, epoch)

    storage = Failing()
    with BlockingSession(storage) as session:
        saver = GreenroomSaver(session)
        put(saver, x=1)
        storage.fails = True
        with pytest.raises(StorageError, match="disk is full"):
            put(saver, x=2)
        storage.fails = False
        put(saver, x=3)
        assert [one.checkpoint["channel_values"]["x"] for one in saver.list(PLACE)] == [3, 1]


def test_nothing_follows_what_may_have_been_applied_or_not():
    class Away(MemoryStorage):
        def commit(self, groups, epoch):
            raise StorageAway("the database is away")

    with BlockingSession(Away()) as session:
        saver = GreenroomSaver(session)
        with pytest.raises(StorageAway, match="is away"):
            put(saver, x=1)
        with pytest.raises(StorageError, match="not open"):
            put(saver, x=2)


def test_what_was_submitted_is_there_though_nobody_waited_for_it(opened):
    with opened() as session:
        session.submit([InsertThread(make_thread())])
    with opened() as session:
        assert session.storage.get_thread("t") is not None


def test_a_session_that_is_over_says_so(opened):
    with opened() as session:
        saver = GreenroomSaver(session)
        put(saver, x=1)
    for call in (lambda: put(saver, x=2), lambda: saver.get_tuple(PLACE)):
        with pytest.raises(StorageError, match="not open"):
            call()
