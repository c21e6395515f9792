"""Streams: what a run emits, and `astream`'s context manager."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Literal, Protocol, get_args

import attrs
import trio

from .here import on_asyncio, on_trio, to_trio
from .isolation import isolated

__all__ = [
    "SILENT",
    "STREAM_MODES",
    "Chunks",
    "Sink",
    "Stream",
    "StreamMode",
    "Version",
    "check_version",
    "stream_modes",
]

StreamMode = Literal["values", "updates", "messages", "custom", "tasks", "checkpoints", "debug"]
Version = Literal["v1", "v2"]

STREAM_MODES: Final = get_args(StreamMode)


# From mode, namespace and data to the chunk that a reader gets.
Shape = Callable[[str, tuple[str, ...], Any], Any]


class Sink(Protocol):
    """Where a run's events go. `modes`: which kinds are wanted now; `subgraphs`: from inner graphs
    too. `offered`: which may be wanted before the run is over, once somebody reads.
    """

    @property
    def modes(self) -> Collection[str]: ...

    @property
    def offered(self) -> Collection[str]: ...

    @property
    def subgraphs(self) -> bool: ...

    def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None:
        """Take an event of one of the modes. Called on the event loop; must not block."""
        ...


@attrs.frozen
class Silence:
    """A sink for runs that nobody follows."""

    modes: Collection[str] = ()
    offered: Collection[str] = ()
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


def check_version(given: str) -> None:
    """Raises ValueError for a version of streams that there is not."""
    if given not in get_args(Version):
        raise ValueError(f"version must be 'v1' or 'v2'; got {given!r}")


def _pairs(subgraphs: bool, single: bool) -> Shape:
    """The shape of version v1: a chunk, behind its namespace and mode if there may be several."""

    def shape(mode: str, ns: tuple[str, ...], data: Any) -> Any:
        parts = (*((ns,) if subgraphs else ()), *(() if single else (mode,)), data)
        return parts if len(parts) > 1 else data

    return shape


class Chunks:
    """The chunks of a run under way: iterate with `async for`."""

    def __init__(self, modes: Collection[str], subgraphs: bool, shape: Shape) -> None:
        self.modes = self.offered = modes
        self.subgraphs = subgraphs
        self._shape = shape
        self._send, self._receive = trio.open_memory_channel[Any](float("inf"))
        self._error: Exception | None = None

    def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None:
        self._send.send_nowait((mode, ns, isolated(data)))

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
            event = await on_trio(self._receive.receive)()
        except trio.EndOfChannel:
            if self._error is not None:
                error, self._error = self._error, None
                try:
                    raise error from None
                finally:
                    del error  # its traceback has this frame
            raise StopAsyncIteration from None
        return self._shape(*event)  # here, so that what it raises is the reader's and not the run's


class Stream:
    """What `astream` returns: `async with graph.astream(…) as chunks: async for chunk in chunks:`.

    Leaving the block early cancels the run and waits until it has stopped.
    """

    def __init__(
        self,
        run: Callable[[Chunks], Awaitable[object]],
        stream_mode: str | Collection[str],
        subgraphs: bool,
        shape: Shape | None = None,
    ) -> None:
        self._run = run
        shape = shape or _pairs(subgraphs, single=isinstance(stream_mode, str))
        self._chunks = Chunks(stream_modes(stream_mode), subgraphs, shape)
        self._nurseries: AbstractAsyncContextManager[trio.Nursery] | None = None
        self._nursery: trio.Nursery | None = None
        self._followed: asyncio.Task[None] | None = None  # in a node on asyncio

    async def __aenter__(self) -> Chunks:
        if on_asyncio():
            self._followed = asyncio.create_task(to_trio(self._chunks.follow, self._run))
            return self._chunks
        self._nurseries = trio.open_nursery()
        self._nursery = await self._nurseries.__aenter__()
        self._nursery.start_soon(self._chunks.follow, self._run)
        return self._chunks

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._followed is not None:
            self._followed.cancel()
            await asyncio.gather(self._followed, return_exceptions=True)
            return
        assert self._nursery is not None
        assert self._nurseries is not None
        self._nursery.cancel_scope.cancel()
        try:
            await self._nurseries.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            # The body's own exception goes on by itself; the run's never gets here.
            if group.exceptions != (error,):
                raise

    def __aiter__(self) -> AsyncIterator[Any]:
        raise TypeError(
            "A stream owns a running task, so it is opened first: "
            "'async with graph.astream(...) as chunks: async for chunk in chunks: ...'"
        )
