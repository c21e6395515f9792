"""Operations in memory. What belongs to a thread is kept only where the thread exists."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import TypeVar

from .contract import RecordExists, StorageError
from .memory_records import MemoryRecords, MemoryThread
from .memory_rows import Undo, put, take, take_all
from .operations import (
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
from .records import Assistant, AssistantVersion, Cron, Event, Kind, Post, Row, Run
from .rows import to_row, version_row

__all__ = ["apply"]

T = TypeVar("T")

_seq = attrgetter("seq")
_event_id = attrgetter("event_id")


def apply(records: MemoryRecords, operation: Operation, undo: Undo) -> None:
    """Carry out one operation; `undo`: what takes it back, step by step.

    Raises RecordExists or StorageError; `undo` has what was done by then.
    """
    match operation:
        case InsertThread(thread):
            if thread.thread_id in records.threads:
                raise RecordExists(f"Thread {thread.thread_id} exists already")
            records.threads[thread.thread_id] = MemoryThread(to_row(thread))
            undo.append(partial(records.threads.pop, thread.thread_id))
        case PutThread(thread):
            row = to_row(thread)
            if (kept := records.threads.get(thread.thread_id)) is not None:
                undo.append(partial(setattr, kept, "row", kept.row))
                kept.row = row
        case DeleteThread(thread_id):
            take(records.threads, thread_id, undo)
            take_all(records.crons, "thread_id", thread_id, undo)
        case PutRun(run):
            row = to_row(run)
            if (kept := records.threads.get(run.thread_id)) is not None:
                if (before := kept.runs.get(run.run_id)) is not None:
                    row["input"] = before["input"]
                put(kept.runs, run.run_id, row, undo)
        case DeleteRun(thread_id, run_id):
            kept = records.threads.get(thread_id)
            if kept is not None and run_id in kept.runs:
                take(kept.runs, run_id, undo)
                undo.append(partial(setattr, kept, "events", kept.events))
                kept.events = [event for event in kept.events if event.run_id != run_id]
        case PutAssistant(assistant):
            _put(records, Assistant, to_row(assistant), undo)
        case DeleteAssistant(assistant_id):
            take(records.assistants, assistant_id, undo)
            take_all(records.versions, "assistant_id", assistant_id, undo)
            take_all(records.crons, "assistant_id", assistant_id, undo)
        case PutCron(cron):
            _put(records, Cron, to_row(cron), undo)
        case DeleteCron(cron_id):
            take(records.crons, cron_id, undo)
        case PutPost(post):
            put(records.posts, post.post_id, to_row(post), undo)
        case DeletePost(post_id):
            take(records.posts, post_id, undo)
        case AppendLog(rows, follows):
            if follows is not None and (kept := records.threads.get(rows[0].thread_id)):
                last = kept.log[-1].seq if kept.log else 0
                if last != follows:
                    text = f"The log of thread {rows[0].thread_id} ends at {last}"
                    raise StorageError(f"{text}, not {follows}")
            for record in rows:
                if (kept := records.threads.get(record.thread_id)) is not None:
                    place = f"Log of thread {record.thread_id}"
                    _insert(kept.log, record, _seq, place, undo)
        case TruncateLog(thread_id, from_seq):
            if (kept := records.threads.get(thread_id)) is not None:
                at = bisect_left(kept.log, from_seq, key=_seq)
                undo.append(partial(kept.log.extend, kept.log[at:]))
                del kept.log[at:]
        case PackList():
            pass  # records are as quick to read as one
        case AppendEvents(events, follows):
            for event in events:
                kept = records.threads.get(event.thread_id)
                if kept is not None and event.run_id in kept.runs:
                    if follows is not None:
                        _check_event(kept.events, follows)
                        follows = None
                    place = f"Events of thread {event.thread_id}"
                    _insert(kept.events, event, _event_id, place, undo)
        case DeleteEvents(before, limit):
            for kept in records.threads.values():
                if cut := min(bisect_left(kept.events, before, key=_event_id), limit):
                    undo.append(partial(setattr, kept, "events", kept.events))
                    kept.events = kept.events[cut:]
                    limit -= cut
        case TrimEvents(thread_id, run_id, keep, limit):
            if (kept := records.threads.get(thread_id)) is not None:
                own = [event.event_id for event in kept.events if event.run_id == run_id]
                gone = set(own[: max(0, min(len(own) - keep, limit))])
                if gone:
                    undo.append(partial(setattr, kept, "events", kept.events))
                    kept.events = [event for event in kept.events if event.event_id not in gone]
        case PutItem() | DeleteItem() | ProlongItem() | DeleteExpired():
            records.items.apply(operation, undo)
        case Restore(kind, row):
            _put(records, kind, row, undo)


def _put(records: MemoryRecords, kind: Kind, row: Row, undo: Undo) -> None:
    """Add or replace a record."""
    if kind is Assistant:
        put(records.assistants, row["assistant_id"], row, undo)
        place = (row["assistant_id"], row["version"])
        if place not in records.versions:
            put(records.versions, place, version_row(row), undo)
    elif kind is AssistantVersion:
        put(records.versions, (row["assistant_id"], row["version"]), row, undo)
    elif kind is Post:
        put(records.posts, row["post_id"], row, undo)
    elif kind is Cron:
        if row["thread_id"] is None or row["thread_id"] in records.threads:
            put(records.crons, row["cron_id"], row, undo)
    elif kind is Run:
        if (kept := records.threads.get(row["thread_id"])) is not None:
            put(kept.runs, row["run_id"], row, undo)
    elif (kept := records.threads.get(row["thread_id"])) is not None:
        undo.append(partial(setattr, kept, "row", kept.row))
        kept.row = row
    else:
        records.threads[row["thread_id"]] = MemoryThread(row)
        undo.append(partial(records.threads.pop, row["thread_id"]))


def _check_event(events: list[Event], event_id: int) -> None:
    at = bisect_left(events, event_id, key=_event_id)
    if at == len(events) or events[at].event_id != event_id:
        raise StorageError(f"There is no event {event_id} to follow")


def _insert(items: list[T], item: T, position: Callable[[T], int], place: str, undo: Undo) -> None:
    """Add to a list that is in order of positions. StorageError where one is taken."""
    at = bisect_left(items, position(item), key=position)
    if at < len(items) and position(items[at]) == position(item):
        raise StorageError(f"{place}: position {position(item)} is taken")
    items.insert(at, item)
    undo.append(partial(items.pop, at))
