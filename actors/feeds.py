"""Threads as readers follow them: the events of all their runs, as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio

from .errors import Closed

if TYPE_CHECKING:
    from .events import StreamPart

__all__ = ["MOST_WAITING", "Feed", "Feeds", "far_behind"]

MOST_WAITING: Final = 10_000  # events that a reader may be behind


def far_behind(events: int) -> Closed:
    """What a reader is told who would miss some."""
    return Closed(f"The reader is {events} events behind; it may come back")


@attrs.define(eq=False)
class Feed:
    """What one reader of a thread has not taken yet. `over`: nothing more will come."""

    waiting: list[StreamPart] = attrs.field(factory=list)
    over: bool = False
    error: Exception | None = None
    _changed: trio.Event = attrs.field(factory=trio.Event)

    def take(self) -> list[StreamPart]:
        taken, self.waiting = self.waiting, []
        return taken

    async def follow(self) -> AsyncGenerator[list[StreamPart], None]:
        """Events in batches of what had queued up, until the thread is deleted. Raises Closed, also
        once the reader is too far behind."""
        while True:
            if self.waiting:
                yield self.take()
            elif self.error is not None:
                raise self.error
            elif self.over:
                return
            else:
                await self._changed.wait()

    def put(self, part: StreamPart) -> None:
        if len(self.waiting) >= MOST_WAITING:
            self.end(far_behind(MOST_WAITING))
        elif not self.over:
            self.waiting.append(part)
            self._wake()

    def end(self, error: Exception | None = None) -> None:
        if not self.over:
            self.over, self.error = True, error
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@attrs.define(eq=False)
class Feeds:
    """Who follows which thread."""

    _feeds: dict[str, list[Feed]] = attrs.field(factory=dict)

    @contextmanager
    def follower(self, thread_id: str) -> Iterator[Feed]:
        """A feed with all that happens from now on."""
        feed = Feed()
        self._feeds.setdefault(thread_id, []).append(feed)
        try:
            yield feed
        finally:
            feeds = self._feeds[thread_id]
            feeds.remove(feed)
            if not feeds:
                del self._feeds[thread_id]

    def __len__(self) -> int:
        return sum(map(len, self._feeds.values()))

    def followed(self, thread_id: str) -> bool:
        return thread_id in self._feeds

    def put(self, thread_id: str, part: StreamPart) -> None:
        for feed in self._feeds.get(thread_id, ()):
            feed.put(part)

    def end(self, thread_id: str) -> None:
        """The thread is gone, and those who follow it are told."""
        for feed in self._feeds.get(thread_id, ()):
            feed.end()

    def close(self, error: Exception) -> None:
        for feeds in self._feeds.values():
            for feed in feeds:
                feed.end(error)
