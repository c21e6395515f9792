"""The world outside a run: clock, ids, randomness, blocking calls.

It is handed in, so that a test can turn time and a simulation can replay a seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import ContextVar, Token
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import attrs
import trio
import uuid_utils

__all__ = ["World", "current_world", "entered_world", "world_of_program"]

T = TypeVar("T")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANDOM = random.Random()  # seeding one takes as long as running a node


@attrs.define
class World:
    """Wall time that follows trio's clock, time-ordered ids, randomness, and worker threads.

    `threads`: how many plain `def` nodes may run at once (default 40).
    """

    threads: int = 40
    random: random.Random = _RANDOM
    _limiter: trio.CapacityLimiter | None = attrs.field(init=False, default=None)
    _wall: datetime | None = attrs.field(init=False, default=None)
    _started: float = attrs.field(init=False, default=0.0)
    _began: int = attrs.field(init=False, default=0)  # `_wall` in microseconds since 1970
    _second: int = attrs.field(init=False, default=-1)  # the one that `_shown` shows
    _shown: str = attrs.field(init=False, default="")

    def now(self) -> datetime:
        """The time in UTC. Moves with trio's clock, so that `MockClock` turns it."""
        return self.at(trio.current_time())

    def at(self, time: float) -> datetime:
        """The time in UTC when trio's clock showed `time`; after `now()`, from any thread."""
        if self._wall is None:
            self._wall, self._started = datetime.now(UTC), trio.current_time()
            self._began = (self._wall - _EPOCH) // timedelta(microseconds=1)
        return self._wall + timedelta(seconds=time - self._started)

    def timestamp(self) -> str:
        """`now()` as ISO 8601 with microseconds and offset: sorts as text."""
        if self._wall is None:
            self.now()
        now = self._began + int((trio.current_time() - self._started) * 1e6)
        second, rest = divmod(now, 1_000_000)
        if second != self._second:  # isoformat takes as long as running a node
            self._second = second
            self._shown = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._shown}.{rest:06d}+00:00"

    def checkpoint_id(self) -> str:
        """A UUIDv6: checkpoint ids sort by age as text."""
        return str(uuid_utils.uuid6())

    def record_id(self) -> str:
        """A UUIDv7, for threads and runs."""
        return str(uuid_utils.uuid7())

    def random_id(self) -> str:
        """A UUIDv4, for messages and created assistants."""
        return str(uuid_utils.uuid4())

    async def run_blocking(self, function: Callable[..., T], *args: object) -> T:
        """Run user code that may block in a worker thread; abandoned at once when cancelled."""
        if self._limiter is None:
            self._limiter = trio.CapacityLimiter(self.threads)
        place = _Place(self._limiter)
        try:
            return await trio.to_thread.run_sync(
                function,
                *args,
                abandon_on_cancel=True,
                limiter=place,  # type: ignore[arg-type]
            )
        finally:
            place.give_back()


@attrs.define(eq=False)
class _Place:
    """A thread's place in a limiter. An abandoned thread gives it back at once, though it may go
    on for long: others are not to wait for it.
    """

    limiter: trio.CapacityLimiter
    taken: bool = False

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        await self.limiter.acquire_on_behalf_of(self)
        self.taken = True

    def release_on_behalf_of(self, borrower: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        if self.taken:
            self.taken = False
            self.limiter.release_on_behalf_of(self)


_current: ContextVar[World | None] = ContextVar("greenroom_world", default=None)
_of_run: trio.lowlevel.RunVar[World] = trio.lowlevel.RunVar("greenroom_world_of_run")


def current_world() -> World:
    """The world of the run under way, or the real one outside a run."""
    return _current.get() or _REAL


def world_of_program() -> World:
    """The world of graphs that are used alone: one for all runs of this trio program."""
    try:
        return _of_run.get()
    except LookupError:
        world = World()
        _of_run.set(world)
        return world
    except RuntimeError:  # a stream that is made before trio runs
        return World()


@attrs.define
class entered_world:  # noqa: N801 - used as `with entered_world(world):`
    """Make `world` the current one for the code inside."""

    _world: World
    _token: Token[World | None] = attrs.field(init=False)

    def __enter__(self) -> None:
        self._token = _current.set(self._world)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


_REAL = World()
