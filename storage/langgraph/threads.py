"""The threads of LangGraph programs in the log: how they are appended to, read and written anew.

In each namespace the log has the checkpoints in the order in which LangGraph wants them listed.
Nearly always that is the order in which they come; where it is not, the thread's log is written
anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final
from weakref import WeakKeyDictionary

import attrs
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

from ..blocking import BlockingSession, Group
from ..codec import Types
from ..contract import Storage
from ..errors import StorageError
from ..operations import AppendLog, DeleteThread, InsertThread, Operation, TruncateLog
from ..queries import ThreadQuery
from ..records import OF_LANGGRAPH, LogRow, Thread
from ..unfolded import Unfolded, unfold
from .histories import ChannelHistory, by_namespace, entries, standing_alone, walked
from .stored import (
    Head,
    Stored,
    metadata_of,
    rows_of,
    to_stored,
    write_row,
)

__all__ = ["PAGE", "SavedThreads", "is_of_runs"]

PAGE: Final = 20  # checkpoints read at a time
KEPT: Final = 256  # threads whose heads stay in memory


@attrs.define
class _Thread:
    """Where the log of a thread has come to, commits under way included."""

    exists: bool
    next_seq: int
    heads: dict[str, Head | None] = attrs.field(factory=dict)


@attrs.define(eq=False)
class _Known:
    """What is known of the threads on a session. `lock`: around what is appended, so that it is in
    the order of the log. `epoch`: of the lease that it was learnt under."""

    lock: Lock = attrs.field(factory=Lock)
    epoch: int = 0
    threads: OrderedDict[str, _Thread] = attrs.field(factory=OrderedDict)


# By session, and not by saver, so that all savers on it know the same.
_known: Final[WeakKeyDictionary[BlockingSession, _Known]] = WeakKeyDictionary()
_knowing: Final = Lock()


class SavedThreads:
    """The threads on a session. Any number of Python threads may call at the same time."""

    def __init__(self, session: BlockingSession) -> None:
        self._session = session
        with _knowing:
            self._known = _known.setdefault(session, _Known())

    @property
    def _storage(self) -> Storage:
        return self._session.opened

    @property
    def types(self) -> Types:
        return self._session.storage.types

    # Reading

    def read(self, thread_id: str, ns: str, checkpoint_id: str | None) -> Unfolded | None:
        """A checkpoint, the newest where no id is given."""
        page = self._storage.read_checkpoint(thread_id, ns, checkpoint_id)
        return None if page is None else unfold(page)[0]

    def history(
        self, thread_id: str, ns: str, before: str | None = None, page: int = PAGE
    ) -> Iterator[Unfolded]:
        """The checkpoints of a namespace, newest first. `before`: older ones than this; where it is
        one of another namespace, those whose ids are lower."""
        lower = before is not None and self._storage.read_checkpoint(thread_id, ns, before) is None
        after = None if lower else before
        while found := unfold(self._storage.read_history(thread_id, ns, before=after, limit=page)):
            for one in found:
                if not lower or before is None or one.row.checkpoint_id < before:
                    yield one
            after = found[-1].row.checkpoint_id

    def ids(self) -> list[str]:
        """Of all threads that are LangGraph's, newest first."""
        found = self._storage.search_threads(ThreadQuery(metadata=OF_LANGGRAPH, limit=None))
        return [thread.thread_id for thread in found]

    def namespaces(self, thread_id: str) -> list[str]:
        rows = self._storage.read_log(thread_id)
        return sorted({row.ns for row in rows if row.kind == "checkpoint"})

    def channel_histories(
        self, thread_id: str, ns: str, checkpoint_id: str | None, channels: Collection[str]
    ) -> dict[str, ChannelHistory]:
        """What channels are made of at a checkpoint: see `ChannelHistory`."""
        one = self.read(thread_id, ns, checkpoint_id)
        if one is None:
            return {channel: ChannelHistory() for channel in channels}
        near: dict[str, Unfolded] = {}
        size = PAGE

        def find(child: Unfolded, parent_id: str) -> Unfolded | None:
            nonlocal size
            if parent_id not in near:
                page = self._storage.read_history(
                    thread_id, ns, before=child.row.checkpoint_id, limit=size
                )
                size *= 2  # who has gone this far often goes further
                near.clear()
                near.update((one.row.checkpoint_id, one) for one in unfold(page))
            return near.get(parent_id) or self.read(thread_id, ns, parent_id)

        return walked(one, channels, find)

    # Writing

    def put(
        self,
        thread_id: str,
        ns: str,
        parent_id: str | None,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> None:
        """Add a checkpoint durably; one of the same id is replaced."""
        with self._known.lock:
            thread = self._opened(thread_id)
            head = self._head(thread_id, thread, ns)
            stored = to_stored(checkpoint, metadata, new_versions, ns, parent_id, head, self.types)
            if self._comes_last(thread_id, stored, head):
                rows, head = rows_of(stored, thread_id, thread.next_seq, head)
                # What ran inside this namespace is over.
                inner = f"{ns}|" if ns else ""
                for other in [other for other in thread.heads if other.startswith(inner)]:
                    del thread.heads[other]
                thread.heads[ns] = head
                group = self._append(thread_id, thread, rows, head.packs(thread_id))
            else:
                group = self._put_into_place(thread_id, attrs.evolve(stored, values=_whole(stored)))
        self._finish(thread_id, group)

    def put_writes(
        self,
        thread_id: str,
        ns: str,
        checkpoint_id: str,
        writes: Sequence[tuple[str, Any]],
        task: tuple[str, str],
    ) -> None:
        """Add what a task wrote durably. `task`: its id and its path."""
        with self._known.lock:
            thread = self._opened(thread_id)
            row = write_row(thread_id, ns, checkpoint_id, thread.next_seq, writes, task, self.types)
            group = self._append(thread_id, thread, [row])
        self._finish(thread_id, group)

    def delete(self, thread_id: str) -> None:
        with self._known.lock:
            self._known.threads.pop(thread_id, None)
            group = self._session.submit([DeleteThread(thread_id)])
        self._finish(thread_id, group)

    def copy(self, source: str, target: str) -> None:
        """A new thread with all that another one has.

        Raises StorageError where there is no `source`, or a `target` already.
        """
        with self._known.lock:
            if not self._opened(source).exists:
                raise StorageError(f"There is no thread {source!r} to copy")
            if self._opened(target).exists:
                raise StorageError(f"Thread {target!r} exists already")
            self._known.threads.pop(target)
            rows = [attrs.evolve(row, thread_id=target) for row in self._settled(source)]
            group = self._session.submit([InsertThread(_new(target)), AppendLog(tuple(rows))])
        self._finish(target, group)

    def keep(self, thread_id: str, wanted: Callable[[Sequence[Unfolded]], Collection[str]]) -> None:
        """Forget checkpoints with their writes. `wanted`: of those of a namespace, oldest first,
        the ids of the ones to keep. What delta channels take from forgotten ones is kept."""
        with self._known.lock:
            if not self._opened(thread_id).exists:
                return
            log = self._settled(thread_id)
            kept: list[Stored | LogRow] = []
            gone: set[tuple[str, str]] = set()
            for ns, all_of in by_namespace(log).items():
                ids = set(wanted(all_of))
                gone |= {(ns, one.row.checkpoint_id) for one in all_of} - {(ns, i) for i in ids}
            if not gone:
                return
            for entry in entries(log):
                if isinstance(entry, LogRow):
                    if (entry.ns, entry.checkpoint_id) not in gone:
                        kept.append(entry)
                elif (entry.row.ns, entry.row.checkpoint_id) not in gone:
                    kept.append(standing_alone(entry, log, gone))
            group = self._write_anew(thread_id, kept)
        self._finish(thread_id, group)

    def _opened(self, thread_id: str) -> _Thread:
        if self._known.epoch != self._session.epoch:  # others may have written in between
            self._known.threads.clear()
            self._known.epoch = self._session.epoch
        thread = self._known.threads.get(thread_id)
        if thread is None:
            self._session.flush()
            storage = self._storage
            record = storage.get_thread(thread_id)
            if record is not None and not OF_LANGGRAPH.items() <= record.metadata.items():
                raise StorageError(f"Thread {thread_id} was made by Greenroom, not by LangGraph")
            thread = _Thread(record is not None, storage.last_log_seq(thread_id) + 1)
            self._known.threads[thread_id] = thread
            if len(self._known.threads) > KEPT:
                self._known.threads.popitem(last=False)
        self._known.threads.move_to_end(thread_id)
        return thread

    def _head(self, thread_id: str, thread: _Thread, ns: str) -> Head | None:
        if ns not in thread.heads:
            self._session.flush()
            one = self.read(thread_id, ns, None) if thread.exists else None
            thread.heads[ns] = None if one is None else Head.of(one)
        return thread.heads[ns]

    def _comes_last(self, thread_id: str, stored: Stored, head: Head | None) -> bool:
        if head is None or stored.id > head.id:
            return True
        # The clock may have gone back: what follows the newest is the newest.
        if stored.id == head.id or stored.parent_id != head.id:
            return False
        self._session.flush()
        return self.read(thread_id, stored.ns, stored.id) is None

    def _append(
        self,
        thread_id: str,
        thread: _Thread,
        rows: Sequence[LogRow],
        packs: Sequence[Operation] = (),
    ) -> Group:
        first: list[Operation] = [] if thread.exists else [InsertThread(_new(thread_id))]
        append = AppendLog(tuple(rows), follows=thread.next_seq - 1)
        group = self._session.submit([*first, append, *packs])
        thread.exists = True
        thread.next_seq += len(rows)
        return group

    def _finish(self, thread_id: str, group: Group) -> None:
        try:
            self._session.wait(group)
        except BaseException:
            with self._known.lock:  # what is in memory is not what is in storage
                self._known.threads.pop(thread_id, None)
            raise

    def _settled(self, thread_id: str) -> list[LogRow]:
        """The whole log, commits under way included."""
        self._session.flush()
        return self._storage.read_log(thread_id)

    def _put_into_place(self, thread_id: str, stored: Stored) -> Group:
        """In place of the one of its id, or else before the first with a higher one."""
        made: list[Stored | LogRow] = [
            entry if isinstance(entry, LogRow) else Stored.of(entry)
            for entry in entries(self._settled(thread_id))
        ]
        others = [
            (at, entry.id)
            for at, entry in enumerate(made)
            if isinstance(entry, Stored) and entry.ns == stored.ns
        ]
        for at, checkpoint_id in others:
            if checkpoint_id == stored.id:
                made[at] = stored
                break
        else:
            made.insert(next(at for at, higher in others if higher > stored.id), stored)
        return self._write_anew(thread_id, made)

    def _write_anew(self, thread_id: str, made_of: Sequence[Stored | LogRow]) -> Group:
        heads: dict[str, Head] = {}
        rows: list[LogRow] = []
        for entry in made_of:
            if isinstance(entry, LogRow):
                rows.append(attrs.evolve(entry, seq=len(rows) + 1))
                continue
            made, heads[entry.ns] = rows_of(entry, thread_id, len(rows) + 1, heads.get(entry.ns))
            rows += made
        self._known.threads.pop(thread_id, None)
        append = [AppendLog(tuple(rows), follows=0)] if rows else []
        return self._session.submit([TruncateLog(thread_id, 1), *append])


def _new(thread_id: str) -> Thread:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return Thread(
        thread_id=thread_id,
        created_at=now,
        updated_at=now,
        state_updated_at=now,
        metadata=OF_LANGGRAPH,
    )


def _whole(stored: Stored) -> dict[str, bytes]:
    return {
        name: value if isinstance(value, bytes) else value.raw
        for name, value in stored.values.items()
    }


def is_of_runs(one: Unfolded, run_ids: Collection[str], types: Types) -> bool:
    """Whether one of these runs made a checkpoint."""
    return metadata_of(one, types).get("run_id") in run_ids
