"""Clients that do what they like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import trio

from greenroom.actors import Closed, GreenroomError
from greenroom.storage import StorageError

from .caller import THOUGHTS
from .keeping import Keeping
from .looking import Looking
from .scheduling import Scheduling
from .stopping import Stopping

__all__ = ["SimulatedClient"]

PATIENCE: Final = (0, 0.001, 0.05, 0.5)  # seconds, of those who leave
FOREVER: Final = 10_000.0  # seconds


class SimulatedClient(Scheduling, Stopping, Keeping, Looking):
    """One after the other, whatever comes to its mind."""

    __slots__ = ()

    async def play(self, operations: int) -> None:
        kinds = [kind for kind in OPERATIONS if self.simulation.branches or kind != "fork"]
        weights = [OPERATIONS[kind] for kind in kinds]
        for _ in range(operations):
            await trio.sleep(self.random.choice(THOUGHTS))
            [kind] = self.random.choices(kinds, weights)
            await self._do(kind)

    async def _do(self, kind: str) -> None:
        thread_id = self.simulation.some_thread(self.random)
        patience = self.random.choice(PATIENCE) if self.random.random() < 0.15 else FOREVER
        operation: Callable[[str], Awaitable[Any]] = getattr(self, f"_{kind}")
        say = f"{self.name}: {kind} {thread_id[-4:]}"
        self._say(say)
        with trio.move_on_after(patience) as scope:
            try:
                answer = await operation(thread_id)
                self._say(f"{say} -> {answer}")
            except (Closed, StorageError) as error:
                self._say(f"{say}: it is not known, {type(error).__name__}")
            except GreenroomError as error:
                self._say(f"{say}: {type(error).__name__}: {error}")
        if scope.cancelled_caught:
            self._say(f"{say}: left")


# What they do, and how often.
OPERATIONS: Final[Mapping[str, int]] = {
    "create": 20,
    "burst": 10,
    "wait": 12,
    "stream": 10,
    "resume": 12,
    "fork": 8,
    "cron": 3,
    "change_cron": 2,
    "cancel": 10,
    "cancel_many": 2,
    "delete_run": 3,
    "make_thread": 2,
    "delete_thread": 1,
    "copy": 3,
    "edit": 5,
    "patch": 1,
    "prune": 1,
    "get_state": 4,
    "get_thread": 4,
    "list_runs": 3,
    "join": 4,
    "join_stream": 6,
    "follow_thread": 3,
}
