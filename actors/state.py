"""What a thread actor knows of its thread: the record and the checkpoint log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

from greenroom.graph import START
from greenroom.graph.address import Address
from greenroom.graph.checkpoint import RUN_TASK, PendingWrites, Saved
from greenroom.graph.errors import UnknownInterruptError
from greenroom.graph.failure import TaskError
from greenroom.graph.isolation import isolated
from greenroom.graph.job import Finish, Job
from greenroom.graph.resume import waiting
from greenroom.graph.root import shown
from greenroom.storage import ThreadLog
from greenroom.storage.codec import to_json
from greenroom.storage.head import EMPTY
from greenroom.storage.operations import DeleteThread, Operation, PutThread
from greenroom.storage.records import Run, Thread, ThreadStatus

from .active import checkpoint_metadata, run_config
from .errors import NotFound
from .events import StreamPart
from .status import settled, thread_error
from .ttl import prolonged
from .views import error_view, result_view

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["ThreadState"]


@attrs.define(eq=False)
class ThreadState:
    """A thread's record and log, in memory. `thread`: None if there is no such thread (any
    more). `changing`: set once `thread` is what is being committed, which readers of storage may
    have seen before.
    """

    supervisor: Supervisor
    thread_id: str
    thread: Thread | None
    log: ThreadLog
    changing: trio.Event | None = attrs.field(init=False, default=None)

    def existing(self) -> Thread:
        """The thread. Raises NotFound."""
        if self.thread is None:
            raise NotFound(f"Thread {self.thread_id!r} not found")
        return self.thread

    async def commit(self, operations: Sequence[Operation], thread: Thread | None = None) -> None:
        """Commit operations and, with them, the thread as it is from then on."""
        if thread is not None and (
            self.thread is None or thread.updated_at != self.thread.updated_at
        ):
            thread = prolonged(thread)
        if thread is None:
            await self.supervisor.session.commit(operations)
            return
        with self._changes():
            await self.supervisor.session.commit([*operations, PutThread(thread)])
            self.thread = thread
        self.supervisor.sweeper.heed(thread)

    async def drop(self, *more: Operation) -> None:
        """Delete the thread with all that belongs to it, and commit more with that."""
        with self._changes():
            await self.supervisor.session.commit([DeleteThread(self.thread_id), *more])
            self.thread = None
        self.log = ThreadLog.going_on(self.supervisor.session, self.thread_id, EMPTY)

    @contextmanager
    def _changes(self) -> Iterator[None]:
        self.changing = changing = trio.Event()
        try:
            yield
        finally:
            self.changing = None
            changing.set()

    def settled(self, *, busy: bool, error: Exception | None = None) -> Thread:
        """The thread with its status as the log has it. `error`: a failure that the log may
        lack.
        """
        thread = settled(self.existing(), self.log.head, busy=busy, now=self.now())
        if error is None or isinstance(error, UnknownInterruptError):
            return thread
        status: ThreadStatus = "busy" if busy else "error"
        return attrs.evolve(thread, error=error_view(error), status=status)

    def record_failure(self, error: Exception) -> None:
        """A failure that left no record, say over a value that cannot be stored, gets one; but for
        a strict resume, which leaves the thread as it was."""
        head = self.log.head
        if isinstance(error, UnknownInterruptError):
            return
        if head is not None and thread_error(head) is None:
            at = head.checkpoint.id
            failed = TaskError.of(error)
            self.log.append(
                PendingWrites(checkpoint_id=at, task_id=RUN_TASK, node="", error=failed)
            )

    async def start_of(self, run: Run, undone: Run | None) -> Saved | None:
        """The checkpoint that a run would go on from, were `undone` rolled back now: the newest, or
        the one that it names."""
        own = {**run.kwargs["config"]["configurable"], "thread_id": self.thread_id}
        start_id = Address.of({"configurable": own}).start_id
        if start_id is not None:
            return await self.log.load("", start_id)
        if undone is None or undone.first_log_seq is None:
            return self.log.head
        return await self.log.head_before(undone.first_log_seq)

    async def take_in(self, run: Run) -> Exception | None:
        """What the user wrote is not lost with a run that was stopped: its input goes into the
        state, unless it is there. Returns why it could not."""
        kwargs = run.kwargs
        if kwargs["input"] is None or kwargs["command"] is not None or self._took_in(run):
            return None
        job = Job(
            input=kwargs["input"],
            config=run_config(run),
            context=kwargs["context"],
            log=self.log,
            world=self.supervisor.world,
            metadata=checkpoint_metadata(run),
        )
        try:
            await self.supervisor.graph(run.metadata["graph_id"]).take_in(job)
        except Exception as error:  # a reducer or a conditional edge of the user's
            return error
        return None

    def _took_in(self, run: Run) -> bool:
        if run.first_log_seq in (None, self.log.next_seq) or self.log.head is None:
            return False
        # START has it in hand until it has taken it in, unless it was taken in before.
        planned = self.log.head.checkpoint.next
        return all(one.node != START or one.arg is None for one in planned)

    def values(self) -> Any:
        """The newest state, the caller's own."""
        head = self.log.head
        return {} if head is None else isolated(shown(head.checkpoint.values))

    def result(self, finish: Finish | None = None) -> Any:
        """What waiting for a run that has just ended well answers: what it came to, or the state
        where it was cut short."""
        head = self.log.head
        values = self.values() if finish is None else finish.values
        return {} if head is None else result_view(values, waiting(head))

    def tell(self, event: str, data: Any) -> None:
        """Tell those who follow the thread."""
        if self.supervisor.feeds.followed(self.thread_id):
            part = StreamPart(self.supervisor.event_ids.next(), event, to_json(data))
            self.supervisor.feeds.put(self.thread_id, part)

    def now(self) -> str:
        return self.supervisor.world.timestamp()
