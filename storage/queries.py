"""What is asked of a store: which records, in what order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from .records import ThreadStatus

__all__ = [
    "AssistantQuery",
    "AssistantSort",
    "CronQuery",
    "CronSort",
    "ItemQuery",
    "NamespaceQuery",
    "Query",
    "ThreadQuery",
    "ThreadSort",
]

# What pages are sorted by.
ThreadSort = Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"]
AssistantSort = Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"]
CronSort = Literal[
    "cron_id",
    "assistant_id",
    "thread_id",
    "next_run_date",
    "end_time",
    "created_at",
    "updated_at",
]


@attrs.frozen(kw_only=True)
class ThreadQuery:
    """Which threads, in what order.

    `metadata`: what a thread's metadata must contain, at any depth. `ids`, `status`: any of these.
    `sort_by`: ties are broken by `thread_id` in the same direction. `limit`: None for no limit.
    """

    metadata: Mapping[str, Any] | None = None
    ids: Sequence[str] | None = None
    status: ThreadStatus | None = None
    sort_by: ThreadSort = "created_at"
    descending: bool = True
    limit: int | None = 10
    offset: int = 0


@attrs.frozen(kw_only=True)
class AssistantQuery:
    """Which assistants, in what order; as `ThreadQuery`.

    `name`: contained in the name, in any case. Names are sorted in any case too.
    """

    metadata: Mapping[str, Any] | None = None
    graph_id: str | None = None
    name: str | None = None
    sort_by: AssistantSort = "created_at"
    descending: bool = True
    limit: int | None = 10
    offset: int = 0


@attrs.frozen(kw_only=True)
class CronQuery:
    """Which crons, in what order; as `ThreadQuery`. Those that have nothing to be sorted by come
    last."""

    metadata: Mapping[str, Any] | None = None
    assistant_id: str | None = None
    thread_id: str | None = None
    enabled: bool | None = None
    sort_by: CronSort = "created_at"
    descending: bool = True
    limit: int | None = 10
    offset: int = 0


Query = ThreadQuery | AssistantQuery | CronQuery


@attrs.frozen(kw_only=True)
class ItemQuery:
    """Which items, in what order: those made first first, and before them the best matches.

    `prefix`: the first labels of their namespaces. `filter`: as `greenroom.graph.filters` has it,
    and checked. `vector`: of length 1; the score of an item is its highest cosine similarity to
    one of its own. `words`: the score is higher for more of the words; None without any. Not both.
    """

    now: str
    prefix: tuple[str, ...] = ()
    filter: Mapping[str, Any] = attrs.field(factory=dict)
    vector: tuple[float, ...] | None = None
    words: tuple[str, ...] = ()
    limit: int = 10
    offset: int = 0


@attrs.frozen(kw_only=True)
class NamespaceQuery:
    """Which namespaces that have items, sorted label by label.

    `prefix`, `suffix`: their first and last labels, "*" for any. `max_depth`: longer ones are cut.
    """

    now: str
    prefix: tuple[str, ...] = ()
    suffix: tuple[str, ...] = ()
    max_depth: int | None = None
    limit: int = 100
    offset: int = 0
