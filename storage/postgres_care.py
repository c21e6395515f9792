"""Looking after a PostgreSQL database: what there is, what is damaged."""

from __future__ import annotations

from typing import Final

from .contract import Stats
from .postgres_read import PostgresReads
from .rows import MEASURED

__all__ = ["VACUUM", "PostgresCare"]

_ALSO: Final = ("item_words", "thread_facts")  # tables with no records of their own
VACUUM: Final = f"VACUUM {', '.join(f'greenroom.{one}' for one in (*MEASURED, *_ALSO))}"


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
        {_count("events")}, {_count("assistants")}, {_count("assistant_versions")},
        {_count("crons")}, {_count("posts")}, {_count("items")},
        (SELECT min(created_at) FROM greenroom.threads),
        (SELECT max(updated_at) FROM greenroom.threads),
        (SELECT owner FROM greenroom.lease WHERE ends_at > clock_timestamp()),
        ARRAY[{", ".join(map(_size, MEASURED))}]
"""


def _orphans(table: str, column: str, of: str, key: str = "id") -> str:
    return (
        f"greenroom.{table} o WHERE o.{column} IS NOT NULL"
        f" AND NOT EXISTS (SELECT 1 FROM greenroom.{of} p WHERE p.{key} = o.{column})"
    )


_ORPHANS: Final = {
    "runs of a thread that is not there": _orphans("runs", "thread", "threads"),
    "log records of a thread that is not there": _orphans("log", "thread", "threads"),
    "events of a thread that is not there": _orphans("events", "thread", "threads"),
    "events of a run that is not there": _orphans("events", "run", "runs"),
    "crons of a thread that is not there": _orphans("crons", "thread_id", "threads", "thread_id"),
    "versions of an assistant that is not there": _orphans(
        "assistant_versions", "assistant_id", "assistants", "assistant_id"
    ),
    "assistants that are a version which is not there": (
        "greenroom.assistants a WHERE NOT EXISTS (SELECT 1 FROM greenroom.assistant_versions v"
        " WHERE v.assistant_id = a.assistant_id AND v.version = a.version)"
    ),
    "log records that take their input from a run that is not there": (
        _orphans("log", "run", "runs")
    ),
    "words of an item that is not there": _orphans("item_words", "item", "items"),
}
_FAULTS: Final = f"SELECT {', '.join(f'(SELECT count(*) FROM {one})' for one in _ORPHANS.values())}"


class PostgresCare(PostgresReads):
    """The reads of the contract that look after a store."""

    def stats(self) -> Stats:
        ((threads, runs, log, *counts, oldest, newest, holder, sizes),) = self._fetch(_STATS, ())
        events, assistants, versions, crons, posts, items = counts
        return Stats(
            threads=threads,
            runs=runs,
            log=log,
            events=events,
            assistants=assistants,
            assistant_versions=versions,
            crons=crons,
            posts=posts,
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
