"""Looking after a SQLite file: what there is, what is damaged."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from typing import Any, Final

from . import sqlite_items
from .contract import Stats
from .operations import PutItem
from .rows import MEASURED
from .sqlite_read import SqliteReads

__all__ = ["SqliteCare"]

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
