"""Following a thread: the events of all its runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Final

from greenroom.storage import Storage
from greenroom.storage.records import Event

from ..errors import NotFound
from ..events import DONE, StreamPart
from ..joining import host_of
from ..supervisor import Supervisor
from .handle import REPLAY_ALL

__all__ = ["FEED_MODES", "thread_events"]

FEED_MODES: Final = ("run_modes", "lifecycle", "state_update")
PAGE: Final = 1000  # kept events read at a time


async def thread_events(
    supervisor: Supervisor, thread_id: str, *, after: int | None, modes: Collection[str]
) -> AsyncGenerator[list[StreamPart], None]:
    """As `ThreadsClient.events`."""
    with supervisor.feeds.follower(thread_id) as feed:
        last = 0
        thread = await supervisor.session.read(Storage.get_thread, thread_id)
        if thread is None and not feed.over:  # over: it was deleted meanwhile
            raise NotFound(f"Thread {thread_id!r} not found")
        if after is not None:
            last = 0 if after in REPLAY_ALL else after
            # Those of runs under way may not be stored yet.
            recent = {part.id: part for part in supervisor.kept_parts(thread_id)}
            while True:
                found, twice = await supervisor.session.read(_kept, thread_id, last)
                batch = {
                    event.event_id: StreamPart.of(event)
                    for event in found
                    if event.run_id not in twice or event.name == DONE
                }
                whole = len(found) < PAGE
                if whole:
                    batch |= recent | {part.id: part for part in feed.take()}
                wanted = [batch[ident] for ident in sorted(batch) if ident > last]
                last = max([last, *(e.event_id for e in found), *(part.id for part in wanted)])
                if shown := _only(wanted, modes):
                    yield shown
                if whole:
                    break
        async with aclosing(feed.follow()) as batches:
            async for parts in batches:
                if shown := _only([part for part in parts if part.id > last], modes):
                    yield shown


def _kept(storage: Storage, thread_id: str, after: int) -> tuple[list[Event], set[str]]:
    """A page of kept events, and the runs in it that were part of others: what these have is there
    twice."""
    found = storage.read_thread_events(thread_id, after=after, limit=PAGE)
    runs = [storage.get_run(thread_id, ident) for ident in {event.run_id for event in found}]
    return found, {run.run_id for run in runs if run is not None and host_of(run) is not None}


def _only(parts: list[StreamPart], modes: Collection[str]) -> list[StreamPart]:
    return [part for part in parts if _is_wanted(part, modes)]


def _is_wanted(part: StreamPart, modes: Collection[str]) -> bool:
    if part.event == "state_update":
        return "state_update" in modes
    return "run_modes" in modes or ("lifecycle" in modes and part.event == "metadata")
