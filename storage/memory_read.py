"""The reads of a store in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from operator import attrgetter, itemgetter
from threading import Lock
from typing import Any, TypeVar

import attrs
import msgspec

from .contract import FoundItem, LogPage, Storage
from .memory_log import checkpoint_page, history_page
from .memory_records import MemoryRecords, MemoryThread
from .memory_rows import cut, having, matching, search
from .queries import AssistantQuery, CronQuery, ItemQuery, NamespaceQuery, ThreadQuery
from .records import (
    UNFINISHED,
    Assistant,
    AssistantVersion,
    Cron,
    Event,
    ItemRow,
    LogRow,
    Post,
    Row,
    Run,
    RunStatus,
    Thread,
)
from .rows import from_row

__all__ = ["MemoryReads"]

K = TypeVar("K")
R = TypeVar("R", Run, Assistant, AssistantVersion, Cron, Post)

_event_id = attrgetter("event_id")


@attrs.define
class MemoryReads(Storage):
    """The reads of the contract, from `_records` as no commit is changing them."""

    _records: MemoryRecords = attrs.field(init=False, factory=MemoryRecords)
    _lock: Lock = attrs.field(init=False, factory=Lock)

    def _one(self, kind: type[R], rows: Mapping[K, Row], key: K) -> R | None:
        with self._lock:
            row = rows.get(key)
        return None if row is None else from_row(kind, row, self.types)

    def _all(self, rows: Mapping[str, Row]) -> list[Row]:
        with self._lock:
            return list(rows.values())

    def _thread(self, thread_id: str) -> MemoryThread | None:
        with self._lock:
            return self._records.threads.get(thread_id)

    def get_thread(self, thread_id: str) -> Thread | None:
        kept = self._thread(thread_id)
        return None if kept is None else from_row(Thread, kept.row, self.types)

    def search_threads(self, query: ThreadQuery) -> list[Thread]:
        return search(Thread, self._thread_rows(), query, self.types)

    def count_threads(self, query: ThreadQuery) -> int:
        return len(matching(self._thread_rows(), query))

    def _thread_rows(self) -> list[Row]:
        with self._lock:
            return [kept.row for kept in self._records.threads.values()]

    def expired_threads(self, now: str, *, limit: int, offset: int = 0) -> list[str]:
        expired = sorted(one for one in self._expiries() if one[0] <= now)
        return [thread_id for _, thread_id in expired[offset : offset + limit]]

    def next_thread_expiry(self) -> str | None:
        return min((at for at, _ in self._expiries()), default=None)

    def _expiries(self) -> list[tuple[str, str]]:
        """When threads expire, with their ids."""
        rows = [row for row in self._thread_rows() if row["ttl"] is not None]
        times = [(msgspec.json.decode(row["ttl"])["expires_at"], row["thread_id"]) for row in rows]
        return [one for one in times if one[0] is not None]

    def get_run(self, thread_id: str, run_id: str) -> Run | None:
        kept = self._thread(thread_id)
        return None if kept is None else self._one(Run, kept.runs, run_id)

    def list_runs(
        self,
        thread_id: str,
        *,
        status: RunStatus | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[Run]:
        rows = [row for row in self._runs(thread_id) if status in (None, row["status"])]
        rows.reverse()
        return [from_row(Run, row, self.types) for row in cut(rows, limit, offset)]

    def unfinished_runs(self, thread_id: str | None = None) -> list[Run]:
        with self._lock:
            threads = list(self._records.threads) if thread_id is None else [thread_id]
        return [
            from_row(Run, row, self.types)
            for one in threads
            for row in self._runs(one)
            if row["status"] in UNFINISHED
        ]

    def last_run_seq(self, thread_id: str) -> int:
        return max((row["seq"] for row in self._runs(thread_id)), default=0)

    def _runs(self, thread_id: str) -> list[Row]:
        """The runs of a thread, oldest first."""
        kept = self._thread(thread_id)
        return sorted([] if kept is None else self._all(kept.runs), key=itemgetter("seq"))

    def get_assistant(self, assistant_id: str) -> Assistant | None:
        return self._one(Assistant, self._records.assistants, assistant_id)

    def search_assistants(self, query: AssistantQuery) -> list[Assistant]:
        return search(Assistant, self._all(self._records.assistants), query, self.types)

    def count_assistants(self, query: AssistantQuery) -> int:
        return len(matching(self._all(self._records.assistants), query))

    def get_assistant_version(self, assistant_id: str, version: int) -> AssistantVersion | None:
        return self._one(AssistantVersion, self._records.versions, (assistant_id, version))

    def list_assistant_versions(
        self,
        assistant_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[AssistantVersion]:
        rows = having(reversed(self._versions(assistant_id)), metadata)
        return [from_row(AssistantVersion, row, self.types) for row in cut(rows, limit, offset)]

    def _versions(self, assistant_id: str) -> list[Row]:
        """The versions of an assistant, the lowest first."""
        with self._lock:
            found = [row for (one, _), row in self._records.versions.items() if one == assistant_id]
        return sorted(found, key=itemgetter("version"))

    def get_cron(self, cron_id: str) -> Cron | None:
        return self._one(Cron, self._records.crons, cron_id)

    def search_crons(self, query: CronQuery) -> list[Cron]:
        return search(Cron, self._all(self._records.crons), query, self.types)

    def count_crons(self, query: CronQuery) -> int:
        return len(matching(self._all(self._records.crons), query))

    def due_crons(self, now: str, *, limit: int) -> list[Cron]:
        enabled = (row for row in self._all(self._records.crons) if row["enabled"])
        due = [row for row in enabled if (at := row["next_run_date"]) is not None and at <= now]
        due.sort(key=itemgetter("next_run_date", "cron_id"))
        return [from_row(Cron, row, self.types) for row in due[:limit]]

    def get_post(self, post_id: str) -> Post | None:
        return self._one(Post, self._records.posts, post_id)

    def last_log_seq(self, thread_id: str) -> int:
        log = self.read_log(thread_id)
        return log[-1].seq if log else 0

    def read_checkpoint(
        self, thread_id: str, ns: str, checkpoint_id: str | None = None, *, following: bool = False
    ) -> LogPage | None:
        return checkpoint_page(self.read_log(thread_id), ns, checkpoint_id, following)

    def read_history(
        self, thread_id: str, ns: str, *, before: str | None = None, limit: int | None = 10
    ) -> LogPage:
        return history_page(self.read_log(thread_id), ns, before, limit)

    def read_log(self, thread_id: str) -> list[LogRow]:
        with self._lock:
            kept = self._records.threads.get(thread_id)
            return [] if kept is None else kept.log.copy()

    def read_events(
        self, thread_id: str, run_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        events = self._events(thread_id, after)
        return [event for event in events if event.run_id == run_id][:limit]

    def read_thread_events(
        self, thread_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        return self._events(thread_id, after)[:limit]

    def oldest_event(self) -> int | None:
        with self._lock:
            threads = self._records.threads.values()
            return min((kept.events[0].event_id for kept in threads if kept.events), default=None)

    def _events(self, thread_id: str, after: int) -> list[Event]:
        with self._lock:
            kept = self._records.threads.get(thread_id)
            if kept is None:
                return []
            return kept.events[bisect_right(kept.events, after, key=_event_id) :]

    def get_item(self, namespace: tuple[str, ...], key: str, now: str) -> ItemRow | None:
        with self._lock:
            return self._records.items.get(namespace, key, now)

    def search_items(self, query: ItemQuery) -> list[FoundItem]:
        with self._lock:
            return self._records.items.search(query)

    def list_namespaces(self, query: NamespaceQuery) -> list[tuple[str, ...]]:
        with self._lock:
            return self._records.items.list_namespaces(query)

    def next_expiry(self) -> str | None:
        with self._lock:
            return self._records.items.next_expiry()
