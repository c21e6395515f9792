"""Storage in a PostgreSQL database."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import attrs
import psycopg
from psycopg.errors import DuplicateSchema, DuplicateTable, LockNotAvailable, UniqueViolation

from .contract import Lease, StaleEpoch, StorageError, StorageHeld
from .operations import Operation
from .postgres_care import VACUUM, PostgresCare
from .postgres_connection import Address, Connection, is_lost
from .postgres_functions import FOLLOWS_NOTHING, LEASE_CHANGED
from .postgres_lease import HeldLease, Refusals
from .postgres_schema import check
from .postgres_words import TO_INDEX, send_index
from .postgres_write import refusal, send

__all__ = ["PostgresStorage"]

LEASE_TIME: Final = 30.0  # seconds
SHORTEST_LEASE: Final = 1.0  # seconds; it is renewed after a sixth of it
IDLE_READERS: Final = 8  # connections kept open for the next read

_BEGIN_MOMENT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

Groups = Sequence[Sequence[Operation]]


def _address(dsn: str) -> Address:
    return Address.of(dsn)


def _seconds(lease_time: float) -> float:
    if not lease_time >= SHORTEST_LEASE:
        expected = f"expected {SHORTEST_LEASE:g} s or more"
        raise StorageError(f"lease_time: {expected}, got {lease_time!r}")
    return lease_time


@attrs.define(eq=False)
class PostgresStorage(PostgresCare):
    """Keeps everything in the schema `greenroom` of the PostgreSQL database at `dsn`, a libpq
    address such as `postgresql://user:password@host:port/name`.

    One process at a time writes: the one that holds the lease, a row of the database. The lease
    lasts `lease_time` seconds (30; StorageError for less than 1) by the database's clock, and every
    commit renews it. Each commit carries its epoch and is refused once another process has taken
    the lease. A holder that closes is followed at once, one that died when its lease has run out.

    Nothing is kept in a session of the database: it works through a pooler that gives every
    transaction another one.
    """

    address: Address = attrs.field(converter=_address, alias="dsn")
    lease_time: float = attrs.field(default=LEASE_TIME, kw_only=True, converter=_seconds)
    _lease: HeldLease | None = attrs.field(init=False, default=None)
    _writer: Connection | None = attrs.field(init=False, default=None)
    _readers: deque[Connection] = attrs.field(init=False, factory=deque)
    _is_open: bool = attrs.field(init=False, default=False)
    _is_known: bool = attrs.field(init=False, default=False)  # that the schema is this version's

    def open(self) -> None:
        if self._is_open:
            name = self.address.name
            raise StorageHeld(f"{name} is in use in this process, through the same object")
        self._readers.append(self.address.connect())
        self._is_open = True

    def close(self) -> None:
        self._is_open = self._is_known = False
        lease, self._lease = self._lease, None
        if lease is not None:
            # If this fails, the lease runs out by itself.
            with suppress(StorageError), self._writing() as connection:
                lease.release(connection)
        self._drop_writer()
        while self._readers:
            self._readers.pop().close()

    def acquire_lease(self, owner: str) -> Lease:
        with self._writing() as connection:
            asked = (connection, self.address.name, owner, self.lease_time)
            try:
                self._lease = HeldLease.take(*asked)
            except (DuplicateSchema, DuplicateTable, UniqueViolation):
                # Somebody else has made the schema at the same moment.
                connection.rollback()
                self._lease = HeldLease.take(*asked)
            self._is_known = True
            self._index(connection, self._lease)
        return Lease(owner, self._lease.epoch, self.lease_time)

    def _index(self, connection: Connection, lease: HeldLease) -> None:
        """Index what an older version has put, in commits so small that the lease lasts."""
        after = 0
        while found := connection.execute(TO_INDEX, [after]).fetchall():
            with connection.together(), lease.committing(connection, []):
                for row in found:
                    send_index(connection.cursor(), row)
            lease.counted()
            after = found[-1][0]

    def commit(self, groups: Groups, epoch: int) -> Refusals:
        lease = self._lease
        if lease is None or lease.epoch != epoch:
            raise StaleEpoch(f"The lease of epoch {epoch} on {self.address.name} has ended")
        with self._writing() as connection:
            try:
                return self._commit(connection, lease, groups)
            except LockNotAvailable:
                connection.rollback()
                lease.cut_off_earlier(connection)
                raise
            except Exception as error:
                self._check_failure(error)
            connection.rollback()
            try:
                return self._commit_one_by_one(connection, lease, groups)
            except psycopg.Error as error:
                if error.sqlstate != LEASE_CHANGED:
                    raise
            connection.rollback()
            return lease.settle(connection)

    def _commit(self, connection: Connection, lease: HeldLease, groups: Groups) -> Refusals:
        """All in one go and one round trip, if nothing is refused."""
        answer: Refusals = [None] * len(groups)
        with connection.together(), lease.committing(connection, answer):
            cursor = connection.cursor()
            for group in groups:
                for operation in group:
                    send(cursor, operation)
        lease.counted()
        return answer

    def _commit_one_by_one(
        self, connection: Connection, lease: HeldLease, groups: Groups
    ) -> Refusals:
        """Each by itself, to find out which of them cannot be."""
        answer: Refusals = []
        with lease.committing(connection, answer):
            answer += [self._apply(connection, group) for group in groups]
        lease.counted()
        return answer

    def _apply(self, connection: Connection, group: Sequence[Operation]) -> StorageError | None:
        connection.execute("SAVEPOINT one")
        for operation in group:
            try:
                send(connection.cursor(), operation)
            except Exception as error:
                self._check_failure(error)
                connection.execute("ROLLBACK TO one")
                return self._refusal(operation, error)
        connection.execute("RELEASE one")
        return None

    def _check_failure(self, error: Exception) -> None:
        """Raise what is no refusal of an operation."""
        if isinstance(error, psycopg.Error) and is_lost(error):
            raise error

    def _refusal(self, operation: Operation, error: Exception) -> StorageError:
        if isinstance(error, StorageError):
            return error
        if isinstance(error, UniqueViolation):
            return refusal(operation)
        if isinstance(error, psycopg.Error) and error.sqlstate == FOLLOWS_NOTHING:
            return StorageError(error.diag.message_primary)
        if isinstance(error, psycopg.Error):
            refused = self.address.explain(error)
        else:
            refused = StorageError(f"{self.address.name}: {type(error).__name__}: {error}")
        refused.__cause__ = error
        return refused

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """The connection that writes. One that anything went wrong on is given up."""
        if self._writer is None:
            self._writer = self.address.connect()
        try:
            yield self._writer
        except BaseException as error:
            self._drop_writer()
            if isinstance(error, psycopg.Error):
                raise self.address.explain(error) from error
            raise

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def vacuum(self, epoch: int) -> None:
        self.commit([], epoch)
        with self._writing() as connection, connection.patient():
            connection.execute(VACUUM)

    @contextmanager
    def moment(self) -> Iterator[PostgresStorage]:
        connection, _ = self._read(_BEGIN_MOMENT, ())
        try:
            then = _Moment(self.address.conninfo, connection=connection)
            then.types = self.types
            yield then
            connection.execute("COMMIT")
        except BaseException as error:
            connection.close()
            if isinstance(error, psycopg.Error):
                raise self.address.explain(error) from error
            raise
        self._put_back(connection)

    def _fetch(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection, rows = self._read(query, values)
        self._put_back(connection)
        return rows

    def _read(self, query: str, values: Sequence[Any]) -> tuple[Connection, list[tuple[Any, ...]]]:
        """What a statement gives, and the connection that it was sent on."""
        if not self._is_open:
            raise StorageError(f"{self.address.name} is not open")
        while True:
            idle = self._take_idle_reader()
            connection = idle or self.address.connect()
            try:
                if not self._is_known:  # it is read without the lease
                    check(connection, self.address.name)
                    self._is_known = True
                cursor = connection.execute(query.encode(), values, binary=True)
                return connection, cursor.fetchall() if cursor.description else []
            except BaseException as error:
                connection.close()
                if not isinstance(error, psycopg.Error):
                    raise
                if idle is None or not is_lost(error):
                    raise self.address.explain(error) from error
                # it had been lost while nobody used it

    def _put_back(self, connection: Connection) -> None:
        if self._is_open and len(self._readers) < IDLE_READERS:
            self._readers.append(connection)
        else:
            connection.close()

    def _take_idle_reader(self) -> Connection | None:
        try:
            return self._readers.pop()
        except IndexError:
            return None


@attrs.define(eq=False)
class _Moment(PostgresStorage):
    """What a database held when it was first read on `connection`, in a transaction."""

    _connection: Connection = attrs.field(kw_only=True)

    @contextmanager
    def moment(self) -> Iterator[PostgresStorage]:
        yield self

    def _fetch(self, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(query.encode(), values, binary=True).fetchall()
        except psycopg.Error as error:
            raise self.address.explain(error) from error
