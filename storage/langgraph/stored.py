"""LangGraph's checkpoints and writes in the stored form of our log, and back.

A checkpoint's channels are the values of its record. Each version and what each node has seen are
values too, under reserved names, so that one that did not change is not stored again. What remains
is in `about`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    writes_sort_key,
)
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from greenroom.graph.langgraph.plain import plain
from greenroom.graph.langgraph.records import config_of

from ..codec import Types, Unstorable, kept
from ..codec.types import PLAIN
from ..damage import decoded
from ..delta import NOTHING, Folded, record_of
from ..errors import StorageError
from ..lists import LOOSE, LongList, following_bytes
from ..log import SNAPSHOT_EVERY
from ..operations import Operation, PackList
from ..pending import split_writes, writes_of
from ..records import LogRow
from ..unfolded import Unfolded

__all__ = [
    "HISTORY",
    "SEEN",
    "VERSION",
    "Head",
    "Stored",
    "about_of",
    "folded_writes",
    "metadata_of",
    "rows_of",
    "stored_form",
    "to_stored",
    "to_tuple",
    "write_row",
]

VERSION: Final = "~version/"  # of a channel
SEEN: Final = "~seen/"  # the versions that a node has seen
HISTORY: Final = "~history/"  # of a delta channel whose ancestors are gone
RESERVED: Final = (VERSION, SEEN, HISTORY)

_KNOWN: Final = frozenset(Checkpoint.__annotations__)


@attrs.frozen
class Stored:
    """A checkpoint in stored form.

    `about`: as JSON. `values`: a long list that is the parent's stands as it is there.
    """

    id: str
    ns: str
    parent_id: str | None
    about: Mapping[str, Any]
    values: Mapping[str, bytes | LongList]
    metadata: bytes

    @classmethod
    def of(cls, one: Unfolded) -> Stored:
        """A checkpoint that was read."""
        about = about_of(one)
        parent_id = about.pop("parent", one.parent_id)
        values = {channel: one.raw(channel) for channel in one.values}
        return cls(one.row.checkpoint_id, one.row.ns, parent_id, about, values, one.metadata)


@attrs.frozen
class Head:
    """The newest checkpoint of a namespace, for the next one to be compared with."""

    id: str
    about: Mapping[str, Any]
    folded: Folded
    base_seq: int
    length: int

    @classmethod
    def of(cls, one: Unfolded) -> Head:
        folded = Folded(one.forms(), one.metadata)
        return cls(one.row.checkpoint_id, about_of(one), folded, one.base_seq, one.length)

    def packs(self, thread_id: str) -> list[Operation]:
        """What keeps its long lists quick to read."""
        forms = self.folded.values
        operations: list[Operation] = []
        for channel, form in forms.items():
            if isinstance(form, LongList) and (form.loose or 0) >= LOOSE:
                forms[channel] = form.packed()
                operations.append(PackList(thread_id, form.id))
        return operations


def about_of(one: Unfolded) -> dict[str, Any]:
    """What a checkpoint says beside its values, as JSON. StorageError if it is not LangGraph's."""
    about: dict[str, Any] = msgspec.json.decode(one.about)
    if "v" not in about:
        raise StorageError(
            f"Thread {one.row.thread_id} was made by a graph of Greenroom's, not of LangGraph's"
        )
    return about


def stored_form(value: Any, name: str, types: Types) -> bytes:
    """A value in stored form. What LangGraph stores as something plainer is that here too:
    exceptions as text, subclasses of `dict` and the like as these. Raises Unstorable.
    """
    try:
        raw, unknown = kept(value, name, types)
    except Unstorable as error:
        try:
            value = plain(value)
        except RecursionError:
            raise error from None
        raw, unknown = kept(value, name, types)
    types.tell(unknown, f"channel {name!r}")
    return raw


def to_stored(
    checkpoint: Checkpoint,
    metadata: CheckpointMetadata,
    new_versions: ChannelVersions,
    ns: str,
    parent_id: str | None,
    head: Head | None,
    types: Types,
) -> Stored:
    """A checkpoint to be put. Channels whose version is the head's are not encoded again, where the
    head is its parent."""
    values: dict[str, bytes | LongList] = {}
    before = head if head is not None and head.id == parent_id else None
    for channel, version in checkpoint["channel_versions"].items():
        values[VERSION + channel] = stored_form(version, channel, types)
    for node, seen in checkpoint["versions_seen"].items():
        values[SEEN + node] = stored_form(seen, node, types)
    snapshots = []
    for channel, value in checkpoint["channel_values"].items():
        if channel.startswith(RESERVED):
            raise Unstorable(f"channel {channel!r}: names that begin so are reserved")
        is_snapshot = type(value) is _DeltaSnapshot
        if is_snapshot:
            snapshots.append(channel)
        old = {} if before is None else before.folded.values
        version = VERSION + channel
        if (
            channel not in new_versions
            and channel in old
            and values.get(version) == old.get(version)
        ):
            values[channel] = old[channel]
            continue
        values[channel] = stored_form(value.value if is_snapshot else value, channel, types)
    # Kept for the next snapshot to be compared with: a list has grown by then.
    stale = []
    if before is not None:
        for channel in (*before.about.get("snapshots", ()), *before.about.get("stale", ())):
            if channel not in values and VERSION + channel in values:
                values[channel] = before.folded.values[channel]
                stale.append(channel)
    more = {key: value for key, value in checkpoint.items() if key not in _KNOWN}
    told = dict(metadata)
    step, source = told.get("step"), told.get("source")
    whole = type(step) is not int or type(source) is not str or not source
    if not whole:
        del told["step"], told["source"]  # they change every time, the rest seldom
    about: dict[str, Any] = {
        "step": -2 if whole else step,
        "source": "" if whole else source,
        "created_at": checkpoint["ts"],
        "v": checkpoint["v"],
    }
    updated = checkpoint.get("updated_channels")
    about |= {
        name: part
        for name, part in (
            ("updated", None if updated is None else list(updated)),
            ("snapshots", snapshots or None),
            ("stale", stale or None),
            ("more", msgspec.Raw(stored_form(more, "checkpoint", types)) if more else None),
        )
        if part is not None
    }
    raw = stored_form(told, "metadata", types)
    return Stored(checkpoint["id"], ns, parent_id, about, values, raw)


def rows_of(
    stored: Stored, thread_id: str, seq: int, head: Head | None
) -> tuple[list[LogRow], Head]:
    """The records of a checkpoint from position `seq` on, and the head that it is then."""
    before = head if head is not None and head.id == stored.parent_id else None
    full = before is None or before.length >= SNAPSHOT_EVERY
    old = NOTHING if before is None else before.folded
    rows: list[LogRow] = []
    forms: dict[str, bytes | LongList] = {}
    changed = []

    def add(kind: Any, base_seq: int, data: bytes, **more: Any) -> None:
        rows.append(
            LogRow(
                thread_id=thread_id,
                seq=seq + len(rows),
                kind=kind,
                ns=stored.ns,
                base_seq=base_seq,
                data=data,
                **more,
            )
        )

    for channel, value in stored.values.items():
        if isinstance(value, LongList):
            forms[channel] = value
            continue
        form, edit = following_bytes(old.values.get(channel), value, seq + len(rows))
        forms[channel] = form
        if form is not old.values.get(channel):
            changed.append(channel)
        if edit is not None:
            add(edit.kind, edit.list_id, edit.data, checkpoint_id="")
    place = seq + len(rows)
    about = dict(stored.about)
    if full and stored.parent_id is not None:
        about["parent"] = stored.parent_id
    nth = 1 if full or before is None else before.length + 1
    base_seq = place if full or before is None else before.base_seq
    data = record_of(about, old, forms, changed, stored.metadata, nth=nth)
    lists = tuple(form.id for form in forms.values() if isinstance(form, LongList))
    add("checkpoint", base_seq, data, checkpoint_id=stored.id, lists=lists)
    return rows, Head(stored.id, about, Folded(forms, stored.metadata), base_seq, nth)


def write_row(
    thread_id: str,
    ns: str,
    checkpoint_id: str,
    seq: int,
    writes: Sequence[tuple[str, Any]],
    task: tuple[str, str],
    types: Types,
) -> LogRow:
    """A record of what a task wrote. `task`: its id and its path."""
    about, _ = kept(list(task), "task", PLAIN)
    pairs = [(channel, stored_form(value, channel, types)) for channel, value in writes]
    return LogRow(
        thread_id=thread_id,
        seq=seq,
        kind="writes",
        ns=ns,
        checkpoint_id=checkpoint_id,
        base_seq=None,
        data=writes_of(about, pairs),
    )


def folded_writes(rows: Iterable[LogRow]) -> list[tuple[LogRow, str, str, bytes]]:
    """The writes of a checkpoint in the order of its tasks: record, task id, channel, value. Of two
    by one task in one place the first counts; of its errors, interrupts and answers the last."""
    found: dict[tuple[str, int], tuple[tuple[str, str, int], tuple[LogRow, str, str, bytes]]] = {}
    for row in rows:
        about, pairs = split_writes(row)
        task_id, path = msgspec.json.decode(about, type=tuple[str, str])
        for at, (channel, raw) in enumerate(pairs):
            place = WRITES_IDX_MAP.get(channel, at)
            if place < 0 or (task_id, place) not in found:
                order = writes_sort_key(path, task_id, place)
                found[task_id, place] = (order, (row, task_id, channel, raw))
    return [write for _, write in sorted(found.values(), key=lambda one: one[0])]


def metadata_of(one: Unfolded, types: Types) -> dict[str, Any]:
    """A checkpoint's metadata."""
    metadata: dict[str, Any] = decoded(one.row, "metadata", one.metadata, types)
    about = about_of(one)
    if about["source"]:
        return {"source": about["source"], "step": about["step"], **metadata}
    return metadata


def to_tuple(one: Unfolded, types: Types) -> CheckpointTuple:
    """A checkpoint as LangGraph has it. StorageError names the record and the channel that cannot
    be read."""
    about = about_of(one)
    stale, snapshots = about.get("stale", ()), about.get("snapshots", ())
    values: dict[str, Any] = {}
    versions: dict[str, Any] = {}
    seen: dict[str, Any] = {}
    for name in one.values:
        if name in stale or name.startswith(HISTORY):
            continue
        value = decoded(one.row, f"channel {name!r}", one.raw(name), types)
        if name.startswith(VERSION):
            versions[name.removeprefix(VERSION)] = value
        elif name.startswith(SEEN):
            seen[name.removeprefix(SEEN)] = value
        else:
            values[name] = _DeltaSnapshot(value) if name in snapshots else value
    checkpoint: Any = {
        "v": about["v"],
        "id": one.row.checkpoint_id,
        "ts": about["created_at"],
        "channel_values": values,
        "channel_versions": versions,
        "versions_seen": seen,
        "updated_channels": about.get("updated"),
    }
    if "more" in about:
        checkpoint |= decoded(one.row, "more", msgspec.json.encode(about["more"]), types)
    parent_id = about.get("parent", one.parent_id)
    pending: list[PendingWrite] = [
        (task_id, channel, decoded(row, f"channel {channel!r}", raw, types))
        for row, task_id, channel, raw in folded_writes(one.pending)
    ]
    row = one.row
    metadata: Any = metadata_of(one, types)
    return CheckpointTuple(
        config=config_of(row.thread_id, row.ns, row.checkpoint_id),
        checkpoint=checkpoint,
        metadata=metadata,
        parent_config=None if parent_id is None else config_of(row.thread_id, row.ns, parent_id),
        pending_writes=pending,
    )
