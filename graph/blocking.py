"""Graphs in programs without an event loop: each call runs trio for as long as it takes."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import sniffio
import trio

if TYPE_CHECKING:
    from .stream import Stream

__all__ = ["call", "iterate", "refuse_loop"]

T = TypeVar("T")


def refuse_loop(name: str, instead: str) -> None:
    """Raises RuntimeError in a running event loop, which a blocking call would stall."""
    try:
        library = sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return
    what = f"use '{instead}'" if library == "trio" else "run it in a thread: 'asyncio.to_thread'"
    raise RuntimeError(
        f"{name}() blocks and was called from a running {library} loop; {what} instead"
    )


def call(
    name: str, instead: str, function: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any
) -> T:
    refuse_loop(name, instead)
    return trio.run(functools.partial(function, *args, **kwargs))


_END = object()


def iterate(open_stream: Callable[[], Stream]) -> Iterator[Any]:
    """The chunks of a stream that runs in a thread of its own; closing the iterator cancels it."""
    chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    started: queue.SimpleQueue[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = (
        queue.SimpleQueue()
    )
    errors: list[BaseException] = []

    async def follow() -> None:
        with trio.CancelScope() as scope:
            started.put((trio.lowlevel.current_trio_token(), scope))
            async with open_stream() as stream:
                async for chunk in stream:
                    chunks.put(chunk)

    def run() -> None:
        try:
            trio.run(follow)
        except BaseException as error:
            errors.append(error)
        finally:
            chunks.put(_END)

    thread = threading.Thread(target=run, name="greenroom-stream")
    thread.start()
    token, scope = started.get()
    try:
        while (chunk := chunks.get()) is not _END:
            yield chunk
    finally:
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(scope.cancel)
        thread.join()
    for error in errors:
        raise error
