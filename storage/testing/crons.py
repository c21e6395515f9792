"""Crons."""

from __future__ import annotations

from typing import Any

import pytest

from ..codec import Unstorable
from ..contract import Lease, StorageError
from ..operations import DeleteCron, InsertThread, PutCron
from ..queries import CronQuery
from .making import Open, OpenStorage, make_cron, make_thread
from .searches import HOSTILE_KEYS

__all__ = ["CronContract"]


class CronContract(OpenStorage):
    """What is kept of crons, what is found, and what is due."""

    def test_a_cron_comes_back_as_it_was_given(self, opened: Open) -> None:
        cron = make_cron(
            thread_id="t",
            timezone="Europe/Paris",
            end_time="2027-01-01",
            next_run_date="2026-02-01",
            payload={"input": {"when": (1, 2), "blob": b"\x00"}},
            metadata={"é": [1, 1.5, None, True]},
            enabled=False,
            on_run_completed="keep",
        )
        opened.commit(InsertThread(make_thread()), PutCron(cron), PutCron(make_cron("plain")))
        assert opened.storage.get_cron("c") == cron
        assert opened.storage.get_cron("plain") == make_cron("plain")
        assert opened.storage.get_cron("x") is None

    def test_objects_in_what_a_cron_asks_for_come_back_if_their_class_is_declared(
        self, opened: Open
    ) -> None:
        cron = make_cron(payload={"input": Lease("me", 1)}, next_run_date="2026")
        opened.commit(PutCron(cron))
        opened.storage.types.declare([Lease])
        assert opened.storage.get_cron("c") == cron
        assert opened.storage.search_crons(CronQuery()) == [cron]
        assert opened.storage.due_crons("2026", limit=1) == [cron]

    def test_a_cron_is_replaced_and_deleted(self, opened: Open) -> None:
        opened.commit(PutCron(make_cron()), PutCron(make_cron("other")))
        changed = make_cron(schedule="* * * * *", enabled=False, metadata={"n": 1})
        opened.commit(PutCron(changed))
        assert opened.storage.get_cron("c") == changed
        opened.commit(DeleteCron("c"), DeleteCron("unknown"))
        assert opened.storage.get_cron("c") is None
        assert _found(opened) == ["other"]

    def test_a_cron_is_not_put_on_a_thread_that_is_not_there(self, opened: Open) -> None:
        opened.commit(PutCron(make_cron()), PutCron(make_cron("lost", thread_id="x")))
        opened.commit(PutCron(make_cron(thread_id="x", enabled=False)))
        opened.commit(InsertThread(make_thread("x")))
        assert opened.storage.search_crons(CronQuery()) == [make_cron()]

    def test_crons_are_found_by_assistant_thread_and_whether_they_are_enabled(
        self, opened: Open
    ) -> None:
        opened.commit(
            InsertThread(make_thread()),
            PutCron(make_cron("a", assistant_id="x", thread_id="t")),
            PutCron(make_cron("b", assistant_id="x", enabled=False)),
            PutCron(make_cron("c", thread_id="t", metadata={"n": 1})),
        )
        assert _found(opened) == ["c", "b", "a"]
        assert _found(opened, assistant_id="x") == ["b", "a"]
        assert _found(opened, thread_id="t") == ["c", "a"]
        assert _found(opened, enabled=True) == ["c", "a"]
        assert _found(opened, enabled=False) == ["b"]
        assert _found(opened, assistant_id="x", thread_id="t", enabled=True) == ["a"]
        assert _found(opened, thread_id="t", metadata={"n": 1.0}) == ["c"]
        assert _found(opened, assistant_id="' OR 1 --") == []
        assert opened.storage.count_crons(CronQuery(thread_id="t", limit=1, offset=9)) == 2
        assert opened.storage.count_crons(CronQuery(metadata={"n": 1}, enabled=False)) == 0

    @pytest.mark.parametrize(
        "column", ["cron_id", "assistant_id", "created_at", "updated_at", "next_run_date"]
    )
    def test_crons_are_sorted_and_ties_broken_by_age(self, opened: Open, column: str) -> None:
        ages = {"b": "2026", "a": "2027"} if column not in ("cron_id", "created_at") else {}
        for cron_id, value in (("b", "2"), ("c", "1"), ("a", "2"), ("d", "3")):
            given = {} if column == "cron_id" else {column: value}
            if cron_id in ages:
                given["created_at"] = ages[cron_id]
            opened.commit(PutCron(make_cron(cron_id, **given)))
        upwards, downwards = {
            "cron_id": ("abcd", "dcba"),
            "created_at": ("cabd", "dbac"),
        }.get(column, ("cbad", "dbac"))
        assert _found(opened, sort_by=column, descending=False) == list(upwards)
        assert _found(opened, sort_by=column) == list(downwards)
        assert _found(opened, sort_by=column, limit=2, offset=1) == list(downwards[1:3])
        assert _found(opened, sort_by=column, limit=None, offset=3) == list(downwards[3:])

    @pytest.mark.parametrize("column", ["thread_id", "end_time", "next_run_date"])
    def test_crons_that_have_nothing_to_be_sorted_by_come_last(
        self, opened: Open, column: str
    ) -> None:
        opened.commit(InsertThread(make_thread("1")), InsertThread(make_thread("2")))
        for cron_id, value in (("b", "2"), ("c", None), ("a", "1"), ("d", None)):
            opened.commit(PutCron(make_cron(cron_id, **{column: value})))
        assert _found(opened, sort_by=column, descending=False) == ["a", "b", "c", "d"]
        assert _found(opened, sort_by=column) == ["b", "a", "c", "d"]

    def test_sorting_crons_by_an_unknown_column_is_refused(self, opened: Open) -> None:
        with pytest.raises(StorageError, match="Cron records cannot be sorted by 'created_at; DR"):
            _found(opened, sort_by="created_at; DROP TABLE crons")

    @pytest.mark.parametrize("key", HOSTILE_KEYS)
    def test_any_text_is_a_key_or_a_value_of_a_cron_s_metadata(
        self, opened: Open, key: str
    ) -> None:
        opened.commit(
            PutCron(make_cron("key", metadata={key: 1})),
            PutCron(make_cron("value", metadata={"v": key})),
            PutCron(make_cron("deep", metadata={"d": {key: {key: [key, 1]}}})),
            PutCron(make_cron("other", metadata={"a": {"b": 1}, "v": key + "x", "b": [1]})),
        )
        assert _found(opened, metadata={key: 1}) == ["key"]
        assert _found(opened, metadata={"v": key}) == ["value"]
        assert _found(opened, metadata={"d": {key: {key: [key]}}}) == ["deep"]

    def test_metadata_of_a_cron_and_a_filter_by_it_must_be_json(self, opened: Open) -> None:
        with pytest.raises(Unstorable, match=r"metadata\.a"):
            _found(opened, metadata={"a": {1}})
        with pytest.raises(Unstorable, match=r"metadata\.a"):
            opened.commit(PutCron(make_cron(metadata={"a": {1}})))

    def test_crons_that_are_due_are_given_in_the_order_in_which_they_were(
        self, opened: Open
    ) -> None:
        crons = [
            make_cron("b", next_run_date="2026-01-02"),
            make_cron("a", next_run_date="2026-01-02"),
            make_cron("later", next_run_date="2026-01-04"),
            make_cron("first", next_run_date="2026-01-01"),
            make_cron("off", next_run_date="2025-01-01", enabled=False),
            make_cron("over"),
        ]
        opened.commit(*map(PutCron, crons))
        storage = opened.storage
        due = storage.due_crons("2026-01-02", limit=9)
        assert due == [crons[3], crons[1], crons[0]]
        assert storage.due_crons("2026-01-02", limit=2) == due[:2]
        assert storage.due_crons("2025", limit=9) == []
        opened.commit(PutCron(make_cron("first", next_run_date="2026-01-05")), DeleteCron("a"))
        assert storage.due_crons("2026-01-02", limit=9) == [crons[0]]
        opened.commit(PutCron(make_cron("off", next_run_date="2025-01-01")))
        assert [cron.cron_id for cron in storage.due_crons("2025-01-01", limit=9)] == ["off"]


def _found(opened: Open, **query: Any) -> list[str]:
    return [cron.cron_id for cron in opened.storage.search_crons(CronQuery(**query))]
