"""The server process: listens, serves connections on hypercorn, and stops in good order."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import partial
from types import FrameType
from typing import Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.applications import Starlette

from greenroom.actors import CheckpointerConfig, Greenroom
from greenroom.graph import CompiledStateGraph
from greenroom.graph.store import StoreConfig
from greenroom.storage import Storage

from .app import HttpConfig, create_app
from .own import OwnRoutes
from .webhooks import WebhookPoster

__all__ = ["ListenError", "listen", "serve", "serve_connections"]

logger = logging.getLogger(__name__)

BACKLOG: Final = 1024  # connections not yet accepted
IDLE_TIMEOUT: Final = 75.0  # seconds: longer than the usual proxy keeps a connection
DRAIN_TIME: Final = 1.0  # seconds that requests under way get when the server stops
GRACE_PERIOD: Final = 5.0  # seconds from the signal to the end of the process
GC_THRESHOLD: Final = 50_000


class ListenError(Exception):
    """The address cannot be listened on; the text is one line that says why."""


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Bind an address; port 0 finds a free one. Raises ListenError."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} of {host} is taken by another program; choose one with --port"
        else:
            text = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise ListenError(text) from error


async def serve(
    graphs: Mapping[str, CompiledStateGraph],
    *,
    storage: Storage,
    store: StoreConfig | None = None,
    checkpointer: CheckpointerConfig | None = None,
    run_timeout: float | None,
    poster: WebhookPoster,
    host: str,
    port: int,
    http: HttpConfig | None = None,
    own: OwnRoutes | None = None,
    api_key: str | None = None,
    until: Callable[[], Awaitable[None]] | None = None,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM, or until `until()` has come to its end. The first signal ends
    the process within GRACE_PERIOD, the second at once.

    `ready` is called with the server's URL. Raises ListenError, and what a Greenroom does: losing
    the storage ends the process as a signal does.
    """
    listeners = await listen(host, port)
    async with (
        Greenroom(
            graphs,
            storage=storage,
            store=store,
            checkpointer=checkpointer,
            run_timeout=run_timeout,
            poster=poster,
        ) as room,
        nullcontext() if own is None else own.lifespan(),
    ):
        stop = _stop_on_signals()
        ready(_url(listeners[0]))
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
        app = create_app(room, http=http, own=own, api_key=api_key)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_without, room)
            if until is not None:
                nursery.start_soon(_stop_after, until, stop)
            await serve_connections(app, listeners, stop)
            nursery.cancel_scope.cancel()


async def serve_connections(
    app: Starlette, listeners: list[trio.SocketListener], stop: trio.Event
) -> None:
    """Serve an app until `stop`: then accept nothing more, break off live answers, and give other
    requests DRAIN_TIME.

    This is hypercorn's trio worker with three things that it lacks: a connection that fails takes
    no other with it, one whose client has gone is let go of at once, and one whose client has
    stopped reading does not hold up the end.
    """
    config = Config()
    config.errorlog = logger
    config.keep_alive_timeout = IDLE_TIMEOUT
    context = WorkerContext(max_requests=None)
    wrapped = ASGIWrapper(app)  # type: ignore[arg-type]  # hypercorn spells ASGI's types out
    streams: set[trio.SocketStream] = set()

    async def serve_connection(stream: trio.SocketStream) -> None:
        streams.add(stream)
        try:
            await _Connection(wrapped, config, context, ConnectionState({}), stream).run()  # type: ignore[arg-type]
        except Exception:
            logger.exception("a connection failed")
        finally:
            streams.discard(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_break_off, streams, stop)
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    partial(
                        trio.serve_listeners,
                        serve_connection,
                        listeners,
                        handler_nursery=connections,
                    )
                )
                await stop.wait()
                accepting.cancel_scope.cancel()
            await context.terminated.set()  # closes idle connections
            app.state.live.close()
            connections.cancel_scope.deadline = trio.current_time() + DRAIN_TIME
        nursery.cancel_scope.cancel()


class _Connection(TCPServer):
    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()  # it would keep the socket of a client that has gone


async def _break_off(streams: set[trio.SocketStream], stop: trio.Event) -> None:
    # hypercorn shields its sends, and a client that reads nothing would block one for ever.
    try:
        await stop.wait()
        await trio.sleep(DRAIN_TIME)
    finally:
        for stream in streams:
            stream.socket.close()


def _stop_on_signals() -> trio.Event:
    stop = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def on_signal(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_DFL)  # the second one ends the process
        token.run_sync_soon(stop.set)
        _limit_the_end()

    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, on_signal)
    return stop


async def _stop_after(until: Callable[[], Awaitable[None]], stop: trio.Event) -> None:
    await until()
    stop.set()


async def _end_without(room: Greenroom) -> None:
    """Storage that is lost is soon another process's: nothing may hold up the end of this one."""
    await room.lost.wait()
    _limit_the_end()


def _limit_the_end() -> None:
    last_resort = threading.Timer(GRACE_PERIOD, _give_up)
    last_resort.daemon = True
    last_resort.start()


def _give_up() -> None:
    """End the process although a node will not end; whatever was acknowledged is in storage."""
    logger.error("a run did not stop within %g s; the process ends without it", GRACE_PERIOD)
    logging.shutdown()
    os._exit(1)


def _url(listener: trio.SocketListener) -> str:
    host, port = listener.socket.getsockname()[:2]
    if listener.socket.family == socket.AF_INET6:
        host = f"[{host}]"
    return f"http://{host}:{port}"
