"""Who sees to it that crons fire: on time, each firing once."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NoReturn
from weakref import WeakValueDictionary

import attrs
import trio

from greenroom.storage import Storage, StorageError
from greenroom.storage.operations import DeleteCron, PutCron
from greenroom.storage.records import Cron

from .errors import Closed, GreenroomError, NotFound
from .schedule import Schedule, iso

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["Crontab", "due_after"]

logger = logging.getLogger(__name__)

AT_ONCE: Final = 20  # firings under way at most
LONGEST_SLEEP: Final = 60.0  # seconds until it is noticed what nobody told
RETRY: Final = 5.0  # seconds before storage that failed is asked again
_EVER: Final = "9999"  # sorts after every date

Fire = Callable[[Cron, PutCron], Awaitable[None]]


def due_after(cron: Cron, moment: datetime) -> Cron:
    """The cron with its next date after `moment`: None where there is none, or its `end_time` comes
    before. Raises Invalid."""
    date = Schedule(cron.schedule, cron.timezone).following(moment)
    due = None if date is None else iso(date)
    if due is not None and cron.end_time is not None and due > cron.end_time:
        due = None
    return attrs.evolve(cron, next_run_date=due)


@attrs.define(eq=False)
class Crontab:
    """Fires crons when they are due, and keeps their changes from meeting.

    A firing is one commit: the run that it makes is accepted, and the cron moves on to its next
    date, which lies after now. So a process that dies leaves a firing due or done, and dates that
    went by while no process was there are made up for by one run. A run that is refused is not
    tried again: only the cron moves on. A cron whose assistant was deleted is deleted when it is
    due, if it is there still.
    """

    supervisor: Supervisor
    _changed: trio.Event = attrs.field(init=False, factory=trio.Event)
    _firing: set[str] = attrs.field(init=False, factory=set)
    _resting: set[str] = attrs.field(init=False, factory=set)  # they could not fire, and will again
    _locks: WeakValueDictionary[str, trio.Lock] = attrs.field(
        init=False, factory=WeakValueDictionary
    )

    def heed(self) -> None:
        """A cron has been stored, or its firing is over."""
        self._changed.set()

    def now(self) -> datetime:
        """The time by the wall clock, also if that was set."""
        self.supervisor.world.heed_wall_clock()
        return self.supervisor.world.now()

    @asynccontextmanager
    async def held(self, cron_id: str) -> AsyncIterator[Cron]:
        """A cron as it is stored, which nobody else changes and which does not fire meanwhile.
        Raises NotFound."""
        lock = self._locks.setdefault(cron_id, trio.Lock())
        async with lock:
            cron = await self.supervisor.session.read(Storage.get_cron, cron_id)
            if cron is None:
                raise NotFound(f"Cron {cron_id!r} not found")
            yield cron

    async def drop(self, cron_id: str) -> None:
        """Delete a cron. Raises NotFound."""
        async with self.held(cron_id):
            await self.supervisor.session.commit([DeleteCron(cron_id)])

    async def run(self, fire: Fire) -> NoReturn:
        """Fire crons for ever. `fire`: makes a cron's run, committing an operation together with
        its being accepted."""
        async with trio.open_nursery() as nursery:
            while True:
                self._changed = trio.Event()
                try:
                    due = await self._start_due(nursery, fire)
                except StorageError:
                    logger.exception("crons cannot be read now")
                    due = self.now() + timedelta(seconds=RETRY)
                await self._sleep_until(due)

    async def _start_due(self, nursery: trio.Nursery, fire: Fire) -> datetime | None:
        """Start what is due; when to look again, None if only after a change."""
        now = self.now()
        limit = AT_ONCE + len(self._resting) + 1
        for cron in await self.supervisor.session.read(Storage.due_crons, _EVER, limit=limit):
            if cron.cron_id in self._firing | self._resting:
                continue
            if len(self._firing) == AT_ONCE:
                return None  # looks again when one of them is over
            assert cron.next_run_date is not None
            due = datetime.fromisoformat(cron.next_run_date)
            if due > now:
                return due
            self._firing.add(cron.cron_id)
            nursery.start_soon(self._fire, cron.cron_id, fire)
        return None

    async def _sleep_until(self, due: datetime | None) -> None:
        # The wall clock may be set, and a cron be stored whose sender has gone or been refused.
        seconds = LONGEST_SLEEP
        if due is not None:
            seconds = (due - self.supervisor.world.now()).total_seconds()
        if seconds > 0:
            seconds += 0.001  # the time as text is cut to microseconds
        with trio.move_on_after(min(max(seconds, 0.0), LONGEST_SLEEP)):
            await self._changed.wait()

    async def _fire(self, cron_id: str, fire: Fire) -> None:
        try:
            async with self.held(cron_id) as cron:
                now = self.now()
                if cron.enabled and cron.next_run_date and cron.next_run_date <= iso(now):
                    await self._fire_once(cron, now, fire)
        except (NotFound, Closed):  # it was deleted, or all of this ends
            pass
        except Exception:
            logger.exception("cron %s could not fire; it is tried again", cron_id)
            self._resting.add(cron_id)
        self._firing.discard(cron_id)
        self.heed()
        if cron_id in self._resting:
            await trio.sleep(RETRY)
            self._resting.discard(cron_id)
            self.heed()

    async def _fire_once(self, cron: Cron, now: datetime, fire: Fire) -> None:
        moved_on = PutCron(due_after(cron, now))
        try:
            await fire(cron, moved_on)
        except Closed:
            raise
        except GreenroomError as error:
            logger.warning("a run of cron %s was refused: %s", cron.cron_id, error)
            gone = (
                await self.supervisor.session.read(Storage.get_assistant, cron.assistant_id) is None
            )
            operation = DeleteCron(cron.cron_id) if gone else moved_on
            await self.supervisor.session.commit([operation])
