"""Graphs in programs without an event loop: each call runs trio for as long as it takes. In a plain
node it runs in the loop of the run that the node belongs to."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import sniffio
import trio

from .context import running_task

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
    return _run(functools.partial(function, *args, **kwargs))


def _run(function: Callable[[], Awaitable[T]]) -> T:
    task = running_task()
    return trio.run(function) if task is None or task.over else task.visit(function)


_END = object()


def iterate(open_stream: Callable[[], Stream]) -> Iterator[Any]:
    """The chunks of a stream that runs in a thread of its own; closing the iterator cancels it."""
    chunks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    started: queue.SimpleQueue[tuple[trio.lowlevel.TrioToken, trio.CancelScope] | None] = (
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
            _run(follow)
        except BaseException as error:
            errors.append(error)
        finally:
            started.put(None)
            chunks.put(_END)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name="greenroom-stream")
    thread.start()
    running = started.get()
    try:
        while (chunk := chunks.get()) is not _END:
            yield chunk
    finally:
        if running is not None:
            token, scope = running
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(scope.cancel)
        thread.join()
    for error in errors:
        raise error
