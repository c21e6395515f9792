"""A thread's log, made into another: the copy of a thread, and one that is kept short."""

from __future__ import annotations

from itertools import chain, takewhile
from typing import Any, Final

import attrs
import msgspec

from . import scans
from .contract import Storage
from .lists import first_of
from .operations import AppendLog, Operation, TruncateLog
from .records import LogRow
from .unfolded import Unfolded, unfold

__all__ = ["copied_log", "latest_only"]

_encoder: Final = msgspec.json.Encoder()
_parts: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def copied_log(storage: Storage, thread_id: str, to: str, before: int) -> list[LogRow]:
    """The records of a thread's log before `before`, as those of the thread `to`.

    The checkpoints keep their ids. Raises StorageError.
    """
    rows = chain.from_iterable(scans.log(storage, thread_id))
    return [_moved(row, to) for row in takewhile(lambda row: row.seq < before, rows)]


def _moved(row: LogRow, to: str) -> LogRow:
    data = row.data
    if row.kind == "checkpoint" and b'"metadata"' in data:
        stored = _parts.decode(data)
        metadata = _parts.decode(stored["metadata"]) if "metadata" in stored else {}
        if "thread_id" in metadata:
            metadata["thread_id"] = msgspec.Raw(_encoder.encode(to))
            data = _encoder.encode({**stored, "metadata": metadata})
    return attrs.evolve(row, thread_id=to, data=data)


def latest_only(storage: Storage, thread_id: str) -> list[Operation]:
    """What has a thread's log hold its newest checkpoint alone, with what its tasks have come to.

    That of inner graphs stays where they are at work, or keep a state of their own.
    Raises StorageError if the log is damaged.
    """
    page = storage.read_checkpoint(thread_id, "")
    if page is None:
        return []
    (head,) = unfold(page)
    rows = _alone(head)
    for ns in _inner(storage, thread_id, head.seq):
        page = storage.read_checkpoint(thread_id, ns)
        assert page is not None
        rows += _alone(unfold(page)[0])
    rows.sort(key=lambda row: row.seq)
    return [TruncateLog(thread_id, 1), AppendLog(tuple(rows))]


def _inner(storage: Storage, thread_id: str, head: int) -> set[str]:
    """The namespaces that the work after a checkpoint is in, and those that outlive all work."""
    return {
        row.ns
        for row in chain.from_iterable(scans.log(storage, thread_id))
        if row.kind == "checkpoint" and row.ns and (row.seq > head or ":" not in row.ns)
    }


def _alone(one: Unfolded) -> list[LogRow]:
    """A checkpoint as a full snapshot that has no parent, with its long lists and its writes."""
    about = _parts.decode(one.about)
    about.pop("parent", None)
    stored: dict[str, Any] = {"about": about, "nth": 1}
    lists = {name: form for name, form in one.values.items() if not isinstance(form, bytes)}
    values = {
        name: msgspec.Raw(form) for name, form in one.values.items() if isinstance(form, bytes)
    }
    stored |= {name: part for name, part in (("values", values), ("lists", lists)) if part}
    stored["metadata"] = msgspec.Raw(one.metadata)
    checkpoint = attrs.evolve(one.row, base_seq=one.seq, data=_encoder.encode(stored))
    parts = [
        LogRow(
            thread_id=one.row.thread_id,
            seq=list_id,
            kind="list",
            ns=one.row.ns,
            checkpoint_id="",
            base_seq=list_id,
            data=first_of(one.records(list_id), length),
        )
        for list_id, length in lists.values()
    ]
    return [*parts, checkpoint, *one.pending]
