"""The client for programs that do not run trio: the room has a thread of its own, and calls go
there and back.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import attrs

from .client import (
    AssistantsClient,
    CronsClient,
    RunHandle,
    RunsClient,
    StoreClient,
    ThreadsClient,
)
from .errors import Closed
from .loop_thread import LoopThread

if TYPE_CHECKING:
    from .runtime import Greenroom

__all__ = ["AsyncioClient", "BlockingClient", "InThread", "InThreadAsync"]

# What is called through a proxy too.
_PARTS: Final = (
    AssistantsClient,
    CronsClient,
    RunHandle,
    RunsClient,
    StoreClient,
    ThreadsClient,
)


@attrs.define(eq=False)
class _Proxy:
    """What calls a client, or a part of one, through the room's thread."""

    thread: LoopThread
    _target: Any

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if inspect.iscoroutinefunction(found):
            return partial(self._call, found)
        if inspect.isasyncgenfunction(found):
            return partial(self._iterate, found)
        return self._wrapped(found)

    def _wrapped(self, found: Any) -> Any:
        return type(self)(self.thread, found) if isinstance(found, _PARTS) else found


@attrs.define(eq=False)
class BlockingClient(_Proxy):
    """`room.client`, or a part of it, for plain programs, from any number of threads: what is
    awaited there blocks here, and streams are iterated with `for`.

    Calls raise what the same calls do there, and Closed once the room has been left. A call that is
    broken off by an exception of its own thread (Ctrl-C) is cancelled.
    """

    def _call(self, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        future = self.thread.submit(partial(function, *args, **kwargs))
        try:
            found = future.result()
        except BaseException:
            future.cancel()
            raise
        return self._wrapped(found)

    def _iterate(
        self, function: Callable[..., AsyncGenerator[Any, None]], *args: Any, **kwargs: Any
    ) -> Generator[Any, None, None]:
        parts = function(*args, **kwargs)
        try:
            while (part := self._call(anext, parts, None)) is not None:
                yield part
        finally:
            with suppress(Closed):
                self._call(parts.aclose)


@attrs.define(eq=False)
class AsyncioClient(_Proxy):
    """`room.client`, or a part of it, for asyncio: as it is there. Cancelling the caller's await
    cancels the call.
    """

    async def _call(
        self, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> Any:
        call = self.thread.submit(partial(function, *args, **kwargs))
        return self._wrapped(await asyncio.wrap_future(call))

    async def _iterate(
        self, function: Callable[..., AsyncGenerator[Any, None]], *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        parts = function(*args, **kwargs)
        try:
            while (part := await self._call(anext, parts, None)) is not None:
                yield part
        finally:
            with suppress(Closed):
                await self._call(parts.aclose)


@attrs.define(eq=False)
class InThread:
    """See `Greenroom.in_thread`."""

    room: Greenroom
    _thread: LoopThread = attrs.field(init=False)

    def __enter__(self) -> BlockingClient:
        self._thread = LoopThread(self.room)
        try:
            self._thread.start()
        except BaseException:
            self._thread.stop()
            raise
        return BlockingClient(self._thread, self.room.client)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.stop()


@attrs.define(eq=False)
class InThreadAsync:
    """See `Greenroom.in_thread_async`."""

    room: Greenroom
    _thread: LoopThread = attrs.field(init=False)

    async def __aenter__(self) -> AsyncioClient:
        self._thread = LoopThread(self.room)
        try:
            await asyncio.to_thread(self._thread.start)
        except BaseException:
            await asyncio.to_thread(self._thread.stop)
            raise
        return AsyncioClient(self._thread, self.room.client)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._thread.stop)
