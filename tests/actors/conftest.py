"""Rooms on storage in memory and in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from greenroom.actors import Greenroom
from greenroom.graph import CompiledStateGraph
from greenroom.storage import MemoryStorage, SqliteStorage, Storage

from .stage import Hold

Serve = Callable[..., Greenroom]


@pytest.fixture(params=["memory", "sqlite"])
def open_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Storage]:
    """The same storage at each call: what one served is there for the next."""
    if request.param == "sqlite":
        return lambda: SqliteStorage(tmp_path / "agents.db")
    memory = MemoryStorage()
    return lambda: memory


@pytest.fixture
def serve(open_storage: Callable[[], Storage]) -> Serve:
    """Makes a room that serves a graph as `agent`, or several by name, on one and the same
    storage. Options go to `Greenroom`.
    """

    def serve(graph: CompiledStateGraph | dict[str, CompiledStateGraph], **options: Any) -> Any:
        graphs = graph if isinstance(graph, dict) else {"agent": graph}
        return Greenroom(graphs, **{"storage": open_storage(), **options})

    return serve


@pytest.fixture
def serve_in_memory() -> Serve:
    """As `serve`, for tests that turn the clock: it does not know of threads that work."""
    memory = MemoryStorage()

    def serve(graph: CompiledStateGraph, **options: Any) -> Greenroom:
        return Greenroom({"agent": graph}, **{"storage": memory, **options})

    return serve


@pytest.fixture
def hold() -> Hold:
    return Hold()
