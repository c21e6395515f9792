"""The ends of runs: committed with what belongs to them, and then told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final

import attrs

from greenroom.graph.job import Finish
from greenroom.storage.operations import (
    AppendLog,
    DeleteRun,
    Operation,
    PutPost,
    PutRun,
)
from greenroom.storage.records import Run, RunStatus

from .active import Failed, Finished, Outcome, Stopped
from .errors import NotFound
from .events import RunStream, StreamPart, unkept
from .state import ThreadState
from .views import error_view
from .webhooks import outcome

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["RunEnds", "deleted", "end_of"]

REMEMBERED: Final = 4  # runs of a thread that have ended


def end_of(
    outcome: Outcome, run: Run, run_timeout: float
) -> tuple[RunStatus, Exception | None, str | None]:
    """How a run has ended that came to an outcome: its status, the failure and the warning."""
    match outcome:
        case Finished(finish):
            return "success", None, finish.warning
        case Failed(error):
            return "error", error, None
        case Stopped() if run.stop == "timeout":
            text = f"The run was stopped: it took longer than {run_timeout:g} s"
            return "timeout", TimeoutError(text), None
        case Stopped():
            return "interrupted", None, None


def deleted(run: Run) -> NotFound:
    """What those are told who wait for a run that a client has deleted."""
    return NotFound(f"Run {run.run_id!r} was deleted")


@attrs.define(eq=False)
class RunEnds:
    """How runs of a thread end. `streams`: those of its runs that have not; they go with them.

    The runs that end at once are a host and those that were part of it. `busy`: whether others are
    left to do. `lately`: the last ones that ended and are still there, by id.
    """

    state: ThreadState
    streams: dict[str, RunStream]
    lately: dict[str, Run] = attrs.field(init=False, factory=dict)

    @property
    def supervisor(self) -> Supervisor:
        return self.state.supervisor

    async def close(
        self,
        runs: Sequence[Run],
        status: RunStatus,
        *,
        busy: bool,
        beside: bool,
        deleting: Collection[str] = (),
        error: Exception | None = None,
        warning: str | None = None,
        left: Sequence[Operation] = (),
        finish: Finish | None = None,
    ) -> None:
        """Commit the end of runs, the thread's status, and what the runs `left` to be written with
        their last events, together. `beside`: another is under way, whose events do not wait, so
        that these ends are told after them, and not kept. `deleting`: runs that are deleted next,
        so that nothing is posted, and whoever waits for them is told. `finish`: what they came to,
        where they were not cut short.
        """
        shown = error_view(error) if error is not None else None
        if shown is not None:
            for run in runs:
                self.streams[run.run_id].publish("error", shown)
        done = [] if beside else [self.streams[run.run_id].done() for run in runs]
        left = [*await self._last_events(runs, left, done), *left]
        ended = [self._closed(run, status, shown, warning) for run in runs]
        result = {"__error__": shown} if shown is not None else self.state.result(finish)
        posts = [
            outcome(run, self.state.values(), closed)
            for run, closed in zip(runs, ended, strict=True)
            if run.kwargs["webhook"] is not None and run.run_id not in deleting
        ]
        if runs[0].kwargs["temporary"]:  # its thread goes with it
            await self.state.drop(*map(PutPost, posts))
        else:
            thread = self.state.settled(busy=busy, error=error)
            await self.state.commit([*left, *map(PutRun, ended), *map(PutPost, posts)], thread)
            self._remember(ended)
        for run, part in zip_longest(runs, done):
            self._tell(run, result, deleted(run) if run.run_id in deleting else None, part)
        self.supervisor.meters.ended[status] += len(runs)
        for post in posts:
            self.supervisor.webhooks.send(post)

    async def _last_events(
        self, runs: Sequence[Run], left: Sequence[Operation], done: Sequence[StreamPart]
    ) -> list[Operation]:
        """What stores them. Where the end of the runs would not be refused if what is on its way to
        storage were, that is waited for."""
        streams = [self.streams[run.run_id] for run in runs]
        log, carried_on = self.state.log, runs[0].attempt > 1
        events = log.chained(unkept(streams, carried_on=carried_on, done=done))
        depends = done and AppendLog in map(type, left)  # with what all of them have left
        has_begun = runs[0].attempt > 0 or any(stream.parts for stream in streams)
        if has_begun and not depends:
            await log.flush()
        return events

    async def remove(
        self, runs: Sequence[Run], *undo: Operation, busy: bool, why: Exception | None = None
    ) -> None:
        """Delete runs, and `undo` what they left in the log. `why`: what those are told who wait;
        by default what the state is then."""
        result = self.state.result()
        if runs[0].kwargs["temporary"]:
            await self.state.drop()
        else:
            thread = self.state.settled(busy=busy)
            gone = [DeleteRun(self.state.thread_id, run.run_id) for run in runs]
            await self.state.commit([*undo, *gone], thread)
        for run in runs:
            self._tell(run, result, why)

    async def drop(self, run_id: str) -> None:
        """Delete a run that has ended. The state it left stays."""
        self.lately.pop(run_id, None)
        await self.state.commit([DeleteRun(self.state.thread_id, run_id)])

    def _remember(self, ended: Sequence[Run]) -> None:
        self.lately |= {run.run_id: run for run in ended}
        for run_id in list(self.lately)[:-REMEMBERED]:
            del self.lately[run_id]

    def _closed(
        self, run: Run, status: RunStatus, error: dict[str, Any] | None, warning: str | None
    ) -> Run:
        metadata = {**run.metadata, "warning": warning} if warning else run.metadata
        return attrs.evolve(
            run, status=status, error=error, metadata=metadata, updated_at=self.state.now()
        )

    def _tell(
        self, run: Run, result: Any, why: Exception | None, done: StreamPart | None = None
    ) -> None:
        """Tell those who wait for a run what it came to, or `why` it is gone, and those who follow
        the thread that it is over: by `done`, if that was kept."""
        stream = self.streams.pop(run.run_id)
        if why is not None:
            stream.abort(why)
        else:
            stream.end(result)
        self.supervisor.feeds.put(run.thread_id, done or stream.done())
        if run.kwargs["temporary"]:
            self.supervisor.feeds.end(run.thread_id)
