"""Storage that is slow, fails, or dies with its process, as the dice have it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final, TypeVar

import attrs
import trio

from greenroom.storage import Lease, Operation, Storage, StorageAway, StorageError
from greenroom.storage.testing import FaultyStorage
from greenroom.storage.testing.faults import Point

__all__ = ["Profile", "SimulatedStorage", "profile_of"]

T = TypeVar("T")

DELAYS: Final = (0, 0, 0, 0.001, 0.005, 0.2)  # seconds
POINTS: Final[tuple[Point, ...]] = ("before", "middle", "after")


@attrs.frozen
class Profile:
    """How likely it is, at each call, that storage is slow, fails, dies, or cannot be reached; and
    how often the process dies or is restarted at any other time, or another takes its lease."""

    slow: float = 0.0
    fails: float = 0.0
    read_fails: float = 0.0
    dies: float = 0.0
    away: float = 0.0
    restarts: int = 0
    take_overs: int = 0


def profile_of(random: Random) -> Profile:
    return random.choice(
        (
            Profile(),
            Profile(slow=0.5),
            Profile(slow=0.3, restarts=2),
            Profile(slow=0.2, fails=0.03),
            Profile(slow=0.2, fails=0.03, read_fails=0.03),
            Profile(slow=0.3, dies=0.02),
            Profile(slow=0.3, dies=0.05, restarts=1),
            Profile(slow=0.3, away=0.05),
            Profile(slow=0.3, take_overs=2),
            Profile(slow=0.3, fails=0.02, dies=0.02, away=0.02, take_overs=1),
            Profile(slow=0.3, fails=0.02, read_fails=0.01, dies=0.02, away=0.02, restarts=1),
        )
    )


class SimulatedStorage(FaultyStorage):
    """What one process has of the storage. `unread`: called when a read is refused; `died`: when
    the process is to be dead.
    `lasts`: how many seconds a lease lasts that nobody renews. `taken`: another has it."""

    def __init__(
        self,
        storage: Storage,
        random: Random,
        profile: Profile,
        seen: Callable[[Storage, Sequence[Operation]], None],
        unread: Callable[[], None],
        died: Callable[[], None],
        lasts: float | None = None,
    ) -> None:
        super().__init__(storage, blocking=True)
        self.profile = profile
        self._random = random
        self._seen = seen
        self._unread = unread
        self._died = died
        self._lasts = lasts
        self.taken = False
        self.plan("read", self._read, times=None)

    def acquire_lease(self, owner: str) -> Lease:
        return attrs.evolve(super().acquire_lease(owner), lasts=self._lasts)

    def be_taken_over(self) -> None:
        """The lease has run out, and the process has not noticed."""
        self.taken = True
        self.storage.close()

    def close(self) -> None:
        if not self.taken:  # what it holds is another's by then
            super().close()

    def settle(self) -> None:
        """Nothing goes wrong from now on."""
        self.profile = Profile()

    def die(self) -> None:
        """Nothing is stored any more, and nothing answered."""
        self.crashed.set()
        self._died()

    async def run_blocking(self, function: Callable[..., T], *args: Any) -> T:
        """Make a call, on the loop. Like one in a thread it is not broken off."""
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(shield=True):
            await self._wait()
            if function != self.close and self._strikes(self.profile.away):
                raise StorageAway("the storage is not there")
            try:
                made = function(*args)
            finally:
                await self._wait()
        return made

    def commit(
        self, groups: Sequence[Sequence[Operation]], epoch: int
    ) -> list[StorageError | None]:
        if not groups:
            return super().commit(groups, epoch)
        answers: list[StorageError | None] = []
        for group in groups:
            applied = len(self.applied)
            if group:
                self._throw()
            try:
                answers += super().commit([group], epoch)
            finally:
                if len(self.applied) > applied:
                    self._seen(self.storage, group)
                if self.crashed.is_set():
                    self._died()
        return answers

    async def _wait(self) -> None:
        if self._strikes(self.profile.slow):
            await trio.sleep(self._random.choice(DELAYS))

    def _strikes(self, chance: float) -> bool:
        return chance > 0 and self._random.random() < chance

    def _throw(self) -> None:
        if self._strikes(self.profile.dies):
            self.crash(self._random.choice(POINTS))
        elif self._strikes(self.profile.fails):
            self.fail(self._random.choice(POINTS))

    def _read(self) -> None:
        if self._strikes(self.profile.read_fails):
            self._unread()
            raise StorageError("the disk cannot be read")
