"""The items of the user's store in PostgreSQL.

Filters, words and vectors are compared here and not in the database: a search looks at every item
below its prefix, unless it asks for none of them.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

import psycopg

from . import namespaces
from .contract import FoundItem, Storage
from .memory_items import ranked
from .operations import DeleteExpired, DeleteItem, ProlongItem, PutItem
from .queries import ItemQuery, NamespaceQuery
from .records import ItemRow
from .rows import to_item

__all__ = ["PostgresItems", "send_item"]

AHEAD: Final = 100  # namespaces that are read at once

_COLUMNS: Final = "namespace, key, value, created_at, updated_at, ttl, expires_at"
_LIVES: Final = "(expires_at IS NULL OR expires_at > %s)"
_DELETE_EXPIRED_ONE: Final = """
    DELETE FROM greenroom.items WHERE namespace = %s AND key = %s AND expires_at <= %s
"""
_PUT: Final = f"""
    INSERT INTO greenroom.items ({_COLUMNS}, words, vectors)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::bytea[])
    ON CONFLICT (namespace, key) DO UPDATE SET
        value = excluded.value, updated_at = excluded.updated_at, ttl = excluded.ttl,
        expires_at = excluded.expires_at, words = excluded.words, vectors = excluded.vectors
"""
_PROLONG: Final = """
    UPDATE greenroom.items SET expires_at = %s
    WHERE namespace = %s AND key = %s AND ttl = %s AND expires_at < %s
"""
_DELETE: Final = "DELETE FROM greenroom.items WHERE namespace = %s AND key = %s"
_DELETE_EXPIRED: Final = """
    DELETE FROM greenroom.items WHERE id IN (
        SELECT id FROM greenroom.items WHERE expires_at <= %s ORDER BY expires_at, id LIMIT %s
    )
"""
_NAMESPACES: Final = f"""
    SELECT DISTINCT namespace FROM greenroom.items
    WHERE namespace >= %s AND namespace < %s AND {_LIVES} ORDER BY namespace LIMIT {AHEAD}
"""


class PostgresItems(Storage):
    """The reads of items, by statements that `_fetch` carries out."""

    @abstractmethod
    def _fetch(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement."""

    def get_item(self, namespace: tuple[str, ...], key: str, now: str) -> ItemRow | None:
        where = f"WHERE namespace = %s AND key = %s AND {_LIVES}"
        values = (namespaces.to_text(namespace), key, now)
        rows = self._fetch(f"SELECT {_COLUMNS} FROM greenroom.items {where}", values)
        return to_item(rows[0]) if rows else None

    def search_items(self, query: ItemQuery) -> list[FoundItem]:
        where = f"WHERE namespace >= %s AND namespace < %s AND {_LIVES} ORDER BY id"
        values = [*namespaces.below(query.prefix), query.now]
        if not (query.filter or query.words or query.vector is not None):
            page = f"SELECT {_COLUMNS} FROM greenroom.items {where} LIMIT %s OFFSET %s"
            rows = self._fetch(page, [*values, query.limit, query.offset])
            return [FoundItem(to_item(row)) for row in rows]
        everything = f"SELECT {_COLUMNS}, words, vectors FROM greenroom.items {where}"
        rows = self._fetch(everything, values)
        return ranked(
            (PutItem(to_item(row[:-2]), row[-2], _vectors(row[-1])) for row in rows), query
        )

    def list_namespaces(self, query: NamespaceQuery) -> list[tuple[str, ...]]:
        ahead: deque[str] = deque()

        def following(at: str, end: str) -> str | None:
            while ahead and ahead[0] < at:
                ahead.popleft()
            if not ahead:
                ahead.extend(row[0] for row in self._fetch(_NAMESPACES, (at, end, query.now)))
            return ahead[0] if ahead else None

        return namespaces.list_namespaces(query, following)

    def scan_items(self, *, after: int = 0, limit: int = 1000) -> list[tuple[int, PutItem]]:
        query = f"""
            SELECT {_COLUMNS}, words, vectors, id FROM greenroom.items
            WHERE id > %s ORDER BY id LIMIT %s
        """
        return [
            (ident, PutItem(to_item(row), words, _vectors(vectors)))
            for *row, words, vectors, ident in self._fetch(query, (after, limit))
        ]

    def next_expiry(self) -> str | None:
        query = "SELECT min(expires_at) FROM greenroom.items WHERE expires_at IS NOT NULL"
        ((first,),) = self._fetch(query, ())
        return first  # type: ignore[no-any-return]


def send_item(
    cursor: psycopg.Cursor[tuple[Any, ...]],
    operation: PutItem | DeleteItem | ProlongItem | DeleteExpired,
) -> None:
    """As `postgres_write.send`, for operations on items."""
    match operation:
        case PutItem(item, text, vectors):
            name = namespaces.to_text(item.namespace)
            cursor.execute(_DELETE_EXPIRED_ONE, (name, item.key, item.updated_at))
            times = (item.created_at, item.updated_at, item.ttl, item.expires_at)
            packed = [array("f", vector).tobytes() for vector in vectors]
            cursor.execute(_PUT, (name, item.key, item.value.decode(), *times, text, packed))
        case DeleteItem(namespace, key):
            cursor.execute(_DELETE, (namespaces.to_text(namespace), key))
        case ProlongItem(namespace, key, ttl, expires_at):
            name = namespaces.to_text(namespace)
            cursor.execute(_PROLONG, (expires_at, name, key, ttl, expires_at))
        case DeleteExpired(now, limit):
            cursor.execute(_DELETE_EXPIRED, (now, limit))


def _vectors(packed: Sequence[bytes]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(array("f", vector)) for vector in packed)
