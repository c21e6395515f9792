"""Threads that read while the event loop goes on."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import attrs
import trio

__all__ = ["Readers"]

READERS: Final = 4  # threads that read at the same time; more only contend for the interpreter

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
    """Up to 4 threads in a nursery of the owner's, each started when those that are there are busy.

    They wait for work without the event loop, so that a read costs one hop each way. `close` lets
    them end.
    """

    _nursery: trio.Nursery
    _threads: int = attrs.field(init=False, default=0)
    _under_way: int = attrs.field(init=False, default=0)
    _queue: SimpleQueue[_Read | None] = attrs.field(init=False, factory=SimpleQueue)
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)

    async def run(self, function: Callable[[], T]) -> T:
        """`function()` in one of the threads. Being cancelled here abandons the result."""
        read = _Read(function)
        self._under_way += 1
        if self._under_way > self._threads < READERS:
            self._threads += 1
            self._nursery.start_soon(self._keep_thread)
        self._queue.put(read)
        await read.done.wait()
        if read.error is not None:
            raise read.error
        value: T = read.value
        return value

    def close(self) -> None:
        for _ in range(self._threads):
            self._queue.put(None)

    async def _keep_thread(self) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._work, limiter=trio.CapacityLimiter(1))

    def _work(self) -> None:
        while (read := self._queue.get()) is not None:
            read.perform()
            self._token.run_sync_soon(self._deliver, read)

    def _deliver(self, read: _Read) -> None:
        self._under_way -= 1
        read.done.set()
