"""Searches and log pages as SQL. Every value is bound; nothing that a client sent becomes SQL."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from . import sqlite_items
from .codec import Types, encode_json
from .contract import AssistantQuery, LogPage, ThreadQuery
from .records import Assistant, Event, LogRow, Run, Thread
from .rows import (
    COLUMNS,
    RUN_COLUMNS,
    Filter,
    all_of,
    contains,
    from_values,
    order_by,
    to_event,
    to_log_row,
)
from .thread_search import ThreadSearch

__all__ = [
    "SELECT",
    "checkpoint_page",
    "count_assistants",
    "count_threads",
    "expired_threads",
    "history_page",
    "last_seq",
    "next_thread_expiry",
    "prepare",
    "run_events",
    "runs_page",
    "search_assistants",
    "search_threads",
    "select",
    "thread_events",
    "unfinished_runs",
    "whole_log",
]

R = TypeVar("R", Thread, Run, Assistant)

SELECT: Final[Mapping[type, str]] = {
    Thread: f"SELECT {', '.join(COLUMNS[Thread])} FROM threads",
    Run: f"SELECT {RUN_COLUMNS} FROM runs r JOIN threads t ON t.id = r.thread",
    Assistant: f"SELECT {', '.join(COLUMNS[Assistant])} FROM assistants",
}
_SIMPLE_KEY: Final = re.compile(r"[\w-]+", re.ASCII)
COMPARED: Final = 100  # values by path; SQLite takes only so many conditions
_EXACT: Final = 2**53  # integers up to here compare alike, whatever compares them


def prepare(connection: sqlite3.Connection) -> None:
    """Add to a connection the functions that filters call."""
    connection.create_function("json_contains", 2, _json_contains, deterministic=True)
    connection.create_function("casefold", 1, str.casefold, deterministic=True)
    sqlite_items.prepare(connection)


def select(
    connection: sqlite3.Connection, types: Types, kind: type[R], rest: str, *values: Any
) -> list[R]:
    """Records; `rest` is the SQL after the FROM clause."""
    rows = connection.execute(f"{SELECT[kind]} {rest}", values)
    return [from_values(kind, row, types) for row in rows]


def search_threads(
    connection: sqlite3.Connection, types: Types, query: ThreadQuery
) -> list[Thread]:
    return [from_values(Thread, row, types) for row in _thread_search(connection, query).page()]


def count_threads(connection: sqlite3.Connection, query: ThreadQuery) -> int:
    return _thread_search(connection, query).count()


def search_assistants(
    connection: sqlite3.Connection, types: Types, query: AssistantQuery
) -> list[Assistant]:
    clause, values = _assistant_filter(query)
    rest = f"{clause} {order_by(Assistant, query)} LIMIT ? OFFSET ?"
    return select(connection, types, Assistant, rest, *values, _limit(query.limit), query.offset)


def count_assistants(connection: sqlite3.Connection, query: AssistantQuery) -> int:
    clause, values = _assistant_filter(query)
    found = connection.execute(f"SELECT count(*) FROM assistants {clause}", values).fetchone()
    number: int = found[0]
    return number


_EXPIRES: Final = "ttl ->> '$.expires_at'"  # as in the index


def expired_threads(connection: sqlite3.Connection, now: str, limit: int, offset: int) -> list[str]:
    query = f"""
        SELECT thread_id FROM threads WHERE {_EXPIRES} <= ?
        ORDER BY {_EXPIRES}, thread_id LIMIT ? OFFSET ?
    """
    return [row[0] for row in connection.execute(query, (now, limit, offset))]


def next_thread_expiry(connection: sqlite3.Connection) -> str | None:
    query = f"SELECT min({_EXPIRES}) FROM threads WHERE {_EXPIRES} IS NOT NULL"
    found: str | None = connection.execute(query).fetchone()[0]
    return found


def runs_page(
    connection: sqlite3.Connection,
    types: Types,
    thread_id: str,
    status: str | None,
    limit: int | None,
    offset: int,
) -> list[Run]:
    where, values = "WHERE t.thread_id = ?", [thread_id]
    if status is not None:
        where += " AND r.status = ?"
        values.append(status)
    rest = f"{where} ORDER BY r.seq DESC LIMIT ? OFFSET ?"
    return select(connection, types, Run, rest, *values, _limit(limit), offset)


def unfinished_runs(
    connection: sqlite3.Connection, types: Types, thread_id: str | None
) -> list[Run]:
    # The statuses are literals, so that SQLite sees that its partial index serves.
    where = "WHERE r.status IN ('pending', 'running')"
    if thread_id is None:
        return select(connection, types, Run, f"{where} ORDER BY r.thread, r.seq")
    return select(connection, types, Run, f"{where} AND t.thread_id = ? ORDER BY r.seq", thread_id)


def last_seq(connection: sqlite3.Connection, table: str, thread_id: str) -> int:
    """The highest `seq` of a thread in `runs` or `log`, 0 if it has none."""
    query = f"SELECT max(seq) FROM {table} WHERE thread = ?"
    (seq,) = connection.execute(query, (_thread(connection, thread_id),)).fetchone()
    return seq or 0


def _thread_search(connection: sqlite3.Connection, query: ThreadQuery) -> ThreadSearch:
    def fetch(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()

    return ThreadSearch(query, _thread_filter(query), fetch, no_limit=_limit(None))


def _thread_filter(query: ThreadQuery) -> Filter:
    conditions, values = _metadata_filter(query.metadata)
    if query.ids is not None:
        conditions.append("thread_id IN (SELECT value FROM json_each(?))")
        values.append(encode_json(list(query.ids), "ids").decode())
    if query.status is not None:
        conditions.append("status = ?")
        values.append(query.status)
    return all_of(conditions), values


def _assistant_filter(query: AssistantQuery) -> Filter:
    conditions, values = _metadata_filter(query.metadata)
    if query.graph_id is not None:
        conditions.append("graph_id = ?")
        values.append(query.graph_id)
    if query.name is not None:
        conditions.append("instr(casefold(name), ?)")
        values.append(query.name.casefold())
    return all_of(conditions), values


def _metadata_filter(metadata: Mapping[str, Any] | None) -> tuple[list[str], list[Any]]:
    """What SQLite can compare by path is left to it, as it does not need the interpreter's lock;
    the rest, lists and unusual keys and numbers, to `contains`."""
    conditions: list[str] = []
    values: list[Any] = []
    wanted = dict(metadata or {})
    text = encode_json(wanted, "metadata").decode()
    leaves = list(_leaves("$", wanted))
    complete = len(leaves) <= COMPARED
    for path, value in leaves if complete else ():
        condition = _compare(value) if path is not None else None
        if condition is None:
            complete = False
            continue
        conditions.append(condition)
        values += [path] if value is None or isinstance(value, bool) else [path, path, value]
    if not complete:
        conditions.append("json_contains(metadata, ?)")
        values.append(text)
    return conditions, values


def _leaves(path: str, wanted: Mapping[str, Any]) -> Iterator[tuple[str | None, Any]]:
    """The scalars of a filter by JSON path, and None for a path that SQLite might misread."""
    for key, value in wanted.items():
        if not _SIMPLE_KEY.fullmatch(key):
            yield None, value
        elif isinstance(value, dict) and value:
            yield from _leaves(f'{path}."{key}"', value)
        else:
            yield f'{path}."{key}"', value


def _compare(value: Any) -> str | None:
    if value is None:
        return "json_type(metadata, ?) = 'null'"
    if isinstance(value, bool):
        return f"json_type(metadata, ?) = '{'true' if value else 'false'}'"
    if isinstance(value, str):
        return "json_type(metadata, ?) = 'text' AND json_extract(metadata, ?) = ?"
    if isinstance(value, int) and abs(value) <= _EXACT:
        return "json_type(metadata, ?) IN ('integer', 'real') AND json_extract(metadata, ?) = ?"
    return None


def _json_contains(have: str, want: str) -> bool:
    return contains(msgspec.json.decode(have), _decode_once(want))


@functools.lru_cache(maxsize=16)
def _decode_once(text: str) -> Any:
    return msgspec.json.decode(text)


_EVENTS: Final = """
    SELECT t.thread_id, r.run_id, e.event_id, e.name, e.data
    FROM events e JOIN runs r ON r.id = e.run JOIN threads t ON t.id = e.thread
"""
_ROW: Final = """
    SELECT seq, kind, ns, checkpoint_id, base_seq, data, lists,
        CASE WHEN run IS NULL THEN input ELSE (SELECT r.input FROM runs r WHERE r.id = run) END, 1
    FROM log
"""
# The unary plus keeps SQLite from the index on `ns`, which finds every checkpoint of the thread.
_BY_ID: Final = "thread = ? AND checkpoint_id = ? AND kind = 'checkpoint' AND +ns = ?"


def checkpoint_page(
    connection: sqlite3.Connection, thread_id: str, ns: str, checkpoint_id: str | None
) -> LogPage | None:
    if checkpoint_id is not None:
        chosen, values = f"WHERE {_BY_ID}", [checkpoint_id, ns]
    else:
        chosen = "WHERE thread = ? AND ns = ? AND kind = 'checkpoint' ORDER BY seq DESC LIMIT 1"
        values = [ns]
    page = _page(connection, thread_id, ns, chosen, values)
    return page if page.wanted else None


def history_page(
    connection: sqlite3.Connection, thread_id: str, ns: str, before: str | None, limit: int | None
) -> LogPage:
    older = ""
    values: list[Any] = [ns]
    if before is not None:
        older = f"AND seq < (SELECT seq FROM log WHERE {_BY_ID})"
        values += [_thread(connection, thread_id), before, ns]
    chosen = f"""
        WHERE thread = ? AND ns = ? AND kind = 'checkpoint' {older} ORDER BY seq DESC LIMIT ?
    """
    return _page(connection, thread_id, ns, chosen, [*values, _limit(limit)])


def whole_log(connection: sqlite3.Connection, thread_id: str) -> list[LogRow]:
    thread = _thread(connection, thread_id)
    rows = connection.execute(f"{_ROW} WHERE thread = ? ORDER BY seq", (thread,))
    return list(_log_rows(thread_id, rows))


def run_events(
    connection: sqlite3.Connection, thread_id: str, run_id: str, after: int, limit: int
) -> list[Event]:
    rest = "WHERE t.thread_id = ? AND r.run_id = ? AND e.event_id > ? ORDER BY e.event_id LIMIT ?"
    return _events(connection, rest, thread_id, run_id, after, limit)


def thread_events(
    connection: sqlite3.Connection, thread_id: str, after: int, limit: int
) -> list[Event]:
    rest = "WHERE t.thread_id = ? AND e.event_id > ? ORDER BY e.event_id LIMIT ?"
    return _events(connection, rest, thread_id, after, limit)


def _events(connection: sqlite3.Connection, rest: str, *values: Any) -> list[Event]:
    rows = connection.execute(f"{_EVENTS} {rest}", values)
    return [to_event(row) for row in rows]


def _page(
    connection: sqlite3.Connection, thread_id: str, ns: str, chosen: str, values: list[Any]
) -> LogPage:
    thread = _thread(connection, thread_id)
    wanted = connection.execute(
        f"SELECT checkpoint_id, seq, base_seq FROM log {chosen}", [thread, *values]
    ).fetchall()
    if not wanted:
        return LogPage((), (), ())
    checkpoints = connection.execute(
        f"{_ROW} WHERE thread = ? AND ns = ? AND kind = 'checkpoint' AND seq BETWEEN ? AND ?"
        " ORDER BY seq",
        (thread, ns, min(row[2] for row in wanted), max(row[1] for row in wanted)),
    )
    ids = tuple(row[0] for row in wanted)
    writes = connection.execute(
        f"{_ROW} WHERE thread = ? AND checkpoint_id IN (SELECT value FROM json_each(?))"
        " AND kind = 'writes' AND +ns = ? ORDER BY seq",
        (thread, encode_json(list(ids)).decode(), ns),
    )
    rows = _log_rows(thread_id, checkpoints)
    asked = [row for row in rows if row.checkpoint_id in ids]
    lists = sorted({list_id for row in asked for list_id in row.lists})
    seqs = [row.seq for row in asked]
    parts = [
        part
        for list_id in lists
        for part in _list_rows(connection, thread_id, thread, ns, list_id, min(seqs), max(seqs))
    ]
    return LogPage(ids, rows, _log_rows(thread_id, writes), tuple(parts))


_PARTS: Final = "thread = :thread AND base_seq = :list AND kind IN ('list', 'pack', 'splice')"
_SPLICE: Final = f"""
    SELECT min(seq) FROM log WHERE {_PARTS} AND kind = 'splice' AND seq < :first
"""
_LOOSE: Final = f"SELECT count(*) FROM log WHERE {_PARTS} AND kind = 'list' AND seq < :until"
_PIECES: Final = f"""
    SELECT CASE seq WHEN base_seq THEN '[' ELSE ',' END || data AS piece FROM log WHERE {_PARTS}
"""
# What all checkpoints asked for share is put together by the database: by far the quickest. Packs
# are older than what is loose, so that nothing needs to be sorted.
_JOINED: Final = f"""
    SELECT CAST(group_concat(piece, '') AS BLOB) FROM (
        SELECT * FROM ({_PIECES} AND kind = 'pack' AND seq < :until ORDER BY seq)
        UNION ALL
        SELECT * FROM ({_PIECES} AND kind = 'list' AND seq < :until ORDER BY seq)
        UNION ALL
        SELECT ']'
    )
"""
_LATER: Final = f"{_ROW} WHERE {_PARTS} AND seq >= :until AND seq < :last ORDER BY seq"


def _list_rows(
    connection: sqlite3.Connection,
    thread_id: str,
    thread: int | None,
    ns: str,
    list_id: int,
    first: int,
    last: int,
) -> list[LogRow]:
    """The records of a list before `last`; those that follow each other before `first` as one."""
    values = {"thread": thread, "list": list_id, "first": first, "last": last}
    (splice,) = connection.execute(_SPLICE, values).fetchone()
    values["until"] = first if splice is None else splice
    (data,) = connection.execute(_JOINED, values).fetchone()
    rest = connection.execute(_LATER, values)
    if data == b"]":
        return list(_log_rows(thread_id, rest))
    (loose,) = connection.execute(_LOOSE, values).fetchone()
    joined = LogRow(
        thread_id=thread_id,
        seq=list_id,
        kind="array",
        ns=ns,
        checkpoint_id="",
        base_seq=list_id,
        data=data,
        count=loose,
    )
    return [joined, *_log_rows(thread_id, rest)]


def _thread(connection: sqlite3.Connection, thread_id: str) -> int | None:
    row = connection.execute("SELECT id FROM threads WHERE thread_id = ?", (thread_id,)).fetchone()
    return None if row is None else row[0]


def _log_rows(thread_id: str, rows: sqlite3.Cursor) -> tuple[LogRow, ...]:
    return tuple(to_log_row(thread_id, row) for row in rows)


def _limit(limit: int | None) -> int:
    return -1 if limit is None else limit
