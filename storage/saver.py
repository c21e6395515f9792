"""Threads of a graph that is used alone, kept in a storage backend."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Final
from weakref import WeakKeyDictionary

import attrs

from greenroom.graph.checkpoint import Checkpoint, CheckpointLog, PendingWrites, Saved

from .contract import StorageError
from .log import ThreadLog
from .operations import DeleteThread, InsertThread
from .records import Thread
from .session import StorageSession

__all__ = ["StorageSaver"]

KEPT: Final = 256  # threads whose head stays in memory

# By session, and not by saver, so that all graphs that use it see the same heads.
_kept: WeakKeyDictionary[StorageSession, OrderedDict[str, ThreadLog]] = WeakKeyDictionary()


@attrs.define(eq=False)
class _OpenedLog:
    """A thread's log for one run, opened by the first read, which every run begins with."""

    session: StorageSession
    thread_id: str
    _log: ThreadLog | None = None
    _at: int = 0  # where the log has come to, as far as this run knows

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        return await (await self._opened()).load(ns, checkpoint_id, following=following)

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        return await (await self._opened()).history(ns, before=before, limit=limit)

    def append(self, record: Checkpoint | PendingWrites) -> None:
        assert self._log is not None, "a run reads its log before it writes"
        if self._log.next_seq != self._at:
            raise StorageError(
                f"Another run has written to thread {self.thread_id} since this one began"
            )
        self._log.append(record)
        if self._at == 1:
            now = getattr(record, "created_at", "")
            thread = Thread(
                thread_id=self.thread_id, created_at=now, updated_at=now, state_updated_at=now
            )
            self._log.precede(InsertThread(thread))
        self._at = self._log.next_seq

    def hand_over(self) -> None:
        if self._log is not None:
            self._log.hand_over()

    async def flush(self) -> None:
        if self._log is not None:
            await self._log.flush()
            if packs := self._log.packs():  # nothing is rolled back here
                self.session.submit(packs)

    async def _opened(self) -> ThreadLog:
        if self._log is None:
            kept = _kept.setdefault(self.session, OrderedDict())
            log = kept.get(self.thread_id)
            if log is None or not log.sound:
                log = await ThreadLog.open(self.session, self.thread_id)
            kept[self.thread_id] = log
            kept.move_to_end(self.thread_id)
            if len(kept) > KEPT:
                kept.popitem(last=False)
            self._log, self._at = log, log.next_seq
        return self._log


class StorageSaver:
    """A checkpointer over an open storage, for a graph that is used alone:

        async with StorageSession(SqliteStorage("graph.db")) as session:
            graph = builder.compile(checkpointer=StorageSaver(session))

    One run at a time on each thread is the caller's to see to (a second one fails with StorageError
    when it writes); actors do it by themselves.
    """

    def __init__(self, session: StorageSession) -> None:
        self._session = session

    def log(self, thread_id: str, declared: Collection[type] = ()) -> CheckpointLog:
        """The log of a thread as storage has it; a new one is created with its first record.

        `declared`: the classes that stored objects may come back as, for all graphs on the session.
        """
        self._session.storage.types.declare(declared)
        return _OpenedLog(self._session, thread_id)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread with all that belongs to it. No run may be under way on it. Raises
        StorageError."""
        _kept.get(self._session, OrderedDict()).pop(thread_id, None)
        await self._session.commit([DeleteThread(thread_id)])
