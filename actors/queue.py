"""Runs that wait for their turn on a thread, some of them until it is time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from operator import attrgetter
from typing import TYPE_CHECKING

import attrs

from greenroom.storage.records import Run

from .joining import due_times, is_to_wait, merges, sent_at, steers

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["RunQueue", "in_turn"]

_seq = attrgetter("seq")


@attrs.define(eq=False)
class RunQueue:
    """Runs in the order in which they start. One that is to start later takes its place behind the
    others when it is due; until then it is passed over.
    """

    supervisor: Supervisor
    _runs: list[Run] = attrs.field(factory=list)
    _delayed: dict[str, str] = attrs.field(init=False, factory=dict)  # when they are due, by id

    @classmethod
    def of(cls, supervisor: Supervisor, left: Sequence[Run]) -> RunQueue:
        """The runs that an earlier actor or process left, in order of arrival."""
        queue = cls(supervisor)
        queue.put_back(left)
        return queue

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def add(self, run: Run) -> None:
        """A run has arrived."""
        self.let_in_due()
        self._runs.append(run)
        if is_to_wait(run):
            self._look()
            self.set_alarm()

    def put_back(self, runs: Sequence[Run]) -> None:
        """Runs that wait again, among the others as if they had never been away."""
        if not runs:
            return
        self._runs = sorted([*self._runs, *runs], key=_seq)
        self._runs = in_turn(self._runs, self._due())
        self._look()
        self.set_alarm()

    def replace(self, runs: Sequence[Run]) -> None:
        """The runs of the queue, in their order, as they are now."""
        self._runs[:] = runs

    def next(self) -> list[Run]:
        """The run whose turn it is, with those behind it that it becomes one with, taken out; empty
        if there is none. One that was told to stop comes before all others, and alone; when the
        runtime is to be left, only such."""
        self.let_in_due()
        stops = [run for run in self._runs if run.stop is not None]
        # First the one that was under way in an earlier process: what others bring comes after it.
        stopped = next((run for run in stops if run.attempt > 0), next(iter(stops), None))
        if stopped is not None:
            self._runs.remove(stopped)
            return [stopped]
        ready = [] if self.supervisor.draining else self._ready()
        group = [*ready[:1], *takewhile(lambda run: self._together(ready[0], run), ready[1:])]
        for run in group:
            self._runs.remove(run)
        return group

    def steering(self, host: Run) -> list[Run]:
        """Those that may become part of the run under way, in the order of their turns."""
        if not any(run.multitask_strategy == "steer" for run in self._runs):
            return []
        self.let_in_due()
        return [run for run in self._ready() if steers(host, run) and self._has_turns(run)]

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
        due = self._delayed
        late = sorted((run for run in self._runs if run.run_id in due), key=lambda r: due[r.run_id])
        self._look()
        for run in late:
            if run.stop is None and run.run_id not in self._delayed:
                self._runs.remove(run)
                self._runs.append(run)

    def set_alarm(self) -> None:
        """Have the thread told when the first delayed run is due."""
        late = [run for run in self._runs if run.run_id in self._delayed]
        if late:
            self.supervisor.alarms.set(
                late[0].thread_id, min(self._delayed[r.run_id] for r in late)
            )

    def _look(self) -> None:
        """Which runs are not due yet: one that is may have to wait on for another that has come."""
        now = self.supervisor.world.timestamp()
        self._delayed = {ident: due for ident, due in self._due().items() if due > now}

    def _due(self) -> dict[str, str]:
        return due_times(self._runs, self._together)

    def _ready(self) -> list[Run]:
        return [run for run in self._runs if run.run_id not in self._delayed]

    def _together(self, first: Run, second: Run) -> bool:
        return merges(first, second) and self._has_turns(first)

    def _has_turns(self, run: Run) -> bool:
        """Whether the run's graph has a state that an input becomes part of."""
        graph = self.supervisor.graphs.get(run.metadata["graph_id"])
        return graph is not None and graph.has_turns


def in_turn(runs: Sequence[Run], due: Mapping[str, str]) -> list[Run]:
    """Unfinished runs of a thread, given in order of arrival, in the order in which they start: the
    one that was under way goes on first, and one that was to start later comes behind those that
    had come before it was due. `due`: when those are that have not started, by id.
    """
    # One that becomes one with others may have come when they were due already, and waits as it is.
    late = {run.run_id for run in runs if due.get(run.run_id, "") > sent_at(run)}
    when = {
        run.run_id: (due[run.run_id] if run.run_id in late else sent_at(run), run.seq)
        for run in runs
    }
    order = [run for run in runs if run.run_id not in late]
    order.sort(key=lambda run: run.attempt == 0)
    waited = [run for run in runs if run.run_id in late]
    for run in sorted(waited, key=lambda run: when[run.run_id]):
        came_later = (
            at
            for at, other in enumerate(order)
            if other.attempt == 0 and not other.stop and when[other.run_id] > when[run.run_id]
        )
        order.insert(next(came_later, len(order)), run)
    return order
