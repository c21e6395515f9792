"""A thread's checkpoint log: what changed goes to storage, the head stays in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, Self

import attrs
import trio

from greenroom.graph.checkpoint import Checkpoint, PendingWrites, Saved

from .contract import AppendLog, InsertThread, LogPage, Operation, Storage, TruncateLog
from .delta import Folded, Unfolded, encode_checkpoint, encode_writes, unfold
from .records import LogRow, Thread
from .session import Commit, StorageSession

__all__ = [
    "SNAPSHOT_EVERY",
    "LogEnd",
    "ThreadLog",
    "decode_page",
    "read_end",
    "read_history",
    "read_saved",
]

SNAPSHOT_EVERY: Final = 50  # checkpoints that reading one may have to fold
PAGE: Final = 20  # checkpoints read at a time in search of one


def decode_page(page: LogPage) -> list[Saved]:
    """The checkpoints that a page was read for, newest first, with their pending writes.

    Raises StorageError if the page is damaged.
    """
    return [one.saved() for one in unfold(page)]


def read_saved(
    storage: Storage, thread_id: str, ns: str = "", checkpoint_id: str | None = None
) -> Saved | None:
    """One checkpoint of a thread, the newest where no id is given, without a `ThreadLog`."""
    page = storage.read_checkpoint(thread_id, ns, checkpoint_id)
    return None if page is None else decode_page(page)[0]


def read_history(
    storage: Storage,
    thread_id: str,
    ns: str = "",
    *,
    before: str | None = None,
    limit: int | None = None,
) -> list[Saved]:
    """The checkpoints of a thread, newest first, without a `ThreadLog`."""
    return decode_page(storage.read_history(thread_id, ns, before=before, limit=limit))


@attrs.define
class _Head:
    """The newest checkpoint of a namespace.

    `seq`: of its newest record, pending writes included. `length`: of the chain back to the full
    snapshot at `base_seq`.
    """

    checkpoint: Checkpoint
    pending: dict[str, PendingWrites]
    folded: Folded
    seq: int
    base_seq: int
    length: int

    @classmethod
    def of(cls, one: Unfolded) -> Self:
        saved = one.saved()
        return cls(
            saved.checkpoint,
            dict(saved.pending),
            one.folded,
            max([one.seq, *(row.seq for row in one.pending)]),
            one.base_seq,
            one.length,
        )

    def saved(self) -> Saved:
        return Saved(self.checkpoint, self.pending.copy())


@attrs.frozen
class LogEnd:
    """The last position of a log, 0 for an empty one, and its newest checkpoint."""

    seq: int
    head: _Head | None


class ThreadLog:
    """The `CheckpointLog` of one thread, for its actor alone: nobody else may append to it.

    A checkpoint is stored as its changed channels, and of a list that grew only what was added;
    every 50 checkpoints, and where a branch begins, as a full snapshot. Values are encoded when
    they are appended: an object that is changed in place later is not stored again.
    """

    def __init__(
        self, session: StorageSession, thread_id: str, next_seq: int, head: _Head | None
    ) -> None:
        self.thread_id = thread_id
        self.next_seq = next_seq
        self.session = session
        self._heads: dict[str, _Head] = {} if head is None else {"": head}
        self._rows: list[LogRow] = []
        self._commits: deque[Commit] = deque()
        self._unsaved: set[str] = set()  # namespaces with records that may not be durable
        self._first: list[Operation] = []  # to go before the first records
        self._failure: Exception | None = None

    @classmethod
    async def open(cls, session: StorageSession, thread_id: str) -> Self:
        """The log of a thread, with its head read; empty for a thread that has none."""
        return cls.going_on(session, thread_id, await session.read(read_end, thread_id))

    @classmethod
    def going_on(cls, session: StorageSession, thread_id: str, end: LogEnd) -> Self:
        """As `open`, from an end that was read together with other things."""
        return cls(session, thread_id, end.seq + 1, end.head)

    @property
    def head(self) -> Saved | None:
        """The newest checkpoint of the outermost graph with its pending writes, from memory."""
        head = self._heads.get("")
        return None if head is None else head.saved()

    async def load(self, ns: str = "", checkpoint_id: str | None = None) -> Saved | None:
        """A checkpoint of a namespace, the newest where no id is given; None where there is none.

        The newest comes from memory, with the objects that were appended.
        """
        head = self._heads.get(ns)
        if head is not None and checkpoint_id in (None, head.checkpoint.id):
            await trio.lowlevel.checkpoint()
            return head.saved()
        if ns == "" and checkpoint_id is None:
            await trio.lowlevel.checkpoint()
            return None
        await self._settle(ns)
        return await self.session.read(read_saved, self.thread_id, ns, checkpoint_id)

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        """The checkpoints of a namespace, newest first, those older than `before` where given."""
        await self._settle(ns)
        return await self.session.read(read_history, self.thread_id, ns, before=before, limit=limit)

    @property
    def sound(self) -> bool:
        """Whether nothing that was handed over has been refused, as far as is known."""
        self._reap()
        return self._failure is None

    def create(self, thread: Thread) -> None:
        """Have the thread itself created together with its first records."""
        self._first = [InsertThread(thread)]

    def append(self, record: Checkpoint | PendingWrites) -> None:
        """Add a record, encoding it at once. It is durable after `flush()`.

        Raises Unstorable, naming the channel and the place in its value, and the StorageError that
        refused records handed over before. Nothing is added then.
        """
        self._check()
        if isinstance(record, Checkpoint):
            self._append_checkpoint(record)
        else:
            self._append_writes(record)
        self._unsaved.add(record.ns)
        self.next_seq += 1

    def take(self) -> list[Operation]:
        """What was appended and not yet handed over, for the caller to commit with more."""
        self._check()
        first, self._first = self._first, []
        rows, self._rows = self._rows, []
        return [*first, AppendLog(tuple(rows), follows=rows[0].seq - 1)] if rows else []

    def hand_over(self, also: Sequence[Operation] = ()) -> None:
        """Start to make durable what was appended, in one group with `also`. Raises as `append`
        does.
        """
        operations = [*also, *self.take()]
        if not operations:
            return
        last = self._commits[-1] if self._commits else None
        if last is not None and last.gathers and not also:
            _extend(last.operations, operations)
        else:
            self._commits.append(self.session.submit(operations))

    async def flush(self) -> None:
        """Wait until everything that was appended is durable. Raises as `append` does."""
        self.hand_over()
        if self._commits:
            await self._commits[-1].wait()
        else:
            await trio.lowlevel.checkpoint()
        self._check()
        if not self._rows and not self._commits:
            self._unsaved.clear()

    async def truncate(self, from_seq: int) -> Operation:
        """Forget the records from `from_seq` on; the caller commits the operation returned.

        `head` is then the checkpoint before, with the pending writes that it had. Other reads see
        what was forgotten until the operation is committed. Raises as `append` does.
        """
        self._rows = [row for row in self._rows if row.seq < from_seq]
        await self.flush()
        head = self._heads.get("")
        if head is not None and head.seq >= from_seq:
            head = await self.session.read(_read_head_before, self.thread_id, from_seq)
        self._heads = {} if head is None else {"": head}
        self.next_seq = min(self.next_seq, from_seq)
        return TruncateLog(self.thread_id, from_seq)

    def _append_checkpoint(self, checkpoint: Checkpoint) -> None:
        ns = checkpoint.ns
        parent = self._heads.get(ns)
        if parent is not None and parent.checkpoint.id != checkpoint.parent_id:
            parent = None  # a branch, whose parent may be far back
        if parent is None or parent.length >= SNAPSHOT_EVERY:
            base_seq, length = self.next_seq, 1
            data, folded = encode_checkpoint(checkpoint, None)
        else:
            base_seq, length = parent.base_seq, parent.length + 1
            data, folded = encode_checkpoint(checkpoint, parent.folded)
        self._add_row("checkpoint", ns, checkpoint.id, base_seq, data)
        # What ran inside this namespace is over.
        inner = f"{ns}|" if ns else ""
        for other in [other for other in self._heads if other.startswith(inner)]:
            del self._heads[other]
        self._heads[ns] = _Head(checkpoint, {}, folded, self.next_seq, base_seq, length)

    def _append_writes(self, writes: PendingWrites) -> None:
        data = encode_writes(writes)
        self._add_row("writes", writes.ns, writes.checkpoint_id, None, data)
        head = self._heads.get(writes.ns)
        if head is not None and head.checkpoint.id == writes.checkpoint_id:
            head.pending[writes.task_id] = writes
            head.seq = self.next_seq

    def _add_row(
        self,
        kind: Literal["checkpoint", "writes"],
        ns: str,
        checkpoint_id: str,
        base_seq: int | None,
        data: bytes,
    ) -> None:
        self._rows.append(
            LogRow(
                thread_id=self.thread_id,
                seq=self.next_seq,
                kind=kind,
                ns=ns,
                checkpoint_id=checkpoint_id,
                base_seq=base_seq,
                data=data,
            )
        )

    def _check(self) -> None:
        """Raise what a hand-over has failed with: from then on there would be a gap in the log."""
        self._reap()
        if self._failure is not None:
            raise self._failure

    def _reap(self) -> None:
        while self._commits and self._commits[0].done:
            self._failure = self._failure or self._commits.popleft().error

    async def _settle(self, ns: str) -> None:
        """Make what was appended to a namespace visible to reads of storage."""
        if ns in self._unsaved:
            await self.flush()


def _extend(operations: list[Operation], more: Sequence[Operation]) -> None:
    """Add records to those of the hand-over before, as one operation where that is possible."""
    last, first = operations[-1], more[0]
    if isinstance(last, AppendLog) and isinstance(first, AppendLog):
        operations[-1] = AppendLog(last.rows + first.rows, follows=last.follows)
    else:
        operations.extend(more)


def read_end(storage: Storage, thread_id: str) -> LogEnd:
    """Where the log of a thread has come to."""
    seq = storage.last_log_seq(thread_id)
    page = storage.read_checkpoint(thread_id, "") if seq else None
    return LogEnd(seq, None if page is None else _Head.of(unfold(page)[0]))


def _read_head_before(storage: Storage, thread_id: str, seq: int) -> _Head | None:
    """The head that the log had when its next record was `seq`."""
    page = storage.read_history(thread_id, "", limit=PAGE)
    while page.wanted:
        earlier = tuple(row for row in page.writes if row.seq < seq)
        for one in unfold(attrs.evolve(page, writes=earlier)):
            if one.seq < seq:
                return _Head.of(one)
        page = storage.read_history(thread_id, "", before=page.wanted[-1], limit=PAGE)
    return None
