"""Requests to a server, at little cost to whoever measures it.

h11 on trio's sockets: a client such as httpx takes as long over a request as the servers that are
measured here, and on the same machine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import attrs
import h11
import msgspec
import trio

__all__ = ["Answer", "Wire"]

FRESH = 2.0  # seconds for which a connection is used again; servers close idle ones after 5


@attrs.define(eq=False)
class Connection:
    stream: trio.SocketStream
    http: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.CLIENT))
    used_at: float = 0.0

    async def send(self, request: h11.Request, body: bytes) -> h11.Response:
        """Send a request; returns the head of its answer."""
        parts = (request, h11.Data(data=body), h11.EndOfMessage())
        await self.stream.send_all(b"".join(self.http.send(part) or b"" for part in parts))
        while not isinstance(event := await self._next(), h11.Response):
            pass
        return event

    async def body(self) -> AsyncGenerator[bytes, None]:
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    async def _next(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.stream.receive_some(65536))
        return event


@attrs.frozen
class Answer:
    """An answer of which the body is still to come, and must be read or closed."""

    status: int
    body: AsyncGenerator[bytes, None]

    async def read(self) -> bytes:
        async with aclosing(self.body) as body:
            return b"".join([chunk async for chunk in body])

    async def events(self) -> AsyncGenerator[tuple[str, Any], None]:
        """The server-sent events, each with its name and its decoded data."""
        name, data, rest = "message", b"", b""
        async with aclosing(self.body) as body:
            async for chunk in body:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    field, _, value = line.rstrip(b"\r").partition(b":")
                    if field == b"event":
                        name = value.strip().decode()
                    elif field == b"data":
                        data += value.strip()
                    elif not line.strip() and data:
                        yield name, msgspec.json.decode(data)
                        name, data = "message", b""


@attrs.define(eq=False)
class Wire:
    """The connections to a server. Errors are `OSError`, `h11.ProtocolError` and what a body that
    is no JSON raises."""

    url: str
    _idle: list[Connection] = attrs.field(init=False, factory=list)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded body of an answer."""
        answer = await self.send(method, path, body)
        raw = await answer.read()
        return answer.status, msgspec.json.decode(raw) if raw.strip() else None

    async def send(self, method: str, path: str, body: Any = None) -> Answer:
        """The answer, as soon as its head is there."""
        parts = urlsplit(self.url)
        content = b"" if body is None else msgspec.json.encode(body)
        headers = [("host", parts.netloc), ("content-length", str(len(content)))]
        if body is not None:
            headers.append(("content-type", "application/json"))
        request = h11.Request(method=method, target=parts.path.rstrip("/") + path, headers=headers)
        connection = await self._connection(parts.hostname or "", parts.port or 80)
        try:
            head = await connection.send(request, content)
        except BaseException:
            await trio.aclose_forcefully(connection.stream)
            raise
        return Answer(head.status_code, self._body(connection))

    async def _connection(self, host: str, port: int) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if trio.current_time() - connection.used_at < FRESH:
                return connection
            await trio.aclose_forcefully(connection.stream)
        return Connection(await trio.open_tcp_stream(host, port))

    async def _body(self, connection: Connection) -> AsyncGenerator[bytes, None]:
        try:
            async with aclosing(connection.body()) as body:
                async for chunk in body:
                    yield chunk
        finally:
            if connection.http.our_state is connection.http.their_state is h11.DONE:
                connection.http.start_next_cycle()
                connection.used_at = trio.current_time()
                self._idle.append(connection)
            else:
                await trio.aclose_forcefully(connection.stream)

    async def aclose(self) -> None:
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop().stream)
