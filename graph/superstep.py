"""The tasks of a super-step, side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Final

import attrs
import trio

from .attempt import Task
from .checkpoint import Planned
from .errors import GraphBubbleUp, GraphInterrupt, InvalidAnswerError
from .failure import TaskError
from .line import Turns
from .plan import Outcome, handler_of
from .timelimit import within

if TYPE_CHECKING:
    from .execute import Execution

__all__ = ["SuperStep"]

COMPANY: Final = 0.002  # seconds that a finished task's record waits for its siblings


@attrs.define(eq=False)
class SuperStep:
    """Runs tasks at once, fills `finished`, and says what they come to in task order.

    What a task came to is recorded when a sibling is still at work two milliseconds later, or
    pauses, fails or is cut short: it will not run again. Where all finish together, their
    checkpoint says it all.
    """

    run: Execution
    tasks: Sequence[Task]
    finished: dict[Planned, Outcome]
    paused: bool = False
    _failures: dict[Planned, Exception] = attrs.field(factory=dict)
    _unrecorded: list[Planned] = attrs.field(factory=list)
    _at_work: int = 0
    _turns: Turns | None = None
    _to_say: dict[Planned, Callable[[], None]] = attrs.field(factory=dict)
    _next: int = 0  # the task whose turn it is to say something
    _left: deque[Task] = attrs.field(init=False)  # those that nobody has taken up
    _context: Context = attrs.field(init=False)  # as each of them finds it

    async def perform(self) -> bool:
        """Returns whether a task has paused; raises the first failure."""
        self.run.reports.started(self.tasks)
        self._turns = Turns.of(self.tasks) if len(self.tasks) > 1 else None
        if self.run.compiled.step_timeout is None:
            await self._perform()
        else:
            with within(self.run.compiled.step_timeout):
                await self._perform()
        if self._failures:
            raise self._failure()
        return self.paused

    async def _perform(self) -> None:
        if len(self.tasks) == 1:
            await self._carry_out(self.tasks[0])
            if len(self.run.position.at.next) > 1:
                self.record()
            return
        self._at_work = len(self.tasks)
        self._left, self._context = deque(self.tasks), copy_context()
        try:
            async with trio.open_nursery() as nursery:
                self._start_worker(nursery)
                # Nodes that never wait need one trio task between them: after its first turn, which
                # may come after this one's next, the others get tasks of their own.
                await trio.lowlevel.cancel_shielded_checkpoint()
                await trio.lowlevel.cancel_shielded_checkpoint()
                for _ in self._left:
                    self._start_worker(nursery)
        except BaseException:
            self.record()  # also where all have finished, and there is no time for the rest
            raise
        else:
            if len(self.finished) < len(self.run.position.at.next):
                self.record()
        finally:
            for task in self.tasks[self._next :]:  # those cut short have nothing to say
                if (say := self._to_say.pop(task.planned, None)) is not None:
                    say()

    def _start_worker(self, nursery: trio.Nursery) -> None:
        self._context.run(nursery.start_soon, self._work, nursery)

    async def _work(self, nursery: trio.Nursery) -> None:
        while self._left:
            await self._carry_out(self._left.popleft())
            self._at_work -= 1
            if self._has_failed or not self._at_work:
                nursery.cancel_scope.cancel()
            elif len(self._unrecorded) == 1:
                nursery.start_soon(self._record_later, nursery)
            if self._left and _differs(copy_context(), self._context):
                self._start_worker(nursery)  # what a node has set is not for its siblings
                return

    async def _carry_out(self, task: Task) -> None:
        run, planned = self.run, task.planned
        try:
            if self._turns is not None:
                await self._turns.wait(task)
            if run.places is None:
                outcome = await task.perform()
            else:
                async with run.places:
                    outcome = await task.perform()
            run.reports.stamp(outcome)
        except GraphInterrupt as pause:
            self.paused = True
            run.position.append_stop(planned, task.answered, interrupts=pause.interrupts)
            self._say(task, partial(run.reports.paused, task, pause.interrupts))
        except Exception as error:
            self._failures[planned] = error
            if not isinstance(error, GraphBubbleUp):
                self._say(task, partial(run.reports.failed, task, error))
        else:
            self.finished[planned] = outcome
            self._unrecorded.append(planned)
            self._say(task, partial(run.reports.finished, task, outcome))
        finally:
            if self._turns is not None:
                self._turns.end(task)

    @property
    def _has_failed(self) -> bool:
        """Whether the others are to be cut short; an answer that does not fit is no reason."""
        failures = self._failures.values()
        return any(not isinstance(error, InvalidAnswerError) for error in failures)

    async def _record_later(self, nursery: trio.Nursery) -> None:
        await trio.sleep(COMPANY)
        self.record()
        if self._has_failed:
            nursery.cancel_scope.cancel()

    def record(self) -> None:
        """Record what tasks came to, for the time when they are not run again."""
        position = self.run.position
        for planned in self._unrecorded:
            outcome = self.finished[planned]
            node = handler_of(planned.node) if outcome.handled else planned.node
            try:
                position.append_outcome(
                    planned, node=node, writes=outcome.writes, goto=outcome.goto
                )
            except Exception as error:  # what it wrote cannot be stored
                del self.finished[planned]
                self._failures[planned] = error
        self._unrecorded.clear()
        position.hand_over()

    def _say(self, task: Task, say: Callable[[], None]) -> None:
        """Each in its turn: a task that is faster than those before it waits for them."""
        if self.tasks[self._next] is not task:
            self._to_say[task.planned] = say
            return
        self._next += 1
        say()
        while self._to_say and self._next < len(self.tasks):
            ready = self._to_say.pop(self.tasks[self._next].planned, None)
            if ready is None:
                return
            self._next += 1
            ready()

    def _failure(self) -> Exception:
        """Why the step has failed, once it is recorded. It is not kept: its traceback has what
        refers to this."""
        failures, self._failures = self._failures, {}
        tasks = [task for task in self.tasks if task.planned in failures]
        # What a sibling raised while it was cut short is not why the step failed.
        tasks.sort(key=lambda task: _is_of_cleanup(failures[task.planned]))
        first = failures[tasks[0].planned]
        for task in tasks:
            error = failures[task.planned]
            refused = isinstance(error, InvalidAnswerError)
            asks_again = refused and self.run.position.ask_again(task.planned)
            if not asks_again and not isinstance(error, GraphBubbleUp):
                self.run.position.append_stop(
                    task.planned, task.answered, error=TaskError.of(error)
                )
            if error is not first:
                first.add_note(f"Node {task.node.name!r} failed in the same super-step: {error!r}")
        return first


def _is_of_cleanup(error: BaseException | None) -> bool:
    """Whether an error was raised while its task was being cancelled."""
    while error is not None:
        if isinstance(error, trio.Cancelled):
            return True
        error = error.__context__
    return False


def _differs(context: Context, other: Context) -> bool:
    return len(context) != len(other) or any(
        other.get(name, context) is not value for name, value in context.items()
    )
