"""The items of the user's store in PostgreSQL.

Words are found and ranked by the database. Filters and vectors are compared here, where all
backends do it alike: a filter with as many items, in order, as a page needs, and a vector with
every item below the prefix, of which the page alone is read.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import psycopg

from greenroom.graph.filters import fits
from greenroom.graph.words import all_words

from . import namespaces
from .codec import encode_json
from .contract import FoundItem, Storage
from .memory_items import similarity
from .operations import DeleteExpired, DeleteItem, ProlongItem, PutItem
from .postgres_words import RANK, match, tsquery, tsvectors
from .queries import ItemQuery, NamespaceQuery
from .records import ItemRow
from .rows import to_item

__all__ = ["PostgresItems", "send_item"]

AHEAD: Final = 100  # namespaces that are read at once
FIRST: Final = 100  # items that a filter is compared with, if they suffice; else,
MORE: Final = 4  # times as many, again and again

_COLUMNS: Final = "namespace, key, value, created_at, updated_at, ttl, expires_at"
_LIVES: Final = "(expires_at IS NULL OR expires_at > %s)"
_BELOW: Final = f"greenroom.items WHERE namespace >= %s AND namespace < %s AND {_LIVES}"


def _delete(where: str) -> str:
    return f"""
        WITH gone AS (DELETE FROM greenroom.items WHERE {where} RETURNING id)
        DELETE FROM greenroom.item_words USING gone WHERE item = gone.id
    """


_DELETE: Final = _delete("namespace = %s AND key = %s")
_DELETE_EXPIRED_ONE: Final = _delete("namespace = %s AND key = %s AND expires_at <= %s")
_DELETE_EXPIRED: Final = _delete("""id IN (
    SELECT id FROM greenroom.items WHERE expires_at <= %s ORDER BY expires_at, id LIMIT %s
)""")
_PUT: Final = f"""
    WITH put AS (
        INSERT INTO greenroom.items ({_COLUMNS}, words, vectors)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::bytea[])
        ON CONFLICT (namespace, key) DO UPDATE SET
            value = excluded.value, updated_at = excluded.updated_at, ttl = excluded.ttl,
            expires_at = excluded.expires_at, words = excluded.words, vectors = excluded.vectors
        RETURNING id
    ),
    before AS (DELETE FROM greenroom.item_words USING put WHERE item = put.id)
    INSERT INTO greenroom.item_words (item, words)
    SELECT put.id, unnest(%s::text[]::tsvector[]) FROM put
"""
_PROLONG: Final = """
    UPDATE greenroom.items SET expires_at = %s
    WHERE namespace = %s AND key = %s AND ttl = %s AND expires_at < %s
"""
_NAMESPACES: Final = f"""
    SELECT DISTINCT namespace FROM greenroom.items
    WHERE namespace >= %s AND namespace < %s AND {_LIVES} ORDER BY namespace LIMIT {AHEAD}
"""
_BY_AGE: Final = f"SELECT {_COLUMNS}, NULL FROM {_BELOW} ORDER BY id LIMIT %s OFFSET %s"
# The rest is looked at where the page has room for it.
_BY_WORDS: Final = f"""
    WITH hits AS MATERIALIZED (
        SELECT item, sum({RANK}) AS score FROM greenroom.item_words
        WHERE words @@ %s::tsquery GROUP BY item
    ),
    best AS MATERIALIZED (
        SELECT below.*, score FROM (SELECT id, {_COLUMNS} FROM {_BELOW}) AS below
        JOIN hits ON item = id ORDER BY score DESC, id LIMIT %s
    ),
    rest AS (
        SELECT id, {_COLUMNS}, NULL::real FROM {_BELOW}
        AND NOT EXISTS (SELECT FROM hits WHERE item = id)
        ORDER BY id LIMIT %s - (SELECT count(*) FROM best)
    )
    SELECT {_COLUMNS}, score FROM (TABLE best UNION ALL TABLE rest) AS found
    ORDER BY score DESC NULLS LAST, id LIMIT %s OFFSET %s
"""

First = Callable[[int, int], list[FoundItem]]  # a page, by its limit and offset


class PostgresItems(Storage):
    """The reads of items, by statements that `_fetch` carries out."""

    @abstractmethod
    def _fetch(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of one statement."""

    def _first(self, query: str) -> str | None:
        ((first,),) = self._fetch(query, ())
        return first  # type: ignore[no-any-return]

    def get_item(self, namespace: tuple[str, ...], key: str, now: str) -> ItemRow | None:
        where = f"WHERE namespace = %s AND key = %s AND {_LIVES}"
        values = (namespaces.to_text(namespace), key, now)
        rows = self._fetch(f"SELECT {_COLUMNS} FROM greenroom.items {where}", values)
        return to_item(rows[0]) if rows else None

    @contextmanager
    @abstractmethod
    def moment(self) -> Iterator[PostgresItems]:
        yield self

    def search_items(self, query: ItemQuery) -> list[FoundItem]:
        if query.vector is not None:
            return self._search_by_vector(query, query.vector)
        below = (*namespaces.below(query.prefix), query.now)

        def first(limit: int, offset: int) -> list[FoundItem]:
            if query.words:
                words = (tsquery(query.words), match(query.prefix, query.words))
                end = limit + offset
                rows = self._fetch(_BY_WORDS, (*words, *below, end, *below, end, limit, offset))
            else:
                rows = self._fetch(_BY_AGE, (*below, limit, offset))
            return [FoundItem(to_item(row[:-1]), row[-1]) for row in rows]

        return _page(query, first)

    def _search_by_vector(self, query: ItemQuery, vector: Sequence[float]) -> list[FoundItem]:
        below = (*namespaces.below(query.prefix), query.now)
        with self.moment() as then:
            scores = {
                ident: similarity((memoryview(one).cast("f") for one in packed), vector)
                for ident, packed in then._fetch(f"SELECT id, vectors FROM {_BELOW}", below)
            }
            ids = sorted(scores, key=lambda one: (scores[one] is None, -(scores[one] or 0.0), one))

            def first(limit: int, offset: int) -> list[FoundItem]:
                page = ids[offset : offset + limit]
                query = f"SELECT {_COLUMNS}, id FROM greenroom.items WHERE id = ANY(%s)"
                rows = {row[-1]: row[:-1] for row in then._fetch(query, (page,))}
                return [FoundItem(to_item(rows[ident]), scores[ident]) for ident in page]

            return _page(query, first)

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
        return self._first(
            "SELECT min(expires_at) FROM greenroom.items WHERE expires_at IS NOT NULL"
        )


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
            words = all_words(text)
            found_by = (" ".join(words), packed, tsvectors(item.namespace, words))
            cursor.execute(_PUT, (name, item.key, item.value.decode(), *times, *found_by))
        case DeleteItem(namespace, key):
            cursor.execute(_DELETE, (namespaces.to_text(namespace), key))
        case ProlongItem(namespace, key, ttl, expires_at):
            name = namespaces.to_text(namespace)
            cursor.execute(_PROLONG, (expires_at, name, key, ttl, expires_at))
        case DeleteExpired(now, limit):
            cursor.execute(_DELETE_EXPIRED, (now, limit))


def _page(query: ItemQuery, first: First) -> list[FoundItem]:
    """The page that a query asks for, of what fits its filter."""
    encode_json(dict(query.filter), "filter")
    if not query.filter:
        return first(query.limit, query.offset)
    end = query.offset + query.limit
    size = max(end, FIRST)
    while True:
        # From the start, so that all of it is of one moment.
        found = first(size, 0)
        fitting = [one for one in found if fits(msgspec.json.decode(one.item.value), query.filter)]
        if len(fitting) >= end or len(found) < size:
            return fitting[query.offset : end]
        size *= MORE


def _vectors(packed: Sequence[bytes]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(array("f", vector)) for vector in packed)
