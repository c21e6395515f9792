"""The thread actor: owns one conversation's mailbox, its runs and its checkpoint log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from greenroom.graph import (
    InvalidUpdateError,
    NodeNotFoundError,
    StateUpdate,
)
from greenroom.graph.checkpoint import Checkpoint
from greenroom.graph.contract import Graph
from greenroom.graph.job import Job
from greenroom.storage import Storage, StorageError, ThreadLog, Unstorable
from greenroom.storage.copying import copied_log, latest_only
from greenroom.storage.head import EMPTY, LogEnd, read_end
from greenroom.storage.operations import AppendLog, InsertThread
from greenroom.storage.records import OF_LANGGRAPH, Run, Thread

from .active import ActiveRun, Stopped, newest_config
from .errors import Closed, Conflict, GreenroomError, Invalid, NotFound, Refused
from .events import RunStream
from .joining import host_of
from .mailbox import (
    Attach,
    Cancel,
    Copy,
    Create,
    DeleteRun,
    DeleteThread,
    Due,
    EditState,
    Ended,
    Expire,
    KeepLatest,
    Mailbox,
    Message,
    Patch,
    Submit,
)
from .queue import RunQueue
from .runs import ThreadRuns
from .state import ThreadState
from .status import settled
from .ttl import prolonged
from .views import state_view

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["ThreadActor"]

logger = logging.getLogger(__name__)


@attrs.frozen
class _Past:
    """What storage has of a thread. `followed`: the runs that readers hold streams of."""

    thread: Thread | None
    unfinished: list[Run]
    last_run_seq: int
    followed: list[tuple[str, Run | None]]
    log: LogEnd


@attrs.define(eq=False)
class ThreadActor:
    """One thread, awake.

    Everything that changes the thread comes through the mailbox, one message at a time. The run
    under way is a task of the supervisor's, so that the mailbox is read meanwhile.
    """

    supervisor: Supervisor
    thread_id: str
    mailbox: Mailbox
    streams: dict[str, RunStream]
    state: ThreadState = attrs.field(init=False)
    runs: ThreadRuns = attrs.field(init=False)
    loaded: bool = attrs.field(init=False, default=False)
    _deleting: list[DeleteThread] = attrs.field(init=False, factory=list)

    async def live(self) -> None:
        """Answer the mailbox until there is nothing left to do for a while."""
        await self._load()
        try:
            while (message := await self._next_message()) is not None:
                await self._answer(message)
        except BaseException:
            # Who waits for a run to stop waits for the next actor to have stopped it.
            deletions: list[DeleteThread | DeleteRun] = [*self._deleting, *self.runs.deletions()]
            self.mailbox.put_back([message for message in deletions if not message.reply.sent])
            raise

    async def _answer(self, message: Message) -> None:
        try:
            await self._handle(message)
        except BaseException as error:
            if isinstance(message, Ended):
                raise
            message.reply.fail(error if isinstance(error, Exception) else Closed())
            if not isinstance(error, GreenroomError):
                raise

    async def _load(self) -> None:
        ids = list(self.streams)

        def read(storage: Storage) -> _Past:  # in one go: each trip to storage costs a thread
            return _Past(
                storage.get_thread(self.thread_id),
                storage.unfinished_runs(self.thread_id),
                storage.last_run_seq(self.thread_id),
                [(run_id, storage.get_run(self.thread_id, run_id)) for run_id in ids],
                read_end(storage, self.thread_id),
            )

        if self.thread_id in self.supervisor.new_threads:
            thread = self.supervisor.new_threads.take(self.thread_id)
            past = _Past(thread, [], 0, [], EMPTY)
        else:
            past = await self.supervisor.session.read(read)
        log = ThreadLog.going_on(self.supervisor.session, self.thread_id, past.log)
        self.state = ThreadState(self.supervisor, self.thread_id, past.thread, log)
        ids = [run.run_id for run in past.unfinished]
        members = {run.run_id: run for run in past.unfinished if host_of(run) in ids}
        self.runs = ThreadRuns(
            self.state,
            self.mailbox,
            self.streams,
            RunQueue.of(
                self.supervisor, [run for run in past.unfinished if run.run_id not in members]
            ),
            past.last_run_seq,
            members,
        )
        self.runs.take_up(past.followed)
        self.loaded = True
        await self.runs.start_next()

    async def _next_message(self) -> Message | None:
        """The next message; None when the actor may go to sleep."""
        active = self.runs.active
        if self.mailbox:
            await trio.lowlevel.checkpoint()  # a flood of messages leaves others their turns
        while not self.mailbox:
            if active is not None:
                deadline = active.deadline
            elif self.state.thread is None:
                deadline = trio.current_time()
            else:
                deadline = trio.current_time() + self.supervisor.idle_timeout
            with trio.move_on_at(deadline):
                await self.mailbox.wait()
            if self.mailbox:
                break
            if active is None:
                return None
            if active.phase != "running":
                return self._given_up(active)
            self.runs.stop_active("timeout")
        return self.mailbox.take()

    def _given_up(self, active: ActiveRun) -> Ended:
        active.fence()
        logger.warning(
            "run %s did not stop within %g s and was given up on",
            active.run.run_id,
            self.supervisor.grace_period,
        )
        return Ended(active, Stopped())

    async def _handle(self, message: Message) -> None:
        match message:
            case Submit():
                self._not_deleted()
                await self.runs.submit(message)
            case Ended(active, outcome):
                if self._deleting and active is self.runs.active:
                    await self._delete()
                else:
                    await self.runs.ended(active, outcome)
            case Due():
                await self.runs.start_due()
                message.reply.send(None)
            case Create():
                await self._create(message)
            case Attach(run_id):
                self._existing()
                message.reply.send(self.streams.get(run_id))
            case Cancel():
                self._existing()
                await self.runs.cancel(message)
            case KeepLatest():
                message.reply.send(await self._keep_latest(self._existing()))
            case Expire():
                message.reply.send(await self._expire())
            case Copy():
                await self._copy(message)
            case EditState():
                await self._edit_state(message)
            case Patch():
                await self._patch(message)
            case DeleteRun():
                self._existing()
                await self.runs.delete(message)
            case DeleteThread():
                self._existing()
                self._deleting.append(message)
                if self.runs.active is None:
                    await self._delete()
                else:
                    self.runs.stop_active("rollback")

    def _existing(self) -> Thread:
        self._not_deleted()
        return self.state.existing()

    def _not_deleted(self) -> None:
        if self._deleting:
            raise NotFound(f"Thread {self.thread_id!r} is being deleted")

    async def _create(self, message: Create) -> None:
        self._not_deleted()
        if self.state.thread is None:
            await self._make(message)
        elif message.if_exists != "do_nothing":
            raise Conflict(f"Thread {self.thread_id!r} already exists")
        message.reply.send(self.state.existing())

    async def _make(self, message: Create) -> None:
        state, thread = self.state, message.thread
        state.thread = thread
        try:
            if message.supersteps:
                graph = self.supervisor.graph(str(thread.metadata.get("graph_id")))
                await self._update(graph, self._job(thread), message.supersteps)
                thread = state.settled(busy=False)
            await state.commit([InsertThread(thread), *state.log.take()])
        except BaseException:
            state.thread = None
            state.log = await ThreadLog.open(self.supervisor.session, self.thread_id)
            raise
        state.thread = thread
        self.supervisor.sweeper.heed(thread)

    async def _patch(self, message: Patch) -> None:
        thread = self._existing()
        patched = attrs.evolve(
            thread,
            metadata={**thread.metadata, **message.metadata},
            ttl=thread.ttl if message.ttl is None else dict(message.ttl),
            updated_at=self.state.now(),
        )
        patched = prolonged(patched)
        await self.state.commit([], patched)
        message.reply.send(patched)

    async def _copy(self, message: Copy) -> None:
        thread, log = self._existing(), self.state.log
        head, end, now = log.head, log.next_seq, self.state.now()
        await log.flush()
        rows = await self.supervisor.session.read(
            copied_log, self.thread_id, message.thread_id, end
        )
        new = Thread(
            thread_id=message.thread_id,
            created_at=now,
            updated_at=now,
            state_updated_at=now,
            metadata=thread.metadata,
            ttl=thread.ttl,
        )
        copy = prolonged(settled(new, head, busy=False, now=now))
        append = [AppendLog(tuple(rows))] if rows else []
        await self.supervisor.session.commit([InsertThread(copy), *append])
        self.supervisor.sweeper.heed(copy)
        message.reply.send(copy)

    async def _keep_latest(self, thread: Thread) -> bool:
        """Forget all but the newest checkpoint, and commit the thread with that, unless there is
        work to do, or the thread is LangGraph's. Returns whether that was so."""
        if self.runs.busy or OF_LANGGRAPH.items() <= thread.metadata.items():
            return False
        await self.state.log.flush()
        operations = await self.supervisor.session.read(latest_only, self.thread_id)
        await self.state.commit(operations, thread)
        self.state.log = await ThreadLog.open(self.supervisor.session, self.thread_id)
        return True

    async def _expire(self) -> bool:
        thread = self._existing()
        ttl = thread.ttl or {}
        expires_at = ttl.get("expires_at")
        if self.runs.busy or expires_at is None or expires_at > self.state.now():
            return False
        if ttl["strategy"] == "keep_latest":
            spent = {**ttl, "expires_at": None}
            return await self._keep_latest(attrs.evolve(thread, ttl=spent))
        await self._delete()
        return True

    async def _delete(self) -> None:
        """Delete the thread, whose run has stopped."""
        await self.state.drop()
        self.runs.abandon(NotFound(f"Thread {self.thread_id!r} was deleted"))
        self.supervisor.feeds.end(self.thread_id)
        messages, self._deleting = self._deleting, []
        for message in messages:
            message.reply.send(None)

    async def _edit_state(self, message: EditState) -> None:
        thread = self._existing()
        if self.runs.busy:
            raise Conflict(
                f"Thread {self.thread_id!r} has a run in flight; its state cannot be edited now"
            )
        graph_id = thread.metadata.get("graph_id")
        if graph_id is None:
            raise Refused(f"Thread {self.thread_id!r} has no graph yet, so it has no state to edit")
        graph, log = self.supervisor.graph(str(graph_id)), self.state.log
        job = attrs.evolve(
            self._job(thread),
            checkpoint_id=message.checkpoint_id,
            ns=tuple(filter(None, message.ns.split("|"))),
        )
        made = await self._update(graph, job, [[StateUpdate(message.values, message.as_node)]])
        await self.state.commit(log.take(), self.state.settled(busy=False))
        message.reply.send(made)
        if self.supervisor.feeds.followed(self.thread_id):
            await self._tell_state(graph)

    async def _tell_state(self, graph: Graph) -> None:
        config = await newest_config(graph, self.supervisor.session, self.thread_id)
        try:
            state = await graph.read_state(self.state.log, self.thread_id, config=config)
        except Exception:  # of the user's: the edit stands all the same
            logger.exception("the state of thread %s cannot be shown", self.thread_id)
        else:
            told = {"state": state_view(state), "thread_id": self.thread_id}
            self.state.tell("state_update", told)

    def _job(self, thread: Thread) -> Job:
        """To edit the state."""
        metadata = {"graph_id": thread.metadata.get("graph_id"), "thread_id": self.thread_id}
        return Job(log=self.state.log, world=self.supervisor.world, metadata=metadata)

    async def _update(
        self, graph: Graph, job: Job, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> Checkpoint:
        """Edit the state in the job's log. Raises Invalid and Refused."""
        config = await newest_config(graph, self.supervisor.session, self.thread_id)
        job = job if config is None else attrs.evolve(job, config=config)
        try:
            return await graph.update(job, supersteps)
        except Unstorable as error:
            raise Invalid(f"values: {error}") from error
        except (InvalidUpdateError, NodeNotFoundError, ValueError) as error:
            raise Refused(str(error)) from error
        except (GreenroomError, StorageError):
            raise
        except Exception as error:  # a reducer or a conditional edge of the user's
            raise Refused(f"values: {type(error).__name__}: {error}") from error
