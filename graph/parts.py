"""The shapes of what streams give: payloads of the modes, and the parts of `version="v2"`.

Names and shapes as `langgraph.types`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, NotRequired, TypedDict, cast

import attrs
from typing_extensions import TypeVar

from .control import Interrupt

__all__ = [
    "CheckpointPayload",
    "CheckpointStreamPart",
    "CheckpointTask",
    "CustomStreamPart",
    "DebugPayload",
    "DebugStreamPart",
    "GraphOutput",
    "MessagesStreamPart",
    "StreamPart",
    "TaskPayload",
    "TaskResultPayload",
    "TasksStreamPart",
    "UpdatesStreamPart",
    "ValuesStreamPart",
    "stream_part",
]

OutputT = TypeVar("OutputT", default=Any)


class TaskPayload(TypedDict):
    """A task that starts. `input`: what its node reads."""

    id: str
    name: str
    input: Any
    triggers: tuple[str, ...]
    metadata: NotRequired[dict[str, Any]]


class TaskResultPayload(TypedDict):
    """What a task came to. `result`: what it wrote, by state key."""

    id: str
    name: str
    error: Exception | None
    interrupts: list[dict[str, Any]]
    result: dict[str, Any]


class CheckpointTask(TypedDict):
    """A task of a checkpoint; `error` if it failed, `result` once it has one."""

    id: str
    name: str
    error: NotRequired[str]
    result: NotRequired[Any]
    interrupts: NotRequired[tuple[dict[str, Any], ...]]
    state: Any


class CheckpointPayload(TypedDict):
    """A checkpoint as the run has come to it."""

    config: Mapping[str, Any]
    parent_config: Mapping[str, Any] | None
    values: Any
    metadata: dict[str, Any]
    next: list[str]
    tasks: list[CheckpointTask]


class DebugPayload(TypedDict):
    """A checkpoint, a task or its result, with the step and an ISO 8601 time."""

    step: int
    timestamp: str
    type: Literal["checkpoint", "task", "task_result"]
    payload: CheckpointPayload | TaskPayload | TaskResultPayload


class ValuesStreamPart(TypedDict, Generic[OutputT]):
    """The state after a super-step, and the questions that the run has paused at."""

    type: Literal["values"]
    ns: tuple[str, ...]
    data: OutputT
    interrupts: tuple[Interrupt, ...]


class UpdatesStreamPart(TypedDict):
    """What a node returned, under its name."""

    type: Literal["updates"]
    ns: tuple[str, ...]
    data: dict[str, Any]


class MessagesStreamPart(TypedDict):
    """A message, or a part of one, and where it comes from."""

    type: Literal["messages"]
    ns: tuple[str, ...]
    data: tuple[Any, dict[str, Any]]


class CustomStreamPart(TypedDict):
    """What a node wrote to its stream writer."""

    type: Literal["custom"]
    ns: tuple[str, ...]
    data: Any


class CheckpointStreamPart(TypedDict):
    type: Literal["checkpoints"]
    ns: tuple[str, ...]
    data: CheckpointPayload


class TasksStreamPart(TypedDict):
    type: Literal["tasks"]
    ns: tuple[str, ...]
    data: TaskPayload | TaskResultPayload


class DebugStreamPart(TypedDict):
    type: Literal["debug"]
    ns: tuple[str, ...]
    data: DebugPayload


StreamPart = (
    ValuesStreamPart[Any]
    | UpdatesStreamPart
    | MessagesStreamPart
    | CustomStreamPart
    | CheckpointStreamPart
    | TasksStreamPart
    | DebugStreamPart
)


@attrs.frozen
class GraphOutput(Generic[OutputT]):
    """What `invoke(version="v2")` returns. `value`: an instance of the class that declares the
    output, a dict for a TypedDict. `interrupts`: the questions that the run has paused at."""

    value: OutputT
    interrupts: tuple[Interrupt, ...] = ()


def stream_part(
    mode: str, ns: tuple[str, ...], data: Any, output_of: Callable[[Mapping[str, Any]], Any]
) -> StreamPart:
    """An event as a part. `output_of`: makes the values of the outermost graph into its output."""
    part = {"type": mode, "ns": ns, "data": data}
    if mode == "values":
        part["interrupts"] = data.pop("__interrupt__", ())
        part["data"] = data if ns else output_of(data)
    return cast(StreamPart, part)
