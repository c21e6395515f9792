"""The lease on a PostgreSQL database: one row, which every commit renews and counts itself in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs
import psycopg
from psycopg.errors import LockNotAvailable

from .contract import StaleEpoch, StorageError, StorageHeld
from .postgres_functions import FUNCTIONS
from .postgres_schema import exists, migrate

__all__ = ["HeldLease", "Refusals"]

LOCK_TIME: Final = 2.0  # seconds to wait for what another transaction has locked

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# For this transaction alone. What is acknowledged is on disk even where the database is set up not
# to wait for that. Everything is found by its key, whatever size the database believes a table has.
_SETTINGS: Final = """
    SELECT set_config('lock_timeout', %s, true),
        set_config('synchronous_commit', coalesce(
            nullif(current_setting('synchronous_commit'), 'off'), 'on'
        ), true),
        set_config('enable_seqscan', 'off', true)
"""
_LOOK: Final = """
    SELECT owner, epoch, commits, attempt, ends_at > clock_timestamp() FROM greenroom.lease
"""
_TAKE: Final = """
    UPDATE greenroom.lease
    SET owner = %s, epoch = epoch + 1, ends_at = clock_timestamp() + %s * interval '1 second'
    RETURNING epoch, commits
"""
_RENEW: Final = "SELECT greenroom.renew_lease(%s, %s, %s, %s)"
# A transaction whose client has fallen silent would keep the lease locked for hours: the server
# tells neither a frozen process nor a broken line from one that is thinking.
_CUT_OFF: Final = """
    SELECT pg_terminate_backend(l.pid) FROM greenroom.lease JOIN pg_locks l
    ON l.locktype = 'transactionid' AND l.transactionid = lease.xmax AND l.granted
"""
_CUT_OFF_HOLDER: Final = f"{_CUT_OFF} WHERE ends_at <= clock_timestamp()"
_CUT_OFF_MYSELF: Final = f"{_CUT_OFF} WHERE ends_at > clock_timestamp() AND epoch = %s"
_RELEASE: Final = "UPDATE greenroom.lease SET ends_at = clock_timestamp() WHERE epoch = %s"

Connection = psycopg.Connection[tuple[Any, ...]]
Refusals = list[StorageError | None]  # of each group, why it was refused


def _begin(connection: Connection) -> None:
    """Begin a transaction that writes."""
    connection.execute(_BEGIN)
    connection.execute(_SETTINGS, [f"{LOCK_TIME * 1000:.0f}ms"])


@attrs.define
class HeldLease:
    """A lease as its holder knows it. `lasts`: seconds. `commits`: how many the store has counted,
    over all holders. `in_doubt`: what the attempts at the next one are to be answered with, by
    their numbers.

    A commit raises the count that its holder knows, so that of all attempts at it one alone can
    succeed, however late the server sees them. The row tells which one did.
    """

    place: str
    epoch: int
    lasts: float
    commits: int
    in_doubt: dict[int, Refusals] = attrs.field(init=False, factory=dict)
    _attempts: int = attrs.field(init=False, default=0)

    @classmethod
    def take(cls, connection: Connection, place: str, owner: str, lasts: float) -> HeldLease:
        """Take a lease that nobody holds, bringing the schema up to date. Raises StorageHeld, and
        what `migrate` does.
        """
        _begin(connection)
        if exists(connection, "class", "greenroom.lease"):
            _check_free(connection, place)
        migrate(connection, place)
        # Where nothing was there, somebody else may have made it all and taken it since.
        _check_free(connection, place)
        connection.execute(FUNCTIONS.encode())
        row = connection.execute(_TAKE, [owner, lasts]).fetchone()
        connection.execute("COMMIT")
        assert row is not None
        return cls(place, row[0], lasts, row[1])

    @contextmanager
    def committing(self, connection: Connection, answer: Refusals) -> Iterator[None]:
        """A transaction that renews the lease: nobody else can take it before the end.

        `answer`: what it is answered with, also if that shows only later; complete by the end.
        """
        self._attempts += 1
        _begin(connection)
        connection.execute(_RENEW, [self.epoch, self.commits, self._attempts, self.lasts])
        yield
        self.in_doubt[self._attempts] = answer
        connection.execute("COMMIT")

    def counted(self) -> None:
        """The commit is certain."""
        self.commits += 1
        self.in_doubt.clear()

    def settle(self, connection: Connection) -> Refusals:
        """The answer of the attempt that succeeded, where the lease is not as it was.

        Raises StaleEpoch if it is somebody else's.
        """
        row = connection.execute(_LOOK).fetchone()
        if row is None or row[1] != self.epoch:
            by = "" if row is None else f" by {row[0]}"
            raise StaleEpoch(f"{self.place} was taken over{by}")
        _, _, commits, attempt, _ = row
        if commits != self.commits + 1 or attempt not in self.in_doubt:
            raise StaleEpoch(
                f"{self.place} counts {commits} commits where there were {self.commits}: "
                "it is not what it was"
            )
        answer = self.in_doubt[attempt]
        self.counted()
        return answer

    def cut_off_earlier(self, connection: Connection) -> None:
        """End an earlier connection of this holder that the server still waits for."""
        connection.execute(_CUT_OFF_MYSELF, [self.epoch])

    def release(self, connection: Connection) -> None:
        """Let the next holder in at once."""
        connection.execute(_RELEASE, [self.epoch])


def _check_free(connection: Connection, place: str) -> None:
    """Lock the lease. Raises StorageHeld if it has not run out, or a commit is in its way."""
    try:
        row = connection.execute(f"{_LOOK} FOR UPDATE").fetchone()
        locked = True
    except LockNotAvailable:
        connection.rollback()
        connection.execute(_CUT_OFF_HOLDER)
        row = connection.execute(_LOOK).fetchone()
        locked = False
    if row is not None and (row[4] or not locked):
        raise StorageHeld(f"{place} is in use by {row[0]}", renewals=row[2])
