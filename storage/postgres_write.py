"""Operations as PostgreSQL statements.

What belongs to a thread is written only where the thread exists.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import psycopg

from .contract import (
    AppendEvents,
    AppendLog,
    DeleteRun,
    DeleteThread,
    InsertThread,
    Operation,
    PutAssistant,
    PutRun,
    PutThread,
    RecordExists,
    StorageError,
    TruncateLog,
)
from .records import Assistant, Run, Thread
from .rows import COLUMNS, log_values, to_row

__all__ = ["refusal", "send"]


def _names(columns: Iterable[str]) -> str:
    return ", ".join(columns)


def _values(columns: Iterable[str]) -> str:
    return ", ".join(f"%({column})s" for column in columns)


def _new_values(columns: Iterable[str]) -> str:
    return ", ".join(f"{column} = excluded.{column}" for column in columns)


_thread_columns = COLUMNS[Thread]
_run_columns = [column for column in COLUMNS[Run] if column != "thread_id"]
_run_changes = [column for column in _run_columns if column not in ("run_id", "input")]
_assistant_columns = [*COLUMNS[Assistant], "folded_name"]

_INSERT_THREAD: Final = f"""
    INSERT INTO greenroom.threads ({_names(_thread_columns)}) VALUES ({_values(_thread_columns)})
"""
_PUT_THREAD: Final = f"""
    UPDATE greenroom.threads
    SET ({_names(_thread_columns[1:])}) = ({_values(_thread_columns[1:])})
    WHERE thread_id = %(thread_id)s
"""
_PUT_RUN: Final = f"""
    INSERT INTO greenroom.runs (thread, {_names(_run_columns)})
    SELECT id, {_values(_run_columns)} FROM greenroom.threads WHERE thread_id = %(thread_id)s
    ON CONFLICT (thread, run_id) DO UPDATE SET {_new_values(_run_changes)}
"""
_PUT_ASSISTANT: Final = f"""
    INSERT INTO greenroom.assistants ({_names(_assistant_columns)})
    VALUES ({_values(_assistant_columns)})
    ON CONFLICT (assistant_id) DO UPDATE SET {_new_values(_assistant_columns[1:])}
"""
_THREAD: Final = "(SELECT id FROM greenroom.threads WHERE thread_id = %s)"
_CHECK_LOG_END: Final = "SELECT greenroom.check_log_end(%s, %s)"
_APPEND_LOG: Final = """
    INSERT INTO greenroom.log (thread, seq, kind, ns, checkpoint_id, base_seq, data, lists)
    SELECT id, %s, %s, %s, %s, %s, %s, %s FROM greenroom.threads WHERE thread_id = %s
"""
# Where it is the input of a run, the log only names the run.
_APPEND_INPUT: Final = """
    INSERT INTO greenroom.log
        (thread, seq, kind, ns, checkpoint_id, base_seq, data, lists, run, input)
    SELECT t.id, %s, %s, %s, %s, %s, %s, %s, r.id, CASE WHEN r.id IS NULL THEN given.input END
    FROM (SELECT %s::text AS input) AS given CROSS JOIN greenroom.threads t
    LEFT JOIN greenroom.runs r ON r.thread = t.id AND r.run_id = %s AND r.input = given.input
    WHERE t.thread_id = %s
"""
_APPEND_EVENTS: Final = """
    INSERT INTO greenroom.events (thread, run, event_id, name, data)
    SELECT t.id, r.id, %s, %s, %s
    FROM greenroom.threads t JOIN greenroom.runs r ON r.thread = t.id
    WHERE t.thread_id = %s AND r.run_id = %s
"""
_DELETE_THREAD: Final = (
    f"DELETE FROM greenroom.events WHERE thread = {_THREAD}",
    f"DELETE FROM greenroom.log WHERE thread = {_THREAD}",
    f"DELETE FROM greenroom.runs WHERE thread = {_THREAD}",
    "DELETE FROM greenroom.threads WHERE thread_id = %s",
)
_RUN: Final = f"(SELECT id FROM greenroom.runs WHERE thread = {_THREAD} AND run_id = %s)"
_DELETE_RUN: Final = (
    f"DELETE FROM greenroom.events WHERE run = {_RUN}",
    # What the log took from the run becomes its own.
    "UPDATE greenroom.log l SET input = r.input, run = NULL FROM greenroom.runs r"
    f" WHERE r.id = l.run AND l.run = {_RUN}",
    f"DELETE FROM greenroom.runs WHERE id = {_RUN}",
)
_TRUNCATE_LOG: Final = f"DELETE FROM greenroom.log WHERE thread = {_THREAD} AND seq >= %s"


def send(cursor: psycopg.Cursor[tuple[Any, ...]], operation: Operation) -> None:
    """Carry out one operation inside the transaction that is open, or send it on its way where
    answers are not waited for.

    Raises Unstorable for a record that cannot be kept.
    """
    match operation:
        case InsertThread(thread):
            cursor.execute(_INSERT_THREAD, to_row(thread))
        case PutThread(thread):
            cursor.execute(_PUT_THREAD, to_row(thread))
        case DeleteThread(thread_id):
            for statement in _DELETE_THREAD:
                cursor.execute(statement, (thread_id,))
        case PutRun(run):
            cursor.execute(_PUT_RUN, to_row(run))
        case DeleteRun(thread_id, run_id):
            for statement in _DELETE_RUN:
                cursor.execute(statement, (thread_id, run_id))
        case PutAssistant(assistant):
            folded = {"folded_name": assistant.name.casefold()}
            cursor.execute(_PUT_ASSISTANT, {**to_row(assistant), **folded})
        case AppendLog(rows, follows):
            if follows is not None:
                cursor.execute(_CHECK_LOG_END, (rows[0].thread_id, follows))
            for row in rows:
                if row.input is None:
                    cursor.execute(_APPEND_LOG, (*log_values(row), row.thread_id))
                else:
                    given = (row.input.decode(), row.run_id, row.thread_id)
                    cursor.execute(_APPEND_INPUT, (*log_values(row), *given))
        case TruncateLog(thread_id, from_seq):
            cursor.execute(_TRUNCATE_LOG, (thread_id, from_seq))
        case AppendEvents(events):
            for e in events:
                cursor.execute(_APPEND_EVENTS, (e.event_id, e.name, e.data, e.thread_id, e.run_id))


def refusal(operation: Operation) -> StorageError:
    """What an operation is refused with that met a record which is there already."""
    match operation:
        case InsertThread(thread):
            return RecordExists(f"Thread {thread.thread_id} exists already")
        case AppendLog(rows):
            where = ", ".join(f"{row.seq} of thread {row.thread_id}" for row in rows)
            return StorageError(f"A position of the log is taken among {where}")
        case AppendEvents(events):
            where = f"{events[0].event_id} to {events[-1].event_id}"
            return StorageError(f"An event id is taken among {where}")
        case _:
            return StorageError(f"{type(operation).__name__}: a record is there already")
