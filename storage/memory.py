"""Storage in memory: for tests, and for work that may be lost with the process."""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter, itemgetter
from threading import Lock
from typing import Any, ClassVar, TypeVar

import attrs
import msgspec

from .contract import (
    FoundItem,
    Lease,
    LogPage,
    RecordExists,
    StaleEpoch,
    Stats,
    Storage,
    StorageError,
    StorageHeld,
)
from .memory_items import MemoryItems
from .memory_log import checkpoint_page, history_page
from .memory_rows import Undo, cut, having, matching, put, scan, search, take, take_all
from .operations import (
    AppendEvents,
    AppendLog,
    DeleteAssistant,
    DeleteCron,
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
    TruncateLog,
)
from .queries import AssistantQuery, CronQuery, ItemQuery, NamespaceQuery, ThreadQuery
from .records import (
    UNFINISHED,
    Assistant,
    AssistantVersion,
    Cron,
    Event,
    ItemRow,
    Kind,
    LogRow,
    Post,
    Row,
    Run,
    RunStatus,
    Thread,
)
from .rows import from_row, to_row, version_row

__all__ = ["MemoryStorage"]

T = TypeVar("T")

_seq = attrgetter("seq")
_event_id = attrgetter("event_id")


@attrs.define
class _Thread:
    """A thread with all that belongs to it; `log` by `seq`, `events` by `event_id`."""

    row: Row
    runs: dict[str, Row] = attrs.field(factory=dict)
    log: list[LogRow] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)


@attrs.define
class MemoryStorage(Storage):
    """Keeps everything while the object lives, closed or not.

    Records are kept in their stored form, as a database would: what is given and what is returned
    shares nothing with what is kept.
    """

    blocking: ClassVar[bool] = False

    _threads: dict[str, _Thread] = attrs.field(init=False, factory=dict)
    _assistants: dict[str, Row] = attrs.field(init=False, factory=dict)
    _versions: dict[tuple[str, int], Row] = attrs.field(init=False, factory=dict)
    _crons: dict[str, Row] = attrs.field(init=False, factory=dict)
    _posts: dict[str, Row] = attrs.field(init=False, factory=dict)
    _items: MemoryItems = attrs.field(init=False, factory=MemoryItems)
    _lease: Lease | None = attrs.field(init=False, default=None)
    _epoch: int = attrs.field(init=False, default=0)
    _lock: Lock = attrs.field(init=False, factory=Lock)

    def open(self) -> None:
        if self._lease is not None:
            raise StorageHeld(f"The storage in memory is in use by {self._lease.owner}")

    def close(self) -> None:
        self._lease = None

    def acquire_lease(self, owner: str) -> Lease:
        if self._lease is not None:
            raise StorageHeld(f"The storage in memory is in use by {self._lease.owner}")
        self._epoch += 1
        self._lease = Lease(owner, self._epoch)
        return self._lease

    def commit(
        self, groups: Sequence[Sequence[Operation]], epoch: int
    ) -> list[StorageError | None]:
        with self._lock:
            if self._lease is None or self._lease.epoch != epoch:
                raise StaleEpoch(f"The lease of epoch {epoch} on the storage in memory has ended")
            return [self._commit_group(group) for group in groups]

    def _commit_group(self, group: Sequence[Operation]) -> StorageError | None:
        undo: Undo = []
        try:
            for operation in group:
                self._apply(operation, undo)
        except Exception as error:
            for step in reversed(undo):
                step()
            if isinstance(error, StorageError):
                return error
            return StorageError(f"{type(error).__name__}: {error}")
        return None

    def _apply(self, operation: Operation, undo: Undo) -> None:
        match operation:
            case InsertThread(thread):
                if thread.thread_id in self._threads:
                    raise RecordExists(f"Thread {thread.thread_id} exists already")
                self._threads[thread.thread_id] = _Thread(to_row(thread))
                undo.append(partial(self._threads.pop, thread.thread_id))
            case PutThread(thread):
                row = to_row(thread)
                if (kept := self._threads.get(thread.thread_id)) is not None:
                    undo.append(partial(setattr, kept, "row", kept.row))
                    kept.row = row
            case DeleteThread(thread_id):
                take(self._threads, thread_id, undo)
                take_all(self._crons, "thread_id", thread_id, undo)
            case PutRun(run):
                row = to_row(run)
                if (kept := self._threads.get(run.thread_id)) is not None:
                    if (before := kept.runs.get(run.run_id)) is not None:
                        row["input"] = before["input"]
                    put(kept.runs, run.run_id, row, undo)
            case DeleteRun(thread_id, run_id):
                kept = self._threads.get(thread_id)
                if kept is not None and run_id in kept.runs:
                    take(kept.runs, run_id, undo)
                    undo.append(partial(setattr, kept, "events", kept.events))
                    kept.events = [event for event in kept.events if event.run_id != run_id]
            case PutAssistant(assistant):
                self._restore(Assistant, to_row(assistant), undo)
            case DeleteAssistant(assistant_id):
                take(self._assistants, assistant_id, undo)
                take_all(self._versions, "assistant_id", assistant_id, undo)
                take_all(self._crons, "assistant_id", assistant_id, undo)
            case PutCron(cron):
                self._restore(Cron, to_row(cron), undo)
            case DeleteCron(cron_id):
                take(self._crons, cron_id, undo)
            case PutPost(post):
                put(self._posts, post.post_id, to_row(post), undo)
            case DeletePost(post_id):
                take(self._posts, post_id, undo)
            case AppendLog(rows, follows):
                if follows is not None and (kept := self._threads.get(rows[0].thread_id)):
                    last = kept.log[-1].seq if kept.log else 0
                    if last != follows:
                        text = f"The log of thread {rows[0].thread_id} ends at {last}"
                        raise StorageError(f"{text}, not {follows}")
                for record in rows:
                    if (kept := self._threads.get(record.thread_id)) is not None:
                        place = f"Log of thread {record.thread_id}"
                        _insert(kept.log, record, _seq, place, undo)
            case TruncateLog(thread_id, from_seq):
                if (kept := self._threads.get(thread_id)) is not None:
                    at = bisect_left(kept.log, from_seq, key=_seq)
                    undo.append(partial(kept.log.extend, kept.log[at:]))
                    del kept.log[at:]
            case PackList():
                pass  # records are as quick to read as one
            case AppendEvents(events):
                for event in events:
                    kept = self._threads.get(event.thread_id)
                    if kept is not None and event.run_id in kept.runs:
                        place = f"Events of thread {event.thread_id}"
                        _insert(kept.events, event, _event_id, place, undo)
            case PutItem() | DeleteItem() | ProlongItem() | DeleteExpired():
                self._items.apply(operation, undo)
            case Restore(kind, row):
                self._restore(kind, row, undo)

    def _restore(self, kind: Kind, row: Row, undo: Undo) -> None:
        if kind is Assistant:
            put(self._assistants, row["assistant_id"], row, undo)
            place = (row["assistant_id"], row["version"])
            if place not in self._versions:
                put(self._versions, place, version_row(row), undo)
        elif kind is AssistantVersion:
            put(self._versions, (row["assistant_id"], row["version"]), row, undo)
        elif kind is Post:
            put(self._posts, row["post_id"], row, undo)
        elif kind is Cron:
            if row["thread_id"] is None or row["thread_id"] in self._threads:
                put(self._crons, row["cron_id"], row, undo)
        elif kind is Run:
            if (kept := self._threads.get(row["thread_id"])) is not None:
                put(kept.runs, row["run_id"], row, undo)
        elif (kept := self._threads.get(row["thread_id"])) is not None:
            undo.append(partial(setattr, kept, "row", kept.row))
            kept.row = row
        else:
            self._threads[row["thread_id"]] = _Thread(row)
            undo.append(partial(self._threads.pop, row["thread_id"]))

    def get_thread(self, thread_id: str) -> Thread | None:
        with self._lock:
            kept = self._threads.get(thread_id)
        return None if kept is None else from_row(Thread, kept.row, self.types)

    def search_threads(self, query: ThreadQuery) -> list[Thread]:
        return search(Thread, self._thread_rows(), query, self.types)

    def count_threads(self, query: ThreadQuery) -> int:
        return len(matching(self._thread_rows(), query))

    def _thread_rows(self) -> list[Row]:
        with self._lock:
            return [kept.row for kept in self._threads.values()]

    def expired_threads(self, now: str, *, limit: int, offset: int = 0) -> list[str]:
        expired = sorted(one for one in self._expiries() if one[0] <= now)
        return [thread_id for _, thread_id in expired[offset : offset + limit]]

    def next_thread_expiry(self) -> str | None:
        return min((at for at, _ in self._expiries()), default=None)

    def _expiries(self) -> list[tuple[str, str]]:
        """When threads expire, with their ids."""
        with self._lock:
            rows = [kept.row for kept in self._threads.values() if kept.row["ttl"] is not None]
        times = [(msgspec.json.decode(row["ttl"])["expires_at"], row["thread_id"]) for row in rows]
        return [one for one in times if one[0] is not None]

    def get_run(self, thread_id: str, run_id: str) -> Run | None:
        with self._lock:
            kept = self._threads.get(thread_id)
            row = None if kept is None else kept.runs.get(run_id)
        return None if row is None else from_row(Run, row, self.types)

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
            threads = list(self._threads) if thread_id is None else [thread_id]
        return [
            from_row(Run, row, self.types)
            for one in threads
            for row in self._runs(one)
            if row["status"] in UNFINISHED
        ]

    def last_run_seq(self, thread_id: str) -> int:
        return max((row["seq"] for row in self._runs(thread_id)), default=0)

    def _runs(self, thread_id: str) -> list[Row]:
        with self._lock:
            kept = self._threads.get(thread_id)
            rows = [] if kept is None else list(kept.runs.values())
        return sorted(rows, key=itemgetter("seq"))

    def get_assistant(self, assistant_id: str) -> Assistant | None:
        with self._lock:
            row = self._assistants.get(assistant_id)
        return None if row is None else from_row(Assistant, row, self.types)

    def search_assistants(self, query: AssistantQuery) -> list[Assistant]:
        return search(Assistant, self._rows(self._assistants), query, self.types)

    def count_assistants(self, query: AssistantQuery) -> int:
        return len(matching(self._rows(self._assistants), query))

    def get_assistant_version(self, assistant_id: str, version: int) -> AssistantVersion | None:
        with self._lock:
            row = self._versions.get((assistant_id, version))
        return None if row is None else from_row(AssistantVersion, row, self.types)

    def list_assistant_versions(
        self,
        assistant_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[AssistantVersion]:
        rows = having(reversed(self.scan_assistant_versions(assistant_id, limit=None)), metadata)
        return [from_row(AssistantVersion, row, self.types) for row in cut(rows, limit, offset)]

    def get_cron(self, cron_id: str) -> Cron | None:
        with self._lock:
            row = self._crons.get(cron_id)
        return None if row is None else from_row(Cron, row, self.types)

    def search_crons(self, query: CronQuery) -> list[Cron]:
        return search(Cron, self._rows(self._crons), query, self.types)

    def count_crons(self, query: CronQuery) -> int:
        return len(matching(self._rows(self._crons), query))

    def due_crons(self, now: str, *, limit: int) -> list[Cron]:
        enabled = (row for row in self._rows(self._crons) if row["enabled"])
        due = [row for row in enabled if (at := row["next_run_date"]) is not None and at <= now]
        due.sort(key=itemgetter("next_run_date", "cron_id"))
        return [from_row(Cron, row, self.types) for row in due[:limit]]

    def get_post(self, post_id: str) -> Post | None:
        with self._lock:
            row = self._posts.get(post_id)
        return None if row is None else from_row(Post, row, self.types)

    def _rows(self, kept: dict[str, Row]) -> list[Row]:
        with self._lock:
            return list(kept.values())

    def last_log_seq(self, thread_id: str) -> int:
        log = self.read_log(thread_id)
        return log[-1].seq if log else 0

    def read_checkpoint(
        self, thread_id: str, ns: str, checkpoint_id: str | None = None
    ) -> LogPage | None:
        return checkpoint_page(self.read_log(thread_id), ns, checkpoint_id)

    def read_history(
        self, thread_id: str, ns: str, *, before: str | None = None, limit: int | None = 10
    ) -> LogPage:
        return history_page(self.read_log(thread_id), ns, before, limit)

    def read_log(self, thread_id: str) -> list[LogRow]:
        with self._lock:
            kept = self._threads.get(thread_id)
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

    def _events(self, thread_id: str, after: int) -> list[Event]:
        with self._lock:
            kept = self._threads.get(thread_id)
            if kept is None:
                return []
            return kept.events[bisect_right(kept.events, after, key=_event_id) :]

    def get_item(self, namespace: tuple[str, ...], key: str, now: str) -> ItemRow | None:
        with self._lock:
            return self._items.get(namespace, key, now)

    def search_items(self, query: ItemQuery) -> list[FoundItem]:
        with self._lock:
            return self._items.search(query)

    def list_namespaces(self, query: NamespaceQuery) -> list[tuple[str, ...]]:
        with self._lock:
            return self._items.list_namespaces(query)

    def next_expiry(self) -> str | None:
        with self._lock:
            return self._items.next_expiry()

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
            return scan(self._assistants, after, limit)

    def scan_assistant_versions(
        self, assistant_id: str, *, after: int = 0, limit: int | None = 1000
    ) -> list[Row]:
        with self._lock:
            numbers = sorted(n for one, n in self._versions if one == assistant_id and n > after)
            return [self._versions[assistant_id, n] for n in cut(numbers, limit, 0)]

    def scan_crons(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        with self._lock:
            return scan(self._crons, after, limit)

    def scan_posts(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        with self._lock:
            return scan(self._posts, after, limit)

    def scan_items(self, *, after: int = 0, limit: int = 1000) -> list[tuple[int, PutItem]]:
        with self._lock:
            return self._items.scan(after)[:limit]

    def stats(self) -> Stats:
        items = self.scan_items(limit=sys.maxsize)
        with self._lock:
            threads = list(self._threads.values())
            assistants = list(self._assistants.values())
            versions = list(self._versions.values())
            crons = list(self._crons.values())
            posts = list(self._posts.values())
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
            holder=None if self._lease is None else self._lease.owner,
        )

    def faults(self) -> list[str]:
        return []

    def vacuum(self, epoch: int) -> None:
        self.commit([], epoch)


def _size(row: Row) -> int:
    return sum(len(value.encode()) for value in row.values() if isinstance(value, str))


def _insert(items: list[T], item: T, position: Callable[[T], int], place: str, undo: Undo) -> None:
    at = bisect_left(items, position(item), key=position)
    if at < len(items) and position(items[at]) == position(item):
        raise StorageError(f"{place}: position {position(item)} is taken")
    items.insert(at, item)
    undo.append(partial(items.pop, at))
