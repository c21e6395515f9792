"""Trio's tasks take turns as they do anywhere, and the contract suite says what fails in it; a
PostgreSQL server for those tests that want one.

pytest-trio imports Hypothesis wherever it is installed, and then has trio shuffle its tasks for it;
only the tests of `properties`, in a process of their own, want that.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio._core import _run

if TYPE_CHECKING:
    import psycopg

    from .storage.postgres_server import PostgresServer

# Before any test module imports it.
pytest.register_assert_rewrite("greenroom.storage.testing")

_run._ALLOW_DETERMINISTIC_SCHEDULING = False


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests that need one."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    from .storage.postgres_server import find_binaries, running_server

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
def let_go() -> Callable[[object], trio.Event]:
    """Gives the event that an object is gone; a thread may be the last to let go of it."""

    def let_go(held: object) -> trio.Event:
        gone, token = trio.Event(), trio.lowlevel.current_trio_token()

        def tell() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(gone.set)

        weakref.finalize(held, tell).atexit = False
        return gone

    return let_go
