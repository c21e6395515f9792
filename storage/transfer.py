"""Everything a store holds, as JSON lines or on its way to another store.

The first line says what it is, then each line is one record as it is stored:
`{"thread": {column: value}}`, `run`, `log`, `event`, `assistant`, `assistant_version`, `item`,
`cron`, `post`. What belongs to a thread or an assistant follows it, but crons, which come when all
threads are there. The last line counts them: an export without it was cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, Final, TypeGuard

import attrs
import msgspec

from . import scans
from .contract import Stats, Storage, StorageError
from .operations import AppendEvents, AppendLog, Operation, PutItem, Restore
from .records import (
    Assistant,
    AssistantVersion,
    Cron,
    Event,
    ItemRow,
    Kind,
    LogRow,
    Post,
    Row,
    Run,
    Thread,
)
from .rows import COLUMNS, from_row

__all__ = ["Record", "everything", "from_lines", "how_many", "take_in", "to_lines"]

Record = Restore | LogRow | Event | PutItem

VERSION: Final = 1
GROUP: Final = 500  # records committed at a time,
GROUP_BYTES: Final = 4 * 1024 * 1024  # and their size at most, unless one alone is larger

_KINDS: Final[dict[str, Kind]] = {
    "thread": Thread,
    "run": Run,
    "assistant": Assistant,
    "assistant_version": AssistantVersion,
    "cron": Cron,
    "post": Post,
}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}


def how_many(stats: Stats) -> int:
    """How many records `everything` gives."""
    counts = [count.values() for count in (stats.threads, stats.runs, stats.log)]
    others = (stats.assistant_versions, stats.crons, stats.posts, stats.items)
    return sum(map(sum, counts)) + stats.events + stats.assistants + sum(others)


def everything(storage: Storage) -> Iterator[Record]:
    """All that is stored. A thread comes with its runs, log and events, as of one moment; so does
    an assistant with its versions."""
    for then, assistant in scans.assistants(storage):
        yield Restore(Assistant, assistant)
        for page in scans.versions(then, assistant["assistant_id"]):
            yield from (Restore(AssistantVersion, row) for row in page)
    for items in scans.items(storage):
        yield from (item for _, item in items)
    for then, thread in scans.threads(storage):
        yield Restore(Thread, thread)
        yield from _belongings(then, thread["thread_id"])
    for page in scans.crons(storage):
        yield from (Restore(Cron, row) for row in page)
    for page in scans.posts(storage):
        yield from (Restore(Post, row) for row in page)


def _belongings(storage: Storage, thread_id: str) -> Iterator[Record]:
    for runs in scans.runs(storage, thread_id):
        yield from (Restore(Run, row) for row in runs)
    yield from chain.from_iterable(scans.log(storage, thread_id))
    yield from chain.from_iterable(scans.events(storage, thread_id))


# Lines.


@attrs.frozen(kw_only=True)
class _Log:
    """A `LogRow` whose bytes are text."""

    thread_id: str
    seq: int
    kind: str
    ns: str
    checkpoint_id: str
    base_seq: int | None
    data: str
    lists: tuple[int, ...]
    input: str | None
    run_id: str | None


@attrs.frozen(kw_only=True)
class _Event:
    thread_id: str
    event_id: int
    run_id: str
    name: str
    data: str


@attrs.frozen(kw_only=True)
class _Item:
    """A `PutItem`; `value` is the JSON itself."""

    namespace: tuple[str, ...]
    key: str
    value: msgspec.Raw
    created_at: str
    updated_at: str
    ttl: float | None
    expires_at: str | None
    text: str
    vectors: tuple[tuple[float, ...], ...]


@attrs.frozen
class _Header:
    greenroom_export: int


_encoder: Final = msgspec.json.Encoder()
_line_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def to_lines(records: Iterable[Record]) -> Iterator[bytes]:
    """An export, line by line. Raises StorageError for a record that is no text."""
    yield _encoder.encode(_Header(VERSION)) + b"\n"
    number = 0
    for record in records:
        yield _encoder.encode(_as_line(record)) + b"\n"
        number += 1
    yield _encoder.encode({"end": number}) + b"\n"


def _as_line(record: Record) -> dict[str, Any]:
    if isinstance(record, Restore):
        return {_NAMES[record.kind]: record.row}
    if isinstance(record, PutItem):
        item = attrs.asdict(record.item, recurse=False)
        item["value"] = msgspec.Raw(record.item.value)
        return {"item": _Item(**item, text=record.text, vectors=record.vectors)}
    values = attrs.asdict(record, recurse=False)
    try:
        values["data"] = record.data.decode()
    except UnicodeDecodeError as error:
        where = f"Record {record.seq} of the log" if isinstance(record, LogRow) else "An event"
        text = f"{where} of thread {record.thread_id} is damaged: {error}"
        raise StorageError(text) from error
    if isinstance(record, Event):
        return {"event": _Event(**values)}
    del values["count"]
    values["input"] = None if record.input is None else record.input.decode()
    return {"log": _Log(**values)}


def from_lines(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """The records of an export. `name`: what errors call it.

    Raises StorageError for what is no export, of a newer format, damaged (with the line's number)
    or cut short; the records before that have been given by then.
    """
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (1, b""))
    try:
        version = msgspec.json.decode(first, type=_Header).greenroom_export
    except msgspec.MsgspecError:
        raise StorageError(f"{name} is no export of Greenroom's") from None
    if version > VERSION:
        raise StorageError(
            f"{name} was written by a newer version of Greenroom: it has the format {version}"
        )
    records = 0
    for number, line in numbered:
        try:
            ((kind, raw),) = _line_decoder.decode(line).items()
            if kind == "end":
                if msgspec.json.decode(raw, type=int) != records:
                    raise ValueError(f"{records} records came before it")
                return
            yield _record(kind, raw)
        except (ValueError, StorageError) as error:
            if not line.endswith(b"\n"):
                break
            raise StorageError(f"{name}, line {number}: {error}") from error
        records += 1
    raise StorageError(
        f"{name} is not complete: it ends after {records} records; what is whole was taken in"
    )


def _record(kind: str, raw: msgspec.Raw) -> Record:
    if kind == "log":
        log = attrs.asdict(msgspec.json.decode(raw, type=_Log), recurse=False)
        log["data"] = log["data"].encode()
        log["input"] = None if log["input"] is None else log["input"].encode()
        return LogRow(**log)
    if kind == "event":
        event = attrs.asdict(msgspec.json.decode(raw, type=_Event), recurse=False)
        return Event(**{**event, "data": event["data"].encode()})
    if kind == "item":
        item = attrs.asdict(msgspec.json.decode(raw, type=_Item), recurse=False)
        text, vectors = item.pop("text"), item.pop("vectors")
        return PutItem(ItemRow(**{**item, "value": bytes(item["value"])}), text, vectors)
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is no kind of record")
    row: Row = msgspec.json.decode(raw, type=dict[str, Any])
    if row.keys() != set(COLUMNS[_KINDS[kind]]):
        wrong = sorted(row.keys() ^ set(COLUMNS[_KINDS[kind]]))
        raise ValueError(f"a {kind} lacks or does not have {', '.join(wrong)}")
    from_row(_KINDS[kind], row)  # type: ignore[type-var]  # any of them
    return Restore(_KINDS[kind], row)


# Taking in.


def take_in(
    records: Iterable[Record], storage: Storage, commit: Callable[[Sequence[Operation]], object]
) -> None:
    """Put records into a store, by `commit`, which applies a group.

    What is there already in the same form is passed over, so that an import that was cut short is
    simply made again. What is there in another is a StorageError, and stays as it is; so is what
    does not follow the thread or the assistant that it belongs to. What came before is taken in.
    """
    importer = _Importer(storage, commit)
    try:
        for unit in _units(records):
            importer.add(unit)
    finally:
        importer.finish()


def _units(records: Iterable[Record]) -> Iterator[Sequence[Record]]:
    """What is taken in together: an assistant and its versions, of which it would make one itself;
    anything else alone."""
    unit: list[Restore] = []
    for record in records:
        if _is_a(record, AssistantVersion):
            if not unit or unit[0].row["assistant_id"] != record.row["assistant_id"]:
                raise StorageError(f"{_name(record)} does not follow its assistant")
            unit.append(record)
            continue
        if unit:
            yield unit
        unit = [record] if _is_a(record, Assistant) else []
        if not unit:
            yield [record]
    if unit:
        yield unit


@attrs.define
class _Importer:
    """As `take_in`, unit by unit; `finish` at the end."""

    storage: Storage
    commit: Callable[[Sequence[Operation]], object]
    _waiting: list[Record] = attrs.field(init=False, factory=list)
    _bytes: int = attrs.field(init=False, default=0)
    # The last thread, and what the store has of it already, by its name for people.
    _thread_id: str = attrs.field(init=False, default="")
    _of_thread: dict[str, Record] = attrs.field(init=False, factory=dict)

    def add(self, unit: Sequence[Record]) -> None:
        """Take records in together. Raises StorageError, and has none of them then."""
        if not self._gives_way(unit[0]):
            unit = [record for record in unit if not self._is_there(record)]
        self._waiting += unit
        self._bytes += sum(map(_size, unit))
        if len(self._waiting) >= GROUP or self._bytes >= GROUP_BYTES:
            self.finish()

    def finish(self) -> None:
        """Make durable what was taken in. Raises StorageError."""
        if self._waiting:
            self.commit(_gathered(self._waiting))
        self._waiting, self._bytes = [], 0

    def _gives_way(self, record: Record) -> bool:
        """Whether what is there is an assistant that was never changed since a server made it, as
        every server does for its graphs, and is another."""
        if not _is_a(record, Assistant):
            return False
        kept = self.storage.get_assistant(record.row["assistant_id"])
        return (
            kept is not None
            and kept.metadata == {"created_by": "system"}
            and kept.created_at == kept.updated_at
            and kept != from_row(Assistant, record.row, self.storage.types)
        )

    def _is_there(self, record: Record) -> bool:
        """Whether a record is there in the same form. Raises StorageError where it is there in
        another."""
        kept, given = self._kept(record)
        if kept not in (None, given):
            raise StorageError(f"{_name(record)} is there already, and is not the same")
        return kept is not None

    def _kept(self, record: Record) -> tuple[object, object]:
        """What is in the place of a record, None if nothing is, and the record in the same form."""
        storage = self.storage
        if isinstance(record, PutItem):
            return storage.get_item(record.item.namespace, record.item.key, now=""), record.item
        if not isinstance(record, Restore) or record.kind is Run:
            thread_id = record.row["thread_id"] if isinstance(record, Restore) else record.thread_id
            if thread_id != self._thread_id:
                raise StorageError(f"{_name(record)} does not follow its thread")
            return self._of_thread.get(_name(record)), record
        kept: object
        row, kind = record.row, record.kind
        if kind is Thread:
            self._thread_id = row["thread_id"]
            kept = storage.get_thread(self._thread_id)
            there = () if kept is None else _belongings(storage, self._thread_id)
            self._of_thread = {_name(one): one for one in there}
        elif kind is Assistant:
            kept = storage.get_assistant(row["assistant_id"])
        elif kind is AssistantVersion:
            kept = storage.get_assistant_version(row["assistant_id"], row["version"])
        elif kind is Cron:
            kept = storage.get_cron(row["cron_id"])
        else:
            kept = storage.get_post(row["post_id"])
        return kept, from_row(kind, row, storage.types)  # type: ignore[type-var]  # any of them


def _is_a(record: Record, kind: Kind) -> TypeGuard[Restore]:
    return isinstance(record, Restore) and record.kind is kind


def _name(record: Record) -> str:
    """What errors call a record."""
    match record:
        case PutItem(item):
            return f"Item {'.'.join(item.namespace)}, key {item.key!r}"
        case LogRow(thread_id=thread_id, seq=seq):
            return f"Record {seq} of the log of thread {thread_id}"
        case Event(thread_id=thread_id, event_id=event_id):
            return f"Event {event_id} of thread {thread_id}"
    row, kind = record.row, record.kind
    if kind is Run:
        return f"Run {row['run_id']} of thread {row['thread_id']}"
    if kind is AssistantVersion:
        return f"Version {row['version']} of assistant {row['assistant_id']}"
    return f"{kind.__name__} {row[COLUMNS[kind][0]]}"


def _gathered(records: Iterable[Record]) -> list[Operation]:
    """The operations that add records, those of one kind after the other as one."""
    operations: list[Operation] = []
    for kind, some in groupby(records, type):
        if kind is LogRow:
            operations.append(AppendLog(tuple(one for one in some if isinstance(one, LogRow))))
        elif kind is Event:
            operations.append(AppendEvents(tuple(one for one in some if isinstance(one, Event))))
        else:
            operations += [one for one in some if isinstance(one, (Restore, PutItem))]
    return operations


def _size(record: Record) -> int:
    if isinstance(record, Restore):
        return sum(len(value) for value in record.row.values() if isinstance(value, str))
    return len(record.item.value if isinstance(record, PutItem) else record.data)
