"""What a graph's builder refuses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, get_args

from .cache import BaseCache
from .control import END, START
from .nodes import INPUT, AsyncLibrary, Branch, Node
from .plan import handler_of
from .policies import CachePolicy
from .store import BaseStore

if TYPE_CHECKING:
    from .job import Breakpoints

__all__ = [
    "check_async_library",
    "check_breakpoints",
    "check_cache_policy",
    "check_edges",
    "check_key",
    "check_name",
    "check_parts",
]

# Beside nodes and state keys of these names, those that results and streams have would not be seen.
_RESERVED: Final = (INPUT, "__interrupt__", "__metadata__")
_SEPARATORS: Final = ("|", ":")  # they part the names in a checkpoint namespace


def check_name(name: str, taken: Collection[str] = (), *, kind: str = "Node") -> None:
    """Raises ValueError for the name of a node, or of another `kind`, that is taken, reserved or
    not usable.
    """
    if name in (START, END, *_RESERVED) or name.startswith(handler_of("")):
        raise ValueError(f"{kind} name {name!r} is reserved")
    if name in taken:
        raise ValueError(f"There is a node {name!r} already")
    for separator in _SEPARATORS:
        if separator in name:
            raise ValueError(f"{kind} name {name!r} may not contain {separator!r}")


def check_key(key: str) -> None:
    """Raises ValueError for a state key that is reserved."""
    if key in _RESERVED:
        raise ValueError(f"State key {key!r} is reserved")


def check_cache_policy(policy: Any) -> None:
    """Raises TypeError for what is none."""
    if policy is not None and not isinstance(policy, CachePolicy):
        raise TypeError(f"cache_policy must be a CachePolicy; got {policy!r}")


def check_edges(
    nodes: Mapping[str, Node],
    edges: Sequence[tuple[str, str]],
    branches: Sequence[Branch],
) -> None:
    """Raises ValueError for edges from or to unknown nodes, and for a graph with no way in.

    `edges`: those from several nodes are one for each of them.
    """
    for start, end in edges:
        if start not in nodes:
            raise ValueError(f"The edge {start!r} -> {end!r} starts at an unknown node")
        if end not in nodes and end != END:
            raise ValueError(f"The edge {start!r} -> {end!r} ends at an unknown node")
    for branch in branches:
        if branch.source not in nodes:
            raise ValueError(f"A conditional edge starts at an unknown node: {branch.source!r}")
        for end in (branch.path_map or {}).values():
            if end not in nodes and end != END:
                raise ValueError(
                    f"A conditional edge from {branch.source!r} ends at an unknown node: {end!r}"
                )
    for node in nodes.values():
        for end in node.destinations:
            if end not in nodes and end != END:
                raise ValueError(f"Node {node.name!r} has an unknown destination: {end!r}")
    if START not in {*(start for start, _ in edges), *(branch.source for branch in branches)}:
        raise ValueError("The graph has no way in: add an edge from START to a node")


def check_breakpoints(nodes: Collection[str] | None, **given: Breakpoints | None) -> None:
    """Raises ValueError for breakpoints that are no list, or not of these nodes. `nodes`: None for
    a run, in which unknown ones stop nothing. `given`: by argument."""
    for name, breaks in given.items():
        if breaks is None or breaks == "*":
            continue
        if isinstance(breaks, str):
            raise ValueError(f"{name} is a list of node names, or '*' for all; got {breaks!r}")
        for node in breaks:
            if nodes is not None and (node not in nodes or node == START):
                raise ValueError(f"{name} names {node!r}, which is no node of the graph")


def check_async_library(given: Any) -> None:
    """Raises ValueError for what is no library that async nodes can run on."""
    if given not in get_args(AsyncLibrary):
        raise ValueError(f"async_library must be 'trio' or 'asyncio'; got {given!r}")


def check_parts(checkpointer: Any, store: Any, cache: Any) -> None:
    """Raises TypeError for what cannot be a checkpointer, a store or a cache."""
    for name, given, fits, example in (
        ("checkpointer", checkpointer, _keeps_threads, "InMemorySaver()"),
        ("store", store, lambda given: isinstance(given, BaseStore), "InMemoryStore()"),
        ("cache", cache, lambda given: isinstance(given, BaseCache), "InMemoryCache()"),
    ):
        if given is not None and (inspect.isclass(given) or not fits(given)):
            raise TypeError(f"{name} must be one such as {example}; got {given!r}")


def _keeps_threads(given: Any) -> bool:
    """By itself, or, a bool, as part of the graph around."""
    log: Callable[..., Any] | None = getattr(given, "log", None)
    return isinstance(given, bool) or callable(log)
