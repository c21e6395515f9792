"""Records as rows: one column for each field, JSON text where the field is more than a scalar.

Metadata is searched inside the database, so that it must be plain JSON; everything else may carry
what `codec.encode` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs
import msgspec
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from .codec import Types, decode, encode, encode_json
from .codec.types import PLAIN
from .errors import StorageError
from .namespaces import from_text
from .queries import CronQuery, Query
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

__all__ = [
    "COLUMNS",
    "MEASURED",
    "RUN_CHANGES",
    "RUN_COLUMNS",
    "RUN_TABLE",
    "THREAD_TABLE",
    "Filter",
    "Row",
    "all_of",
    "contains",
    "cron_columns",
    "from_row",
    "from_values",
    "log_values",
    "or_update",
    "ordered",
    "to_event",
    "to_item",
    "to_log_row",
    "to_row",
    "version_row",
]

Filter = tuple[str, list[Any]]  # a WHERE clause, or nothing, and its values
R = TypeVar("R", Thread, Run, Assistant, AssistantVersion, Cron, Post)


def to_row(record: Thread | Run | Assistant | AssistantVersion | Cron | Post) -> Row:
    """A record's columns by name. Raises Unstorable, naming the field."""
    if not isinstance(record, Run):
        row: Row = _converter.unstructure(record)
        return row
    row = _converter.unstructure(record)
    # Apart, because the log refers to it: see `LogRow.input`.
    is_given = "input" in record.kwargs
    row["input"] = encode(record.kwargs["input"], "input").decode() if is_given else None
    return row


def version_row(assistant: Row) -> Row:
    """The version that an assistant is now, both as they are stored."""
    row = {column: assistant[column] for column in COLUMNS[AssistantVersion]}
    return {**row, "created_at": assistant["updated_at"]}


def from_row(kind: type[R], row: Row, types: Types = PLAIN) -> R:
    """The record that was made into `row`. StorageError if the row is damaged, or holds an object
    that does not fit its class.

    `types`: the storage's own.
    """
    try:
        typed: dict[str, Any] = {
            name: None if (text := row[name]) is None else decode(text.encode(), types)
            for name in _TYPED[kind]
        }
        if row.get("input") is not None:
            typed["kwargs"] = {"input": typed.pop("input"), **typed["kwargs"]}
        return _converter.structure({**row, **typed}, kind)
    except Exception as error:
        key = next(iter(row.values()), None)
        raise StorageError(f"The stored {kind.__name__} {key} cannot be read: {error}") from error


def from_values(kind: type[R], values: Iterable[Any], types: Types) -> R:
    """As `from_row`, from the values in the order of COLUMNS."""
    return from_row(kind, dict(zip(COLUMNS[kind], values, strict=True)), types)


def log_values(row: LogRow) -> tuple[Any, ...]:
    """`seq, kind, ns, checkpoint_id, base_seq, data, lists` of a log record."""
    lists = encode_json(list(row.lists)).decode() if row.lists else None
    return (row.seq, row.kind, row.ns, row.checkpoint_id, row.base_seq, row.data, lists)


def to_log_row(thread_id: str, values: Iterable[Any], run_id: str | None = None) -> LogRow:
    """A log record from `seq, kind, ns, checkpoint_id, base_seq, data, lists, input, count`.

    `run_id`: of the run that the input is taken from, where that is asked for.
    """
    seq, kind, ns, checkpoint_id, base_seq, data, lists, given, count = values
    return LogRow(
        thread_id=thread_id,
        seq=seq,
        kind=kind,
        ns=ns,
        checkpoint_id=checkpoint_id,
        base_seq=base_seq,
        data=data,
        lists=() if lists is None else tuple(msgspec.json.decode(lists)),
        count=count,
        input=None if given is None else given.encode(),
        run_id=run_id,
    )


def to_event(values: Iterable[Any]) -> Event:
    """An event from `thread_id, run_id, event_id, name, data`."""
    thread_id, run_id, event_id, name, data = values
    return Event(thread_id=thread_id, run_id=run_id, event_id=event_id, name=name, data=data)


def to_item(values: Iterable[Any]) -> ItemRow:
    """An item from `namespace, key, value, created_at, updated_at, ttl, expires_at`."""
    namespace, key, value, created_at, updated_at, ttl, expires_at = values
    return ItemRow(
        namespace=from_text(namespace),
        key=key,
        value=value.encode(),
        created_at=created_at,
        updated_at=updated_at,
        ttl=ttl,
        expires_at=expires_at,
    )


def all_of(conditions: Iterable[str]) -> str:
    """All of the conditions, as a clause; nothing where there are none."""
    joined = " AND ".join(conditions)
    return f"WHERE {joined}" if joined else ""


def or_update(key: Iterable[str], columns: Iterable[str]) -> str:
    """What has an INSERT change these columns instead, where a row has its key already."""
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns)
    return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changes}"


def ordered(kind: Kind, query: Query, *before: str) -> str:
    """What a query sorts by, as it follows ORDER BY; `before`: columns that come first. Ties are
    broken by age, the oldest first; those of threads, and of what is as old, by id in the same
    direction, which is that of the indexes. StorageError for what is no column."""
    if query.sort_by not in COLUMNS[kind]:
        raise StorageError(f"{kind.__name__} records cannot be sorted by {query.sort_by!r}")
    way = "DESC" if query.descending else "ASC"
    known, ident = attrs.fields_dict(kind), COLUMNS[kind][0]
    ways = dict.fromkeys((*before, query.sort_by), way)
    by_age = kind is not Thread and query.sort_by != "created_at"
    ties = {"created_at": "ASC", ident: "ASC"} if by_age else {ident: way}
    return ", ".join(
        f"{column} {towards}{_nulls_last(known, column)}"
        for column, towards in {**ways, **ties, **ways}.items()
    )


def _nulls_last(known: Mapping[str, Any], column: str) -> str:
    return " NULLS LAST" if column in known and known[column].default is None else ""


def cron_columns(query: CronQuery) -> Row:
    """What columns of a cron must hold to fit, but for its metadata."""
    enabled = None if query.enabled is None else int(query.enabled)
    wanted = {
        "assistant_id": query.assistant_id,
        "thread_id": query.thread_id,
        "enabled": enabled,
    }
    return {column: value for column, value in wanted.items() if value is not None}


def contains(have: Any, want: Any) -> bool:
    """Whether the JSON value `have` contains `want`, at any depth.

    A dict contains each wanted key, a list has for each wanted element one that contains it,
    scalars are equal: 1 is 1.0 but not true.
    """
    if isinstance(want, dict):
        return isinstance(have, dict) and all(
            key in have and contains(have[key], value) for key, value in want.items()
        )
    if isinstance(want, list):
        return isinstance(have, list) and all(
            any(contains(one, value) for one in have) for value in want
        )
    return isinstance(have, bool) == isinstance(want, bool) and bool(have == want)


def _strict(kind: type) -> Any:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}")
        return value

    return check


def _flag(value: Any, _: Any) -> bool:
    if type(value) is not int or value not in (0, 1):
        raise TypeError(f"{value!r} is neither 0 nor 1")
    return bool(value)


def _optional_tuple(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(msgspec.json.decode(text))


def _column(name: str) -> Any:
    """How a field that is more than a scalar is written and read."""
    if name == "metadata":
        return override(
            unstruct_hook=lambda value: encode_json(value, name).decode(),
            struct_hook=lambda text, _: msgspec.json.decode(text),
        )
    if name == "kwargs":
        return override(
            unstruct_hook=lambda kwargs: encode(
                {key: value for key, value in kwargs.items() if key != "input"}, name
            ).decode(),
            struct_hook=lambda value, _: value,
        )
    if name == "bound":
        return override(
            unstruct_hook=lambda ids: (
                None if ids is None else encode_json(list(ids), name).decode()
            ),
            struct_hook=lambda text, _: _optional_tuple(text),
        )
    return override(
        unstruct_hook=lambda value: None if value is None else encode(value, name).decode(),
        struct_hook=lambda value, _: value,  # `from_row` has decoded it
    )


_JSON = {
    Thread: ("metadata", "config", "error", "interrupts", "ttl"),
    Run: ("kwargs", "metadata", "bound", "error"),
    Assistant: ("config", "context", "metadata"),
    AssistantVersion: ("config", "context", "metadata"),
    Cron: ("payload", "metadata"),
    Post: ("body",),
}
_TYPED = {kind: set(names) - {"metadata", "bound"} for kind, names in _JSON.items()}
_TYPED[Run].add("input")
COLUMNS: Mapping[Kind, tuple[str, ...]] = {
    kind: tuple(field.name for field in attrs.fields(kind)) for kind in _JSON
}
COLUMNS = {**COLUMNS, Run: (*COLUMNS[Run], "input")}
RUN_COLUMNS = ", ".join(  # of `runs r JOIN threads t`
    "t.thread_id" if name == "thread_id" else f"r.{name}" for name in COLUMNS[Run]
)
# The columns of tables that are not just those of their records.
THREAD_TABLE = (*COLUMNS[Thread], "facts")
RUN_TABLE = tuple(name for name in COLUMNS[Run] if name != "thread_id")
RUN_CHANGES = [name for name in RUN_TABLE if name not in ("run_id", "input")]  # of one put again
MEASURED: Mapping[str, Iterable[str]] = {  # tables, and the columns whose bytes are counted
    "threads": COLUMNS[Thread],
    "runs": RUN_TABLE,
    "log": ("ns", "checkpoint_id", "data", "lists", "input"),
    "events": ("name", "data"),
    "assistants": COLUMNS[Assistant],
    "assistant_versions": COLUMNS[AssistantVersion],
    "crons": COLUMNS[Cron],
    "posts": COLUMNS[Post],
    "items": ("namespace", "key", "value"),
}

_converter = Converter(detailed_validation=False)
for _scalar in (str, int):
    _converter.register_structure_hook(_scalar, _strict(_scalar))
_converter.register_structure_hook(bool, _flag)
_converter.register_unstructure_hook(bool, int)  # as every database has it
for _kind, _names in _JSON.items():
    _overrides = {name: _column(name) for name in _names}
    _converter.register_unstructure_hook(
        _kind, make_dict_unstructure_fn(_kind, _converter, **_overrides)
    )
    _converter.register_structure_hook(
        _kind, make_dict_structure_fn(_kind, _converter, **_overrides)
    )
