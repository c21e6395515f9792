"""Reads of threads and runs."""

from __future__ import annotations

from typing import Any

import pytest

from ..codec import Unstorable
from ..contract import StorageError
from ..operations import DeleteThread, InsertThread, PutRun, PutThread
from ..queries import ThreadQuery
from ..records import Thread
from .making import (
    Open,
    OpenStorage,
    make_run,
    make_thread,
)

__all__ = ["SearchContract"]

HOSTILE_KEYS = (
    "",
    " ",
    "a.b",
    "$",
    "$.a",
    "[0]",
    "#",
    "a'b",
    'a"b',
    "a\\b",
    "ключ",
    "💥",
    "\n",
    "%",
    "?",
)


class SearchContract(OpenStorage):
    """What is found, and in what order."""

    def test_threads_are_found_by_id_and_status(self, opened: Open) -> None:
        _insert(opened, make_thread("a"), make_thread("b", status="busy"), make_thread("c"))
        assert _found(opened, ids=["b", "c", "x"]) == ["c", "b"]
        assert _found(opened, ids=[]) == []
        assert _found(opened, status="busy") == ["b"]
        assert _found(opened, status="idle", ids=["a", "b"]) == ["a"]
        assert opened.storage.count_threads(ThreadQuery(status="idle", limit=1, offset=9)) == 2

    @pytest.mark.parametrize("column", ["created_at", "updated_at", "state_updated_at", "status"])
    def test_threads_are_sorted_and_ties_broken_by_id(self, opened: Open, column: str) -> None:
        for thread_id, value in (("b", "error"), ("c", "busy"), ("a", "error"), ("d", "idle")):
            _insert(opened, make_thread(thread_id, **{column: value}))
        assert _found(opened, sort_by=column, descending=False) == ["c", "a", "b", "d"]
        assert _found(opened, sort_by=column) == ["d", "b", "a", "c"]
        assert _found(opened, sort_by=column, limit=2, offset=1) == ["b", "a"]
        assert _found(opened, sort_by=column, limit=None, offset=3) == ["c"]

    def test_threads_come_newest_first_and_ten_at_most_by_default(self, opened: Open) -> None:
        _insert(opened, *(make_thread(f"{n:02}", time=f"2026-01-{n:02}") for n in range(1, 13)))
        assert _found(opened) == [f"{n:02}" for n in range(12, 2, -1)]
        assert _found(opened, sort_by="thread_id", limit=2) == ["12", "11"]

    def test_threads_that_have_expired_are_found_in_that_order(self, opened: Open) -> None:
        def expires(at: str | None) -> dict[str, Any]:
            return {"strategy": "delete", "ttl_minutes": 1.5, "expires_at": at}

        assert opened.storage.next_thread_expiry() is None
        threads = [
            make_thread("b", ttl=expires("2026-01-02")),
            make_thread("a", ttl=expires("2026-01-02")),
            make_thread("later", ttl=expires("2026-01-04")),
            make_thread("first", ttl=expires("2026-01-01")),
            make_thread("done", ttl=expires(None)),
            make_thread("never"),
        ]
        _insert(opened, *threads)
        storage = opened.storage
        assert storage.expired_threads("2026-01-02", limit=9) == ["first", "a", "b"]
        assert storage.expired_threads("2026-01-02", limit=1, offset=1) == ["a"]
        assert storage.expired_threads("2025", limit=9) == []
        assert storage.next_thread_expiry() == "2026-01-01"
        assert storage.get_thread("b") == threads[0]
        opened.commit(PutThread(make_thread("first")), DeleteThread("a"))
        assert storage.expired_threads("2026-01-02", limit=9) == ["b"]
        assert storage.next_thread_expiry() == "2026-01-02"

    def test_sorting_by_an_unknown_column_is_refused(self, opened: Open) -> None:
        with pytest.raises(StorageError, match="created_at; DROP TABLE"):
            _found(opened, sort_by="created_at; DROP TABLE threads")

    @pytest.mark.parametrize(
        ("wanted", "found"),
        [
            ({}, True),
            ({"s": "text"}, True),
            ({"s": "TEXT"}, False),
            ({"missing": None}, False),
            ({"null": None}, True),
            ({"one": 1}, True),
            ({"one": 1.0}, True),
            ({"one": True}, False),
            ({"one": "1"}, False),
            ({"true": True}, True),
            ({"true": 1}, False),
            ({"true": "true"}, False),
            ({"half": 0.5}, True),
            ({"tenth": 0.1}, True),
            ({"big": 2**60 + 1}, True),
            ({"big": 2**60}, False),
            ({"dict": {}}, True),
            ({"dict": {"a": {"b": "c"}}}, True),
            ({"dict": {"a": {"b": "c"}, "n": 2}}, True),
            ({"dict": {"a": {"b": "d"}}}, False),
            ({"dict": '{"a":{"b":"c"},"n":2}'}, False),
            ({"dict": []}, False),
            ({"list": []}, True),
            ({"list": [1]}, True),
            ({"list": ["two", 1]}, True),
            ({"list": [1, 3]}, False),
            ({"list": [{"k": "v"}]}, True),
            ({"list": [{"k": "v", "x": 1}]}, False),
            ({"list": [[9]]}, True),
            ({"list": 1}, False),
            ({"list": {"0": 1}}, False),
            ({"s": "text", "one": 2}, False),
        ],
    )
    def test_metadata_is_contained_at_any_depth(
        self, opened: Open, wanted: dict[str, Any], found: bool
    ) -> None:
        metadata = {
            "s": "text",
            "null": None,
            "one": 1,
            "true": True,
            "half": 0.5,
            "tenth": 0.1,
            "big": 2**60 + 1,
            "dict": {"a": {"b": "c"}, "n": 2},
            "list": [1, "two", {"k": "v", "l": 1}, [9, 8]],
        }
        _insert(opened, make_thread(metadata=metadata), make_thread("other", metadata={"x": 1}))
        assert ("t" in _found(opened, metadata=wanted)) is found
        assert opened.storage.count_threads(ThreadQuery(metadata=wanted)) == (
            2 if not wanted else found
        )

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_any_text_is_a_key_or_a_value_of_metadata(self, opened: Open, key: str) -> None:
        _insert(
            opened,
            make_thread("key", metadata={key: 1}),
            make_thread("value", metadata={"v": key}),
            make_thread("deep", metadata={"d": {key: {key: key}}}),
            make_thread("other", metadata={"a": {"b": 1}, "v": key + "x", "b": [1]}),
        )
        assert _found(opened, metadata={key: 1}) == ["key"]
        assert _found(opened, metadata={"v": key}) == ["value"]
        assert _found(opened, metadata={"d": {key: {key: key}}}) == ["deep"]

    def test_a_metadata_filter_that_is_not_json_is_refused(self, opened: Open) -> None:
        with pytest.raises(Unstorable, match=r"metadata\.a"):
            _found(opened, metadata={"a": {1}})

    def test_runs_are_listed_newest_first(self, opened: Open) -> None:
        opened.commit(
            InsertThread(make_thread()),
            InsertThread(make_thread("u")),
            PutRun(make_run("a", seq=1, status="success")),
            PutRun(make_run("b", seq=3)),
            PutRun(make_run("c", seq=2)),
            PutRun(make_run("d", "u", seq=9)),
        )
        storage = opened.storage
        assert [run.run_id for run in storage.list_runs("t")] == ["b", "c", "a"]
        assert [run.run_id for run in storage.list_runs("t", status="pending")] == ["b", "c"]
        assert [run.run_id for run in storage.list_runs("t", limit=1, offset=1)] == ["c"]
        assert len(storage.list_runs("t", limit=None)) == 3
        assert storage.last_run_seq("t") == 3

    def test_unfinished_runs_are_those_pending_or_running_oldest_first(self, opened: Open) -> None:
        opened.commit(
            InsertThread(make_thread()),
            InsertThread(make_thread("u")),
            PutRun(make_run("a", seq=3)),
            PutRun(make_run("b", seq=1, status="running")),
            PutRun(make_run("c", seq=2, status="interrupted")),
            PutRun(make_run("d", "u", seq=1)),
        )
        assert [run.run_id for run in opened.storage.unfinished_runs("t")] == ["b", "a"]
        everywhere = [run.run_id for run in opened.storage.unfinished_runs()]
        assert sorted(everywhere) == ["a", "b", "d"]
        assert everywhere.index("b") < everywhere.index("a")


def _insert(opened: Open, *threads: Thread) -> None:
    opened.commit(*(InsertThread(thread) for thread in threads))


def _found(opened: Open, **query: Any) -> list[str]:
    return [thread.thread_id for thread in opened.storage.search_threads(ThreadQuery(**query))]
