"""A thread's status, from the head of its log. Pure; nothing else decides it."""

from __future__ import annotations

from typing import Any

import attrs

from greenroom.graph.checkpoint import Saved
from greenroom.graph.resume import waiting
from greenroom.storage.records import Thread, ThreadStatus

from .views import thread_interrupts

__all__ = ["settled", "thread_error"]


def thread_error(saved: Saved | None) -> dict[str, Any] | None:
    """Why the thread's last run failed, if it did."""
    for writes in saved.pending.values() if saved is not None else ():
        if writes.error is not None:
            return {"error": writes.error.type, "message": writes.error.message}
    return None


def settled(thread: Thread, saved: Saved | None, *, busy: bool, now: str) -> Thread:
    """The thread as it stands: `saved` is the head of its log, `busy` whether runs are left to
    do.
    """
    error = thread_error(saved)
    status: ThreadStatus
    if busy:
        status = "busy"
    elif error is not None:
        status = "error"
    elif saved is not None and (saved.checkpoint.next or waiting(saved)):
        status = "interrupted"
    else:
        status = "idle"
    return attrs.evolve(
        thread,
        status=status,
        error=error,
        interrupts=thread_interrupts(saved) if saved is not None else {},
        updated_at=now,
        state_updated_at=now,
    )
