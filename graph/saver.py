"""Threads of a graph that is used alone, kept in memory."""

from __future__ import annotations

from collections.abc import Collection
from itertools import dropwhile, islice

import attrs
import trio

from .checkpoint import Checkpoint, CheckpointLog, PendingWrites, Saved

__all__ = ["InMemorySaver"]


@attrs.define(eq=False)
class InMemoryLog:
    """A thread's checkpoints, oldest first, by namespace."""

    _checkpoints: dict[str, dict[str, Checkpoint]] = attrs.field(factory=dict)
    _pending: dict[tuple[str, str], dict[str, PendingWrites]] = attrs.field(factory=dict)

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        await trio.lowlevel.checkpoint()
        kept = self._checkpoints.get(ns, {})
        if checkpoint_id is None:
            checkpoint_id = next(reversed(kept), None)
        elif following:
            rest = dropwhile(lambda ident: ident != checkpoint_id, kept)
            checkpoint_id = next(islice(rest, 1, None), None)
        if checkpoint_id is None or checkpoint_id not in kept:
            return None
        return self._saved(kept[checkpoint_id])

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        await trio.lowlevel.checkpoint()
        kept = list(reversed(self._checkpoints.get(ns, {}).values()))
        if before is not None:
            ids = [checkpoint.id for checkpoint in kept]
            kept = kept[ids.index(before) + 1 :] if before in ids else []
        return [self._saved(checkpoint) for checkpoint in kept[:limit]]

    def append(self, record: Checkpoint | PendingWrites) -> None:
        if isinstance(record, Checkpoint):
            self._checkpoints.setdefault(record.ns, {})[record.id] = record
        else:
            self._pending.setdefault((record.ns, record.checkpoint_id), {})[record.task_id] = record

    def hand_over(self) -> None: ...

    async def flush(self) -> None:
        await trio.lowlevel.checkpoint()

    def _saved(self, checkpoint: Checkpoint) -> Saved:
        return Saved(checkpoint, dict(self._pending.get((checkpoint.ns, checkpoint.id), {})))


class InMemorySaver:
    """Keeps threads for as long as it lives: `compile(checkpointer=InMemorySaver())`."""

    def __init__(self) -> None:
        self._logs: dict[str, InMemoryLog] = {}

    def log(self, thread_id: str, declared: Collection[type] = ()) -> CheckpointLog:
        """The log of a thread; an empty one where it is new."""
        return self._logs.setdefault(thread_id, InMemoryLog())

    def delete_thread(self, thread_id: str) -> None:
        """Forget all of a thread. No run may be under way on it."""
        self._logs.pop(thread_id, None)

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await trio.lowlevel.checkpoint()
        self.delete_thread(thread_id)
