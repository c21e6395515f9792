"""How long the events of resumable runs are kept."""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final

import attrs
import trio

from greenroom.storage import DeleteEvents, Storage
from greenroom.storage.sweeping import SweepLoop

from .events import SLICE

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["EVENT_TTL", "EventSweeper"]

EVENT_TTL: Final = 24 * 3600.0  # seconds
INTERVAL: Final = 60.0  # seconds


@attrs.define(eq=False)
class EventSweeper:
    """Deletes events that are older than `ttl` seconds, and none before.

    Events have no time of their own: at each look, every `INTERVAL` seconds while there are any,
    the id is noted that they have come to. Those of earlier processes are as old as this one.
    """

    supervisor: Supervisor
    ttl: float
    loop: SweepLoop = attrs.field(init=False)
    _noted: deque[tuple[float, int]] = attrs.field(init=False, factory=deque)

    def __attrs_post_init__(self) -> None:
        self.loop = SweepLoop(
            self.supervisor.session, Storage.oldest_event, self.sweep, INTERVAL, "events"
        )
        self._note()

    def _note(self) -> None:
        self._noted.append((trio.current_time(), self.supervisor.event_ids.last))

    async def run(self) -> None:
        if self.ttl < inf:
            await self.loop.run()

    async def sweep(self) -> None:
        self._note()
        expired = None
        while self._noted and self._noted[0][0] + self.ttl <= trio.current_time():
            _, expired = self._noted.popleft()
        if expired is None:
            return
        session = self.supervisor.session
        while (oldest := await session.read(Storage.oldest_event)) is not None:
            if oldest > expired:
                return
            await session.commit([DeleteEvents(expired + 1, SLICE)])
