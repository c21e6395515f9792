"""Streams: what a run emits, and `astream`'s context manager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from types import TracebackType
from typing import Any, Final, Protocol

import attrs
import trio

from .isolation import isolated

__all__ = ["SILENT", "STREAM_MODES", "Chunks", "Sink", "Stream", "stream_modes"]

STREAM_MODES: Final = (
    "values",
    "updates",
    "messages",
    "custom",
    "tasks",
    "checkpoints",
    "debug",
)


class Sink(Protocol):
    """Where a run's events go. `modes`: which kinds are wanted; `subgraphs`: from inner graphs
    too.
    """

    @property
    def modes(self) -> Collection[str]: ...

    @property
    def subgraphs(self) -> bool: ...

    def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None:
        """Take an event of one of the modes. Called on the event loop; must not block."""
        ...


@attrs.frozen
class Silence:
    """A sink for runs that nobody follows."""

    modes: Collection[str] = ()
    subgraphs: bool = False

    def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None: ...


SILENT: Final = Silence()


def stream_modes(given: str | Collection[str]) -> tuple[str, ...]:
    """A `stream_mode` argument as a tuple. Raises ValueError for an unknown mode."""
    modes = (given,) if isinstance(given, str) else tuple(given)
    for mode in modes:
        if mode not in STREAM_MODES:
            known = ", ".join(map(repr, STREAM_MODES))
            raise ValueError(f"Unknown stream_mode {mode!r}; known are {known}")
    return modes


class Chunks:
    """The chunks of a run under way: iterate with `async for`."""

    def __init__(self, modes: Collection[str], subgraphs: bool, single: bool) -> None:
        self.modes = modes
        self.subgraphs = subgraphs
        self._single = single
        self._send, self._receive = trio.open_memory_channel[Any](float("inf"))
        self._error: Exception | None = None

    def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None:
        chunk = isolated(data)
        parts = (*((ns,) if self.subgraphs else ()), *(() if self._single else (mode,)), chunk)
        self._send.send_nowait(parts if len(parts) > 1 else chunk)

    async def follow(self, run: Callable[[Chunks], Awaitable[object]]) -> None:
        """Run to the end; an error waits for the reader, behind the chunks before it."""
        try:
            await run(self)
        except Exception as error:
            self._error = error
        finally:
            self._send.close()

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            if self._error is not None:
                error, self._error = self._error, None
                raise error from None
            raise StopAsyncIteration from None


class Stream:
    """What `astream` returns: `async with graph.astream(…) as chunks: async for chunk in chunks:`.

    Leaving the block early cancels the run and waits until it has stopped.
    """

    def __init__(
        self,
        run: Callable[[Chunks], Awaitable[object]],
        stream_mode: str | Collection[str],
        subgraphs: bool,
    ) -> None:
        self._run = run
        modes = stream_modes(stream_mode)
        self._chunks = Chunks(modes, subgraphs, single=isinstance(stream_mode, str))
        self._nurseries = trio.open_nursery()
        self._nursery: trio.Nursery | None = None

    async def __aenter__(self) -> Chunks:
        self._nursery = await self._nurseries.__aenter__()
        self._nursery.start_soon(self._chunks.follow, self._run)
        return self._chunks

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()
        try:
            await self._nurseries.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            # The body's own exception, not the nursery's wrapping of it; the run's never gets here.
            if error is not None and group.exceptions == (error,):
                raise error from error.__cause__
            raise

    def __aiter__(self) -> AsyncIterator[Any]:
        raise TypeError(
            "A stream owns a running task, so it is opened first: "
            "'async with graph.astream(...) as chunks: async for chunk in chunks: ...'"
        )
