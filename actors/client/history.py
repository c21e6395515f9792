"""The history of a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from greenroom.graph import InvalidUpdateError, NodeNotFoundError
from greenroom.graph.checkpoint import CheckpointReader, Saved
from greenroom.storage import decode_page
from greenroom.storage.codec import to_json
from greenroom.storage.records import Thread
from greenroom.storage.rows import contains

from ..active import newest_config
from ..errors import Invalid, Refused
from ..supervisor import Supervisor
from ..views import state_view
from .checks import check_page, check_state_select, check_uuid, pick_state
from .past import PastPage, PastStates, read_past
from .states import ThreadStates, place_of

__all__ = ["ThreadHistory"]


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


class ThreadHistory(ThreadStates):
    """The part of `client.threads` that reads the history, and all about single states."""

    def __init__(self, supervisor: Supervisor) -> None:
        super().__init__(supervisor)
        self._past = PastStates()

    async def get_history(
        self,
        thread_id: str,
        *,
        limit: int = 10,
        before: str | Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        select: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """The states of a thread, newest first.

        `before`: a checkpoint or its id. `metadata`: what a checkpoint's must contain.
        `checkpoint`: its `checkpoint_ns` names an inner graph. `select`: as `get_state`.
        """
        check_state_select(select)
        check_page(limit, 0)
        ns, _ = place_of(checkpoint, None)
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
        return [pick_state(state, select) for state in found]

    async def get_history_json(
        self,
        thread_id: str,
        *,
        limit: int = 10,
        before: str | Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        checkpoint: Mapping[str, Any] | None = None,
        select: Sequence[str] | None = None,
    ) -> bytes:
        """The same as JSON: quicker where it has been asked for before, for past states do not
        change."""
        check_page(limit, 0)
        ns, _ = place_of(checkpoint, None)
        start = _before(before)
        if not (ns or metadata or select):
            thread, log, past = await self._open_past(thread_id, start, limit)
            if past.page.wanted and not self._graph(thread).made_per_run:
                return b"[%b]" % b",".join(await self._shown(thread, log, past, start))
        return to_json(
            await self.get_history(
                thread_id,
                limit=limit,
                before=start,
                metadata=metadata,
                checkpoint=checkpoint,
                select=select,
            )
        )

    async def _shown(
        self, thread: Thread, log: CheckpointReader, past: PastPage, before: str | None
    ) -> list[bytes]:
        """The states of a page as JSON. Those from the newest to the last that is not at hand are
        made."""
        states = past.states(thread, before)
        shown = [self._past.get(state) for state in states]
        missing = [at for at, data in enumerate(shown) if data is None]
        if missing:
            part = attrs.evolve(past.page, wanted=past.page.wanted[: missing[-1] + 1])
            saved = await self._supervisor.session.read(lambda on: decode_page(part, on.types))
            made = await self._states(
                thread, _ReadLog(log, saved, before), "", before=before, limit=len(saved)
            )
            for at, (state, view) in enumerate(zip(states, made, strict=False)):
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

    async def _open_past(
        self, thread_id: str, before: str | None, limit: int
    ) -> tuple[Thread, CheckpointReader, PastPage]:
        """A thread and its log, with a page of the history of the outermost graph."""
        ident = check_uuid("thread_id", thread_id)
        read = partial(read_past, thread_id=ident, before=before, limit=limit)
        if (awake := await self._awake(ident)) is not None:
            thread, log = awake
            return thread, log, await log.read(read)
        thread, past = await self._stored(ident, read)
        return thread, self._log(ident), past


def _before(before: str | Mapping[str, Any] | None) -> str | None:
    if isinstance(before, Mapping):
        before = (before.get("configurable") or before).get("checkpoint_id")
    return None if before is None else check_uuid("before", before)
