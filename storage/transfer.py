"""Everything a store holds, as JSON lines or on its way to another store.

The first line says what it is, then each line is one record as it is stored:
`{"thread": {column: value}}`, `run`, `log`, `event`, `assistant`, `assistant_version`, `item`,
`cron`, `post`. What belongs to a thread or an assistant follows it, but crons, which come when all
threads are there. The last line counts them: an export without it was cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, groupby
from typing import Any, Final

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

__all__ = ["Importer", "Record", "everything", "from_lines", "how_many", "to_lines"]

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
        f"{name} is not complete: it ends after {records} records, which were taken in"
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


@attrs.define
class _Known:
    """What a store has of a thread already."""

    thread_id: str
    runs: dict[str, Restore] = attrs.field(factory=dict)
    log: dict[int, LogRow] = attrs.field(factory=dict)
    events: dict[int, Event] = attrs.field(factory=dict)

    def find(self, record: Record) -> Record | None:
        """What is there in the place of a record."""
        match record:
            case LogRow(thread_id=self.thread_id):
                return self.log.get(record.seq)
            case Event(thread_id=self.thread_id):
                return self.events.get(record.event_id)
            case Restore(row={"run_id": run_id, "thread_id": self.thread_id}):
                return self.runs.get(run_id)
        return None


@attrs.define
class Importer:
    """Puts records into a store by `commit`, which applies a group; `finish` at the end.

    What is there already in the same form is passed over, so that an import that was cut short is
    simply made again. A thread that is there and is another is a StorageError.
    """

    storage: Storage
    commit: Callable[[Sequence[Operation]], object]
    _waiting: list[Record] = attrs.field(init=False, factory=list)
    _bytes: int = attrs.field(init=False, default=0)
    _known: _Known | None = attrs.field(init=False, default=None)

    def add(self, record: Record) -> None:
        """Take a record in. Raises StorageError."""
        if isinstance(record, Restore) and record.kind is Thread:
            self._known = self._look(record.row)
            if self._known is not None:
                return
        elif isinstance(record, PutItem):
            item = record.item
            kept = self.storage.get_item(item.namespace, item.key, now="")
            if kept is not None:
                if kept != item:
                    place = f"{'.'.join(item.namespace)}, key {item.key!r}"
                    raise _another(f"Item {place}")
                return
        elif isinstance(record, Restore) and record.kind in (Cron, Post):
            if self._is_there(record):
                return
        elif isinstance(record, Restore) and record.kind is Assistant:
            self._check_assistant(record.row)
        elif self._known is not None and (there := self._known.find(record)) is not None:
            if there != record:
                raise _another(f"Thread {self._known.thread_id}")
            return
        self._waiting.append(record)
        self._bytes += _size(record)
        if len(self._waiting) >= GROUP or self._bytes >= GROUP_BYTES:
            self.finish()

    def finish(self) -> None:
        """Make durable what was taken in. Raises StorageError."""
        if self._waiting:
            self.commit(_gathered(self._waiting))
        self._waiting, self._bytes = [], 0

    def _check_assistant(self, row: Row) -> None:
        """One that was never changed since it was made gives way: every server makes those of its
        graphs."""
        ident = row["assistant_id"]
        kept = self.storage.get_assistant(ident)
        if kept is None or kept == from_row(Assistant, row, self.storage.types):
            return
        if kept.created_at != kept.updated_at:
            raise _another(f"Assistant {ident}")

    def _is_there(self, record: Restore) -> bool:
        """Whether a cron or a post is there, in the same form."""
        there: Cron | Post | None
        given: Cron | Post
        if record.kind is Cron:
            there = self.storage.get_cron(ident := record.row["cron_id"])
            given = from_row(Cron, record.row, self.storage.types)
        else:
            there = self.storage.get_post(ident := record.row["post_id"])
            given = from_row(Post, record.row, self.storage.types)
        if there not in (None, given):
            raise _another(f"{record.kind.__name__} {ident}")
        return there is not None

    def _look(self, row: Row) -> _Known | None:
        thread_id = row["thread_id"]
        kept = self.storage.get_thread(thread_id)
        if kept is None:
            return None
        if kept != from_row(Thread, row, self.storage.types):
            raise _another(f"Thread {thread_id}")
        known = _Known(thread_id)
        for record in _belongings(self.storage, thread_id):
            match record:
                case Restore():
                    known.runs[record.row["run_id"]] = record
                case LogRow():
                    known.log[record.seq] = record
                case Event():
                    known.events[record.event_id] = record
        return known


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


def _another(what: str) -> StorageError:
    return StorageError(f"{what} is there already, and is not the same")
