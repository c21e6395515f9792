"""Commits and the lease."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event as ThreadingEvent
from typing import get_args

import pytest

from greenroom.graph.control import Send

from ..codec import Unstorable
from ..contract import Lease, RecordExists, StaleEpoch, Storage, StorageHeld
from ..operations import (
    AppendEvents,
    AppendLog,
    DeleteAssistant,
    DeleteCron,
    DeleteEvents,
    DeleteExpired,
    DeleteItem,
    DeletePost,
    DeleteRun,
    DeleteThread,
    InsertThread,
    Operation,
    PackList,
    ProlongItem,
    PutAssistant,
    PutCron,
    PutItem,
    PutPost,
    PutRun,
    PutThread,
    Restore,
    TrimEvents,
    TruncateLog,
)
from ..queries import AssistantQuery, CronQuery, ItemQuery, ThreadQuery
from ..records import Thread
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

__all__ = ["CommitContract"]

_LATER = "2027-01-01T00:00:00.000000+00:00"


class CommitContract(OpenStorage):
    """What is committed, what is refused, and who may commit."""

    def test_a_record_comes_back_as_it_was_given(self, opened: Open) -> None:
        thread = make_thread(
            metadata={"a": [1, 1.5, None, True, {"ü": "💥"}], "": {}},
            config={"configurable": {"when": (1, 2)}},
            status="error",
            error={"error": "ValueError", "message": "boom\x00"},
            interrupts={"task": [{"id": "0" * 32, "value": {"q": float("inf")}}]},
        )
        run = make_run(
            kwargs={"input": {"blob": b"\x00\xff", "text": "\ud800"}},
            metadata={"k": "v"},
            bound=("i1", "i2"),
            attempt=2,
            stalled=1,
            started_from="c",
            first_log_seq=7,
            stop="rollback",
            error={"error": "E", "message": "m"},
        )
        assistant = make_assistant(description="d", version=3, context={"x": 1})
        opened.commit(InsertThread(thread), PutRun(run), PutAssistant(assistant))
        assert opened.storage.get_thread("t") == thread
        assert opened.storage.get_run("t", "r") == run
        assert opened.storage.get_assistant("a") == assistant

    def test_objects_in_a_record_come_back_as_themselves_if_their_class_is_declared(
        self, opened: Open
    ) -> None:
        kwargs = {"input": {"lease": Lease("me", 1), "send": Send("node", {1, 2})}}
        opened.commit(InsertThread(make_thread()), PutRun(make_run(kwargs=kwargs)))
        undeclared = opened.storage.get_run("t", "r")
        assert undeclared is not None
        assert undeclared.kwargs["input"]["lease"] == {"owner": "me", "epoch": 1, "lasts": None}
        opened.storage.types.declare([Lease])
        runs = [
            opened.storage.get_run("t", "r"),
            *opened.storage.list_runs("t"),
            *opened.storage.unfinished_runs("t"),
            *opened.storage.unfinished_runs(),
        ]
        assert runs == [make_run(kwargs=kwargs)] * 4

    def test_what_is_not_there_is_none(self, opened: Open) -> None:
        opened.commit(InsertThread(make_thread()))
        assert opened.storage.get_thread("x") is None
        assert opened.storage.get_run("t", "x") is None
        assert opened.storage.get_run("x", "x") is None
        assert opened.storage.get_assistant("x") is None
        assert opened.storage.read_checkpoint("t", "") is None
        assert opened.storage.read_history("t", "").wanted == ()
        assert opened.storage.last_log_seq("t") == 0
        assert opened.storage.last_run_seq("t") == 0

    def test_records_share_nothing_with_what_was_given_or_returned(self, opened: Open) -> None:
        thread = make_thread(metadata={"a": [1]})
        opened.commit(InsertThread(thread))
        thread.metadata["a"].append(2)
        read = opened.storage.get_thread("t")
        assert read is not None
        read.metadata["b"] = 1
        assert opened.storage.get_thread("t") == make_thread(metadata={"a": [1]})

    def test_inserting_a_taken_id_is_refused(self, opened: Open) -> None:
        opened.commit(InsertThread(make_thread(metadata={"n": 1})))
        with pytest.raises(RecordExists, match="Thread t exists"):
            opened.commit(InsertThread(make_thread(metadata={"n": 2})))
        assert opened.storage.get_thread("t") == make_thread(metadata={"n": 1})

    def test_putting_replaces_a_record_and_adds_no_thread(self, opened: Open) -> None:
        opened.commit(PutThread(make_thread()))
        assert opened.storage.get_thread("t") is None
        opened.commit(
            InsertThread(make_thread()), PutRun(make_run()), PutAssistant(make_assistant())
        )
        thread, run = make_thread(status="busy"), make_run(status="success", seq=4)
        assistant = make_assistant(name="other")
        opened.commit(PutThread(thread), PutRun(run), PutAssistant(assistant))
        assert opened.storage.get_thread("t") == thread
        assert opened.storage.list_runs("t") == [run]
        assert opened.storage.search_assistants(AssistantQuery()) == [assistant]

    def test_a_refused_group_leaves_the_others_alone(self, opened: Open) -> None:
        errors = opened.storage.commit(
            [
                [InsertThread(make_thread("one"))],
                [InsertThread(make_thread("two")), InsertThread(make_thread("one"))],
                [],
                [InsertThread(make_thread("three"))],
            ],
            opened.epoch,
        )
        assert [type(error) for error in errors] == [
            type(None),
            RecordExists,
            type(None),
            type(None),
        ]
        found = opened.storage.search_threads(ThreadQuery(sort_by="thread_id", descending=False))
        assert [thread.thread_id for thread in found] == ["one", "three"]

    def test_a_refused_group_changes_nothing(self, opened: Open) -> None:
        opened.commit(
            InsertThread(make_thread()),
            InsertThread(make_thread("u")),
            PutRun(make_run()),
            PutRun(make_run("gone", seq=2)),
            PutAssistant(make_assistant()),
            AppendLog((make_checkpoint_row(1, "c1"), make_checkpoint_row(2, "c2", base_seq=1))),
            AppendEvents((make_event(1), make_event(2, "gone"))),
            *(PutCron(make_cron(one, thread_id=one)) for one in "tu"),
            PutCron(make_cron("of the assistant", assistant_id="a")),
            *map(PutPost, map(make_post, "pq")),
        )
        before = _everything(opened.storage)
        with pytest.raises(RecordExists):
            opened.commit(
                PutThread(make_thread(status="busy")),
                PutRun(make_run(status="success")),
                PutRun(make_run("new", seq=3)),
                DeleteRun("t", "gone"),
                PutAssistant(make_assistant(name="other")),
                PutAssistant(make_assistant("b")),
                PutAssistant(make_assistant(version=2)),
                DeleteAssistant("a"),
                AppendLog((make_checkpoint_row(3, "c3"),)),
                TruncateLog("t", 2),
                AppendLog((make_checkpoint_row(2, "other"),)),
                AppendEvents((make_event(3),)),
                PutCron(make_cron("t", enabled=False)),
                PutCron(make_cron("new")),
                DeleteCron("t"),
                PutPost(make_post(url="another")),
                PutPost(make_post("new")),
                DeletePost("q"),
                DeleteThread("u"),
                InsertThread(make_thread("new")),
                InsertThread(make_thread()),
            )
        assert _everything(opened.storage) == before

    def test_a_post_is_kept_until_it_is_deleted_whatever_becomes_of_its_thread(
        self, opened: Open
    ) -> None:
        post = make_post(body={"values": {"log": [(1, "é")]}})
        opened.commit(InsertThread(make_thread()))
        opened.commit(DeleteThread("t"), PutPost(make_post()), PutPost(make_post("other")))
        opened.commit(PutPost(post))
        assert opened.storage.get_post("p") == post
        assert opened.storage.get_post("unknown") is None
        opened.commit(DeletePost("p"), DeletePost("unknown"))
        assert opened.storage.get_post("p") is None
        assert opened.storage.get_post("other") == make_post("other")

    def test_metadata_that_is_not_json_is_refused_by_name(self, opened: Open) -> None:
        for value in (float("nan"), {1: 2}, (1,), b"x", "\ud800", "a\x00b", 2**64):
            thread = make_thread(metadata={"deep": [{"x": value}]})
            with pytest.raises(Unstorable, match=r"metadata\.deep\[0\]\.x"):
                opened.commit(InsertThread(thread))
        assert opened.storage.count_threads(ThreadQuery()) == 0

    def test_what_belongs_to_no_thread_is_accepted_and_never_seen(self, opened: Open) -> None:
        belongings: Sequence[Operation] = (
            PutRun(make_run()),
            PutCron(make_cron(thread_id="t")),
            AppendLog((make_checkpoint_row(1, "c"), make_writes_row(2, "c"))),
            AppendEvents((make_event(1),)),
            TruncateLog("t", 1),
            DeleteRun("t", "r"),
            DeleteThread("t"),
        )
        opened.commit(*belongings)
        opened.commit(InsertThread(make_thread()))
        assert _belongings(opened.storage, "t") == ([], [], 0, None, [], [], [])

    def test_deleting_a_thread_deletes_what_belongs_to_it(self, opened: Open) -> None:
        for one in ("t", "u"):
            opened.commit(
                InsertThread(make_thread(one)),
                PutRun(make_run(thread_id=one)),
                PutCron(make_cron(one, thread_id=one)),
                AppendLog((make_checkpoint_row(1, "c", thread_id=one),)),
                AppendEvents((make_event(1, thread_id=one),)),
            )
        other = _belongings(opened.storage, "u")
        opened.commit(DeleteThread("t"))
        assert opened.storage.get_thread("t") is None
        opened.commit(InsertThread(make_thread()))
        assert _belongings(opened.storage, "t") == ([], [], 0, None, [], [], [])
        assert _belongings(opened.storage, "u") == other

    def test_deleting_a_run_keeps_the_log(self, opened: Open) -> None:
        opened.commit(
            InsertThread(make_thread()),
            PutRun(make_run()),
            PutRun(make_run("s", seq=2)),
            AppendLog((make_checkpoint_row(1, "c"),)),
            AppendEvents((make_event(1), make_event(2, "s"))),
        )
        opened.commit(DeleteRun("t", "r"), DeleteRun("t", "unknown"))
        assert opened.storage.list_runs("t") == [make_run("s", seq=2)]
        assert opened.storage.last_log_seq("t") == 1
        assert opened.storage.read_thread_events("t") == [make_event(2, "s")]

    def test_a_second_holder_is_refused_and_told_who_the_first_one_is(
        self, opened: Open, new_storage: Callable[[], Storage]
    ) -> None:
        second = new_storage()
        if second is not opened.storage:
            second.open()
        with pytest.raises(StorageHeld, match="in use by tests"):
            second.acquire_lease("another")
        if second is not opened.storage:
            second.close()
        opened.commit(InsertThread(make_thread()))

    def test_what_is_held_can_be_read_and_not_written_without_the_lease(
        self, opened: Open, new_storage: Callable[[], Storage]
    ) -> None:
        opened.commit(InsertThread(make_thread()))
        reader = new_storage()
        if reader is opened.storage:
            pytest.skip("its data lives in the object")
        reader.open()
        assert reader.get_thread("t") == make_thread()
        opened.commit(PutRun(make_run()))
        assert reader.list_runs("t") == [make_run()]
        with pytest.raises(StaleEpoch):
            reader.commit([[PutRun(make_run("s", seq=2))]], opened.epoch)
        reader.close()
        opened.commit(PutRun(make_run("u", seq=2)))
        assert opened.storage.list_runs("t") == [make_run("u", seq=2), make_run()]

    def test_what_was_committed_is_there_for_the_next_holder(
        self, new_storage: Callable[[], Storage]
    ) -> None:
        epochs = []
        for number in range(3):
            storage = new_storage()
            storage.open()
            epochs.append(storage.acquire_lease(f"holder {number}").epoch)
            assert storage.count_threads(ThreadQuery()) == number
            Open(storage, epochs[-1]).commit(InsertThread(make_thread(str(number))))
            storage.close()
            storage.close()
        assert epochs == sorted(set(epochs))

    def test_a_stale_epoch_applies_nothing(self, new_storage: Callable[[], Storage]) -> None:
        first = new_storage()
        first.open()
        stale = first.acquire_lease("first").epoch
        first.close()
        with pytest.raises(StaleEpoch):
            first.commit([[InsertThread(make_thread())]], stale)
        second = new_storage()
        second.open()
        epoch = second.acquire_lease("second").epoch
        for wrong in (stale, epoch + 1):
            with pytest.raises(StaleEpoch):
                second.commit([[InsertThread(make_thread())]], wrong)
        assert second.count_threads(ThreadQuery()) == 0
        second.close()

    def test_a_holder_that_lost_its_lease_can_do_nothing_more(
        self, new_storage: Callable[[], Storage], lose_lease: Callable[[Storage], None]
    ) -> None:
        first = new_storage()
        first.open()
        stale = first.acquire_lease("the first").epoch
        groups: list[list[Operation]] = [
            [InsertThread(make_thread()), PutRun(make_run())],
            [AppendLog((make_checkpoint_row(1, "c1"),)), AppendEvents((make_event(1),))],
            [
                PutItem(
                    make_item(("n",), "k", ttl=1.0, expires_at="2026-02-01T00:00:00.000000+00:00")
                )
            ],
        ]
        assert first.commit(groups, stale) == [None, None, None]
        lose_lease(first)
        second = new_storage()
        if second is not first:
            second.open()
        epoch = second.acquire_lease("the second").epoch
        assert epoch > stale
        before = _everything(second)
        operations: list[Operation] = [
            InsertThread(make_thread("u")),
            PutThread(make_thread(status="busy")),
            DeleteThread("t"),
            PutRun(make_run(status="success")),
            DeleteRun("t", "r"),
            PutAssistant(make_assistant()),
            DeleteAssistant("a"),
            PutCron(make_cron()),
            DeleteCron("c"),
            PutPost(make_post()),
            DeletePost("p"),
            AppendLog((make_checkpoint_row(2, "c2"),)),
            TruncateLog("t", 1),
            PackList("t", 1),
            AppendEvents((make_event(2),)),
            PutItem(make_item(("n",), "k", {"v": 2})),
            DeleteItem(("n",), "k"),
            ProlongItem(("n",), "k", ttl=1.0, expires_at=_LATER),
            DeleteEvents(9, limit=10),
            TrimEvents("t", "r", keep=1, limit=10),
            DeleteExpired("2030-01-01T00:00:00.000000+00:00", limit=10),
            Restore(Thread, to_row(make_thread("u"))),
        ]
        assert {type(operation) for operation in operations} == set(get_args(Operation))
        attempts: list[list[list[Operation]]] = [
            *([[operation]] for operation in operations),
            [[operation] for operation in operations],
            [[]],
        ]
        for attempt in attempts:
            with pytest.raises(StaleEpoch):
                first.commit(attempt, stale)
        assert _everything(second) == before
        assert second.commit([[PutThread(make_thread(status="busy"))]], epoch) == [None]
        if second is not first:
            first.close()  # which is not the end of the second's lease
        assert second.commit([[DeleteThread("t")]], epoch) == [None]
        second.close()

    def test_reads_from_many_threads_see_whole_groups(self, opened: Open) -> None:
        finished = ThreadingEvent()

        def read() -> bool:
            whole = True
            while whole and not finished.is_set():
                runs = opened.storage.unfinished_runs()
                whole = len(runs) % 2 == 0 and all(
                    opened.storage.get_thread(run.thread_id) for run in runs[-2:]
                )
            return whole

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read) for _ in range(4)]
            for number in range(100):
                one = str(number)
                opened.commit(
                    InsertThread(make_thread(one)),
                    PutRun(make_run("a", one)),
                    PutRun(make_run("b", one, seq=2)),
                )
            finished.set()
            assert [reader.result() for reader in readers] == [True] * 4


def _belongings(storage: Storage, thread_id: str) -> tuple[object, ...]:
    return (
        storage.list_runs(thread_id),
        storage.unfinished_runs(thread_id),
        storage.last_log_seq(thread_id),
        storage.read_checkpoint(thread_id, ""),
        storage.read_events(thread_id, "r"),
        storage.read_thread_events(thread_id),
        storage.search_crons(CronQuery(thread_id=thread_id)),
    )


def _everything(storage: Storage) -> tuple[object, ...]:
    threads = storage.search_threads(ThreadQuery(limit=None))
    return (
        threads,
        storage.search_assistants(AssistantQuery(limit=None)),
        storage.list_assistant_versions("a", limit=None),
        storage.search_crons(CronQuery(limit=None)),
        storage.scan_posts(),
        [storage.read_history(thread.thread_id, "") for thread in threads],
        [_belongings(storage, thread.thread_id) for thread in threads],
        storage.search_items(ItemQuery(now="2026-01-01T00:00:00.000000+00:00")),
    )
