"""Looking after a store in memory: rows as they are stored, what there is."""

from __future__ import annotations

import sys
from abc import abstractmethod
from bisect import bisect_right
from collections import Counter
from operator import attrgetter

import attrs

from .contract import Stats
from .memory_read import MemoryReads
from .memory_rows import scan
from .operations import PutItem
from .records import LogRow, Row

__all__ = ["MemoryCare"]

_seq = attrgetter("seq")


@attrs.define
class MemoryCare(MemoryReads):
    """The reads of the contract that look after a store."""

    @abstractmethod
    def _holder(self) -> str | None:
        """Who has the lease."""

    def scan_threads(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return scan({row["thread_id"]: row for row in self._thread_rows()}, after, limit)

    def scan_runs(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[Row]:
        return [row for row in self._runs(thread_id) if row["seq"] > after][:limit]

    def scan_log(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[LogRow]:
        inputs = {row["run_id"]: row["input"] for row in self._runs(thread_id)}
        log = self.read_log(thread_id)
        at = bisect_right(log, after, key=_seq)
        return [
            row
            if row.input is None or inputs.get(row.run_id or "") == row.input.decode()
            else attrs.evolve(row, run_id=None)
            for row in log[at : at + limit]
        ]

    def scan_assistants(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        with self._lock:
            return scan(self._records.assistants, after, limit)

    def scan_assistant_versions(
        self, assistant_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Row]:
        return [row for row in self._versions(assistant_id) if row["version"] > after][:limit]

    def scan_crons(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        with self._lock:
            return scan(self._records.crons, after, limit)

    def scan_posts(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        with self._lock:
            return scan(self._records.posts, after, limit)

    def scan_items(self, *, after: int = 0, limit: int = 1000) -> list[tuple[int, PutItem]]:
        with self._lock:
            return self._records.items.scan(after)[:limit]

    def stats(self) -> Stats:
        items = self.scan_items(limit=sys.maxsize)
        with self._lock:
            threads = list(self._records.threads.values())
            assistants = list(self._records.assistants.values())
            versions = list(self._records.versions.values())
            crons = list(self._records.crons.values())
            posts = list(self._records.posts.values())
        runs = [run for thread in threads for run in thread.runs.values()]
        log = [row for thread in threads for row in thread.log]
        events = [event for thread in threads for event in thread.events]
        return Stats(
            threads=Counter(thread.row["status"] for thread in threads),
            runs=Counter(run["status"] for run in runs),
            log=Counter(row.kind for row in log),
            events=len(events),
            assistants=len(assistants),
            assistant_versions=len(versions),
            crons=len(crons),
            posts=len(posts),
            items=len(items),
            bytes={
                "threads": sum(_size(thread.row) for thread in threads),
                "runs": sum(map(_size, runs)),
                "log": sum(len(row.data) + len(row.input or b"") for row in log),
                "events": sum(len(event.data) for event in events),
                "assistants": sum(map(_size, assistants)),
                "assistant_versions": sum(map(_size, versions)),
                "crons": sum(map(_size, crons)),
                "posts": sum(map(_size, posts)),
                "items": sum(len(put.item.value) for _, put in items),
            },
            oldest=min((thread.row["created_at"] for thread in threads), default=None),
            newest=max((thread.row["updated_at"] for thread in threads), default=None),
            holder=self._holder(),
        )

    def faults(self) -> list[str]:
        return []


def _size(row: Row) -> int:
    return sum(len(value.encode()) for value in row.values() if isinstance(value, str))
