from __future__ import annotations

from typing import Any

import attrs
import pytest

from greenroom.actors.status import settled, thread_error
from greenroom.graph import Interrupt
from greenroom.graph.checkpoint import Checkpoint, PendingWrites, Planned, Saved
from greenroom.graph.failure import TaskError
from greenroom.storage import Thread

NOW = "2026-01-02T00:00:00.000000+00:00"
OLD = "2026-01-01T00:00:00.000000+00:00"
THREAD = Thread(thread_id="t", created_at=OLD, updated_at=OLD, state_updated_at=OLD)

ASKED = PendingWrites(
    checkpoint_id="c", task_id="t1", node="ask", interrupts=(Interrupt("sure?", "f" * 32),)
)
FAILED = PendingWrites(
    checkpoint_id="c", task_id="t2", node="b", error=TaskError.of(ValueError("boom"))
)
HANDLED = attrs.evolve(ASKED, handles=FAILED.error)


def saved(*pending: PendingWrites, left: bool = False) -> Saved:
    planned = (Planned("ask"),) if left else ()
    checkpoint = Checkpoint(
        id="c", step=1, source="loop", created_at=OLD, values={}, changed=(), next=planned
    )
    return Saved(checkpoint, {writes.task_id: writes for writes in pending})


@pytest.mark.parametrize(
    ("head", "busy", "status"),
    [
        (None, False, "idle"),
        (None, True, "busy"),
        (saved(), False, "idle"),
        (saved(left=True), False, "interrupted"),
        (saved(ASKED, left=True), False, "interrupted"),
        (saved(ASKED, FAILED, left=True), False, "error"),
        (saved(HANDLED, left=True), False, "interrupted"),
        (saved(FAILED, left=True), True, "busy"),
    ],
)
def test_status_follows_from_the_head_of_the_log(
    head: Saved | None, busy: bool, status: str
) -> None:
    assert settled(THREAD, head, busy=busy, now=NOW).status == status


def test_a_paused_thread_shows_its_questions_by_task() -> None:
    thread = settled(THREAD, saved(ASKED, left=True), busy=False, now=NOW)

    assert thread.interrupts == {"t1": [{"id": "f" * 32, "value": "sure?"}]}
    assert thread.error is None
    assert (thread.created_at, thread.updated_at, thread.state_updated_at) == (OLD, NOW, NOW)


def test_error_and_questions_of_before_are_gone_once_the_log_has_none() -> None:
    failed: dict[str, Any] = {"error": "ValueError", "message": "boom"}
    before = settled(THREAD, saved(ASKED, FAILED, left=True), busy=False, now=OLD)
    assert before.error == thread_error(saved(FAILED)) == failed

    after = settled(before, saved(), busy=False, now=NOW)

    assert after == attrs.evolve(THREAD, updated_at=NOW, state_updated_at=NOW)
