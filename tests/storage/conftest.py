from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from greenroom.storage import MemoryStorage, SqliteStorage, Storage

if TYPE_CHECKING:
    from .postgres_server import PostgresServer


@pytest.fixture
def other_dsn(postgres: PostgresServer) -> Iterator[str]:
    """The address of another empty database."""
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE other")
        yield postgres.dsn("other")
        connection.execute("DROP DATABASE other WITH (FORCE)")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def new_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Storage]:
    """Makes storage objects of each kind, one after the other over the same data."""
    if request.param == "sqlite":
        return lambda: SqliteStorage(tmp_path / "greenroom.db")
    if request.param == "postgres":
        address = request.getfixturevalue("dsn")
        from greenroom.storage.postgres import PostgresStorage

        return lambda: PostgresStorage(address)
    memory = MemoryStorage()
    return lambda: memory


@pytest.fixture
def storage(new_storage: Callable[[], Storage]) -> Storage:
    return new_storage()
