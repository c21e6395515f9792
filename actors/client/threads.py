"""Threads: conversations and their state."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, get_args

import attrs

from greenroom.graph.checkpoint import Saved
from greenroom.graph.isolation import isolated
from greenroom.graph.root import shown
from greenroom.storage import RecordExists, Storage, read_saved
from greenroom.storage.codec import as_json
from greenroom.storage.operations import InsertThread
from greenroom.storage.queries import ThreadQuery, ThreadSort
from greenroom.storage.records import Thread, ThreadStatus
from greenroom.storage.rows import contains

from ..errors import Conflict, Invalid, NotFound
from ..events import StreamPart
from ..mailbox import Copy, Create, DeleteThread, KeepLatest, Patch
from ..supervisor import Supervisor
from ..ttl import STRATEGIES, check_ttl, prolonged
from ..views import THREAD_FIELDS, thread_view
from .checks import (
    check_choice,
    check_descending,
    check_event_id,
    check_mapping,
    check_metadata,
    check_modes,
    check_page,
    check_select,
    check_uuid,
    pick,
)
from .extract import checked_paths, extracted
from .following import FEED_MODES, thread_events
from .history import ThreadHistory
from .updates import superstep_updates

__all__ = ["ThreadsClient", "new_thread"]

_PAGE = 100  # threads read at a time where the state decides


def new_thread(
    supervisor: Supervisor,
    thread_id: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    graph_id: str | None = None,
    ttl: float | Mapping[str, Any] | None = None,
) -> Thread:
    now = supervisor.world.timestamp()
    own = check_metadata(metadata)
    if graph_id is not None:
        own["graph_id"] = graph_id
    thread = Thread(
        thread_id=thread_id,
        created_at=now,
        updated_at=now,
        state_updated_at=now,
        metadata=own,
        ttl=supervisor.sweeper.default if ttl is None else check_ttl(ttl),
    )
    return prolonged(thread)


class ThreadsClient(ThreadHistory):
    """`client.threads`."""

    async def create(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        thread_id: str | None = None,
        if_exists: str | None = None,
        graph_id: str | None = None,
        supersteps: Sequence[Mapping[str, Any]] | None = None,
        ttl: float | Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Make a thread.

        `metadata`: `multitask_strategy` in it is that of runs which name none, any but `debounce`.
        `thread_id`: a UUID of the caller's choice. `if_exists`: `raise` (default: Conflict) or
        `do_nothing`, which returns the thread that is there. `graph_id`: the graph whose state it
        has, so that the state can be edited before the first run. `ttl`: minutes that it lives
        without a change, or `{"ttl": minutes, "strategy": …}`, where `keep_latest` forgets all but
        its newest checkpoint then and `delete` (default) the thread.

        `supersteps`: what the state begins with, as of a thread that was had elsewhere; it needs a
        `graph_id`. `[{"updates": [{"values": …, "as_node": …}]}]`: each makes a checkpoint, as if
        its nodes had run side by side and returned the values, or `command` in their place.
        `__input__` gives values as a run would, and `__start__` takes them in.

        Raises Conflict, NotFound for an unknown graph, Invalid, and Refused for updates that the
        graph does not take; there is no thread then.
        """
        check_choice("if_exists", if_exists or "raise", ("raise", "do_nothing"))
        if graph_id is not None:
            self._supervisor.graph(graph_id)
        supervisor = self._supervisor
        given: dict[str, Any] = {"metadata": metadata, "graph_id": graph_id, "ttl": ttl}
        updates = superstep_updates(supersteps or ())
        if updates and "graph_id" not in (metadata or {}) and graph_id is None:
            raise Invalid("graph_id: required by supersteps, and missing")
        if thread_id is None and not updates:
            # Nobody else can know the id yet, so there is no actor to ask.
            thread = new_thread(supervisor, supervisor.world.record_id(), **given)
            try:
                await supervisor.session.commit([InsertThread(thread)])
            except RecordExists as error:
                raise Conflict(f"Thread {thread.thread_id!r} already exists") from error
            supervisor.new_threads.add(thread.thread_id, thread)
            supervisor.sweeper.heed(thread)
            return thread_view(thread, None)
        ident = (
            supervisor.world.record_id()
            if thread_id is None
            else check_uuid("thread_id", thread_id)
        )
        thread = new_thread(supervisor, ident, **given)
        create = Create(thread, if_exists or "raise", updates)
        await self._supervisor.ask(thread.thread_id, create)
        return await self.get(thread.thread_id)

    async def get(self, thread_id: str) -> dict[str, Any]:
        """A thread with its newest values. Raises NotFound."""
        thread, head = await self._read(thread_id)
        return thread_view(thread, _values(head))

    async def update(
        self,
        thread_id: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        ttl: float | Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Merge into a thread's metadata, on its top level. `ttl`: a new one, as in `create`.

        Raises NotFound.
        """
        ident = check_uuid("thread_id", thread_id)
        lives = None if ttl is None else check_ttl(ttl)
        patched = await self._supervisor.ask(ident, Patch(check_metadata(metadata), lives))
        _, head = await self._read(ident)
        return thread_view(patched, _values(head))

    async def delete(self, thread_id: str) -> None:
        """Delete a thread with its runs and its state; a run under way is stopped first."""
        await self._supervisor.ask(check_uuid("thread_id", thread_id), DeleteThread())

    async def copy(self, thread_id: str) -> dict[str, Any]:
        """Make a thread with the same metadata, state and history, and no runs. Returns it.

        Raises Conflict for an unknown thread.
        """
        ident = check_uuid("thread_id", thread_id)
        copy = Copy(self._supervisor.world.record_id())
        try:
            thread = await self._supervisor.ask(ident, copy)
        except NotFound as error:
            raise Conflict(str(error)) from error
        _, head = await self._read(thread.thread_id)
        return thread_view(thread, _values(head))

    async def prune(self, thread_ids: Sequence[str], *, strategy: str = "delete") -> dict[str, Any]:
        """Delete threads, or have them forget all but their newest checkpoint (`keep_latest`).

        Returns `{"pruned_count": n}`. Threads that are not there do not count; with `keep_latest`
        nor do those with runs queued or under way and those of `GreenroomSaver`, which stay as
        they are.
        """
        check_choice("strategy", strategy, STRATEGIES)
        if isinstance(thread_ids, str):
            raise Invalid(f"thread_ids: {thread_ids!r} is no list of ids")
        pruned = 0
        for ident in [check_uuid("thread_ids", one) for one in thread_ids]:
            try:
                if strategy == "delete":
                    await self._supervisor.ask(ident, DeleteThread())
                    pruned += 1
                else:
                    pruned += await self._supervisor.ask(ident, KeepLatest())
            except NotFound:
                continue
        return {"pruned_count": pruned}

    async def search(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
        ids: Sequence[str] | None = None,
        status: str | None = None,
        limit: int = 10,
        offset: int = 0,
        sort_by: str | None = None,
        sort_order: str | None = None,
        select: Sequence[str] | None = None,
        extract: Mapping[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """Threads, last changed first. `metadata`, `values`: what they must contain, at any depth.
        `extract`: up to 10 paths by name, such as `values.messages[-1].content`; what lies there,
        or None, is in each thread's `extracted`.

        A search by `values` reads the states of threads that fit otherwise, until it has enough.
        """
        check_page(limit, offset)
        fields = check_select(select, THREAD_FIELDS)
        paths = checked_paths(extract or {}, THREAD_FIELDS)
        query = self._query(metadata, ids, status, sort_by, sort_order)
        if values:
            end = offset + limit
            found = (await self._with_values(query, values, end))[offset:end]
        else:
            found = await self._page(attrs.evolve(query, limit=limit, offset=offset))
        views = [thread_view(thread, _values(head)) for thread, head in found]
        return [{**pick(view, fields), **extracted(view, paths)} for view in views]

    async def count(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        values: Mapping[str, Any] | None = None,
        ids: Sequence[str] | None = None,
        status: str | None = None,
    ) -> int:
        """How many threads fit; arguments as `search`."""
        query = self._query(metadata, ids, status, None, None)
        if values:
            return len(await self._with_values(query, values))
        return await self._supervisor.session.read(Storage.count_threads, query)

    async def events(
        self,
        thread_id: str,
        *,
        after: int | None = None,
        stream_mode: str | Sequence[str] = "run_modes",
    ) -> AsyncGenerator[list[StreamPart], None]:
        """Follow all runs of a thread, in batches of what had queued up; ends when the thread is
        deleted.

        `after`: the id of the last event seen; 0 or -1 for everything that resumable runs have
        kept. Without it, events from now on. `stream_mode`: one or several of `run_modes`
        (default: what each run streams, and `metadata` with the status `run_done` at its end),
        `lifecycle` (`metadata` alone) and `state_update` (edits of the state: `checkpoint`,
        `values`). Raises NotFound, Invalid, and Closed where the reader is 10,000 events behind.
        """
        ident = check_uuid("thread_id", thread_id)
        modes = check_modes(stream_mode, FEED_MODES)
        following = thread_events(self._supervisor, ident, after=after, modes=modes)
        async with aclosing(following) as batches:
            async for batch in batches:
                yield batch

    async def join_stream(
        self,
        thread_id: str,
        *,
        last_event_id: str | int | None = None,
        stream_mode: str | Sequence[str] = "run_modes",
    ) -> AsyncGenerator[StreamPart, None]:
        """`events`, one by one."""
        after = None if last_event_id is None else check_event_id("last_event_id", last_event_id)
        following = self.events(thread_id, after=after, stream_mode=stream_mode)
        async with aclosing(following) as batches:
            async for batch in batches:
                for part in batch:
                    yield part

    async def _page(self, query: ThreadQuery) -> list[tuple[Thread, Saved | None]]:
        def read(storage: Storage) -> list[tuple[Thread, Saved | None]]:
            found = storage.search_threads(query)
            return [(thread, read_saved(storage, thread.thread_id)) for thread in found]

        return await self._supervisor.session.read(read)

    async def _with_values(
        self, query: ThreadQuery, values: Mapping[str, Any], enough: float = math.inf
    ) -> list[tuple[Thread, Saved | None]]:
        found: list[tuple[Thread, Saved | None]] = []
        wanted = as_json(dict(values))
        while True:
            page = await self._page(attrs.evolve(query, limit=_PAGE))
            found += [
                (thread, head)
                for thread, head in page
                if head is not None and contains(_as_shown(head, wanted), wanted)
            ]
            if len(page) < _PAGE or len(found) >= enough:
                return found
            query = attrs.evolve(query, offset=query.offset + _PAGE)

    def _query(
        self,
        metadata: Mapping[str, Any] | None,
        ids: Sequence[str] | None,
        status: str | None,
        sort_by: str | None,
        sort_order: str | None,
    ) -> ThreadQuery:
        if status is not None:
            check_choice("status", status, get_args(ThreadStatus))
        return ThreadQuery(
            metadata=check_mapping("metadata", metadata) or None,
            ids=None if ids is None else [check_uuid("ids", ident) for ident in ids],
            status=status,  # type: ignore[arg-type]
            sort_by=check_choice("sort_by", sort_by or "updated_at", get_args(ThreadSort)),
            descending=check_descending(sort_order),
            limit=None,
        )


def _values(head: Saved | None) -> Any:
    """The state that a thread shows, as the caller's own."""
    return isolated(shown(head.checkpoint.values)) if head is not None else None


def _as_shown(head: Saved, keys: Iterable[str]) -> Any:
    """Some keys of the state, as clients see them: what they search by is JSON too."""
    values = head.checkpoint.values
    return as_json({key: values[key] for key in keys if key in values})
