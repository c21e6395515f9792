"""What a log does not get to see: the channels that checkpoints do not have."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs

from .checkpoint import Checkpoint, CheckpointLog, PendingWrites, Planned, Saved
from .control import Send

__all__ = ["TrackedLog"]


@attrs.frozen
class TrackedLog:
    """A `CheckpointLog` that leaves `untracked` keys out of what it appends to `log`."""

    log: CheckpointLog
    untracked: Collection[str]

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        return await self.log.load(ns, checkpoint_id, following=following)

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        return await self.log.history(ns, before=before, limit=limit)

    def append(self, record: Checkpoint | PendingWrites) -> None:
        if isinstance(record, Checkpoint):
            self.log.append(self._checkpoint(record))
        else:
            self.log.append(self._writes(record))

    def hand_over(self) -> None:
        self.log.hand_over()

    async def flush(self) -> None:
        await self.log.flush()

    def _checkpoint(self, made: Checkpoint) -> Checkpoint:
        return attrs.evolve(
            made,
            values=self._without(made.values),
            changed=tuple(key for key in made.changed if key not in self.untracked),
            next=tuple(self._planned(task) for task in made.next),
        )

    def _writes(self, made: PendingWrites) -> PendingWrites:
        writes = made.writes
        if writes is not None:
            writes = tuple(pair for pair in writes if pair[0] not in self.untracked)
        goto = tuple(
            Send(to.node, self._arg(to.arg)) if isinstance(to, Send) else to for to in made.goto
        )
        return attrs.evolve(made, writes=writes, goto=goto)

    def _planned(self, task: Planned) -> Planned:
        return attrs.evolve(task, arg=self._arg(task.arg)) if task.takes_arg else task

    def _arg(self, arg: Any) -> Any:
        return self._without(arg) if type(arg) is dict else arg

    def _without(self, values: Any) -> dict[str, Any]:
        return {key: value for key, value in values.items() if key not in self.untracked}
