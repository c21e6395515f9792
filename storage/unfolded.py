"""Checkpoints put together from their records in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs
import msgspec

from greenroom.graph.checkpoint import Checkpoint, Saved

from .codec import Types
from .contract import LogPage, StorageError
from .damage import decoded
from .delta import Folded, extended, planned_by, read_checkpoint
from .lists import LongList, elements_of, raw_elements
from .pending import decode_writes, tried_of
from .records import LogRow

__all__ = ["Unfolded", "unfold"]


@attrs.frozen
class Unfolded:
    """A checkpoint whose channels have been put together.

    `parent_id`: of the checkpoint before. `values`: channels in stored form, or the id and the
    length of the long list that they are. `lists`: the records of those, by id. `length`: of its
    chain back to the full snapshot.
    """

    row: LogRow
    about: msgspec.Raw
    parent_id: str | None
    values: Mapping[str, bytes | tuple[int, int]]
    metadata: bytes
    length: int
    pending: Sequence[LogRow] = ()
    lists: Mapping[int, Sequence[LogRow]] = attrs.field(factory=dict)

    @property
    def seq(self) -> int:
        return self.row.seq

    @property
    def base_seq(self) -> int:
        return self.row.base_seq or self.row.seq

    def saved(self, types: Types) -> Saved:
        """The checkpoint and its pending writes, decoded; a later write replaces an earlier one.

        Raises StorageError, naming the record and the channel that cannot be read.
        """
        return self.read(types)[0]

    def read(self, types: Types) -> tuple[Saved, Folded]:
        """The same, and what a child of the checkpoint is compared with."""
        values: dict[str, Any] = {}
        forms: dict[str, bytes | LongList] = {}
        for channel, form in self.values.items():
            if isinstance(form, bytes):
                forms[channel] = form
                values[channel] = decoded(self.row, f"channel {channel!r}", form, types)
            else:
                forms[channel], values[channel] = self._list(channel, *form, types)
        about = decoded(self.row, "what it is about", self.about, types)
        checkpoint = Checkpoint(
            id=self.row.checkpoint_id,
            ns=self.row.ns,
            parent_id=about.get("parent", self.parent_id),
            step=about["step"],
            source=about["source"],
            created_at=about["created_at"],
            values=values,
            changed=tuple(about.get("changed", ())),
            next=planned_by(self.row.checkpoint_id, about, self.row.input, types),
            joins={name: tuple(arrived) for name, arrived in about.get("joins", {}).items()},
            ran=tuple(about.get("ran", ())),
            results=tuple(about.get("results", ())),
            tried=tuple(map(tried_of, about.get("tried", ()))),
            metadata=decoded(self.row, "metadata", self.metadata, types),
            engine=about.get("engine", {}),
        )
        pending = [decode_writes(row, types) for row in self.pending]
        saved = Saved(checkpoint, {writes.task_id: writes for writes in pending})
        return saved, Folded(forms, self.metadata)

    def records(self, list_id: int) -> list[LogRow]:
        """The records of a long list that the checkpoint may read."""
        return [row for row in self.lists.get(list_id, ()) if row.seq < self.seq]

    def _list(
        self, channel: str, list_id: int, length: int, types: Types
    ) -> tuple[LongList, list[Any]]:
        def decoder(data: bytes) -> Any:
            return decoded(self.row, f"channel {channel!r}", data, types)

        found = self._list_of(list_id, length, decoder)
        return found, cast(list[Any], found.elements)

    def _list_of(self, list_id: int, length: int, decoder: Callable[[bytes], Any]) -> LongList:
        records = self.records(list_id)
        elements: list[Any] = []
        if records and records[0].seq == list_id:
            elements = decoder(elements_of(records))
        if len(elements) < length:
            raise StorageError(
                f"The log of thread {self.row.thread_id} is damaged: the list at {list_id} of "
                f"checkpoint {self.row.checkpoint_id} is not there, or not all of it"
            )
        surplus = len(elements) - length
        del elements[length:]
        return LongList.of(list_id, elements, records, surplus)

    def forms(self) -> dict[str, bytes | LongList]:
        """What a child's stored forms are compared with: see `lists.following_bytes`."""
        return {
            channel: form if isinstance(form, bytes) else self._list_of(*form, raw_elements)
            for channel, form in self.values.items()
        }

    def raw(self, channel: str) -> bytes:
        """A channel in stored form. Raises StorageError if the log is damaged."""
        form = self.values[channel]
        return form if isinstance(form, bytes) else self._list_of(*form, raw_elements).raw


def unfold(page: LogPage) -> list[Unfolded]:
    """The checkpoints that a page was read for, newest first.

    Raises StorageError if the page lacks what they are made of.
    """
    lists: dict[int, list[LogRow]] = {}
    for row in page.lists:
        lists.setdefault(row.base_seq or row.seq, []).append(row)
    done: dict[str, Unfolded] = {}
    before: Unfolded | None = None
    for row in page.checkpoints:
        stored = read_checkpoint(row)
        if row.base_seq == row.seq:
            before = None
        elif before is None or before.length + 1 != stored.nth:
            raise StorageError(
                f"The log of thread {row.thread_id} is damaged: checkpoint {row.checkpoint_id} "
                f"lacks the one before it"
            )
        values = {} if before is None else dict(before.values)
        for channel in stored.gone:
            del values[channel]
        values |= {channel: (at, length) for channel, (at, length) in stored.lists.items()}
        for channel, tail in stored.grown.items():
            short = values[channel]
            assert isinstance(short, bytes)
            values[channel] = extended(short, bytes(tail))
        values |= {channel: bytes(raw) for channel, raw in stored.values.items()}
        before = done[row.checkpoint_id] = Unfolded(
            row,
            stored.about,
            None if before is None else before.row.checkpoint_id,
            values,
            bytes(stored.metadata) or (b"" if before is None else before.metadata),
            stored.nth,
            [writes for writes in page.writes if writes.checkpoint_id == row.checkpoint_id],
            lists,
        )
    missing = [wanted for wanted in page.wanted if wanted not in done]
    if missing:
        raise StorageError(f"The log is damaged: checkpoint {missing[0]} is not there")
    return [done[wanted] for wanted in page.wanted]
