"""Reads of the log and of events."""

from __future__ import annotations

import attrs
import pytest

from ..contract import StorageError
from ..operations import (
    AppendEvents,
    AppendLog,
    DeleteEvents,
    DeleteRun,
    InsertThread,
    PutRun,
    TrimEvents,
    TruncateLog,
)
from ..records import LogRow
from .making import (
    Open,
    OpenStorage,
    make_checkpoint_row,
    make_event,
    make_run,
    make_thread,
    make_writes_row,
)

__all__ = ["LogContract"]


class LogContract(OpenStorage):
    """What a page of the log holds."""

    def test_a_page_begins_with_the_snapshot_and_has_the_writes_asked_for(
        self, opened: Open
    ) -> None:
        c1, c2 = make_checkpoint_row(1, "c1"), make_checkpoint_row(3, "c2", base_seq=1)
        c3, c4 = make_checkpoint_row(5, "c3"), make_checkpoint_row(6, "c4", base_seq=5)
        w1, w2, w4 = make_writes_row(2, "c1"), make_writes_row(4, "c2"), make_writes_row(7, "c4")
        w5 = make_writes_row(8, "c4")
        sub = make_checkpoint_row(9, "s1", ns="sub:1")
        _append(opened, c1, w1, c2, w2, c3, c4, w4, w5, sub)
        storage = opened.storage
        newest = storage.read_checkpoint("t", "")
        assert newest is not None
        assert (newest.wanted, newest.checkpoints, newest.writes) == (("c4",), (c3, c4), (w4, w5))
        older = storage.read_checkpoint("t", "", "c2")
        assert older is not None
        assert (older.wanted, older.checkpoints, older.writes) == (("c2",), (c1, c2), (w2,))
        inner = storage.read_checkpoint("t", "sub:1")
        assert inner is not None
        assert (inner.wanted, inner.checkpoints, inner.writes) == (("s1",), (sub,), ())
        assert storage.read_checkpoint("t", "sub:1", "c2") is None
        assert storage.read_checkpoint("t", "", "unknown") is None
        following = storage.read_checkpoint("t", "", "c1", following=True)
        assert following is not None
        assert following.wanted == ("c2",)
        assert storage.read_checkpoint("t", "", newest.wanted[0], following=True) is None
        assert storage.read_checkpoint("t", "", "unknown", following=True) is None
        assert storage.last_log_seq("t") == 9

    def test_writes_may_stand_before_their_checkpoint(self, opened: Open) -> None:
        early, checkpoint = make_writes_row(1, "c1"), make_checkpoint_row(2, "c1")
        _append(opened, early, checkpoint)
        page = opened.storage.read_checkpoint("t", "")
        assert page is not None
        assert page.writes == (early,)

    def test_history_goes_back_from_the_newest_or_from_before_one(self, opened: Open) -> None:
        rows = [make_checkpoint_row(n, f"c{n}", base_seq=4 if n > 3 else 1) for n in range(1, 8)]
        writes = make_writes_row(8, "c6")
        _append(opened, *rows, writes)
        storage = opened.storage
        page = storage.read_history("t", "", limit=2)
        assert (page.wanted, page.checkpoints) == (("c7", "c6"), tuple(rows[3:]))
        assert page.writes == (writes,)
        page = storage.read_history("t", "", before="c6", limit=3)
        assert (page.wanted, page.checkpoints) == (("c5", "c4", "c3"), tuple(rows[:5]))
        assert page.writes == ()
        assert len(storage.read_history("t", "", limit=None).wanted) == 7
        assert storage.read_history("t", "", before="c1").wanted == ()
        assert storage.read_history("t", "", before="unknown").wanted == ()
        assert storage.read_history("t", "sub:1").wanted == ()

    def test_a_position_of_the_log_is_taken_once(self, opened: Open) -> None:
        _append(opened, make_checkpoint_row(1, "c1"))
        with pytest.raises(StorageError, match="t"):
            opened.commit(
                AppendLog((make_checkpoint_row(2, "c2"), make_checkpoint_row(1, "other")))
            )
        assert opened.storage.read_history("t", "").wanted == ("c1",)

    def test_records_that_would_leave_a_gap_are_refused(self, opened: Open) -> None:
        opened.commit(InsertThread(make_thread()))
        opened.commit(AppendLog((make_checkpoint_row(1, "c1"),), follows=0))
        with pytest.raises(StorageError, match="ends at 1"):
            opened.commit(AppendLog((make_checkpoint_row(3, "c3"),), follows=2))
        opened.commit(AppendLog((make_checkpoint_row(2, "c2"),), follows=1))
        assert opened.storage.read_history("t", "").wanted == ("c2", "c1")

    def test_truncating_forgets_the_log_from_there_on(self, opened: Open) -> None:
        _append(opened, *(make_checkpoint_row(n, f"c{n}") for n in range(1, 5)))
        opened.commit(TruncateLog("t", 3), AppendLog((make_checkpoint_row(3, "again"),)))
        assert opened.storage.read_history("t", "").wanted == ("again", "c2", "c1")
        opened.commit(TruncateLog("t", 1))
        assert opened.storage.last_log_seq("t") == 0

    def test_the_whole_log_is_read_in_order_of_all_kinds_and_namespaces(self, opened: Open) -> None:
        checkpoint, writes = make_checkpoint_row(1, "c1"), make_writes_row(4, "c1")
        inner = attrs.evolve(make_checkpoint_row(2, "s1", ns="sub:1"), input=b"[1]", lists=(3,))
        part = attrs.evolve(make_writes_row(3, ""), kind="list", base_seq=3, data=b"1,2")
        _append(opened, writes, checkpoint, inner, part)
        opened.commit(InsertThread(make_thread("other")))
        opened.commit(AppendLog((make_checkpoint_row(1, "o1", thread_id="other"),)))
        assert opened.storage.read_log("t") == [checkpoint, inner, part, writes]
        assert opened.storage.read_log("unknown") == []

    def test_events_that_would_leave_a_gap_are_refused(self, opened: Open) -> None:
        one, two, three = (make_event(n) for n in (1, 2, 3))
        opened.commit(InsertThread(make_thread()), PutRun(make_run()), AppendEvents((one,)))
        with pytest.raises(StorageError, match="no event 2 to follow"):
            opened.commit(AppendEvents((three,), follows=2))
        opened.commit(AppendEvents((two,), follows=1), AppendEvents((three,), follows=2))
        assert opened.storage.read_events("t", "r") == [one, two, three]
        opened.commit(AppendEvents((make_event(5, "gone"),), follows=4))

    def test_events_are_read_after_a_position_by_run_and_by_thread(self, opened: Open) -> None:
        events = [make_event(n, "r" if n % 2 else "s") for n in range(1, 7)]
        opened.commit(InsertThread(make_thread()), PutRun(make_run()), PutRun(make_run("s", seq=2)))
        opened.commit(AppendEvents(tuple(events)))
        storage = opened.storage
        assert storage.read_thread_events("t") == events
        assert storage.read_thread_events("t", after=2, limit=3) == events[2:5]
        assert storage.read_events("t", "r") == events[::2]
        assert storage.read_events("t", "r", after=1, limit=1) == [events[2]]
        assert storage.read_events("t", "unknown") == []
        with pytest.raises(StorageError):
            opened.commit(AppendEvents((make_event(7), make_event(6))))
        assert len(storage.read_thread_events("t")) == 6

    def test_events_are_deleted_up_to_an_id_a_few_at_a_time(self, opened: Open) -> None:
        opened.commit(InsertThread(make_thread()), PutRun(make_run()))
        opened.commit(InsertThread(make_thread("u")), PutRun(make_run(thread_id="u")))
        assert opened.storage.oldest_event() is None
        first, *more = [make_event(n) for n in range(1, 7)]
        opened.commit(AppendEvents((first,)), AppendEvents((attrs.evolve(more[0], thread_id="u"),)))
        opened.commit(AppendEvents(tuple(more[1:])))

        def ids() -> list[int]:
            threads = (opened.storage.read_thread_events(ident) for ident in "tu")
            return sorted(event.event_id for events in threads for event in events)

        assert opened.storage.oldest_event() == 1
        opened.commit(DeleteEvents(before=1, limit=5))
        assert ids() == [1, 2, 3, 4, 5, 6]
        opened.commit(DeleteEvents(before=5, limit=1))
        assert ids() == [2, 3, 4, 5, 6]
        while opened.storage.oldest_event() in (2, 3, 4):
            opened.commit(DeleteEvents(before=5, limit=2))
        assert ids() == [5, 6]
        opened.commit(DeleteEvents(before=9, limit=9))
        assert opened.storage.oldest_event() is None

    def test_a_run_keeps_its_newest_events_and_the_oldest_go_a_few_at_a_time(
        self, opened: Open
    ) -> None:
        opened.commit(InsertThread(make_thread()), PutRun(make_run()), PutRun(make_run("s", seq=2)))
        opened.commit(
            AppendEvents(tuple(make_event(n, "r" if n > 2 else "s") for n in range(1, 9)))
        )

        def ids() -> list[int]:
            return [event.event_id for event in opened.storage.read_thread_events("t")]

        opened.commit(TrimEvents("t", "r", keep=6, limit=9), TrimEvents("t", "?", keep=0, limit=9))
        assert ids() == [1, 2, 3, 4, 5, 6, 7, 8]
        opened.commit(TrimEvents("t", "r", keep=3, limit=2))
        assert ids() == [1, 2, 5, 6, 7, 8]
        opened.commit(TrimEvents("t", "r", keep=3, limit=2))
        assert ids() == [1, 2, 6, 7, 8]
        opened.commit(TrimEvents("t", "r", keep=3, limit=2))
        assert ids() == [1, 2, 6, 7, 8]

    def test_events_of_a_deleted_run_are_dropped(self, opened: Open) -> None:
        opened.commit(InsertThread(make_thread()), PutRun(make_run()), DeleteRun("t", "r"))
        opened.commit(AppendEvents((make_event(1),)))
        assert opened.storage.read_thread_events("t") == []


def _append(opened: Open, *rows: LogRow) -> None:
    opened.commit(InsertThread(make_thread()), AppendLog(rows))
