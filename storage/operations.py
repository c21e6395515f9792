"""What a commit does: operations, applied in their order, as plain records."""

from __future__ import annotations

import attrs

from .records import Assistant, Cron, Event, ItemRow, Kind, LogRow, Post, Row, Run, Thread

__all__ = [
    "AppendEvents",
    "AppendLog",
    "DeleteAssistant",
    "DeleteCron",
    "DeleteEvents",
    "DeleteExpired",
    "DeleteItem",
    "DeletePost",
    "DeleteRun",
    "DeleteThread",
    "InsertThread",
    "Operation",
    "PackList",
    "ProlongItem",
    "PutAssistant",
    "PutCron",
    "PutItem",
    "PutPost",
    "PutRun",
    "PutThread",
    "Restore",
    "TrimEvents",
    "TruncateLog",
]


@attrs.frozen
class InsertThread:
    """Add a thread; RecordExists where the id is taken."""

    thread: Thread


@attrs.frozen
class PutThread:
    """Replace a thread. Does nothing if it is gone."""

    thread: Thread


@attrs.frozen
class DeleteThread:
    """Delete a thread with its runs, log, events and crons."""

    thread_id: str


@attrs.frozen
class PutRun:
    """Add a run, or replace all of it but its input, which the log may refer to."""

    run: Run


@attrs.frozen
class DeleteRun:
    """Delete a run and its events; its log records stay."""

    thread_id: str
    run_id: str


@attrs.frozen
class PutAssistant:
    """Add or replace an assistant, and keep it as one of its versions unless there is one of that
    number."""

    assistant: Assistant


@attrs.frozen
class DeleteAssistant:
    """Delete an assistant with its versions and crons, if it is there."""

    assistant_id: str


@attrs.frozen
class PutCron:
    """Add or replace a cron. Does nothing if it is for a thread that is gone."""

    cron: Cron


@attrs.frozen
class DeleteCron:
    """Delete a cron, if it is there."""

    cron_id: str


@attrs.frozen
class PutPost:
    """Add or replace a post."""

    post: Post


@attrs.frozen
class DeletePost:
    """Delete a post, if it is there."""

    post_id: str


@attrs.frozen
class AppendLog:
    """Add records to a thread's log; a `seq` that is taken is a StorageError.

    `follows`: the `seq` that must be the thread's last, 0 for an empty log, or it is a
    StorageError: so a group that was refused leaves no gap behind it. None: it is not checked.
    """

    rows: tuple[LogRow, ...]
    follows: int | None = None


@attrs.frozen
class TruncateLog:
    """Delete a thread's log records from `from_seq` on."""

    thread_id: str
    from_seq: int


@attrs.frozen
class PackList:
    """Make one `pack` of the `list` records of a thread's list, at the position of the first of
    them, unless the list has a `splice`. A backend that reads many records as fast as one may do
    nothing.
    """

    thread_id: str
    list_id: int


@attrs.frozen
class AppendEvents:
    """Keep events of streams.

    `follows`: the id of an event that must be there, or these, of one run, are refused; nothing is
    asked of a run that is gone.
    """

    events: tuple[Event, ...]
    follows: int | None = None


@attrs.frozen
class Restore:
    """Add or replace a record that was read by a `scan`, as it was stored. A thread keeps what
    belongs to it; an assistant becomes a version of its own where there is none of that number."""

    kind: Kind
    row: Row


@attrs.frozen
class PutItem:
    """Add or replace an item of the user's store.

    One that is there and has not expired at the item's `updated_at` keeps its `created_at` and its
    place in the order of searches. `text`: it is found by the words of it. `vectors`: the
    directions it is found by, each of length 1.
    """

    item: ItemRow
    text: str = ""
    vectors: tuple[tuple[float, ...], ...] = ()


@attrs.frozen
class DeleteItem:
    """Delete an item, if it is there."""

    namespace: tuple[str, ...]
    key: str


@attrs.frozen
class ProlongItem:
    """Let an item live until `expires_at`, unless it was put again with another `ttl` since it was
    read, lives longer already, or is gone."""

    namespace: tuple[str, ...]
    key: str
    ttl: float
    expires_at: str


@attrs.frozen
class DeleteEvents:
    """Delete up to `limit` kept events with ids below `before`; that of `oldest_event` at least, if
    it is one of these."""

    before: int
    limit: int


@attrs.frozen
class TrimEvents:
    """Delete up to `limit` of a run's kept events, the oldest first, and none of its newest
    `keep`."""

    thread_id: str
    run_id: str
    keep: int
    limit: int


@attrs.frozen
class DeleteExpired:
    """Delete up to `limit` items that have expired at `now`, those that expired first first."""

    now: str
    limit: int


Operation = (
    InsertThread
    | PutThread
    | DeleteThread
    | PutRun
    | DeleteRun
    | PutAssistant
    | DeleteAssistant
    | PutCron
    | DeleteCron
    | PutPost
    | DeletePost
    | AppendLog
    | TruncateLog
    | PackList
    | AppendEvents
    | DeleteEvents
    | TrimEvents
    | Restore
    | PutItem
    | DeleteItem
    | ProlongItem
    | DeleteExpired
)
