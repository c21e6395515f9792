"""`GreenroomStore`: a store of LangGraph's over our items."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from langgraph.store.base import (
    BaseStore,
    GetOp,
    IndexConfig,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
    ensure_embeddings,
)

from greenroom.graph.filters import check_filter
from greenroom.graph.store import check_page, check_put
from greenroom.graph.vectors import VectorIndex
from greenroom.graph.words import text_of, words_of

from ..blocking import BlockingSession
from ..contract import Storage
from ..items import (
    checked_key,
    checked_namespace,
    fields_of,
    item_row,
    prolonged,
    put_at,
    time_text,
)
from ..operations import DeleteExpired, DeleteItem, Operation, PutItem
from ..queries import ItemQuery, NamespaceQuery
from ..records import ItemRow

__all__ = ["GreenroomStore"]

SLICE: Final = 200  # expired items that are deleted together with what is put


class GreenroomStore(BaseStore):
    """A store for graphs of LangGraph's own, sync and asyncio, over an open session:

        with BlockingSession(SqliteStorage("agent.db")) as session:
            graph = builder.compile(store=GreenroomStore(session))

    The items are those of `StorageStore`, with its limits and its errors. A batch reads before it
    writes, and what it writes is there wholly or not at all, durably when the call returns. What
    has expired is not seen any more, and deleted with what is put later. Without an `index`, a
    search with a `query` ranks by its words.
    """

    supports_ttl = True

    def __init__(
        self,
        session: BlockingSession,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
    ) -> None:
        self.ttl_config = ttl
        self._session = session
        self._fields = None if index is None else index.get("fields")
        self._dims = None if index is None else index["dims"]
        self._embeddings = None if index is None else ensure_embeddings(index["embed"])

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        ops = list(ops)
        vectors: dict[str, Sequence[float]] = {}
        queries: dict[str, Sequence[float]] = {}
        if self._embeddings is not None:
            if texts := self._texts(ops):
                vectors = dict(zip(texts, self._embeddings.embed_documents(texts), strict=True))
            queries = {text: self._embeddings.embed_query(text) for text in _queries(ops)}
        return self._perform(ops, vectors, queries)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        ops = list(ops)
        vectors: dict[str, Sequence[float]] = {}
        queries: dict[str, Sequence[float]] = {}
        if self._embeddings is not None:
            if texts := self._texts(ops):
                found = await self._embeddings.aembed_documents(texts)
                vectors = dict(zip(texts, found, strict=True))
            queries = {text: await self._embeddings.aembed_query(text) for text in _queries(ops)}
        if self._session.storage.blocking:
            return await asyncio.to_thread(self._perform, ops, vectors, queries)
        return self._perform(ops, vectors, queries)

    def _texts(self, ops: Sequence[Op]) -> list[str]:
        """What is to be embedded, each once."""
        index = self._index({})
        puts = [op for op in ops if isinstance(op, PutOp) and op.value is not None]
        texts = [text for op in puts for text in index.texts(op.value or {}, op.index)]
        return list(dict.fromkeys(texts))

    def _index(self, vectors: Mapping[str, Sequence[float]]) -> VectorIndex:
        fields = tuple(self._fields or ("$",))
        return VectorIndex(lambda texts: [vectors[text] for text in texts], self._dims, fields)

    def _perform(
        self,
        ops: Sequence[Op],
        vectors: Mapping[str, Sequence[float]],
        queries: Mapping[str, Sequence[float]],
    ) -> list[Result]:
        storage = self._session.opened
        now = datetime.now(UTC)
        results: list[Result] = []
        writes: list[Operation] = []
        longer: list[ItemRow] = []
        for op in ops:
            if isinstance(op, GetOp):
                row = storage.get_item(
                    checked_namespace(op.namespace), checked_key(op.key), time_text(now)
                )
                longer += [row] if row is not None and op.refresh_ttl else []
                results.append(None if row is None else Item(**fields_of(row)))
            elif isinstance(op, SearchOp):
                found = storage.search_items(self._query(op, now, queries))
                longer += [one.item for one in found] if op.refresh_ttl else []
                results.append([SearchItem(**fields_of(o.item), score=o.score) for o in found])
            elif isinstance(op, ListNamespacesOp):
                results.append(_namespaces(storage, op, now))
            elif op.value is None:
                writes.append(DeleteItem(checked_namespace(op.namespace), checked_key(op.key)))
                results.append(None)
            else:
                writes.append(self._put(op, now, vectors))
                results.append(None)
        writes = [*prolonged(longer, now), *writes]
        if any(isinstance(one, PutItem) and one.item.ttl is not None for one in writes):
            writes.append(DeleteExpired(time_text(now), SLICE))
        if writes:
            self._session.wait(self._session.submit(writes))
        return results

    def _put(self, op: PutOp, now: datetime, vectors: Mapping[str, Sequence[float]]) -> PutItem:
        value = dict(op.value or {})
        namespace, lifetime = check_put(op.namespace, op.key, value, op.index, op.ttl, {})
        item = put_at(item_row(namespace, op.key, value, lifetime), now)
        if self._embeddings is None:
            return PutItem(item, text_of(value, op.index))
        found = self._index(vectors).vectors(value, op.index)
        return PutItem(item, "", tuple(one.parts for one in found))

    def _query(
        self, op: SearchOp, now: datetime, queries: Mapping[str, Sequence[float]]
    ) -> ItemQuery:
        check_page(op.limit, op.offset)
        check_filter(op.filter or {})
        by_meaning = op.query if self._embeddings is not None else None
        by_words = op.query if self._embeddings is None else None
        return ItemQuery(
            now=time_text(now),
            prefix=checked_namespace(op.namespace_prefix),
            filter=op.filter or {},
            vector=self._index(queries).query(by_meaning).parts if by_meaning else None,
            words=words_of(by_words) if by_words else (),
            limit=op.limit,
            offset=op.offset,
        )


def _queries(ops: Sequence[Op]) -> list[str]:
    return [op.query for op in ops if isinstance(op, SearchOp) and op.query]


def _namespaces(storage: Storage, op: ListNamespacesOp, now: datetime) -> list[tuple[str, ...]]:
    check_page(op.limit, op.offset, op.max_depth)
    asked: dict[str, Any] = {}
    for condition in op.match_conditions or ():
        if condition.match_type in asked:
            raise ValueError(f"match_conditions: {condition.match_type!r} is there twice")
        asked[condition.match_type] = checked_namespace(condition.path)
    return storage.list_namespaces(
        NamespaceQuery(
            now=time_text(now),
            prefix=asked.get("prefix", ()),
            suffix=asked.get("suffix", ()),
            max_depth=op.max_depth,
            limit=op.limit,
            offset=op.offset,
        )
    )
