"""States of the past as JSON."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

import attrs

from greenroom.storage import LogPage, Storage
from greenroom.storage.records import Thread

__all__ = ["PastPage", "PastState", "PastStates", "read_past"]

MOST: Final = 16 * 2**20  # bytes
_AROUND: Final = 500  # bytes that one takes besides its JSON


@attrs.frozen
class PastState:
    """What the JSON of a state follows from. `records`: the hash of its checkpoint's own, which
    `keep_latest` makes anew, and of those of the pending writes. `after`: the checkpoint after it,
    which says what its tasks came to; None for the newest."""

    thread_id: str
    graph_id: str
    checkpoint_id: str
    records: int
    after: str | None


@attrs.frozen
class PastPage:
    """A page of history. `records`: as in `PastState`, by checkpoint."""

    page: LogPage
    records: Mapping[str, int]

    def states(self, thread: Thread, before: str | None) -> list[PastState]:
        """Newest first. `before`: the checkpoint that the page ends at, if it does."""
        graph_id = str(thread.metadata.get("graph_id"))
        return [
            PastState(thread.thread_id, graph_id, ident, self.records.get(ident, 0), after)
            for ident, after in zip(self.page.wanted, (before, *self.page.wanted), strict=False)
        ]


def read_past(storage: Storage, thread_id: str, before: str | None, limit: int) -> PastPage:
    """A page of the history of the outermost graph."""
    page = storage.read_history(thread_id, "", before=before, limit=limit)
    records: dict[str, list[bytes]] = {}
    for row in (*page.checkpoints, *page.writes):
        records.setdefault(row.checkpoint_id, []).append(row.data)
    return PastPage(page, {ident: hash(tuple(data)) for ident, data in records.items()})


@attrs.define(eq=False)
class PastStates:
    """The JSON of states that were shown lately, of all threads: whoever shows a thread asks for
    its history after every run. What has not been asked for the longest goes first."""

    most: int = MOST
    _shown: OrderedDict[PastState, bytes] = attrs.field(init=False, factory=OrderedDict)
    _size: int = attrs.field(init=False, default=0)

    def get(self, state: PastState) -> bytes | None:
        found = self._shown.get(state)
        if found is not None:
            self._shown.move_to_end(state)
        return found

    def keep(self, state: PastState, shown: bytes) -> None:
        if len(shown) > self.most // 4:  # it would drive out too many others
            return
        self._size += len(shown) + _AROUND - self._forget(state)
        self._shown[state] = shown
        while self._size > self.most:
            self._size -= self._forget(next(iter(self._shown)))

    def _forget(self, state: PastState) -> int:
        shown = self._shown.pop(state, None)
        return 0 if shown is None else len(shown) + _AROUND
