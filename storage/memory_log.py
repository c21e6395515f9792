"""The checkpoints in a thread's log, in memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter

from .contract import LogPage
from .records import LogRow

__all__ = ["checkpoint_page", "history_page"]

_seq = attrgetter("seq")


def checkpoint_page(
    log: Sequence[LogRow], ns: str, checkpoint_id: str | None, following: bool
) -> LogPage | None:
    later: list[LogRow] = []
    for row in _newest_first(log, ns):
        if checkpoint_id in (None, row.checkpoint_id):
            wanted = later if following else [row]
            return _page(log, ns, wanted) if wanted else None
        later = [row]
    return None


def history_page(log: Sequence[LogRow], ns: str, before: str | None, limit: int | None) -> LogPage:
    rows = list(_newest_first(log, ns))
    if before is not None:
        places = (at for at, row in enumerate(rows) if row.checkpoint_id == before)
        rows = rows[next(places, len(rows)) + 1 :]
    return _page(log, ns, rows[:limit])


def _newest_first(log: Sequence[LogRow], ns: str) -> Iterator[LogRow]:
    return (row for row in reversed(log) if row.kind == "checkpoint" and row.ns == ns)


def _page(log: Sequence[LogRow], ns: str, wanted: Sequence[LogRow]) -> LogPage:
    if not wanted:
        return LogPage((), (), ())
    ids = {row.checkpoint_id for row in wanted}
    lists = {list_id for row in wanted for list_id in row.lists}
    first = min(row.base_seq or row.seq for row in wanted)
    last = max(row.seq for row in wanted)
    rows = [row for row in log[bisect_left(log, min([first, *lists]), key=_seq) :] if row.ns == ns]
    return LogPage(
        tuple(row.checkpoint_id for row in wanted),
        tuple(row for row in rows if row.kind == "checkpoint" and first <= row.seq <= last),
        tuple(
            row for row in log if row.kind == "writes" and row.ns == ns and row.checkpoint_id in ids
        ),
        tuple(
            row
            for row in rows
            if row.kind in ("list", "splice") and row.base_seq in lists and row.seq < last
        ),
    )
