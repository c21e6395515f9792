"""Connections to a PostgreSQL server, and what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import attrs
import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from .contract import StorageAway, StorageError

__all__ = ["Address", "Connection", "is_lost"]

T = TypeVar("T")

ANSWER_TIME: Final = 30.0  # seconds that the server may take to answer before it counts as away
CONNECT_TIME: Final = 5  # seconds that connecting may take, where the address does not say

# What passes by itself: the server goes down or comes up, has no room, is a replica (still), or
# something else held a lock or lost out against it.
_PASSING: Final = frozenset(
    ("25006", "25P03", "25P04", "40001", "40P01", "53300", "55P03", "57P01", "57P02", "57P03")
)


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which a server that says nothing for ANSWER_TIME counts as lost.

    Nothing is set for the session and no statement is prepared, so that a pooler may give every
    transaction another one.
    """

    _is_patient = False

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        if timeout is None and not self._is_patient:
            timeout = ANSWER_TIME
        return super().wait(gen, interval, timeout)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """The server may take as long as it needs."""
        self._is_patient = True
        try:
            yield
        finally:
            self._is_patient = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Statements are sent without waiting for their answers, which are there in the end.

        Raises what the first of them failed with that did.
        """
        failure: Exception | None = None
        try:
            with self.pipeline():
                try:
                    yield
                except Exception as error:
                    failure = error  # whatever the end comes to is no news then
        except psycopg.Error:
            if failure is None:
                raise
        if failure is not None:
            raise failure


@attrs.frozen
class Address:
    """Where a database is. `name`: for people, without the password."""

    conninfo: str = attrs.field(repr=False)
    name: str

    @classmethod
    def of(cls, dsn: str) -> Address:
        """Raises StorageError for what is no address; the text does not repeat it."""
        try:
            parts = conninfo_to_dict(dsn)
        except psycopg.ProgrammingError:
            raise StorageError(
                "This is no PostgreSQL address; expected postgresql://user:password@host:port/name"
            ) from None
        host = parts.get("host") or os.environ.get("PGHOST") or "localhost"
        port = parts.get("port") or os.environ.get("PGPORT") or "5432"
        user = parts.get("user") or os.environ.get("PGUSER")
        database = parts.get("dbname") or os.environ.get("PGDATABASE") or user or ""
        parts = {"connect_timeout": CONNECT_TIME, **parts}
        given = {"client_encoding": "UTF8", "application_name": "greenroom", **parts}
        return cls(make_conninfo("", **given), f"postgresql://{host}:{port}/{database}")

    def connect(self) -> Connection:
        """A new connection. Raises StorageAway."""
        try:
            return Connection.connect(self.conninfo, autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise StorageAway(f"{self.name} cannot be reached: {_line(error)}") from error

    def explain(self, error: psycopg.Error) -> StorageError:
        """An error in a line that names the database; StorageAway where it may pass by itself."""
        if is_lost(error):
            return StorageAway(f"{self.name} cannot be reached: {_line(error)}")
        return StorageError(f"{self.name}: {_line(error)}")


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is gone, or the same may succeed a little later."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError)
    return state in _PASSING or state.startswith("08")


def _line(error: psycopg.Error) -> str:
    return " ".join(str(error).partition("\n")[0].split()) or type(error).__name__
