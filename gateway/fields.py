"""What bodies, parameters and answers have in common: the types of their fields.

What is an `extra_json_schema` here is for the document alone: the actors check it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from greenroom.actors.client.following import FEED_MODES
from greenroom.actors.events import CLIENT_MODES
from greenroom.actors.ttl import STRATEGIES
from greenroom.actors.views import RUN_FIELDS, STATE_FIELDS
from greenroom.storage.codec import INT_MAX

__all__ = [
    "AssistantField",
    "AssistantName",
    "CronField",
    "FeedMode",
    "GraphName",
    "JsonObject",
    "Label",
    "Limit",
    "Minutes",
    "Offset",
    "RunField",
    "Seconds",
    "SortOrder",
    "StateField",
    "StreamMode",
    "ThreadField",
    "ThreadTtl",
    "Time",
    "Uuid",
]

JsonObject = dict[str, Any]
Uuid = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Seconds = Annotated[float, Meta(extra_json_schema={"minimum": 0})]
Minutes = Annotated[float, Meta(extra_json_schema={"exclusiveMinimum": 0})]

Limit = Annotated[int, Meta(ge=1, le=1000)]
Offset = Annotated[int, Meta(ge=0, extra_json_schema={"maximum": INT_MAX})]
SortOrder = Literal["asc", "desc"]

# These depend on what is served: see `openapi`.
GraphName = Annotated[str, Meta(extra_json_schema={"$ref": "#/components/schemas/GraphName"})]
AssistantName = Annotated[
    str, Meta(extra_json_schema={"$ref": "#/components/schemas/AssistantName"})
]

StreamMode = Annotated[str, Meta(extra_json_schema={"enum": list(CLIENT_MODES)})]
FeedMode = Annotated[str, Meta(extra_json_schema={"enum": list(FEED_MODES)})]
# What a search may be asked to select, and of a state.
StateField = Annotated[
    str, Meta(extra_json_schema={"pattern": rf"^({'|'.join(STATE_FIELDS)}|values\..+)$"})
]
ThreadField = Literal[
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "config",
    "status",
    "values",
    "interrupts",
]
AssistantField = Literal[
    "assistant_id",
    "graph_id",
    "name",
    "description",
    "config",
    "context",
    "created_at",
    "updated_at",
    "metadata",
    "version",
]
RunField = Annotated[str, Meta(extra_json_schema={"enum": list(RUN_FIELDS)})]
CronField = Literal[
    "cron_id",
    "assistant_id",
    "thread_id",
    "on_run_completed",
    "end_time",
    "schedule",
    "timezone",
    "created_at",
    "updated_at",
    "user_id",
    "payload",
    "next_run_date",
    "metadata",
    "enabled",
]

Label = Annotated[str, Meta(extra_json_schema={"pattern": r"^[^.\x00]+$"})]
ThreadTtl = Annotated[
    JsonObject,
    Meta(
        extra_json_schema={
            "required": ["ttl"],
            "properties": {
                "ttl": {"type": "number", "exclusiveMinimum": 0},
                "strategy": {"enum": [*STRATEGIES, None]},
            },
        }
    ),
]
