"""Connections on raw sockets: what one client does harms neither the others nor the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from greenroom.actors import Greenroom
from greenroom.gateway import create_app
from greenroom.gateway.connection import Http1
from greenroom.gateway.server import ListenError, listen, serve_connections

from .conftest import NIL, Gate

PATIENCE = 30.0  # seconds, for what must not hang
HOST = "Host: x\r\n"


@attrs.define
class Server:
    port: int
    stop: trio.Event = attrs.field(factory=trio.Event)
    stopped: trio.Event = attrs.field(factory=trio.Event)

    async def connect(self, request: bytes) -> trio.SocketStream:
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        await stream.send_all(request)
        return stream

    async def answers(self) -> bool:
        request = f"GET /ok HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
        stream = await self.connect(request.encode())
        return (await everything(stream)).endswith(b'{"ok":true}')


@pytest.fixture
async def server(room: Greenroom) -> AsyncIterator[Server]:
    listeners = await listen("127.0.0.1", 0)
    server = Server(listeners[0].socket.getsockname()[1])

    async def run() -> None:
        await serve_connections(create_app(room), listeners, server.stop)
        server.stopped.set()

    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + PATIENCE
        nursery.start_soon(run)
        yield server
        server.stop.set()
    assert server.stopped.is_set()


async def everything(stream: trio.SocketStream) -> bytes:
    """All there is still to come, up to the end of the connection."""
    async with stream:
        return b"".join([chunk async for chunk in stream])


async def until(stream: trio.SocketStream, text: bytes) -> bytes:
    received = b""
    while text not in received:
        received += await stream.receive_some()
    return received


def post(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body)
    return f"POST {path} HTTP/1.1\r\n{HOST}Content-Length: {len(data)}\r\n\r\n{data}".encode()


def stream_of(graph: str, mode: str) -> bytes:
    body = {"assistant_id": graph, "input": {}, "stream_mode": mode, "if_not_exists": "create"}
    return post(f"/threads/{NIL}/runs/stream", body)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"garbage\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (f"GET / HTTP/1.1\r\n{HOST}X: {'x' * 70_000}\r\n\r\n".encode(), b"431"),
        (f"POST / HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\nZZ\r\n".encode(), b"400"),
    ],
)
async def test_a_malformed_request_is_refused(
    server: Server, request_: bytes, status: bytes
) -> None:
    answer = await everything(await server.connect(request_))

    assert answer.startswith(b"HTTP/1.1 " + status)
    assert await server.answers()


async def test_a_connection_that_fails_takes_no_other_with_it(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await server.connect(f"GET /ok HTTP/1.1\r\n{HOST}\r\n".encode()) as other:
        await until(other, b'{"ok":true}')
        with monkeypatch.context() as patch:
            patch.setattr(Http1, "_create_stream", None)
            await everything(await server.connect(f"GET /ok HTTP/1.1\r\n{HOST}\r\n".encode()))
        assert "a connection failed" in caplog.text

        await other.send_all(f"GET /ok HTTP/1.1\r\n{HOST}\r\n".encode())
        await until(other, b'{"ok":true}')


async def test_a_connection_ends_with_its_client(server: Server) -> None:
    stream = await server.connect(f"GET /ok HTTP/1.1\r\n{HOST}\r\n".encode())
    await until(stream, b'{"ok":true}')
    await stream.send_eof()

    assert await everything(stream) == b""


async def test_stopping_refuses_the_new_and_closes_the_idle(server: Server) -> None:
    idle = await server.connect(f"GET /ok HTTP/1.1\r\n{HOST}\r\n".encode())
    await until(idle, b'{"ok":true}')
    server.stop.set()

    assert await everything(idle) == b""
    await server.stopped.wait()
    with pytest.raises(OSError, match=r".*"):
        await trio.open_tcp_stream("127.0.0.1", server.port)


async def test_stopping_breaks_streams_off_and_lets_the_run_be(
    server: Server, room: Greenroom, gate: Gate
) -> None:
    stream = await server.connect(stream_of("held", "updates"))
    await until(stream, b"before")
    server.stop.set()
    rest = await everything(stream)

    assert not rest.endswith(b"0\r\n\r\n")  # how an answer ends that is complete
    await server.stopped.wait()
    (run,) = await room.client.runs.list(NIL)
    assert run["status"] == "running"


async def test_a_request_under_way_is_still_answered_when_the_server_stops(
    server: Server, room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(thread_id: str) -> dict[str, Any]:
        server.stop.set()
        await trio.sleep(0.01)
        return {"thread_id": thread_id}

    monkeypatch.setattr(room.client.threads, "get", get)
    stream = await server.connect(f"GET /threads/{NIL} HTTP/1.1\r\n{HOST}\r\n".encode())

    assert (await everything(stream)).endswith(f'{{"thread_id":"{NIL}"}}'.encode())


async def test_a_client_that_stops_reading_does_not_hold_up_the_end(server: Server) -> None:
    async with await server.connect(stream_of("floods", "custom")) as stream:
        await until(stream, b"xxx")
        await trio.testing.wait_all_tasks_blocked()
        server.stop.set()

        await server.stopped.wait()


async def test_a_client_that_goes_away_in_the_middle_of_much_is_forgotten(server: Server) -> None:
    async with await server.connect(stream_of("floods", "custom")) as stream:
        await until(stream, b"xxx")

    assert await server.answers()


async def test_a_port_that_is_taken_is_named(server: Server) -> None:
    with pytest.raises(ListenError, match=rf"^port {server.port} of 127\.0\.0\.1 is taken"):
        await listen("127.0.0.1", server.port)


async def test_a_host_that_is_not_here_is_named() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1, port 0: "):
        await listen("192.0.2.1", 0)
    with pytest.raises(ListenError, match=r"^cannot listen on nowhere\.invalid, port 0: "):
        await listen("nowhere.invalid", 0)
