"""What nodes did with inputs they had before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

from .isolation import isolated
from .plan import Outcome

if TYPE_CHECKING:
    from .attempt import Task
    from .nodes import Node

__all__ = ["BaseCache", "FullKey", "InMemoryCache", "cache_key", "cache_namespace"]

Namespace = tuple[str, ...]
FullKey = tuple[Namespace, str]  # (namespace, key in it)


@runtime_checkable
class BaseCache(Protocol):
    """Where outcomes are kept, by namespace and key; seconds to keep them, or None, come with them.

    The methods with an `a` are those that runs call.
    """

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Outcome]: ...

    def set(self, pairs: Mapping[FullKey, tuple[Outcome, float | None]]) -> None: ...

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None: ...

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Outcome]: ...

    async def aset(self, pairs: Mapping[FullKey, tuple[Outcome, float | None]]) -> None: ...

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None: ...


class InMemoryCache(BaseCache):
    """Keeps outcomes for as long as it lives: `compile(cache=InMemoryCache())`.

    `clock`: the time in UTC, for tests. Safe to use from several threads.
    """

    def __init__(self, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = clock
        self._lock = threading.Lock()
        self._kept: dict[Namespace, dict[str, tuple[Outcome, datetime | None]]] = {}

    def get(self, keys: Sequence[FullKey]) -> dict[FullKey, Outcome]:
        """What is known of these keys; unknown ones are left out."""
        known: dict[FullKey, Outcome] = {}
        with self._lock:
            now = self._now()
            for namespace, key in keys:
                kept = self._kept.get(namespace, {})
                if key not in kept:
                    continue
                value, expires = kept[key]
                if expires is not None and expires <= now:
                    del kept[key]
                else:
                    known[namespace, key] = _copied(value)
        return known

    def set(self, pairs: Mapping[FullKey, tuple[Outcome, float | None]]) -> None:
        """Keep values, each with the seconds it is good for (None: for ever)."""
        with self._lock:
            now = self._now()
            for (namespace, key), (value, ttl) in pairs.items():
                expires = None if ttl is None else now + timedelta(seconds=ttl)
                self._kept.setdefault(namespace, {})[key] = (_copied(value), expires)

    def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Forget these namespaces, or everything."""
        with self._lock:
            for namespace in list(self._kept) if namespaces is None else namespaces:
                self._kept.pop(namespace, None)

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, Outcome]:
        return self.get(keys)

    async def aset(self, pairs: Mapping[FullKey, tuple[Outcome, float | None]]) -> None:
        self.set(pairs)

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        self.clear(namespaces)


def cache_namespace(node: Node) -> Namespace:
    """Where the outcomes of a node are kept: by its function, or the graph called as it, and its
    name."""
    if node.subgraph is not None:
        return ("graph", node.subgraph.name, node.name)
    function = node.call.function if node.call is not None else None
    module = getattr(function, "__module__", None) or ""
    return ("node", module, getattr(function, "__qualname__", None) or "", node.name)


def cache_key(task: Task) -> FullKey:
    """The key of a task, by its node's policy. Raises what the policy's key function raises."""
    policy = task.node.cache
    assert policy is not None
    given = isolated(task.planned.arg if task.planned.takes_arg else task.values)
    call = task.node.call
    args, kwargs = ((given,), {}) if call is None else call.arguments(given)
    try:
        key = policy.key_func(*args, **kwargs)
    except Exception as error:
        error.add_note(f"Raised by the cache policy of node {task.node.name!r}")
        raise
    return cache_namespace(task.node), key if isinstance(key, str) else key.hex()


def _copied(outcome: Outcome) -> Outcome:
    return attrs.evolve(outcome, writes=isolated(outcome.writes))
