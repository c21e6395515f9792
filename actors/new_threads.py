"""Threads that nobody has woken since they were made."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs

from greenroom.storage.records import Thread

__all__ = ["NewThreads"]

MOST: Final = 1000


@attrs.define(eq=False)
class NewThreads:
    """The newest threads whose ids were drawn here: they have no runs and no log, which their
    actors need not look for. A thread that is yet to be made with its first run is None."""

    _threads: OrderedDict[str, Thread | None] = attrs.field(init=False, factory=OrderedDict)

    def add(self, thread_id: str, thread: Thread | None = None) -> None:
        self._threads[thread_id] = thread
        if len(self._threads) > MOST:
            self._threads.popitem(last=False)

    def __contains__(self, thread_id: str) -> bool:
        return thread_id in self._threads

    def take(self, thread_id: str) -> Thread | None:
        """The thread, which is new no more. Raises KeyError."""
        return self._threads.pop(thread_id)
