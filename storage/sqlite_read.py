"""The reads of a SQLite file that are its own. Every value is bound; nothing that a client sent
becomes SQL."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Final

from . import sql_read, sqlite_items, sqlite_log
from .contract import FoundItem, LogPage
from .queries import ItemQuery, NamespaceQuery, ThreadQuery
from .records import ItemRow, Thread
from .rows import from_values
from .sql_read import Rows, SqlReads
from .sqlite_filters import metadata_filter, of_status, thread_filter
from .thread_search import ThreadSearch

__all__ = ["RUN", "THREAD", "SqliteReads"]

_NO_LIMIT: Final = -1
THREAD: Final = sql_read.THREAD.format(schema="")
RUN: Final = sql_read.RUN.format(schema="")
_EXPIRES: Final = "ttl ->> '$.expires_at'"  # as in the index


class SqliteReads(SqlReads):
    """The reads of the contract, on connections that `_reading` and `_connected` give."""

    _no_limit: ClassVar[int | None] = _NO_LIMIT
    _folded_name: ClassVar[str] = "casefold(name)"
    _has_name: ClassVar[str] = "instr(casefold(name), ?)"

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection on which everything is of the same moment."""

    @abstractmethod
    def _connected(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection for one statement, which needs no transaction to see one moment."""

    def _ask(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        with self._connected() as db:
            return db.execute(sql.format(schema=""), values).fetchall()

    def _metadata_filter(self, metadata: Mapping[str, Any] | None) -> tuple[list[str], list[Any]]:
        return metadata_filter(metadata)

    def search_threads(self, query: ThreadQuery) -> list[Thread]:
        with self._reading() as db:
            rows = _thread_search(db, query).page()
        return [from_values(Thread, row, self.types) for row in rows]

    def count_threads(self, query: ThreadQuery) -> int:
        with self._reading() as db:
            return _thread_search(db, query).count()

    def expired_threads(self, now: str, *, limit: int, offset: int = 0) -> list[str]:
        query = f"""
            SELECT thread_id FROM threads WHERE {_EXPIRES} <= ?
            ORDER BY {_EXPIRES}, thread_id LIMIT ? OFFSET ?
        """
        return [row[0] for row in self._ask(query, (now, limit, offset))]

    def next_thread_expiry(self) -> str | None:
        query = f"SELECT min({_EXPIRES}) FROM threads WHERE {_EXPIRES} IS NOT NULL"
        ((first,),) = self._ask(query)
        return first  # type: ignore[no-any-return]

    def read_checkpoint(
        self, thread_id: str, ns: str, checkpoint_id: str | None = None, *, following: bool = False
    ) -> LogPage | None:
        with self._reading() as db:
            return sqlite_log.checkpoint_page(db, thread_id, ns, checkpoint_id, following)

    def read_history(
        self, thread_id: str, ns: str, *, before: str | None = None, limit: int | None = 10
    ) -> LogPage:
        with self._reading() as db:
            return sqlite_log.history_page(db, thread_id, ns, before, self._limit(limit))

    def oldest_event(self) -> int | None:
        rows = self._ask("SELECT event_id FROM events ORDER BY id LIMIT 1")
        return rows[0][0] if rows else None

    def get_item(self, namespace: tuple[str, ...], key: str, now: str) -> ItemRow | None:
        with self._reading() as db:
            return sqlite_items.get(db, namespace, key, now)

    def search_items(self, query: ItemQuery) -> list[FoundItem]:
        with self._reading() as db:
            return sqlite_items.search(db, query)

    def list_namespaces(self, query: NamespaceQuery) -> list[tuple[str, ...]]:
        with self._reading() as db:
            return sqlite_items.list_namespaces(db, query)

    def next_expiry(self) -> str | None:
        with self._reading() as db:
            return sqlite_items.next_expiry(db)


def _thread_search(connection: sqlite3.Connection, query: ThreadQuery) -> ThreadSearch:
    def fetch(sql: str, values: Sequence[Any]) -> Rows:
        return connection.execute(sql, values).fetchall()

    where = thread_filter(query)
    return ThreadSearch(query, where, fetch, no_limit=_NO_LIMIT, of_status=of_status)
