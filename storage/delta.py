"""Records of the log as bytes: a checkpoint as what changed since its parent.

`{"about": …, "nth": 3, "values": {channel: value}, "grown": {channel: [new elements]}, "lists":
{channel: [id, length]}, "gone": [channel], "metadata": …}`. A channel that is in none of these is
as it was at the parent, and so is metadata that is not there; a full snapshot, the first of a
chain, has them all. `lists` are those that have records of their own. Values are in the stored form
of `codec`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

import attrs
import msgspec

from greenroom.graph.checkpoint import Checkpoint, PendingWrites, Planned, Saved
from greenroom.graph.control import START, Interrupt, Send
from greenroom.graph.failure import TaskError

from .codec import Types, Unstorable, decode, kept
from .contract import LogPage, StorageError
from .lists import Edit, LongList, elements_of, following, raw_elements
from .records import LogRow

__all__ = [
    "NOTHING",
    "Encoded",
    "Folded",
    "Stored",
    "Unfolded",
    "decode_writes",
    "decoded",
    "encode_checkpoint",
    "encode_writes",
    "read_checkpoint",
    "record_of",
    "split_writes",
    "unfold",
    "writes_of",
]

S = TypeVar("S")
_AS_AT_PARENT: Final = msgspec.Raw()


@attrs.frozen
class Folded:
    """A checkpoint's channels and metadata in stored form: what its child is compared with."""

    values: dict[str, bytes | LongList]
    metadata: bytes
    # The object that `metadata` was made of, which a run's checkpoints share, and whether it comes
    # back as plain data in part.
    source: Mapping[str, Any] | None = None
    plain: bool = False

    def metadata_of(self, checkpoint: Checkpoint, types: Types) -> tuple[bytes, bool]:
        """The same of another checkpoint."""
        if checkpoint.metadata is self.source:
            return self.metadata, self.plain
        raw, unknown = kept(dict(checkpoint.metadata), "checkpoint.metadata", types)
        types.tell(unknown, "a checkpoint's metadata")
        return raw, bool(unknown)


class Stored(msgspec.Struct, forbid_unknown_fields=True):
    """A checkpoint as it is stored."""

    about: msgspec.Raw
    nth: int
    values: dict[str, msgspec.Raw] = {}
    grown: dict[str, msgspec.Raw] = {}
    lists: dict[str, tuple[int, int]] = {}
    gone: list[str] = []
    metadata: msgspec.Raw = _AS_AT_PARENT


@attrs.frozen
class _StoredWrites:
    about: msgspec.Raw
    writes: list[tuple[str, msgspec.Raw]] | None


_encoder = msgspec.json.Encoder()
_checkpoint_decoder = msgspec.json.Decoder(Stored)
_writes_decoder = msgspec.json.Decoder(_StoredWrites)


NOTHING: Final = Folded({}, b"")


@attrs.define
class Encoded:
    """A checkpoint as stored, and the edits of long lists before it. `input`: what START is given.
    `plain`: the channels that were encoded now and come back as plain data in part; `plain_next`,
    `plain_metadata`: whether these do so too."""

    data: bytes
    input: bytes | None
    edits: Sequence[Edit]
    folded: Folded
    plain: Collection[str]
    plain_next: bool
    plain_metadata: bool

    def as_read(self, checkpoint: Checkpoint, plain: Mapping[str, Any], types: Types) -> Checkpoint:
        """The checkpoint as it comes back. `plain`: the values that are plain data."""
        if plain:
            checkpoint = attrs.evolve(checkpoint, values={**checkpoint.values, **plain})
        if self.plain_next:
            about = decode(_checkpoint_decoder.decode(self.data).about, types)
            planned = _next(checkpoint.id, about, self.input, types)
            checkpoint = attrs.evolve(checkpoint, next=planned)
        if self.plain_metadata:
            metadata = decode(self.folded.metadata, types)
            checkpoint = attrs.evolve(checkpoint, metadata=metadata)
        return checkpoint


def encode_checkpoint(
    checkpoint: Checkpoint, parent: Folded | None, types: Types, *, seq: int, nth: int
) -> Encoded:
    """A checkpoint as stored. `parent`: None where it is not known. `seq`: the position of the
    first record that it takes. `nth`: its place in the chain; 1 for a full snapshot.

    Raises Unstorable, naming the channel.
    """
    before = NOTHING if parent is None else parent
    forms = {
        channel: form for channel, form in before.values.items() if channel in checkpoint.values
    }
    plain = []
    changed = []
    edits: list[Edit] = []
    for channel in checkpoint.values if parent is None else checkpoint.changed:
        if channel not in checkpoint.values:
            continue
        old, value = forms.get(channel), checkpoint.values[channel]
        form, edit, unknown = following(old, value, channel, types, seq + len(edits))
        if unknown:
            types.tell(unknown, f"channel {channel!r}")
            plain.append(channel)
        if form is not old:
            forms[channel] = form
            changed.append(channel)
        if edit is not None:
            edits.append(edit)
    full = nth == 1
    about, given, plain_next = _about(checkpoint, types, full=full)
    metadata, plain_metadata = before.metadata_of(checkpoint, types)
    data = record_of(about, before, forms, changed, metadata, nth=nth)
    folded = Folded(forms, metadata, checkpoint.metadata, plain_metadata)
    return Encoded(data, given, edits, folded, plain, plain_next, plain_metadata)


def record_of(
    about: Mapping[str, Any],
    before: Folded,
    forms: Mapping[str, bytes | LongList],
    changed: Collection[str],
    metadata: bytes,
    *,
    nth: int,
) -> bytes:
    """The `data` of a checkpoint's record. `before`: its parent, `NOTHING` where that is not known.
    `forms`: its channels. `changed`: those that may be others than before. `nth`: its place in the
    chain; 1 for a full snapshot, which has all of them.

    Raises Unstorable for a name that is no text.
    """
    full = nth == 1
    values: dict[str, msgspec.Raw] = {}
    grown: dict[str, msgspec.Raw] = {}
    lists: dict[str, tuple[int, int]] = {}
    for channel in forms if full else changed:
        form, old = forms[channel], before.values.get(channel)
        if isinstance(form, bytes):
            if not full and isinstance(old, bytes) and _grew(old, form):
                grown[channel] = msgspec.Raw(b"[" + form[len(old) :])
            elif full or form != old:
                values[channel] = msgspec.Raw(form)
        else:
            lists[channel] = (form.id, len(form.elements))
    gone = [] if full else [channel for channel in before.values if channel not in forms]
    stored: dict[str, Any] = {"about": about, "nth": nth}
    stored |= {
        name: part
        for name, part in (
            ("values", values),
            ("grown", grown),
            ("lists", lists),
            ("gone", gone),
        )
        if part
    }
    if full or metadata != before.metadata:
        stored["metadata"] = msgspec.Raw(metadata)
    try:
        return _encoder.encode(stored)
    except UnicodeEncodeError as error:
        raise Unstorable(f"checkpoint: a name in it is no text: {error}") from None


def _about(
    checkpoint: Checkpoint, types: Types, *, full: bool
) -> tuple[dict[str, Any], bytes | None, bool]:
    """What a checkpoint says beside values, what START is given, and whether what tasks are given
    comes back as plain data in part. The parent of one that is no full snapshot is the one before
    it."""
    plain = False
    given: bytes | None = None
    planned: list[tuple[Any, ...]] = []
    for task in checkpoint.next:
        arg = None
        if task.arg is not None:
            raw, unknown = kept(task.arg, task.node, types)
            types.tell(unknown, "what a task is given")
            plain = plain or bool(unknown)
            if task.node == START:
                given = raw
            else:
                arg = msgspec.Raw(raw)
        # Only a task that an earlier checkpoint had planned says so.
        origin = () if task.origin == checkpoint.id else (task.origin,)
        planned.append((task.node, task.index, arg, *origin))
    about: dict[str, Any] = {
        "step": checkpoint.step,
        "source": checkpoint.source,
        "created_at": checkpoint.created_at,
    }
    if full and checkpoint.parent_id is not None:
        about["parent"] = checkpoint.parent_id
    about |= {
        name: part
        for name, part in (
            ("changed", checkpoint.changed),
            ("next", planned),
            ("joins", checkpoint.joins),
            ("ran", checkpoint.ran),
        )
        if part
    }
    return about, given, plain


def encode_writes(writes: PendingWrites, types: Types) -> tuple[bytes, bool]:
    """A task's pending writes as stored, and whether they come back as they are, and not as plain
    data in part. Raises Unstorable, naming the channel or the task."""
    about: dict[str, Any] = {
        "task_id": writes.task_id,
        "node": writes.node,
        "goto": [[to.node, to.arg] if isinstance(to, Send) else to for to in writes.goto],
        "resumes": list(writes.resumes),
        "asked": list(writes.asked),
        "interrupts": [
            {
                "value": interrupt.value,
                "id": interrupt.id,
                "ns": list(interrupt.ns),
                "response_schema": _plain(interrupt.response_schema),
            }
            for interrupt in writes.interrupts
        ],
        "error": _fields(writes.error),
    }
    if writes.handles is not None:
        about["handles"] = _fields(writes.handles)
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
    stored = _read(_writes_decoder, row)
    return bytes(stored.about), [(name, bytes(raw)) for name, raw in stored.writes or ()]


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
            next=_next(self.row.checkpoint_id, about, self.row.input, types),
            joins={name: tuple(arrived) for name, arrived in about.get("joins", {}).items()},
            ran=tuple(about.get("ran", ())),
            metadata=decoded(self.row, "metadata", self.metadata, types),
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


def read_checkpoint(row: LogRow) -> Stored:
    """A record by itself. Raises StorageError if it is damaged."""
    return _read(_checkpoint_decoder, row)


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
            values[channel] = _extended(short, bytes(tail))
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
        raise _damaged(row, error) from error


def _damaged(row: LogRow, error: Exception) -> StorageError:
    return StorageError(f"The log of thread {row.thread_id} is damaged at {row.seq}: {error}")


def decoded(row: LogRow, what: str, data: bytes | msgspec.Raw, types: Types) -> Any:
    """A value in stored form. StorageError says in which record, and `what` it is there."""
    try:
        return decode(data, types)
    except StorageError as error:
        raise StorageError(
            f"Record {row.seq} of the log of thread {row.thread_id} cannot be read: {what}: {error}"
        ) from error


def _next(
    checkpoint_id: str, about: Mapping[str, Any], given: bytes | None, types: Types
) -> tuple[Planned, ...]:
    planned = []
    for node, index, arg, *origin in about.get("next", ()):
        if node == START and given is not None:
            arg = decode(given, types)
        planned.append(Planned(node, index, arg, *(origin or (checkpoint_id,))))
    return tuple(planned)


def _plain(mapping: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if mapping is None else dict(mapping)


def _fields(error: TaskError | None) -> list[str] | None:
    return None if error is None else list(attrs.astuple(error))


def _task_error(fields: Sequence[str] | None) -> TaskError | None:
    return None if fields is None else TaskError(*fields)


def decode_writes(row: LogRow, types: Types) -> PendingWrites:
    """Raises StorageError, naming the record and the channel that cannot be read."""
    stored = _read(_writes_decoder, row)
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
        interrupts=tuple(
            Interrupt(
                value=one["value"],
                id=one["id"],
                ns=tuple(one["ns"]),
                response_schema=one["response_schema"],
            )
            for one in about["interrupts"]
        ),
        error=_task_error(about["error"]),
        handles=_task_error(about.get("handles")),
        caller=about.get("caller", ""),
    )
