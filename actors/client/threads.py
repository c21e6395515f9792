"""Threads: conversations and their state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import attrs

from greenroom.graph import CompiledStateGraph, NodeNotFoundError
from greenroom.graph.checkpoint import CheckpointReader, Saved
from greenroom.graph.isolation import isolated
from greenroom.graph.root import shown
from greenroom.graph.snapshot import config_of, empty_snapshot
from greenroom.graph.states import Place as GraphPlace
from greenroom.graph.states import locate, read_state
from greenroom.storage import RecordExists, Storage, StorageSession
from greenroom.storage.codec import as_json
from greenroom.storage.contract import ThreadQuery
from greenroom.storage.log import read_history, read_saved
from greenroom.storage.operations import InsertThread
from greenroom.storage.records import Thread, ThreadStatus
from greenroom.storage.rows import contains

from ..errors import Conflict, Invalid, NotFound
from ..mailbox import Copy, Create, DeleteThread, EditState, KeepLatest, Patch
from ..supervisor import Supervisor
from ..ttl import STRATEGIES, check_ttl, prolonged
from ..views import THREAD_FIELDS, state_view, thread_view
from .checks import (
    check_choice,
    check_mapping,
    check_page,
    check_select,
    check_uuid,
    pick,
)

__all__ = ["ThreadsClient", "new_thread"]

_SORTS = ("thread_id", "status", "created_at", "updated_at", "state_updated_at")
_PAGE = 100  # threads read at a time where the state decides

Place = tuple[str, str | None]  # a checkpoint's namespace and id


def new_thread(
    house: Supervisor,
    thread_id: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    graph_id: str | None = None,
    ttl: float | Mapping[str, Any] | None = None,
) -> Thread:
    now = house.world.timestamp()
    own = check_mapping("metadata", metadata)
    if graph_id is not None:
        own["graph_id"] = graph_id
    thread = Thread(
        thread_id=thread_id,
        created_at=now,
        updated_at=now,
        state_updated_at=now,
        metadata=own,
        ttl=house.sweeper.default if ttl is None else check_ttl(ttl),
    )
    return prolonged(thread)


@attrs.frozen
class _StoredLog:
    """The log of a thread that sleeps, as storage has it. `known`: what has been read already."""

    session: StorageSession
    thread_id: str
    known: Mapping[tuple[str, str | None], Saved | None]

    async def load(self, ns: str = "", checkpoint_id: str | None = None) -> Saved | None:
        if (ns, checkpoint_id) in self.known:
            return self.known[ns, checkpoint_id]
        return await self.session.read(read_saved, self.thread_id, ns, checkpoint_id)

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        return await self.session.read(read_history, self.thread_id, ns, before=before, limit=limit)


class ThreadsClient:
    """`client.threads`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._house = supervisor

    async def create(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        thread_id: str | None = None,
        if_exists: str | None = None,
        graph_id: str | None = None,
        ttl: float | Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Make a thread.

        `thread_id`: a UUID of the caller's choice. `if_exists`: `raise` (default: Conflict) or
        `do_nothing`, which returns the thread that is there. `graph_id`: the graph whose state it
        has, so that the state can be edited before the first run. `ttl`: minutes that it lives
        without a change, or `{"ttl": minutes, "strategy": …}`, where `keep_latest` forgets all but
        its newest checkpoint then and `delete` (default) the thread.
        """
        check_choice("if_exists", if_exists or "raise", ("raise", "do_nothing"))
        if graph_id is not None:
            self._house.graph(graph_id)
        house = self._house
        given: dict[str, Any] = {"metadata": metadata, "graph_id": graph_id, "ttl": ttl}
        if thread_id is None:
            # Nobody else can know the id yet, so there is no actor to ask.
            thread = new_thread(house, house.world.record_id(), **given)
            try:
                await self._house.session.commit([InsertThread(thread)])
            except RecordExists as error:
                raise Conflict(f"Thread {thread.thread_id!r} already exists") from error
            house.sweeper.heed(thread)
            return thread_view(thread, None)
        thread = new_thread(house, check_uuid("thread_id", thread_id), **given)
        create = Create(thread, if_exists or "raise")
        await self._house.ask(thread.thread_id, create)
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
        patched = await self._house.ask(ident, Patch(check_mapping("metadata", metadata), lives))
        _, head = await self._read(ident)
        return thread_view(patched, _values(head))

    async def delete(self, thread_id: str) -> None:
        """Delete a thread with its runs and its state; a run under way is stopped first."""
        await self._house.ask(check_uuid("thread_id", thread_id), DeleteThread())

    async def copy(self, thread_id: str) -> dict[str, Any]:
        """Make a thread with the same metadata, state and history, and no runs. Returns it.

        Raises Conflict for an unknown thread.
        """
        ident = check_uuid("thread_id", thread_id)
        copy = Copy(self._house.world.record_id())
        try:
            thread = await self._house.ask(ident, copy)
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
                    await self._house.ask(ident, DeleteThread())
                    pruned += 1
                else:
                    pruned += await self._house.ask(ident, KeepLatest())
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
    ) -> list[dict[str, Any]]:
        """Threads, newest first. `metadata`, `values`: what a thread must contain, at any depth.

        A search by `values` reads the states of threads that fit otherwise, until it has enough.
        """
        check_page(limit, offset)
        fields = check_select(select, THREAD_FIELDS)
        query = self._query(metadata, ids, status, sort_by, sort_order)
        if values:
            end = offset + limit
            found = (await self._with_values(query, values, end))[offset:end]
        else:
            found = await self._page(attrs.evolve(query, limit=limit, offset=offset))
        return [pick(thread_view(t, _values(head)), fields) for t, head in found]

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
        return await self._house.session.read(Storage.count_threads, query)

    async def get_state(
        self,
        thread_id: str,
        checkpoint: Mapping[str, Any] | None = None,
        checkpoint_id: str | None = None,
        *,
        subgraphs: bool = False,
    ) -> dict[str, Any]:
        """The state of a thread, now or at a checkpoint. `subgraphs`: with that of inner graphs.

        Raises NotFound for an unknown thread or checkpoint.
        """
        ns, wanted = _place(checkpoint, checkpoint_id)
        thread, log = await self._open(thread_id, ns, wanted)
        if thread.metadata.get("graph_id") is None:
            state = empty_snapshot(thread.thread_id, ns)
        else:
            graph = self._graph(thread)
            try:
                state = await read_state(
                    log, graph, thread.thread_id, ns, wanted, subgraphs=subgraphs
                )
            except NodeNotFoundError as error:
                raise Invalid(f"checkpoint.checkpoint_ns: {error}") from error
        if wanted is not None and state.metadata is None:
            raise NotFound(f"Checkpoint {wanted!r} not found on thread {thread_id!r}")
        return state_view(state)

    async def update_state(
        self,
        thread_id: str,
        values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
        *,
        as_node: str | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        checkpoint_id: str | None = None,
    ) -> dict[str, Any]:
        """Edit the state, as if `as_node` (by default the node that ran last) had returned
        `values`.

        Returns the new checkpoint. Raises NotFound, Conflict while a run is in flight, Refused for
        an unknown `as_node` or a thread that no graph has run on.
        """
        if values is not None and not isinstance(values, (Mapping, list)):
            raise Invalid(f"values: {values!r} is neither an object nor a list of objects")
        ident = check_uuid("thread_id", thread_id)
        ns, wanted = _place(checkpoint, checkpoint_id)
        made = await self._house.ask(ident, EditState(_merged(values), as_node, ns, wanted))
        place = config_of(made, ident)["configurable"]
        return {"checkpoint": place, "configurable": place, "checkpoint_id": made.id}

    async def get_history(
        self,
        thread_id: str,
        *,
        limit: int = 10,
        before: str | Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """The states of a thread, newest first.

        `before`: a checkpoint or its id. `metadata`: what a checkpoint's must contain.
        `checkpoint`: its
        `checkpoint_ns` names an inner graph.
        """
        check_page(limit, 0)
        ns, _ = _place(checkpoint, None)
        thread, log = await self._open(thread_id)
        start = _before(before)
        if await log.load() is None:
            return []
        place = self._locate(thread, ns)
        found: list[dict[str, Any]] = []
        while len(found) < limit:
            wanted = limit - len(found)
            page = await log.history(place.ns, before=start, limit=wanted)
            for saved in page:
                state = state_view(place.snapshot(saved, thread.thread_id, is_past=True))
                if contains(state["metadata"], dict(metadata or {})):
                    found.append(state)
            if len(page) < wanted:
                break
            start = page[-1].checkpoint.id
        return found

    async def _open(
        self, thread_id: str, ns: str = "", checkpoint_id: str | None = None
    ) -> tuple[Thread, CheckpointReader]:
        """A thread and its log, with a checkpoint of it at hand."""
        ident = check_uuid("thread_id", thread_id)
        actor = self._house.awake(ident)
        if actor is not None and actor.state.thread is not None:
            return actor.state.thread, actor.state.log

        def read(storage: Storage) -> tuple[Thread | None, Saved | None]:
            thread = storage.get_thread(ident)
            return thread, read_saved(storage, ident, ns, checkpoint_id) if thread else None

        thread, saved = await self._house.session.read(read)
        if thread is None:
            raise NotFound(f"Thread {ident!r} not found")
        return thread, _StoredLog(self._house.session, ident, {(ns, checkpoint_id): saved})

    async def _read(self, thread_id: str) -> tuple[Thread, Saved | None]:
        thread, log = await self._open(thread_id)
        return thread, await log.load()

    def _graph(self, thread: Thread) -> CompiledStateGraph:
        return self._house.graph(str(thread.metadata.get("graph_id")))

    def _locate(self, thread: Thread, ns: str) -> GraphPlace:
        try:
            return locate(self._graph(thread), ns)
        except NodeNotFoundError as error:
            raise Invalid(f"checkpoint.checkpoint_ns: {error}") from error

    async def _page(self, query: ThreadQuery) -> list[tuple[Thread, Saved | None]]:
        def read(storage: Storage) -> list[tuple[Thread, Saved | None]]:
            found = storage.search_threads(query)
            return [(thread, read_saved(storage, thread.thread_id)) for thread in found]

        return await self._house.session.read(read)

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
            sort_by=check_choice("sort_by", sort_by or "created_at", _SORTS),
            descending=check_choice("sort_order", sort_order or "desc", ("asc", "desc")) == "desc",
            limit=None,
        )


def _values(head: Saved | None) -> Any:
    """The state that a thread shows, as the caller's own."""
    return isolated(shown(head.checkpoint.values)) if head is not None else None


def _as_shown(head: Saved, keys: Iterable[str]) -> Any:
    """Some keys of the state, as clients see them: what they search by is JSON too."""
    values = head.checkpoint.values
    return as_json({key: values[key] for key in keys if key in values})


def _place(checkpoint: Mapping[str, Any] | None, checkpoint_id: str | None) -> Place:
    """Namespace and id of the checkpoint that the arguments name."""
    if checkpoint is None:
        return "", None if checkpoint_id is None else check_uuid("checkpoint_id", checkpoint_id)
    ident = checkpoint.get("checkpoint_id") or checkpoint_id
    ns = checkpoint.get("checkpoint_ns") or ""
    if not isinstance(ns, str):
        raise Invalid(f"checkpoint.checkpoint_ns: {ns!r} is not a string")
    return ns, None if ident is None else check_uuid("checkpoint.checkpoint_id", ident)


def _before(before: str | Mapping[str, Any] | None) -> str | None:
    if isinstance(before, Mapping):
        before = (before.get("configurable") or before).get("checkpoint_id")
    return None if before is None else check_uuid("before", before)


def _merged(
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any] | None:
    """`values` as one update; a list of objects counts in order."""
    if values is None:
        return None
    if isinstance(values, Mapping):
        return dict(values)
    merged: dict[str, Any] = {}
    for one in values:
        if not isinstance(one, Mapping):
            raise Invalid(f"values: {one!r} is not an object")
        merged |= one
    return merged
