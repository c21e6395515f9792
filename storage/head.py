"""What a thread's log has, read from storage: its head, and checkpoints of any age."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import attrs

from greenroom.graph.checkpoint import Checkpoint, PendingWrites, Saved

from .codec import Types
from .codec.types import PLAIN
from .contract import LogPage, Storage
from .delta import Folded
from .unfolded import Unfolded, unfold

__all__ = [
    "EMPTY",
    "Head",
    "LogEnd",
    "decode_page",
    "read_end",
    "read_head_before",
    "read_history",
    "read_saved",
]

PAGE: Final = 20  # checkpoints read at a time in search of one


@attrs.define
class Head:
    """The newest checkpoint of a namespace, as it would be read from storage.

    `seq`: of its newest record, pending writes included. `length`: of the chain back to the full
    snapshot at `base_seq`. `plain`: the values that came to be plain data when they were appended.
    """

    checkpoint: Checkpoint
    pending: dict[str, PendingWrites]
    folded: Folded
    seq: int
    base_seq: int
    length: int
    plain: Mapping[str, Any] = attrs.field(factory=dict)

    @classmethod
    def of(cls, one: Unfolded, types: Types) -> Self:
        saved, folded = one.read(types)
        return cls(
            saved.checkpoint,
            dict(saved.pending),
            folded,
            max([one.seq, *(row.seq for row in one.pending)]),
            one.base_seq,
            one.length,
        )

    def saved(self) -> Saved:
        return Saved(self.checkpoint, self.pending.copy())


@attrs.frozen
class LogEnd:
    """The last position of a log, 0 for an empty one, and its newest checkpoint."""

    seq: int
    head: Head | None


EMPTY: Final = LogEnd(0, None)


def decode_page(page: LogPage, types: Types = PLAIN) -> list[Saved]:
    """The checkpoints that a page was read for, newest first, with their pending writes.

    `types`: the storage's own. Raises StorageError if the page is damaged.
    """
    return [one.saved(types) for one in unfold(page)]


def read_saved(
    storage: Storage,
    thread_id: str,
    ns: str = "",
    checkpoint_id: str | None = None,
    *,
    following: bool = False,
) -> Saved | None:
    """One checkpoint of a thread, without a `ThreadLog`: see `ThreadLog.load`."""
    page = storage.read_checkpoint(thread_id, ns, checkpoint_id, following=following)
    return None if page is None else decode_page(page, storage.types)[0]


def read_history(
    storage: Storage,
    thread_id: str,
    ns: str = "",
    *,
    before: str | None = None,
    limit: int | None = None,
) -> list[Saved]:
    """The checkpoints of a thread, newest first, without a `ThreadLog`."""
    page = storage.read_history(thread_id, ns, before=before, limit=limit)
    return decode_page(page, storage.types)


def read_end(storage: Storage, thread_id: str) -> LogEnd:
    """Where the log of a thread has come to."""
    seq = storage.last_log_seq(thread_id)
    page = storage.read_checkpoint(thread_id, "") if seq else None
    return LogEnd(seq, None if page is None else Head.of(unfold(page)[0], storage.types))


def read_head_before(storage: Storage, thread_id: str, seq: int) -> Head | None:
    """The head that the log had when its next record was `seq`."""
    page = storage.read_history(thread_id, "", limit=PAGE)
    while page.wanted:
        earlier = tuple(row for row in page.writes if row.seq < seq)
        for one in unfold(attrs.evolve(page, writes=earlier)):
            if one.seq < seq:
                return Head.of(one, storage.types)
        page = storage.read_history(thread_id, "", before=page.wanted[-1], limit=PAGE)
    return None
