"""The user's store in a storage backend: items that outlive threads and processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, Literal, NoReturn, TypeVar

import trio

from greenroom.graph.filters import check_filter
from greenroom.graph.here import on_asyncio, on_trio
from greenroom.graph.store import (
    UNSET,
    BaseStore,
    Item,
    Namespace,
    SearchItem,
    TTLConfig,
    Unset,
    check_page,
    check_put,
)
from greenroom.graph.vectors import IndexConfig, VectorIndex
from greenroom.graph.words import text_of, words_of
from greenroom.graph.world import World, world_of_program

from .contract import Storage
from .items import checked_key, checked_namespace, fields_of, item_row, prolonged, put_at, time_text
from .operations import DeleteExpired, DeleteItem, PutItem
from .queries import ItemQuery, NamespaceQuery
from .records import ItemRow
from .session import StorageSession
from .sweeping import SweepLoop

__all__ = ["StorageStore"]

SWEEP_INTERVAL: Final = 5.0  # minutes
SLICE: Final = 200  # items that a sweep deletes in one commit

T = TypeVar("T")


class StorageStore(BaseStore):
    """Keeps items in an open storage. Made and used inside trio:

        async with StorageSession(SqliteStorage("graph.db")) as session:
            graph = builder.compile(store=StorageStore(session))

    As `InMemoryStore`, with these differences: values are plain JSON (others raise Unstorable, a
    StorageError), at most 4 MiB of it; a namespace has up to 16 labels and 1024 bytes, a key up to
    1024 bytes. What `put` returned from is durable. The methods without an `a` block: they are for
    threads, and raise RuntimeError on the event loop. `ttl`: see `TTLConfig`; what has expired is
    not seen any more, and deleted by `keep_swept`. All raise StorageError where storage fails.
    """

    def __init__(
        self,
        session: StorageSession,
        *,
        index: IndexConfig | None = None,
        ttl: TTLConfig | None = None,
        world: World | None = None,
    ) -> None:
        self._session = session
        self._index = VectorIndex.of(index) if index is not None else None
        self._ttl = ttl or TTLConfig()
        self._world = world or world_of_program()
        self._token = trio.lowlevel.current_trio_token()
        self._sweeps = SweepLoop(
            session,
            Storage.next_expiry,
            self.sweep,
            60 * (self._ttl.get("sweep_interval_minutes") or SWEEP_INTERVAL),
            "store items",
        )

    @on_trio
    async def aget(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """An item, or None. `refresh_ttl`: start its time anew (default: as configured)."""
        namespace, key = checked_namespace(namespace), checked_key(key)
        now = self._world.now()
        row = await self._session.read(Storage.get_item, namespace, key, time_text(now))
        if row is None:
            return None
        await self._prolong([row], now, refresh_ttl)
        return Item(**fields_of(row))

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
        """Keep `value`, a dict, under `key`, in place of what was there; see `InMemoryStore.put`.

        Being cancelled cancels the wait, not what has been handed to storage. Raises
        InvalidNamespaceError, InvalidItemError, TypeError or Unstorable for what cannot be kept.
        """
        namespace, lifetime = check_put(namespace, key, value, index, ttl, self._ttl)
        value = dict(value)
        item = item_row(namespace, key, value, lifetime)
        text = text_of(value, index) if self._index is None else ""
        found = await self._index.avectors(value, index) if self._index is not None else ()
        item = put_at(item, self._world.now())
        await self._session.commit([PutItem(item, text, tuple(one.parts for one in found))])
        if lifetime is not None:
            self._sweeps.heed()

    @on_trio
    async def adelete(self, namespace: Namespace, key: str) -> None:
        """Forget an item; nothing happens where there is none."""
        await self._session.commit([DeleteItem(checked_namespace(namespace), checked_key(key))])

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
        """Items of all namespaces that start with `namespace_prefix`; see `InMemoryStore.search`.

        A search by meaning compares the query with every item that fits otherwise.
        """
        prefix = checked_namespace(namespace_prefix)
        check_page(limit, offset)
        check_filter(filter or {})
        vector = None
        if self._index is not None and query:
            vector = (await self._index.aquery(query)).parts
        now = self._world.now()
        wanted = ItemQuery(
            now=time_text(now),
            prefix=prefix,
            filter=filter or {},
            vector=vector,
            words=words_of(query) if query and self._index is None else (),
            limit=limit,
            offset=offset,
        )
        found = await self._session.read(Storage.search_items, wanted)
        await self._prolong([one.item for one in found], now, refresh_ttl)
        return [SearchItem(**fields_of(one.item), score=one.score) for one in found]

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
        """Namespaces that have items, sorted; see `InMemoryStore.list_namespaces`."""
        check_page(limit, offset, max_depth)
        query = NamespaceQuery(
            now=time_text(self._world.now()),
            prefix=checked_namespace(prefix or ()),
            suffix=checked_namespace(suffix or ()),
            max_depth=max_depth,
            limit=limit,
            offset=offset,
        )
        return await self._session.read(Storage.list_namespaces, query)

    def get(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """`aget` for plain nodes."""
        return self._in_loop("get", partial(self.aget, namespace, key, refresh_ttl=refresh_ttl))

    def put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | Unset | None = UNSET,
    ) -> None:
        """`aput` for plain nodes."""
        self._in_loop("put", partial(self.aput, namespace, key, value, index, ttl=ttl))

    def delete(self, namespace: Namespace, key: str) -> None:
        """`adelete` for plain nodes."""
        self._in_loop("delete", partial(self.adelete, namespace, key))

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
        """`asearch` for plain nodes."""
        search = partial(
            self.asearch,
            namespace_prefix,
            query=query,
            filter=filter,
            limit=limit,
            offset=offset,
            refresh_ttl=refresh_ttl,
        )
        return self._in_loop("search", search)

    def list_namespaces(
        self,
        *,
        prefix: Namespace | None = None,
        suffix: Namespace | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """`alist_namespaces` for plain nodes."""
        list_namespaces = partial(
            self.alist_namespaces,
            prefix=prefix,
            suffix=suffix,
            max_depth=max_depth,
            limit=limit,
            offset=offset,
        )
        return self._in_loop("list_namespaces", list_namespaces)

    async def sweep(self) -> None:
        """Delete what has expired, in commits so small that nobody waits for them."""
        while True:
            now = time_text(self._world.now())
            first = await self._session.read(Storage.next_expiry)
            if first is None or first > now:
                return
            await self._session.commit([DeleteExpired(now, SLICE)])

    async def keep_swept(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Sweep from time to time, for as long as there is something that expires."""
        await self._sweeps.run(task_status)

    async def _prolong(self, rows: Sequence[ItemRow], now: datetime, wanted: bool | None) -> None:
        """Start the time of items that were read anew."""
        if not (self._ttl.get("refresh_on_read", True) if wanted is None else wanted):
            return
        longer = prolonged(rows, now)
        if longer:
            await self._session.commit(longer)

    def _in_loop(self, name: str, method: Callable[[], Awaitable[T]]) -> T:
        if trio.lowlevel.in_trio_run() or on_asyncio():
            raise RuntimeError(
                f"store.{name}() blocks and was called on the event loop; "
                f"use 'await store.a{name}(…)'"
            )
        try:
            return trio.from_thread.run(method, trio_token=self._token)
        except trio.RunFinishedError:
            raise self._session.closed() from None
