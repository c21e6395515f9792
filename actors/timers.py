"""Runs that start later: what wakes their threads."""

from __future__ import annotations

from datetime import datetime
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING, NoReturn

import attrs
import trio

from .mailbox import Due

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["Alarms"]


@attrs.define(eq=False)
class Alarms:
    """Tells threads when a run of theirs is due: one alarm a thread, for the first of them."""

    supervisor: Supervisor
    _times: dict[str, float] = attrs.field(init=False, factory=dict)  # by thread, on trio's clock
    # With those that were set to an earlier time since.
    _heap: list[tuple[float, str]] = attrs.field(init=False, factory=list)
    _sooner: trio.Event = attrs.field(init=False, factory=trio.Event)

    def set(self, thread_id: str, due: str) -> None:
        """Wake a thread when a run of it is due, or earlier if that was set before."""
        wait = datetime.fromisoformat(due) - self.supervisor.world.now()
        at = trio.current_time() + wait.total_seconds()
        if at >= self._times.get(thread_id, inf):
            return
        self._times[thread_id] = at
        heappush(self._heap, (at, thread_id))
        if self._heap[0] == (at, thread_id):
            self._sooner.set()

    async def run(self) -> NoReturn:
        while True:
            self._sooner = trio.Event()
            with trio.move_on_at(self._heap[0][0] if self._heap else inf):
                await self._sooner.wait()
            while self._heap and self._heap[0][0] <= trio.current_time():
                at, thread_id = heappop(self._heap)
                if self._times.get(thread_id) == at:
                    del self._times[thread_id]
                    self.supervisor.tell(thread_id, Due())
