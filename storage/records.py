"""What is remembered, as plain records. Times are ISO 8601 in UTC with microseconds."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

__all__ = [
    "OF_LANGGRAPH",
    "UNFINISHED",
    "Assistant",
    "AssistantVersion",
    "Cron",
    "Event",
    "ItemRow",
    "Kind",
    "LogRow",
    "Post",
    "Row",
    "Run",
    "RunStatus",
    "Thread",
    "ThreadStatus",
]

Row = dict[str, Any]  # a record in its stored form, see `rows`

ThreadStatus = Literal["idle", "busy", "interrupted", "error"]
RunStatus = Literal["pending", "running", "success", "error", "timeout", "interrupted"]
UNFINISHED: tuple[RunStatus, ...] = ("pending", "running")
# Metadata of the threads that graphs of LangGraph's own keep; what is in their logs is theirs.
OF_LANGGRAPH: Final[dict[str, Any]] = {"checkpointer": "langgraph"}


@attrs.frozen(kw_only=True)
class Thread:
    """A conversation. Its state is in its log, not here.

    `status`: computed by the thread's actor in the commit that changed it. `error`: of the last
    run, `{"error": type, "message": text}`. `interrupts`: the questions that wait, by task id.
    `ttl`: `{"strategy": "delete" or "keep_latest", "ttl_minutes": number, "expires_at": time}`; the
    time is None once `keep_latest` has been done, until the thread changes.
    """

    thread_id: str
    created_at: str
    updated_at: str
    state_updated_at: str
    metadata: dict[str, Any] = attrs.field(factory=dict)
    config: dict[str, Any] = attrs.field(factory=dict)
    status: ThreadStatus = "idle"
    error: dict[str, Any] | None = None
    interrupts: dict[str, list[dict[str, Any]]] = attrs.field(factory=dict)
    ttl: dict[str, Any] | None = None


@attrs.frozen(kw_only=True)
class Run:
    """One request to a thread: an input, an answer, or going on.

    `created_at`: when it is due, for a run that is to start later.
    `kwargs`: what it was asked to do, as given. `seq`: order of arrival on its thread. `bound`: the
    ids of the interrupts that were pending when it was accepted, for a resume; None for other runs.
    `attempt`: how often it was started. `started_from`: the newest checkpoint when it was last
    started, and `stalled`: starts in a row from that one. `first_log_seq`: the first record of the
    thread's log that may be its own, None until it starts. `stop`: how it is to end, once it was
    told to. `error`: as in `Thread`.
    """

    run_id: str
    thread_id: str
    assistant_id: str
    seq: int
    status: RunStatus
    created_at: str
    updated_at: str
    multitask_strategy: str
    kwargs: dict[str, Any]
    metadata: dict[str, Any] = attrs.field(factory=dict)
    bound: tuple[str, ...] | None = None
    attempt: int = 0
    stalled: int = 0
    started_from: str | None = None
    first_log_seq: int | None = None
    stop: Literal["interrupt", "rollback", "timeout"] | None = None
    error: dict[str, Any] | None = None


@attrs.frozen(kw_only=True)
class Assistant:
    """A graph with a configuration of its own; every graph has one made by the system.

    `version`: which of its versions it is now.
    """

    assistant_id: str
    graph_id: str
    created_at: str
    updated_at: str
    name: str
    description: str | None = None
    version: int = 1
    config: dict[str, Any] = attrs.field(factory=dict)
    context: dict[str, Any] = attrs.field(factory=dict)
    metadata: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class AssistantVersion:
    """What an assistant was made, or changed to. `created_at`: when that was."""

    assistant_id: str
    version: int
    graph_id: str
    created_at: str
    name: str
    description: str | None = None
    config: dict[str, Any] = attrs.field(factory=dict)
    context: dict[str, Any] = attrs.field(factory=dict)
    metadata: dict[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Cron:
    """A run that is made again and again.

    `schedule`: a cron expression, by the clock of `timezone`, an IANA name; None is UTC.
    `thread_id`: where it runs; None for a new thread each time. `next_run_date`: when it is due
    next, None if never again. `end_time`: when it is over. `payload`: what a run is asked to do, as
    given. `on_run_completed`: what becomes of a thread that was made for a run, once it has ended.
    """

    cron_id: str
    assistant_id: str
    schedule: str
    created_at: str
    updated_at: str
    payload: dict[str, Any]
    thread_id: str | None = None
    timezone: str | None = None
    end_time: str | None = None
    next_run_date: str | None = None
    metadata: dict[str, Any] = attrs.field(factory=dict)
    enabled: bool = True
    on_run_completed: Literal["delete", "keep"] | None = None


@attrs.frozen(kw_only=True)
class Post:
    """What a run came to, until it has been posted to `url`. `body`: a JSON object."""

    post_id: str
    url: str
    body: dict[str, Any]
    created_at: str


# What becomes a row in `rows`.
Kind = type[Thread] | type[Run] | type[Assistant] | type[AssistantVersion] | type[Cron] | type[Post]


@attrs.define(kw_only=True)
class LogRow:
    """One record of a thread's checkpoint log, encoded. It is not changed once it is made.

    `seq`: its position in the thread's log, from 1, increasing. `kind`: `checkpoint`, `writes`, or
    `list`, `splice` and `pack` for a part of a long list. `checkpoint_id`: the checkpoint itself,
    or the one that the writes belong to; empty for lists. `base_seq`: for a checkpoint, the
    position of the full snapshot that reading it starts from (its own `seq` if it is one); for a
    list, the position of its first record; None for writes. `data`: JSON, but for `list` and
    `pack`, where it is JSON values joined by commas; `array`, which is only read, is such records,
    `count` of them `list`s. `lists`: for a checkpoint, the long lists in its state, by `base_seq`.
    `input`: what its START is to take in, JSON; `run_id`: the run that it may be the input of, so
    that the same bytes need not be stored twice.
    """

    thread_id: str
    seq: int
    kind: Literal["checkpoint", "writes", "list", "splice", "pack", "array"]
    ns: str
    checkpoint_id: str
    base_seq: int | None
    data: bytes
    lists: tuple[int, ...] = ()
    count: int = attrs.field(default=1, eq=False)
    input: bytes | None = None
    run_id: str | None = attrs.field(default=None, eq=False)


@attrs.frozen(kw_only=True)
class Event:
    """One event of a run's stream, kept so that a reader can come back. `data`: JSON."""

    thread_id: str
    event_id: int
    run_id: str
    name: str
    data: bytes


@attrs.frozen(kw_only=True)
class ItemRow:
    """One item of the user's store. `value`: JSON, an object.

    `ttl`: minutes that it lives after it was put or, where that is wanted, read; None for ever.
    """

    namespace: tuple[str, ...]
    key: str
    value: bytes
    created_at: str
    updated_at: str
    ttl: float | None = None
    expires_at: str | None = None
