"""Threads that read while the event loop goes on."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import attrs
import trio

__all__ = ["Readers"]

READERS: Final = 4  # threads at most
STUCK: Final = 0.02  # seconds that reads wait behind others before one more thread takes them

T = TypeVar("T")


@attrs.define(eq=False)
class _Read:
    function: Callable[[], Any]
    done: trio.Event = attrs.field(factory=trio.Event)
    value: Any = None
    error: BaseException | None = None

    def perform(self) -> None:
        try:
            self.value = self.function()
        except BaseException as error:  # whatever it is, it is the reader's to see
            self.error = error


@attrs.define(eq=False)
class Readers:
    """Up to 4 threads in a nursery of the owner's.

    `steady`: how many of them stay, each started when those that are there are busy; they wait for
    work without the event loop, so that a read costs one hop each way. The others help while these
    are held up by reads that take long: threads that read side by side contend for the interpreter.
    `close` lets all end.
    """

    _nursery: trio.Nursery
    _steady: int
    _threads: int = attrs.field(init=False, default=0)
    _helpers: int = attrs.field(init=False, default=0)
    _under_way: int = attrs.field(init=False, default=0)
    _taken: int = attrs.field(init=False, default=0)
    _done: int = attrs.field(init=False, default=0)  # by threads that stay
    _watch: trio.CancelScope | None = attrs.field(init=False, default=None)
    _queue: SimpleQueue[_Read | None] = attrs.field(init=False, factory=SimpleQueue)
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)
    _context: Context = attrs.field(factory=copy_context)  # not that of who reads first

    async def run(self, function: Callable[[], T]) -> T:
        """`function()` in one of the threads. Being cancelled here abandons the result."""
        read = _Read(function)
        self._under_way += 1
        if self._under_way > self._threads < self._steady:
            self._threads += 1
            self._context.run(self._nursery.start_soon, self._in_thread, self._work)
        self._queue.put(read)
        self._have_watched()
        await read.done.wait()
        if read.error is not None:
            raise read.error
        value: T = read.value
        return value

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for _ in range(self._threads):
            self._queue.put(None)

    @property
    def _some_wait(self) -> bool:
        """Whether there are reads that no thread has taken, and more threads may be started."""
        threads = self._threads + self._helpers
        return self._under_way > threads < READERS

    def _have_watched(self) -> None:
        """See to it that no read waits for long."""
        if self._some_wait and self._watch is None:
            self._watch = trio.CancelScope()
            self._context.run(self._nursery.start_soon, self._keep_watch, self._watch)

    async def _keep_watch(self, scope: trio.CancelScope) -> None:
        try:
            with scope:
                while self._some_wait:
                    taken = self._taken
                    await trio.sleep(STUCK)
                    if self._some_wait and self._taken == taken:
                        self._helpers += 1
                        self._nursery.start_soon(self._help, self._done)
        finally:
            self._watch = None

    async def _help(self, done: int) -> None:
        try:
            await self._in_thread(partial(self._stand_in, done))
        finally:
            self._helpers -= 1
            self._have_watched()  # one may have come as it went

    async def _in_thread(self, work: Callable[[], None]) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(work, limiter=trio.CapacityLimiter(1))

    def _work(self) -> None:
        while (read := self._queue.get()) is not None:
            self._perform(read)
            self._done += 1
            self._token.run_sync_soon(self._deliver, read)

    def _stand_in(self, done: int) -> None:
        """Until a thread that stays has done more reads, and goes on."""
        while self._done == done:
            try:
                read = self._queue.get(timeout=STUCK)
            except Empty:
                continue
            if read is None:
                self._queue.put(None)  # it was for a thread that stays
                return
            self._perform(read)
            self._token.run_sync_soon(self._deliver, read)

    def _perform(self, read: _Read) -> None:
        self._taken += 1
        read.perform()

    def _deliver(self, read: _Read) -> None:
        self._under_way -= 1
        read.done.set()
