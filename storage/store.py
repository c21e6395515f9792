"""The user's store in a storage backend: items that outlive threads and processes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal, NoReturn, TypeVar

import msgspec
import trio

from greenroom.graph.errors import InvalidItemError, InvalidNamespaceError
from greenroom.graph.filters import check_filter
from greenroom.graph.store import (
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
)
from greenroom.graph.vectors import IndexConfig, VectorIndex
from greenroom.graph.words import text_of, words_of
from greenroom.graph.world import World, world_of_program

from .codec import encode_json
from .contract import (
    DeleteExpired,
    DeleteItem,
    ItemQuery,
    NamespaceQuery,
    ProlongItem,
    PutItem,
    Storage,
    StorageError,
)
from .records import ItemRow
from .session import StorageSession

__all__ = ["StorageStore"]

logger = logging.getLogger(__name__)

# What an item may have, in bytes of UTF-8; together they fit into the index of any database.
MAX_LABELS: Final = 16
MAX_NAMESPACE: Final = 1024
MAX_KEY: Final = 1024
MAX_VALUE: Final = 4 * 1024 * 1024  # as JSON

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
        self._something_expires = trio.Event()

    async def aget(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None:
        """An item, or None. `refresh_ttl`: start its time anew (default: as configured)."""
        namespace, key = _check_namespace(namespace), _check_key(key)
        now = self._world.now()
        row = await self._session.read(Storage.get_item, namespace, key, _text(now))
        if row is None:
            return None
        await self._prolong([row], now, refresh_ttl)
        return Item(**_fields(row))

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
        namespace, key = _check_namespace(namespace), _check_key(key)
        value = dict(value)
        data = encode_json(value, "value")
        if len(data) > MAX_VALUE:
            raise InvalidItemError(
                f"The value of item {key!r} has {len(data)} bytes as JSON; {MAX_VALUE} are allowed"
            )
        text = text_of(value, index) if self._index is None else ""
        found = await self._index.avectors(value, index) if self._index is not None else ()
        now = self._world.now()
        item = ItemRow(
            namespace=namespace,
            key=key,
            value=data,
            created_at=_text(now),
            updated_at=_text(now),
            ttl=None if lifetime is None else lifetime / timedelta(minutes=1),
            expires_at=None if lifetime is None else _text(now + lifetime),
        )
        await self._session.commit([PutItem(item, text, tuple(one.parts for one in found))])
        if lifetime is not None:
            self._something_expires.set()

    async def adelete(self, namespace: Namespace, key: str) -> None:
        """Forget an item; nothing happens where there is none."""
        await self._session.commit([DeleteItem(_check_namespace(namespace), _check_key(key))])

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
        prefix = _check_namespace(namespace_prefix)
        check_page(limit, offset)
        check_filter(filter or {})
        vector = None
        if self._index is not None and query:
            vector = (await self._index.aquery(query)).parts
        now = self._world.now()
        wanted = ItemQuery(
            now=_text(now),
            prefix=prefix,
            filter=filter or {},
            vector=vector,
            words=words_of(query) if query and self._index is None else (),
            limit=limit,
            offset=offset,
        )
        found = await self._session.read(Storage.search_items, wanted)
        await self._prolong([one.item for one in found], now, refresh_ttl)
        return [SearchItem(**_fields(one.item), score=one.score) for one in found]

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
            now=_text(self._world.now()),
            prefix=_check_namespace(prefix or ()),
            suffix=_check_namespace(suffix or ()),
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
            now = _text(self._world.now())
            first = await self._session.read(Storage.next_expiry)
            if first is None or first > now:
                return
            await self._session.commit([DeleteExpired(now, SLICE)])

    async def keep_swept(
        self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> NoReturn:
        """Sweep from time to time, for as long as there is something that expires."""
        interval = 60 * (self._ttl.get("sweep_interval_minutes") or SWEEP_INTERVAL)
        await self._look_ahead()
        task_status.started()
        while True:
            await self._something_expires.wait()
            try:
                await self.sweep()
                await self._look_ahead()
            except StorageError:
                logger.exception("store items that have expired cannot be deleted now")
            await trio.sleep(interval)

    async def _look_ahead(self) -> None:
        self._something_expires = trio.Event()
        if await self._session.read(Storage.next_expiry) is not None:
            self._something_expires.set()

    async def _prolong(self, rows: Sequence[ItemRow], now: datetime, wanted: bool | None) -> None:
        """Start the time of items that were read anew."""
        if not (self._ttl.get("refresh_on_read", True) if wanted is None else wanted):
            return
        longer = [
            ProlongItem(row.namespace, row.key, row.ttl, _text(now + timedelta(minutes=row.ttl)))
            for row in rows
            if row.ttl is not None
        ]
        if longer:
            await self._session.commit(longer)

    def _in_loop(self, name: str, method: Callable[[], Awaitable[T]]) -> T:
        if trio.lowlevel.in_trio_run():
            raise RuntimeError(
                f"store.{name}() blocks and was called on the event loop; "
                f"use 'await store.a{name}(…)'"
            )
        try:
            return trio.from_thread.run(method, trio_token=self._token)
        except trio.RunFinishedError:
            raise StorageError("The storage session is closed") from None


def _text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _fields(row: ItemRow) -> dict[str, Any]:
    return {
        "namespace": row.namespace,
        "key": row.key,
        "value": msgspec.json.decode(row.value),
        "created_at": datetime.fromisoformat(row.created_at),
        "updated_at": datetime.fromisoformat(row.updated_at),
    }


def _check_namespace(namespace: Sequence[str]) -> Namespace:
    labels = check_namespace(namespace)
    if len(labels) > MAX_LABELS:
        raise InvalidNamespaceError(
            f"A namespace has at most {MAX_LABELS} labels; got {len(labels)}: {labels!r:.200}"
        )
    size = sum(_size(label, InvalidNamespaceError) for label in labels)
    if size > MAX_NAMESPACE:
        raise InvalidNamespaceError(
            f"The labels of a namespace have at most {MAX_NAMESPACE} bytes; "
            f"got {size}: {labels!r:.200}"
        )
    return labels


def _check_key(key: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"The key of an item is a string; got {key!r}")
    if "\0" in key:
        raise InvalidItemError(f"The key of an item may not contain NUL; got {key!r:.200}")
    if (size := _size(key, InvalidItemError)) > MAX_KEY:
        raise InvalidItemError(
            f"The key of an item has at most {MAX_KEY} bytes; got {size}: {key!r:.200}"
        )
    return key


def _size(text: str, error: type[Exception]) -> int:
    """How many bytes a label or a key takes."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise error(f"A lone surrogate cannot be stored; got {text!r:.200}") from None
