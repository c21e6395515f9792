"""The gateway inside an ASGI application that runs on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import trio
from starlette.types import ASGIApp, Receive, Scope, Send

from greenroom.actors import AsyncioClient

from .app import create_app

__all__ = ["asyncio_app"]

T = TypeVar("T")


def asyncio_app(client: AsyncioClient, **options: Any) -> ASGIApp:
    """The Agent Server API for FastAPI, or Starlette, on uvicorn or any other asyncio server:

        async with Greenroom(…).in_thread_async() as client:
            app.mount("/agents", asyncio_app(client))

    `options`: as of `create_app`; who gives `own` enters its `lifespan`. Requests are answered in
    the room's own thread.
    """
    app = create_app(client.thread.room, **options)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        there = partial(app, scope, partial(_back, loop, receive), partial(_back, loop, send))
        await asyncio.wrap_future(client.thread.submit(there))

    return answer


async def _back(
    loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[T]], *args: Any
) -> T:
    """What a function of asyncio's comes to, awaited on trio."""

    async def call() -> T:
        return await function(*args)

    token, done = trio.lowlevel.current_trio_token(), trio.Event()
    future = asyncio.run_coroutine_threadsafe(call(), loop)
    future.add_done_callback(lambda _: _tell(token, done))
    try:
        await done.wait()
    except trio.Cancelled:
        future.cancel()
        raise
    return future.result()


def _tell(token: trio.lowlevel.TrioToken, done: trio.Event) -> None:
    with suppress(trio.RunFinishedError):  # nobody waits for it any more
        token.run_sync_soon(done.set)
