"""How long threads live, and who sees to it that they do not live longer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

import attrs
import trio

from greenroom.storage import Storage, StorageError
from greenroom.storage.records import Thread
from greenroom.storage.sweeping import SweepLoop

from .errors import GreenroomError, Invalid
from .mailbox import Expire
from .schedule import iso

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = [
    "STRATEGIES",
    "CheckpointerConfig",
    "Sweeper",
    "ThreadTTLConfig",
    "check_ttl",
    "prolonged",
]

logger = logging.getLogger(__name__)

STRATEGIES: Final = ("delete", "keep_latest")
LONGEST: Final = 100 * 366 * 24 * 60  # minutes
SWEEP_INTERVAL: Final = 5.0  # minutes between sweeps, by default
SLICE: Final = 20  # threads at a time

Strategy = Literal["delete", "keep_latest"]


class ThreadTTLConfig(TypedDict, total=False):
    """How long threads live.

    `default_ttl`: minutes without a change, for threads that are made without a `ttl` (default
    None: for ever). `strategy`: what is done to these then, `delete` (default) or `keep_latest`,
    which forgets all but the newest checkpoint. `sweep_interval_minutes`: how often expired threads
    are looked for (default 5).
    """

    default_ttl: float | None
    strategy: Strategy
    sweep_interval_minutes: float | None


class CheckpointerConfig(TypedDict, total=False):
    """How threads are kept: `ttl`."""

    ttl: ThreadTTLConfig


def check_ttl(value: float | Mapping[str, Any], name: str = "ttl") -> dict[str, Any]:
    """A thread's `ttl` that has not begun. Raises Invalid.

    `value`: minutes, or `{"ttl": minutes, "strategy": "delete" or "keep_latest"}`.
    """
    given = value if isinstance(value, Mapping) else {"ttl": value}
    minutes, strategy = given.get("ttl"), given.get("strategy")
    if strategy is None:
        strategy = "delete"
    if isinstance(minutes, bool) or not isinstance(minutes, (int, float)):
        raise Invalid(f"{name}: {value!r} has no number of minutes as its `ttl`")
    if not 0 < minutes <= LONGEST:
        raise Invalid(f"{name}: {minutes!r} is not more than 0 minutes and at most a hundred years")
    if strategy not in STRATEGIES:
        raise Invalid(f"{name}.strategy: {strategy!r} is none of {', '.join(STRATEGIES)}")
    return {"strategy": strategy, "ttl_minutes": minutes, "expires_at": None}


def prolonged(thread: Thread) -> Thread:
    """The thread with its time begun anew at its last change."""
    if thread.ttl is None:
        return thread
    ends = datetime.fromisoformat(thread.updated_at) + timedelta(minutes=thread.ttl["ttl_minutes"])
    return attrs.evolve(thread, ttl={**thread.ttl, "expires_at": iso(ends)})


@attrs.define(eq=False)
class Sweeper:
    """Has threads expire. `default`: the `ttl` of those that are made without one."""

    supervisor: Supervisor
    default: dict[str, Any] | None
    loop: SweepLoop = attrs.field(init=False)
    _interval: float  # seconds

    def __attrs_post_init__(self) -> None:
        session = self.supervisor.session
        next_expiry = Storage.next_thread_expiry
        self.loop = SweepLoop(session, next_expiry, self.sweep, self._interval, "threads")

    @classmethod
    def of(cls, supervisor: Supervisor, config: ThreadTTLConfig) -> Sweeper:
        """Raises Invalid."""
        minutes = config.get("default_ttl")
        default = None
        if minutes is not None:
            given = {"ttl": minutes, "strategy": config.get("strategy")}
            default = check_ttl(given, "checkpointer.ttl")
        interval = config.get("sweep_interval_minutes")
        interval = SWEEP_INTERVAL if interval is None else interval
        if isinstance(interval, bool) or not isinstance(interval, (int, float)) or interval <= 0:
            raise Invalid(f"checkpointer.ttl.sweep_interval_minutes: {interval!r} is no time")
        return cls(supervisor, default, 60 * interval)

    def heed(self, thread: Thread) -> None:
        """A thread has been stored."""
        if thread.ttl is not None and thread.ttl["expires_at"] is not None:
            self.loop.heed()

    async def sweep(self) -> None:
        """Have every thread that has expired do what its time to live says, a few at a time.

        One that has work to do, or cannot be read, is left for the next time.
        """
        left: list[str] = []
        while True:
            ids = await self.supervisor.session.read(
                Storage.expired_threads,
                self.supervisor.world.timestamp(),
                limit=SLICE,
                offset=len(left),
            )
            if not ids:
                return
            async with trio.open_nursery() as nursery:
                for thread_id in ids:
                    nursery.start_soon(self._expire, thread_id, left)

    async def _expire(self, thread_id: str, left: list[str]) -> None:
        try:
            expired = await self.supervisor.ask(thread_id, Expire())
        except (GreenroomError, StorageError) as error:
            logger.warning("thread %s has expired, and stays for now: %s", thread_id, error)
            expired = False
        if not expired:
            left.append(thread_id)
