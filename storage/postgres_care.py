"""Looking after a PostgreSQL database: rows as they are stored, what there is, what is damaged."""

from __future__ import annotations

from typing import Any, Final

from .contract import Stats
from .postgres_read import SELECT, THREAD, PostgresReads
from .records import Assistant, LogRow, Row, Run, Thread
from .rows import COLUMNS, MEASURED, to_log_row

__all__ = ["VACUUM", "PostgresCare"]

_LOG: Final = f"""
    SELECT l.seq, l.kind, l.ns, l.checkpoint_id, l.base_seq, l.data, l.lists,
        CASE WHEN l.run IS NULL THEN l.input ELSE r.input END, 1, r.run_id
    FROM greenroom.log l LEFT JOIN greenroom.runs r ON r.id = l.run
    WHERE l.thread = {THREAD} AND l.seq > %s
    ORDER BY l.seq LIMIT %s
"""
VACUUM: Final = f"VACUUM {', '.join(f'greenroom.{one}' for one in (*MEASURED, 'thread_facts'))}"


def _by(table: str, column: str) -> str:
    groups = f"SELECT {column} AS one, count(*) AS number FROM greenroom.{table} GROUP BY {column}"
    return f"(SELECT coalesce(jsonb_object_agg(one, number), '{{}}') FROM ({groups}) AS groups)"


def _count(table: str) -> str:
    return f"(SELECT count(*) FROM greenroom.{table})"


def _size(table: str) -> str:
    lengths = " + ".join(
        f"coalesce(octet_length({column if column == 'data' else f'{column}::text'}), 0)"
        for column in MEASURED[table]
    )
    return f"(SELECT coalesce(sum({lengths}), 0)::bigint FROM greenroom.{table})"


_STATS: Final = f"""
    SELECT {_by("threads", "status")}, {_by("runs", "status")}, {_by("log", "kind")},
        {_count("events")}, {_count("assistants")}, {_count("items")},
        (SELECT min(created_at) FROM greenroom.threads),
        (SELECT max(updated_at) FROM greenroom.threads),
        (SELECT owner FROM greenroom.lease WHERE ends_at > clock_timestamp()),
        {", ".join(map(_size, MEASURED))}
"""


def _orphans(table: str, column: str, of: str) -> str:
    return (
        f"greenroom.{table} o WHERE o.{column} IS NOT NULL"
        f" AND NOT EXISTS (SELECT 1 FROM greenroom.{of} p WHERE p.id = o.{column})"
    )


_ORPHANS: Final = {
    "runs of a thread that is not there": _orphans("runs", "thread", "threads"),
    "log records of a thread that is not there": _orphans("log", "thread", "threads"),
    "events of a thread that is not there": _orphans("events", "thread", "threads"),
    "events of a run that is not there": _orphans("events", "run", "runs"),
    "log records that take their input from a run that is not there": (
        _orphans("log", "run", "runs")
    ),
}
_FAULTS: Final = f"SELECT {', '.join(f'(SELECT count(*) FROM {one})' for one in _ORPHANS.values())}"


class PostgresCare(PostgresReads):
    """The reads of the contract that look after a store."""

    def scan_threads(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Thread, "thread_id > %s ORDER BY thread_id", after, limit)

    def scan_runs(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[Row]:
        where = f"r.thread = {THREAD} AND r.seq > %s ORDER BY r.seq"
        return self._scan(Run, where, thread_id, after, limit)

    def scan_log(self, thread_id: str, *, after: int = 0, limit: int = 1000) -> list[LogRow]:
        return [
            to_log_row(thread_id, row, run_id)
            for *row, run_id in self._fetch(_LOG, (thread_id, after, limit))
        ]

    def scan_assistants(self, *, after: str = "", limit: int = 1000) -> list[Row]:
        return self._scan(Assistant, "assistant_id > %s ORDER BY assistant_id", after, limit)

    def _scan(
        self, kind: type[Thread] | type[Run] | type[Assistant], where: str, *values: Any
    ) -> list[Row]:
        """Records as they are stored; the last value is the limit."""
        rows = self._fetch(f"{SELECT[kind]} WHERE {where} LIMIT %s", values)
        return [dict(zip(COLUMNS[kind], row, strict=True)) for row in rows]

    def stats(self) -> Stats:
        ((threads, runs, log, events, assistants, items, oldest, newest, holder, *sizes),) = (
            self._fetch(_STATS, ())
        )
        return Stats(
            threads=threads,
            runs=runs,
            log=log,
            events=events,
            assistants=assistants,
            items=items,
            bytes=dict(zip(MEASURED, sizes, strict=True)),
            oldest=oldest,
            newest=newest,
            holder=holder,
        )

    def faults(self) -> list[str]:
        (numbers,) = self._fetch(_FAULTS, ())
        counted = zip(numbers, _ORPHANS, strict=True)
        return [f"{number} {what}" for number, what in counted if number]
