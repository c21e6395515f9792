"""Runs as they start, for the first time or again: their records, and where their streams go on."""

from __future__ import annotations

from typing import Final

import attrs

from greenroom.storage import Storage, StorageSession, ThreadLog
from greenroom.storage.records import Run

from .errors import GreenroomError
from .events import RunStream

__all__ = ["check_gets_on", "find_stored", "started_from"]

MAX_STALLED_STARTS: Final = 3  # starts in a row from the same checkpoint


def started_from(run: Run, log: ThreadLog, taken_in_at: int | None, now: str) -> Run:
    """The run, started on the state that the log has come to. `taken_in_at`: where the log has its
    input, if it has."""
    head = log.head.checkpoint.id if log.head is not None else None
    again = run.attempt > 0
    return attrs.evolve(
        run,
        status="running",
        attempt=run.attempt + 1,
        stalled=run.stalled + 1 if again and run.started_from == head else 1,
        started_from=head,
        first_log_seq=run.first_log_seq if again else taken_in_at or log.next_seq,
        updated_at=now,
    )


def check_gets_on(started: Run) -> None:
    """Raises GreenroomError for a run that was started too often for nothing."""
    if started.stalled > MAX_STALLED_STARTS:
        raise GreenroomError(
            f"The run was started {MAX_STALLED_STARTS} times without getting a step further"
        )


async def find_stored(session: StorageSession, stream: RunStream) -> None:
    """Where in its stream a run goes on storing events: it may have begun with an actor that
    crashed, and storage has what was handed over before."""
    if not (stream.resumable and stream.parts):
        return
    last = stream.parts[0].id - 1
    while found := await session.read(
        Storage.read_events, stream.thread_id, stream.run_id, after=last
    ):
        last = found[-1].event_id
    stream.stored_to = stream.position_after(last)
