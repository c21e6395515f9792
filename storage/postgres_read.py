"""Searches and log pages in PostgreSQL. Every value is bound; nothing that a client sent becomes
SQL.

Every read is one statement: it sees one moment, costs one round trip and needs no transaction. A
search of threads asks first how best to search; what it finds is of one statement too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from .codec import encode_json
from .contract import LogPage
from .postgres_items import PostgresItems
from .queries import AssistantQuery, CronQuery, ThreadQuery
from .records import (
    Assistant,
    AssistantVersion,
    Cron,
    Event,
    Kind,
    LogRow,
    Post,
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
from .thread_search import ThreadSearch

__all__ = ["SELECT", "THREAD", "PostgresReads"]

R = TypeVar("R", Thread, Run, Assistant, AssistantVersion, Cron, Post)
Values = Sequence[Any]

SELECT: Final[Mapping[Kind, str]] = {
    Thread: f"SELECT {', '.join(COLUMNS[Thread])} FROM greenroom.threads",
    Run: f"SELECT {RUN_COLUMNS} FROM greenroom.runs r JOIN greenroom.threads t ON t.id = r.thread",
    Assistant: f"SELECT {', '.join(COLUMNS[Assistant])} FROM greenroom.assistants",
    AssistantVersion: (
        f"SELECT {', '.join(COLUMNS[AssistantVersion])} FROM greenroom.assistant_versions"
    ),
    Cron: f"SELECT {', '.join(COLUMNS[Cron])} FROM greenroom.crons",
    Post: f"SELECT {', '.join(COLUMNS[Post])} FROM greenroom.posts",
}
_EXPIRES: Final = "(ttl::jsonb ->> 'expires_at') COLLATE \"C\""  # as in the index
_EXPIRE: Final = "ttl::jsonb ->> 'expires_at' IS NOT NULL"
THREAD: Final = "(SELECT id FROM greenroom.threads WHERE thread_id = %s)"
_EVENTS: Final = """
    SELECT t.thread_id, r.run_id, e.event_id, e.name, e.data
    FROM greenroom.events e
    JOIN greenroom.runs r ON r.id = e.run
    JOIN greenroom.threads t ON t.id = e.thread
"""
_WANTED: Final = f"""
    SELECT thread, seq, ns, checkpoint_id, base_seq, lists FROM greenroom.log
    WHERE thread = {THREAD} AND ns = %s AND kind = 'checkpoint'
"""
_WHOLE_LOG: Final = f"""
    SELECT l.seq, l.kind, l.ns, l.checkpoint_id, l.base_seq, l.data, l.lists,
        CASE WHEN l.run IS NULL THEN l.input
        ELSE (SELECT r.input FROM greenroom.runs r WHERE r.id = l.run) END,
        1
    FROM greenroom.log l WHERE l.thread = {THREAD} ORDER BY l.seq
"""
_PAGE: Final = """
    WITH wanted AS ({}),
    ends AS (
        SELECT thread, ns, min(base_seq) AS base, min(seq) AS first, max(seq) AS last
        FROM wanted GROUP BY 1, 2
    ),
    named AS (
        SELECT DISTINCT thread, jsonb_array_elements_text(lists::jsonb)::bigint AS list FROM wanted
    ),
    shared AS (
        SELECT n.thread, n.list, e.ns, e.last, coalesce((
            SELECT min(l.seq) FROM greenroom.log l
            WHERE l.thread = n.thread AND l.base_seq = n.list AND l.kind = 'splice'
            AND l.seq < e.first
        ), e.first) AS until
        FROM named n CROSS JOIN ends e
    )
    SELECT l.seq, l.kind, l.ns, l.checkpoint_id, l.base_seq, l.data, l.lists,
        CASE WHEN l.run IS NULL THEN l.input
        ELSE (SELECT r.input FROM greenroom.runs r WHERE r.id = l.run) END,
        1, l.seq IN (SELECT seq FROM wanted)
    FROM greenroom.log l JOIN ends e ON l.thread = e.thread AND l.ns = e.ns
    WHERE l.kind = 'checkpoint' AND l.seq BETWEEN e.base AND e.last
    UNION ALL
    SELECT l.seq, l.kind, l.ns, l.checkpoint_id, l.base_seq, l.data, NULL, NULL, 1, false
    FROM greenroom.log l JOIN wanted w
    ON l.thread = w.thread AND l.ns = w.ns AND l.checkpoint_id = w.checkpoint_id
    WHERE l.kind = 'writes'
    UNION ALL
    SELECT s.list, 'array', s.ns, '', s.list, '['::bytea || j.data || ']'::bytea,
        NULL, NULL, j.count, false
    FROM shared s CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE l.kind = 'list') AS count,
            string_agg(l.data, ',' ORDER BY l.seq) AS data
        FROM greenroom.log l
        WHERE l.thread = s.thread AND l.base_seq = s.list AND l.kind IN ('list', 'pack')
        AND l.seq < s.until
    ) j
    WHERE j.data IS NOT NULL
    UNION ALL
    SELECT l.seq, l.kind, l.ns, l.checkpoint_id, l.base_seq, l.data, NULL, NULL, 1, false
    FROM shared s JOIN greenroom.log l ON l.thread = s.thread AND l.base_seq = s.list
    WHERE l.kind IN ('list', 'pack', 'splice') AND l.seq >= s.until AND l.seq < s.last
    ORDER BY seq
"""


class PostgresReads(PostgresItems):
    """The reads of the contract, by statements that `_fetch` carries out."""

    def _select(self, kind: type[R], rest: str, *values: Any) -> list[R]:
        """Records; `rest` is the SQL after the FROM clause."""
        rows = self._fetch(f"{SELECT[kind]} {rest}", values)
        return [from_values(kind, row, self.types) for row in rows]

    def _one(self, kind: type[R], rest: str, *values: Any) -> R | None:
        found = self._select(kind, rest, *values)
        return found[0] if found else None

    def _number(self, query: str, values: Values) -> int:
        ((number,),) = self._fetch(query, values)
        return number or 0

    def _search(self, kind: type[R], where: Filter, query: AssistantQuery | CronQuery) -> list[R]:
        clause, values = where
        rest = f"{clause} ORDER BY {ordered(kind, query)} LIMIT %s OFFSET %s"
        return self._select(kind, rest, *values, query.limit, query.offset)

    def _count(self, table: str, where: Filter) -> int:
        clause, values = where
        return self._number(f"SELECT count(*) FROM greenroom.{table} {clause}", values)

    def get_thread(self, thread_id: str) -> Thread | None:
        return self._one(Thread, "WHERE thread_id = %s", thread_id)

    def search_threads(self, query: ThreadQuery) -> list[Thread]:
        rows = self._thread_search(query).page()
        return [from_values(Thread, row, self.types) for row in rows]

    def count_threads(self, query: ThreadQuery) -> int:
        return self._thread_search(query).count()

    def _thread_search(self, query: ThreadQuery) -> ThreadSearch:
        def fetch(sql: str, values: Values) -> list[tuple[Any, ...]]:
            return self._fetch(sql.replace("?", "%s"), values)

        where = _thread_filter(query)
        return ThreadSearch(query, where, fetch, schema="greenroom.", has_lateral=True)

    def expired_threads(self, now: str, *, limit: int, offset: int = 0) -> list[str]:
        query = f"""
            SELECT thread_id FROM greenroom.threads WHERE {_EXPIRE} AND {_EXPIRES} <= %s
            ORDER BY {_EXPIRES}, thread_id LIMIT %s OFFSET %s
        """
        return [row[0] for row in self._fetch(query, [now, limit, offset])]

    def next_thread_expiry(self) -> str | None:
        return self._first(f"SELECT min({_EXPIRES}) FROM greenroom.threads WHERE {_EXPIRE}")

    def get_run(self, thread_id: str, run_id: str) -> Run | None:
        return self._one(Run, "WHERE t.thread_id = %s AND r.run_id = %s", thread_id, run_id)

    def list_runs(
        self,
        thread_id: str,
        *,
        status: RunStatus | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[Run]:
        where, values = "WHERE t.thread_id = %s", [thread_id]
        if status is not None:
            where += " AND r.status = %s"
            values.append(status)
        rest = f"{where} ORDER BY r.seq DESC LIMIT %s OFFSET %s"
        return self._select(Run, rest, *values, limit, offset)

    def unfinished_runs(self, thread_id: str | None = None) -> list[Run]:
        # The statuses are literals, so that the planner sees that its partial index serves.
        where = "WHERE r.status IN ('pending', 'running')"
        if thread_id is None:
            return self._select(Run, f"{where} ORDER BY r.thread, r.seq")
        return self._select(Run, f"{where} AND t.thread_id = %s ORDER BY r.seq", thread_id)

    def last_run_seq(self, thread_id: str) -> int:
        query = f"SELECT max(seq) FROM greenroom.runs WHERE thread = {THREAD}"
        return self._number(query, [thread_id])

    def get_assistant(self, assistant_id: str) -> Assistant | None:
        return self._one(Assistant, "WHERE assistant_id = %s", assistant_id)

    def search_assistants(self, query: AssistantQuery) -> list[Assistant]:
        return self._search(Assistant, _assistant_filter(query), query)

    def count_assistants(self, query: AssistantQuery) -> int:
        return self._count("assistants", _assistant_filter(query))

    def get_assistant_version(self, assistant_id: str, version: int) -> AssistantVersion | None:
        where = "WHERE assistant_id = %s AND version = %s"
        return self._one(AssistantVersion, where, assistant_id, version)

    def list_assistant_versions(
        self,
        assistant_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        limit: int | None = 10,
        offset: int = 0,
    ) -> list[AssistantVersion]:
        conditions, values = _metadata_filter(metadata)
        clause = all_of(["assistant_id = %s", *conditions])
        rest = f"{clause} ORDER BY version DESC LIMIT %s OFFSET %s"
        return self._select(AssistantVersion, rest, assistant_id, *values, limit, offset)

    def get_post(self, post_id: str) -> Post | None:
        return self._one(Post, "WHERE post_id = %s", post_id)

    def get_cron(self, cron_id: str) -> Cron | None:
        return self._one(Cron, "WHERE cron_id = %s", cron_id)

    def search_crons(self, query: CronQuery) -> list[Cron]:
        return self._search(Cron, _cron_filter(query), query)

    def count_crons(self, query: CronQuery) -> int:
        return self._count("crons", _cron_filter(query))

    def due_crons(self, now: str, *, limit: int) -> list[Cron]:
        # `enabled` as in the index.
        rest = "WHERE enabled = 1 AND next_run_date <= %s ORDER BY next_run_date, cron_id LIMIT %s"
        return self._select(Cron, rest, now, limit)

    def last_log_seq(self, thread_id: str) -> int:
        query = f"SELECT max(seq) FROM greenroom.log WHERE thread = {THREAD}"
        return self._number(query, [thread_id])

    def read_checkpoint(
        self, thread_id: str, ns: str, checkpoint_id: str | None = None
    ) -> LogPage | None:
        if checkpoint_id is None:
            chosen = f"{_WANTED} ORDER BY seq DESC LIMIT 1"
            page = self._page(thread_id, chosen, [thread_id, ns])
        else:
            chosen = f"{_WANTED} AND checkpoint_id = %s"
            page = self._page(thread_id, chosen, [thread_id, ns, checkpoint_id])
        return page if page.wanted else None

    def read_history(
        self, thread_id: str, ns: str, *, before: str | None = None, limit: int | None = 10
    ) -> LogPage:
        chosen, values = _WANTED, [thread_id, ns]
        if before is not None:
            chosen += f"AND seq < (SELECT seq FROM ({_WANTED} AND checkpoint_id = %s) AS earlier)"
            values += [thread_id, ns, before]
        return self._page(thread_id, f"{chosen} ORDER BY seq DESC LIMIT %s", [*values, limit])

    def _page(self, thread_id: str, chosen: str, values: Values) -> LogPage:
        rows = self._fetch(_PAGE.format(chosen), values)
        found = [(to_log_row(thread_id, row[:-1]), row[-1]) for row in rows]
        return LogPage(
            tuple(row.checkpoint_id for row, wanted in reversed(found) if wanted),
            tuple(row for row, _ in found if row.kind == "checkpoint"),
            tuple(row for row, _ in found if row.kind == "writes"),
            tuple(row for row, _ in found if row.kind not in ("checkpoint", "writes")),
        )

    def read_log(self, thread_id: str) -> list[LogRow]:
        rows = self._fetch(_WHOLE_LOG, [thread_id])
        return [to_log_row(thread_id, row) for row in rows]

    def read_events(
        self, thread_id: str, run_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        return self._events("t.thread_id = %s AND r.run_id = %s", [thread_id, run_id], after, limit)

    def read_thread_events(
        self, thread_id: str, *, after: int = 0, limit: int = 1000
    ) -> list[Event]:
        return self._events("t.thread_id = %s", [thread_id], after, limit)

    def oldest_event(self) -> int | None:
        ((oldest,),) = self._fetch("SELECT min(event_id) FROM greenroom.events", ())
        return oldest  # type: ignore[no-any-return]

    def _events(self, where: str, values: Values, after: int, limit: int) -> list[Event]:
        query = f"{_EVENTS} WHERE {where} AND e.event_id > %s ORDER BY e.event_id LIMIT %s"
        return [to_event(row) for row in self._fetch(query, [*values, after, limit])]


def _thread_filter(query: ThreadQuery) -> Filter:
    conditions, values = _metadata_filter(query.metadata)
    if query.ids is not None:
        conditions.append("thread_id = ANY(%s)")
        values.append(list(query.ids))
    if query.status is not None:
        conditions.append("status = %s")
        values.append(query.status)
    return all_of(conditions), values


def _assistant_filter(query: AssistantQuery) -> Filter:
    conditions, values = _metadata_filter(query.metadata)
    if query.graph_id is not None:
        conditions.append("graph_id = %s")
        values.append(query.graph_id)
    if query.name is not None:
        conditions.append("strpos(folded_name, %s) > 0")
        values.append(query.name.casefold())
    return all_of(conditions), values


def _cron_filter(query: CronQuery) -> Filter:
    conditions, values = _metadata_filter(query.metadata)
    columns = cron_columns(query)
    conditions += [f"{column} = %s" for column in columns]
    return all_of(conditions), [*values, *columns.values()]


def _metadata_filter(metadata: Mapping[str, Any] | None) -> tuple[list[str], list[Any]]:
    wanted = encode_json(dict(metadata or {}), "metadata").decode()
    return (["metadata::jsonb @> %s::jsonb"], [wanted]) if metadata else ([], [])
