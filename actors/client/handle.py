"""A run that was accepted, in the hands of who asked for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import attrs
import trio

from greenroom.graph.isolation import isolated
from greenroom.graph.resume import waiting
from greenroom.graph.root import shown
from greenroom.storage import Storage, read_saved
from greenroom.storage.records import Run

from ..errors import NotFound
from ..events import DONE, RunStream, StreamPart
from ..mailbox import Cancel
from ..supervisor import Supervisor
from ..views import result_view, run_view
from .checks import check_modes

__all__ = ["REPLAY_ALL", "RunHandle"]

REPLAY_ALL: Final = (0, -1)  # event ids to start after that mean everything kept
_EVENTS = 1000  # kept events read at a time


@attrs.define(eq=False)
class RunHandle:
    """A run that was accepted: its record, its result and its events."""

    _run: Run
    _supervisor: Supervisor
    _stream: RunStream | None
    _from_start: bool = attrs.field(kw_only=True)

    @property
    def run(self) -> dict[str, Any]:
        """The run's dictionary when the handle was made."""
        return run_view(self._run)

    @property
    def thread_id(self) -> str:
        return self._run.thread_id

    @property
    def run_id(self) -> str:
        return self._run.run_id

    @property
    def resumable(self) -> bool:
        """Whether its events are kept, so that a reader may come back and name the last one it
        saw."""
        return bool(self._run.kwargs["resumable"])

    @property
    def gone(self) -> NotFound | None:
        """Why the run is not there any more, if it was deleted while it was followed."""
        error = None if self._stream is None else self._stream.error
        return error if isinstance(error, NotFound) else None

    async def result(self, *, own: bool = True) -> Any:
        """The thread's values when the run is over, with `__interrupt__` where it paused and
        `__error__` (`error`, `message`) alone where it failed. Raises NotFound where it is deleted
        meanwhile.

        `own`: whether the caller may change what it is given (default); False saves a copy.
        """
        result = await (self._past_result() if self._stream is None else self._stream.wait())
        return isolated(result) if own else result

    async def events(
        self,
        *,
        after: int | None = None,
        stream_mode: str | Sequence[str] | None = None,
        gather: float = 0.0,
    ) -> AsyncGenerator[list[StreamPart], None]:
        """The run's events, in batches of what had queued up; ends with the run, or with its
        thread. Raises Closed where the runtime is left before, and where the reader is too far
        behind.

        `after`: the id of the last event seen; 0 or -1 for everything kept. Without it, the handle
        of a run just started gives all events, another one those from now on. `stream_mode`: only
        these. `gather`: seconds (default 0) that a batch takes to fill while events come faster
        than they are read; neither the first ones nor the last ones wait.
        """
        modes = None if stream_mode is None else {"metadata", "error", *check_modes(stream_mode)}
        stream = self._stream
        start = 0 if stream is None or self._from_start else stream.position
        if after is not None and self.resumable:
            after = 0 if after in REPLAY_ALL else after
            first = stream.parts[0].id if stream is not None and stream.parts else None
            async with aclosing(self._kept(after, first)) as kept:
                async for batch in kept:
                    after = batch[-1].id
                    if batch := _only(batch, modes):
                        yield batch
            start = 0 if stream is None else stream.position_after(after)
        if stream is None:
            return
        async with aclosing(stream.follow(start, gather=gather)) as followed:
            async for batch in followed:
                if batch := _only(batch, modes):
                    yield batch

    async def parts(
        self,
        *,
        after: int | None = None,
        stream_mode: str | Sequence[str] | None = None,
        cancels: bool = False,
    ) -> AsyncGenerator[StreamPart, None]:
        """`events`, one by one. `cancels`: leaving before the end cancels the run."""
        try:
            async with aclosing(self.events(after=after, stream_mode=stream_mode)) as batches:
                async for batch in batches:
                    for part in batch:
                        yield part
        finally:
            if cancels:
                self.leave()

    def leave(self) -> None:
        """Tell the run to stop, if it has not ended; does not wait."""
        if self._stream is not None and not self._stream.ended.is_set():
            self._supervisor.tell(self.thread_id, Cancel(self.run_id, "interrupt"))

    async def _kept(self, after: int, before: int | None) -> AsyncGenerator[list[StreamPart], None]:
        """Events of earlier processes, or of a run that is over."""
        while True:
            found = await self._supervisor.session.read(
                Storage.read_events, self.thread_id, self.run_id, after=after, limit=_EVENTS
            )
            batch = [
                StreamPart.of(event)
                for event in found
                if event.name != DONE and (before is None or event.event_id < before)
            ]
            if batch:
                yield batch
            if len(batch) < _EVENTS:  # what is left out is at the end
                return
            after = batch[-1].id

    async def _past_result(self) -> Any:
        """Of a run that has ended."""
        if self._run.error is not None:
            return {"__error__": self._run.error}
        actor = await self._supervisor.awake(self.thread_id)
        if actor is not None:
            await trio.lowlevel.checkpoint()
            saved = actor.state.log.head
        else:
            saved = await self._supervisor.session.read(read_saved, self.thread_id)
        if saved is None:
            return {}
        return result_view(shown(saved.checkpoint.values), waiting(saved))


def _only(batch: list[StreamPart], modes: set[str] | None) -> list[StreamPart]:
    return batch if modes is None else [part for part in batch if part.mode in modes]
