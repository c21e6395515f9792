"""Async code that a plain node runs in the event loop, from its thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from .world import wait_from_thread

if TYPE_CHECKING:
    from .attempt import Task

__all__ = ["Visits", "visit"]

T = TypeVar("T")


@attrs.define(eq=False)
class Visits:
    """Visits of threads to the loop of a run. Those of a task end with it.

    `_scopes`: of those under way, by task. `_left`: where somebody waits until one is over.
    """

    _scopes: dict[Task, set[trio.CancelScope]] = attrs.field(factory=dict)
    _left: trio.Event | None = None

    async def carry_out(self, task: Task, function: Callable[[], Awaitable[T]]) -> T:
        if task.over:
            raise RuntimeError(_over(task))
        with trio.CancelScope() as scope:
            self._scopes.setdefault(task, set()).add(scope)
            try:
                return await function()
            finally:
                self._leave(task, scope)
        raise RuntimeError(_over(task))

    async def end(self, task: Task) -> None:
        """The task is over: so is what its threads, which may outlive it, still run here."""
        for scope in self._scopes.get(task, ()):
            scope.cancel()
        with trio.CancelScope(shield=True):
            while task in self._scopes:
                if self._left is None:
                    self._left = trio.Event()
                await self._left.wait()

    def _leave(self, task: Task, scope: trio.CancelScope) -> None:
        scopes = self._scopes[task]
        scopes.discard(scope)
        if not scopes:
            del self._scopes[task]
            if self._left is not None:
                self._left.set()
                self._left = None


def visit(task: Task, function: Callable[[], Awaitable[T]]) -> T:
    """Run async code for a task, called in a thread of its; blocks until it is done.

    Raises RuntimeError where the task is over before that.
    """
    begun = False

    async def run() -> T:
        nonlocal begun
        begun = True
        if task.run.visits is None:  # few runs have any
            task.run.visits = Visits()
        return await task.run.visits.carry_out(task, function)

    try:
        return wait_from_thread(run)
    except RuntimeError:
        if begun:
            raise
    return wait_from_thread(run, trio_token=task.run.token)  # a thread that is not trio's


def _over(task: Task) -> str:
    return f"What node {task.node.name!r} called came after its time"
