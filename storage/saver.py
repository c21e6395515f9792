"""Threads of a graph that is used alone, kept in a storage backend."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from greenroom.graph.checkpoint import Checkpoint, CheckpointLog, PendingWrites, Saved

from .contract import InsertThread
from .log import LogEnd, ThreadLog, read_end
from .records import Thread
from .session import StorageSession

__all__ = ["StorageSaver"]


@attrs.define(eq=False)
class _OpenedLog:
    """A thread's log that is opened by the first read, which every run begins with."""

    session: StorageSession
    thread_id: str
    _log: ThreadLog | None = None

    async def load(self, ns: str = "", checkpoint_id: str | None = None) -> Saved | None:
        return await (await self._opened()).load(ns, checkpoint_id)

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        return await (await self._opened()).history(ns, before=before, limit=limit)

    def append(self, record: Checkpoint | PendingWrites) -> None:
        assert self._log is not None, "a run reads its log before it writes"
        if self._log.next_seq == 1:
            thread = Thread(
                thread_id=self.thread_id,
                created_at=(now := getattr(record, "created_at", "")),
                updated_at=now,
                state_updated_at=now,
            )
            self.session.submit([InsertThread(thread)])
        self._log.append(record)

    def hand_over(self) -> None:
        if self._log is not None:
            self._log.hand_over()

    async def flush(self) -> None:
        if self._log is not None:
            await self._log.flush()

    async def _opened(self) -> ThreadLog:
        if self._log is None:
            end: LogEnd = await self.session.read(read_end, self.thread_id)
            self._log = ThreadLog.going_on(self.session, self.thread_id, end)
        return self._log


class StorageSaver:
    """A checkpointer over an open storage, for a graph that is used alone:

        async with StorageSession(SqliteStorage("graph.db")) as session:
            graph = builder.compile(checkpointer=StorageSaver(session))

    One run at a time on each thread is the caller's to see to; actors do it by themselves.
    """

    def __init__(self, session: StorageSession) -> None:
        self._session = session

    def log(self, thread_id: str, declared: Collection[type] = ()) -> CheckpointLog:
        """The log of a thread as storage has it; a new one is created with its first record.

        `declared`: the classes that stored objects may come back as, for all graphs on the session.
        """
        self._session.storage.types.declare(declared)
        return _OpenedLog(self._session, thread_id)
