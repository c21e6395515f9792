"""Runs that wait for their turn on a thread, some of them until it is time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import attrs

from greenroom.storage.records import Run

from .timers import is_delayed

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["RunQueue", "in_turn"]

_due = attrgetter("created_at")


@attrs.define(eq=False)
class RunQueue:
    """Runs in the order in which they start. One that is to start later takes its place behind the
    others when it is due; until then it is passed over.
    """

    house: Supervisor
    _runs: list[Run] = attrs.field(factory=list)
    _delayed: set[str] = attrs.field(init=False, factory=set)  # ids of those without a place yet

    @classmethod
    def of(cls, house: Supervisor, left: Sequence[Run]) -> RunQueue:
        """The runs that an earlier actor or process left, in order of arrival."""
        queue = cls(house, in_turn(left))
        now = house.world.timestamp()
        queue._delayed = {run.run_id for run in left if is_delayed(run, now)}
        queue.set_alarm()
        return queue

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def add(self, run: Run) -> None:
        """A run has arrived."""
        self.let_in_due()
        self._runs.append(run)
        if is_delayed(run, self.house.world.timestamp()):
            self._delayed.add(run.run_id)
            self.set_alarm()

    def replace(self, runs: Sequence[Run]) -> None:
        """The runs of the queue, in their order, as they are now."""
        self._runs[:] = runs

    def next(self) -> Run | None:
        """The run whose turn it is, taken out: one that was told to stop before all others."""
        self.let_in_due()
        stopped = (run for run in self._runs if run.stop is not None)
        ready = (run for run in self._runs if run.run_id not in self._delayed)
        run = next(stopped, None) or next(ready, None)
        if run is not None:
            self._runs.remove(run)
        return run

    def remove(self, run_id: str) -> Run | None:
        """The run of that id, taken out."""
        found = next((run for run in self._runs if run.run_id == run_id), None)
        if found is not None:
            self._runs.remove(found)
        return found

    def clear(self) -> None:
        self._runs.clear()

    def let_in_due(self) -> None:
        """Give the runs that are due their place behind those that have come meanwhile."""
        if not self._delayed:
            return
        now = self.house.world.timestamp()
        late = sorted(self._late(), key=_due)
        self._delayed = {run.run_id for run in late if is_delayed(run, now)}
        for run in late:
            if run.stop is None and run.run_id not in self._delayed:
                self._runs.remove(run)
                self._runs.append(run)

    def set_alarm(self) -> None:
        """Have the thread told when the first delayed run is due."""
        if late := self._late():
            self.house.alarms.set(min(late, key=_due))

    def _late(self) -> list[Run]:
        return [run for run in self._runs if run.run_id in self._delayed]


def in_turn(runs: Sequence[Run]) -> list[Run]:
    """Unfinished runs of a thread, given in order of arrival, in the order in which they start: one
    that was to start later comes behind those that had come before it was due."""
    late = [run for run in runs if "after_seconds" in run.kwargs and run.attempt == 0]
    order = [run for run in runs if run not in late]
    for run in sorted(late, key=_due):
        came_later = (
            at
            for at, other in enumerate(order)
            if other.attempt == 0 and other.created_at > run.created_at
        )
        order.insert(next(came_later, len(order)), run)
    return order
