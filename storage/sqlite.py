"""Storage in a SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import ClassVar, Final

import attrs
from sqlite_utils import Database

from . import sqlite_filters, sqlite_items
from .contract import Lease, StaleEpoch, Storage, StorageError, StorageHeld
from .operations import Operation
from .sqlite_care import SqliteCare
from .sqlite_files import FileLock, check_file, connect, create_file, explain
from .sqlite_schema import check, migrate
from .sqlite_write import write

__all__ = ["SqliteStorage"]

IDLE_READERS: Final = 8  # connections kept open for the next read
MAPPED: Final = 1024**3  # bytes of the file that readers map into memory


def _real_path(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(path))  # one file has one lock, whatever it is called


@attrs.define(eq=False)
class SqliteStorage(SqliteCare):
    """Keeps everything in the SQLite file `path`, readable by its owner alone (mode 0600).

    One process at a time writes: it holds a lock on `path.lock` that the kernel takes back when it
    dies. Commits are durable over a power cut (WAL, `synchronous=FULL`). `open` only looks whether
    the file may be one of ours; it is made and migrated by `acquire_lease`, under the lock, so that
    nobody who is refused the lease has changed anything. Without the lease a file can be read, also
    while another process holds it, if it has the schema of this version.
    """

    reads_at_once: ClassVar[int] = 1

    path: Path = attrs.field(converter=_real_path)
    _lock: FileLock = attrs.field(init=False)
    _writer: Database | None = attrs.field(init=False, default=None)
    _readers: deque[sqlite3.Connection] = attrs.field(init=False, factory=deque)
    _is_open: bool = attrs.field(init=False, default=False)

    @_lock.default
    def _make_lock(self) -> FileLock:
        return FileLock(self.path.with_name(self.path.name + ".lock"))

    def open(self) -> None:
        if self._is_open:
            raise StorageHeld(f"{self.path} is in use in this process, through the same object")
        check_file(self.path)
        self._is_open = True

    def close(self) -> None:
        self._is_open = False
        while self._readers:
            self._readers.pop().close()
        if self._writer is not None:
            self._writer.conn.close()
            self._writer = None
        self._lock.release()

    def _holder(self) -> str | None:
        return self._lock.holder()

    def acquire_lease(self, owner: str) -> Lease:
        self._lock.acquire(owner)
        try:
            create_file(self.path)
            self._writer, lease = self._start_writer(owner)
        except sqlite3.Error as error:
            self._lock.release()
            raise explain(error, self.path) from error
        except BaseException:
            self._lock.release()
            raise
        return lease

    def _start_writer(self, owner: str) -> tuple[Database, Lease]:
        connection = connect(self.path, writes=True)
        try:
            migrate(connection, str(self.path))
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StorageError(f"{self.path} lies where SQLite cannot keep a write-ahead log")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE lease SET owner = ?, epoch = epoch + 1", (owner,))
            (epoch,) = connection.execute("SELECT epoch FROM lease").fetchone()
            connection.execute("COMMIT")
            return Database(connection, execute_plugins=False), Lease(owner, epoch)
        except BaseException:
            connection.close()
            raise

    def commit(
        self, groups: Sequence[Sequence[Operation]], epoch: int
    ) -> list[StorageError | None]:
        if self._writer is None:
            raise StaleEpoch(f"The lease of epoch {epoch} on {self.path} has ended")
        db = self._writer
        try:
            with self._transaction(db, epoch):
                write(db, chain.from_iterable(groups))
            return [None] * len(groups)
        except StaleEpoch:
            raise
        except Exception as error:
            if len(groups) == 1:
                return [self._refusal(error)]
        # One of them cannot be: each by itself, to find out which.
        try:
            with self._transaction(db, epoch):
                return [self._apply_alone(db, group) for group in groups]
        except sqlite3.Error as error:
            raise explain(error, self.path) from error

    @contextmanager
    def _transaction(self, db: Database, epoch: int) -> Iterator[None]:
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            (current,) = db.conn.execute("SELECT epoch FROM lease").fetchone()
            if current != epoch:
                raise StaleEpoch(f"The lease of epoch {epoch} on {self.path} has ended")
            yield
            db.conn.execute("COMMIT")
        except BaseException:
            if db.conn.in_transaction:  # some errors have ended it already
                db.conn.execute("ROLLBACK")
            raise

    def _apply_alone(self, db: Database, group: Sequence[Operation]) -> StorageError | None:
        db.conn.execute("SAVEPOINT one")
        try:
            write(db, group)
        except Exception as error:
            if not db.conn.in_transaction:
                raise
            db.conn.execute("ROLLBACK TO one")
            refusal: StorageError | None = self._refusal(error)
        else:
            refusal = None
        db.conn.execute("RELEASE one")
        return refusal

    def _refusal(self, error: Exception) -> StorageError:
        if isinstance(error, StorageError):
            return error
        if isinstance(error, sqlite3.Error):
            refusal = explain(error, self.path)
        else:
            refusal = StorageError(f"{self.path}: {type(error).__name__}: {error}")
        refusal.__cause__ = error
        return refusal

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._connected() as connection:
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        if not self._is_open:
            raise StorageError(f"{self.path} is not open")
        connection = None
        try:
            connection = self._take_reader()
            yield connection
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, sqlite3.Error):
                raise explain(error, self.path) from error
            raise
        if self._is_open and len(self._readers) < IDLE_READERS:
            self._readers.append(connection)
        else:
            connection.close()

    def _take_reader(self) -> sqlite3.Connection:
        try:
            return self._readers.pop()
        except IndexError:
            connection = connect(self.path)
            try:
                if self._writer is None:  # nobody has looked at the schema yet
                    check(connection, str(self.path))
                # Long values are copied once less. SQLite cuts off no page that a reader may see.
                connection.execute(f"PRAGMA mmap_size = {MAPPED}")
                sqlite_filters.prepare(connection)
                sqlite_items.prepare(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    @contextmanager
    def moment(self) -> Iterator[Storage]:
        with self._reading() as db:
            yield _Moment(self.path, connection=db)

    def vacuum(self, epoch: int) -> None:
        self.commit([], epoch)
        assert self._writer is not None
        try:
            self._writer.conn.execute("VACUUM")
            self._writer.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise explain(error, self.path) from error


@attrs.define(eq=False)
class _Moment(SqliteStorage):
    """What a file held when it was first read on `connection`."""

    _connection: sqlite3.Connection = attrs.field(kw_only=True)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        yield self._connection

    _connected = _reading
