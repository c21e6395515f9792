"""The runtime, broken on purpose, so that the simulation can show that it would see that."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final

import attrs
import pytest

from greenroom.actors import Greenroom, multitask, runs, thread
from greenroom.actors.active import ActiveRun, Outcome, Stopped
from greenroom.actors.client.handle import RunHandle
from greenroom.actors.ends import RunEnds
from greenroom.actors.events import EventIds, StreamPart
from greenroom.actors.mailbox import EditState, Ended
from greenroom.actors.multitask import Admission
from greenroom.actors.queue import RunQueue
from greenroom.actors.runs import ThreadRuns
from greenroom.actors.state import ThreadState
from greenroom.actors.thread import ThreadActor
from greenroom.actors.webhooks import Webhooks, outcome
from greenroom.graph import beginning
from greenroom.graph.resume import answers_of
from greenroom.storage import MemoryStorage, Operation
from greenroom.storage.log import ThreadLog
from greenroom.storage.operations import PutRun, PutThread, TruncateLog
from greenroom.storage.records import Run, Thread

from .cron_mutants import CRON_MUTANTS

__all__ = ["MUTANTS", "message_lost"]

Patch = pytest.MonkeyPatch


def status_before_stop(patch: Patch) -> None:
    """A run has ended as soon as it is told to stop, and not when its tasks have."""
    cut_short = ActiveRun.cut_short

    def at_once(self: ActiveRun, reason: Any, give_up_at: float) -> None:
        cut_short(self, reason, give_up_at)
        self.mailbox.put(Ended(self, Stopped()))

    patch.setattr(ActiveRun, "cut_short", at_once)


def lost_queue(patch: Patch) -> None:
    """Runs that wait are forgotten when their thread is woken again."""
    patch.setattr(RunQueue, "of", classmethod(lambda cls, supervisor, left: cls(supervisor)))


def no_fence(patch: Patch) -> None:
    """A run that was given up on may still write."""
    patch.setattr(ActiveRun, "check_fence", lambda self: None)


def double_start(patch: Patch) -> None:
    """A run that answers is taken from the queue, and stays in it for another time."""
    following = RunQueue.next
    again: set[str] = set()

    def twice(self: RunQueue) -> list[Run]:
        runs = following(self)
        for run in runs:
            if run.bound and run.run_id not in again:
                again.add(run.run_id)
                self._runs.insert(0, run)
        return runs

    patch.setattr(RunQueue, "next", twice)


def resume_of_a_later_question(patch: Patch) -> None:
    """A resume answers whatever waits when it runs."""

    def whatever(resume: Any, waiting: Any, *args: Any, **how: Any) -> tuple[Any, None]:
        ids = [interrupt.id for interrupt in waiting]
        answer = next(iter(resume.values())) if isinstance(resume, Mapping) else resume
        return dict.fromkeys(ids, answer), None

    patch.setattr(beginning, "answers_of", whatever)


def resume_that_answers_nothing(patch: Patch) -> None:
    """A resume is taken, and its answer is not given."""

    def nothing(*args: Any, **how: Any) -> tuple[Any, str | None]:
        return {}, answers_of(*args, **how)[1]

    patch.setattr(beginning, "answers_of", nothing)


def rollback_after_start(patch: Patch) -> None:
    """The next run starts, and then the one before it is rolled back."""

    async def late(self: ThreadRuns, run: ActiveRun, outcome: Outcome) -> None:
        if run is not self.active:
            return
        self.active = None
        await self.start_next()
        await self._end(run.run, outcome, run)

    patch.setattr(ThreadRuns, "ended", late)


def rollback_of_the_run_alone(patch: Patch) -> None:
    """What a run that is rolled back had left in the log stays there."""

    async def keep(self: ThreadLog, from_seq: int) -> Operation:
        await self.flush()
        return TruncateLog(self.thread_id, self.next_seq)

    patch.setattr(ThreadLog, "truncate", keep)


def event_id_reused(patch: Patch) -> None:
    """Event ids begin anew with every process."""
    begin = EventIds.__init__
    patch.setattr(EventIds, "__init__", lambda self, epoch: begin(self, 1))


def event_left_out(patch: Patch) -> None:
    """Who comes back is not shown the event after the last one it saw."""
    kept = RunHandle._kept

    async def later(
        self: RunHandle, after: int, before: int | None
    ) -> AsyncGenerator[list[StreamPart], None]:
        async for batch in kept(self, after + 1 if after > 0 else after, before):
            yield batch

    patch.setattr(RunHandle, "_kept", later)


def end_before_records(patch: Patch) -> None:
    """The end of a run is stored first, and then what it came to."""
    close = ThreadRuns._close

    async def first(
        self: ThreadRuns,
        ended: Sequence[Run],
        status: Any,
        *,
        left: Sequence[Operation] = (),
        **more: Any,
    ) -> None:
        await close(self, ended, status, **more)
        await self.state.commit(list(left))

    patch.setattr(ThreadRuns, "_close", first)


def answered_before_stored(patch: Patch) -> None:
    """Callers are told what storage may not have yet."""

    async def submit(
        self: ThreadState, operations: Sequence[Operation], thread: Thread | None = None
    ) -> None:
        put = [] if thread is None else [PutThread(thread)]
        self.supervisor.session.submit([*operations, *put])
        self.thread = thread or self.thread

    patch.setattr(ThreadState, "commit", submit)


def message_lost(patch: Patch) -> None:
    """What a queued run was given is lost with it when it is interrupted."""

    async def drop(self: ThreadState, run: Run) -> None: ...

    patch.setattr(ThreadState, "take_in", drop)


def nobody_rejected(patch: Patch) -> None:
    """`reject` is the same as `enqueue`."""
    admit = multitask.admit

    def accept(strategy: Any, traffic: Any) -> Admission:
        return admit("enqueue" if strategy == "reject" else strategy, traffic)

    patch.setattr(runs, "admit", accept)


def last_come_first_served(patch: Patch) -> None:
    """The newest run of the queue is next."""

    def newest(self: RunQueue) -> list[Run]:
        return [self._runs.pop()] if self._runs else []

    patch.setattr(RunQueue, "next", newest)


def stop_not_stored(patch: Patch) -> None:
    """An order to stop is not stored before it is acknowledged."""

    async def nobody(self: ThreadRuns, reason: Any) -> list[Run]:
        return []

    patch.setattr(ThreadRuns, "_active_told_to_stop", nobody)


def input_taken_in_again(patch: Patch) -> None:
    """A run that is carried on begins anew."""
    job = ActiveRun._job

    def anew(self: ActiveRun) -> Any:
        self.fresh = True
        return job(self)

    patch.setattr(ActiveRun, "_job", anew)


def posts_forgotten(patch: Patch) -> None:
    """What was not posted when a process or an actor died never is."""

    async def nothing(self: Webhooks) -> None: ...

    patch.setattr(Webhooks, "recover", nothing)


def posted_before_the_end(patch: Patch) -> None:
    """Webhooks are told of an end that storage does not have yet."""
    close = RunEnds.close

    async def first(self: RunEnds, runs: Sequence[Run], status: Any, **how: Any) -> None:
        for run in runs:
            if run.kwargs["webhook"] is not None:
                ended = self._closed(run, status, None, None)
                self.supervisor.webhooks.send(outcome(run, self.state.values(), ended))
        await close(self, runs, status, **how)

    patch.setattr(RunEnds, "close", first)


def thread_of_a_run_alone_kept(patch: Patch) -> None:
    """A run that its thread is to go with ends as any other."""

    close = RunEnds.close

    async def keep(self: RunEnds, runs: Sequence[Run], *args: Any, **how: Any) -> None:
        if not runs[0].kwargs["temporary"]:
            await close(self, runs, *args, **how)
            return
        await self.state.commit([PutRun(attrs.evolve(runs[0], status="success"))])
        self._tell(runs[0], self.state.result(), None)

    patch.setattr(RunEnds, "close", keep)


def run_alone_forgotten(patch: Patch) -> None:
    """A thread of a run alone is deleted when the run is found left by another process."""
    start = ThreadRuns._start

    async def drop(self: ThreadRuns, run: Run, taken_in_at: int | None = None) -> None:
        if run.kwargs["temporary"] and run.run_id in self._left:
            await self.ends.remove([run], busy=False)
        else:
            await start(self, run, taken_in_at)

    patch.setattr(ThreadRuns, "_start", drop)


def branch_of_the_newest(patch: Patch) -> None:
    """A run goes on from the newest checkpoint, whichever it names."""
    job = ActiveRun._job
    patch.setattr(ActiveRun, "_job", lambda self: attrs.evolve(job(self), checkpoint_id=None))


def edit_of_the_newest(patch: Patch) -> None:
    """The newest state is edited, whichever was named."""
    edit = ThreadActor._edit_state

    async def newest(self: ThreadActor, message: EditState) -> None:
        await edit(self, attrs.evolve(message, checkpoint_id=None, reply=message.reply))

    patch.setattr(ThreadActor, "_edit_state", newest)


def bound_to_the_newest(patch: Patch) -> None:
    """A resume is bound to what the newest checkpoint asks, whichever it names."""

    async def newest(self: ThreadState, run: Run, undone: Run | None) -> Any:
        return self.log.head

    patch.setattr(ThreadState, "start_of", newest)


def writes_without_the_lease(patch: Patch) -> None:
    """Storage takes what any process writes, whoever has the lease."""

    def anybody(self: MemoryStorage, groups: Sequence[Sequence[Operation]], epoch: int) -> Any:
        return [self._commit_group(group) for group in groups]

    patch.setattr(MemoryStorage, "commit", anybody)


def lost_lease_unnoticed(patch: Patch) -> None:
    """A process stays, although another has its lease."""

    async def stay(self: Greenroom) -> None: ...

    patch.setattr(Greenroom, "_watch_lease", stay)


def copy_without_the_last_record(patch: Patch) -> None:
    """A thread is copied, but for what was written last."""
    copied = thread.copied_log
    patch.setattr(thread, "copied_log", lambda *of, **how: copied(*of, **how)[:-1])


def member_forgotten(patch: Patch) -> None:
    """Who is part of another run is not ended with it."""
    patch.setattr(ThreadRuns, "_let_go", lambda self, host: [])


def steered_past_the_state(patch: Patch) -> None:
    """What steers a run becomes part of it, and its text of nothing."""
    steer = ThreadRuns._steer

    def past(self: ThreadRuns, active: ActiveRun, take_in: Any) -> None:
        steer(self, active, lambda *_: None)

    patch.setattr(ThreadRuns, "_steer", past)


def merged_in_another_order(patch: Patch) -> None:
    """What comes together is taken in beginning with the last."""
    following = RunQueue.next
    patch.setattr(RunQueue, "next", lambda self: following(self)[::-1])


def steered_in_another_order(patch: Patch) -> None:
    """Of those that steer, the last is taken in first."""
    steering = RunQueue.steering
    patch.setattr(RunQueue, "steering", lambda self, host: steering(self, host)[::-1])


def stopped_in_another_order(patch: Patch) -> None:
    """What runs had brought that were stopped while they waited is taken in from the last on."""
    following = RunQueue.next

    def last_first(self: RunQueue) -> list[Run]:
        stops = [run for run in self._runs if run.stop is not None and run.attempt == 0]
        if len(stops) < 2:
            return following(self)
        self._runs.remove(stops[-1])
        return stops[-1:]

    patch.setattr(RunQueue, "next", last_first)


def last_order_stands(patch: Patch) -> None:
    """A run that was to be rolled back is cut short by who says so later."""
    patch.setattr(runs, "told_to_stop", lambda run, reason: attrs.evolve(run, stop=reason))


MUTANTS: Final[tuple[Callable[[Patch], None], ...]] = (
    status_before_stop,
    lost_queue,
    no_fence,
    double_start,
    resume_of_a_later_question,
    resume_that_answers_nothing,
    rollback_after_start,
    rollback_of_the_run_alone,
    event_id_reused,
    event_left_out,
    end_before_records,
    answered_before_stored,
    message_lost,
    nobody_rejected,
    last_come_first_served,
    stop_not_stored,
    input_taken_in_again,
    posts_forgotten,
    posted_before_the_end,
    thread_of_a_run_alone_kept,
    run_alone_forgotten,
    branch_of_the_newest,
    edit_of_the_newest,
    bound_to_the_newest,
    writes_without_the_lease,
    lost_lease_unnoticed,
    copy_without_the_last_record,
    *CRON_MUTANTS,
    member_forgotten,
    steered_past_the_state,
    merged_in_another_order,
    steered_in_another_order,
    stopped_in_another_order,
    last_order_stands,
)
