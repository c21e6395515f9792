"""Operations as PostgreSQL statements.

What belongs to a thread is written only where the thread exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg

from .contract import RecordExists, StorageError
from .facts import facts_of
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
from .postgres_items import send_item
from .postgres_read import RUN, THREAD
from .records import Assistant, AssistantVersion, Cron, Kind, LogRow, Post, Row, Run, Thread
from .rows import COLUMNS, log_values, or_update, to_row, version_row

__all__ = ["refusal", "send"]

MANY: Final = 100  # records that one statement appends

Cursor = psycopg.Cursor[tuple[Any, ...]]


def _names(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _values(columns: Iterable[str]) -> str:
    return ", ".join(f"%({column})s" for column in columns)


def _its_values(columns: Iterable[str]) -> str:
    return ", ".join(f"its_{column} => %({column})s" for column in columns)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO greenroom.{table} ({_names(columns)}) VALUES ({_values(columns)})"


def _upsert(table: str, columns: Sequence[str], key: int = 1) -> str:
    """`key`: how many of the columns, the first ones, are the key."""
    return f"{_insert(table, columns)} {or_update(columns[:key], columns[key:])}"


_thread_columns = (*COLUMNS[Thread], "facts")

_INSERT_THREAD: Final = _insert("threads", _thread_columns)
_PUT_THREAD: Final = f"SELECT greenroom.put_thread({_its_values(_thread_columns)})"
_PUT_CRON: Final = f"""
    INSERT INTO greenroom.crons ({_names(COLUMNS[Cron])}) SELECT {_values(COLUMNS[Cron])}
    WHERE %(thread_id)s::text IS NULL
    OR EXISTS (SELECT 1 FROM greenroom.threads WHERE thread_id = %(thread_id)s::text)
    {or_update(COLUMNS[Cron][:1], COLUMNS[Cron][1:])}
"""
_PUT: Final[Mapping[Kind, str]] = {
    Thread: _upsert("threads", _thread_columns),
    Run: f"SELECT greenroom.put_run({_its_values(COLUMNS[Run])})",
    Assistant: _upsert("assistants", (*COLUMNS[Assistant], "folded_name")),
    AssistantVersion: _upsert("assistant_versions", COLUMNS[AssistantVersion], key=2),
    Cron: _PUT_CRON,
    Post: _upsert("posts", COLUMNS[Post]),
}
_KEEP_VERSION: Final = f"""
    {_insert("assistant_versions", COLUMNS[AssistantVersion])}
    ON CONFLICT (assistant_id, version) DO NOTHING
"""
_APPEND_LOG: Final = f"greenroom.append_log({', '.join(['%s'] * 9)})"
_APPEND_INPUT: Final = f"greenroom.append_log({', '.join(['%s'] * 11)})"
_APPEND_EVENT: Final = "SELECT greenroom.append_event(%s, %s, %s, %s, %s, %s)"
_DELETE_THREAD: Final = (
    f"DELETE FROM greenroom.events WHERE thread = {THREAD}",
    f"DELETE FROM greenroom.log WHERE thread = {THREAD}",
    f"DELETE FROM greenroom.runs WHERE thread = {THREAD}",
    "DELETE FROM greenroom.crons WHERE thread_id = %s",
    "DELETE FROM greenroom.threads WHERE thread_id = %s",
)
_DELETE_ASSISTANT: Final = (
    "DELETE FROM greenroom.assistant_versions WHERE assistant_id = %s",
    "DELETE FROM greenroom.crons WHERE assistant_id = %s",
    "DELETE FROM greenroom.assistants WHERE assistant_id = %s",
)
_DELETE_RUN: Final = (
    f"DELETE FROM greenroom.events WHERE run = {RUN}",
    # What the log took from the run becomes its own.
    "UPDATE greenroom.log l SET input = r.input, run = NULL FROM greenroom.runs r"
    f" WHERE r.id = l.run AND l.run = {RUN}",
    f"DELETE FROM greenroom.runs WHERE id = {RUN}",
)
_DELETE_EVENTS: Final = """
    DELETE FROM greenroom.events WHERE (thread, event_id) IN (
        SELECT thread, event_id FROM greenroom.events WHERE event_id < %s
        ORDER BY event_id LIMIT %s
    )
"""
_TRIM_EVENTS: Final = f"""
    DELETE FROM greenroom.events WHERE run = {RUN} AND event_id IN (
        SELECT event_id FROM greenroom.events WHERE run = {RUN} AND event_id <= (
            SELECT event_id FROM greenroom.events WHERE run = {RUN}
            ORDER BY event_id DESC LIMIT 1 OFFSET %s
        )
        ORDER BY event_id LIMIT %s
    )
"""
_PACK_LIST: Final = """
    WITH parts AS (
        SELECT l.thread, l.seq, l.kind, l.data
        FROM greenroom.log l JOIN greenroom.threads t ON t.id = l.thread
        WHERE t.thread_id = %(thread_id)s AND l.base_seq = %(list)s
        AND l.kind IN ('list', 'pack', 'splice')
    ),
    pack AS (
        SELECT thread, min(seq) AS seq, string_agg(data, ',' ORDER BY seq) AS data FROM parts
        WHERE kind = 'list' AND NOT EXISTS (SELECT 1 FROM parts WHERE kind = 'splice')
        GROUP BY thread
    ),
    rest AS (
        DELETE FROM greenroom.log l USING pack p
        WHERE l.thread = p.thread AND l.base_seq = %(list)s AND l.kind = 'list' AND l.seq > p.seq
    )
    UPDATE greenroom.log l SET kind = 'pack', data = p.data FROM pack p
    WHERE l.thread = p.thread AND l.seq = p.seq
"""
_TRUNCATE_LOG: Final = f"DELETE FROM greenroom.log WHERE thread = {THREAD} AND seq >= %s"


def send(cursor: Cursor, operation: Operation) -> None:
    """Carry out one operation inside the transaction that is open, or send it on its way where
    answers are not waited for.

    Raises Unstorable for a record that cannot be kept.
    """
    match operation:
        case InsertThread(thread):
            cursor.execute(_INSERT_THREAD, _found_by(Thread, to_row(thread)))
        case PutThread(thread):
            cursor.execute(_PUT_THREAD, _found_by(Thread, to_row(thread)))
        case DeleteThread(thread_id):
            for statement in _DELETE_THREAD:
                cursor.execute(statement, (thread_id,))
        case PutRun(run):
            _put(cursor, Run, to_row(run))
        case DeleteRun(thread_id, run_id):
            for statement in _DELETE_RUN:
                cursor.execute(statement, (thread_id, run_id))
        case PutAssistant(assistant):
            _put(cursor, Assistant, to_row(assistant))
        case DeleteAssistant(assistant_id):
            for statement in _DELETE_ASSISTANT:
                cursor.execute(statement, (assistant_id,))
        case PutCron(cron):
            _put(cursor, Cron, to_row(cron))
        case DeleteCron(cron_id):
            cursor.execute("DELETE FROM greenroom.crons WHERE cron_id = %s", (cron_id,))
        case PutPost(post):
            _put(cursor, Post, to_row(post))
        case DeletePost(post_id):
            cursor.execute("DELETE FROM greenroom.posts WHERE post_id = %s", (post_id,))
        case Restore(kind, row):
            _put(cursor, kind, row)
        case AppendLog(rows, follows):
            for at in range(0, len(rows), MANY):
                _append(cursor, rows[at : at + MANY], follows if at == 0 else None)
        case TruncateLog(thread_id, from_seq):
            cursor.execute(_TRUNCATE_LOG, (thread_id, from_seq))
        case PackList(thread_id, list_id):
            cursor.execute(_PACK_LIST, {"thread_id": thread_id, "list": list_id})
        case AppendEvents(events, follows):
            for e in events:
                event = (e.thread_id, e.run_id, e.event_id, e.name, e.data)
                cursor.execute(_APPEND_EVENT, (*event, follows))
                follows = None
        case DeleteEvents(before, limit):
            cursor.execute(_DELETE_EVENTS, (before, limit))
        case TrimEvents(thread_id, run_id, keep, limit):
            cursor.execute(_TRIM_EVENTS, (*(thread_id, run_id) * 3, keep, limit))
        case PutItem() | DeleteItem() | ProlongItem() | DeleteExpired():
            send_item(cursor, operation)


def _put(cursor: Cursor, kind: Kind, row: Row) -> None:
    """Add or replace a record."""
    if kind is Assistant:
        cursor.execute(_KEEP_VERSION, version_row(row))
    cursor.execute(_PUT[kind], _found_by(kind, row))


def _found_by(kind: type, row: Row) -> Row:
    """A record's columns, with what it is found by."""
    if kind is Assistant:
        return {**row, "folded_name": row["name"].casefold()}
    return {**row, "facts": list(facts_of(row["metadata"]))} if kind is Thread else row


def _append(cursor: Cursor, rows: Sequence[LogRow], follows: int | None) -> None:
    """Records as one statement, the first of which is to follow a position."""
    calls: list[str] = []
    values: list[Any] = []
    for row in rows:
        values += (row.thread_id, follows if row is rows[0] else None, *log_values(row))
        if row.input is None:
            calls.append(_APPEND_LOG)
        else:
            calls.append(_APPEND_INPUT)
            values += (row.input.decode(), row.run_id)
    cursor.execute(f"SELECT {', '.join(calls)}", values)


def refusal(operation: Operation) -> StorageError:
    """What an operation is refused with that met a record which is there already."""
    match operation:
        case InsertThread(thread):
            return RecordExists(f"Thread {thread.thread_id} exists already")
        case AppendLog(rows):
            where = ", ".join(f"{row.seq} of thread {row.thread_id}" for row in rows)
            return StorageError(f"A position of the log is taken among {where}")
        case AppendEvents(events):
            where = f"{events[0].event_id} to {events[-1].event_id}"
            return StorageError(f"An event id is taken among {where}")
        case _:
            return StorageError(f"{type(operation).__name__}: a record is there already")
