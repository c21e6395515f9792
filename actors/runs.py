"""The runs of one thread: which is under way, which wait, and how one hands over to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio

from greenroom.graph.job import TakeIn
from greenroom.storage import Storage
from greenroom.storage.operations import InsertThread, PutRun
from greenroom.storage.records import Run, RunStatus

from .active import (
    ActiveRun,
    Finished,
    Lost,
    Outcome,
    Stopped,
    checkpoint_metadata,
    told_to_stop,
)
from .arrivals import busy_with, check_strategy, record_of
from .ends import RunEnds, deleted, end_of
from .errors import Conflict, GreenroomError, NotFound, TooMany
from .events import RunStream
from .handover import Reason
from .joining import alone, host_of, part_of
from .mailbox import Accepted, Cancel, DeleteRun, Mailbox, Submit
from .multitask import Admission, Stop, Strategy, Traffic, admit, strategy_of
from .queue import RunQueue
from .starts import check_gets_on, find_stored, started_from
from .state import ThreadState

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["ThreadRuns"]


@attrs.define(eq=False)
class ThreadRuns:
    """The queue of a thread, its run under way, and the strict hand-over between them.

    `queue`: runs that wait; those that a strategy has told to `stop` end without a
    start. `members`: those that are part of the run under way, and end when it does. `streams`: of
    all of these.
    """

    state: ThreadState
    mailbox: Mailbox
    streams: dict[str, RunStream]
    queue: RunQueue
    last_seq: int
    members: dict[str, Run]
    ends: RunEnds = attrs.field(init=False)
    active: ActiveRun | None = None
    _deleting: dict[str, list[DeleteRun]] = attrs.field(factory=dict)
    _stopped_at: float | None = attrs.field(init=False, default=None)
    # Runs that an earlier actor or process left.
    _left: set[str] = attrs.field(init=False, factory=set)

    @ends.default
    def _ends(self) -> RunEnds:
        return RunEnds(self.state, self.streams)

    @property
    def supervisor(self) -> Supervisor:
        return self.state.supervisor

    @property
    def busy(self) -> bool:
        return self.active is not None or bool(self.queue)

    @property
    def waiting(self) -> int:
        """How many runs wait for their turn, or for the one that they are part of."""
        return len(self.queue) + len(self.members)

    @property
    def _traffic(self) -> Traffic:
        if self.active is not None:
            return "under way"
        return "waiting" if self.queue else "none"

    def _unfinished(self) -> Iterator[Run]:
        if self.active is not None:
            yield self.active.run
        yield from self.members.values()
        yield from self.queue

    def find(self, run_id: str) -> Run | None:
        """A run as it is, if that is at hand: it has not ended, or not long ago."""
        left = next((run for run in self._unfinished() if run.run_id == run_id), None)
        return left or self.ends.lately.get(run_id)

    def take_up(self, past: Sequence[tuple[str, Run | None]]) -> None:
        """Connect the streams that readers hold to the runs that are left to do.

        `past`: the runs that streams were left of by an actor that crashed, as storage has them.
        """
        left = self._left = {run.run_id for run in self._unfinished()}
        for waits in self._unfinished():
            self.streams.setdefault(waits.run_id, self.supervisor.stream(waits, follow=False))
        for run_id, run in past:
            if run_id in left:
                continue
            stream = self.streams.pop(run_id)
            if run is None:
                stream.abort(NotFound(f"Run {run_id!r} not found"))
            else:
                stream.end({"__error__": run.error} if run.error else self.state.result())

    # Runs arrive.

    async def submit(self, message: Submit) -> None:
        """Accept a run or refuse it; what the strategy does to the runs before it begins here."""
        state = self.state
        thread = state.thread if state.thread is not None else message.thread
        if thread is None:
            raise NotFound(f"Thread {state.thread_id!r} not found")
        if any(run.kwargs["temporary"] for run in self._unfinished()):
            raise Conflict(f"Thread {state.thread_id!r} is of one run, and is deleted with it")
        strategy = strategy_of(message.strategy, thread.metadata, message.below)
        graph_id = message.run.metadata["graph_id"]
        check_strategy(strategy, graph_id, self.supervisor.graph(graph_id))
        admission = self._admit(strategy)
        run = await record_of(
            message,
            thread,
            state,
            seq=self.last_seq + 1,
            strategy=strategy,
            active=None if self.active is None else self.active.run,
            undone=admission.stop == "rollback",
        )
        insert = [InsertThread(thread)] if state.thread is None else []
        queue: list[Run] = []
        stopped: list[Run] = []
        if admission.stop is not None:
            stopped = await self._active_told_to_stop(admission.stop)
            stopped += await self._members_told_to_stop(list(self.members), admission.stop)
            queue = [told_to_stop(waits, admission.stop) for waits in self.queue]
            stopped += queue
        await state.commit(
            [*insert, *map(PutRun, stopped), PutRun(run), *message.along],
            busy_with(run, thread, state.now()),
        )
        self.last_seq = run.seq
        if admission.stop is not None:
            self.stop_active(admission.stop)
            self.queue.replace(queue)
        self.queue.add(run)
        stream = self.streams[run.run_id] = self.supervisor.stream(run, follow=message.follow)
        message.reply.send(Accepted(run, stream))
        await self.start_next()

    def _admit(self, strategy: Strategy) -> Admission:
        """What a run that is let in does to the others. Raises Conflict and TooMany."""
        thread_id, most = self.state.thread_id, self.supervisor.max_queued_runs
        admission = admit(strategy, self._traffic)
        # One that stops the others is let in past them, but not past any number that was stopped.
        stops = admission.stop is not None
        ahead = sum(run.stop is not None for run in self.queue) if stops else self.waiting
        full = self.busy and ahead >= most
        outcome = "accepted" if admission.accepted and not full else "refused"
        self.supervisor.meters.admissions[strategy, outcome] += 1
        if not admission.accepted:
            raise Conflict(
                f"Thread {thread_id!r} has a run in flight and multitask_strategy is 'reject'"
            )
        if full:
            raise TooMany(f"Thread {thread_id!r} has {ahead} runs waiting; at most {most} may")
        return admission

    # Runs start.

    async def start_next(self) -> None:
        """If nothing is under way: end the runs that were told to stop, then start the oldest."""
        while self.active is None and (group := self.queue.next()):
            if group[0].stop is not None:
                await self._end(group[0], Stopped())
            elif len(group) > 1:
                await self._merge(group)
            else:
                await self._start(group[0])

    async def start_due(self) -> None:
        """Start a run whose time has come, or give it its place in the queue."""
        self.queue.let_in_due()
        await self.start_next()
        # It may be due a moment later than was thought: than the last look, which is not repeated
        # here, or one that has become due since would have no alarm.
        self.queue.set_alarm()

    async def _merge(self, runs: Sequence[Run]) -> None:
        """Start the last of runs that become one, with the inputs of all. An input that the state
        cannot take is left to its run, which fails by itself when its turn comes."""
        log = self.state.log
        first_seq = log.next_seq
        taken: list[Run] = []
        with log.held():  # storage has it with what says whose it is, or not at all
            for run in runs:
                if await self.state.take_in(run) is not None:
                    break
                taken.append(run)
        *others, host = taken or runs[:1]
        self.queue.put_back(runs[len(others) + 1 :])
        self.members |= {run.run_id: part_of(host, run) for run in others}
        await self._start(host, first_seq if taken else None)

    async def _start(self, run: Run, taken_in_at: int | None = None) -> None:
        """`taken_in_at`: where the log has its input and those of its members, if it has."""
        log = self.state.log
        # The start goes with the run's first records, unless it must be known before: a run that
        # takes the process down is counted first, and `exit` has no records until the end.
        # Whoever is part of it must be known to be, together with what became of its input.
        at_once = (
            run.run_id in self._left
            or run.kwargs["durability"] == "exit"
            or taken_in_at is not None
        )
        started = started_from(run, log, taken_in_at, self.state.now())
        try:
            graph = self.supervisor.graph(run.metadata["graph_id"])
            check_gets_on(started)
        except GreenroomError as error:
            await self._close([run, *self._let_go(run)], "error", error=error)
            return
        if at_once:
            joined = self.members.values() if taken_in_at is not None else ()
            await self.state.commit([PutRun(started), *map(PutRun, joined), *log.take()])
        else:
            log.precede(PutRun(started))
        streams = [self.streams[ident] for ident in (run.run_id, *self.members)]
        for stream in streams:
            await find_stored(self.supervisor.session, stream)
        self.active = ActiveRun(
            run=started,
            graph=graph,
            session=self.supervisor.session,
            store=self.supervisor.store,
            log=log,
            streams=streams,
            members=self.members,
            world=self.supervisor.world,
            mailbox=self.mailbox,
            meters=self.supervisor.meters,
            grace=self.supervisor.grace_period,
            fresh=started.first_log_seq == log.next_seq,
            boundary=self._steer,
            ends_at=trio.current_time() + self.supervisor.run_timeout,
        )
        self.supervisor.start_run(self.active)
        if self._stopped_at is not None:
            self.supervisor.meters.hand_overs.add(trio.current_time() - self._stopped_at)
            self._stopped_at = None

    def _steer(self, active: ActiveRun, take_in: TakeIn) -> None:
        """The run under way is between two super-steps: runs that wait to steer it become part of
        it. Called by its task."""
        for run in self.queue.steering(active.run):
            member = part_of(active.run, run)
            active.let_in(member, self.streams[run.run_id])
            active.unstored.add(run.run_id)
            try:
                take_in(run.kwargs["input"], checkpoint_metadata(run))
            except Exception:  # it fails by itself when its turn comes
                active.unstored.discard(run.run_id)
                active.let_out(run.run_id)
                continue
            self.queue.remove(run.run_id)
            self.streams[run.run_id].begin(member, active.run)

    # Runs are stopped.

    async def cancel(self, message: Cancel) -> None:
        """Stop a run that is under way or queued; NotFound for any other. One that is part of
        another cannot be stopped without it, and so is not among those of a status."""
        active, run_id = self.active, message.run_id
        stream = self.streams.get(run_id)
        if message.only is not None and run_id in self.members:
            raise NotFound(f"Run {run_id!r} is part of another")
        if active is not None and message.only != "pending" and active.has(run_id):
            if run_id in self.members and message.action == "rollback":
                await self._roll_back_with(active.run, run_id)
            else:
                stopped = await self._active_told_to_stop(message.action)
                if run_id in self.members:
                    stopped += await self._members_told_to_stop([run_id], message.action)
                await self.state.commit([*map(PutRun, stopped)])
                self.stop_active(message.action)
        else:
            await self._cancel_queued(message)
        assert stream is not None, "a run that is not over has a stream"
        message.reply.send(stream)

    async def _cancel_queued(self, message: Cancel) -> None:
        run_id, action = message.run_id, message.action
        member = self.members.get(run_id)
        host_id = run_id if member is None else host_of(member)
        run = next((one for one in self.queue if one.run_id == host_id), None)
        if run is None or message.only == ("running" if run.attempt == 0 else "pending"):
            raise NotFound(f"Run {run_id!r} is neither queued nor running")
        if member is not None and action == "rollback":
            await self._roll_back_with(run, run_id)
        told = told_to_stop(run, action)
        if run.attempt == 0 and run.stop == told.stop == "interrupt":
            return  # it ends as that when its turn comes, and what it brought is kept
        self.queue.remove(run.run_id)
        if run.attempt > 0:  # it would have gone on, were the runtime not about to be left
            await self._end(told, Stopped())
        elif told.stop == "rollback":
            await self.ends.remove([run], busy=self.busy)
        else:
            await self._close([run], "interrupted")

    async def _roll_back_with(self, host: Run, run_id: str) -> None:
        """Roll a run back that is part of another, which was told to go back, too."""
        if host.stop != "rollback":
            raise Conflict(
                f"Run {run_id!r} is answered by run {host.run_id!r}, and can be rolled back with "
                "that only"
            )
        member = self.members[run_id] = told_to_stop(self.members[run_id], "rollback")
        await self.state.commit([PutRun(member)])

    async def delete(self, message: DeleteRun) -> None:
        """Delete a run; the reply to one that is under way waits until it has stopped. One that is
        part of it goes by itself; what it brought stays in the state."""
        run_id, thread_id = message.run_id, self.state.thread_id
        if self.active is not None and self.active.run.run_id == run_id:
            self._deleting.setdefault(run_id, []).append(message)
            self.stop_active("interrupt")
            return
        run = self.queue.remove(run_id)
        if run is not None and run.attempt > 0:  # as in `_cancel_queued`
            self._deleting[run_id] = [message]
            await self._end(told_to_stop(run, "interrupt"), Stopped())
            await self._delete_ended(run_id)
            return
        if run is None:
            active = self.active
            run = self.members.pop(run_id, None) if active is None else active.let_out(run_id)
            if run is not None:
                # That it is part of another may be on its way to storage, with its input.
                await self.state.log.flush()
        if run is not None:
            await self.ends.remove([run], busy=self.busy, why=deleted(run))
        elif await self.supervisor.session.read(Storage.get_run, thread_id, run_id) is None:
            raise NotFound(f"Run {run_id!r} not found")
        else:
            await self.ends.drop(run_id)
        message.reply.send(None)

    def stop_active(self, reason: Reason) -> None:
        """Tell the run under way to stop; its end comes through the mailbox."""
        if self.active is not None:
            self.active.close()
            if self.active.phase == "running":
                self._stopped_at = trio.current_time()
            self.active.cut_short(reason, trio.current_time() + self.supervisor.grace_period)

    def abandon(self, error: Exception) -> None:
        """The thread is gone, and every run with it."""
        self.active = None
        self.members.clear()
        self.queue.clear()
        self.ends.lately.clear()
        for stream in self.streams.values():
            stream.abort(error)
        self.streams.clear()
        for message in self.deletions():
            message.reply.send(None)
        self._deleting.clear()

    def deletions(self) -> list[DeleteRun]:
        """Deletions that wait for a run to stop."""
        return [message for messages in self._deleting.values() for message in messages]

    async def _active_told_to_stop(self, reason: Stop) -> list[Run]:
        """The run under way as it is to be committed at once, before it is stopped: a stop that was
        acknowledged outlives the process."""
        if self.active is None:
            return []
        self.active.close()
        if self.state.log.has_first:
            # Its start is stored by itself, and still goes with the first records until that is
            # certain: nothing that may be refused alone stands between them. A stop that nobody
            # was told of would be taken back by those.
            await self.state.commit([PutRun(attrs.evolve(self.active.run, stop=None))])
            self.state.log.precede()
        return [told_to_stop(self.active.run, reason)]

    async def _members_told_to_stop(self, run_ids: Sequence[str], reason: Stop) -> list[Run]:
        """Members of the run under way, as they are to be committed with its stop: they end with
        it, and where they cannot, they are not started again."""
        active, taken_in = self.active, False
        while active is not None and run_ids and not taken_in:
            # What they brought is not said to be there before it is.
            unstored = set(active.unstored)
            await self.state.log.flush()
            taken_in = unstored == active.unstored
        told: list[Run] = []
        for run_id in run_ids:
            run = self.members[run_id] = told_to_stop(self.members[run_id], reason)
            told.append(alone(run) if active is not None and run_id in active.unstored else run)
        return told

    # Runs end.

    async def ended(self, active: ActiveRun, outcome: Outcome | Lost) -> None:
        """The task of the run under way is over or given up on: commit its end, then go on. Raises
        what it was lost by, if it was."""
        if active is not self.active:
            return
        if isinstance(outcome, Lost):
            if active.run.stop is None:
                raise outcome.error  # the actor crashes, and the next one takes the run up
            outcome = Stopped()
        self.active = None
        await self._end(active.run, outcome, active)
        if active.stream.resumable:
            self.supervisor.event_sweeper.loop.heed()
        await self._delete_ended(active.run.run_id)
        await self.start_next()

    async def _delete_ended(self, run_id: str) -> None:
        for message in self._deleting.get(run_id, ()):
            await self.ends.drop(run_id)
            message.reply.send(None)
        self._deleting.pop(run_id, None)

    async def _end(self, run: Run, outcome: Outcome, active: ActiveRun | None = None) -> None:
        """Commit the end of a run and of those that are part of it; `active` if it was under way in
        this process."""
        log = self.state.log
        if run.stop == "rollback":
            undo = [] if run.first_log_seq is None else [await log.truncate(run.first_log_seq)]
            members = self._let_go(run)
            gone = [run, *(one for one in members if one.stop == "rollback")]
            back = [alone(one) for one in members if one.stop != "rollback"]
            self.queue.put_back(back)
            await self.ends.remove(gone, *undo, *map(PutRun, back), busy=self.busy)
            self.supervisor.meters.ended["rolled back"] += len(gone)
            return
        members = self._let_go(run)
        status, failure, warning = end_of(outcome, run, self.supervisor.run_timeout)
        if isinstance(outcome, Stopped) and (misfit := await self.state.take_in(run)) is not None:
            status, failure = "error", misfit
        # What was taken in and not recorded, as the run was given up on or could not leave it, is
        # still to be answered.
        lost = active.unstored if active is not None else ()
        self.queue.put_back([alone(one) for one in members if one.run_id in lost])
        ended = [run, *(one for one in members if one.run_id not in lost)]
        if failure is not None:
            self.state.record_failure(failure)
        finish = outcome.finish if isinstance(outcome, Finished) else None
        left = [*log.take(), *log.packs()]
        await self._close(ended, status, error=failure, warning=warning, left=left, finish=finish)

    def _let_go(self, host: Run) -> list[Run]:
        """The runs that were part of one that has ended."""
        members = [run for run in self.members.values() if host_of(run) == host.run_id]
        for run in members:
            del self.members[run.run_id]
        return members

    async def _close(self, runs: Sequence[Run], status: RunStatus, **how: Any) -> None:
        beside = self.active is not None
        await self.ends.close(
            runs, status, busy=self.busy, beside=beside, deleting=self._deleting, **how
        )
