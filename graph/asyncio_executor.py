"""The threads in which an asyncio loop has blocking calls run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import trio

__all__ = ["AbandoningExecutor"]

P = ParamSpec("P")
T = TypeVar("T")

PLACES: Final = 40  # as many as of plain nodes


class AbandoningExecutor(ThreadPoolExecutor):
    """A default executor of an asyncio loop whose threads are left behind when nobody waits for
    them any more, at the end of the program too. A call that is cancelled gives its place back at
    once, though its thread goes on: others are not to wait for it.

    `within`: runs each call, in its thread. `places`: calls at once (default 40).
    """

    def __init__(self, within: Callable[[Callable[[], None]], None], places: int = PLACES) -> None:
        super().__init__(1)  # which starts no thread by itself; asyncio takes no other class
        self._within = within
        self._free = places
        self._waiting: deque[_Work] = deque()
        self._places_lock = threading.Lock()
        self._over = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Raises RuntimeError after `shutdown`."""
        work = _Work(partial(fn, *args, **kwargs), self._give_back)
        with self._places_lock:
            if self._over:
                raise RuntimeError("The executor has been shut down")
            if not self._free:
                self._waiting.append(work)
                return work
            self._free -= 1
        self._start(work)
        return work

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. Those under way go on, and are not waited for."""
        with self._places_lock:
            self._over = True
            waiting, self._waiting = self._waiting, deque()
        for work in waiting:
            work.cancel()

    def _start(self, work: _Work) -> None:
        trio.lowlevel.start_thread_soon(partial(self._within, work.carry_out), lambda _: None)

    def _give_back(self) -> None:
        while True:
            with self._places_lock:
                if not self._waiting:
                    self._free += 1
                    return
                work = self._waiting.popleft()
            if not work.cancelled():
                self._start(work)
                return


class _Work(Future[Any]):
    """A call, and its place."""

    def __init__(self, function: Callable[[], Any], give_back: Callable[[], None]) -> None:
        super().__init__()
        self._function = function
        self._give_back = give_back
        self._has_place = threading.Lock()  # held once it has been given back

    def carry_out(self) -> None:
        if self.set_running_or_notify_cancel():
            try:
                value = self._function()
            except BaseException as error:
                self.set_exception(error)
            else:
                self.set_result(value)
        self._leave()

    def cancel(self) -> bool:
        if super().cancel():
            return True
        if self.running():
            self._leave()
        return False

    def _leave(self) -> None:
        if self._has_place.acquire(blocking=False):
            self._give_back()
