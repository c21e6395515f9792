"""What is known of threads and runs, and how it is read from what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from greenroom.actors.joining import HOST
from greenroom.graph.resume import waiting
from greenroom.storage import Operation, Storage, read_saved
from greenroom.storage.operations import (
    AppendEvents,
    AppendLog,
    DeleteRun,
    DeleteThread,
    InsertThread,
    PutRun,
    PutThread,
    TruncateLog,
)
from greenroom.storage.records import Run

from .model import RULES, Order, Place

__all__ = [
    "DELETED",
    "ROLLED_BACK",
    "Course",
    "SeenThread",
    "described",
    "may_come_first",
    "order_of",
    "read",
    "threads_of",
]

# How a run that is not in storage any more has ended.
ROLLED_BACK: Final = "rolled back"
DELETED: Final = "deleted"


@attrs.define(eq=False)
class Course:
    """What is known of a run. `end`: its last status, or how it went; `log`: of the thread then,
    None if it never had its turn. `born`, `died`: in which life of an actor it was accepted, and
    ended. `bound`: the questions that were open when it was accepted, by id. `came_at`: when
    it was accepted; `visited`, `done`: nodes that have worked for it, and come to their end.
    """

    run: Run
    thread: SeenThread
    order: Order
    bound: dict[str, str] = attrs.field(factory=dict)
    started: bool = False
    end: str | None = None
    deleted: bool = False
    log: tuple[str, ...] | None = None
    last_event: int = 0
    posted: bool = False
    came_at: float = 0.0
    visited: set[str] = attrs.field(factory=set)
    done: set[str] = attrs.field(factory=set)
    born: int = 0
    died: int = 0

    @property
    def host(self) -> str | None:
        """The id of the run that it is part of."""
        return self.run.metadata.get(HOST)

    @property
    def base(self) -> str | None:
        """The checkpoint that it was to go on from."""
        base: str | None = self.run.kwargs["config"]["configurable"].get("checkpoint_id")
        return base

    @property
    def joins(self) -> bool:
        """Whether it may become part of another."""
        return RULES[self.run.multitask_strategy].joins

    @property
    def temporary(self) -> bool:
        """Whether its thread is of it alone, and goes with it."""
        return bool(self.run.kwargs["temporary"])

    @property
    def delayed(self) -> bool:
        return "after_seconds" in self.run.kwargs


@attrs.define(eq=False)
class SeenThread:
    """A thread, as the ends of its runs have left it. `questions`: those that are open, by id.
    `branches`: clients have had it go on from older checkpoints. `inherited`:
    tags of the runs that had worked on the thread that it is a copy of."""

    thread_id: str
    place: Place
    log: tuple[str, ...] = ()
    questions: dict[str, str] = attrs.field(factory=dict)
    head: str | None = None
    courses: list[Course] = attrs.field(factory=list)
    branches: bool = False
    inherited: frozenset[str] = frozenset()
    at_work: dict[str, int] = attrs.field(factory=dict)  # nodes by run, in this process
    gone: bool = False

    @property
    def unfinished(self) -> list[Course]:
        return [course for course in self.courses if course.end is None]

    @property
    def tags(self) -> frozenset[str]:
        """Of all runs that may have worked on it."""
        return self.inherited.union(course.order.tag for course in self.courses)

    @property
    def undone(self) -> set[str]:
        """The ids and tags of its runs that were rolled back. What one brought that is gone before
        the run that it was part of goes with that."""
        left = {course.run.run_id for course in self.unfinished}
        gone = [one for one in self.courses if one.end == ROLLED_BACK and one.host not in left]
        return {name for course in gone for name in (course.run.run_id, course.order.tag)}

    @property
    def temporary(self) -> bool:
        """Whether it is of one run, and goes with that."""
        return any(course.temporary for course in self.courses)

    @property
    def is_working(self) -> bool:
        return any(course.run.status == "running" for course in self.unfinished)


def order_of(run: Run) -> Order:
    kwargs = run.kwargs
    tag = str(run.metadata["tag"])
    breaks = bool(kwargs["interrupt_before"] or kwargs["interrupt_after"])
    if kwargs["command"] is not None:
        return Order(tag, "resume", breaks)
    return Order(tag, "go on" if kwargs["input"] is None else "text", breaks)


def may_come_first(course: Course, before: Course, ended: Sequence[Course]) -> bool:
    """Whether the text of a run may come to the state before that of one which was accepted before
    it. `ended`: a run, and those that have ended as part of it."""
    together = course in ended and before in ended
    if before.delayed:  # it had no place in the queue until it was due
        courses = before.thread.courses
        between = courses[courses.index(before) : courses.index(course)]
        waited = [one for one in between if one.delayed]
        both = course.delayed and together and all(map(is_merged, [course, before]))
        return not (both and all(one in ended for one in waited))
    return course.run.multitask_strategy == "steer" and not together


def is_merged(course: Course) -> bool:
    """Whether it is due together with those of its kind that it becomes one with."""
    return course.run.multitask_strategy in ("merge", "debounce")


def read(storage: Storage, thread_id: str) -> tuple[str | None, tuple[str, ...], dict[str, str]]:
    """The newest checkpoint, what is in its log, and the questions that are open."""
    saved = read_saved(storage, thread_id)
    if saved is None:
        return None, (), {}
    open_ones = {question.id: str(question.value) for question in waiting(saved)}
    return saved.checkpoint.id, tuple(saved.checkpoint.values.get("log", ())), open_ones


def threads_of(operation: Operation) -> list[str]:
    match operation:
        case InsertThread(thread):
            return [thread.thread_id]
        case PutRun(run):
            return [run.thread_id]
        case DeleteThread(thread_id) | DeleteRun(thread_id, _):
            return [thread_id]
    return []


def described(operation: Operation) -> str:
    match operation:
        case PutRun(run):
            stop = f" to {run.stop}" if run.stop else ""
            host = run.metadata.get(HOST)
            of = f" of {host[-4:]}" if host else ""
            about = f"{run.status}{stop}{of} seq {run.seq} attempt {run.attempt}"
            return f"PutRun {run.metadata['tag']} {about}"
        case PutThread(thread):
            return f"PutThread {thread.thread_id[-4:]} {thread.status}"
        case AppendLog(rows):
            return f"AppendLog {[(row.seq, row.kind, row.ns) for row in rows]}"
        case AppendEvents(events):
            return f"AppendEvents {[event.event_id & 0xFFFFF for event in events]}"
        case TruncateLog(_, seq):
            return f"TruncateLog {seq}"
        case DeleteRun(_, run_id):
            return f"DeleteRun {run_id[-4:]}"
    return type(operation).__name__
