"""The files of a SQLite store: the database, its lock, and what is wrong with them."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path

import attrs

from .contract import StorageError, StorageHeld

__all__ = ["FileLock", "check_file", "connect", "create_file", "explain"]

BUSY_TIMEOUT = 5.0  # seconds to wait for another program that writes to the file


def check_file(path: Path) -> None:
    """Raise StorageError for a path that cannot become a database; changes nothing."""
    if path.is_dir():
        raise StorageError(f"{path} is a folder, not a file")
    if not path.parent.is_dir():
        raise StorageError(f"The folder {path.parent} does not exist")
    if not path.exists():
        return
    # `immutable` looks at the file alone: it takes no lock and leaves nothing beside it.
    connection = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
    try:
        connection.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
            raise explain(error, path) from error
    finally:
        connection.close()


def create_file(path: Path) -> None:
    """Make an empty file that only its owner can read; SQLite's other files take its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        # Opening and closing a file would drop the locks that SQLite holds on it in this process.
        pass
    except OSError as error:
        raise StorageError(f"{path} cannot be created: {error.strerror}") from error


def connect(path: Path, *, writes: bool = False) -> sqlite3.Connection:
    """A connection to a file that exists, usable from any thread, one at a time."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode={'rw' if writes else 'ro'}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )


def explain(error: sqlite3.Error, path: Path) -> StorageError:
    """A SQLite error in a line that names the file."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    reason = {
        sqlite3.SQLITE_NOTADB: "is not a database",
        sqlite3.SQLITE_CORRUPT: "is damaged",
        sqlite3.SQLITE_READONLY: "cannot be written to",
        sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
        sqlite3.SQLITE_BUSY: "is locked by another program",
        sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    }.get(code)
    return StorageError(f"{path} {reason}" if reason else f"{path}: {error}")


@attrs.define
class FileLock:
    """A lock that the kernel takes back when its holder dies, however it dies.

    It lies on a file beside the database, never deleted, which names the holder.
    """

    path: Path
    _descriptor: int | None = attrs.field(init=False, default=None)

    def acquire(self, owner: str) -> None:
        """Take the lock. Raises StorageHeld, naming the holder."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, owner.encode("utf-8", "replace"))
        except BlockingIOError:
            holder = os.read(descriptor, 1000).decode("utf-8", "replace")
            os.close(descriptor)
            database = self.path.with_suffix("")
            raise StorageHeld(f"{database} is in use by {holder or 'another process'}") from None
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"{self.path} cannot be locked: {error.strerror}") from error
        self._descriptor = descriptor

    def holder(self) -> str | None:
        """Who holds the lock, in this process or another."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return os.read(descriptor, 1000).decode("utf-8", "replace") or "another process"
        finally:
            os.close(descriptor)
        return None

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
