"""Whether this is trio or asyncio, and how to get things done on trio from anywhere."""

from __future__ import annotations

import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import trio

if TYPE_CHECKING:
    from .asyncio_thread import AsyncioThread

__all__ = [
    "call_on_trio",
    "enter",
    "leave",
    "on_asyncio",
    "on_trio",
    "stall_for_trio",
    "tell_trio",
    "tell_trio_later",
    "thread_here",
    "to_trio",
    "wait_for_trio",
    "work_for",
]

P = ParamSpec("P")
T = TypeVar("T")

_here = threading.local()  # in threads of an AsyncioThread, that one
# What runs on its loop, and all that works in a copy of that context, such as a thread of a pool.
_working_for: ContextVar[AsyncioThread | None] = ContextVar("greenroom_asyncio", default=None)


def enter(thread: AsyncioThread) -> None:
    """From now on this thread is one of `thread`."""
    _here.thread = thread


def leave() -> None:
    """It no longer is."""
    del _here.thread


def work_for(thread: AsyncioThread) -> None:
    """From now on what works in this context does so for `thread`, wherever it is."""
    _working_for.set(thread)


async def to_trio(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """`AsyncioThread.to_trio` of the loop that this is called on."""
    return await _needed("to_trio").to_trio(function, *args)


def wait_for_trio(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """`AsyncioThread.wait_for_trio`, in threads that work for the loop."""
    return _needed("wait_for_trio").wait_for_trio(function, *args)


def stall_for_trio(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """`AsyncioThread.stall_for_trio`, in such threads and on the loop."""
    return _needed("stall_for_trio").stall_for_trio(function, *args)


def tell_trio(function: Callable[..., object], *args: Any) -> None:
    """`AsyncioThread.tell_trio`, on the loop and in threads that work for it."""
    _needed("tell_trio").tell_trio(function, *args)


def tell_trio_later(patience: float, function: Callable[..., object], *args: Any) -> None:
    """`AsyncioThread.tell_trio_later`, in the same places."""
    _needed("tell_trio_later").tell_trio_later(patience, function, *args)


def thread_here() -> AsyncioThread | None:
    """The one whose loop, or default executor, this thread belongs to."""
    return getattr(_here, "thread", None)


def on_asyncio() -> bool:
    """Whether this is called on the loop of an AsyncioThread."""
    thread = thread_here()
    return thread is not None and thread.is_current()


def on_trio(method: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Makes an async function run on trio wherever it is called: there, or on asyncio."""

    @functools.wraps(method)
    async def carried_out(*args: P.args, **kwargs: P.kwargs) -> T:
        if on_asyncio():
            return await to_trio(functools.partial(method, *args, **kwargs))
        return await method(*args, **kwargs)

    return carried_out


def call_on_trio(
    token: trio.lowlevel.TrioToken, function: Callable[..., object], *args: Any
) -> None:
    """Call a plain function on trio: at once where this is it, else soon, in order."""
    if trio.lowlevel.in_trio_run():
        function(*args)
    elif (thread := thread_here()) is not None:
        thread.tell_trio(function, *args)
    else:
        token.run_sync_soon(function, *args)


def _needed(what: str) -> AsyncioThread:
    """Raises RuntimeError in threads that work for no AsyncioThread."""
    thread = thread_here() or _working_for.get()
    if thread is None:
        raise RuntimeError(
            f"{what}() was called neither on the asyncio loop of a trio run nor in a thread that "
            f"works for it, in a copy of its context; elsewhere use the method of AsyncioThread"
        )
    return thread
