"""The items of the user's store as SQL. Every value is bound, the paths of filters too."""

from __future__ import annotations

import functools
import re
import sqlite3
from array import array
from collections.abc import Iterator, Mapping, Sequence
from operator import mul
from typing import Any, Final

import msgspec

from greenroom.graph.filters import fits, is_comparison
from greenroom.graph.words import all_words

from . import namespaces
from .codec import encode_json
from .contract import FoundItem
from .operations import DeleteExpired, DeleteItem, ProlongItem, PutItem
from .queries import ItemQuery, NamespaceQuery
from .records import ItemRow
from .rows import to_item

__all__ = ["apply", "get", "list_namespaces", "next_expiry", "prepare", "scan", "search"]

_COLUMNS: Final = "namespace, key, value, created_at, updated_at, ttl, expires_at"
_LIVES: Final = "(expires_at IS NULL OR expires_at > ?)"
_BELOW: Final = "namespace >= ? AND namespace < ?"
_FIND: Final = "SELECT id, expires_at FROM items WHERE namespace = ? AND key = ?"
_INSERT: Final = f"INSERT INTO items ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
_UPDATE: Final = "UPDATE items SET value = ?, updated_at = ?, ttl = ?, expires_at = ? WHERE id = ?"
_PROLONG: Final = """
    UPDATE items SET expires_at = :expires_at
    WHERE namespace = :namespace AND key = :key AND ttl = :ttl AND expires_at < :expires_at
"""
_EXPIRED: Final = """
    SELECT id FROM items WHERE expires_at IS NOT NULL AND expires_at <= ?
    ORDER BY expires_at, id LIMIT ?
"""
_DELETE: Final = (
    "DELETE FROM item_vectors WHERE item = ?",
    "DELETE FROM item_texts WHERE rowid = ?",
    "DELETE FROM items WHERE id = ?",
)
_NEXT_NAMESPACE: Final = f"""
    SELECT namespace FROM items WHERE {_BELOW} AND {_LIVES} ORDER BY namespace LIMIT 1
"""
# How well an item matches, as an expression, and what must be joined to items for it.
_NO_SCORE: Final = ("NULL", "")
_BY_VECTOR: Final = (
    "(SELECT max(similarity(v.vector, ?)) FROM item_vectors v WHERE v.item = items.id)",
    "",
)
_BY_WORDS: Final = (
    "hits.score",
    """LEFT JOIN (
        SELECT rowid AS item, -bm25(item_texts, 0, 1) AS score FROM item_texts
        WHERE item_texts MATCH ?
    ) hits ON hits.item = items.id""",
)
_SIMPLE_KEY: Final = re.compile(r"[\w-]{1,100}", re.ASCII)
_MAX_CONDITIONS: Final = 50  # SQLite limits how deep an expression is
_OPERATORS: Final[Mapping[str, str]] = {
    "$eq": "=",
    "$ne": "=",  # and the whole of it not
    "$gt": ">",
    "$gte": ">=",
    "$lt": "<",
    "$lte": "<=",
}


def prepare(connection: sqlite3.Connection) -> None:
    """Add to a connection the functions that searches call."""
    connection.create_function("item_fits", 2, _item_fits, deterministic=True)
    connection.create_function("similarity", 2, _similarity, deterministic=True)


def apply(
    connection: sqlite3.Connection,
    operation: PutItem | DeleteItem | ProlongItem | DeleteExpired,
) -> None:
    """Carry out one operation inside the transaction that is open."""
    match operation:
        case PutItem(item, text, vectors):
            _put(connection, item, text, vectors)
        case DeleteItem(namespace, key):
            for ident, _ in connection.execute(_FIND, (namespaces.to_text(namespace), key)):
                _delete(connection, [(ident,)])
        case ProlongItem(namespace, key, ttl, expires_at):
            values = {"key": key, "ttl": ttl, "expires_at": expires_at}
            connection.execute(_PROLONG, {"namespace": namespaces.to_text(namespace), **values})
        case DeleteExpired(now, limit):
            _delete(connection, connection.execute(_EXPIRED, (now, limit)).fetchall())


def _put(
    connection: sqlite3.Connection,
    item: ItemRow,
    text: str,
    vectors: Sequence[Sequence[float]],
) -> None:
    name, value = namespaces.to_text(item.namespace), item.value.decode()
    found = connection.execute(_FIND, (name, item.key)).fetchone()
    if found is not None and (found[1] is None or found[1] > item.updated_at):
        ident = found[0]
        connection.execute(_UPDATE, (value, item.updated_at, item.ttl, item.expires_at, ident))
        for statement in _DELETE[:-1]:
            connection.execute(statement, (ident,))
    else:
        if found is not None:
            _delete(connection, [found[:1]])
        times = (item.created_at, item.updated_at, item.ttl, item.expires_at)
        ident = connection.execute(_INSERT, (name, item.key, value, *times)).lastrowid
    if words := " ".join(all_words(text)):
        places = " ".join(namespaces.places(item.namespace))
        texts = "INSERT INTO item_texts (rowid, places, text) VALUES (?, ?, ?)"
        connection.execute(texts, (ident, places, words))
    connection.executemany(
        "INSERT INTO item_vectors (item, vector) VALUES (?, ?)",
        [(ident, array("f", vector).tobytes()) for vector in vectors],
    )


def _delete(connection: sqlite3.Connection, idents: Sequence[tuple[int]]) -> None:
    for statement in _DELETE:
        connection.executemany(statement, idents)


def scan(connection: sqlite3.Connection, after: int, limit: int) -> list[tuple[int, PutItem]]:
    """Items as they were put, by their place in the order in which they were made."""
    query = f"""
        SELECT {_COLUMNS}, id, (SELECT text FROM item_texts WHERE rowid = items.id)
        FROM items WHERE id > ? ORDER BY id LIMIT ?
    """
    vectors = "SELECT vector FROM item_vectors WHERE item = ? ORDER BY id"
    return [
        (
            ident,
            PutItem(
                to_item(row),
                text or "",
                tuple(tuple(array("f", data)) for (data,) in connection.execute(vectors, (ident,))),
            ),
        )
        for *row, ident, text in connection.execute(query, (after, limit))
    ]


def get(
    connection: sqlite3.Connection, namespace: tuple[str, ...], key: str, now: str
) -> ItemRow | None:
    query = f"SELECT {_COLUMNS} FROM items WHERE namespace = ? AND key = ? AND {_LIVES}"
    row = connection.execute(query, (namespaces.to_text(namespace), key, now)).fetchone()
    return None if row is None else to_item(row)


def search(connection: sqlite3.Connection, query: ItemQuery) -> list[FoundItem]:
    conditions, values = _filter(query.filter)
    conditions.append(_LIVES)
    values.append(query.now)
    if query.prefix:
        conditions.append(_BELOW)
        values += namespaces.below(query.prefix)
    wanted: list[Any] = []
    (score, join) = _NO_SCORE
    if query.vector is not None:
        (score, join), wanted = _BY_VECTOR, [array("f", query.vector).tobytes()]
    elif query.words:
        (score, join), wanted = _BY_WORDS, [_match(query)]
    rows = connection.execute(
        f"SELECT {_COLUMNS}, {score} AS score FROM items {join} WHERE {' AND '.join(conditions)}"
        f" ORDER BY {'score DESC, ' if wanted else ''}items.id LIMIT ? OFFSET ?",
        [*wanted, *values, query.limit, query.offset],
    )
    return [FoundItem(to_item(row[:-1]), row[-1]) for row in rows]


def _match(query: ItemQuery) -> str:
    """What FTS5 is to look for. Words have nothing but letters and digits in them."""
    words = " OR ".join(f'"{word}"' for word in query.words)
    where = f"places : {namespaces.place(query.prefix)} AND " if query.prefix else ""
    return f"{where}text : ({words})"


def list_namespaces(connection: sqlite3.Connection, query: NamespaceQuery) -> list[tuple[str, ...]]:
    def following(at: str, end: str) -> str | None:
        row = connection.execute(_NEXT_NAMESPACE, (at, end, query.now)).fetchone()
        return None if row is None else row[0]

    return namespaces.list_namespaces(query, following)


def next_expiry(connection: sqlite3.Connection) -> str | None:
    query = "SELECT min(expires_at) FROM items WHERE expires_at IS NOT NULL"
    (first,) = connection.execute(query).fetchone()
    return first  # type: ignore[no-any-return]


def _filter(filter: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    """What SQLite can compare by path is left to it, as it does not need the interpreter's lock;
    the rest, lists and unusual keys and numbers, to `fits`."""
    text = encode_json(dict(filter), "filter").decode()
    conditions: list[str] = []
    values: list[Any] = []
    complete = True
    for comparison in _comparisons("$", filter):
        if comparison is None or len(conditions) == _MAX_CONDITIONS:
            complete = False
        else:
            conditions.append(comparison[0])
            values += comparison[1]
    if not complete:
        conditions.append("item_fits(value, ?)")
        values.append(text)
    return conditions, values


Comparison = tuple[str, list[Any]]  # a condition and its values


def _comparisons(path: str, filter: Mapping[str, Any]) -> Iterator[Comparison | None]:
    """What a filter asks for, one by one, and None for what SQLite might see another way."""
    for key, by in filter.items():
        at = f'{path}."{key}"'
        if not _SIMPLE_KEY.fullmatch(key):
            yield None
        elif is_comparison(by):
            for name, other in by.items():
                yield _compare(name, at, other)
        elif isinstance(by, Mapping):
            yield "json_type(value, ?) = 'object'", [at]
            yield from _comparisons(at, by)
        else:
            yield _compare("$eq", at, by)


def _compare(name: str, path: str, other: Any) -> Comparison | None:
    if other is None and name in ("$eq", "$ne"):  # a field that is not there is null
        sign = "=" if name == "$eq" else "<>"
        return f"coalesce(json_type(value, ?), 'null') {sign} 'null'", [path]
    if isinstance(other, str):
        kinds = "'text'"
    elif isinstance(other, int) and not isinstance(other, bool):
        kinds = "'integer', 'real'"
    else:
        return None
    compared = f"json_extract(value, ?) {_OPERATORS[name]} ?"
    condition = f"json_type(value, ?) IN ({kinds}) AND {compared}"
    return (f"({condition}) IS NOT 1" if name == "$ne" else condition), [path, path, other]


def _item_fits(value: str, filter: str) -> bool:
    return fits(msgspec.json.decode(value), _decode_once(filter))


@functools.lru_cache(maxsize=16)
def _decode_once(text: str) -> Any:
    return msgspec.json.decode(text)


def _similarity(vector: bytes, wanted: bytes) -> float | None:
    if len(vector) != len(wanted):  # it is of a time when another function made them
        return None
    cosine: float = sum(map(mul, memoryview(vector).cast("f"), _numbers(wanted)))
    return cosine


@functools.lru_cache(maxsize=16)
def _numbers(data: bytes) -> Sequence[float]:
    return array("f", data)
