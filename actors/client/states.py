"""The state of a thread and its history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from greenroom.graph import InvalidUpdateError, NodeNotFoundError
from greenroom.graph.checkpoint import CheckpointReader, Saved
from greenroom.graph.contract import Graph
from greenroom.graph.snapshot import config_of, empty_snapshot
from greenroom.storage import (
    LogPage,
    Storage,
    StorageSession,
    ThreadLog,
    decode_page,
    read_history,
    read_saved,
)
from greenroom.storage.codec import to_json
from greenroom.storage.records import Thread
from greenroom.storage.rows import contains

from ..active import newest_config
from ..errors import Invalid, NotFound, Refused
from ..mailbox import EditState
from ..supervisor import Supervisor
from ..views import state_view
from .checks import check_page, check_uuid
from .past import PastStates, states_of
from .updates import update_of

__all__ = ["ThreadStates"]

T = TypeVar("T")

Place = tuple[str, str | None]  # a checkpoint's namespace and id


@attrs.frozen
class _StoredLog:
    """The log of a thread that sleeps, as storage has it. `known`: what has been read already."""

    session: StorageSession
    thread_id: str
    known: Mapping[tuple[str, str | None], Saved | None]

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        if not following and (ns, checkpoint_id) in self.known:
            return self.known[ns, checkpoint_id]
        return await self.session.read(
            read_saved, self.thread_id, ns, checkpoint_id, following=following
        )

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        return await self.session.read(read_history, self.thread_id, ns, before=before, limit=limit)


@attrs.frozen
class _ReadLog:
    """A log of which the newest checkpoints, or those `before` one, have been read."""

    log: CheckpointReader
    newest: Sequence[Saved]
    before: str | None

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        return await self.log.load(ns, checkpoint_id, following=following)

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        if (ns, before, limit) == ("", self.before, len(self.newest)):
            return list(self.newest)
        return await self.log.history(ns, before=before, limit=limit)


class ThreadStates:
    """The part of `client.threads` that reads and edits states."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._past = PastStates()

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
            config = await newest_config(graph, self._supervisor.session, thread.thread_id)
            try:
                state = await graph.read_state(
                    log, thread.thread_id, ns, wanted, subgraphs=subgraphs, config=config
                )
            except NodeNotFoundError as error:
                raise Invalid(f"checkpoint.checkpoint_ns: {error}") from error
            except InvalidUpdateError as error:
                raise Refused(str(error)) from error
        if wanted is not None and state.metadata is None:
            raise NotFound(f"Checkpoint {wanted!r} not found on thread {thread_id!r}")
        return state_view(state)

    async def update_state(
        self,
        thread_id: str,
        values: Mapping[str, Any] | None,
        *,
        as_node: str | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        checkpoint_id: str | None = None,
    ) -> dict[str, Any]:
        """Edit the state, as if `as_node` (by default the node that ran last) had returned
        `values`.

        Returns the new checkpoint. Raises NotFound, Conflict while a run is in flight, Refused for
        an unknown `as_node`, a list of `values` or a thread that no graph has run on.
        """
        update = update_of("values", values)
        ident = check_uuid("thread_id", thread_id)
        ns, wanted = _place(checkpoint, checkpoint_id)
        made = await self._supervisor.ask(ident, EditState(update, as_node, ns, wanted))
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
        found: list[dict[str, Any]] = []
        while len(found) < limit:
            wanted = limit - len(found)
            states = await self._states(thread, log, ns, before=start, limit=wanted)
            found += [one for one in states if contains(one["metadata"], dict(metadata or {}))]
            if len(states) < wanted:
                break
            start = states[-1]["checkpoint_id"]
        return found

    async def get_history_json(
        self,
        thread_id: str,
        *,
        limit: int = 10,
        before: str | Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        checkpoint: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The same as JSON: quicker where it has been asked for before, for past states do not
        change."""
        check_page(limit, 0)
        ns, _ = _place(checkpoint, None)
        start = _before(before)
        if not (ns or metadata):
            thread, log, page = await self._open_page(thread_id, before=start, limit=limit)
            if page.wanted and not self._graph(thread).made_per_run:
                return b"[%b]" % b",".join(await self._shown(thread, log, page, start))
        return to_json(
            await self.get_history(
                thread_id, limit=limit, before=start, metadata=metadata, checkpoint=checkpoint
            )
        )

    async def _shown(
        self, thread: Thread, log: CheckpointReader, page: LogPage, before: str | None
    ) -> list[bytes]:
        """The states of a page as JSON. Those from the newest to the last that is not at hand are
        made."""
        past = states_of(thread.thread_id, str(thread.metadata.get("graph_id")), page, before)
        shown = [self._past.get(state) for state in past]
        missing = [at for at, data in enumerate(shown) if data is None]
        if missing:
            part = attrs.evolve(page, wanted=page.wanted[: missing[-1] + 1])
            saved = await self._supervisor.session.read(lambda on: decode_page(part, on.types))
            made = await self._states(
                thread, _ReadLog(log, saved, before), "", before=before, limit=len(saved)
            )
            for at, (state, view) in enumerate(zip(past, made, strict=False)):
                shown[at] = data = to_json(view)
                self._past.keep(state, data)
        return [data for data in shown if data is not None]

    async def _states(
        self, thread: Thread, log: CheckpointReader, ns: str, *, before: str | None, limit: int
    ) -> list[dict[str, Any]]:
        graph = self._graph(thread)
        config = await newest_config(graph, self._supervisor.session, thread.thread_id)
        try:
            states = await graph.read_history(
                log, thread.thread_id, ns, before=before, limit=limit, config=config
            )
        except NodeNotFoundError as error:
            raise Invalid(f"checkpoint.checkpoint_ns: {error}") from error
        except InvalidUpdateError as error:
            raise Refused(str(error)) from error
        return [state_view(state) for state in states]

    async def _open(
        self, thread_id: str, ns: str = "", checkpoint_id: str | None = None
    ) -> tuple[Thread, CheckpointReader]:
        """A thread and its log, with a checkpoint of it at hand."""
        ident = check_uuid("thread_id", thread_id)
        if (awake := await self._awake(ident)) is not None:
            return awake

        def read(storage: Storage) -> Saved | None:
            return read_saved(storage, ident, ns, checkpoint_id)

        thread, saved = await self._stored(ident, read)
        return thread, _StoredLog(self._supervisor.session, ident, {(ns, checkpoint_id): saved})

    async def _open_page(
        self, thread_id: str, *, before: str | None, limit: int
    ) -> tuple[Thread, CheckpointReader, LogPage]:
        """The same, with a page of the history of the outermost graph."""
        ident = check_uuid("thread_id", thread_id)
        if (awake := await self._awake(ident)) is not None:
            thread, log = awake
            return thread, log, await log.page(before=before, limit=limit)

        def read(storage: Storage) -> LogPage:
            return storage.read_history(ident, "", before=before, limit=limit)

        thread, page = await self._stored(ident, read)
        return thread, _StoredLog(self._supervisor.session, ident, {}), page

    async def _awake(self, thread_id: str) -> tuple[Thread, ThreadLog] | None:
        actor = await self._supervisor.awake(thread_id)
        if actor is None or actor.state.thread is None:
            return None
        return actor.state.thread, actor.state.log

    async def _stored(self, thread_id: str, read: Callable[[Storage], T]) -> tuple[Thread, T]:
        """A thread that sleeps, and something read of it."""

        def read_both(storage: Storage) -> tuple[Thread, T] | None:
            thread = storage.get_thread(thread_id)
            return None if thread is None else (thread, read(storage))

        found = await self._supervisor.session.read(read_both)
        if found is None:
            raise NotFound(f"Thread {thread_id!r} not found")
        return found

    async def _read(self, thread_id: str) -> tuple[Thread, Saved | None]:
        thread, log = await self._open(thread_id)
        return thread, await log.load()

    def _graph(self, thread: Thread) -> Graph:
        return self._supervisor.graph(str(thread.metadata.get("graph_id")))


def _place(checkpoint: Mapping[str, Any] | None, checkpoint_id: str | None) -> Place:
    """Namespace and id of the checkpoint that the arguments name."""
    if checkpoint is None:
        return "", None if checkpoint_id is None else check_uuid("checkpoint_id", checkpoint_id)
    ident = checkpoint.get("checkpoint_id")
    if ident is None:
        ident = checkpoint_id
    ns = checkpoint.get("checkpoint_ns") or ""
    if not isinstance(ns, str):
        raise Invalid(f"checkpoint.checkpoint_ns: {ns!r} is not a string")
    return ns, None if ident is None else check_uuid("checkpoint.checkpoint_id", ident)


def _before(before: str | Mapping[str, Any] | None) -> str | None:
    if isinstance(before, Mapping):
        before = (before.get("configurable") or before).get("checkpoint_id")
    return None if before is None else check_uuid("before", before)
