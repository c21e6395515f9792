"""The user's store: items that outlive a thread, by namespace and key.

Names and meanings follow `langgraph.store`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol, TypedDict, runtime_checkable

import attrs

from .errors import InvalidItemError, InvalidNamespaceError
from .vectors import IndexConfig

__all__ = [
    "UNSET",
    "BaseStore",
    "Item",
    "Namespace",
    "SearchItem",
    "StoreConfig",
    "TTLConfig",
    "Unset",
    "check_namespace",
    "check_page",
    "check_put",
    "fits_pattern",
]

Namespace = tuple[str, ...]
Value = dict[str, Any]

MAX_TTL: Final = 100 * 366 * 24 * 60  # minutes: a hundred years


class Unset:
    """Type of the default of `ttl`: what the store was configured with."""


UNSET: Final = Unset()


class TTLConfig(TypedDict, total=False):
    """When items expire.

    `refresh_on_read`: reading an item starts its time anew (default True). `default_ttl`: minutes
    an item lives that was put without a `ttl` (default None: for ever). `sweep_interval_minutes`:
    how often a durable store clears away what has expired, which is not seen any more by then
    (default 5).
    """

    refresh_on_read: bool
    default_ttl: float | None
    sweep_interval_minutes: float | None


class StoreConfig(TypedDict, total=False):
    """How a durable store is to be, as the key `store` of a configuration file says it."""

    index: IndexConfig
    ttl: TTLConfig


@attrs.frozen(kw_only=True)
class Item:
    """What is kept under a key of a namespace, and when it was made and last put."""

    namespace: Namespace
    key: str
    value: Value
    created_at: datetime
    updated_at: datetime

    def dict(self) -> Value:
        """As JSON has it: times as ISO 8601 text."""
        return {
            **attrs.asdict(self, recurse=False),
            "namespace": list(self.namespace),
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
        }


@attrs.frozen(kw_only=True)
class SearchItem(Item):
    """An item that was found. `score`: cosine similarity to the query, None without one."""

    score: float | None = None


@runtime_checkable
class BaseStore(Protocol):
    """What a graph's nodes can do with a store; `InMemoryStore` says what the parts mean.

    The methods with an `a` are for async nodes, the others for plain ones.
    """

    def get(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None: ...

    def put(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | Unset | None = UNSET,
    ) -> None: ...

    def delete(self, namespace: Namespace, key: str) -> None: ...

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
    ) -> list[SearchItem]: ...

    def list_namespaces(
        self,
        *,
        prefix: Namespace | None = None,
        suffix: Namespace | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]: ...

    async def aget(
        self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None
    ) -> Item | None: ...

    async def aput(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | list[str] | None = None,
        *,
        ttl: float | Unset | None = UNSET,
    ) -> None: ...

    async def adelete(self, namespace: Namespace, key: str) -> None: ...

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
    ) -> list[SearchItem]: ...

    async def alist_namespaces(
        self,
        *,
        prefix: Namespace | None = None,
        suffix: Namespace | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]: ...


def check_namespace(namespace: Sequence[str]) -> Namespace:
    """A namespace, or a prefix of some, as a tuple. Raises InvalidNamespaceError."""
    if isinstance(namespace, str):
        raise InvalidNamespaceError(
            f"A namespace is a tuple of strings; got {namespace!r}: did you mean ({namespace!r},)?"
        )
    for label in namespace:
        if not isinstance(label, str):
            raise InvalidNamespaceError(
                f"The labels of a namespace are strings; got {label!r} in {namespace!r}"
            )
        if not label or "." in label or "\0" in label:
            raise InvalidNamespaceError(
                f"A label of a namespace may not be empty or contain '.' or NUL; "
                f"got {label!r} in {namespace!r}"
            )
    return tuple(namespace)


def check_put(
    namespace: Sequence[str],
    key: str,
    value: Any,
    index: Literal[False] | list[str] | None,
    ttl: float | Unset | None,
    config: TTLConfig,
) -> tuple[Namespace, timedelta | None]:
    """The namespace of an item, and how long it lives.

    Raises InvalidNamespaceError, InvalidItemError or TypeError.
    """
    namespace = check_namespace(namespace)
    if not namespace:
        raise InvalidNamespaceError("The namespace of an item may not be empty")
    if namespace[0] == "langgraph":
        raise InvalidNamespaceError(f"Namespace {namespace!r}: 'langgraph' is reserved")
    if not isinstance(key, str):
        raise TypeError(f"The key of an item is a string; got {key!r}")
    if not isinstance(value, Mapping):
        raise TypeError(f"The value of item {key!r} is a dict; got {type(value).__name__}")
    if not (index is None or index is False or _are_paths(index)):
        raise TypeError(f"The index of item {key!r} is False or a list of paths; got {index!r}")
    minutes = config.get("default_ttl") if isinstance(ttl, Unset) else ttl
    if minutes is None:
        return namespace, None
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)):
        raise TypeError(f"The ttl of item {key!r} is a number of minutes; got {minutes!r}")
    if not 0 < minutes <= MAX_TTL:
        raise InvalidItemError(
            f"The ttl of item {key!r} must be more than 0 minutes and at most a hundred years; "
            f"got {minutes!r}"
        )
    return namespace, timedelta(minutes=minutes)


def check_page(limit: int, offset: int, max_depth: int | None = None) -> None:
    """Raises InvalidItemError for a page that cannot be."""
    depth = 1 if max_depth is None else max_depth
    for name, given, least in (("limit", limit, 0), ("offset", offset, 0), ("max_depth", depth, 1)):
        if not least <= given < 2**63:
            raise InvalidItemError(f"{name} is a whole number of at least {least}; got {given!r}")


def _are_paths(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(path, str) for path in value)


def fits_pattern(labels: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether labels start with those of a pattern, in which "*" stands for any label."""
    return len(labels) >= len(pattern) and all(
        want in ("*", label) for label, want in zip(labels, pattern, strict=False)
    )
