"""Operations that are committed together act as if each had come alone, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import attrs

from ..contract import Storage, StorageError
from ..operations import (
    AppendEvents,
    AppendLog,
    DeleteRun,
    DeleteThread,
    InsertThread,
    Operation,
    PutRun,
    PutThread,
    TrimEvents,
    TruncateLog,
)
from .making import Open, OpenStorage, make_checkpoint_row, make_event, make_run, make_thread

__all__ = ["OrderContract"]

SEEDS = 60
LENGTH = 40
_OFTEN = {
    "insert": 1,
    "put": 1,
    "run": 3,
    "log": 3,
    "input": 1,
    "events": 2,
    "delete run": 1,
    "trim": 1,
    "truncate": 1,
    "delete": 1,
}


class OrderContract(OpenStorage):
    """What many operations come to in one commit."""

    def test_operations_of_one_group_come_to_what_they_come_to_one_by_one(
        self, opened: Open
    ) -> None:
        for seed in range(SEEDS):
            singly, together = f"{seed} singly ", f"{seed} together "
            accepted: list[int] = []
            for at, operation in enumerate(_operations(Random(seed), singly)):
                try:
                    opened.commit(operation)
                    accepted.append(at)
                except StorageError:
                    continue
            same = list(_operations(Random(seed), together))
            opened.commit(*(same[at] for at in accepted))
            for one in "ab":
                there = _all_of(opened.storage, singly + one)
                assert _all_of(opened.storage, together + one) == there, f"seed {seed}"

    def test_groups_of_one_commit_come_to_what_they_come_to_one_by_one(self, opened: Open) -> None:
        for seed in range(SEEDS):
            singly, together = f"{seed} singly ", f"{seed} together "
            answers: list[bool] = []
            for operation in _operations(Random(seed), singly):
                (error,) = opened.storage.commit([[operation]], opened.epoch)
                answers.append(error is None)
            groups: list[list[Operation]] = [
                [operation] for operation in _operations(Random(seed), together)
            ]
            errors = opened.storage.commit(groups, opened.epoch)
            assert [error is None for error in errors] == answers, f"seed {seed}"
            for one in "ab":
                there = _all_of(opened.storage, singly + one)
                assert _all_of(opened.storage, together + one) == there, f"seed {seed}"

    def test_hundreds_of_groups_are_applied_but_for_the_one_that_is_refused(
        self, opened: Open
    ) -> None:
        opened.commit(InsertThread(make_thread("250")))
        groups: list[list[Operation]] = [
            [
                InsertThread(make_thread(str(number))),
                AppendLog((make_checkpoint_row(1, "c", thread_id=str(number)),), follows=0),
                PutRun(make_run(thread_id=str(number))),
                AppendEvents((make_event(number + 1, thread_id=str(number)),)),
            ]
            for number in range(300)
        ]
        errors = opened.storage.commit(groups, opened.epoch)
        assert [at for at, error in enumerate(errors) if error is not None] == [250]
        storage = opened.storage
        found = [
            (len(storage.read_log(one)), len(storage.list_runs(one)), len(storage.scan_runs(one)))
            for one in map(str, range(300))
        ]
        assert found == [(0, 0, 0) if number == 250 else (1, 1, 1) for number in range(300)]

    def test_where_a_log_ends_counts_what_the_same_commit_has_added(self, opened: Open) -> None:
        def append(seq: int, follows: int | None) -> list[Operation]:
            return [AppendLog((make_checkpoint_row(seq, f"c{seq}"),), follows)]

        inserted: list[Operation] = [InsertThread(make_thread())]
        groups = [inserted, append(1, 0), append(3, 2), append(2, 1)]
        errors = opened.storage.commit(groups, opened.epoch)
        assert [error is None for error in errors] == [True, True, False, True]
        errors = opened.storage.commit([append(4, None), append(3, 2)], opened.epoch)
        assert [error is None for error in errors] == [True, False]
        errors = opened.storage.commit([append(5, 0)], opened.epoch)
        assert [error is None for error in errors] == [False]
        assert [row.seq for row in opened.storage.read_log("t")] == [1, 2, 4]

    def test_events_of_a_run_that_begins_in_the_same_commit_are_those_after_its_beginning(
        self, opened: Open
    ) -> None:
        opened.commit(InsertThread(make_thread()))
        opened.commit(
            AppendEvents((make_event(1),)),
            PutRun(make_run()),
            AppendEvents((make_event(2),)),
            PutRun(make_run(status="success")),
            AppendEvents((make_event(3),), follows=2),
        )
        assert [event.event_id for event in opened.storage.read_thread_events("t")] == [2, 3]
        assert opened.storage.list_runs("t") == [make_run(status="success")]


def _operations(dice: Random, prefix: str) -> Iterator[Operation]:
    """For two threads, most of which make sense; the same for the same dice."""
    ends, events = {"a": 0, "b": 0}, 0
    for number in range(LENGTH):
        one = dice.choice("ab")
        thread_id, run_id = prefix + one, dice.choice("rs")
        (kind,) = dice.choices(list(_OFTEN), list(_OFTEN.values()))
        status = dice.choice(("idle", "busy", "error"))
        given: dict[str, Any] = {"input": {"n": dice.randrange(2)}}
        if kind == "insert" or number < 2:
            yield InsertThread(make_thread(prefix + "ab"[number % 2], status=status))
        elif kind == "put":
            yield PutThread(make_thread(thread_id, status=status, metadata={"n": number}))
        elif kind == "run":
            state = dice.choice(("pending", "success"))
            yield PutRun(make_run(run_id, thread_id, seq=number, status=state, kwargs=given))
        elif kind in ("log", "input"):
            ends[one] += 1
            given = {"input": b'{"n":1}', "run_id": run_id} if kind == "input" else {}
            row = make_checkpoint_row(ends[one], f"c{number}", thread_id=thread_id, **given)
            yield AppendLog((row,), dice.choice((None, ends[one] - 1, ends[one] - 1)))
        elif kind == "events":
            before, events = events or None, events + 1
            event = make_event(events, run_id, thread_id)
            yield AppendEvents((event,), dice.choice((None, before)))
        elif kind == "delete run":
            yield DeleteRun(thread_id, run_id)
        elif kind == "trim":
            yield TrimEvents(thread_id, run_id, keep=1, limit=10)
        elif kind == "truncate":
            ends[one] = max(0, ends[one] - 1)
            yield TruncateLog(thread_id, ends[one] + 1)
        else:
            ends[one] = 0
            yield DeleteThread(thread_id)


def _all_of(storage: Storage, thread_id: str) -> object:
    thread = storage.get_thread(thread_id)
    return (
        None if thread is None else attrs.evolve(thread, thread_id=""),
        [attrs.evolve(run, thread_id="") for run in storage.list_runs(thread_id)],
        [attrs.evolve(row, thread_id="") for row in storage.read_log(thread_id)],
        [attrs.evolve(event, thread_id="") for event in storage.read_thread_events(thread_id)],
    )
