"""One client's connection, and all of them: HTTP/1.1 as hypercorn speaks it, with bounds on what a
client can hold up."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, Final

import attrs
import h11
import msgspec
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

__all__ = ["Connection", "Connections"]

logger = logging.getLogger(__name__)

SEND_TIME: Final = 30.0  # seconds in which a client must take the next PIECE of its answer
PIECE: Final = 64 * 1024  # bytes
HTTP_VERSIONS: Final = (b"1.0", b"1.1")


class Connection(TCPServer):
    """hypercorn's connection, which lets go at once of a client that has gone, and cuts one off
    that does not take what it is sent.

    `idle`: it waits for a request, or for the rest of one's headers.
    """

    protocol: Http1  # type: ignore[assignment]  # hypercorn's speaks HTTP/2 as well
    _task_group: TaskGroup

    def __init__(
        self, app: ASGIWrapper, config: Config, context: WorkerContext, stream: trio.SocketStream
    ) -> None:
        super().__init__(app, config, context, ConnectionState({}), stream)  # type: ignore[arg-type]
        self.idle = True
        self._patience = trio.CancelScope()
        self._gone = False

    async def run(self) -> None:
        """Serve it to its end."""
        sock = self.stream.socket
        try:
            client = parse_socket_addr(sock.family, sock.getpeername())
            server = parse_socket_addr(sock.family, sock.getsockname())
            async with TaskGroup() as self._task_group:
                self.protocol = Http1(
                    self.app,
                    self.config,
                    self.context,
                    self._task_group,
                    ConnectionState({}),
                    False,
                    client,
                    server,
                    self.protocol_send,
                )
                self._set_idle(True)
                self._task_group.spawn(self._idle_timeout)
                await self._read_data()
        except OSError:
            pass
        finally:
            await self._close()

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            if not await self._send(event.data):
                await self.protocol.handle(Closed())
            return
        if isinstance(event, Updated):
            self._set_idle(event.idle)
            return
        await super().protocol_send(event)

    def _set_idle(self, idle: bool) -> None:
        self.idle = idle
        until = trio.current_time() + self.config.keep_alive_timeout if idle else inf
        self._patience.deadline = until

    async def _send(self, data: bytes) -> bool:
        """Whether the client took it."""
        try:  # a lock that is free is taken without a turn of the loop, unlike with `async with`
            self.send_lock.acquire_nowait()
        except trio.WouldBlock:
            await self.send_lock.acquire()
        try:
            for start in range(0, len(data), PIECE):
                until = trio.current_time() + SEND_TIME
                with trio.CancelScope(deadline=until, shield=True) as sending:
                    await self.stream.send_all(data[start : start + PIECE])
                if sending.cancelled_caught:
                    logger.info("a client that took nothing for %g s was cut off", SEND_TIME)
                    self.cut_off()
                    return False
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        finally:
            self.send_lock.release()
        return True

    def cut_off(self) -> None:
        """Close it at once, and forget what is still on its way to the client."""
        sock = self.stream.socket
        if sock.fileno() != -1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    async def _read_data(self) -> None:
        await super()._read_data()
        self._gone = True
        self._patience.cancel()  # it would keep the socket of a client that has gone

    async def _idle_timeout(self) -> None:
        """One task for as long as the connection lasts: hypercorn starts one after each request."""
        while not self.idle or not self._patience.cancelled_caught:
            if self._gone or self.context.terminated.is_set():
                break
            with trio.CancelScope(deadline=self._patience.deadline) as self._patience:
                await self.context.terminated.wait()
        if self._gone or not self.idle:  # one at work is closed after the request
            return
        with trio.CancelScope(shield=True):
            if self._patience.cancelled_caught and self.protocol.has_begun:
                await self.protocol.refuse(408, "the request did not arrive in time")
            await self._initiate_server_close()


class Http1(H11Protocol):
    """hypercorn's HTTP/1.1, which says what it refuses.

    Wishes for another protocol are passed over: nobody needs it here, and strangers could misuse
    it.
    """

    connection: _Reader

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.connection = _Reader(
            h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size
        )
        self._head = b""

    @property
    def has_begun(self) -> bool:
        """Whether a part of a request has come that is not complete."""
        return bool(self.connection.trailing_data[0])

    async def refuse(self, status: int, text: str) -> None:
        body = msgspec.json.encode({"detail": text})
        headers = [
            (b"content-length", b"%d" % len(body)),
            (b"content-type", b"application/json"),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())

    async def _send_h11_event(self, event: Any) -> None:
        """The head of an answer goes with what follows it, in one write."""
        try:
            data = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = data
        else:
            await self._send_with_head(data)

    async def send_head(self) -> None:
        """Send it by itself, if it is still there: nothing follows for now."""
        await self._send_with_head(b"")

    async def _send_with_head(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if head or data:
            await self.send(RawData(data=head + data))

    async def _send_error_response(self, status_code: int) -> None:
        text = self.connection.problem
        if status_code == 431:
            text = self._too_long()
        await self.refuse(status_code, text)

    def _too_long(self) -> str:
        most = self.config.h11_max_incomplete_size
        return f"the request line and the headers have more than {most} bytes"

    async def _check_protocol(self, event: h11.Request) -> None:
        """Upgrades are passed over."""

    async def _create_stream(self, request: h11.Request) -> None:
        # h11 looks at the size of headers only while they are incomplete.
        size = len(request.target) + sum(len(n) + len(v) + 4 for n, v in request.headers)
        if size > self.config.h11_max_incomplete_size:
            await self._turn_away(431, self._too_long())
        elif request.http_version not in HTTP_VERSIONS:
            version = request.http_version.decode()
            await self._turn_away(400, f"HTTP/1.1 is spoken here, and not HTTP/{version}")
        else:
            self.stream = _Stream(
                self.send_head,
                self.app,
                self.config,
                self.context,
                self.task_group,
                self.ssl,
                self.client,
                self.server,
                self.stream_send,
                STREAM_ID,
            )
            await self.stream.handle(
                Request(
                    stream_id=STREAM_ID,
                    headers=list(request.headers),
                    http_version=request.http_version.decode(),
                    method=request.method.decode("ascii").upper(),
                    raw_path=request.target,
                    state=self.connection_state,
                )
            )
            self.keep_alive_requests += 1

    async def _turn_away(self, status: int, text: str) -> None:
        await self.refuse(status, text)
        await self.send(Closed())


class _Stream(HTTPStream):
    """hypercorn's request and answer. An application may send an empty piece to have the head sent
    at once."""

    def __init__(self, send_head: Callable[[], Awaitable[None]], *args: Any) -> None:
        super().__init__(*args)
        self._send_head = send_head

    async def app_send(self, message: Any) -> None:
        await super().app_send(message)
        if message is not None and message["type"] == "http.response.body":
            await self._send_head()


class _Reader(h11.Connection):
    """h11, which remembers what was wrong. `problem`: with the last event."""

    problem = ""

    def next_event(self) -> Any:
        try:
            return super().next_event()
        except h11.RemoteProtocolError as error:
            self.problem = f"malformed HTTP: {error}"[:200]
            raise


@attrs.define
class Connections:
    """Those that are open, at most `most`: one more takes the place of the oldest that is idle, or
    finds none."""

    most: int
    _open: dict[Connection, None] = attrs.field(factory=dict)

    @contextmanager
    def place(self, connection: Connection) -> Iterator[bool]:
        """Whether there was one."""
        if len(self._open) >= self.most:
            idle = next((one for one in self._open if one.idle), None)
            if idle is None:
                yield False
                return
            del self._open[idle]
            idle.cut_off()
        self._open[connection] = None
        try:
            yield True
        finally:
            self._open.pop(connection, None)

    def close(self) -> None:
        for connection in self._open:
            connection.stream.socket.close()
