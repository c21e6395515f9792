"""A store of ours as LangGraph's nodes are given it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
from langgraph.store.base import BaseStore as LangGraphBaseStore
from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

from .. import store as ours
from ..asyncio_thread import AsyncioThread
from ..here import to_trio, wait_for_trio, work_for
from .plain import plain

__all__ = ["LentStore"]


class LentStore(LangGraphBaseStore):
    """Items are kept by a store that lives on trio. `thread`: the one that it is lent to."""

    supports_ttl = True

    def __init__(self, store: ours.BaseStore, thread: AsyncioThread | None = None) -> None:
        self._store = store
        self._thread = thread

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await to_trio(self._perform, list(ops))

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        if self._thread is not None:  # also from threads that do not say for whom they work
            work_for(self._thread)
        return wait_for_trio(self._perform, list(ops))

    async def _perform(self, ops: list[Op]) -> list[Result]:
        return [await self._one(op) for op in ops]

    async def _one(self, op: Op) -> Any:
        store = self._store
        match op:
            case GetOp():
                found = await store.aget(op.namespace, op.key, refresh_ttl=op.refresh_ttl)
                return None if found is None else Item(**_fields(found))
            case PutOp(value=None):
                await store.adelete(op.namespace, op.key)
            case PutOp():
                ttl = ours.UNSET if isinstance(op.ttl, NotProvided) else op.ttl
                await store.aput(op.namespace, op.key, plain(op.value or {}), op.index, ttl=ttl)
            case SearchOp():
                items = await store.asearch(
                    op.namespace_prefix,
                    query=op.query,
                    filter=op.filter,
                    limit=op.limit,
                    offset=op.offset,
                    refresh_ttl=op.refresh_ttl,
                )
                return [SearchItem(**_fields(item)) for item in items]
            case ListNamespacesOp():
                ends = {one.match_type: tuple(one.path) for one in op.match_conditions or ()}
                return await store.alist_namespaces(
                    prefix=ends.get("prefix"),
                    suffix=ends.get("suffix"),
                    max_depth=op.max_depth,
                    limit=op.limit,
                    offset=op.offset,
                )
        return None


def _fields(item: ours.Item) -> dict[str, Any]:
    return attrs.asdict(item, recurse=False)
