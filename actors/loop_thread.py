"""A runtime in a thread of its own, and calls of it from threads that do not run trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from .errors import Closed

if TYPE_CHECKING:
    from .runtime import Greenroom

__all__ = ["LoopThread"]

T = TypeVar("T")


@attrs.define(eq=False)
class LoopThread:
    """Runs trio and, on it, a room, from `start` to `stop`."""

    room: Greenroom
    _thread: Thread | None = None
    _started: Future[None] = attrs.field(factory=Future)
    _token: trio.lowlevel.TrioToken = attrs.field(init=False)
    _nursery: trio.Nursery = attrs.field(init=False)
    _left: trio.Event = attrs.field(init=False)
    _lock: Lock = attrs.field(factory=Lock)
    _calls: set[Future[object]] = attrs.field(factory=set)
    _over: bool = False
    _error: BaseException | None = None

    def start(self) -> None:
        """Raises what entering the room does."""
        if self._thread is not None:
            raise RuntimeError("A room in a thread can be entered once")
        self._thread = Thread(target=self._run, name="greenroom", daemon=True)
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """Leave the room. Raises what it ended with, if it did so by itself after `start`."""
        assert self._thread is not None
        if self._started.exception() is None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._leave)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def submit(self, call: Callable[[], Awaitable[T]]) -> Future[T]:
        """Have `call()` awaited on trio. Cancelling the future cancels the call.

        Raises Closed once the room has been left; so does the future of a call that was cut short
        by that.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._over:
                raise Closed
            self._calls.add(future)  # type: ignore[arg-type]
        with suppress(trio.RunFinishedError):  # it is told so when the thread ends
            self._token.run_sync_soon(self._begin, call, future)
        return future

    def _run(self) -> None:
        try:
            trio.run(self._main)
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            else:
                self._error = error
        finally:
            with self._lock:
                self._over = True
                calls = list(self._calls)
            for future in calls:
                _settle(future, error=Closed())

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._left = trio.Event()
        try:
            async with self.room, trio.open_nursery() as self._nursery:
                self._started.set_result(None)
                await self._left.wait()
                self._nursery.cancel_scope.cancel()
        finally:
            with self._lock:
                self._over = True

    def _leave(self) -> None:
        with self._lock:
            self._over = True
        self._left.set()

    def _begin(self, call: Callable[[], Awaitable[T]], future: Future[T]) -> None:
        if not self._left.is_set() and not self._nursery.cancel_scope.cancel_called:
            self._nursery.start_soon(self._perform, call, future)

    async def _perform(self, call: Callable[[], Awaitable[T]], future: Future[T]) -> None:
        with trio.CancelScope() as scope:

            def cancel(future: Future[T]) -> None:
                if future.cancelled():
                    with suppress(trio.RunFinishedError):
                        self._token.run_sync_soon(scope.cancel)

            future.add_done_callback(cancel)
            try:
                value = await call()
            except Exception as error:
                _settle(future, error=error)
            else:
                _settle(future, value)
        with self._lock:
            self._calls.discard(future)


def _settle(future: Future[T], value: T | None = None, error: Exception | None = None) -> None:
    if future.done() or not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)  # type: ignore[arg-type]
