"""What a store in memory holds: records in stored form, as a database would keep them."""

from __future__ import annotations

import attrs

from .memory_items import MemoryItems
from .records import Event, LogRow, Row

__all__ = ["MemoryRecords", "MemoryThread"]


@attrs.define
class MemoryThread:
    """A thread with all that belongs to it; `log` by `seq`, `events` by `event_id`."""

    row: Row
    runs: dict[str, Row] = attrs.field(factory=dict)
    log: list[LogRow] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)


@attrs.define
class MemoryRecords:
    """By their ids; `versions` by that of their assistant and their number."""

    threads: dict[str, MemoryThread] = attrs.field(init=False, factory=dict)
    assistants: dict[str, Row] = attrs.field(init=False, factory=dict)
    versions: dict[tuple[str, int], Row] = attrs.field(init=False, factory=dict)
    crons: dict[str, Row] = attrs.field(init=False, factory=dict)
    posts: dict[str, Row] = attrs.field(init=False, factory=dict)
    items: MemoryItems = attrs.field(init=False, factory=MemoryItems)
