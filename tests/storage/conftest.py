from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from greenroom.storage import MemoryStorage, SqliteStorage, Storage

if TYPE_CHECKING:
    import psycopg

    from .postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests that need one."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    from .postgres_server import find_binaries, running_server

    binaries = find_binaries()
    if binaries is None:
        pytest.skip("there is no PostgreSQL server to be run")
    with running_server(binaries) as server:
        yield server


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """The server, up and running again whatever the test before has done to it."""
    yield postgres_server
    if postgres_server.process is None:
        postgres_server.start()


@pytest.fixture
def dsn(postgres: PostgresServer) -> str:
    """The address of an empty database."""
    return postgres.emptied()


@pytest.fixture
def db(dsn: str, postgres: PostgresServer) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection of the test's own, to the database that was empty."""
    with postgres.connect() as connection:
        yield connection


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
