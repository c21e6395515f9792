"""What a task has come to as a record of the log: its pending writes, interrupts and errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from greenroom.graph.checkpoint import PendingWrites, Tried
from greenroom.graph.control import Interrupt, Send
from greenroom.graph.failure import TaskError

from .codec import Types, kept
from .damage import decoded, read_record
from .records import LogRow

__all__ = [
    "decode_writes",
    "encode_writes",
    "split_writes",
    "tried_fields",
    "tried_of",
    "writes_of",
]


@attrs.frozen
class _StoredWrites:
    about: msgspec.Raw
    writes: list[tuple[str, msgspec.Raw]] | None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_StoredWrites)


def encode_writes(writes: PendingWrites, types: Types) -> tuple[bytes, bool]:
    """A task's pending writes as stored, and whether they come back as they are, and not as plain
    data in part. Raises Unstorable, naming the channel or the task."""
    about: dict[str, Any] = {
        "task_id": writes.task_id,
        "node": writes.node,
        "goto": [[to.node, to.arg] if isinstance(to, Send) else to for to in writes.goto],
        "resumes": list(writes.resumes),
        "asked": list(writes.asked),
        "interrupts": _questions(writes.interrupts),
        "error": _fields(writes.error),
    }
    if writes.handles is not None:
        about["handles"] = _fields(writes.handles)
    if writes.tried is not None:
        about["tried"] = tried_fields(writes.tried)
    if writes.caller:
        about["caller"] = writes.caller
    told, unknown = kept(about, writes.node, types)
    types.tell(unknown, f"what node {writes.node!r} asks, is told or sends")
    exact = not unknown
    pairs: list[tuple[str, bytes]] | None = None
    if writes.writes is not None:
        pairs = []
        for key, value in writes.writes:
            # A call's result is no channel's: errors name the call.
            name = writes.node if writes.caller else key
            raw, unknown = kept(value, name, types)
            types.tell(unknown, f"channel {name!r}")
            exact = exact and not unknown
            pairs.append((key, raw))
    return writes_of(told, pairs), exact


def writes_of(about: bytes, pairs: Sequence[tuple[str, bytes]] | None) -> bytes:
    """The `data` of a record of pending writes, from stored forms."""
    raws = None if pairs is None else [(name, msgspec.Raw(raw)) for name, raw in pairs]
    return _encoder.encode(_StoredWrites(msgspec.Raw(about), raws))


def split_writes(row: LogRow) -> tuple[bytes, list[tuple[str, bytes]]]:
    """What `writes_of` made the record of. Raises StorageError if it is damaged."""
    stored = read_record(_decoder, row)
    return bytes(stored.about), [(name, bytes(raw)) for name, raw in stored.writes or ()]


def decode_writes(row: LogRow, types: Types) -> PendingWrites:
    """Raises StorageError, naming the record and the channel that cannot be read."""
    stored = read_record(_decoder, row)
    about: dict[str, Any] = decoded(row, "what a task has come to", stored.about, types)
    return PendingWrites(
        checkpoint_id=row.checkpoint_id,
        ns=row.ns,
        task_id=about["task_id"],
        node=about["node"],
        writes=None
        if stored.writes is None
        else tuple(
            (channel, decoded(row, f"channel {channel!r}", raw, types))
            for channel, raw in stored.writes
        ),
        goto=tuple(Send(*to) if isinstance(to, list) else to for to in about["goto"]),
        resumes=tuple(about["resumes"]),
        asked=tuple(about.get("asked", ())),
        interrupts=_interrupts(about["interrupts"]),
        error=_task_error(about["error"]),
        handles=_task_error(about.get("handles")),
        tried=tried_of(about.get("tried")),
        caller=about.get("caller", ""),
    )


def tried_fields(tried: Tried | None) -> dict[str, Any] | None:
    """What a task had come to, as it is stored."""
    if tried is None:
        return None
    return {"interrupts": _questions(tried.interrupts), "error": _fields(tried.error)}


def tried_of(stored: Mapping[str, Any] | None) -> Tried | None:
    """What `tried_fields` was given."""
    if stored is None:
        return None
    return Tried(_interrupts(stored["interrupts"]), _task_error(stored["error"]))


def _questions(interrupts: Iterable[Interrupt]) -> list[dict[str, Any]]:
    return [
        {
            "value": one.value,
            "id": one.id,
            "ns": list(one.ns),
            "response_schema": None if one.response_schema is None else dict(one.response_schema),
        }
        for one in interrupts
    ]


def _interrupts(stored: Iterable[Mapping[str, Any]]) -> tuple[Interrupt, ...]:
    return tuple(Interrupt(**{**one, "ns": tuple(one["ns"])}) for one in stored)


def _fields(error: TaskError | None) -> list[str] | None:
    return None if error is None else list(attrs.astuple(error))


def _task_error(fields: Sequence[str] | None) -> TaskError | None:
    return None if fields is None else TaskError(*fields)
