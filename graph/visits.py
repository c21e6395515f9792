"""Async code that a plain node runs in the event loop, from its thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from .world import wait_from_thread

if TYPE_CHECKING:
    from .task import Task

__all__ = ["Visits"]

T = TypeVar("T")


@attrs.define(eq=False)
class Visits:
    """Visits of threads to the loop of a run. Those of a task end with it.

    `scopes`: of those under way, by task.
    """

    scopes: dict[Task, set[trio.CancelScope]] = attrs.field(factory=dict)
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)
    _left: trio.Event = attrs.field(factory=trio.Event)

    def run(self, task: Task, function: Callable[[], Awaitable[T]]) -> T:
        """Run async code for a task, called in a thread of its; blocks until it is done.

        Raises RuntimeError where the task is over before that.
        """
        begun = False

        async def visit() -> T:
            nonlocal begun
            begun = True
            with trio.CancelScope() as scope:
                self._enter(task, scope)
                try:
                    return await function()
                finally:
                    self._leave(task, scope)
            raise RuntimeError(_over(task))

        try:
            return wait_from_thread(visit)
        except RuntimeError:
            if begun:
                raise
        return wait_from_thread(visit, trio_token=self._token)  # a thread that is not trio's

    async def end(self, task: Task) -> None:
        """The task is over: so is what its threads, which may outlive it, still run here."""
        for scope in self.scopes.get(task, ()):
            scope.cancel()
        with trio.CancelScope(shield=True):
            while task in self.scopes:
                await self._left.wait()

    def _enter(self, task: Task, scope: trio.CancelScope) -> None:
        if task.over:
            raise RuntimeError(_over(task))
        self.scopes.setdefault(task, set()).add(scope)

    def _leave(self, task: Task, scope: trio.CancelScope) -> None:
        scopes = self.scopes[task]
        scopes.discard(scope)
        if not scopes:
            del self.scopes[task]
            self._left.set()
            self._left = trio.Event()


def _over(task: Task) -> str:
    return f"What node {task.node.name!r} called came after its time"
