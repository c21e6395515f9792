"""The state of a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from greenroom.graph import InvalidUpdateError, NodeNotFoundError
from greenroom.graph.checkpoint import CheckpointReader, Saved
from greenroom.graph.contract import Graph
from greenroom.graph.snapshot import config_of, empty_snapshot
from greenroom.storage import Storage, StorageSession, ThreadLog, read_history, read_saved
from greenroom.storage.records import Thread

from ..active import newest_config
from ..errors import Invalid, NotFound, Refused
from ..mailbox import EditState
from ..supervisor import Supervisor
from ..views import state_view
from .checks import check_state_select, check_uuid, pick_state
from .updates import update_of

__all__ = ["ThreadStates", "place_of"]

T = TypeVar("T")

Place = tuple[str, str | None]  # a checkpoint's namespace and id
Known = Mapping[Place, Saved | None]


@attrs.frozen
class _StoredLog:
    """The log of a thread that sleeps, as storage has it. `known`: what has been read already."""

    session: StorageSession
    thread_id: str
    known: Known

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


class ThreadStates:
    """The part of `client.threads` that reads and edits states."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def get_state(
        self,
        thread_id: str,
        checkpoint: Mapping[str, Any] | None = None,
        checkpoint_id: str | None = None,
        *,
        subgraphs: bool = False,
        select: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """The state of a thread, now or at a checkpoint. `subgraphs`: with that of inner graphs.
        `select`: only these fields of it; `values.<key>` is one key of the values.

        Raises NotFound for an unknown thread or checkpoint, Invalid for an unknown field.
        """
        check_state_select(select)
        ns, wanted = place_of(checkpoint, checkpoint_id)
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
        return pick_state(state_view(state), select)

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
        ns, wanted = place_of(checkpoint, checkpoint_id)
        made = await self._supervisor.ask(ident, EditState(update, as_node, ns, wanted))
        place = config_of(made, ident)["configurable"]
        return {"checkpoint": place, "configurable": place, "checkpoint_id": made.id}

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
        return thread, self._log(ident, {(ns, checkpoint_id): saved})

    def _log(self, thread_id: str, known: Known | None = None) -> CheckpointReader:
        return _StoredLog(self._supervisor.session, thread_id, known or {})

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


def place_of(checkpoint: Mapping[str, Any] | None, checkpoint_id: str | None) -> Place:
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
