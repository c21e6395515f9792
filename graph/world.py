"""The world outside a run: clock, ids, randomness, blocking calls.

It is handed in, so that a test can turn time and a simulation can replay a seed.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, Token
from datetime import UTC, datetime, timedelta
from time import perf_counter
from time import time as wall_clock
from typing import TypeVar

import attrs
import outcome
import trio
import uuid_utils

from .here import thread_here

__all__ = ["World", "current_world", "entered_world", "wait_from_thread", "world_of_program"]

T = TypeVar("T")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANDOM = random.Random()  # seeding one takes as long as running a node
_NOTICED = 0.5  # seconds: less is the two clocks being read one after the other


def _wall_clock_ahead() -> float:
    return wall_clock() - perf_counter()  # the latter is trio's clock, where nobody turns it


@attrs.define
class World:
    """Wall time that follows trio's clock, time-ordered ids, randomness, and worker threads.

    `threads`: how many plain `def` nodes may run at once (default 40). `ahead`: seconds that the
    machine's wall clock, which can be set, is ahead of the clock that only counts.
    """

    threads: int = 40
    random: random.Random = _RANDOM
    ahead: Callable[[], float] = _wall_clock_ahead
    _limiter: trio.CapacityLimiter | None = attrs.field(init=False, default=None)
    _wall: datetime | None = attrs.field(init=False, default=None)
    _started: float = attrs.field(init=False, default=0.0)
    _was_ahead: float = attrs.field(init=False, default=0.0)
    _began: int = attrs.field(init=False, default=0)  # `_wall` in microseconds since 1970
    _second: int = attrs.field(init=False, default=-1)  # the one that `_shown` shows
    _shown: str = attrs.field(init=False, default="")

    def now(self) -> datetime:
        """The time in UTC. Moves with trio's clock, so that `MockClock` turns it."""
        return self.at(trio.current_time())

    def at(self, time: float) -> datetime:
        """The time in UTC when trio's clock showed `time`; after `now()`, from any thread."""
        wall = self._wall
        if wall is None:
            self._was_ahead, self._started = self.ahead(), trio.current_time()
            wall = _EPOCH + timedelta(seconds=self._was_ahead + perf_counter())
            self._set_wall(wall)
        return wall + timedelta(seconds=time - self._started)

    def heed_wall_clock(self) -> None:
        """Follow the wall clock where it was set since, or where the machine slept, which trio's
        clock does not count. Time may go back."""
        ahead = self.ahead()
        if self._wall is not None and abs(ahead - self._was_ahead) > _NOTICED:
            self._set_wall(self._wall + timedelta(seconds=ahead - self._was_ahead))
            self._was_ahead = ahead

    def _set_wall(self, wall: datetime) -> None:
        """The time when trio's clock showed `_started`."""
        self._wall = wall
        self._began = (wall - _EPOCH) // timedelta(microseconds=1)

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
        token = _own_place.set(place)  # the thread sees it
        # What it raises passes trio's frames by: they would refer to it, as its traceback does to
        # them, and all that nodes were given would stay until the garbage collector comes.
        done: list[outcome.Outcome[T]] = []
        try:
            await trio.to_thread.run_sync(
                lambda: done.append(outcome.capture(function, *args)),
                abandon_on_cancel=True,
                limiter=place,  # type: ignore[arg-type]
            )
        finally:
            _own_place.reset(token)
            place.give_back()
        return done.pop().unwrap()


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


_own_place: ContextVar[_Place | None] = ContextVar("greenroom_place", default=None)


def wait_from_thread(
    function: Callable[..., Awaitable[T]],
    *args: object,
    trio_token: trio.lowlevel.TrioToken | None = None,
) -> T:
    """Await something on the loop, from a thread of `run_blocking`.

    The thread's place is free from then on: what it waits for may need one itself. A thread that
    asyncio has started for a node has none, and waits in the same way.
    """
    asyncio_thread = thread_here()
    if asyncio_thread is not None:
        return asyncio_thread.wait_for_trio(function, *args)

    async def wait() -> T:
        if place is not None:
            place.give_back()
        return await function(*args)

    place = _own_place.get()
    return trio.from_thread.run(wait, trio_token=trio_token)


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
