"""The line of a thread that a run goes on, among those that forks have left on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import trio

from .checkpoint import Checkpoint, CheckpointReader, Planned, Saved

if TYPE_CHECKING:
    from .attempt import Task

__all__ = ["Line", "Turns", "newest"]

_PAGE = 20  # checkpoints looked at in one go
_EDITS = ("update", "fork")


@attrs.define(eq=False)
class Turns:
    """The order of tasks side by side whose node is one graph that remembers: one after the
    other."""

    _before: dict[Planned, trio.Event] = attrs.field(factory=dict)
    _over: dict[Planned, trio.Event] = attrs.field(factory=dict)

    @classmethod
    def of(cls, tasks: Sequence[Task]) -> Turns | None:
        """None where there is nothing to wait for, as nearly always."""
        last: dict[str, Planned] = {}
        turns = cls()
        for task in tasks:
            planned, graph = task.planned, task.node.subgraph
            if graph is None or graph.checkpointer is not True:
                continue
            if planned.node in last:
                turns._before[planned] = turns._over[last[planned.node]] = trio.Event()
            last[planned.node] = planned
        return turns if turns._over else None

    async def wait(self, task: Task) -> None:
        if (before := self._before.get(task.planned)) is not None:
            await before.wait()

    def end(self, task: Task) -> None:
        if (over := self._over.get(task.planned)) is not None:
            over.set()


@attrs.define(eq=False)
class Line:
    """What graphs that remember (`checkpointer=True`) may know in a run.

    `start`: the checkpoint of the graph around them that the run starts from, None on a new thread.
    `branches`: whether others have followed it already; what came of those is of another line.
    `goes_on`: whether the run is in the midst of a turn. `around`: the line of the graph around
    that one, where it has not been forked itself in this turn.
    """

    log: CheckpointReader
    start: Checkpoint | None
    branches: bool = False
    goes_on: bool = False
    around: Line | None = None
    _seen: set[str] = attrs.field(factory=set)
    _locks: dict[str, trio.Lock] = attrs.field(factory=dict)

    def lock(self, ns: str) -> trio.Lock:
        """For one at a time: tasks side by side may call the same graph, which remembers once."""
        return self._locks.setdefault(ns, trio.Lock())

    def found(self, ns: str) -> None:
        """A graph goes on where it was, so that its newest checkpoint is of this line."""
        self._seen.add(ns)

    async def remembered(self, ns: str) -> Saved | None:
        """The checkpoint that a graph starts a new turn from."""
        fork = None if ns in self._seen else await self._fork()
        self._seen.add(ns)
        if fork is None:
            return await self.log.load(ns)
        return await newest(self.log, ns, fork.is_before)

    async def _fork(self) -> _Fork | None:
        """Where other lines leave this one; None where there are none."""
        at = self.start
        if at is None:
            return None
        if self.branches:
            return _Fork(at.ns, (await self._origin(at)).id)
        since = set()
        while at.parent_id is not None and (at.source in _EDITS or self.goes_on):
            if at.source == "input":
                break
            since.add(at.id)
            if at.source in _EDITS:
                before = await self.log.history(at.ns, before=at.id, limit=1)
                if not before or before[0].checkpoint.id != at.parent_id:
                    return _Fork(at.ns, (await self._origin(at)).id, since)
            saved = await self.log.load(at.ns, at.parent_id)
            if saved is None:
                break
            at = saved.checkpoint
        return None if self.around is None else await self.around._fork()

    async def _origin(self, at: Checkpoint) -> Checkpoint:
        """The checkpoint that an edited one was made of."""
        while at.source in _EDITS and at.parent_id is not None:
            saved = await self.log.load(at.ns, at.parent_id)
            if saved is None:
                break
            at = saved.checkpoint
        return at


@attrs.frozen
class _Fork:
    """`origin`: the last checkpoint of a namespace that lines have in common; `since`: those of
    this line."""

    ns: str
    origin: str
    since: Collection[str] = ()

    def is_before(self, saved: Saved) -> bool:
        """Whether a checkpoint of a graph inside is of this line."""
        checkpoint = saved.checkpoint
        parents: Mapping[str, str] = checkpoint.metadata.get("parents", {})
        return checkpoint.id < self.origin or parents.get(self.ns) in self.since


async def newest(log: CheckpointReader, ns: str, fits: Callable[[Saved], bool]) -> Saved | None:
    """The newest checkpoint of a namespace that fits."""
    before: str | None = None
    while page := await log.history(ns, before=before, limit=_PAGE):
        for saved in page:
            if fits(saved):
                return saved
        before = page[-1].checkpoint.id
    return None
