"""The lease on a PostgreSQL database: one row, which every commit renews and counts itself in."""

from __future__ import annotations

from typing import Any, Final

import attrs
import psycopg
from psycopg.errors import LockNotAvailable

from .contract import StaleEpoch, StorageError, StorageHeld
from .postgres_schema import exists, migrate

__all__ = ["HeldLease", "begin"]

LOCK_TIME: Final = 2.0  # seconds to wait for what another transaction has locked

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# For this transaction alone. One whose client has vanished gives back its locks; and what is
# acknowledged is on disk even where the database is set up not to wait for that.
_SETTINGS: Final = """
    SELECT set_config('lock_timeout', %s, true),
        set_config('idle_in_transaction_session_timeout', %s, true),
        set_config('synchronous_commit', coalesce(
            nullif(current_setting('synchronous_commit'), 'off'), 'on'
        ), true)
"""
_LOOK: Final = "SELECT owner, epoch, commits, ends_at > clock_timestamp() FROM greenroom.lease"
_TAKE: Final = """
    UPDATE greenroom.lease
    SET owner = %s, epoch = epoch + 1, ends_at = clock_timestamp() + %s * interval '1 second'
    RETURNING epoch, commits
"""
_RENEW: Final = """
    UPDATE greenroom.lease
    SET commits = commits + 1, ends_at = clock_timestamp() + %s * interval '1 second'
    WHERE epoch = %s AND commits = %s
"""
_RELEASE: Final = "UPDATE greenroom.lease SET ends_at = clock_timestamp() WHERE epoch = %s"

Connection = psycopg.Connection[tuple[Any, ...]]


def begin(connection: Connection, lease_time: float) -> None:
    """Begin a transaction that writes."""
    connection.execute(_BEGIN)
    times = (LOCK_TIME, lease_time / 3)
    connection.execute(_SETTINGS, [f"{time * 1000:.0f}ms" for time in times])


@attrs.define
class HeldLease:
    """A lease as its holder knows it. `lasts`: seconds. `commits`: how many the store has counted,
    over all holders. `in_doubt`: what is to be answered for the next one, if the store turns out to
    have it.

    A commit adds one to the count that it found, so that one whose answer was lost can be made
    again: either it is not there, or the count shows that it is.
    """

    place: str
    epoch: int
    lasts: float
    commits: int
    in_doubt: list[StorageError | None] | None = None

    @classmethod
    def take(cls, connection: Connection, place: str, owner: str, lasts: float) -> HeldLease:
        """Take a lease that nobody holds, bringing the schema up to date. Raises StorageHeld, and
        what `migrate` does.
        """
        begin(connection, lasts)
        if exists(connection, "class", "greenroom.lease"):
            _check_free(connection, place)
        migrate(connection, place)
        row = connection.execute(_TAKE, [owner, lasts]).fetchone()
        connection.execute("COMMIT")
        assert row is not None
        return cls(place, row[0], lasts, row[1])

    def renew(self, connection: Connection) -> psycopg.Cursor[tuple[Any, ...]]:
        """Send the renewal, the first statement of every commit. It must change one row; until the
        transaction ends nobody else can take the lease.
        """
        return connection.execute(_RENEW, [self.lasts, self.epoch, self.commits])

    def release(self, connection: Connection) -> None:
        """Let the next holder in at once."""
        connection.execute(_RELEASE, [self.epoch])

    def counted(self) -> None:
        """A commit is certain."""
        self.commits += 1
        self.in_doubt = None

    def settle(self, connection: Connection) -> list[StorageError | None]:
        """What became of the commit before, where a renewal has changed nothing.

        Raises StaleEpoch if the lease is somebody else's.
        """
        row = connection.execute(_LOOK).fetchone()
        if row is None or row[1] != self.epoch:
            by = "" if row is None else f" by {row[0]}"
            raise StaleEpoch(f"{self.place} was taken over{by}")
        found: int = row[2]
        if found != self.commits + 1 or self.in_doubt is None:
            raise StaleEpoch(
                f"{self.place} counts {found} commits where there were {self.commits}: "
                "it is not what it was"
            )
        answer = self.in_doubt
        self.counted()
        return answer


def _check_free(connection: Connection, place: str) -> None:
    """Lock the lease. Raises StorageHeld if it has not run out."""
    try:
        row = connection.execute(f"{_LOOK} FOR UPDATE").fetchone()
    except LockNotAvailable:  # the holder is in the middle of a commit
        connection.rollback()
        row = connection.execute(_LOOK).fetchone()
        held = True
    else:
        held = row is not None and row[3]
    if row is not None and held:
        raise StorageHeld(f"{place} is in use by {row[0]}", renewals=row[2])
