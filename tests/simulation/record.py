"""What has happened, and what of it may not."""

from __future__ import annotations

import attrs
import trio

from .courses import Course, SeenThread

__all__ = ["Dated", "Record"]


@attrs.frozen
class Dated:
    """A cron that was accepted. `thread_id`: None where its run has a thread of its own."""

    cron_id: str
    thread_id: str | None


@attrs.define(eq=False)
class Record:
    """`history`: all that has happened, a line each; `wrong`: the first thing that may not be.
    `cut`: tags of runs that clients have told to stop, and how; `dropped`, `copied`: threads
    that they have deleted, and copied; `gone`: threads that were deleted, by anybody; `edits`:
    nodes that they have edited the state as, and at which checkpoint, by tag; `crons`: that
    they have asked for, by the tag of the one run of each, None if it is not known whether
    there is one; `called_off`: tags that no cron may bring any more; `refused`: ids of crons
    whose run was; `posted`: set by the next post; `tries`: how often each webhook was posted
    to; `lives`: of processes and actors, so far; `unread_at`: when a read was refused last;
    `taken_over`: a process may not know that another goes on with its runs."""

    history: list[str] = attrs.field(factory=list)
    wrong: str | None = None
    found: trio.Event = attrs.field(factory=trio.Event)
    threads: dict[str, SeenThread] = attrs.field(factory=dict)
    courses: dict[str, Course] = attrs.field(factory=dict)
    cut: set[tuple[str, str]] = attrs.field(factory=set)
    dropped: set[str] = attrs.field(factory=set)
    gone: set[str] = attrs.field(factory=set)
    copied: dict[str, None] = attrs.field(factory=dict)
    edits: dict[str, tuple[str, str | None]] = attrs.field(factory=dict)
    events: dict[int, tuple[str, bytes]] = attrs.field(factory=dict)
    changes: dict[str, int] = attrs.field(factory=dict)  # commits by thread
    posted: trio.Event = attrs.field(factory=trio.Event)
    crons: dict[str, Dated | None] = attrs.field(factory=dict)
    called_off: set[str] = attrs.field(factory=set)
    refused: set[str] = attrs.field(factory=set)
    tries: dict[str, int] = attrs.field(factory=dict)
    lives: int = 0
    unread_at: float = -1.0
    taken_over: bool = False

    def say(self, text: str) -> None:
        self.history.append(f"{trio.current_time():9.3f} {text}")

    def refute(self, text: str) -> None:
        if self.wrong is None:
            self.wrong = text
            self.say(f"WRONG: {text}")
            self.found.set()

    def not_read(self) -> None:
        """A read was refused: runs may fail of that."""
        self.unread_at = trio.current_time()

    def check(self, holds: bool, text: str) -> None:
        if not holds:
            self.refute(text)

    def _asked_for(self, course: Course, *how: str) -> bool:
        """Whether a client has had it cut short, or one that is one with it."""
        alike = [course, *(one for one in course.thread.courses if one.joins or course.joins)]
        return any((one.order.tag, action) in self.cut for one in alike for action in how)
