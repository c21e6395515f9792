"""Threads that storage may have, so that nobody need ask it for one that it certainly has not."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Final

import attrs
import trio

from .contract import Storage, StorageError
from .operations import InsertThread, Operation
from .queries import ThreadQuery
from .records import Thread

if TYPE_CHECKING:
    from .session import StorageSession

__all__ = ["KnownThreads"]

MOST: Final = 50_000  # threads; where there are more, storage is asked

logger = logging.getLogger(__name__)


@attrs.define(eq=False)
class KnownThreads:
    """Those that were inserted, at some 70 bytes each, and from `learn` on all others of storage
    too, so that it lacks the rest. Once there are too many it knows nothing. A thread that was
    deleted stays, as does one that was refused: storage is asked for these.
    """

    _complete: bool = attrs.field(init=False, default=False)
    _hashes: set[int] | None = attrs.field(init=False, factory=set)

    def heed(self, groups: Iterable[Iterable[Operation]]) -> None:
        """Operations that are about to be applied, in whatever thread."""
        inserts = [one for one in chain.from_iterable(groups) if type(one) is InsertThread]
        self._add([one.thread.thread_id for one in inserts if isinstance(one.thread, Thread)])

    def _add(self, thread_ids: Iterable[str]) -> None:
        if (hashes := self._hashes) is not None:
            hashes.update(map(hash, thread_ids))
            if len(hashes) > MOST:
                self._hashes = None

    def lacks(self, thread_id: str) -> bool:
        """Whether storage certainly has no thread of that id."""
        hashes = self._hashes
        return self._complete and hashes is not None and hash(thread_id) not in hashes

    async def learn(self, session: StorageSession) -> None:
        """Read which threads there are, while new ones are added."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()  # the session may have been left
            if await session.read(Storage.count_threads, ThreadQuery()) > MOST:
                self._hashes = None
            after = ""
            while self._hashes is not None:
                await trio.lowlevel.checkpoint_if_cancelled()
                page = await session.read(Storage.scan_threads, after=after)
                if not page:
                    self._complete = True
                    return
                self._add([row["thread_id"] for row in page])
                after = page[-1]["thread_id"]
        except StorageError as error:
            logger.debug("the threads of storage are not known: %s", error)
