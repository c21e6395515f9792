"""The server process: listens, serves connections on hypercorn, and stops in good order."""

from __future__ import annotations

import errno
import gc
import logging
import os
import resource
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext, suppress
from functools import partial
from types import FrameType
from typing import Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext
from starlette.applications import Starlette

from greenroom.actors import MAX_QUEUED_RUNS, CheckpointerConfig, Greenroom
from greenroom.graph.contract import Graph
from greenroom.graph.store import StoreConfig
from greenroom.storage import Storage

from .app import HttpConfig, create_app
from .connection import Connection, Connections
from .own import OwnRoutes
from .webhooks import WebhookPoster

__all__ = ["ListenError", "listen", "serve", "serve_connections"]

logger = logging.getLogger(__name__)

BACKLOG: Final = 1024  # connections not yet accepted
IDLE_TIMEOUT: Final = 75.0  # seconds: longer than the usual proxy keeps a connection
DRAIN_TIME: Final = 2.5  # seconds that runs under way get when the server stops
LAST_WORDS: Final = 0.2  # seconds, after that, for readers to be sent what a run came to
ANSWER_TIME: Final = 1.0  # seconds that other requests get then
GRACE_PERIOD: Final = 5.0  # seconds from the signal to the end of the process
GC_THRESHOLD: Final = 50_000
USER_TIMEOUT: Final = 30.0  # seconds in which a client's machine must acknowledge what it is sent
MAX_HEADER_SIZE: Final = 16 * 1024  # bytes
DESCRIPTORS: Final = 65_536  # open files and sockets that the process asks for
NOT_FOR_CLIENTS: Final = 64  # of these


class ListenError(Exception):
    """The address cannot be listened on; the text is one line that says why."""


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Bind an address; port 0 finds a free one. Raises ListenError."""
    try:
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} of {host} is taken by another program; choose one with --port"
        else:
            text = f"cannot listen on {host}, port {port}: {error.strerror}"
        raise ListenError(text) from error
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        for listener in listeners:  # connections inherit it
            listener.socket.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(USER_TIMEOUT * 1000)
            )
    return listeners


async def serve(
    graphs: Mapping[str, Graph],
    *,
    descriptions: Mapping[str, str] | None = None,
    storage: Storage,
    store: StoreConfig | None = None,
    checkpointer: CheckpointerConfig | None = None,
    run_timeout: float | None,
    event_ttl: float | None,
    max_kept_events: int,
    poster: WebhookPoster,
    max_queued_runs: int = MAX_QUEUED_RUNS,
    host: str,
    port: int,
    http: HttpConfig | None = None,
    own: OwnRoutes | None = None,
    api_key: str | None = None,
    until: Callable[[], Awaitable[None]] | None = None,
    ready: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM, or until `until()` has come to its end. Runs under way then
    get DRAIN_TIME; those that do not end in it, and all that wait, go on at the next start. The
    first signal ends the process within GRACE_PERIOD, the second at once.

    `ready` is called with the server's URL. Raises ListenError, and what a Greenroom does: losing
    the storage ends the process as a signal does.
    """
    listeners = await listen(host, port)
    most = _raise_descriptors() - NOT_FOR_CLIENTS
    async with (
        Greenroom(
            graphs,
            descriptions=descriptions,
            storage=storage,
            store=store,
            checkpointer=checkpointer,
            run_timeout=run_timeout,
            event_ttl=event_ttl,
            max_kept_events=max_kept_events,
            max_queued_runs=max_queued_runs,
            poster=poster,
        ) as room,
        nullcontext() if own is None else own.lifespan(),
    ):
        stop = _stop_on_signals()
        app = create_app(room, http=http, own=own, api_key=api_key)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])
        ready(_url(listeners[0]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_without, room)
            if until is not None:
                nursery.start_soon(_stop_after, until, stop)
            await serve_connections(
                app,
                listeners,
                stop,
                drain=room.drain,
                max_connections=most,
                max_header_size=(http or {}).get("max_header_size", MAX_HEADER_SIZE),
            )
            nursery.cancel_scope.cancel()


async def serve_connections(
    app: Starlette,
    listeners: list[trio.SocketListener],
    stop: trio.Event,
    *,
    drain: Callable[[], Awaitable[None]] | None = None,
    max_connections: int = 1000,
    max_header_size: int = MAX_HEADER_SIZE,
) -> None:
    """Serve an app until `stop`: then accept nothing more, wait for `drain()`, which may take
    DRAIN_TIME, break off live answers, and give other requests ANSWER_TIME.

    This is hypercorn's trio worker, but for what one client can do to the others or to the end: a
    connection that fails takes no other with it, and one whose client has stopped reading, or
    sends on and on, holds up nothing. `max_connections`: one more takes the place of an idle one.
    `max_header_size`: in bytes, with the request line.
    """
    config = Config()
    config.errorlog = logger
    config.keep_alive_timeout = IDLE_TIMEOUT
    config.h11_max_incomplete_size = max_header_size
    context = WorkerContext(max_requests=None)
    wrapped = ASGIWrapper(app)  # type: ignore[arg-type]  # hypercorn spells ASGI's types out
    open_ones = Connections(max_connections)
    closing = trio.Event()

    async def serve_connection(stream: trio.SocketStream) -> None:
        connection = Connection(wrapped, config, context, stream)
        try:
            with open_ones.place(connection) as found:
                if found:
                    await connection.run()
                else:
                    connection.cut_off()
        except Exception:
            logger.exception("a connection failed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_break_off, open_ones, closing)
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
            if drain is not None:
                with trio.move_on_after(DRAIN_TIME):
                    await drain()
            app.state.live.close(LAST_WORDS)
            connections.cancel_scope.deadline = trio.current_time() + ANSWER_TIME
            closing.set()
        nursery.cancel_scope.cancel()


async def _break_off(open_ones: Connections, closing: trio.Event) -> None:
    # Sends are shielded, and a client that reads nothing would block one until it is cut off.
    try:
        await closing.wait()
        await trio.sleep(ANSWER_TIME)
    finally:
        open_ones.close()


def _raise_descriptors() -> int:
    """Let the process have as many open files and sockets as it may, and say how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if 0 <= soft < wanted:
        with suppress(OSError, ValueError):  # some systems have limits that they do not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


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
