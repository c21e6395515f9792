"""The user's store: items that outlive a thread, by namespace and key.

Names and meanings follow `langgraph.store`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypedDict, runtime_checkable

import attrs

from .errors import GraphError

__all__ = [
    "UNSET",
    "BaseStore",
    "InvalidNamespaceError",
    "Item",
    "Namespace",
    "SearchItem",
    "TTLConfig",
    "Unset",
    "check_namespace",
    "fits",
]

Namespace = tuple[str, ...]
Value = dict[str, Any]


class InvalidNamespaceError(GraphError, ValueError):
    """A namespace that no item can have."""


class Unset:
    """Type of the default of `ttl`: what the store was configured with."""


UNSET: Final = Unset()


class TTLConfig(TypedDict, total=False):
    """When items expire.

    `refresh_on_read`: reading an item starts its time anew (default True). `default_ttl`: minutes
    an item lives that was put without a `ttl` (default None: for ever).
    """

    refresh_on_read: bool
    default_ttl: float | None


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


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "$eq": lambda value, other: bool(value == other),
    "$ne": lambda value, other: bool(value != other),
    "$gt": lambda value, other: bool(value > other),
    "$gte": lambda value, other: bool(value >= other),
    "$lt": lambda value, other: bool(value < other),
    "$lte": lambda value, other: bool(value <= other),
}


def fits(value: Any, by: Any) -> bool:
    """Whether a field's value is what a filter asks for; what cannot be compared does not fit.

    Raises ValueError for an unknown operator.
    """
    if not isinstance(by, Mapping):
        return bool(value == by)
    if not any(str(key).startswith("$") for key in by):
        return isinstance(value, Mapping) and all(fits(value.get(k), v) for k, v in by.items())
    for name in by:
        if name not in _COMPARE:
            raise ValueError(f"Unknown filter operator {name!r}; known are {', '.join(_COMPARE)}")
    try:
        return all(_COMPARE[name](value, other) for name, other in by.items())
    except TypeError:
        return False
