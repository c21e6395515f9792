"""The reads of a SQLite file. Every value is bound; nothing that a client sent becomes SQL."""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from . import sqlite_items, sqlite_log
from .contract import FoundItem, LogPage, Storage
from .queries import AssistantQuery, CronQuery, ItemQuery, NamespaceQuery, ThreadQuery
from .records import (
    Assistant,
    AssistantVersion,
    Cron,
    Event,
    ItemRow,
    Kind,
    LogRow,
    Post,
    Run,
    RunStatus,
    Thread,
)
from .rows import COLUMNS, RUN_COLUMNS, Filter, all_of, from_values, ordered
from .sqlite_filters import (
    assistant_filter,
    cron_filter,
    limit_value,
    metadata_filter,
    thread_filter,
)
from .thread_search import ThreadSearch

__all__ = ["SELECT", "THREAD", "SqliteReads"]

R = TypeVar("R", Thread, Run, Assistant, AssistantVersion, Cron, Post)

SELECT: Final[Mapping[Kind, str]] = {
    Thread: f"SELECT {', '.join(COLUMNS[Thread])} FROM threads",
    Run: f"SELECT {RUN_COLUMNS} FROM runs r JOIN threads t ON t.id = r.thread",
    Assistant: f"SELECT {', '.join(COLUMNS[Assistant])} FROM assistants",
    AssistantVersion: f"SELECT {', '.join(COLUMNS[AssistantVersion])} FROM assistant_versions",
    Cron: f"SELECT {', '.join(COLUMNS[Cron])} FROM crons",
    Post: f"SELECT {', '.join(COLUMNS[Post])} FROM posts",
}
THREAD: Final = "(SELECT id FROM threads WHERE thread_id = ?)"
_EXPIRES: Final = "ttl ->> '$.expires_at'"  # as in the index


class SqliteReads(Storage):
    """The reads of the contract, on connections that `_reading` gives."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """A connection on which everything is of the same moment."""

    def _fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        with self._reading() as db:
            return db.execute(query, values).fetchall()

    def _select(self, kind: type[R], rest: str, *values: Any) -> list[R]:
        """Records; `rest` is the SQL after the FROM clause."""
        rows = self._fetch(f"{SELECT[kind]} {rest}", values)
        return [from_values(kind, row, self.types) for row in rows]

    def _one(self, kind: type[R], rest: str, *values: Any) -> R | None:
        found = self._select(kind, rest, *values)
        return found[0] if found else None

    def _number(self, query: str, values: Sequence[Any]) -> int:
        ((number,),) = self._fetch(query, values)
        return number or 0

    def _search(self, kind: type[R], where: Filter, query: AssistantQuery | CronQuery) -> list[R]:
        clause, values = where
        rest = f"{clause} ORDER BY {ordered(kind, query)} LIMIT ? OFFSET ?"
        return self._select(kind, rest, *values, limit_value(query.limit), query.offset)

    def _count(self, table: str, where: Filter) -> int:
        clause, values = where
        return self._number(f"SELECT count(*) FROM {table} {clause}", values)

    def get_thread(self, thread_id: str) -> Thread | None:
        return self._one(Thread, "WHERE thread_id = ?", thread_id)

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
        return [row[0] for row in self._fetch(query, (now, limit, offset))]

    def next_thread_expiry(self) -> str | None:
        query = f"SELECT min({_EXPIRES}) FROM threads WHERE {_EXPIRES} IS NOT NULL"
        ((first,),) = self._fetch(query)
        return first  # type: ignore[no-any-return]

    def get_run(self, thread_id: str, run_id: str) -> Run | None:
        return self._one(Run, "WHERE t.thread_id = ? AND r.run_id = ?", thread_id, run_id)

    def list_runs(
        self,
        thread_id: str,
        *,
        status: RunStatus | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[Run]:
        where, values = "WHERE t.thread_id = ?", [thread_id]
        if status is not None:
            where += " AND r.status = ?"
            values.append(status)
        rest = f"{where} ORDER BY r.seq DESC LIMIT ? OFFSET ?"
        return self._select(Run, rest, *values, limit_value(limit), offset)

    def unfinished_runs(self, thread_id: str | None = None) -> list[Run]:
        # The statuses are literals, so that SQLite sees that its partial index serves.
        where = "WHERE r.status IN ('pending', 'running')"
        if thread_id is None:
            return self._select(Run, f"{where} ORDER BY r.thread, r.seq")
        return self._select(Run, f"{where} AND t.thread_id = ? ORDER BY r.seq", thread_id)

    def last_run_seq(self, thread_id: str) -> int:
        return self._number(f"SELECT max(seq) FROM runs WHERE thread = {THREAD}", [thread_id])

    def get_assistant(self, assistant_id: str) -> Assistant | None:
        return self._one(Assistant, "WHERE assistant_id = ?", assistant_id)

    def search_assistants(self, query: AssistantQuery) -> list[Assistant]:
        return self._search(Assistant, assistant_filter(query), query)

    def count_assistants(self, query: AssistantQuery) -> int:
        return self._count("assistants", assistant_filter(query))

    def get_assistant_version(self, assistant_id: str, version: int) -> AssistantVersion | None:
        where = "WHERE assistant_id = ? AND version = ?"
        return self._one(AssistantVersion, where, assistant_id, version)

    def list_assistant_versions(
        self,
        assistant_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[AssistantVersion]:
        conditions, values = metadata_filter(metadata)
        clause = all_of(["assistant_id = ?", *conditions])
        rest = f"{clause} ORDER BY version DESC LIMIT ? OFFSET ?"
        values = [assistant_id, *values, limit_value(limit), offset]
        return self._select(AssistantVersion, rest, *values)

    def get_cron(self, cron_id: str) -> Cron | None:
        return self._one(Cron, "WHERE cron_id = ?", cron_id)

    def search_crons(self, query: CronQuery) -> list[Cron]:
        return self._search(Cron, cron_filter(query), query)

    def count_crons(self, query: CronQuery) -> int:
        return self._count("crons", cron_filter(query))

    def due_crons(self, now: str, *, limit: int) -> list[Cron]:
        # `enabled` as in the index.
        rest = "WHERE enabled = 1 AND next_run_date <= ? ORDER BY next_run_date, cron_id LIMIT ?"
        return self._select(Cron, rest, now, limit)

    def get_post(self, post_id: str) -> Post | None:
        return self._one(Post, "WHERE post_id = ?", post_id)

    def last_log_seq(self, thread_id: str) -> int:
        return self._number(f"SELECT max(seq) FROM log WHERE thread = {THREAD}", [thread_id])

    def read_checkpoint(
        self, thread_id: str, ns: str, checkpoint_id: str | None = None
    ) -> LogPage | None:
        with self._reading() as db:
            return sqlite_log.checkpoint_page(db, thread_id, ns, checkpoint_id)

    def read_history(
        self, thread_id: str, ns: str, *, before: str | None = None, limit: int | None = 10
    ) -> LogPage:
        with self._reading() as db:
            return sqlite_log.history_page(db, thread_id, ns, before, limit)

    def read_log(self, thread_id: str) -> list[LogRow]:
        with self._reading() as db:
            return sqlite_log.whole_log(db, thread_id)

    def read_events(
        self, thread_id: str, run_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        with self._reading() as db:
            return sqlite_log.run_events(db, thread_id, run_id, after, limit)

    def read_thread_events(
        self, thread_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        with self._reading() as db:
            return sqlite_log.thread_events(db, thread_id, after, limit)

    def oldest_event(self) -> int | None:
        with self._reading() as db:
            return sqlite_log.oldest_event(db)

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
    def fetch(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()

    return ThreadSearch(query, thread_filter(query), fetch, no_limit=limit_value(None))
