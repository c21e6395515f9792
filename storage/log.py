"""A thread's checkpoint log: what changed goes to storage, the head stays in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal, Self, TypeVar

import attrs
import trio

from greenroom.graph.checkpoint import Checkpoint, PendingWrites, Saved

from .codec import decode
from .commit import Commit
from .contract import Storage
from .delta import Folded, encode_checkpoint
from .head import EMPTY, Head, LogEnd, read_end, read_head_before, read_history, read_saved
from .lists import LOOSE, LongList
from .operations import AppendEvents, AppendLog, Operation, PackList, TruncateLog
from .pending import decode_writes, encode_writes
from .records import LogRow
from .session import StorageSession

__all__ = ["SNAPSHOT_EVERY", "ThreadLog"]

T = TypeVar("T")

SNAPSHOT_EVERY: Final = 50  # checkpoints that reading one may have to fold


class ThreadLog:
    """The `CheckpointLog` of one thread, for its actor alone: nobody else may append to it.

    A checkpoint is stored as its changed channels; every 50 checkpoints, and where a branch begins,
    as a full snapshot. Of a long list only what changed is stored: see `lists`. Values are encoded
    when they are appended: an object that is changed in place later is not stored again. Objects
    whose class nobody declares are plain data from then on, in memory too.
    """

    def __init__(
        self, session: StorageSession, thread_id: str, next_seq: int, head: Head | None
    ) -> None:
        self.thread_id = thread_id
        self.next_seq = next_seq
        self.session = session
        self._types = session.storage.types
        self._heads: dict[str, Head] = {} if head is None else {"": head}
        self._rows: list[LogRow] = []
        self._commits: deque[Commit] = deque()
        self._unsaved: set[str] = set()  # namespaces with records that may not be durable
        self._first: list[Operation] = []  # to go before the next records
        self._along: list[Operation] = []  # to go with the last ones
        self._first_alone: Commit | None = None  # with these and no records
        self._failure: Exception | None = None
        self._held = False

    @classmethod
    async def open(cls, session: StorageSession, thread_id: str) -> Self:
        """The log of a thread, with its head read; empty for a thread that has none."""
        if session.lacks_thread(thread_id):
            await trio.lowlevel.checkpoint()
            return cls.going_on(session, thread_id, EMPTY)
        end = await session.read(read_end, thread_id)
        if not end.seq:
            session.learn_threads()
        return cls.going_on(session, thread_id, end)

    @classmethod
    def going_on(cls, session: StorageSession, thread_id: str, end: LogEnd) -> Self:
        """As `open`, from an end that was read together with other things."""
        return cls(session, thread_id, end.seq + 1, end.head)

    @property
    def head(self) -> Saved | None:
        """The newest checkpoint of the outermost graph with its pending writes, from memory."""
        head = self._heads.get("")
        return None if head is None else head.saved()

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        """A checkpoint of a namespace, the newest where no id is given, or the one that was made
        there next after it (`following`); None where there is none.

        The newest comes from memory.
        """
        head = self._heads.get(ns)
        if head is not None and checkpoint_id in (None, head.checkpoint.id):
            await trio.lowlevel.checkpoint()
            return None if following else head.saved()
        if ns == "" and checkpoint_id is None:
            await trio.lowlevel.checkpoint()
            return None
        await self._settle(ns)
        return await self.session.read(
            read_saved, self.thread_id, ns, checkpoint_id, following=following
        )

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        """The checkpoints of a namespace, newest first, those older than `before` where given."""
        await self._settle(ns)
        return await self.session.read(read_history, self.thread_id, ns, before=before, limit=limit)

    async def read(self, function: Callable[[Storage], T]) -> T:
        """`function(storage)`, once storage has what was appended to the outermost graph."""
        await self._settle("")
        return await self.session.read(function)

    @property
    def sound(self) -> bool:
        """Whether nothing that was handed over has been refused, as far as is known."""
        self._reap()
        return self._failure is None

    @property
    def has_first(self) -> bool:
        """Whether something is still to precede the next records."""
        alone = self._first_alone
        if alone is not None and alone.done and alone.error is None:
            self._first, self._first_alone = [], None
        return bool(self._first)

    def precede(self, *operations: Operation) -> None:
        """Have these committed together with the next records and before them, whoever hands them
        over: storage has both or neither. They replace those that were given before. A hand-over
        without records commits them too, and until that is certain they go with the next ones.
        """
        self._first, self._first_alone = list(operations), None

    def accompany(self, operations: Sequence[Operation]) -> None:
        """Have these committed together with the record that was appended just now, whoever hands
        it over."""
        self._along += operations

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

    def take(self) -> list[Operation]:
        """What was appended and not yet handed over, for the caller to commit with more."""
        self._check()
        first = [*(self._first if self.has_first else ()), *self._along]
        self._first, self._first_alone, self._along = [], None, []
        rows, self._rows = self._rows, []
        return [*first, AppendLog(tuple(rows), follows=rows[0].seq - 1)] if rows else first

    def chained(self, operations: Sequence[Operation]) -> list[Operation]:
        """Operations whose events are refused if those of the same run before are, of which that is
        not known yet: there would be a gap."""
        if not operations:  # most runs keep no events
            return []
        unsure = {
            one.events[-1].run_id: one.events[-1].event_id
            for commit in self._commits
            for one in commit.operations
            if isinstance(one, AppendEvents) and not commit.done
        }
        return [
            attrs.evolve(one, follows=unsure.get(one.events[0].run_id))
            if isinstance(one, AppendEvents)
            else one
            for one in operations
        ]

    def packs(self) -> list[Operation]:
        """What keeps long lists quick to read, once nothing of what was appended will be
        truncated."""
        operations: list[Operation] = []
        for head in self._heads.values():
            for channel, form in head.folded.values.items():
                if isinstance(form, LongList) and (form.loose or 0) >= LOOSE:
                    head.folded.values[channel] = form.packed()
                    operations.append(PackList(self.thread_id, form.id))
        return operations

    def hand_over(self, also: Sequence[Operation] = ()) -> None:
        """Start to make durable what was appended, in one group with `also`. Raises as `append`
        does.
        """
        self._check()
        last = self._commits[-1] if self._commits else None
        joins = last is not None and last.gathers and not also
        if joins and self._rows and last is self._first_alone:
            self._first, self._first_alone = [], None  # all of it will be one group
        alone = self.has_first and not self._rows
        also = self.chained(also)
        if not alone:
            operations = [*also, *self.take()]
        elif self._first_alone is None:
            operations = [*also, *self._first]
        else:
            operations = also
        if not operations:
            return
        if last is not None and joins:
            _extend(last.operations, operations)
        else:
            last = self.session.submit(operations)
            self._commits.append(last)
        if alone and self._first_alone is None:
            self._first_alone = last

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is appended meanwhile is handed over by its owner alone: who reads does not see it
        yet."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    async def flush(self) -> None:
        """Wait until everything that was appended is durable. Raises as `append` does."""
        self.hand_over()
        await self._wait()

    async def _wait(self) -> None:
        """Until what was handed over is durable."""
        if self._commits:
            await self._commits[-1].wait()
        else:
            await trio.lowlevel.checkpoint()
        self._check()
        if not self._rows and not self._commits:
            self._unsaved.clear()

    async def truncate(self, from_seq: int) -> Operation:
        """Forget the records from `from_seq` on, and what was to precede them; the caller commits
        the operation returned.

        `head` is then the checkpoint before, with the pending writes that it had. Other reads see
        what was forgotten until the operation is committed. Raises as `append` does.
        """
        self._rows = [row for row in self._rows if row.seq < from_seq]
        self._first, self._first_alone, self._along = [], None, []
        await self.flush()
        head = await self._before(from_seq)
        self._heads = {} if head is None else {"": head}
        self.next_seq = min(self.next_seq, from_seq)
        return TruncateLog(self.thread_id, from_seq)

    async def head_before(self, seq: int) -> Saved | None:
        """What `head` would be after `truncate(seq)`. The records before are durable."""
        head = await self._before(seq)
        return None if head is None else head.saved()

    async def _before(self, seq: int) -> Head | None:
        head = self._heads.get("")
        if head is None or head.seq < seq:
            return head
        return await self.session.read(read_head_before, self.thread_id, seq)

    def _append_checkpoint(self, checkpoint: Checkpoint) -> None:
        ns = checkpoint.ns
        parent = self._heads.get(ns)
        if parent is not None and parent.checkpoint.id != checkpoint.parent_id:
            parent = None  # a branch, whose parent may be far back
        length = 1 if parent is None or parent.length >= SNAPSHOT_EVERY else parent.length + 1
        made = encode_checkpoint(
            checkpoint,
            None if parent is None else parent.folded,
            self._types,
            seq=self.next_seq,
            nth=length,
        )
        for edit in made.edits:
            self._add_row(edit.kind, ns, "", edit.list_id, edit.data)
        seq = self.next_seq
        base_seq = parent.base_seq if parent is not None and length > 1 else seq
        lists = [form.id for form in made.folded.values.values() if isinstance(form, LongList)]
        self._add_row(
            "checkpoint",
            ns,
            checkpoint.id,
            base_seq,
            made.data,
            lists=tuple(lists),
            input=made.input,
            run_id=checkpoint.metadata.get("run_id") if made.input is not None else None,
        )
        plain = _carried(parent, made.folded) if parent is not None and parent.plain else {}
        for channel in made.plain:
            form = made.folded.values[channel]
            assert isinstance(form, bytes), "a list with plain data in it is stored whole"
            plain[channel] = decode(form, self._types)
        checkpoint = made.as_read(checkpoint, plain, self._types)
        # What ran inside this namespace is over.
        inner = f"{ns}|" if ns else ""
        for other in [other for other in self._heads if other.startswith(inner)]:
            del self._heads[other]
        self._heads[ns] = Head(checkpoint, {}, made.folded, seq, base_seq, length, plain)

    def _append_writes(self, writes: PendingWrites) -> None:
        data, exact = encode_writes(writes, self._types)
        self._add_row("writes", writes.ns, writes.checkpoint_id, None, data)
        if not exact:
            writes = decode_writes(self._rows[-1], self._types)
        head = self._heads.get(writes.ns)
        if head is not None and head.checkpoint.id == writes.checkpoint_id:
            head.pending[writes.task_id] = writes
            head.seq = self.next_seq - 1

    def _add_row(
        self,
        kind: Literal["checkpoint", "writes", "list", "splice"],
        ns: str,
        checkpoint_id: str,
        base_seq: int | None,
        data: bytes,
        **more: Any,
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
                **more,
            )
        )
        self.next_seq += 1

    def _check(self) -> None:
        """Raise what a hand-over has failed with: from then on there would be a gap in the log."""
        self._reap()
        if self._failure is not None:
            raise self._failure

    def _reap(self) -> None:
        while self._commits and self._commits[0].done:
            error = self._commits.popleft().error
            self._failure = self._failure or error

    async def _settle(self, ns: str) -> None:
        """Make what was appended to a namespace visible to reads of storage."""
        if ns in self._unsaved:
            if not self._held:
                self.hand_over()
            await self._wait()


def _extend(operations: list[Operation], more: Sequence[Operation]) -> None:
    """Add records to those of the hand-over before, as one operation where that is possible."""
    last, first = operations[-1], more[0]
    if isinstance(last, AppendLog) and isinstance(first, AppendLog):
        operations[-1] = AppendLog(last.rows + first.rows, follows=last.follows)
    else:
        operations.extend(more)


def _carried(parent: Head, made: Folded) -> dict[str, Any]:
    """The plain values of channels that did not change."""
    return {
        channel: value
        for channel, value in parent.plain.items()
        if made.values.get(channel) is parent.folded.values[channel]
    }
