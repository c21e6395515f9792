"""Records of the log as bytes: a checkpoint as what changed since its parent.

`{"about": …, "values": {channel: value}, "grown": {channel: [new elements]}, "gone": [channel],
"metadata": …}`. A channel that is in none of these is as it was at the parent, and so is metadata
that is not there. A full snapshot has all its channels in `values`. Values are in the stored form
of `codec`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import attrs
import msgspec

from greenroom.graph.checkpoint import Checkpoint, PendingWrites, Planned, Saved, TaskError
from greenroom.graph.control import Interrupt, Send

from .codec import Unstorable, decode, encode
from .contract import LogPage, StorageError
from .records import LogRow

__all__ = ["Folded", "Unfolded", "encode_checkpoint", "encode_writes", "unfold"]

S = TypeVar("S")
_AS_AT_PARENT: Final = msgspec.Raw()


@attrs.frozen
class Folded:
    """A checkpoint's channels and metadata in stored form: what its child is compared with."""

    values: Mapping[str, bytes]
    metadata: bytes
    # The object that `metadata` was made of; a run's checkpoints all have the same.
    _source: Mapping[str, Any] | None = None

    def metadata_of(self, checkpoint: Checkpoint) -> bytes:
        """The stored form of another checkpoint's metadata."""
        if checkpoint.metadata is self._source:
            return self.metadata
        return encode(dict(checkpoint.metadata), "checkpoint.metadata")


@attrs.frozen
class _Stored:
    about: msgspec.Raw
    values: dict[str, msgspec.Raw]
    grown: dict[str, msgspec.Raw] = attrs.field(factory=dict)
    gone: list[str] = attrs.field(factory=list)
    metadata: msgspec.Raw = _AS_AT_PARENT


@attrs.frozen
class _StoredWrites:
    about: msgspec.Raw
    writes: list[tuple[str, msgspec.Raw]] | None


_encoder = msgspec.json.Encoder()
_checkpoint_decoder = msgspec.json.Decoder(_Stored)
_writes_decoder = msgspec.json.Decoder(_StoredWrites)
_NOTHING = Folded({}, b"")


def encode_checkpoint(checkpoint: Checkpoint, parent: Folded | None) -> tuple[bytes, Folded]:
    """A checkpoint as stored, and what its child is compared with. `parent`: None for a full
    snapshot.

    Raises Unstorable, naming the channel.
    """
    before = _NOTHING if parent is None else parent
    raws = dict(before.values)
    gone = [channel for channel in raws if channel not in checkpoint.values]
    for channel in gone:
        del raws[channel]
    values: dict[str, msgspec.Raw] = {}
    grown: dict[str, msgspec.Raw] = {}
    for channel in checkpoint.values if parent is None else checkpoint.changed:
        if channel not in checkpoint.values:
            continue
        old = raws.get(channel)
        raw = encode(checkpoint.values[channel], channel)
        if raw == old:
            continue
        raws[channel] = raw
        if old is not None and _grew(old, raw):
            grown[channel] = msgspec.Raw(b"[" + raw[len(old) :])
        else:
            values[channel] = msgspec.Raw(raw)
    metadata = before.metadata_of(checkpoint)
    stored: dict[str, Any] = {"about": _about(checkpoint), "values": values}
    if grown:
        stored["grown"] = grown
    if gone:
        stored["gone"] = gone
    if metadata != before.metadata:
        stored["metadata"] = msgspec.Raw(metadata)
    try:
        data = _encoder.encode(stored)
    except UnicodeEncodeError as error:
        raise Unstorable(f"checkpoint: a name in it is no text: {error}") from None
    return data, Folded(raws, metadata, checkpoint.metadata)


def _about(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a checkpoint says beside values. Only what tasks were sent is the user's."""
    return {
        "parent": checkpoint.parent_id,
        "step": checkpoint.step,
        "source": checkpoint.source,
        "created_at": checkpoint.created_at,
        "changed": checkpoint.changed,
        "next": [
            (
                task.node,
                task.index,
                None if task.arg is None else msgspec.Raw(encode(task.arg, task.node)),
                # Only of a task that an earlier checkpoint had planned.
                *(() if task.origin == checkpoint.id else (task.origin,)),
            )
            for task in checkpoint.next
        ],
        "joins": checkpoint.joins,
        "ran": checkpoint.ran,
    }


def encode_writes(writes: PendingWrites) -> bytes:
    """A task's pending writes as stored. Raises Unstorable, naming the channel or the task."""
    error = writes.error
    about = {
        "task_id": writes.task_id,
        "node": writes.node,
        "goto": [[to.node, to.arg] if isinstance(to, Send) else to for to in writes.goto],
        "resumes": list(writes.resumes),
        "interrupts": [
            {
                "value": interrupt.value,
                "id": interrupt.id,
                "ns": list(interrupt.ns),
                "response_schema": _plain(interrupt.response_schema),
            }
            for interrupt in writes.interrupts
        ],
        "error": None if error is None else [error.type, error.message, error.repr],
    }
    pairs = writes.writes
    stored = _StoredWrites(
        msgspec.Raw(encode(about, writes.node)),
        None if pairs is None else [(key, msgspec.Raw(encode(value, key))) for key, value in pairs],
    )
    return _encoder.encode(stored)


@attrs.frozen
class Unfolded:
    """A checkpoint whose channels have been put together. `length`: of its chain back to the full
    snapshot."""

    row: LogRow
    stored: _Stored
    folded: Folded
    length: int
    pending: Sequence[LogRow] = ()

    @property
    def seq(self) -> int:
        return self.row.seq

    @property
    def base_seq(self) -> int:
        return self.row.base_seq or self.row.seq

    def saved(self) -> Saved:
        """The checkpoint and its pending writes, decoded; a later write replaces an earlier one."""
        about = decode(self.stored.about)
        checkpoint = Checkpoint(
            id=self.row.checkpoint_id,
            ns=self.row.ns,
            parent_id=about["parent"],
            step=about["step"],
            source=about["source"],
            created_at=about["created_at"],
            values={channel: decode(raw) for channel, raw in self.folded.values.items()},
            changed=tuple(about["changed"]),
            next=tuple(_planned(self.row.checkpoint_id, *task) for task in about["next"]),
            joins={name: tuple(arrived) for name, arrived in about["joins"].items()},
            ran=tuple(about["ran"]),
            metadata=decode(self.folded.metadata),
        )
        pending = [_decode_writes(row) for row in self.pending]
        return Saved(checkpoint, {writes.task_id: writes for writes in pending})


def unfold(page: LogPage) -> list[Unfolded]:
    """The checkpoints that a page was read for, newest first.

    Raises StorageError if the page lacks what they are made of.
    """
    done: dict[str, Unfolded] = {}
    for row in page.checkpoints:
        stored = _read(_checkpoint_decoder, row)
        if row.base_seq == row.seq:
            parent = None
        else:
            parent = done.get(decode(stored.about)["parent"])
            if parent is None:
                continue  # of a branch that begins before this page and was not asked for
        before = _NOTHING if parent is None else parent.folded
        raws = dict(before.values)
        for channel in stored.gone:
            del raws[channel]
        for channel, tail in stored.grown.items():
            raws[channel] = _extended(raws[channel], bytes(tail))
        for channel, raw in stored.values.items():
            raws[channel] = bytes(raw)
        length = 1 if parent is None else parent.length + 1
        pending = [w for w in page.writes if w.checkpoint_id == row.checkpoint_id]
        metadata = bytes(stored.metadata) or before.metadata
        folded = Folded(raws, metadata)
        done[row.checkpoint_id] = Unfolded(row, stored, folded, length, pending)
    missing = [wanted for wanted in page.wanted if wanted not in done]
    if missing:
        raise StorageError(f"The log is damaged: checkpoint {missing[0]} lacks an ancestor")
    return [done[wanted] for wanted in page.wanted]


def _grew(old: bytes, new: bytes) -> bool:
    """Whether `new` is the list `old`, which is not empty, with more at its end."""
    end = len(old) - 1
    return old.startswith(b"[") and new.startswith(old[:end]) and new[end : end + 1] == b","


def _extended(old: bytes, tail: bytes) -> bytes:
    return old[:-1] + b"," + tail[1:]


def _read(decoder: msgspec.json.Decoder[S], row: LogRow) -> S:
    try:
        return decoder.decode(row.data)
    except msgspec.MsgspecError as error:
        raise StorageError(
            f"The log of thread {row.thread_id} is damaged at {row.seq}: {error}"
        ) from error


def _planned(checkpoint_id: str, node: str, index: int | None, arg: Any, *origin: str) -> Planned:
    return Planned(node, index, arg, *(origin or (checkpoint_id,)))


def _plain(mapping: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if mapping is None else dict(mapping)


def _decode_writes(row: LogRow) -> PendingWrites:
    stored = _read(_writes_decoder, row)
    about: dict[str, Any] = decode(stored.about)
    return PendingWrites(
        checkpoint_id=row.checkpoint_id,
        ns=row.ns,
        task_id=about["task_id"],
        node=about["node"],
        writes=None
        if stored.writes is None
        else tuple((channel, decode(raw)) for channel, raw in stored.writes),
        goto=tuple(Send(*to) if isinstance(to, list) else to for to in about["goto"]),
        resumes=tuple(about["resumes"]),
        interrupts=tuple(
            Interrupt(
                value=one["value"],
                id=one["id"],
                ns=tuple(one["ns"]),
                response_schema=one["response_schema"],
            )
            for one in about["interrupts"]
        ),
        error=None if about["error"] is None else TaskError(*about["error"]),
    )
