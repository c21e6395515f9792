"""The store in memory."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal

import attrs
import trio

from .filters import check_filter, fits
from .here import on_trio
from .isolation import isolated
from .store import (
    UNSET,
    BaseStore,
    Item,
    Namespace,
    SearchItem,
    TTLConfig,
    Unset,
    check_namespace,
    check_page,
    check_put,
    fits_pattern,
)
from .vectors import IndexConfig, Vector, VectorIndex
from .words import IndexedText, score, text_of, words_of

__all__ = ["InMemoryStore"]


FoundBy = Sequence[Vector] | IndexedText
Rank = Callable[[Any], float | None]


def _utc_now() -> datetime:
    return datetime.now(UTC)


@attrs.define(eq=False)
class Kept:
    """`number`: in which order items were made. `found_by`: its vectors, or its text where the
    store has no index."""

    item: Item
    number: int
    ttl: timedelta | None
    expires: datetime | None
    found_by: FoundBy


class InMemoryStore(BaseStore):
    """Keeps items for as long as it lives: `compile(store=InMemoryStore())`.

    `index`: makes `search(query=…)` rank by meaning; see `IndexConfig`. `ttl`: see `TTLConfig`.
    `clock`: the time in UTC, for tests.

    Safe to use from several threads. What is put and what is got are copies. Every method that
    takes a namespace raises InvalidNamespaceError for labels that are empty, no strings, or have a
    "." or a NUL in them.
    """

    def __init__(
        self,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._index = VectorIndex.of(index) if index is not None else None
        self._ttl = ttl or TTLConfig()
        self._now = clock
        self._lock = threading.Lock()
        self._kept: dict[Namespace, dict[str, Kept]] = {}
        self._expiry: list[tuple[datetime, int, Kept]] = []  # a heap; one entry for each put
        self._puts = 0

    def get(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """An item, or None. `refresh_ttl`: start its time anew (default: as configured)."""
        namespace = check_namespace(namespace)
        with self._lock:
            now = self._expire()
            kept = self._kept.get(namespace, {}).get(key)
            if kept is None:
                return None
            self._refresh(kept, now, refresh_ttl)
            return attrs.evolve(kept.item, value=isolated(kept.item.value))

    def put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | Unset | None = UNSET,
    ) -> None:
        """Keep `value`, a dict, under `key`, in place of what was there.

        `index`: paths of the fields to search by, False for none (default: as configured). `ttl`:
        minutes until it expires, None for never (default: as configured). Raises
        InvalidNamespaceError also for an empty namespace and one that starts with "langgraph".
        """
        namespace, lifetime = check_put(namespace, key, value, index, ttl, self._ttl)
        found_by: FoundBy
        if self._index is not None:
            found_by = self._index.vectors(value, index)
        else:
            found_by = IndexedText(text_of(value, index))
        self._put(namespace, key, value, found_by, lifetime)

    def delete(self, namespace: Namespace, key: str) -> None:
        """Forget an item; nothing happens where there is none."""
        namespace = check_namespace(namespace)
        with self._lock:
            self._drop(namespace, key)

    def search(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        """Items of all namespaces that start with `namespace_prefix`, in the order they were made.

        `filter`: fields that must be equal, or compare as `{"field": {"$gte": 3}}` says; known are
        `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte`. `query`: best match first, by meaning where the
        store has an index and by words where it has none; items that have nothing of it come last.
        """
        prefix = check_namespace(namespace_prefix)
        rank: Rank | None = None
        if self._index is not None and query:
            rank = self._index.query(query).best_match
        elif query:
            rank = partial(score, words_of(query))
        return self._search(prefix, rank, filter, limit, offset, refresh_ttl)

    def list_namespaces(
        self,
        *,
        prefix: Namespace | None = None,
        suffix: Namespace | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """Namespaces that have items, sorted. In `prefix` and `suffix`, "*" stands for any label;
        `max_depth` cuts longer ones short.
        """
        starts, ends = check_namespace(prefix or ()), check_namespace(suffix or ())
        check_page(limit, offset, max_depth)
        with self._lock:
            self._expire()
            found = {
                namespace[:max_depth]
                for namespace in self._kept
                if fits_pattern(namespace, starts) and fits_pattern(namespace[::-1], ends[::-1])
            }
        return sorted(found)[offset : offset + limit]

    @on_trio
    async def aget(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """`get` for async nodes."""
        await trio.lowlevel.checkpoint()
        return self.get(namespace, key, refresh_ttl=refresh_ttl)

    @on_trio
    async def aput(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | Unset | None = UNSET,
    ) -> None:
        """`put` for async nodes; vectors are computed without holding up the event loop."""
        await trio.lowlevel.checkpoint()
        namespace, lifetime = check_put(namespace, key, value, index, ttl, self._ttl)
        value = isolated(dict(value))
        found_by: FoundBy
        if self._index is not None:
            found_by = await self._index.avectors(value, index)
        else:
            found_by = IndexedText(text_of(value, index))
        self._put(namespace, key, value, found_by, lifetime)

    @on_trio
    async def adelete(self, namespace: Namespace, key: str) -> None:
        """`delete` for async nodes."""
        await trio.lowlevel.checkpoint()
        self.delete(namespace, key)

    @on_trio
    async def asearch(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        """`search` for async nodes."""
        await trio.lowlevel.checkpoint()
        prefix = check_namespace(namespace_prefix)
        rank: Rank | None = None
        if self._index is not None and query:
            rank = (await self._index.aquery(query)).best_match
        elif query:
            rank = partial(score, words_of(query))
        return self._search(prefix, rank, filter, limit, offset, refresh_ttl)

    @on_trio
    async def alist_namespaces(
        self,
        *,
        prefix: Namespace | None = None,
        suffix: Namespace | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """`list_namespaces` for async nodes."""
        await trio.lowlevel.checkpoint()
        return self.list_namespaces(
            prefix=prefix, suffix=suffix, max_depth=max_depth, limit=limit, offset=offset
        )

    def _put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        found_by: FoundBy,
        ttl: timedelta | None,
    ) -> None:
        with self._lock:
            now = self._expire()
            items = self._kept.setdefault(namespace, {})
            self._puts += 1
            before = items.get(key)
            item = Item(
                namespace=namespace,
                key=key,
                value=isolated(dict(value)),
                created_at=now if before is None else before.item.created_at,
                updated_at=now,
            )
            items[key] = kept = Kept(
                item,
                self._puts if before is None else before.number,
                ttl,
                now + ttl if ttl is not None else None,
                found_by,
            )
            if kept.expires is not None:
                heapq.heappush(self._expiry, (kept.expires, self._puts, kept))

    def _search(
        self,
        prefix: Namespace,
        rank: Rank | None,
        filter: Mapping[str, Any] | None,
        limit: int,
        offset: int,
        refresh: bool | None,
    ) -> list[SearchItem]:
        check_page(limit, offset)
        check_filter(filter or {})
        with self._lock:
            now = self._expire()
            found = [
                (kept, None if rank is None else rank(kept.found_by))
                for kept in sorted(self._under(prefix), key=lambda kept: kept.number)
                if fits(kept.item.value, filter or {})
            ]
            if rank is not None:
                found.sort(key=lambda pair: (pair[1] is None, -(pair[1] or 0.0)))
            page = found[offset : offset + limit]
            for kept, _ in page:
                self._refresh(kept, now, refresh)
            return [_found(kept.item, score) for kept, score in page]

    def _under(self, prefix: Namespace) -> Iterator[Kept]:
        for namespace, items in self._kept.items():
            if namespace[: len(prefix)] == prefix:
                yield from items.values()

    def _refresh(self, kept: Kept, now: datetime, refresh: bool | None) -> None:
        if refresh is None:
            refresh = self._ttl.get("refresh_on_read", True)
        if refresh and kept.ttl is not None:
            kept.expires = now + kept.ttl

    def _expire(self) -> datetime:
        """Drop what has expired; returns the time."""
        now = self._now()
        while self._expiry and self._expiry[0][0] <= now:
            _, number, kept = heapq.heappop(self._expiry)
            item = kept.item
            if self._kept.get(item.namespace, {}).get(item.key) is not kept:
                continue  # it was put again or deleted
            if kept.expires is not None and kept.expires > now:  # it was read since
                heapq.heappush(self._expiry, (kept.expires, number, kept))
            else:
                self._drop(item.namespace, item.key)
        return now

    def _drop(self, namespace: Namespace, key: str) -> None:
        items = self._kept.get(namespace, {})
        if items.pop(key, None) is not None and not items:
            del self._kept[namespace]


def _found(item: Item, score: float | None) -> SearchItem:
    return SearchItem(
        namespace=item.namespace,
        key=item.key,
        value=isolated(item.value),
        created_at=item.created_at,
        updated_at=item.updated_at,
        score=score,
    )
