"""The items of the user's store, in memory."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, partial
from heapq import nsmallest
from itertools import islice
from operator import attrgetter, mul

import attrs
import msgspec

from greenroom.graph.filters import fits
from greenroom.graph.words import IndexedText, all_words, score

from . import namespaces
from .codec import encode_json
from .contract import FoundItem
from .memory_rows import Undo
from .operations import DeleteExpired, DeleteItem, ProlongItem, PutItem
from .queries import ItemQuery, NamespaceQuery
from .records import ItemRow

__all__ = ["MemoryItems", "similarity"]


@attrs.frozen
class _Kept:
    put: PutItem
    number: int  # in which order they were made
    text: IndexedText

    @cached_property
    def scanned(self) -> PutItem:
        """With the words of its text."""
        return attrs.evolve(self.put, text=" ".join(all_words(self.put.text)))


@attrs.define
class MemoryItems:
    """By namespace and key. `_texts`: the namespaces that have items, as sorted texts."""

    _kept: dict[str, dict[str, _Kept]] = attrs.field(init=False, factory=dict)
    _texts: list[str] = attrs.field(init=False, factory=list)
    _made: int = attrs.field(init=False, default=0)

    def apply(
        self, operation: PutItem | DeleteItem | ProlongItem | DeleteExpired, undo: Undo
    ) -> None:
        match operation:
            case PutItem(item):
                text = IndexedText(operation.text)
                before = self._find(item.namespace, item.key, item.updated_at)
                if before is None:
                    self._made += 1
                    kept = _Kept(operation, self._made, text)
                else:
                    item = attrs.evolve(item, created_at=before.put.item.created_at)
                    kept = _Kept(attrs.evolve(operation, item=item), before.number, text)
                self._set(item.namespace, item.key, kept, undo)
            case DeleteItem(namespace, key):
                self._set(namespace, key, None, undo)
            case ProlongItem(namespace, key, ttl, expires_at):
                found = self._find(namespace, key, "")
                if (
                    found is not None
                    and found.put.item.ttl == ttl
                    and (found.put.item.expires_at or "") < expires_at
                ):
                    item = attrs.evolve(found.put.item, expires_at=expires_at)
                    put = attrs.evolve(found.put, item=item)
                    self._set(namespace, key, _Kept(put, found.number, found.text), undo)
            case DeleteExpired(now, limit):
                expired = (item for item in self._mortal() if not _lives(item, now))
                for item in nsmallest(limit, expired, key=attrgetter("expires_at")):
                    self._set(item.namespace, item.key, None, undo)

    def get(self, namespace: tuple[str, ...], key: str, now: str) -> ItemRow | None:
        kept = self._find(namespace, key, now)
        return None if kept is None else kept.put.item

    def search(self, query: ItemQuery) -> list[FoundItem]:
        below = sorted(self._below(query.prefix), key=lambda kept: kept.number)
        return _ranked((kept for kept in below if _lives(kept.put.item, query.now)), query)

    def scan(self, after: int) -> list[tuple[int, PutItem]]:
        found = [one for some in self._kept.values() for one in some.values() if one.number > after]
        found.sort(key=attrgetter("number"))
        return [(one.number, one.scanned) for one in found]

    def list_namespaces(self, query: NamespaceQuery) -> list[tuple[str, ...]]:
        def following(at: str, end: str) -> str | None:
            start, stop = (bisect_left(self._texts, text) for text in (at, end))
            for text in islice(self._texts, start, stop):
                if any(_lives(kept.put.item, query.now) for kept in self._kept[text].values()):
                    return text
            return None

        return namespaces.list_namespaces(query, following)

    def next_expiry(self) -> str | None:
        return min((item.expires_at for item in self._mortal() if item.expires_at), default=None)

    def _find(self, namespace: tuple[str, ...], key: str, now: str) -> _Kept | None:
        kept = self._kept.get(namespaces.to_text(namespace), {}).get(key)
        return kept if kept is not None and _lives(kept.put.item, now) else None

    def _set(
        self, namespace: tuple[str, ...], key: str, kept: _Kept | None, undo: Undo | None
    ) -> None:
        text = namespaces.to_text(namespace)
        items = self._kept.get(text)
        if undo is not None:
            undo.append(partial(self._set, namespace, key, (items or {}).get(key), None))
        if kept is not None:
            if items is None:
                items = self._kept[text] = {}
                insort(self._texts, text)
            items[key] = kept
        elif items is not None and items.pop(key, None) is not None and not items:
            del self._kept[text]
            del self._texts[bisect_left(self._texts, text)]

    def _below(self, prefix: tuple[str, ...]) -> Iterator[_Kept]:
        start, end = namespaces.below(prefix)
        for text in self._texts[bisect_left(self._texts, start) : bisect_left(self._texts, end)]:
            yield from self._kept[text].values()

    def _mortal(self) -> Iterator[ItemRow]:
        for kept in self._below(()):
            if kept.put.item.expires_at is not None:
                yield kept.put.item


def similarity(vectors: Iterable[Sequence[float]], wanted: Sequence[float]) -> float | None:
    """How alike the nearest of an item's vectors is; None if another function made them all."""
    alike = (sum(map(mul, vector, wanted)) for vector in vectors if len(vector) == len(wanted))
    return max(alike, default=None)


def _ranked(items: Iterable[_Kept], query: ItemQuery) -> list[FoundItem]:
    """The page that a query asks for, of items in the order in which they were made."""
    encode_json(dict(query.filter), "filter")
    found = [
        (kept.put.item, _score(kept, query))
        for kept in items
        if not query.filter or fits(msgspec.json.decode(kept.put.item.value), query.filter)
    ]
    found.sort(key=lambda pair: (pair[1] is None, -(pair[1] or 0.0)))
    return [
        FoundItem(item, score) for item, score in found[query.offset : query.offset + query.limit]
    ]


def _lives(item: ItemRow, now: str) -> bool:
    return item.expires_at is None or item.expires_at > now


def _score(kept: _Kept, query: ItemQuery) -> float | None:
    if query.vector is not None:
        return similarity(kept.put.vectors, query.vector)
    return score(query.words, kept.text) if query.words else None
