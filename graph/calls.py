"""Calls that a task makes while it runs, recorded under the task: `@task` functions and steps.

A call has an id that follows from its caller, its name and how often that name was called before.
A task that starts again makes the same calls, and finds what they came to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import attrs
import trio

from .channels import MISSING, Missing
from .checkpoint import Planned
from .control import Interrupt
from .errors import GraphBubbleUp, GraphInterrupt
from .here import call_on_trio, on_asyncio, to_trio
from .isolation import isolated
from .nodes import Node
from .timelimit import places
from .world import wait_from_thread

if TYPE_CHECKING:
    from .attempt import Task

__all__ = ["Calls", "TaskFuture"]

T = TypeVar("T")


@attrs.define(eq=False)
class TaskFuture(Generic[T]):
    """What a call of a task will come to: `await` it, or in a plain function ask for `result()`.

    Raises what the task raised, as often as it is asked.
    """

    name: str
    _value: T | Missing = MISSING
    _error: BaseException | None = None
    _done: trio.Event = attrs.field(factory=trio.Event)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _asked: bool = False

    def __await__(self) -> Generator[Any, None, T]:
        if on_asyncio():
            return to_trio(self._wait).__await__()
        return self._wait().__await__()

    def result(self) -> T:
        """The result; waits for it, in the worker thread of a plain function.

        Raises RuntimeError in an async function for a task that is at work: there it is awaited.
        """
        try:
            if self.done():
                return self._outcome()
            if trio.lowlevel.in_trio_run() or on_asyncio():
                raise RuntimeError(f"Task {self.name!r} is at work: in an async function, await it")
            return wait_from_thread(self._wait)
        finally:
            del self  # here and below: it has the error, whose traceback has this frame

    def done(self) -> bool:
        """Whether it has come to an end."""
        return self._done.is_set()

    async def _wait(self) -> T:
        try:
            await self._done.wait()
            return self._outcome()
        finally:
            del self

    def _outcome(self) -> T:
        self._asked = True
        try:
            if self._error is not None:
                raise self._error
            if self._value is MISSING:
                raise RuntimeError(f"Task {self.name!r} was cut short with the task that called it")
            return cast("T", isolated(self._value))
        finally:
            del self

    async def carry_out(self, work: Callable[[], Awaitable[T]]) -> None:
        try:
            with self._scope:
                self._value = await work()
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # all but being cancelled
            self._error = error
        finally:
            self._done.set()
            del self


@attrs.define(eq=False)
class Calls:
    """The calls that one attempt of a task makes.

    They run in `nursery`, the one that the task itself runs in, and the task is not over before
    they are: see `close`.
    """

    task: Task
    nursery: trio.Nursery
    _counts: dict[str, int] = attrs.field(factory=dict)  # of calls, by name
    _started: list[TaskFuture[Any]] = attrs.field(factory=list)
    steps: set[str] = attrs.field(factory=set)  # the names of those at work
    _places: trio.Semaphore | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._places = places(self.task.run.job.config.get("max_concurrency"))

    def planned(self, name: str, arg: Any = None) -> Planned:
        """The next call of this name."""
        self.task.check_time(f"A call of {name!r}")
        nth = self._counts.get(name, 0)
        self._counts[name] = nth + 1
        return Planned(name, nth, arg).identified(self.task.within(self.task.id))

    def known(self, planned: Planned) -> Any:
        """What a call has come to in an earlier attempt or run, or MISSING."""
        so_far = self.task.run.position.pending.get(planned.id)
        if so_far is None or so_far.writes is None:
            return MISSING
        return isolated(so_far.writes[0][1])

    def record(self, planned: Planned, **what: Any) -> None:
        self.task.check_time(f"The result of {planned.node!r}")
        root = self.task.root
        self.task.run.position.append_outcome(planned, caller=root, **what)

    def call(self, node: Node, given: tuple[tuple[Any, ...], Mapping[str, Any]]) -> TaskFuture[Any]:
        """Start a task that is no node of the graph, with positional and named arguments."""
        planned = self.planned(node.name, isolated(given))
        value = self.known(planned)
        if value is not MISSING:
            future = TaskFuture[Any](node.name, value)
            future._done.set()
            return future
        call = self.task.calling(node, planned)
        self._on_trio(self.task.run.reports.started, [call])
        return self.start(node.name, lambda: self._perform(call))

    def start(self, name: str, work: Callable[[], Awaitable[T]]) -> TaskFuture[T]:
        """Carry something out beside the task; on trio, or in a thread of asyncio's."""
        future = TaskFuture[T](name)
        self._started.append(future)
        self._on_trio(self._begin, future, work)
        return future

    def _begin(self, future: TaskFuture[T], work: Callable[[], Awaitable[T]]) -> None:
        if self.task.over:  # left behind on asyncio, it still calls
            future._done.set()
        else:
            self.nursery.start_soon(future.carry_out, work, name=future.name)

    def _on_trio(self, function: Callable[..., object], *args: Any) -> None:
        call_on_trio(self.task.run.token, function, *args)

    async def _perform(self, call: Task) -> Any:
        if self._places is None:
            return await self._perform_at_once(call)
        async with self._places:
            return await self._perform_at_once(call)

    async def _perform_at_once(self, call: Task) -> Any:
        reports, position = self.task.run.reports, self.task.run.position
        try:
            outcome = await call.perform()
            reports.stamp(outcome)
            self.record(call.planned, writes=outcome.writes)
            position.hand_over()  # the caller may fail or be cut short: it will not run again
        except GraphInterrupt as pause:
            self.record(call.planned, **call.answered)
            reports.paused(call, pause.interrupts)
            raise
        except Exception as error:
            if not isinstance(error, GraphBubbleUp):
                reports.failed(call, error)
            raise
        reports.finished(call, outcome)
        self.task.progress()
        [(_, value)] = outcome.writes
        return value

    async def close(self, error: BaseException | None = None) -> None:
        """The task has done its own part, or failed with `error`: wait for the calls under way.

        They are cut short where it has failed or is cancelled itself. Raises GraphInterrupt with
        all questions where one of them, or the task, has paused; then the error of a call that
        nobody asked for its result.
        """
        try:
            if error is not None and not isinstance(error, GraphBubbleUp):
                await self._cut_short()
                return
            try:
                await self._all_done()
            except trio.Cancelled:
                await self._cut_short()
                raise
            asked = self._questions(error)
            if asked is not None:
                raise GraphInterrupt(asked)
            unheard = [one for one in self._started if one._error is not None and not one._asked]
            if error is None and unheard:
                unheard.pop(0).result()
        finally:
            self._started.clear()
            del error  # here too

    def _questions(self, error: BaseException | None) -> tuple[Interrupt, ...] | None:
        """Those of the calls and the task, which has come to `error`; None where none paused."""
        errors = (*(future._error for future in self._started), error)
        pauses = [one for one in errors if isinstance(one, GraphInterrupt)]
        # At a breakpoint of a graph inside there is no question.
        asked = {interrupt.id: interrupt for one in pauses for interrupt in one.interrupts}
        return tuple(asked.values()) if pauses else None

    async def _cut_short(self) -> None:
        for future in self._started:
            future._scope.cancel()
        with trio.CancelScope(shield=True):
            await self._all_done()

    async def _all_done(self) -> None:
        for future in self._started:
            await future._done.wait()
