"""The store: the user's own items, the same that nodes are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from greenroom.graph import InvalidItemError, InvalidNamespaceError
from greenroom.graph.store import UNSET, check_namespace, check_put
from greenroom.storage import Unstorable

from ..errors import Invalid
from ..supervisor import Supervisor
from .checks import check_mapping, check_page

__all__ = ["StoreClient"]


class StoreClient:
    """`client.store`. Namespaces are sequences of labels. What cannot be raises Invalid."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._store = supervisor.store

    async def put_item(
        self,
        namespace: Sequence[str],
        /,
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        ttl: float | None = None,
    ) -> None:
        """Keep `value` under `key`, in place of what was there.

        `index`: paths of the fields to search by, False for none; None as configured. `ttl`:
        minutes until it expires; None as configured.
        """
        _check_name("namespace", namespace, key)
        minutes = UNSET if ttl is None else ttl
        with _invalid():
            try:
                check_put(namespace, key, value, index, minutes, {})
            except TypeError as error:
                raise Invalid(str(error)) from error
            await self._store.aput(check_namespace(namespace), key, value, index, ttl=minutes)

    async def get_item(
        self, namespace: Sequence[str], /, key: str, *, refresh_ttl: bool | None = None
    ) -> dict[str, Any] | None:
        """An item, or None. `refresh_ttl`: start its time anew; None as configured."""
        _check_name("namespace", namespace, key)
        with _invalid():
            item = await self._store.aget(check_namespace(namespace), key, refresh_ttl=refresh_ttl)
        return None if item is None else item.dict()

    async def delete_item(self, namespace: Sequence[str], /, key: str) -> None:
        """Forget an item; nothing happens where there is none."""
        _check_name("namespace", namespace, key)
        with _invalid():
            await self._store.adelete(check_namespace(namespace), key)

    async def search_items(
        self,
        namespace_prefix: Sequence[str],
        /,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        query: str | None = None,
        refresh_ttl: bool | None = None,
    ) -> dict[str, list[dict[str, Any]]]:
        """`{"items": […]}` of all namespaces that start with `namespace_prefix`, in the order they
        were made; with a `query`, best match first. `filter`: see `InMemoryStore.search`."""
        check_page(limit, offset)
        _check_name("namespace_prefix", namespace_prefix)
        if query is not None and not isinstance(query, str):
            raise Invalid(f"query: {query!r} is not a string")
        with _invalid():
            found = await self._store.asearch(
                check_namespace(namespace_prefix),
                query=query,
                filter=check_mapping("filter", filter),
                limit=limit,
                offset=offset,
                refresh_ttl=refresh_ttl,
            )
        return {"items": [item.dict() for item in found]}

    async def list_namespaces(
        self,
        prefix: Sequence[str] | None = None,
        suffix: Sequence[str] | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> dict[str, list[list[str]]]:
        """`{"namespaces": […]}` that have items, sorted; see `InMemoryStore.list_namespaces`."""
        check_page(limit, offset)
        _check_name("prefix", prefix or ())
        _check_name("suffix", suffix or ())
        with _invalid():
            found = await self._store.alist_namespaces(
                prefix=check_namespace(prefix or ()),
                suffix=check_namespace(suffix or ()),
                max_depth=max_depth,
                limit=limit,
                offset=offset,
            )
        return {"namespaces": [list(namespace) for namespace in found]}


def _check_name(name: str, namespace: object, key: object = "") -> None:
    if not isinstance(namespace, Sequence):
        raise Invalid(f"{name}: {namespace!r} is not a list of labels")
    if not isinstance(key, str):
        raise Invalid(f"key: {key!r} is not a string")


@contextmanager
def _invalid() -> Iterator[None]:
    try:
        yield
    except (InvalidNamespaceError, InvalidItemError, Unstorable) as error:
        raise Invalid(str(error)) from error
