"""The reads of PostgreSQL that are its own: searches of threads, pages of the log. Every value is
bound; nothing that a client sent becomes SQL.

Every read is one statement: it sees one moment, costs one round trip and needs no transaction. A
search of threads asks first how best to search; what it finds is of one statement too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from . import sql_read
from .codec import encode_json
from .contract import LogPage
from .postgres_items import PostgresItems
from .queries import ThreadQuery
from .records import Thread
from .rows import all_of, from_values, to_log_row
from .sql_read import Rows, SqlReads
from .thread_search import ThreadSearch

__all__ = ["RUN", "THREAD", "PostgresReads"]

Values = Sequence[Any]

_SCHEMA: Final = "greenroom."


def _native(sql: str) -> str:
    """A statement of `sql_read` as PostgreSQL takes it."""
    return sql.format(schema=_SCHEMA).replace("?", "%s")


THREAD: Final = _native(sql_read.THREAD)
RUN: Final = _native(sql_read.RUN)
_EXPIRES: Final = "(ttl::jsonb ->> 'expires_at') COLLATE \"C\""  # as in the index
_EXPIRE: Final = "ttl::jsonb ->> 'expires_at' IS NOT NULL"
_WANTED: Final = f"""
    SELECT thread, seq, ns, checkpoint_id, base_seq, lists FROM greenroom.log
    WHERE thread = {THREAD} AND ns = %s AND kind = 'checkpoint'
"""
_SEQ_OF: Final = f"(SELECT seq FROM ({_WANTED} AND checkpoint_id = %s) AS one)"
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


class PostgresReads(PostgresItems, SqlReads):
    """The reads of the contract, by statements that `_fetch` carries out."""

    _no_limit: ClassVar[int | None] = None
    _folded_name: ClassVar[str] = "folded_name"
    _has_name: ClassVar[str] = "strpos(folded_name, ?) > 0"

    def _ask(self, sql: str, values: Sequence[Any]) -> Rows:
        return self._fetch(_native(sql), values)

    def _metadata_filter(self, metadata: Mapping[str, Any] | None) -> tuple[list[str], list[Any]]:
        wanted = encode_json(dict(metadata or {}), "metadata").decode()
        return (["metadata::jsonb @> ?::jsonb"], [wanted]) if metadata else ([], [])

    def search_threads(self, query: ThreadQuery) -> list[Thread]:
        rows = self._thread_search(query).page()
        return [from_values(Thread, row, self.types) for row in rows]

    def count_threads(self, query: ThreadQuery) -> int:
        return self._thread_search(query).count()

    def _thread_search(self, query: ThreadQuery) -> ThreadSearch:
        conditions, values = self._metadata_filter(query.metadata)
        if query.ids is not None:
            conditions.append("thread_id = ANY(?)")
            values.append(list(query.ids))
        if query.status is not None:
            conditions.append("status = ?")
            values.append(query.status)
        where = all_of(conditions), values
        return ThreadSearch(query, where, self._ask, schema=_SCHEMA, has_lateral=True)

    def expired_threads(self, now: str, *, limit: int, offset: int = 0) -> list[str]:
        query = f"""
            SELECT thread_id FROM greenroom.threads WHERE {_EXPIRE} AND {_EXPIRES} <= %s
            ORDER BY {_EXPIRES}, thread_id LIMIT %s OFFSET %s
        """
        return [row[0] for row in self._fetch(query, [now, limit, offset])]

    def next_thread_expiry(self) -> str | None:
        return self._first(f"SELECT min({_EXPIRES}) FROM greenroom.threads WHERE {_EXPIRE}")

    def read_checkpoint(
        self, thread_id: str, ns: str, checkpoint_id: str | None = None, *, following: bool = False
    ) -> LogPage | None:
        values = [thread_id, ns]
        if checkpoint_id is None:
            chosen = f"{_WANTED} ORDER BY seq DESC LIMIT 1"
        elif following:
            chosen = f"{_WANTED} AND seq > {_SEQ_OF} ORDER BY seq LIMIT 1"
            values += [thread_id, ns, checkpoint_id]
        else:
            chosen = f"{_WANTED} AND checkpoint_id = %s"
            values.append(checkpoint_id)
        page = self._page(thread_id, chosen, values)
        return page if page.wanted else None

    def read_history(
        self, thread_id: str, ns: str, *, before: str | None = None, limit: int | None = 10
    ) -> LogPage:
        chosen, values = _WANTED, [thread_id, ns]
        if before is not None:
            chosen += f" AND seq < {_SEQ_OF}"
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

    def oldest_event(self) -> int | None:
        ((oldest,),) = self._fetch("SELECT min(event_id) FROM greenroom.events", ())
        return oldest  # type: ignore[no-any-return]
