"""Crons, broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from greenroom.actors.client.crons import CronsClient
from greenroom.actors.crontab import Crontab, due_after
from greenroom.storage.operations import PutCron
from greenroom.storage.records import Cron

__all__ = ["CRON_MUTANTS"]

Patch = pytest.MonkeyPatch


def cron_that_stays(patch: Patch) -> None:
    """The run of a cron is accepted, and the cron does not move on to its next date with that."""
    fire = CronsClient.fire

    async def stay(self: CronsClient, cron: Cron, along: PutCron) -> None:
        await fire(self, cron, PutCron(cron))

    patch.setattr(CronsClient, "fire", stay)


def date_that_went_by_lost(patch: Patch) -> None:
    """A date that went by while no process was there is not made up for."""
    fire = Crontab._fire_once

    async def on_time(self: Crontab, cron: Cron, now: datetime, run: Any) -> None:
        due = datetime.fromisoformat(str(cron.next_run_date))
        if now - due < timedelta(seconds=0.1):
            await fire(self, cron, now, run)
        else:
            await self.supervisor.session.commit([PutCron(due_after(cron, now))])

    patch.setattr(Crontab, "_fire_once", on_time)


def cron_that_outlives_its_deletion(patch: Patch) -> None:
    """A cron is said to be deleted, and is not."""

    async def keep(self: Crontab, cron_id: str) -> None:
        async with self.held(cron_id):
            pass

    patch.setattr(Crontab, "drop", keep)


def change_of_a_cron_undone(patch: Patch) -> None:
    """A cron is said to have been changed, and is again as it was."""
    update = CronsClient.update

    async def undone(self: CronsClient, cron_id: str, **changes: Any) -> dict[str, Any]:
        async with self._supervisor.crontab.held(cron_id) as before:
            pass
        changed = await update(self, cron_id, **changes)
        await self._supervisor.session.commit([PutCron(before)])
        return changed

    patch.setattr(CronsClient, "update", undone)


CRON_MUTANTS: Final[tuple[Callable[[Patch], None], ...]] = (
    cron_that_stays,
    date_that_went_by_lost,
    cron_that_outlives_its_deletion,
    change_of_a_cron_undone,
)
