"""Pages of the log of a thread as SQL. Every value is bound."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from .codec import encode_json
from .contract import LogPage
from .records import LogRow
from .rows import to_log_row

__all__ = ["checkpoint_page", "history_page"]

_ROW: Final = """
    SELECT seq, kind, ns, checkpoint_id, base_seq, data, lists,
        CASE WHEN run IS NULL THEN input ELSE (SELECT r.input FROM runs r WHERE r.id = run) END, 1
    FROM log
"""
# The unary plus keeps SQLite from indexes on `ns` and `seq`, which find all that a thread has.
_BY_ID: Final = "thread = ? AND checkpoint_id = ? AND kind = 'checkpoint' AND +ns = ?"
_OF_NS: Final = "WHERE thread = ? AND ns = ? AND kind = 'checkpoint'"


def checkpoint_page(
    connection: sqlite3.Connection,
    thread_id: str,
    ns: str,
    checkpoint_id: str | None,
    following: bool,
) -> LogPage | None:
    values: list[Any]
    if checkpoint_id is None:
        chosen, values = f"{_OF_NS} ORDER BY seq DESC LIMIT 1", [ns]
    elif following:
        chosen = f"{_OF_NS} AND seq > (SELECT seq FROM log WHERE {_BY_ID}) ORDER BY seq LIMIT 1"
        values = [ns, _thread(connection, thread_id), checkpoint_id, ns]
    else:
        chosen, values = f"WHERE {_BY_ID}", [checkpoint_id, ns]
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
    chosen = f"{_OF_NS} {older} ORDER BY seq DESC LIMIT ?"
    return _page(connection, thread_id, ns, chosen, [*values, limit])


def _page(
    connection: sqlite3.Connection, thread_id: str, ns: str, chosen: str, values: list[Any]
) -> LogPage:
    thread = _thread(connection, thread_id)
    base, first, last = connection.execute(
        f"SELECT min(base_seq), min(seq), max(seq) FROM (SELECT base_seq, seq FROM log {chosen})",
        [thread, *values],
    ).fetchone()
    if last is None:
        return LogPage((), (), ())
    checkpoints = connection.execute(
        f"{_ROW} WHERE thread = ? AND ns = ? AND kind = 'checkpoint' AND seq BETWEEN ? AND ?"
        " ORDER BY seq",
        (thread, ns, base, last),
    )
    rows = _log_rows(thread_id, checkpoints)
    asked = [row for row in rows if row.seq >= first]
    ids = tuple(row.checkpoint_id for row in reversed(asked))
    writes = connection.execute(
        f"{_ROW} WHERE thread = ? AND checkpoint_id IN (SELECT value FROM json_each(?))"
        " AND kind = 'writes' AND +ns = ? ORDER BY +seq",
        (thread, encode_json(list(ids)).decode(), ns),
    )
    lists = sorted({list_id for row in asked for list_id in row.lists})
    parts = [
        part
        for list_id in lists
        for part in _list_rows(connection, thread_id, thread, ns, list_id, first, last)
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
