"""From time to time, what has expired is put away."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NoReturn

import attrs
import trio

from .contract import Storage
from .errors import StorageError
from .session import StorageSession

__all__ = ["SweepLoop"]

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class SweepLoop:
    """Sweeps every `interval` seconds, for as long as something is stored that will expire.

    `next_expiry`: the read of the contract that tells when; None for never. `what`: what it is, for
    the log.
    """

    session: StorageSession
    next_expiry: Callable[[Storage], object]
    sweep: Callable[[], Awaitable[None]]
    interval: float
    what: str
    _something_expires: trio.Event = attrs.field(init=False, factory=trio.Event)

    def heed(self) -> None:
        """Something that will expire has been stored."""
        self._something_expires.set()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> NoReturn:
        """Started when it knows whether there is something."""
        await self._look_ahead()
        task_status.started()
        while True:
            await self._something_expires.wait()
            try:
                await self.sweep()
                await self._look_ahead()
            except StorageError:
                logger.exception("%s that have expired cannot be swept now", self.what)
            await trio.sleep(self.interval)

    async def _look_ahead(self) -> None:
        self._something_expires = trio.Event()
        if await self.session.read(self.next_expiry) is not None:
            self._something_expires.set()
