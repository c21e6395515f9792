"""A checkpoint as a record of the log: what changed since its parent.

`{"about": …, "nth": 3, "values": {channel: value}, "grown": {channel: [new elements]}, "lists":
{channel: [id, length]}, "gone": [channel], "metadata": …}`. A channel that is in none of these is
as it was at the parent, and so is metadata that is not there; a full snapshot, the first of a
chain, has them all. `lists` are those that have records of their own. Values are in the stored form
of `codec`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import attrs
import msgspec

from greenroom.graph.checkpoint import Checkpoint, Planned
from greenroom.graph.control import START

from .codec import Types, Unstorable, decode, kept
from .damage import read_record
from .lists import Edit, LongList, following
from .pending import tried_fields
from .records import LogRow

__all__ = [
    "NOTHING",
    "Encoded",
    "Folded",
    "Stored",
    "encode_checkpoint",
    "extended",
    "planned_by",
    "read_checkpoint",
    "record_of",
]

_AS_AT_PARENT: Final = msgspec.Raw()


class _About(msgspec.Struct, omit_defaults=True):
    """What a checkpoint says beside values, as it is stored."""

    step: int
    source: str
    created_at: str
    parent: str | None = None
    changed: tuple[str, ...] = ()
    next: list[tuple[Any, ...]] = []
    joins: Mapping[str, tuple[str, ...]] = {}
    ran: tuple[str, ...] = ()
    results: msgspec.Raw | None = None
    tried: msgspec.Raw | None = None
    engine: msgspec.Raw | None = None


class Stored(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A checkpoint as it is stored."""

    about: msgspec.Raw
    nth: int
    values: dict[str, msgspec.Raw] = {}
    grown: dict[str, msgspec.Raw] = {}
    lists: dict[str, tuple[int, int]] = {}
    gone: list[str] = []
    metadata: msgspec.Raw = _AS_AT_PARENT


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Stored)


def read_checkpoint(row: LogRow) -> Stored:
    """A record by itself. Raises StorageError if it is damaged."""
    return read_record(_decoder, row)


@attrs.define
class Folded:
    """A checkpoint's channels and metadata in stored form: what its child is compared with. It is
    not changed once it is made."""

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
            about = decode(_decoder.decode(self.data).about, types)
            planned = planned_by(checkpoint.id, about, self.input, types)
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
    about: _About | Mapping[str, Any],
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
    same = not full and metadata == before.metadata
    try:
        stored = Stored(
            about=msgspec.Raw(_encoder.encode(about)),
            nth=nth,
            values=values,
            grown=grown,
            lists=lists,
            gone=gone,
            metadata=_AS_AT_PARENT if same else msgspec.Raw(metadata),
        )
        return _encoder.encode(stored)
    except UnicodeEncodeError as error:
        raise Unstorable(f"checkpoint: a name in it is no text: {error}") from None


def _about(
    checkpoint: Checkpoint, types: Types, *, full: bool
) -> tuple[_About, bytes | None, bool]:
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
        more: tuple[str, ...] = () if task.origin == checkpoint.id else (task.origin,)
        if task.given_id:
            more = (checkpoint.id, task.given_id)
        planned.append((task.node, task.index, arg, *more))
    about = _About(
        checkpoint.step,
        checkpoint.source,
        checkpoint.created_at,
        checkpoint.parent_id if full else None,
        checkpoint.changed,
        planned,
        checkpoint.joins,
        checkpoint.ran,
        _results(checkpoint, types),
        _tried(checkpoint, types),
    )
    if checkpoint.engine:
        raw, unknown = kept(dict(checkpoint.engine), "checkpoint.engine", types)
        types.tell(unknown, "what the graph's engine keeps for itself")
        about.engine = msgspec.Raw(raw)
    return about, given, plain


def _results(checkpoint: Checkpoint, types: Types) -> msgspec.Raw | None:
    """What tasks wrote; only for the reader, so that what cannot be stored is left out."""
    if not checkpoint.results:
        return None
    stored: list[dict[str, Any]] = []
    for result in checkpoint.results:
        stored.append({})
        for key, part in result.items():
            if len(part) != 1:
                stored[-1][key] = part
                continue
            with suppress(Unstorable):
                raw, _ = kept(part[0], key, types)
                stored[-1][key] = [msgspec.Raw(raw)]
    return msgspec.Raw(_encoder.encode(stored))


def _tried(checkpoint: Checkpoint, types: Types) -> msgspec.Raw | None:
    """What tasks had come to before, likewise."""
    if not checkpoint.tried:
        return None
    with suppress(Unstorable):
        return msgspec.Raw(kept(list(map(tried_fields, checkpoint.tried)), "tried", types)[0])
    return None


def planned_by(
    checkpoint_id: str, about: Mapping[str, Any], given: bytes | None, types: Types
) -> tuple[Planned, ...]:
    """The tasks that a checkpoint has to do next. `given`: what START is given."""
    planned = []
    for node, index, arg, *more in about.get("next", ()):
        if node == START and given is not None:
            arg = decode(given, types)
        origin = more[0] if more else checkpoint_id
        given_id = more[1] if len(more) > 1 else ""
        planned.append(Planned(node, index, arg, origin, given_id=given_id))
    return tuple(planned)


def _grew(old: bytes, new: bytes) -> bool:
    """Whether `new` is the list `old`, which is not empty, with more at its end."""
    end = len(old) - 1
    return old.startswith(b"[") and new.startswith(old[:end]) and new[end : end + 1] == b","


def extended(old: bytes, tail: bytes) -> bytes:
    """The list `old`, which is not empty, with the elements of another at its end."""
    return old[:-1] + b"," + tail[1:]
