"""What queries ask for, as SQL conditions. Every value is bound; nothing that a client sent becomes
SQL."""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from .codec import encode_json
from .facts import ORDERS
from .queries import ThreadQuery
from .rows import Filter, all_of, contains

__all__ = ["metadata_filter", "of_status", "prepare", "thread_filter"]

COMPARED: Final = 100  # values by path; SQLite takes only so many conditions

_SIMPLE_KEY: Final = re.compile(r"[\w-]+", re.ASCII)
_EXACT: Final = 2**53  # integers up to here compare alike, whatever compares them


def prepare(connection: sqlite3.Connection) -> None:
    """Add to a connection the functions that filters call."""
    connection.create_function("json_contains", 2, _json_contains, deterministic=True)
    connection.create_function("casefold", 1, str.casefold, deterministic=True)


def thread_filter(query: ThreadQuery) -> Filter:
    conditions, values = metadata_filter(query.metadata)
    if query.ids is not None:
        conditions.append("thread_id IN (SELECT value FROM json_each(?))")
        values.append(encode_json(list(query.ids), "ids").decode())
    if query.status is not None:
        conditions.append(of_status(query.status, query.sort_by))
        values.append(query.status)
    return all_of(conditions), values


def of_status(status: str, order: str) -> str:
    """The condition on the status of threads, for the index that serves an order best: of `idle`
    ones there are mostly many, so that they are looked for along the time that is asked for; of
    `busy` ones few, which can be sorted; the others have indexes for each order."""
    if status == "idle" and order in ORDERS:
        return "+status = ?"  # SQLite uses no index for what stands behind a plus
    if status in ("idle", "busy"):
        return "status = ?"
    return "status = ? AND status <> 'idle' AND status <> 'busy'"  # as in the indexes


def metadata_filter(metadata: Mapping[str, Any] | None) -> tuple[list[str], list[Any]]:
    """What SQLite can compare by path is left to it, as it does not need the interpreter's lock;
    the rest, lists and unusual keys and numbers, to `contains`."""
    conditions: list[str] = []
    values: list[Any] = []
    wanted = dict(metadata or {})
    text = encode_json(wanted, "metadata").decode()
    leaves = list(_leaves("$", wanted))
    complete = len(leaves) <= COMPARED
    for path, value in leaves if complete else ():
        condition = _compare(value) if path is not None else None
        if condition is None:
            complete = False
            continue
        conditions.append(condition)
        values += [path] if value is None or isinstance(value, bool) else [path, path, value]
    if not complete:
        conditions.append("json_contains(metadata, ?)")
        values.append(text)
    return conditions, values


def _leaves(path: str, wanted: Mapping[str, Any]) -> Iterator[tuple[str | None, Any]]:
    """The scalars of a filter by JSON path, and None for a path that SQLite might misread."""
    for key, value in wanted.items():
        if not _SIMPLE_KEY.fullmatch(key):
            yield None, value
        elif isinstance(value, dict) and value:
            yield from _leaves(f'{path}."{key}"', value)
        else:
            yield f'{path}."{key}"', value


def _compare(value: Any) -> str | None:
    if value is None:
        return "json_type(metadata, ?) = 'null'"
    if isinstance(value, bool):
        return f"json_type(metadata, ?) = '{'true' if value else 'false'}'"
    if isinstance(value, str):
        return "json_type(metadata, ?) = 'text' AND json_extract(metadata, ?) = ?"
    if isinstance(value, int) and abs(value) <= _EXACT:
        return "json_type(metadata, ?) IN ('integer', 'real') AND json_extract(metadata, ?) = ?"
    return None


def _json_contains(have: str, want: str) -> bool:
    return contains(msgspec.json.decode(have), _decode_once(want))


@functools.lru_cache(maxsize=16)
def _decode_once(text: str) -> Any:
    return msgspec.json.decode(text)
