"""What clients send: bodies, as attrs classes.

What does not fit raises `Invalid`, naming the field and the value. Unknown fields are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict, TypeVar

import attrs
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request

from greenroom.actors import Invalid
from greenroom.actors.multitask import Standing, Strategy
from greenroom.storage.queries import AssistantSort, CronSort, ThreadSort
from greenroom.storage.records import ThreadStatus

from .decoding import DecodingError, decode
from .fields import (
    AssistantField,
    AssistantName,
    CronField,
    GraphName,
    JsonObject,
    Label,
    Limit,
    Minutes,
    Offset,
    Seconds,
    SortOrder,
    StateField,
    StreamMode,
    ThreadField,
    ThreadTtl,
    Uuid,
)

__all__ = [
    "AssistantCount",
    "AssistantCreate",
    "AssistantLatest",
    "AssistantPatch",
    "AssistantSearch",
    "AssistantVersions",
    "CheckpointStateRequest",
    "CronCount",
    "CronCreate",
    "CronPatch",
    "CronSearch",
    "HistorySearch",
    "RunBody",
    "RunCreate",
    "RunCreateStateless",
    "RunFollow",
    "RunFollowStateless",
    "RunsCancel",
    "Search",
    "StateUpdate",
    "StoreDelete",
    "StoreNamespaces",
    "StorePut",
    "StoreSearch",
    "ThreadCount",
    "ThreadCreate",
    "ThreadPatch",
    "ThreadPrune",
    "ThreadSearch",
    "read",
]


class CheckpointConfig(TypedDict, total=False):
    thread_id: str | None
    checkpoint_id: Uuid | None
    checkpoint_ns: str | None
    checkpoint_map: JsonObject | None


class CheckpointPointer(CheckpointConfig, total=False):
    """A checkpoint, or the config that names one."""

    configurable: CheckpointConfig | None


class SendTo(TypedDict):
    node: str
    input: Any


class CommandBody(TypedDict, total=False):
    update: JsonObject | list[Any] | None
    resume: Any
    goto: str | SendTo | list[str | SendTo] | None


class RunConfig(TypedDict, total=False):
    tags: list[str] | None
    metadata: JsonObject | None
    recursion_limit: Annotated[int, Meta(ge=1)] | None
    max_concurrency: Annotated[int, Meta(ge=1)] | None
    run_name: str | None
    configurable: JsonObject | None


class _Body:
    def arguments(self) -> dict[str, Any]:
        """The fields that were given, as keyword arguments of the client."""
        return {
            name: value
            for name, value in attrs.asdict(self, recurse=False).items()  # type: ignore[arg-type]
            if value is not None and value is not UNSET
        }


# No slots here: a search inherits its conditions as well, and two bases with slots do not go.
@attrs.frozen(kw_only=True, slots=False)
class _Page(_Body):
    limit: Limit | None = None
    offset: Offset | None = None


@attrs.frozen(kw_only=True, slots=False)
class Search(_Page):
    """One page of records, and how it is shown; what else a search has says which."""

    sort_order: SortOrder | None = None

    def conditions(self) -> dict[str, Any]:
        """The arguments that say which records."""
        looks = ("limit", "offset", "sort_by", "sort_order", "select", "extract")
        return {name: value for name, value in self.arguments().items() if name not in looks}


@attrs.frozen(kw_only=True)
class _RunOptions(_Body):
    """What runs and crons have in common."""

    input: Any = None
    metadata: JsonObject | None = None
    config: RunConfig | None = None
    context: JsonObject | None = None
    interrupt_before: Literal["*"] | list[str] | None = None
    interrupt_after: Literal["*"] | list[str] | None = None
    stream_mode: StreamMode | list[StreamMode] | None = None
    stream_subgraphs: bool | None = None
    stream_resumable: bool | None = None
    durability: Literal["sync", "async", "exit"] | None = None
    checkpoint_during: bool | None = None
    webhook: str | None = None


@attrs.frozen(kw_only=True)
class RunBody(_RunOptions):
    """What all runs of clients have in common."""

    assistant_id: AssistantName
    command: CommandBody | None = None
    feedback_keys: list[str] | None = None
    on_disconnect: str | None = None  # matters to none that nobody follows
    after_seconds: Seconds | None = None
    multitask_strategy: Annotated[Strategy, Meta(examples=["enqueue"])] | UnsetType = UNSET
    strict_resume: bool | None = None


@attrs.frozen(kw_only=True)
class RunCreate(RunBody):
    """A run of a thread."""

    checkpoint: CheckpointConfig | None = None
    checkpoint_id: Uuid | None = None
    if_not_exists: Literal["create", "reject"] | None = None


@attrs.frozen(kw_only=True)
class RunCreateStateless(RunBody):
    """A run with a thread of its own."""

    on_completion: Literal["delete", "keep"] | None = None


@attrs.frozen(kw_only=True)
class RunFollow(RunCreate):
    """A run of a thread, waited for or followed."""

    on_disconnect: Literal["cancel", "continue"] | None = None


@attrs.frozen(kw_only=True)
class RunFollowStateless(RunCreateStateless):
    """A run with a thread of its own, waited for or followed."""

    on_disconnect: Literal["cancel", "continue"] | None = None


@attrs.frozen(kw_only=True)
class RunsCancel(_Body):
    thread_id: Uuid | None = None
    run_ids: list[Uuid] | None = None
    status: Literal["pending", "running", "all"] | None = None


@attrs.frozen(kw_only=True)
class ThreadCreate(_Body):
    thread_id: Uuid | None = None
    metadata: JsonObject | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    supersteps: list[JsonObject] | None = None
    ttl: ThreadTtl | None = None


@attrs.frozen(kw_only=True)
class ThreadPatch(_Body):
    metadata: JsonObject | None = None
    ttl: ThreadTtl | None = None


@attrs.frozen(kw_only=True)
class ThreadPrune(_Body):
    thread_ids: list[Uuid]
    strategy: Literal["delete", "keep_latest"] | None = None


@attrs.frozen(kw_only=True)
class ThreadCount(_Body):
    metadata: JsonObject | None = None
    values: JsonObject | None = None
    status: ThreadStatus | None = None


@attrs.frozen(kw_only=True)
class ThreadSearch(Search):
    metadata: JsonObject | None = None
    values: JsonObject | None = None
    ids: list[Uuid] | None = None
    status: ThreadStatus | None = None
    sort_by: ThreadSort | None = None
    select: list[ThreadField] | None = None
    extract: Annotated[dict[str, str], Meta(max_length=10)] | None = None


@attrs.frozen(kw_only=True)
class StateUpdate(_Body):
    values: JsonObject | list[Any] | None = None  # a list is refused with 400
    as_node: str | None = None
    checkpoint: CheckpointConfig | None = None
    checkpoint_id: Uuid | None = None


@attrs.frozen(kw_only=True)
class CheckpointStateRequest(_Body):
    checkpoint: CheckpointConfig
    subgraphs: bool | None = None
    select: list[StateField] | None = None


@attrs.frozen(kw_only=True)
class HistorySearch(_Body):
    limit: Limit = 1
    before: CheckpointPointer | Uuid | None = None
    metadata: JsonObject | None = None
    checkpoint: CheckpointConfig | None = None
    select: list[StateField] | None = None


@attrs.frozen(kw_only=True)
class AssistantCreate(_Body):
    graph_id: GraphName
    assistant_id: Uuid | UnsetType = UNSET
    config: JsonObject | UnsetType = UNSET
    context: JsonObject | UnsetType = UNSET
    metadata: JsonObject | UnsetType = UNSET
    if_exists: Literal["raise", "do_nothing"] | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | None = None


@attrs.frozen(kw_only=True)
class AssistantPatch(_Body):
    graph_id: GraphName | UnsetType = UNSET
    config: JsonObject | UnsetType = UNSET
    context: JsonObject | UnsetType = UNSET
    metadata: JsonObject | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET


@attrs.frozen(kw_only=True)
class AssistantVersions(_Page):
    metadata: JsonObject | None = None


@attrs.frozen(kw_only=True)
class AssistantLatest(_Body):
    version: int


@attrs.frozen(kw_only=True)
class AssistantCount(_Body):
    metadata: JsonObject | None = None
    graph_id: GraphName | None = None
    name: str | None = None


@attrs.frozen(kw_only=True)
class AssistantSearch(AssistantCount, Search):
    sort_by: AssistantSort | None = None
    select: list[AssistantField] | None = None


@attrs.frozen(kw_only=True)
class _CronBody(_RunOptions):
    multitask_strategy: Standing | UnsetType = UNSET
    timezone: str | None = None
    enabled: bool | None = None
    on_run_completed: Literal["delete", "keep"] | None = None


@attrs.frozen(kw_only=True)
class CronCreate(_CronBody):
    assistant_id: AssistantName
    schedule: str
    end_time: str | None = None


@attrs.frozen(kw_only=True)
class CronPatch(_CronBody):
    """`end_time`: null is no end."""

    schedule: str | None = None
    end_time: str | UnsetType | None = UNSET

    def arguments(self) -> dict[str, Any]:
        cleared = {"end_time": None} if self.end_time is None else {}
        return {**super().arguments(), **cleared}


@attrs.frozen(kw_only=True)
class CronCount(_Body):
    assistant_id: AssistantName | None = None
    thread_id: Uuid | None = None
    enabled: bool | None = None
    metadata: JsonObject | None = None


@attrs.frozen(kw_only=True)
class CronSearch(CronCount, Search):
    sort_by: CronSort | None = None
    select: list[CronField] | None = None


@attrs.frozen(kw_only=True)
class StorePut(_Body):
    namespace: Annotated[list[Label], Meta(extra_json_schema={"minItems": 1})]
    key: str
    value: JsonObject
    index: bool | list[str] | None = None
    ttl: Minutes | None = None


@attrs.frozen(kw_only=True)
class StoreDelete(_Body):
    key: str
    namespace: list[Label] | None = None


@attrs.frozen(kw_only=True)
class StoreSearch(_Page):
    namespace_prefix: list[Label] | None = None
    filter: JsonObject | None = None
    query: str | None = None
    refresh_ttl: bool | None = None


@attrs.frozen(kw_only=True)
class StoreNamespaces(_Page):
    prefix: list[Label] | None = None
    suffix: list[Label] | None = None
    max_depth: Annotated[int, Meta(ge=1)] | None = None


B = TypeVar("B")


async def read(request: Request, shape: type[B]) -> B:
    """The request's body."""
    data = await request.body()
    if not data:
        raise Invalid("the body is empty; JSON is needed")
    try:
        return decode(data, shape)
    except DecodingError as error:
        raise Invalid(str(error)) from None
