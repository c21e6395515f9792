"""Records in memory, in stored form by their ids: put and taken, found, sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from .codec import Types, encode_json
from .errors import StorageError
from .queries import AssistantQuery, CronQuery, Query, ThreadQuery
from .records import Assistant, Cron, Row, Thread
from .rows import COLUMNS, contains, cron_columns, from_row

__all__ = [
    "Undo",
    "cut",
    "having",
    "matching",
    "put",
    "scan",
    "search",
    "take",
    "take_all",
]

T = TypeVar("T")
K = TypeVar("K")
R = TypeVar("R", Thread, Assistant, Cron)
Undo = list[Callable[[], object]]


def put(rows: dict[K, T], key: K, row: T, undo: Undo) -> None:
    if key in rows:
        undo.append(partial(rows.__setitem__, key, rows[key]))
    else:
        undo.append(partial(rows.pop, key))
    rows[key] = row


def take(rows: dict[K, T], key: K, undo: Undo) -> None:
    """Take one away, if it is there."""
    if key in rows:
        undo.append(partial(rows.__setitem__, key, rows.pop(key)))


def take_all(rows: dict[K, Row], column: str, value: str, undo: Undo) -> None:
    """Take away those that have a value in a column."""
    for key in [key for key, row in rows.items() if row[column] == value]:
        take(rows, key, undo)


def scan(rows: Mapping[str, Row], after: str, limit: int) -> list[Row]:
    return [rows[key] for key in sorted(key for key in rows if key > after)[:limit]]


def search(kind: type[R], rows: Iterable[Row], query: Query, types: Types) -> list[R]:
    """A page of the records that fit, in the query's order."""
    columns, by = COLUMNS[kind], query.sort_by
    if by not in columns:
        raise StorageError(f"{kind.__name__} records cannot be sorted by {by!r}")
    found = matching(rows, query)

    def rank(row: Row) -> tuple[Any, ...]:
        folded = row[by].casefold() if by == "name" else ""
        return (row[by] is None) != query.descending, folded, row[by] or ""

    if kind is Thread or by == "created_at":  # as `ordered` says
        found.sort(key=itemgetter(columns[0]), reverse=query.descending)
    else:
        found.sort(key=itemgetter("created_at", columns[0]))
    found.sort(key=rank, reverse=query.descending)
    return [from_row(kind, row, types) for row in cut(found, query.limit, query.offset)]


def matching(rows: Iterable[Row], query: Query) -> list[Row]:
    return having(filter(_fits(query), rows), query.metadata)


def having(rows: Iterable[Row], metadata: Mapping[str, Any] | None) -> list[Row]:
    """Those whose metadata contains this."""
    # The filter in the form in which metadata is kept.
    wanted = msgspec.json.decode(encode_json(dict(metadata or {}), "metadata"))
    return [
        row for row in rows if not wanted or contains(msgspec.json.decode(row["metadata"]), wanted)
    ]


def _fits(query: Query) -> Callable[[Row], bool]:
    """Whether a row is what a query asks for, but for its metadata."""
    match query:
        case ThreadQuery(ids=ids, status=status):
            known = None if ids is None else set(ids)
            return lambda row: (
                status in (None, row["status"]) and (known is None or row["thread_id"] in known)
            )
        case AssistantQuery(graph_id=graph_id, name=name):
            part = (name or "").casefold()
            return lambda row: (
                graph_id in (None, row["graph_id"]) and part in row["name"].casefold()
            )
        case CronQuery():
            wanted = cron_columns(query).items()
            return lambda row: wanted <= row.items()


def cut(found: Sequence[Any], limit: int | None, offset: int) -> Sequence[Any]:
    return found[offset:] if limit is None else found[offset : offset + limit]
