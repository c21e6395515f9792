"""Records that are put together before any of them is appended."""

from __future__ import annotations

import attrs
import trio

from ..checkpoint import Checkpoint, CheckpointReader, PendingWrites, Saved

__all__ = ["Draft"]


@attrs.frozen
class Draft:
    """A log whose new records are kept, in order, for somebody to append once all of them are
    there. It reads its own."""

    log: CheckpointReader
    records: list[Checkpoint | PendingWrites] = attrs.field(factory=list)

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        for record in () if following else reversed(self.records):
            if not isinstance(record, Checkpoint) or record.ns != ns:
                continue
            if checkpoint_id in (None, record.id):
                return Saved(record, self._pending(record.id))
        saved = await self.log.load(ns, checkpoint_id, following=following)
        if saved is None:
            return None
        return Saved(saved.checkpoint, {**saved.pending, **self._pending(saved.checkpoint.id)})

    def _pending(self, checkpoint_id: str) -> dict[str, PendingWrites]:
        return {
            record.task_id: record
            for record in self.records
            if isinstance(record, PendingWrites) and record.checkpoint_id == checkpoint_id
        }

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        return await self.log.history(ns, before=before, limit=limit)

    def append(self, record: Checkpoint | PendingWrites) -> None:
        self.records.append(record)

    def hand_over(self) -> None:
        """They are not in storage before all are there."""

    async def flush(self) -> None:
        await trio.lowlevel.checkpoint()
