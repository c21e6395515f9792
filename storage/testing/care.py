"""Reads and writes for looking after a store: rows as they are stored."""

from __future__ import annotations

from typing import Literal

import pytest

from ..contract import StaleEpoch
from ..operations import (
    AppendEvents,
    AppendLog,
    DeleteRun,
    DeleteThread,
    InsertThread,
    Operation,
    PutAssistant,
    PutCron,
    PutItem,
    PutPost,
    PutRun,
    Restore,
)
from ..records import Assistant, Cron, Kind, LogRow, Post, Row, Run, Thread
from ..rows import to_row
from .making import (
    Open,
    OpenStorage,
    make_assistant,
    make_checkpoint_row,
    make_cron,
    make_event,
    make_item,
    make_post,
    make_run,
    make_thread,
    make_writes_row,
)

__all__ = ["CareContract"]


class CareContract(OpenStorage):
    """What export, import and check are made of."""

    def test_threads_assistants_and_crons_are_scanned_by_id(self, opened: Open) -> None:
        threads = [make_thread(ident, metadata={"é": [1, 2.5, None]}) for ident in "cab"]
        opened.commit(*map(InsertThread, threads), *map(PutAssistant, map(make_assistant, "yzx")))
        opened.commit(*map(PutCron, map(make_cron, "nmo")))
        storage = opened.storage
        rows = storage.scan_threads()
        assert rows == [to_row(thread) for thread in sorted(threads, key=lambda t: t.thread_id)]
        assert storage.scan_threads(after="a", limit=1) == [rows[1]]
        assert storage.scan_threads(after="c") == []
        assert [row["assistant_id"] for row in storage.scan_assistants()] == ["x", "y", "z"]
        assert [row["assistant_id"] for row in storage.scan_assistants(after="x", limit=1)] == ["y"]
        assert storage.scan_crons() == [to_row(make_cron(one)) for one in "mno"]
        assert [row["cron_id"] for row in storage.scan_crons(after="m", limit=1)] == ["n"]

    def test_posts_are_scanned_by_id(self, opened: Open) -> None:
        posts = [make_post(one, body={"values": (1.0, "é")}) for one in "bca"]
        opened.commit(*map(PutPost, posts))
        storage = opened.storage
        assert storage.scan_posts() == [to_row(posts[2]), to_row(posts[0]), to_row(posts[1])]
        assert [row["post_id"] for row in storage.scan_posts(after="a", limit=1)] == ["b"]

    def test_runs_are_scanned_in_order_of_arrival(self, opened: Open) -> None:
        runs = [make_run(f"r{seq}", seq=seq, kwargs={"input": {"n": seq}}) for seq in (3, 1, 2)]
        opened.commit(InsertThread(make_thread()), *map(PutRun, runs))
        rows = opened.storage.scan_runs("t")
        assert rows == [to_row(run) for run in (runs[1], runs[2], runs[0])]
        assert opened.storage.scan_runs("t", after=1, limit=1) == [rows[1]]
        assert opened.storage.scan_runs("unknown") == []

    def test_the_log_is_scanned_record_by_record(self, opened: Open) -> None:
        rows = (
            _part(1, "list"),
            _part(2, "list"),
            _part(3, "splice"),
            make_checkpoint_row(4, "c1"),
            make_checkpoint_row(5, "s1", ns="sub:1"),
            make_writes_row(6, "c1"),
        )
        opened.commit(InsertThread(make_thread()), AppendLog(rows))
        assert opened.storage.scan_log("t") == list(rows)
        assert opened.storage.scan_log("t", after=2, limit=2) == list(rows[2:4])
        assert opened.storage.scan_log("unknown") == []

    def test_a_record_names_the_run_whose_input_it_takes_while_that_is_there(
        self, opened: Open
    ) -> None:
        given = b'{"n":1}'
        run = make_run(kwargs={"input": {"n": 1}})
        rows = tuple(
            LogRow(
                thread_id="t",
                seq=seq,
                kind="checkpoint",
                ns="",
                checkpoint_id=f"c{seq}",
                base_seq=seq,
                data=b"{}",
                input=text,
                run_id="r",
            )
            for seq, text in ((1, given), (2, b'{"n":2}'))
        )
        opened.commit(InsertThread(make_thread()), PutRun(run), AppendLog(rows))
        found = opened.storage.scan_log("t")
        assert [(row.input, row.run_id) for row in found] == [(given, "r"), (b'{"n":2}', None)]
        opened.commit(DeleteRun("t", "r"))
        assert [row.run_id for row in opened.storage.scan_log("t")] == [None, None]
        assert [row.input for row in opened.storage.scan_log("t")] == [given, b'{"n":2}']

    def test_a_record_is_restored_as_it_was_stored(self, opened: Open) -> None:
        rows: dict[Kind, Row] = {
            Thread: to_row(make_thread(metadata={"a": 1})),
            Run: to_row(make_run(kwargs={"input": [1.0, "é"]}, bound=("i",))),
            Assistant: to_row(make_assistant()),
            Cron: to_row(make_cron(thread_id="t", enabled=False, payload={"input": (1.0, "é")})),
            Post: to_row(make_post(body={"values": (1.0, "é")})),
        }
        # As another version may have written it.
        rows[Thread]["metadata"] = '{ "a" : 1.0 }'
        restore: list[Operation] = [Restore(kind, dict(row)) for kind, row in rows.items()]
        for _ in range(2):
            opened.commit(*restore)
            assert opened.storage.scan_threads() == [rows[Thread]]
            assert opened.storage.scan_runs("t") == [rows[Run]]
            assert opened.storage.scan_assistants() == [rows[Assistant]]
            assert opened.storage.scan_crons() == [rows[Cron]]
            assert opened.storage.scan_posts() == [rows[Post]]

    def test_a_restored_thread_keeps_what_belongs_to_it(self, opened: Open) -> None:
        opened.commit(
            InsertThread(make_thread()),
            PutRun(make_run()),
            AppendLog((make_checkpoint_row(1, "c1"),)),
            AppendEvents((make_event(1),)),
            PutCron(make_cron(thread_id="t")),
        )
        opened.commit(Restore(Thread, to_row(make_thread(status="error"))))
        storage = opened.storage
        thread = storage.get_thread("t")
        assert thread is not None
        assert thread.status == "error"
        assert len(storage.scan_runs("t")) == storage.last_log_seq("t") == 1
        assert len(storage.read_thread_events("t")) == len(storage.scan_crons()) == 1

    def test_a_restore_that_is_refused_with_others_leaves_nothing(self, opened: Open) -> None:
        row = make_checkpoint_row(1, "c1")
        opened.commit(InsertThread(make_thread()), AppendLog((row,)))
        before = opened.storage.scan_threads()
        error = opened.storage.commit(
            [
                [
                    Restore(Thread, to_row(make_thread(status="busy"))),
                    Restore(Thread, to_row(make_thread("u"))),
                    Restore(Run, to_row(make_run())),
                    Restore(Assistant, to_row(make_assistant())),
                    Restore(Cron, to_row(make_cron())),
                    Restore(Post, to_row(make_post())),
                    AppendLog((row,)),
                ]
            ],
            opened.epoch,
        )
        assert error != [None]
        assert opened.storage.scan_threads() == before
        assert opened.storage.scan_runs("t") == opened.storage.scan_assistants() == []
        assert opened.storage.scan_assistant_versions("a") == opened.storage.scan_crons() == []
        assert opened.storage.scan_posts() == []

    def test_items_are_scanned_in_the_order_in_which_they_were_made(self, opened: Open) -> None:
        puts = [
            PutItem(
                make_item(("x", "y"), "b", {"n": 1}),
                "Some of\nthe-WORDS: é_1",
                ((0.6, 0.8), (1.0, 0.0)),
            ),
            PutItem(make_item(("x",), "a", ttl=1.0, expires_at="1999")),
        ]
        opened.commit(*puts)
        opened.commit(puts[0])  # in its place
        found = opened.storage.scan_items()
        assert [put.item for _, put in found] == [put.item for put in puts]
        assert [put.text for _, put in found] == ["some of the words é 1", ""]
        assert [pytest.approx(one) for one in puts[0].vectors] == list(found[0][1].vectors)
        assert opened.storage.scan_items(after=found[0][0]) == found[1:]
        assert opened.storage.scan_items(limit=1) == found[:1]
        assert opened.storage.stats().items == 2

    def test_stats_count_by_status_and_kind(self, opened: Open) -> None:
        empty = opened.storage.stats()
        assert (empty.oldest, empty.newest, dict(empty.threads)) == (None, None, {})
        opened.commit(
            InsertThread(make_thread(time="2026-01-01")),
            InsertThread(make_thread("u", status="busy", time="2026-01-02")),
            PutRun(make_run(status="success")),
            PutRun(make_run("s", seq=2, status="success")),
            AppendLog((make_checkpoint_row(1, "c1"), make_writes_row(2, "c1"))),
            AppendEvents((make_event(1),)),
            PutAssistant(make_assistant()),
            *map(PutCron, map(make_cron, "cde")),
            *map(PutPost, map(make_post, "pq")),
        )
        stats = opened.storage.stats()
        assert dict(stats.threads) == {"idle": 1, "busy": 1}
        assert dict(stats.runs) == {"success": 2}
        assert dict(stats.log) == {"checkpoint": 1, "writes": 1}
        assert (stats.events, stats.assistants, stats.crons, stats.posts) == (1, 1, 3, 2)
        assert stats.assistant_versions == 1
        assert (stats.oldest, stats.newest) == ("2026-01-01", "2026-01-02")
        assert stats.holder == "tests"
        empty_tables = {name for name, size in stats.bytes.items() if size == 0}
        assert empty_tables == {"items"}

    def test_nothing_is_left_of_what_was_deleted(self, opened: Open) -> None:
        opened.commit(
            InsertThread(make_thread()),
            PutRun(make_run()),
            AppendLog((make_checkpoint_row(1, "c1"),)),
            AppendEvents((make_event(1),)),
            PutCron(make_cron(thread_id="t")),
        )
        opened.commit(DeleteThread("t"))
        stats = opened.storage.stats()
        assert (dict(stats.threads), dict(stats.runs), dict(stats.log)) == ({}, {}, {})
        assert stats.events == stats.crons == 0
        assert opened.storage.faults() == []

    def test_a_log_whose_thread_has_no_runs_is_sound(self, opened: Open) -> None:
        opened.commit(InsertThread(make_thread()), AppendLog((make_checkpoint_row(1, "c1"),)))
        assert opened.storage.faults() == []

    def test_vacuum_keeps_everything_and_needs_the_lease(self, opened: Open) -> None:
        opened.commit(InsertThread(make_thread()))
        before = opened.storage.scan_threads()
        opened.storage.vacuum(opened.epoch)
        assert opened.storage.scan_threads() == before
        with pytest.raises(StaleEpoch):
            opened.storage.vacuum(opened.epoch - 1)

    def test_reads_of_a_moment_answer_as_others_do(self, opened: Open) -> None:
        opened.commit(InsertThread(make_thread()), AppendLog((make_checkpoint_row(1, "c1"),)))
        with opened.storage.moment() as then:
            assert then.scan_threads() == opened.storage.scan_threads()
            assert then.scan_log("t") == opened.storage.scan_log("t")


def _part(seq: int, kind: Literal["list", "splice"]) -> LogRow:
    return LogRow(thread_id="t", seq=seq, kind=kind, ns="", checkpoint_id="", base_seq=1, data=b"1")
