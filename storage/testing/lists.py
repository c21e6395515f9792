"""Long lists, whose parts are records of the log."""

from __future__ import annotations

import pytest

from ..contract import LogPage
from ..lists import elements_of
from ..operations import AppendLog, DeleteThread, InsertThread, TruncateLog
from ..records import LogRow
from .making import Open, OpenStorage, make_checkpoint_row, make_list_row, make_thread

__all__ = ["ListContract"]


class ListContract(OpenStorage):
    """Which parts of which lists a page brings, and that they make the lists as they were."""

    @pytest.fixture
    def written(self, opened: Open) -> Open:
        """A thread with three lists: 1 and 4, and 13 of a namespace within."""
        rows = (
            make_list_row(1, 1, b"1,2"),
            make_checkpoint_row(2, "c1", lists=(1,)),
            make_list_row(3, 1, b"3"),
            make_list_row(4, 4, b'"a"'),
            make_checkpoint_row(5, "c2", base_seq=2, lists=(1, 4)),
            make_list_row(6, 4, b'"b"'),
            make_checkpoint_row(7, "c3", base_seq=2, lists=(4,)),
            make_checkpoint_row(8, "c4", base_seq=2),
            make_list_row(9, 1, b"[[0,1,[]]]", kind="splice"),
            make_checkpoint_row(10, "c5", base_seq=2, lists=(1,)),
            make_list_row(11, 1, b"4"),
            make_checkpoint_row(12, "c6", base_seq=2, lists=(1,)),
            make_list_row(13, 13, b"null", ns="sub:1"),
            make_checkpoint_row(14, "s1", ns="sub:1", lists=(13,)),
            make_list_row(15, 1, b"5"),
        )
        opened.commit(InsertThread(make_thread()), AppendLog(rows))
        return opened

    @pytest.mark.parametrize(
        ("checkpoint_id", "lists"),
        [
            ("c1", {1: b"[1,2]"}),
            ("c2", {1: b"[1,2,3]", 4: b'["a"]'}),
            ("c3", {4: b'["a","b"]'}),
            ("c4", {}),
            ("c5", {1: b"[2,3]"}),
            ("c6", {1: b"[2,3,4]"}),
        ],
    )
    def test_a_checkpoint_comes_with_the_lists_that_it_names_as_they_were(
        self, written: Open, checkpoint_id: str, lists: dict[int, bytes]
    ) -> None:
        page = written.storage.read_checkpoint("t", "", checkpoint_id)
        assert page is not None
        assert page.checkpoints[-1].lists == tuple(lists)
        assert _lists(page) == lists

    def test_a_list_of_a_namespace_comes_with_its_checkpoints(self, written: Open) -> None:
        page = written.storage.read_checkpoint("t", "sub:1")
        assert page is not None
        assert {part.ns for part in page.lists} == {"sub:1"}
        assert _lists(page) == {13: b"[null]"}

    def test_a_page_of_many_checkpoints_has_each_list_at_each_of_them(self, written: Open) -> None:
        storage = written.storage
        everything = storage.read_history("t", "", limit=None)
        assert everything.wanted == ("c6", "c5", "c4", "c3", "c2", "c1")
        assert _lists(everything, before=2) == {1: b"[1,2]"}
        assert _lists(everything, before=5) == {1: b"[1,2,3]", 4: b'["a"]'}
        assert _lists(everything, before=7) == {1: b"[1,2,3]", 4: b'["a","b"]'}
        assert _lists(everything, before=10) == {1: b"[2,3]", 4: b'["a","b"]'}
        assert _lists(everything) == {1: b"[2,3,4]", 4: b'["a","b"]'}
        some = storage.read_history("t", "", before="c4", limit=2)
        assert some.wanted == ("c3", "c2")
        assert _lists(some, before=5) == {1: b"[1,2,3]", 4: b'["a"]'}
        assert _lists(some) == {1: b"[1,2,3]", 4: b'["a","b"]'}
        one = storage.read_history("t", "", before="c5", limit=1)
        assert (one.wanted, one.lists) == (("c4",), ())

    def test_the_parts_of_a_list_come_in_order_and_joined_ones_are_counted(
        self, written: Open
    ) -> None:
        page = written.storage.read_checkpoint("t", "", "c6")
        assert page is not None
        assert [part.seq for part in page.lists] == sorted(part.seq for part in page.lists)
        assert {(part.thread_id, part.ns, part.checkpoint_id) for part in page.lists} == {
            ("t", "", "")
        }
        assert sum(part.count for part in page.lists) == 4
        assert [part.kind for part in page.lists].count("splice") == 1

    def test_a_long_list_of_many_records_keeps_their_order(self, opened: Open) -> None:
        parts = tuple(make_list_row(n, 1, b"%d" % n) for n in range(1, 301))
        last = make_checkpoint_row(301, "c", lists=(1,))
        opened.commit(InsertThread(make_thread()), AppendLog((*parts[::-1], last)))
        page = opened.storage.read_checkpoint("t", "")
        assert page is not None
        assert _lists(page) == {1: b"[%s]" % b",".join(b"%d" % n for n in range(1, 301))}
        assert sum(part.count for part in page.lists) == 300

    def test_truncating_cuts_lists(self, written: Open) -> None:
        written.commit(
            TruncateLog("t", 3),
            AppendLog(
                (
                    make_list_row(3, 1, b"30"),
                    make_checkpoint_row(4, "again", base_seq=2, lists=(1,)),
                )
            ),
        )
        page = written.storage.read_checkpoint("t", "")
        assert page is not None
        assert page.wanted == ("again",)
        assert _lists(page) == {1: b"[1,2,30]"}

    def test_deleting_a_thread_deletes_its_lists(self, written: Open) -> None:
        written.commit(DeleteThread("t"), InsertThread(make_thread()))
        assert written.storage.last_log_seq("t") == 0
        written.commit(
            AppendLog((make_list_row(1, 1, b"9"), make_checkpoint_row(16, "new", lists=(1,))))
        )
        page = written.storage.read_checkpoint("t", "")
        assert page is not None
        assert _lists(page) == {1: b"[9]"}

    def test_lists_of_other_threads_are_not_seen(self, written: Open) -> None:
        written.commit(
            InsertThread(make_thread("u")),
            AppendLog((make_checkpoint_row(20, "c1", thread_id="u", lists=(1,)),)),
        )
        page = written.storage.read_checkpoint("u", "")
        assert page is not None
        assert page.lists == ()


def _lists(page: LogPage, before: int | None = None) -> dict[int, bytes]:
    """The lists of a page as JSON, as they were before a position."""
    parts: dict[int, list[LogRow]] = {}
    for part in page.lists:
        if before is None or part.seq < before:
            parts.setdefault(part.base_seq or 0, []).append(part)
    return {list_id: elements_of(rows) for list_id, rows in parts.items()}
