"""What the API answers, as types: the records that clients see, and what else there is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import GenericAlias
from typing import Any, Final, Literal, NotRequired, TypedDict, get_args, get_type_hints

import attrs
import msgspec
from msgspec import UNSET, UnsetType

from greenroom.actors.views import ASSISTANT_FIELDS, CRON_FIELDS, RUN_FIELDS, THREAD_FIELDS
from greenroom.storage import records

from .fields import JsonObject, Time, Uuid

__all__ = [
    "ASSISTANT",
    "ASSISTANTS",
    "ASSISTANT_VERSIONS",
    "CRON",
    "CRONS",
    "EMPTY",
    "EVENTS",
    "JSON",
    "RUN",
    "RUNS",
    "RUNS_CREATED",
    "THREAD",
    "THREADS",
    "Answer",
    "Drawing",
    "ErrorResponse",
    "GraphSchema",
    "Info",
    "Item",
    "Items",
    "Namespaces",
    "Ok",
    "Pruned",
    "Schemas",
    "StateUpdated",
    "ThreadState",
]

JSON: Final = "application/json"


@attrs.frozen
class Answer:
    """What a request is answered with. `shape`: the type of its JSON; what is not JSON is a text.
    `headers`: what they say, by name."""

    text: str = "It is done"
    shape: Any = Any
    media: Collection[str] = (JSON,)
    headers: Mapping[str, str] = attrs.field(factory=dict)


EMPTY: Final = Answer(media=())
EVENTS: Final = Answer("Server-sent events", media=["text/event-stream"])


class ErrorResponse(TypedDict):
    """A request that failed, and why."""

    detail: str


class RunError(TypedDict):
    """How a run failed: the name of the error's type, and its text."""

    error: str
    message: str


class Interrupt(TypedDict):
    """A question that waits for an answer."""

    id: str
    value: Any


class TimeToLive(TypedDict):
    """When a thread expires, and what is done then. `expires_at`: null once that has been done."""

    strategy: Literal["delete", "keep_latest"]
    ttl_minutes: float
    expires_at: Time | None


class Checkpoint(TypedDict):
    thread_id: Uuid
    checkpoint_ns: str
    checkpoint_id: NotRequired[Uuid]
    checkpoint_map: NotRequired[dict[str, Any]]


class ThreadTask(TypedDict):
    """A task of a super-step. `state`: that of the graph inside it, where it was asked for."""

    id: str
    name: str
    path: list[Any]
    error: str | None
    interrupts: list[Interrupt]
    checkpoint: Checkpoint | None
    state: ThreadState | None
    result: Any


class ThreadState(TypedDict, total=False):
    """The state of a thread at a checkpoint. `next`: the nodes that come next. Has the fields that
    were selected; all where none were."""

    values: Any
    next: list[str]
    tasks: list[ThreadTask]
    metadata: JsonObject | None
    created_at: Time | None
    checkpoint: Checkpoint | None
    parent_checkpoint: Checkpoint | None
    interrupts: list[Interrupt]
    checkpoint_id: Uuid | None
    parent_checkpoint_id: Uuid | None


class StateUpdated(TypedDict):
    """The checkpoint that an edit of the state made."""

    checkpoint: Checkpoint
    configurable: Checkpoint
    checkpoint_id: Uuid


class Pruned(TypedDict):
    pruned_count: int


class DrawnNode(TypedDict):
    id: str
    type: NotRequired[str]
    data: NotRequired[JsonObject]
    metadata: NotRequired[JsonObject]


class DrawnEdge(TypedDict):
    source: str
    target: str
    data: NotRequired[str]
    conditional: NotRequired[bool]


class Drawing(TypedDict):
    """The nodes and edges of a graph."""

    nodes: list[DrawnNode]
    edges: list[DrawnEdge]


class GraphSchema(TypedDict):
    """JSON Schemas of what a graph takes and gives."""

    input_schema: JsonObject
    output_schema: JsonObject
    state_schema: JsonObject
    config_schema: JsonObject
    context_schema: JsonObject | None


class Schemas(GraphSchema):
    """JSON Schemas of what an assistant's graph takes and gives."""

    graph_id: str


class Item(TypedDict):
    """An item of the store."""

    namespace: list[str]
    key: str
    value: JsonObject
    created_at: Time
    updated_at: Time


class FoundItem(Item):
    """`score`: how well it fits what was asked for; null where nothing was."""

    score: float | None


class Items(TypedDict):
    items: list[FoundItem]


class Namespaces(TypedDict):
    namespaces: list[list[str]]


class Ok(TypedDict):
    ok: Literal[True]


class Info(TypedDict):
    """What the server is, and what it can do."""

    version: str
    langgraph_py_version: str
    flags: dict[str, bool]
    host: JsonObject
    metadata: JsonObject


# Records: their fields are those of what is stored, and what views add.

_PAGE: Final = {
    "X-Pagination-Total": "How many there are on all pages",
    "X-Pagination-Next": "The offset of the next page, if there is one",
}


def _record(name: str, doc: str, fields: Collection[str], stored: type, **others: Any) -> Any:
    """The type of a record in an answer. `others`: the types of fields that are more exact than
    those of what is stored, or not stored at all."""
    hints = {**get_type_hints(stored), **others}
    shapes = {field: _exact(field, hints[field]) for field in fields}
    return _struct(name, doc, shapes)


def _exact(name: str, hint: Any) -> Any:
    shape: Any = str
    if name.endswith(("_at", "_date", "end_time")):
        shape = Time
    elif name in ("thread_id", "run_id", "assistant_id", "cron_id"):
        shape = Uuid
    return shape if hint is str else shape | None if hint == str | None else hint


def _struct(name: str, doc: str, shapes: Mapping[str, Any]) -> Any:
    fields = [
        (field, shape, UNSET) if UnsetType in get_args(shape) else (field, shape)
        for field, shape in shapes.items()
    ]
    return msgspec.defstruct(name, fields, kw_only=True, namespace={"__doc__": doc})


def _selected(record: Any, headers: Mapping[str, str] = _PAGE, **more: Any) -> Answer:
    """Many records, with the fields that were asked for."""
    shapes = {
        name: hint | UnsetType for name, hint in get_type_hints(record, include_extras=True).items()
    }
    name = f"{record.__name__}Fields"
    doc = f"{record.__doc__} Has the fields that were selected; all where none were."
    return Answer(shape=GenericAlias(list, _struct(name, doc, {**shapes, **more})), headers=headers)


THREAD: Final = _record(
    "Thread",
    "A conversation. `values`: its newest state; null if nothing has run on it.",
    THREAD_FIELDS,
    records.Thread,
    values=Any,
    error=RunError | None,
    interrupts=dict[str, list[Interrupt]],
    ttl=TimeToLive | UnsetType,
)
THREADS: Final = _selected(THREAD, extracted=JsonObject | UnsetType)
RUN: Final = _record(
    "Run",
    "One request to a thread. `kwargs`: what it was asked to do.",
    RUN_FIELDS,
    records.Run,
    langsmith_session_name=None,
)
RUNS: Final = _selected(RUN, headers={})
RUNS_CREATED: Final = Answer(shape=GenericAlias(list, RUN))
ASSISTANT: Final = _record(
    "Assistant",
    "A graph with a configuration of its own. `version`: which of its versions it is now.",
    ASSISTANT_FIELDS,
    records.Assistant,
)
ASSISTANTS: Final = _selected(ASSISTANT)
ASSISTANT_VERSIONS: Final = Answer(
    shape=GenericAlias(
        list,
        _record(
            "AssistantVersion",
            "What an assistant was made, or changed to, and when.",
            [field.name for field in attrs.fields(records.AssistantVersion)],
            records.AssistantVersion,
        ),
    )
)
CRON: Final = _record(
    "Cron",
    "A run that is made again and again. `payload`: what a run is asked to do.",
    CRON_FIELDS,
    records.Cron,
    user_id=None,
)
CRONS: Final = _selected(CRON)
