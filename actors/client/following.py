"""Following a thread: the events of all its runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Final

from greenroom.storage import Storage

from ..errors import NotFound
from ..events import StreamPart
from ..supervisor import Supervisor
from .handle import REPLAY_ALL

__all__ = ["FEED_MODES", "thread_events"]

FEED_MODES: Final = ("run_modes", "lifecycle", "state_update")
PAGE: Final = 1000  # kept events read at a time


async def thread_events(
    house: Supervisor, thread_id: str, *, after: int | None, modes: Collection[str]
) -> AsyncGenerator[list[StreamPart], None]:
    """As `ThreadsClient.events`."""
    with house.feeds.follower(thread_id) as feed:
        last = 0
        if await house.session.read(Storage.get_thread, thread_id) is None:
            raise NotFound(f"Thread {thread_id!r} not found")
        if after is not None:
            last = 0 if after in REPLAY_ALL else after
            # Those of runs under way may not be stored yet.
            recent = {part.id: part for part in house.kept_parts(thread_id)}
            while True:
                found = await house.session.read(
                    Storage.read_thread_events, thread_id, after=last, limit=PAGE
                )
                batch = {e.event_id: StreamPart(e.event_id, e.name, e.data) for e in found}
                whole = len(found) < PAGE
                if whole:
                    batch |= recent | {part.id: part for part in feed.take()}
                wanted = [batch[ident] for ident in sorted(batch) if ident > last]
                if wanted:
                    last = wanted[-1].id
                if shown := _only(wanted, modes):
                    yield shown
                if whole:
                    break
        async with aclosing(feed.follow()) as batches:
            async for parts in batches:
                if shown := _only([part for part in parts if part.id > last], modes):
                    yield shown


def _only(parts: list[StreamPart], modes: Collection[str]) -> list[StreamPart]:
    return [part for part in parts if _is_wanted(part, modes)]


def _is_wanted(part: StreamPart, modes: Collection[str]) -> bool:
    if part.event == "state_update":
        return "state_update" in modes
    return "run_modes" in modes or ("lifecycle" in modes and part.event == "metadata")
