"""Searches as SQL. Every value is bound; nothing that a client sent becomes SQL."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from . import sqlite_items
from .codec import Types, encode_json
from .queries import AssistantQuery, CronQuery, ThreadQuery
from .records import Assistant, AssistantVersion, Cron, Kind, Post, Run, Thread
from .rows import (
    COLUMNS,
    RUN_COLUMNS,
    Filter,
    all_of,
    contains,
    cron_columns,
    from_values,
    ordered,
)
from .thread_search import ThreadSearch

__all__ = [
    "SELECT",
    "THREAD",
    "count",
    "count_threads",
    "due_crons",
    "expired_threads",
    "get",
    "last_seq",
    "limit_value",
    "next_thread_expiry",
    "prepare",
    "runs_page",
    "search",
    "search_threads",
    "unfinished_runs",
    "versions_page",
]

R = TypeVar("R", Thread, Run, Assistant, AssistantVersion, Cron, Post)

SELECT: Final[Mapping[Kind, str]] = {
    Thread: f"SELECT {', '.join(COLUMNS[Thread])} FROM threads",
    Run: f"SELECT {RUN_COLUMNS} FROM runs r JOIN threads t ON t.id = r.thread",
    Assistant: f"SELECT {', '.join(COLUMNS[Assistant])} FROM assistants",
    AssistantVersion: f"SELECT {', '.join(COLUMNS[AssistantVersion])} FROM assistant_versions",
    Cron: f"SELECT {', '.join(COLUMNS[Cron])} FROM crons",
    Post: f"SELECT {', '.join(COLUMNS[Post])} FROM posts",
}
_SIMPLE_KEY: Final = re.compile(r"[\w-]+", re.ASCII)
THREAD: Final = "(SELECT id FROM threads WHERE thread_id = ?)"
COMPARED: Final = 100  # values by path; SQLite takes only so many conditions
_EXACT: Final = 2**53  # integers up to here compare alike, whatever compares them


def prepare(connection: sqlite3.Connection) -> None:
    """Add to a connection the functions that filters call."""
    connection.create_function("json_contains", 2, _json_contains, deterministic=True)
    connection.create_function("casefold", 1, str.casefold, deterministic=True)
    sqlite_items.prepare(connection)


def get(
    connection: sqlite3.Connection, types: Types, kind: type[R], where: str, *values: Any
) -> R | None:
    """The record that fits."""
    found = _select(connection, types, kind, f"WHERE {where}", *values)
    return found[0] if found else None


def _select(
    connection: sqlite3.Connection, types: Types, kind: type[R], rest: str, *values: Any
) -> list[R]:
    """Records; `rest` is the SQL after the FROM clause."""
    rows = connection.execute(f"{SELECT[kind]} {rest}", values)
    return [from_values(kind, row, types) for row in rows]


def search(
    connection: sqlite3.Connection, types: Types, kind: type[R], query: AssistantQuery | CronQuery
) -> list[R]:
    """A page of the records that fit, in the query's order."""
    clause, values = _filter(query)
    rest = f"{clause} ORDER BY {ordered(kind, query)} LIMIT ? OFFSET ?"
    return _select(connection, types, kind, rest, *values, limit_value(query.limit), query.offset)


def search_threads(
    connection: sqlite3.Connection, types: Types, query: ThreadQuery
) -> list[Thread]:
    return [from_values(Thread, row, types) for row in _thread_search(connection, query).page()]


def count_threads(connection: sqlite3.Connection, query: ThreadQuery) -> int:
    return _thread_search(connection, query).count()


def count(connection: sqlite3.Connection, table: str, query: AssistantQuery | CronQuery) -> int:
    """How many records fit."""
    clause, values = _filter(query)
    number: int = connection.execute(f"SELECT count(*) FROM {table} {clause}", values).fetchone()[0]
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
    return _select(connection, types, Run, rest, *values, limit_value(limit), offset)


def unfinished_runs(
    connection: sqlite3.Connection, types: Types, thread_id: str | None
) -> list[Run]:
    # The statuses are literals, so that SQLite sees that its partial index serves.
    where = "WHERE r.status IN ('pending', 'running')"
    if thread_id is None:
        return _select(connection, types, Run, f"{where} ORDER BY r.thread, r.seq")
    return _select(connection, types, Run, f"{where} AND t.thread_id = ? ORDER BY r.seq", thread_id)


def last_seq(connection: sqlite3.Connection, table: str, thread_id: str) -> int:
    """The highest `seq` of a thread in `runs` or `log`, 0 if it has none."""
    query = f"SELECT max(seq) FROM {table} WHERE thread = {THREAD}"
    (seq,) = connection.execute(query, (thread_id,)).fetchone()
    return seq or 0


def versions_page(
    connection: sqlite3.Connection,
    types: Types,
    assistant_id: str,
    metadata: Mapping[str, Any] | None,
    limit: int | None,
    offset: int,
) -> list[AssistantVersion]:
    conditions, values = _metadata_filter(metadata)
    clause = all_of(["assistant_id = ?", *conditions])
    rest = f"{clause} ORDER BY version DESC LIMIT ? OFFSET ?"
    values = [assistant_id, *values, limit_value(limit), offset]
    return _select(connection, types, AssistantVersion, rest, *values)


def due_crons(connection: sqlite3.Connection, types: Types, now: str, limit: int) -> list[Cron]:
    # `enabled` as in the index.
    rest = "WHERE enabled = 1 AND next_run_date <= ? ORDER BY next_run_date, cron_id LIMIT ?"
    return _select(connection, types, Cron, rest, now, limit)


def _filter(query: AssistantQuery | CronQuery) -> Filter:
    match query:
        case AssistantQuery():
            return _assistant_filter(query)
        case CronQuery():
            return _cron_filter(query)


def _thread_search(connection: sqlite3.Connection, query: ThreadQuery) -> ThreadSearch:
    def fetch(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()

    return ThreadSearch(query, _thread_filter(query), fetch, no_limit=limit_value(None))


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


def _cron_filter(query: CronQuery) -> Filter:
    conditions, values = _metadata_filter(query.metadata)
    columns = cron_columns(query)
    conditions += [f"{column} = ?" for column in columns]
    return all_of(conditions), [*values, *columns.values()]


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


def limit_value(limit: int | None) -> int:
    """What LIMIT takes."""
    return -1 if limit is None else limit
