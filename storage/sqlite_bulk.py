"""What happens on threads, many operations in a statement.

SQLite lets go of the interpreter for each statement, and an event loop that is busy takes its time
to give it back: a commit of many groups would wait for it more than it writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, Final

from .contract import RecordExists, StorageError
from .facts import facts_text
from .operations import AppendEvents, AppendLog, InsertThread, Operation, PutRun, PutThread
from .records import Event, LogRow, Row, Run, Thread
from .rows import RUN_CHANGES, RUN_TABLE, THREAD_TABLE, log_values, or_update, to_row

__all__ = ["Bulk"]

MOST: Final = 256  # rows of one statement
MOST_BYTES: Final = 1024**2  # of one statement, but for its last row

_LONG: Final = frozenset((str, bytes))

Values = tuple[Any, ...]

_LOG: Final = ("seq", "kind", "ns", "checkpoint_id", "base_seq", "data", "lists")
_RUN: Final = ("thread_id", *RUN_TABLE)  # the input is the last
_run_values: Final[Callable[[Row], Values]] = itemgetter(*_RUN)
_thread_row: Final[Callable[[Row], Values]] = itemgetter(*THREAD_TABLE)


def _names(columns: Iterable[str], of: str = "") -> str:
    return ", ".join(f"{of}{column}" for column in columns)


def _given(columns: Sequence[str], statement: str) -> tuple[str, str]:
    """A statement that has `given` for a table, and a row of that."""
    places = f"({', '.join('?' * len(columns))})"
    return f"WITH given ({_names(columns)}) AS (VALUES {{}}) {statement}", places


# CROSS JOIN has SQLite go through what is given, in its order, and look the threads up.
_THREADS: Final = "given CROSS JOIN threads t ON t.thread_id = given.thread_id"
_INSERT_THREADS: Final = _given(
    THREAD_TABLE,
    f"""INSERT INTO threads ({_names(THREAD_TABLE)})
    SELECT {_names(THREAD_TABLE)} FROM given WHERE thread_id IS NOT NULL""",
)
_PUT_THREADS: Final = _given(
    THREAD_TABLE,
    f"""UPDATE threads SET {", ".join(f"{name} = given.{name}" for name in THREAD_TABLE[1:])}
    FROM given WHERE threads.thread_id = given.thread_id""",
)
_PUT_RUNS: Final = _given(
    _RUN,
    f"""INSERT INTO runs (thread, {_names(RUN_TABLE)})
    SELECT t.id, {_names(RUN_TABLE, "given.")} FROM {_THREADS} WHERE true
    {or_update(("thread", "run_id"), RUN_CHANGES)}""",
)
_ENDS_ELSEWHERE: Final = _given(
    ("thread_id", "follows"),
    f"""SELECT thread_id, follows, ends FROM (
        SELECT given.*, ifnull((SELECT max(seq) FROM log WHERE thread = t.id), 0) AS ends
        FROM {_THREADS}
    ) WHERE ends <> follows LIMIT 1""",
)
# Where it is the input of a run, the log only names the run.
_APPEND_LOG: Final = _given(
    ("thread_id", *_LOG, "run_id", "input"),
    f"""INSERT INTO log (thread, {_names(_LOG)}, run, input)
    SELECT t.id, {_names(_LOG, "given.")}, r.id, CASE WHEN r.id IS NULL THEN given.input END
    FROM {_THREADS}
    LEFT JOIN runs r ON r.thread = t.id AND r.run_id = given.run_id AND r.input = given.input""",
)
_RUNS: Final = f"{_THREADS} JOIN runs r ON r.thread = t.id AND r.run_id = given.run_id"
_EVENT_MISSING: Final = _given(
    ("thread_id", "run_id", "event_id"),
    f"""SELECT given.event_id FROM {_RUNS} WHERE NOT EXISTS (
        SELECT 1 FROM events e WHERE e.thread = t.id AND e.event_id = given.event_id
    ) LIMIT 1""",
)
_APPEND_EVENTS: Final = _given(
    ("thread_id", "run_id", "event_id", "name", "data"),
    f"""INSERT INTO events (thread, run, event_id, name, data)
    SELECT t.id, r.id, given.event_id, given.name, given.data FROM {_RUNS}""",
)


class Bulk:
    """Gathers operations inside an open transaction, to carry them out kind by kind.

    That is as if in their order: of what is put off, only what is of one thread could tell, and
    `take` sees to that.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._clear()

    def _clear(self) -> None:
        self._inserts: dict[str, Values] = {}
        self._threads: dict[str, Values] = {}
        self._runs: dict[tuple[str, str], Values] = {}
        self._follows: list[tuple[str, int]] = []
        self._log: list[LogRow] = []
        self._ends: dict[str, int] = {}  # where the logs of threads end with these
        self._follow_events: list[tuple[str, str, int]] = []
        self._events: list[Event] = []
        self._last_events: dict[tuple[str, str], int] = {}  # of runs, by thread and run
        self._later_runs: dict[tuple[str, str], Values] = {}  # after their events
        self._seen: set[str] = set()  # threads that any of these is about

    def take(self, operation: Operation) -> bool:
        """Whether it is carried out with the next `flush`; other operations must come after that.

        Raises Unstorable, and what `flush` raises.
        """
        match operation:
            case InsertThread(thread):
                if thread.thread_id in self._seen:
                    self.flush()
                self._inserts[thread.thread_id] = _thread_values(thread)
                self._seen.add(thread.thread_id)
            case PutThread(thread):
                self._threads[thread.thread_id] = _thread_values(thread)
                self._seen.add(thread.thread_id)
            case PutRun(run):
                self._take_run(run)
            case AppendLog(rows, follows):
                self._take_log(rows, follows)
            case AppendEvents(events, follows):
                self._take_events(events, follows)
            case _:
                return False
        return True

    def _take_run(self, run: Run) -> None:
        row, where = to_row(run), (run.thread_id, run.run_id)
        values = _run_values(row)
        # Events are nobody's where the first record of their run comes after them.
        puts = self._later_runs if where in self._last_events else self._runs
        if (before := puts.get(where)) is not None:
            values = (*values[:-1], before[-1])  # its input stays
        puts[where] = values
        self._seen.add(run.thread_id)

    def _take_log(self, rows: Sequence[LogRow], follows: int | None) -> None:
        thread_id = rows[0].thread_id
        ends = 0 if thread_id in self._inserts else None
        ends = self._ends.get(thread_id, ends)
        if follows is not None and ends != follows:
            if ends is not None:
                self.flush()
            self._follows.append((thread_id, follows))
        self._log += rows
        self._ends[thread_id] = rows[-1].seq
        self._seen.add(thread_id)

    def _take_events(self, events: Sequence[Event], follows: int | None) -> None:
        first = events[0].thread_id, events[0].run_id
        if any((event.thread_id, event.run_id) in self._later_runs for event in events):
            self.flush()
        if follows is not None and self._last_events.get(first) != follows:
            self._follow_events.append((*first, follows))
        for event in events:
            self._last_events[event.thread_id, event.run_id] = event.event_id
            self._seen.add(event.thread_id)
        self._events += events

    def flush(self) -> None:
        """Carry out what was taken.

        Raises RecordExists, StorageError or sqlite3.Error; the transaction may hold a part of it
        then.
        """
        if not self._seen:
            return
        try:
            self._execute(_INSERT_THREADS, self._inserts.values())
        except sqlite3.IntegrityError:
            raise RecordExists(f"Thread {self._taken()} exists already") from None
        self._execute(_PUT_RUNS, self._runs.values())
        self._execute(_PUT_THREADS, self._threads.values())
        self._append_log()
        self._append_events()
        self._execute(_PUT_RUNS, self._later_runs.values())
        self._clear()

    def _taken(self) -> str:
        find = "SELECT 1 FROM threads WHERE thread_id = ?"
        there = [one for one in self._inserts if self._connection.execute(find, (one,)).fetchone()]
        return ", ".join(there)

    def _append_log(self) -> None:
        for thread_id, follows, ends in self._execute(_ENDS_ELSEWHERE, self._follows):
            raise StorageError(f"The log of thread {thread_id} ends at {ends}, not {follows}")
        try:
            self._execute(_APPEND_LOG, map(_log_values, self._log))
        except sqlite3.IntegrityError:
            where = ", ".join(f"{row.seq} of thread {row.thread_id}" for row in self._log)
            raise StorageError(f"A position of the log is taken among {where}") from None

    def _append_events(self) -> None:
        for (follows,) in self._execute(_EVENT_MISSING, self._follow_events):
            raise StorageError(f"There is no event {follows} to follow")
        try:
            self._execute(_APPEND_EVENTS, map(_event_values, self._events))
        except sqlite3.IntegrityError:
            where = f"{self._events[0].event_id} to {self._events[-1].event_id}"
            raise StorageError(f"An event id is taken among {where}") from None

    def _execute(self, statement: tuple[str, str], rows: Iterable[Values]) -> list[Values]:
        """A statement of `_given` with these rows, and what it finds."""
        sql, places = statement
        found: list[Values] = []
        for some in _in_pieces(rows):
            size = 1 << (len(some) - 1).bit_length()
            values = [value for row in some for value in row]
            values += [None] * (len(some[0]) * (size - len(some)))  # of no thread
            found += self._connection.execute(_sized(sql, places, size), values)
        return found


def _in_pieces(rows: Iterable[Values]) -> Iterator[list[Values]]:
    """Rows for a statement each: SQLite copies what it is given."""
    piece: list[Values] = []
    size = 0
    for row in rows:
        piece.append(row)
        size += sum([len(value) for value in row if type(value) in _LONG])
        if len(piece) == MOST or size > MOST_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


@cache
def _sized(statement: str, places: str, rows: int) -> str:
    """For so many rows. Few sizes, so that SQLite has the statement prepared."""
    return statement.format(", ".join([places] * rows))


def _thread_values(thread: Thread) -> Values:
    row = to_row(thread)
    row["facts"] = facts_text(row["metadata"])
    return _thread_row(row)


def _log_values(row: LogRow) -> Values:
    given = None if row.input is None else row.input.decode()
    return (row.thread_id, *log_values(row), None if given is None else row.run_id, given)


def _event_values(event: Event) -> Values:
    return (event.thread_id, event.run_id, event.event_id, event.name, event.data)
