"""The reads that are the same SQL in both databases: records, pages of them, and the scans.

In SQL of this module `{schema}` stands before the names of tables and `?` for a value. Every value
is bound; nothing that a client sent becomes SQL.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

from .contract import Storage
from .queries import AssistantQuery, CronQuery
from .records import (
    Assistant,
    AssistantVersion,
    Cron,
    Event,
    Kind,
    LogRow,
    Post,
    Row,
    Run,
    RunStatus,
    Thread,
)
from .rows import (
    COLUMNS,
    RUN_COLUMNS,
    Filter,
    all_of,
    cron_columns,
    from_values,
    ordered,
    to_event,
    to_log_row,
)

__all__ = ["RUN", "TABLES", "THREAD", "Rows", "SqlReads"]

R = TypeVar("R", Thread, Run, Assistant, AssistantVersion, Cron, Post)
Rows = list[tuple[Any, ...]]

TABLES: Final[Mapping[Kind, str]] = {
    Thread: "threads",
    Run: "runs",
    Assistant: "assistants",
    AssistantVersion: "assistant_versions",
    Cron: "crons",
    Post: "posts",
}
_SELECT: Final[Mapping[Kind, str]] = {
    **{k: f"SELECT {', '.join(COLUMNS[k])} FROM {{schema}}{TABLES[k]}" for k in TABLES},
    Run: f"SELECT {RUN_COLUMNS} FROM {{schema}}runs r JOIN {{schema}}threads t ON t.id = r.thread",
}
THREAD: Final = "(SELECT id FROM {schema}threads WHERE thread_id = ?)"
RUN: Final = f"(SELECT id FROM {{schema}}runs WHERE thread = {THREAD} AND run_id = ?)"
_EVENTS: Final = """
    SELECT t.thread_id, r.run_id, e.event_id, e.name, e.data
    FROM {schema}events e
    JOIN {schema}runs r ON r.id = e.run
    JOIN {schema}threads t ON t.id = e.thread
"""
_LOG: Final = f"""
    SELECT l.seq, l.kind, l.ns, l.checkpoint_id, l.base_seq, l.data, l.lists,
        CASE WHEN l.run IS NULL THEN l.input ELSE r.input END, 1, r.run_id
    FROM {{schema}}log l LEFT JOIN {{schema}}runs r ON r.id = l.run
    WHERE l.thread = {THREAD} AND l.seq > ? ORDER BY l.seq
"""


class SqlReads(Storage):
    """Reads of the contract, by statements that `_ask` carries out.

    `_no_limit`: what LIMIT takes for none. `_folded_name`: the name of an assistant, folded.
    `_has_name`: the condition that this contains a text, which is folded too.
    """

    _no_limit: ClassVar[int | None]
    _folded_name: ClassVar[str]
    _has_name: ClassVar[str]

    @abstractmethod
    def _ask(self, sql: str, values: Sequence[Any]) -> Rows:
        """The rows of one statement, written as those of this module are."""

    @abstractmethod
    def _metadata_filter(self, metadata: Mapping[str, Any] | None) -> tuple[list[str], list[Any]]:
        """The conditions that metadata contains this, and their values."""

    def _limit(self, limit: int | None) -> int | None:
        return self._no_limit if limit is None else limit

    def _select(self, kind: type[R], rest: str, *values: Any) -> list[R]:
        """Records; `rest` is the SQL after the FROM clause."""
        rows = self._ask(f"{_SELECT[kind]} {rest}", values)
        return [from_values(kind, row, self.types) for row in rows]

    def _one(self, kind: type[R], rest: str, *values: Any) -> R | None:
        found = self._select(kind, rest, *values)
        return found[0] if found else None

    def _number(self, sql: str, *values: Any) -> int:
        ((number,),) = self._ask(sql, values)
        return number or 0

    def _search(self, kind: type[R], where: Filter, query: AssistantQuery | CronQuery) -> list[R]:
        clause, values = where
        before = [self._folded_name] if query.sort_by == "name" else []
        rest = f"{clause} ORDER BY {ordered(kind, query, *before)} LIMIT ? OFFSET ?"
        return self._select(kind, rest, *values, self._limit(query.limit), query.offset)

    def _count(self, kind: Kind, where: Filter) -> int:
        clause, values = where
        return self._number(f"SELECT count(*) FROM {{schema}}{TABLES[kind]} {clause}", *values)

    def _scan(self, kind: Kind, where: str, *values: Any) -> list[Row]:
        """Records as they are stored; the last value is the limit."""
        rows = self._ask(f"{_SELECT[kind]} WHERE {where} LIMIT ?", values)
        return [dict(zip(COLUMNS[kind], row, strict=True)) for row in rows]

    # Threads and runs.

    def get_thread(self, thread_id: str) -> Thread | None:
        return self._one(Thread, "WHERE thread_id = ?", thread_id)

    def scan_threads(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Thread, "thread_id > ? ORDER BY thread_id", after, limit)

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
        return self._select(Run, rest, *values, self._limit(limit), offset)

    def unfinished_runs(self, thread_id: str | None = None) -> list[Run]:
        # The statuses are literals, so that the database sees that its partial index serves.
        where = "WHERE r.status IN ('pending', 'running')"
        if thread_id is None:
            return self._select(Run, f"{where} ORDER BY r.thread, r.seq")
        return self._select(Run, f"{where} AND t.thread_id = ? ORDER BY r.seq", thread_id)

    def last_run_seq(self, thread_id: str) -> int:
        sql = f"SELECT max(seq) FROM {{schema}}runs WHERE thread = {THREAD}"
        return self._number(sql, thread_id)

    def scan_runs(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[Row]:
        where = f"r.thread = {THREAD} AND r.seq > ? ORDER BY r.seq"
        return self._scan(Run, where, thread_id, after, limit)

    # Their logs and events.

    def last_log_seq(self, thread_id: str) -> int:
        sql = f"SELECT max(seq) FROM {{schema}}log WHERE thread = {THREAD}"
        return self._number(sql, thread_id)

    def read_log(self, thread_id: str) -> list[LogRow]:
        rows = self._ask(_LOG, (thread_id, 0))
        return [to_log_row(thread_id, row) for *row, _ in rows]

    def scan_log(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[LogRow]:
        rows = self._ask(f"{_LOG} LIMIT ?", (thread_id, after, limit))
        return [to_log_row(thread_id, row, run_id) for *row, run_id in rows]

    def read_events(
        self, thread_id: str, run_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        # Not by a join, for which SQLite goes through the events of all runs of the thread.
        return self._events(f"e.run = {RUN}", thread_id, run_id, after, limit)

    def read_thread_events(
        self, thread_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        return self._events("t.thread_id = ?", thread_id, after, limit)

    def _events(self, where: str, *values: Any) -> list[Event]:
        sql = f"{_EVENTS} WHERE {where} AND e.event_id > ? ORDER BY e.event_id LIMIT ?"
        return [to_event(row) for row in self._ask(sql, values)]

    # Assistants.

    def get_assistant(self, assistant_id: str) -> Assistant | None:
        return self._one(Assistant, "WHERE assistant_id = ?", assistant_id)

    def search_assistants(self, query: AssistantQuery) -> list[Assistant]:
        return self._search(Assistant, self._assistant_filter(query), query)

    def count_assistants(self, query: AssistantQuery) -> int:
        return self._count(Assistant, self._assistant_filter(query))

    def _assistant_filter(self, query: AssistantQuery) -> Filter:
        conditions, values = self._metadata_filter(query.metadata)
        if query.graph_id is not None:
            conditions.append("graph_id = ?")
            values.append(query.graph_id)
        if query.name is not None:
            conditions.append(self._has_name)
            values.append(query.name.casefold())
        return all_of(conditions), values

    def scan_assistants(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Assistant, "assistant_id > ? ORDER BY assistant_id", after, limit)

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
        conditions, values = self._metadata_filter(metadata)
        clause = all_of(["assistant_id = ?", *conditions])
        rest = f"{clause} ORDER BY version DESC LIMIT ? OFFSET ?"
        values = [assistant_id, *values, self._limit(limit), offset]
        return self._select(AssistantVersion, rest, *values)

    def scan_assistant_versions(
        self, assistant_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Row]:
        where = "assistant_id = ? AND version > ? ORDER BY version"
        return self._scan(AssistantVersion, where, assistant_id, after, limit)

    # Crons and posts.

    def get_cron(self, cron_id: str) -> Cron | None:
        return self._one(Cron, "WHERE cron_id = ?", cron_id)

    def search_crons(self, query: CronQuery) -> list[Cron]:
        return self._search(Cron, self._cron_filter(query), query)

    def count_crons(self, query: CronQuery) -> int:
        return self._count(Cron, self._cron_filter(query))

    def _cron_filter(self, query: CronQuery) -> Filter:
        conditions, values = self._metadata_filter(query.metadata)
        columns = cron_columns(query)
        conditions += [f"{column} = ?" for column in columns]
        return all_of(conditions), [*values, *columns.values()]

    def due_crons(self, now: str, *, limit: int) -> list[Cron]:
        # `enabled` as in the index.
        rest = "WHERE enabled = 1 AND next_run_date <= ? ORDER BY next_run_date, cron_id LIMIT ?"
        return self._select(Cron, rest, now, limit)

    def scan_crons(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Cron, "cron_id > ? ORDER BY cron_id", after, limit)

    def get_post(self, post_id: str) -> Post | None:
        return self._one(Post, "WHERE post_id = ?", post_id)

    def scan_posts(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Post, "post_id > ? ORDER BY post_id", after, limit)
