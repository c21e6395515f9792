"""Limits on a run: the time of a node's attempt and of a super-step, tasks at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, cast

import attrs
import trio

from .errors import NodeTimeoutError
from .here import call_on_trio
from .policies import TimeoutPolicy

__all__ = ["TimeLimit", "places", "within"]


@attrs.define(eq=False)
class TimeLimit:
    """Cancels what runs in it when its policy's time is over; code behind the block runs then.

    Progress is told from any thread.
    """

    run_timeout: float | None
    idle_timeout: float | None
    on_progress: bool
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _token: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token)
    _started: float = attrs.field(factory=trio.current_time)

    @classmethod
    def of(cls, policy: TimeoutPolicy) -> TimeLimit:
        run = cast("float | None", policy.run_timeout)  # `coerce` has made seconds of them
        idle = cast("float | None", policy.idle_timeout)
        return cls(run, idle, policy.refresh_on == "auto")

    def __enter__(self) -> TimeLimit:
        self._start_idle()
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return self._scope.__exit__(kind, error, traceback)

    def refresh(self) -> None:
        """Start the idle timeout anew."""
        if self.idle_timeout is None:
            return
        call_on_trio(self._token, self._start_idle)

    def refresh_on_progress(self) -> None:
        """`refresh`, where the policy takes more than heartbeats for progress."""
        if self.on_progress:
            self.refresh()

    def error(self, node: str) -> NodeTimeoutError:
        """What has happened when the block was cancelled."""
        at_run_end = self.run_timeout is not None and (
            self._scope.deadline >= self._started + self.run_timeout
        )
        return NodeTimeoutError(
            node,
            trio.current_time() - self._started,
            kind="run" if at_run_end else "idle",
            idle_timeout=self.idle_timeout,
            run_timeout=self.run_timeout,
        )

    def _start_idle(self) -> None:
        ends = [] if self.run_timeout is None else [self._started + self.run_timeout]
        if self.idle_timeout is not None:
            ends.append(trio.current_time() + self.idle_timeout)
        self._scope.deadline = min(ends)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raises TimeoutError where a super-step takes longer."""
    with trio.move_on_after(seconds) as scope:
        yield
    if scope.cancelled_caught:
        raise TimeoutError(f"The super-step took longer than the graph's step_timeout, {seconds} s")


def places(most: Any) -> trio.Semaphore | None:
    """What a task holds while it works: one of `most` places, None for as many as there are tasks.

    Raises ValueError for a `max_concurrency` that is no whole number of at least 1.
    """
    if most is None:
        return None
    if not isinstance(most, int) or most < 1:
        raise ValueError(f"max_concurrency must be a whole number of at least 1; got {most!r}")
    return trio.Semaphore(most)
