"""Whether everything in a store can be read: each record, and what the records of a log make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import msgspec

from . import scans
from .codec import Types, decode
from .contract import Storage, StorageError
from .delta import read_checkpoint
from .lists import read_splices
from .pending import decode_writes
from .records import UNFINISHED, Assistant, AssistantVersion, Cron, LogRow, Post, Row, Run, Thread
from .rows import from_row

__all__ = ["check"]

Progress = Callable[[int], object]


def check(storage: Storage, progress: Progress) -> Iterator[str]:
    """What is damaged, a line each, as it is found. `progress`: told how many records were read."""
    yield from storage.faults()
    for then, assistant in scans.assistants(storage):
        progress(1)
        yield from _unreadable(Assistant, assistant, storage.types)
        for page in scans.versions(then, assistant["assistant_id"]):
            for row in page:
                yield from _unreadable(AssistantVersion, row, storage.types)
            progress(len(page))
    for items in scans.items(storage):
        for _, put in items:
            try:
                decode(put.item.value, storage.types)
            except StorageError as error:
                place = f"{'.'.join(put.item.namespace)}, key {put.item.key!r}"
                yield f"Item {place} cannot be read: {error}"
        progress(len(items))
    for then, thread in scans.threads(storage):
        progress(1)
        yield from _unreadable(Thread, thread, storage.types)
        yield from _check_runs(then, thread, progress)
        yield from _check_log(then, thread["thread_id"], progress)
        yield from _check_events(then, thread["thread_id"], progress)
    for page in scans.crons(storage):
        for row in page:
            yield from _unreadable(Cron, row, storage.types)
        progress(len(page))
    for page in scans.posts(storage):
        for row in page:
            yield from _unreadable(Post, row, storage.types)
        progress(len(page))


def _unreadable(kind: type[Any], row: Row, types: Types) -> Iterator[str]:
    try:
        from_row(kind, row, types)
    except StorageError as error:
        yield str(error)


def _check_runs(storage: Storage, thread: Row, progress: Progress) -> Iterator[str]:
    thread_id, unfinished = thread["thread_id"], 0
    for rows in scans.runs(storage, thread_id):
        for row in rows:
            yield from _unreadable(Run, row, storage.types)
            unfinished += row["status"] in UNFINISHED
        progress(len(rows))
    if (thread["status"] == "busy") != (unfinished > 0):
        yield f"Thread {thread_id} is {thread['status']} and has {unfinished} unfinished runs"


def _check_events(storage: Storage, thread_id: str, progress: Progress) -> Iterator[str]:
    for events in scans.events(storage, thread_id):
        for event in events:
            try:
                msgspec.json.decode(event.data)
            except ValueError as error:
                yield f"Event {event.event_id} of thread {thread_id} cannot be read: {error}"
        progress(len(events))


def _check_log(storage: Storage, thread_id: str, progress: Progress) -> Iterator[str]:
    log = _Log(storage.types)
    for rows in scans.log(storage, thread_id):
        for row in rows:
            try:
                log.take(row)
            except StorageError as error:
                yield str(error)
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                yield f"Record {row.seq} of the log of thread {thread_id} is damaged: {error}"
        progress(len(rows))


@attrs.define
class _Chain:
    """What the last checkpoint of a namespace was made of: its channels, with the list that each
    is or None."""

    base_seq: int
    nth: int
    channels: dict[str, int | None]
    metadata: bool = True


@attrs.define
class _Log:
    """The log of a thread as far as it was read."""

    types: Types
    chains: dict[str, _Chain] = attrs.field(factory=dict)
    lists: dict[tuple[str, int], int] = attrs.field(factory=dict)  # and how long they are
    checkpoints: set[tuple[str, str]] = attrs.field(factory=set)

    def take(self, row: LogRow) -> None:
        """Raises what is wrong with a record."""
        if row.kind == "checkpoint":
            self._checkpoint(row)
        elif row.kind == "writes":
            if (row.ns, row.checkpoint_id) not in self.checkpoints:
                raise ValueError(f"its checkpoint {row.checkpoint_id} is not there")
            decode_writes(row, self.types)
        else:
            self._part(row)

    def _checkpoint(self, row: LogRow) -> None:
        stored = read_checkpoint(row)
        chain = self.chains.pop(row.ns, None)
        if row.base_seq == row.seq:
            chain = _Chain(row.seq, 0, {}, metadata=False)
        if chain is None or (chain.base_seq, chain.nth + 1) != (row.base_seq, stored.nth):
            raise ValueError("the checkpoint before it is not there")
        for channel, tail in stored.grown.items():
            if chain.channels[channel] is not None:
                raise ValueError(f"channel {channel!r} is a long list and grows as a short one")
            self._decode(row, f"channel {channel!r}", tail)
        for channel in stored.gone:
            del chain.channels[channel]
        for channel, (list_id, length) in stored.lists.items():
            chain.channels[channel] = list_id
            if length > self.lists.get((row.ns, list_id), length):
                raise ValueError(f"the list at {list_id} is shorter than the {length} it was")
        for channel, value in stored.values.items():
            chain.channels[channel] = None
            self._decode(row, f"channel {channel!r}", value)
        lists = {list_id for list_id in chain.channels.values() if list_id is not None}
        missing = [one for one in {*lists, *row.lists} if (row.ns, one) not in self.lists]
        if missing:
            raise ValueError(f"the list at {missing[0]} is not there")
        if lists != set(row.lists):
            raise ValueError(f"it names the lists {sorted(row.lists)} and has {sorted(lists)}")
        self._decode(row, "what it is about", stored.about)
        chain.metadata = chain.metadata or bool(stored.metadata)
        if not chain.metadata:
            raise ValueError("it has no metadata")
        if stored.metadata:
            self._decode(row, "metadata", stored.metadata)
        if row.input is not None:
            self._decode(row, "input", row.input)
        chain.nth = stored.nth
        self.chains[row.ns] = chain
        self.checkpoints.add((row.ns, row.checkpoint_id))

    def _part(self, row: LogRow) -> None:
        place = (row.ns, row.base_seq or 0)
        if row.seq == row.base_seq and row.kind != "splice":
            self.lists[place] = 0
        if place not in self.lists:
            raise ValueError(f"the list at {row.base_seq} is not there")
        if row.kind != "splice":
            self.lists[place] += len(self._decode(row, "elements", b"[" + row.data + b"]"))
            return
        for at, removed, put in read_splices(row):
            if at + removed > self.lists[place]:
                raise ValueError(f"it changes element {at + removed} of {self.lists[place]}")
            self.lists[place] += len(put) - removed
            for element in put:
                self._decode(row, "an element", element)

    def _decode(self, row: LogRow, what: str, data: bytes | msgspec.Raw) -> Any:
        try:
            return decode(data, self.types)
        except StorageError as error:
            raise ValueError(f"{what}: {error}") from error
