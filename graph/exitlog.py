"""A log that keeps only where a run ended up: durability `exit`."""

from __future__ import annotations

import attrs

from .checkpoint import Checkpoint, CheckpointLog, PendingWrites, Saved

__all__ = ["ExitLog"]


@attrs.define(eq=False)
class ExitLog:
    """A `CheckpointLog` that holds records back until `settle()` or `flush()`, and then appends the
    last ones to the log behind it."""

    behind: CheckpointLog
    _checkpoints: dict[str, Checkpoint] = attrs.field(factory=dict)  # by namespace
    _writes: dict[tuple[str, str], PendingWrites] = attrs.field(factory=dict)  # and by task

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        held = self._checkpoints.get(ns)
        if following or held is None or checkpoint_id not in (None, held.id):
            saved = await self.behind.load(ns, checkpoint_id, following=following)
        else:
            saved = Saved(held)
        if saved is None:
            return None
        at = saved.checkpoint.id
        later = {
            task: record
            for (where, task), record in self._writes.items()
            if where == ns and record.checkpoint_id == at
        }
        return attrs.evolve(saved, pending={**saved.pending, **later})

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        return await self.behind.history(ns, before=before, limit=limit)

    def append(self, record: Checkpoint | PendingWrites) -> None:
        if isinstance(record, PendingWrites):
            self._writes[record.ns, record.task_id] = record
            return
        held = self._checkpoints.get(record.ns)
        if held is not None:
            # It takes the place of the one held: from the same parent, with the changes of both.
            changed = tuple(dict.fromkeys((*held.changed, *record.changed)))
            record = attrs.evolve(
                record, parent_id=held.parent_id, changed=changed, results=(), tried=()
            )
        self._checkpoints[record.ns] = record
        self._writes = {key: kept for key, kept in self._writes.items() if key[0] != record.ns}

    def hand_over(self) -> None: ...

    async def flush(self) -> None:
        self.settle()
        await self.behind.flush()

    def settle(self) -> None:
        """Append what the run has come to, outer graphs first."""
        for ns in sorted(self._checkpoints, key=len):
            self.behind.append(self._checkpoints[ns])
        for record in self._writes.values():
            self.behind.append(record)
        self._checkpoints, self._writes = {}, {}
