"""Operations as SQL. What belongs to a thread is written only where the thread exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from sqlite_utils import Database

from . import sqlite_items
from .facts import facts_text
from .operations import (
    DeleteAssistant,
    DeleteCron,
    DeleteEvents,
    DeleteExpired,
    DeleteItem,
    DeletePost,
    DeleteRun,
    DeleteThread,
    Operation,
    PackList,
    ProlongItem,
    PutAssistant,
    PutCron,
    PutItem,
    PutPost,
    Restore,
    TrimEvents,
    TruncateLog,
)
from .records import Assistant, AssistantVersion, Cron, Kind, Post, Row, Run, Thread
from .rows import (
    COLUMNS,
    RUN_CHANGES,
    RUN_TABLE,
    THREAD_TABLE,
    or_update,
    to_row,
    version_row,
)
from .sqlite_bulk import Bulk
from .sqlite_read import RUN, THREAD

__all__ = ["write"]


def _names(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _values(columns: Iterable[str]) -> str:
    return ", ".join(f":{column}" for column in columns)


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({_names(columns)}) VALUES ({_values(columns)})"


def _upsert(table: str, columns: Sequence[str], key: int = 1) -> str:
    """`key`: how many of the columns, the first ones, are the key."""
    return f"{_insert(table, columns)} {or_update(columns[:key], columns[key:])}"


_PUT_RUN: Final = f"""
    INSERT INTO runs (thread, {_names(RUN_TABLE)})
    SELECT id, {_values(RUN_TABLE)} FROM threads WHERE thread_id = :thread_id
    {or_update(("thread", "run_id"), RUN_CHANGES)}
"""
_PUT_CRON: Final = f"""
    INSERT INTO crons ({_names(COLUMNS[Cron])}) SELECT {_values(COLUMNS[Cron])}
    WHERE :thread_id IS NULL OR EXISTS (SELECT 1 FROM threads WHERE thread_id = :thread_id)
    {or_update(COLUMNS[Cron][:1], COLUMNS[Cron][1:])}
"""
_PUT: Final[Mapping[Kind, str]] = {
    Thread: _upsert("threads", THREAD_TABLE),
    Run: _PUT_RUN,
    Assistant: _upsert("assistants", COLUMNS[Assistant]),
    AssistantVersion: _upsert("assistant_versions", COLUMNS[AssistantVersion], key=2),
    Cron: _PUT_CRON,
    Post: _upsert("posts", COLUMNS[Post]),
}
_KEEP_VERSION: Final = f"""
    {_insert("assistant_versions", COLUMNS[AssistantVersion])}
    ON CONFLICT (assistant_id, version) DO NOTHING
"""
_DELETE_THREAD: Final = (
    f"DELETE FROM events WHERE thread = {THREAD}",
    f"DELETE FROM log WHERE thread = {THREAD}",
    f"DELETE FROM runs WHERE thread = {THREAD}",
    "DELETE FROM crons WHERE thread_id = ?",
    "DELETE FROM threads WHERE thread_id = ?",
)
_DELETE_ASSISTANT: Final = (
    "DELETE FROM assistant_versions WHERE assistant_id = ?",
    "DELETE FROM crons WHERE assistant_id = ?",
    "DELETE FROM assistants WHERE assistant_id = ?",
)
_DELETE_RUN: Final = (
    f"DELETE FROM events WHERE run = {RUN}",
    # What the log took from the run becomes its own.
    "UPDATE log SET input = (SELECT r.input FROM runs r WHERE r.id = log.run), run = NULL"
    f" WHERE run = {RUN}",
    f"DELETE FROM runs WHERE id = {RUN}",
)
# Events are kept in the order of their rows, but for those of threads that commit side by side.
_DELETE_EVENTS: Final = """
    DELETE FROM events WHERE event_id < :before
    AND id IN (SELECT id FROM events ORDER BY id LIMIT :limit)
"""
_TRIM_EVENTS: Final = f"""
    DELETE FROM events WHERE id IN (
        SELECT id FROM events WHERE run = {RUN} AND event_id <= (
            SELECT event_id FROM events WHERE run = {RUN}
            ORDER BY event_id DESC LIMIT 1 OFFSET ?
        )
        ORDER BY event_id LIMIT ?
    )
"""
_TRUNCATE_LOG: Final = f"DELETE FROM log WHERE thread = {THREAD} AND seq >= ?"
_PARTS: Final = """
    thread = (SELECT id FROM threads WHERE thread_id = :thread_id) AND base_seq = :list
    AND kind IN ('list', 'pack', 'splice')
"""
_LOOSE: Final = f"{_PARTS} AND kind = 'list'"
_SPLICED: Final = f"EXISTS (SELECT 1 FROM log WHERE {_PARTS} AND kind = 'splice')"
_PACK_LIST: Final = (
    f"""
    UPDATE log SET kind = 'pack', data = (
        SELECT CAST(group_concat(data, ',') AS BLOB)
        FROM (SELECT data FROM log WHERE {_LOOSE} ORDER BY seq)
    )
    WHERE {_LOOSE} AND seq = (SELECT min(seq) FROM log WHERE {_LOOSE}) AND NOT {_SPLICED}
    """,
    f"DELETE FROM log WHERE {_LOOSE} AND NOT {_SPLICED}",
)


def write(db: Database, operations: Iterable[Operation]) -> None:
    """Carry operations out inside the transaction that is open.

    Raises RecordExists, StorageError or sqlite3.Error; the transaction may hold a part of it then.
    """
    bulk = Bulk(db.conn)
    for operation in operations:
        if not bulk.take(operation):
            bulk.flush()
            _apply(db, operation)
    bulk.flush()


def _apply(db: Database, operation: Operation) -> None:
    """One that is none of `Bulk`'s."""
    match operation:
        case DeleteThread(thread_id):
            for statement in _DELETE_THREAD:
                db.execute(statement, (thread_id,))
        case DeleteRun(thread_id, run_id):
            for statement in _DELETE_RUN:
                db.execute(statement, (thread_id, run_id))
        case PutAssistant(assistant):
            _put(db, Assistant, to_row(assistant))
        case DeleteAssistant(assistant_id):
            for statement in _DELETE_ASSISTANT:
                db.execute(statement, (assistant_id,))
        case PutCron(cron):
            _put(db, Cron, to_row(cron))
        case DeleteCron(cron_id):
            db.execute("DELETE FROM crons WHERE cron_id = ?", (cron_id,))
        case PutPost(post):
            _put(db, Post, to_row(post))
        case DeletePost(post_id):
            db.execute("DELETE FROM posts WHERE post_id = ?", (post_id,))
        case TruncateLog(thread_id, from_seq):
            db.execute(_TRUNCATE_LOG, (thread_id, from_seq))
        case PackList(thread_id, list_id):
            values = {"thread_id": thread_id, "list": list_id}
            for statement in _PACK_LIST:
                db.execute(statement, values)
        case DeleteEvents(before, limit):
            db.execute(_DELETE_EVENTS, {"before": before, "limit": limit})
        case TrimEvents(thread_id, run_id, keep, limit):
            db.execute(_TRIM_EVENTS, (thread_id, run_id, thread_id, run_id, keep, limit))
        case PutItem() | DeleteItem() | ProlongItem() | DeleteExpired():
            sqlite_items.apply(db.conn, operation)
        case Restore(kind, row):
            _put(db, kind, row)


def _put(db: Database, kind: Kind, row: Row) -> None:
    """Add or replace a record."""
    if kind is Thread:
        row = {**row, "facts": facts_text(row["metadata"])}
    db.execute(_PUT[kind], row)
    if kind is Assistant:
        db.execute(_KEEP_VERSION, version_row(row))
