"""Looking after a SQLite file: rows as they are stored, what there is, what is damaged."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from typing import Any, Final

from . import sqlite_items
from .contract import Stats
from .operations import PutItem
from .records import Assistant, AssistantVersion, Cron, Kind, LogRow, Post, Row, Run, Thread
from .rows import COLUMNS, MEASURED, to_log_row
from .sqlite_read import SELECT, THREAD, SqliteReads

__all__ = ["SqliteCare"]

_LOG: Final = f"""
    SELECT l.seq, l.kind, l.ns, l.checkpoint_id, l.base_seq, l.data, l.lists,
        CASE WHEN l.run IS NULL THEN l.input ELSE r.input END, 1, r.run_id
    FROM log l LEFT JOIN runs r ON r.id = l.run
    WHERE l.thread = {THREAD} AND l.seq > ?
    ORDER BY l.seq LIMIT ?
"""
_ORPHANS: Final = {
    "runs of a thread that is not there": "runs WHERE thread NOT IN (SELECT id FROM threads)",
    "log records of a thread that is not there": (
        "log WHERE thread NOT IN (SELECT id FROM threads)"
    ),
    "events of a thread that is not there": "events WHERE thread NOT IN (SELECT id FROM threads)",
    "events of a run that is not there": "events WHERE run NOT IN (SELECT id FROM runs)",
    "crons of a thread that is not there": (
        "crons WHERE thread_id IS NOT NULL AND thread_id NOT IN (SELECT thread_id FROM threads)"
    ),
    "versions of an assistant that is not there": (
        "assistant_versions WHERE assistant_id NOT IN (SELECT assistant_id FROM assistants)"
    ),
    "assistants that are a version which is not there": (
        "assistants WHERE (assistant_id, version) NOT IN"
        " (SELECT assistant_id, version FROM assistant_versions)"
    ),
    "vectors of an item that is not there": "item_vectors WHERE item NOT IN (SELECT id FROM items)",
    "texts of an item that is not there": "item_texts WHERE rowid NOT IN (SELECT id FROM items)",
    "log records that take their input from a run that is not there": (
        "log WHERE run IS NOT NULL AND run NOT IN (SELECT id FROM runs)"
    ),
}


class SqliteCare(SqliteReads):
    """The reads of the contract that look after a store."""

    @abstractmethod
    def _holder(self) -> str | None:
        """Who has the lease."""

    def scan_threads(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Thread, "thread_id > ? ORDER BY thread_id", after, limit)

    def scan_runs(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[Row]:
        where = "t.thread_id = ? AND r.seq > ? ORDER BY r.seq"
        return self._scan(Run, where, thread_id, after, limit)

    def scan_log(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[LogRow]:
        return [
            to_log_row(thread_id, row, run_id)
            for *row, run_id in self._fetch(_LOG, (thread_id, after, limit))
        ]

    def scan_assistants(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Assistant, "assistant_id > ? ORDER BY assistant_id", after, limit)

    def scan_assistant_versions(
        self, assistant_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Row]:
        where = "assistant_id = ? AND version > ? ORDER BY version"
        return self._scan(AssistantVersion, where, assistant_id, after, limit)

    def scan_crons(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Cron, "cron_id > ? ORDER BY cron_id", after, limit)

    def scan_posts(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Post, "post_id > ? ORDER BY post_id", after, limit)

    def _scan(self, kind: Kind, where: str, *values: Any) -> list[Row]:
        """Records as they are stored; the last value is the limit."""
        rows = self._fetch(f"{SELECT[kind]} WHERE {where} LIMIT ?", values)
        return [dict(zip(COLUMNS[kind], row, strict=True)) for row in rows]

    def scan_items(self, *, after: int = 0, limit: int = 1000) -> list[tuple[int, PutItem]]:
        with self._reading() as db:
            return sqlite_items.scan(db, after, limit)

    def stats(self) -> Stats:
        with self._reading() as db:
            return _stats(db, self._holder())

    def faults(self) -> list[str]:
        with self._reading() as db:
            found = [row[0] for row in db.execute("PRAGMA integrity_check")]
            if found == ["ok"]:
                found = []
            for what, where in _ORPHANS.items():
                (number,) = db.execute(f"SELECT count(*) FROM {where}").fetchone()
                if number:
                    found.append(f"{number} {what}")
        return found


def _stats(connection: sqlite3.Connection, holder: str | None) -> Stats:
    def by(table: str, column: str) -> dict[str, int]:
        query = f"SELECT {column}, count(*) FROM {table} GROUP BY {column} ORDER BY {column}"
        return dict(connection.execute(query).fetchall())

    def number(query: str) -> int:
        return int(connection.execute(query).fetchone()[0] or 0)

    oldest, newest = connection.execute(
        "SELECT (SELECT min(created_at) FROM threads), (SELECT max(updated_at) FROM threads)"
    ).fetchone()
    return Stats(
        threads=by("threads", "status"),
        runs=by("runs", "status"),
        log=by("log", "kind"),
        events=number("SELECT count(*) FROM events"),
        assistants=number("SELECT count(*) FROM assistants"),
        assistant_versions=number("SELECT count(*) FROM assistant_versions"),
        crons=number("SELECT count(*) FROM crons"),
        posts=number("SELECT count(*) FROM posts"),
        items=number("SELECT count(*) FROM items"),
        bytes={table: number(_size(table, columns)) for table, columns in MEASURED.items()},
        oldest=oldest,
        newest=newest,
        holder=holder,
    )


def _size(table: str, columns: Any) -> str:
    lengths = " + ".join(f"coalesce(length(CAST({column} AS BLOB)), 0)" for column in columns)
    return f"SELECT sum({lengths}) FROM {table}"
