"""Long lists in the log: their elements are records of their own, and are stored once.

A `list` record appends elements to a list, a `splice` record changes or removes some by position.
The first one of a list gives it its id. What a list was at a checkpoint is what its records before
that checkpoint make. Once it is sure that they will not be taken back, many small records become
one `pack`, which an older checkpoint reads as far as its own length.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from operator import is_
from typing import Any, Final, Literal

import attrs
import msgspec

from .codec import Types, Unstorable, kept
from .contract import StorageError
from .damage import damaged, read_record
from .records import LogRow

__all__ = [
    "LOOSE",
    "Edit",
    "LongList",
    "elements_of",
    "first_of",
    "following",
    "following_bytes",
    "raw_elements",
    "read_splices",
]

LONG: Final = 512  # bytes; a shorter list is stored whole
A_RECORD: Final = 256  # bytes that could be read in the time that finding a record takes
SLACK: Final = 64 * A_RECORD
LOOSE: Final = 64  # records that are worth being packed

_TOO_MUCH: Final = 2**62

Splice = tuple[int, int, list[msgspec.Raw]]  # where, how many to remove, what to put there

_encoder = msgspec.json.Encoder()
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_splices = msgspec.json.Decoder(list[Splice])


@attrs.frozen(eq=False)
class LongList:
    """A list as the log has it.

    `id`: the position of its first record. `elements`: the objects that it was appended with.
    `size`: the bytes of its JSON. `cost`: of reading its records, in bytes. `loose`: how many of
    them could be packed; None where there are splices, which packing would get in the way of.
    """

    id: int
    elements: Sequence[Any]
    size: int
    cost: int
    loose: int | None = 1

    @classmethod
    def of(
        cls, list_id: int, elements: Sequence[Any], records: Sequence[LogRow], surplus: int
    ) -> LongList:
        """A list that was read. `surplus`: elements that were rolled back, but are in a pack."""
        cost = sum(len(record.data) + record.count * A_RECORD for record in records)
        size = sum(len(record.data) for record in records if record.kind != "splice")
        loose: int | None = sum(r.count for r in records if r.kind in ("list", "array"))
        if any(record.kind == "splice" for record in records):
            loose = None
        return cls(list_id, elements, size, _TOO_MUCH if surplus else cost, loose)

    def after(
        self, elements: Sequence[Any], size: int, record: int, *, splice: bool = False
    ) -> LongList | None:
        """The list with one more record of so many bytes; None where it is to begin anew, so that
        what reading it takes stays in proportion to it."""
        cost = self.cost + record + A_RECORD
        if cost > 3 * size + SLACK:
            return None
        loose = None if splice or self.loose is None else self.loose + 1
        return LongList(self.id, elements, size, cost, loose)

    @property
    def raw(self) -> bytes:
        """Its JSON, where the elements are in stored form."""
        return b"[" + b",".join(self.elements) + b"]"

    def packed(self) -> LongList:
        """The list once its loose records are one."""
        cost = self.cost - (self.loose or 1) * A_RECORD + A_RECORD
        return attrs.evolve(self, cost=cost, loose=0)


@attrs.frozen
class Edit:
    """A record of a list to be made. `data`: elements joined by commas, or splices."""

    kind: Literal["list", "splice"]
    list_id: int
    data: bytes


def following(
    old: bytes | LongList | None, value: Any, name: str, types: Types, seq: int
) -> tuple[bytes | LongList, Edit | None, Collection[type]]:
    """How a channel's new value is stored: whole, or as a list with an edit of it at position
    `seq`; and the classes in it that `types` does not know.

    `old`: how its value before is stored. An element that is the same object as before is the
    same: nobody changes in place what the state holds. Raises Unstorable.
    """
    if type(value) is not list:
        raw, unknown = kept(value, name, types)
        return raw, None, unknown
    if isinstance(old, LongList) and _starts_with(value, old.elements):
        if len(value) == len(old.elements):
            return attrs.evolve(old, elements=value), None, ()
        added, unknown = _added(value, len(old.elements), name, types)
        grown = old.after(value, old.size + len(added) + 1, len(added))
        if grown is not None and not unknown:
            return grown, Edit("list", old.id, added), ()
    raw, unknown = kept(value, name, types)
    if unknown or len(raw) < LONG:
        return raw, None, unknown
    if isinstance(old, LongList):
        before, _ = kept(list(old.elements), name, types)
        if raw == before:
            return attrs.evolve(old, elements=value), None, ()
        edit = _edit(old.id, before, raw)
        edited = old.after(value, len(raw), len(edit.data), splice=edit.kind == "splice")
        if edited is not None and len(edit.data) < len(raw):
            return edited, edit, ()
    return LongList(seq, value, len(raw), len(raw)), Edit("list", seq, raw[1:-1]), ()


def following_bytes(
    old: bytes | LongList | None, raw: bytes, seq: int
) -> tuple[bytes | LongList, Edit | None]:
    """As `following`, from a value's stored form alone, for values that others may have changed in
    place since. The elements of these lists are in stored form too."""
    if not raw.startswith(b"[") or len(raw) < LONG:
        return raw, None
    elements = raw_elements(raw)
    if isinstance(old, LongList):
        before = old.raw
        if raw == before:
            return old, None
        edit = _edit(old.id, before, raw)
        edited = old.after(elements, len(raw), len(edit.data), splice=edit.kind == "splice")
        if edited is not None and len(edit.data) < len(raw):
            return edited, edit
    return LongList(seq, elements, len(raw), len(raw)), Edit("list", seq, raw[1:-1])


def raw_elements(raw: bytes) -> list[msgspec.Raw]:
    """The elements of a list, each in stored form. Raises StorageError if it is damaged."""
    try:
        return _raws.decode(raw)
    except msgspec.MsgspecError as error:
        raise StorageError(f"A stored list is damaged: {error}") from error


def elements_of(records: Sequence[LogRow]) -> bytes:
    """A list as JSON, from its records in order. Raises StorageError if they are damaged."""
    if len(records) == 1 and records[0].kind == "array":
        return records[0].data  # not copied: what is long takes its time
    if all(record.kind in ("list", "pack") for record in records):
        return b"[" + b",".join([record.data for record in records]) + b"]"
    elements: list[msgspec.Raw] = []
    for record in records:
        if record.kind == "splice":
            for at, removed, put in read_splices(record):
                elements[at : at + removed] = put
            continue
        try:
            whole = record.data if record.kind == "array" else b"[" + record.data + b"]"
            elements += _raws.decode(whole)
        except msgspec.MsgspecError as error:
            raise damaged(record, error) from error
    return _encoder.encode(elements)


def first_of(records: Sequence[LogRow], length: int) -> bytes:
    """The first elements of a list, joined by commas. Raises StorageError if they are damaged."""
    raw = elements_of(records)
    try:
        elements = _raws.decode(raw)
    except msgspec.MsgspecError as error:
        raise damaged(records[0], error) from error
    if len(elements) < length:
        raise damaged(records[0], ValueError(f"{length - len(elements)} elements are missing"))
    return raw[1:-1] if len(elements) == length else _encoder.encode(elements[:length])[1:-1]


def read_splices(record: LogRow) -> list[Splice]:
    """What a `splice` record does, in order. Raises StorageError if it is damaged."""
    return read_record(_splices, record)


def _starts_with(value: list[Any], elements: Sequence[Any]) -> bool:
    return len(value) >= len(elements) and all(map(is_, elements, value))


def _added(value: list[Any], start: int, name: str, types: Types) -> tuple[bytes, Collection[type]]:
    try:
        raw, unknown = kept(value[start:], name, types)
    except Unstorable:
        kept(value, name, types)  # says where in the whole list it is
        raise
    return raw[1:-1], unknown


def _edit(list_id: int, before: bytes, raw: bytes) -> Edit:
    if raw.startswith(before[:-1] + b","):
        return Edit("list", list_id, raw[len(before) : -1])
    changes = _changes(_raws.decode(before), _raws.decode(raw))
    return Edit("splice", list_id, _encoder.encode(changes))


def _changes(old: Sequence[msgspec.Raw], new: Sequence[msgspec.Raw]) -> list[Splice]:
    """What turns `old` into `new`, from the end to the start, so that positions hold."""
    before, after = [bytes(one) for one in old], [bytes(one) for one in new]
    start = _alike(before, after)
    end = _alike(before[start:][::-1], after[start:][::-1])
    middle = (before[start : len(before) - end], after[start : len(after) - end])
    found = SequenceMatcher(None, *middle).get_opcodes()
    return [
        (start + one, until - one, list(new[start + put : start + put_until]))
        for kind, one, until, put, put_until in reversed(found)
        if kind != "equal"
    ]


def _alike(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many elements are the same at the start."""
    both = min(len(one), len(other))
    return next((at for at in range(both) if one[at] != other[at]), both)
