"""An asyncio loop in a thread of its own, beside trio's, for code that only asyncio can run.

Each trio run has one at most. The two loops tell each other to call functions, and neither waits
for the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import sniffio
import trio

from .asyncio_executor import AbandoningExecutor
from .crossings import Call, Visit, as_exception, name_of
from .errors import AsyncioThreadDied
from .here import enter, leave, work_for
from .stall import StallWatch

__all__ = ["AsyncioThread", "asyncio_thread"]

T = TypeVar("T")
Told = tuple[contextvars.Context, Callable[..., object], tuple[Any, ...]]

GRACE: Final = 5.0  # seconds
STOP_TIME: Final = 5.0  # seconds that what is left on the loop has to stop, when its thread ends

logger = logging.getLogger(__name__)


class AsyncioThread:
    """The asyncio loop of a trio run; see `asyncio_thread`.

    `dead`: why it runs no more, None while it does.
    """

    def __init__(self) -> None:
        self.dead: str | None = None
        self._token = trio.lowlevel.current_trio_token()
        # It keeps the context that it is made in, and the run there would never go.
        self._loop = contextvars.Context().run(asyncio.new_event_loop)
        self._executor = AbandoningExecutor(self._settled)
        self._thread = threading.Thread(target=self._run, name="greenroom-asyncio", daemon=True)
        self._watch = StallWatch(self._loop, self._thread, self._soon)
        self._calls: set[Call] = set()  # those in flight
        self._ended = trio.Event()
        self._visits: set[Visit] = set()
        # Of both sides.
        self._lock = threading.RLock()  # a finaliser may tell trio something at any time
        self._told: list[Told] = []
        self._waking = False  # trio has been told to look
        self._due: float | None = None  # when it will be, by the loop's clock
        # Of the asyncio side, but for `_stopping`.
        self._stopping = False
        self._closing = False
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio itself does not hold those that wait

    # On trio.

    async def run(
        self,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        grace: float = GRACE,
        name: str | None = None,
    ) -> T:
        """What `function(*args)` comes to, awaited as an asyncio task in a copy of this context.

        Where this is cancelled the asyncio task is too, and is waited for: for `grace` seconds of
        trio's clock, then it is left behind. What it told trio (`tell_trio`) is done when this
        returns. `name`: of the asyncio task, by default the function's.

        Raises what the function raises; RuntimeError for what is no Exception, such as the
        CancelledError of a task that nobody here has cancelled; AsyncioThreadDied where the loop
        comes to an end before.
        """
        if not grace >= 0:
            raise ValueError(f"grace must be 0 or more seconds; got {grace!r}")
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.dead is not None:
            raise AsyncioThreadDied(self.dead)
        call = Call(function, args, name or name_of(function))
        self._calls.add(call)
        self._watch.begin()
        self._soon(self._start, call)
        try:
            await call.over.wait()
        except BaseException:
            await self._cancel(call, grace)
            raise
        finally:
            self._calls.discard(call)
            self._watch.end()
        if call.error is not None:
            try:
                raise call.error
            finally:
                del call  # the error has this frame in its traceback
        return call.value  # type: ignore[no-any-return]

    async def _cancel(self, call: Call, grace: float) -> None:
        self._soon(self._cancel_task, call)
        with trio.move_on_after(grace, shield=True):
            await call.over.wait()
        if not call.over.is_set():
            call.abandoned = True
            logger.warning(
                "asyncio task %r did not stop within %g s of being cancelled, and is left behind",
                call.name,
                grace,
            )

    def _finish(self, call: Call, value: Any, error: Exception | None) -> None:
        if call.abandoned:
            logger.warning("asyncio task %r ended after it was left behind", call.name)
        elif not call.over.is_set():
            call.value, call.error = value, error
            call.over.set()

    def start(self) -> None:
        """Start the thread. Its owner is a system task of trio's."""
        self._thread.start()
        try:
            trio.lowlevel.spawn_system_task(self._own, name="greenroom-asyncio")
        except RuntimeError:  # the trio run is about to end
            self._stop()
            raise

    def _stop(self) -> None:
        self._stopping = True
        self._soon(self._halt)

    async def _own(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch.keep)
                try:
                    await self._ended.wait()
                except trio.Cancelled:
                    self._die("The trio run is over")
                    raise
                nursery.cancel_scope.cancel()
        finally:
            self._stop()
            # By the machine's clock: it is a thread that is waited for.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._thread.join, 2 * STOP_TIME)
            if self._thread.is_alive():
                logger.warning("the asyncio thread did not stop: it is in %s", self._watch.place())

    def _die(self, why: str, cause: BaseException | None = None) -> None:
        self.dead = why
        for call in self._calls:
            died = AsyncioThreadDied(why)
            died.__cause__ = cause
            self._finish(call, None, died)
        for visit in self._visits:
            visit.scope.cancel()
        self._ended.set()

    def _deliver(self) -> None:
        with self._lock:
            self._waking = False
            told, self._told = self._told, []
        for context, function, args in told:
            try:
                context.run(function, *args)
            except Exception:
                logger.exception("%r, called for asyncio, failed", name_of(function))

    def _begin(self, visit: Visit) -> None:
        if self.dead is not None:
            visit.over()
            return
        context = contextvars.copy_context()  # that of whoever told trio to call this
        try:
            trio.lowlevel.spawn_system_task(self._carry_out, visit, context=context)
        except RuntimeError:  # trio takes no tasks any more
            visit.over()
        else:
            self._visits.add(visit)

    async def _carry_out(self, visit: Visit) -> None:
        try:
            await visit.carry_out()
        finally:
            self._visits.discard(visit)

    # On the asyncio loop and in plain threads.

    def is_current(self) -> bool:
        """Whether this is called in its own thread."""
        return threading.current_thread() is self._thread

    def tell_trio(self, function: Callable[..., object], *args: Any) -> None:
        """Have a plain function called on trio, in this context, after those told before.

        Does not wait; what the function raises is logged. Nothing is called once trio is over.
        """
        with self._lock:
            self._told.append((contextvars.copy_context(), function, args))
        self._wake()

    def tell_trio_later(self, patience: float, function: Callable[..., object], *args: Any) -> None:
        """The same without waking trio for it at once: in `patience` seconds, or with what is told
        meanwhile. For much that comes in little."""
        if not self.is_current():
            self.tell_trio(function, *args)
            return
        with self._lock:
            self._told.append((contextvars.copy_context(), function, args))
        due = self._loop.time() + patience
        if self._due is None or due < self._due:
            self._due = due
            self._loop.call_later(patience, self._lose_patience)

    def _lose_patience(self) -> None:
        self._due = None
        self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._waking or not self._told:
                return
            self._waking = True
        try:
            self._token.run_sync_soon(self._deliver)
        except trio.RunFinishedError:
            with self._lock:
                self._waking = False
                told_late, self._told = self._told, []
            for _, late, given in told_late:
                if late == self._begin:  # somebody waits for an answer
                    late(*given)

    async def to_trio(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """What an async function comes to on trio, awaited on this loop, or on another that runs
        in a plain thread.

        Cancelling this cancels the function, and waits for it; on another loop it leaves the
        function behind. Raises what the function raises; RuntimeError for what is no Exception;
        AsyncioThreadDied where trio is over.
        """
        if asyncio.get_running_loop() is not self._loop:
            return await asyncio.to_thread(self.wait_for_trio, function, *args)
        over = asyncio.Event()
        visit = Visit(function, args, functools.partial(self._soon, over.set))
        self.tell_trio(self._begin, visit)
        cancelled: asyncio.CancelledError | None = None
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError as error:
                if self._closing:
                    raise
                cancelled = error
                self.tell_trio(visit.scope.cancel)
        if cancelled is not None:
            raise cancelled
        return visit.outcome()  # type: ignore[no-any-return]

    def wait_for_trio(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """The same for plain threads: blocks until the function is done.

        Raises RuntimeError in a loop, trio's or asyncio's, which it would stall.
        """
        if self.is_current():
            raise RuntimeError("wait_for_trio() blocks, and was called in a running loop: await it")
        return self.stall_for_trio(function, *args)

    def stall_for_trio(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """The same on this loop too, which does nothing else meanwhile: for functions that need
        nothing of it, and for callers who could not await them."""
        if trio.lowlevel.in_trio_run():
            raise RuntimeError("wait_for_trio() blocks, and was called in a running loop: await it")
        over = threading.Event()
        visit = Visit(function, args, over.set)
        self.tell_trio(self._begin, visit)
        over.wait()
        return visit.outcome()  # type: ignore[no-any-return]

    # The asyncio side.

    def _soon(self, function: Callable[..., object], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # it is closed, which trio has been told or will be
            self._loop.call_soon_threadsafe(function, *args)

    def _halt(self) -> None:
        if not self._closing:  # or what tidies up would be
            self._loop.stop()

    def _start(self, call: Call) -> None:
        if not self._closing:
            call.context.run(sniffio.current_async_library_cvar.set, None)  # anyio may have set it
            call.context.run(work_for, self)
            call.task = self._loop.create_task(
                call.carry_out(), name=call.name, context=call.context
            )
            self._tasks.add(call.task)
            call.task.add_done_callback(functools.partial(self._stopped, call))

    def _cancel_task(self, call: Call) -> None:
        if call.task is not None:
            call.task.cancel()

    def _stopped(self, call: Call, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        call.task = None
        if task.cancelled():
            cut = RuntimeError(f"asyncio task {call.name!r} was cancelled on its own loop")
            self.tell_trio(self._finish, call, None, cut)
        elif (error := task.exception()) is not None:
            error = as_exception(error, f"asyncio task {call.name!r}")
            self.tell_trio(self._finish, call, None, error)
        else:
            self.tell_trio(self._finish, call, task.result(), None)

    def _settled(self, call: Callable[[], None]) -> None:
        """Call something in a thread that is of this one meanwhile."""
        enter(self)
        try:
            call()
        finally:
            leave()

    def _run(self) -> None:
        enter(self)
        asyncio.set_event_loop(self._loop)
        self._loop.set_default_executor(self._executor)
        died: tuple[Any, ...] = ("The asyncio loop was stopped by what ran on it",)
        try:
            self._loop.run_forever()
        except BaseException as error:  # SystemExit, KeyboardInterrupt
            died = (f"The asyncio loop was ended by {error!r}", error)
        self._closing = True
        if not self._stopping:
            self.tell_trio(self._die, *died)
        try:
            self._loop.run_until_complete(self._cancel_all())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        except BaseException:
            logger.exception("the asyncio loop could not be tidied up")
        finally:
            self._executor.shutdown()
            asyncio.set_event_loop(None)
            self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=STOP_TIME)
            for task in left:
                logger.warning("asyncio task %r did not stop with its loop", task.get_name())


_of_run: trio.lowlevel.RunVar[AsyncioThread] = trio.lowlevel.RunVar("greenroom_asyncio_thread")


def asyncio_thread() -> AsyncioThread:
    """The one of this trio run, which is started where there is none or it has died."""
    thread = _of_run.get(None)  # type: ignore[arg-type]
    if thread is None or thread.dead is not None:
        thread = AsyncioThread()
        thread.start()
        _of_run.set(thread)
    return thread
