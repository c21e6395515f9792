"""Connections on raw sockets: what one client does harms neither the others nor the end."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from greenroom.actors import Greenroom
from greenroom.gateway import connection, create_app
from greenroom.gateway import server as server_module
from greenroom.gateway.app import HttpConfig
from greenroom.gateway.connection import Connection, Http1
from greenroom.gateway.routes import runs
from greenroom.gateway.server import ListenError, listen, serve_connections
from greenroom.graph import CompiledStateGraph, get_stream_writer

from .conftest import NIL, Gate, State, chain

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


async def chatter(state: State) -> State:
    write = get_stream_writer()
    for _ in range(100):
        write("x")
        await trio.lowlevel.checkpoint()
    return {}


@pytest.fixture
def graphs(graphs: dict[str, CompiledStateGraph]) -> dict[str, CompiledStateGraph]:
    return {**graphs, "chatters": chain(chatter=chatter)}


@pytest.fixture
def idle_clock() -> MockClock:
    """Time passes when all wait and nothing comes over a socket either."""
    return MockClock(autojump_threshold=0.05)


@pytest.fixture
def http() -> HttpConfig:
    return {}


@pytest.fixture
def most() -> int:
    """Connections."""
    return 100


@pytest.fixture
def api_key() -> str | None:
    return None


@pytest.fixture
async def server(
    room: Greenroom, http: HttpConfig, most: int, api_key: str | None
) -> AsyncIterator[Server]:
    listeners = await listen("127.0.0.1", 0)
    server = Server(listeners[0].socket.getsockname()[1])

    async def run() -> None:
        app = create_app(room, http=http, api_key=api_key)
        await serve_connections(app, listeners, server.stop, max_connections=most)
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


def refused(answer: bytes) -> tuple[int, str]:
    """The status and the text of an answer that says what is wrong, and is the last."""
    head, _, body = answer.rpartition(b"\r\n\r\n")
    assert head.lower().count(b"http/1.1 ") == 1
    assert list(json.loads(body)) == ["detail"]
    return int(head.split()[1]), json.loads(body)["detail"]


def stream_of(graph: str, mode: str) -> bytes:
    body = {"assistant_id": graph, "input": {}, "stream_mode": mode, "if_not_exists": "create"}
    return post(f"/threads/{NIL}/runs/stream", body)


CHUNKED = f"POST /threads HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n"
GET = f"GET /ok HTTP/1.1\r\n{HOST}"


@pytest.mark.parametrize(
    ("request_", "status", "text"),
    [
        (b"garbage\r\n\r\n", 400, "illegal request line"),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400, "illegal request line"),
        (b"GET /ok HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host: header"),
        (f"{GET}A b: c\r\n\r\n".encode(), 400, "illegal header line"),
        (f"{GET}Content-Length: -5\r\n\r\n".encode(), 400, "bad Content-Length"),
        (f"{GET}Transfer-Encoding: gzip\r\n\r\n".encode(), 501, "Transfer-Encoding"),
        (f"{GET}X: {'x' * 70_000}\r\n\r\n".encode(), 431, "more than 16384 bytes"),
        (f"{GET}X: {'x' * 20_000}\r\n\r\n".encode(), 431, "more than 16384 bytes"),
        (f"{CHUNKED}ZZ\r\n".encode(), 400, "illegal chunk header: bytearray(b'ZZ"),
        (f"{CHUNKED}2\r\n{{}}ZZ\r\n".encode(), 400, "malformed HTTP: "),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "not HTTP/2.0"),
    ],
)
async def test_a_malformed_request_is_told_why_it_is_refused(
    server: Server, request_: bytes, status: int, text: str
) -> None:
    answer = refused(await everything(await server.connect(request_)))

    assert answer[0] == status
    assert text in answer[1]
    assert await server.answers()


@pytest.mark.parametrize(
    "upgrade",
    [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: zz",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
    ],
)
async def test_a_wish_for_another_protocol_is_passed_over(server: Server, upgrade: str) -> None:
    async with await server.connect(f"{GET}{upgrade}\r\n\r\n".encode()) as stream:
        answer = await until(stream, b'{"ok":true}')

    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("http", [{"body_timeout": 0.1}])
@pytest.mark.parametrize(
    "part",
    [
        f"POST /threads HTTP/1.1\r\n{HOST}Content-Length: 99\r\n\r\n{{}}",
        f"POST /nowhere HTTP/1.1\r\n{HOST}Content-Length: 99\r\n\r\n{{}}",
        f"{CHUNKED}2\r\n{{}}\r\n",
    ],
)
async def test_a_body_that_does_not_come_is_not_waited_for(
    idle_clock: MockClock, server: Server, part: str
) -> None:
    answer = refused(await everything(await server.connect(part.encode())))

    assert answer == (408, "2 bytes of the body came in 0.1 s, and not the rest")
    assert await server.answers()


@pytest.mark.parametrize("most", [1])
@pytest.mark.parametrize("api_key", [None, "key"])
@pytest.mark.parametrize("http", [{"body_timeout": 0.5, "max_body_size": 1000}])
@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n" * 1000, b"ffff\r\n" + b"x" * 65535 + b"\r\n"])
async def test_a_body_without_end_ends_its_connection(server: Server, chunk: bytes) -> None:
    async def send_without_end() -> None:
        while True:
            await stream.send_all(chunk)

    async with await server.connect(CHUNKED.encode()) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await send_without_end()
    await wait_all_tasks_blocked()
    assert await server.answers()  # in the place of the connection that ended


@pytest.mark.parametrize("api_key", ["key"])
async def test_who_has_no_key_is_told_before_the_body_comes_and_may_ask_again(
    server: Server,
) -> None:
    body = b"x" * 1_000_000
    head = f"POST /threads HTTP/1.1\r\n{HOST}Content-Length: {len(body)}\r\n".encode()
    async with await server.connect(head + b"\r\n") as stream:
        assert (await until(stream, b"bearer token")).startswith(b"HTTP/1.1 401 ")

        await stream.send_all(body + f"{GET}\r\n".encode())
        assert (await until(stream, b'{"ok":true}')).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("api_key", ["key"])
@pytest.mark.parametrize("http", [{"body_timeout": 0.1}])
async def test_a_body_without_a_key_that_does_not_come_is_not_waited_for(
    idle_clock: MockClock, server: Server
) -> None:
    head = f"POST /threads HTTP/1.1\r\n{HOST}Content-Length: 99\r\n\r\n{{}}"
    status, text = refused(await everything(await server.connect(head.encode())))

    assert status == 401
    assert "API key" in text
    assert await server.answers()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_TIMEOUT", 0.1)
    monkeypatch.setattr(connection, "SEND_TIME", 0.1)


@pytest.mark.usefixtures("hasty")
async def test_headers_that_do_not_come_are_not_waited_for(
    idle_clock: MockClock, server: Server
) -> None:
    assert await everything(await server.connect(b"")) == b""
    for before in (b"", f"{GET}\r\n".encode()):
        stream = await server.connect(before)
        if before:
            await until(stream, b'{"ok":true}')
        await stream.send_all(b"GET /ok HTTP/1.1\r\nHo")
        answer = refused(await everything(stream))
        assert answer == (408, "the request did not arrive in time")


@pytest.mark.usefixtures("hasty")
async def test_a_client_that_takes_nothing_is_cut_off_and_the_run_goes_on(
    idle_clock: MockClock, server: Server, room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off = Connection.cut_off
    done = trio.Event()

    def noticed(self: Connection) -> None:
        cut_off(self)
        done.set()

    monkeypatch.setattr(Connection, "cut_off", noticed)
    stream = await server.connect(stream_of("floods", "custom"))
    await until(stream, b"xxx")
    await done.wait()

    with pytest.raises(trio.BrokenResourceError):
        await everything(stream)
    (run,) = await room.client.runs.list(NIL)
    assert await room.client.runs.join(NIL, run["run_id"]) == {"log": []}
    assert await server.answers()


async def test_the_head_of_a_stream_comes_before_there_is_anything_to_say(
    server: Server, room: Greenroom
) -> None:
    thread = await room.client.threads.create()
    path = f"/threads/{thread['thread_id']}/stream"
    async with await server.connect(f"GET {path} HTTP/1.1\r\n{HOST}\r\n".encode()) as stream:
        received = await until(stream, b"\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == b""


async def test_tokens_that_come_in_a_flood_are_written_many_at_a_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "GATHER", PATIENCE)  # the end of the run ends it
    stream = await server.connect(stream_of("chatters", "custom"))
    received = await until(stream, b"\r\n0\r\n")
    await stream.aclose()

    chunks = re.findall(rb"\r\n[0-9a-f]+\r\nevent", received)
    assert received.count(b"event: custom") == 100
    assert len(chunks) < 40


@pytest.mark.parametrize("most", [2])
async def test_a_connection_too_many_takes_the_place_of_an_idle_one(
    server: Server, gate: Gate
) -> None:
    async with await server.connect(stream_of("held", "updates")) as busy:
        await until(busy, b"before")
        idle = await server.connect(b"")
        for _ in range(3):
            assert await server.answers()
        with pytest.raises(trio.BrokenResourceError):
            await everything(idle)

        gate.opened.set()
        assert b"after" in await until(busy, b"0\r\n\r\n")


@pytest.mark.parametrize("most", [1])
async def test_a_connection_too_many_is_refused_while_all_others_are_at_work(
    server: Server, gate: Gate
) -> None:
    async with await server.connect(stream_of("held", "updates")) as busy:
        await until(busy, b"before")
        with pytest.raises(trio.BrokenResourceError):
            await everything(await server.connect(b""))

        gate.opened.set()
        assert b"after" in await until(busy, b"0\r\n\r\n")


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
        await wait_all_tasks_blocked()
        server.stop.set()

        await server.stopped.wait()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\n{HOST}\r\n".encode()


@pytest.mark.parametrize("http", [{"max_open_streams": 2}])
async def test_a_stream_too_many_is_refused_before_it_starts_anything(
    server: Server, room: Greenroom, gate: Gate
) -> None:
    async with await server.connect(stream_of("held", "updates")) as first:
        await until(first, b"before")
        (run,) = await room.client.runs.list(NIL)
        path = f"/threads/{NIL}/runs/{run['run_id']}"
        async with await server.connect(get(f"{path}/join")) as second:
            await until(second, b"200")
            wait = stream_of("abc", "values").replace(b"/stream", b"/wait", 1)
            call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            for request in (
                stream_of("abc", "values"),
                wait,
                get(f"{path}/join"),
                get(f"{path}/stream"),
                get(f"/threads/{NIL}/stream"),
                post("/mcp", call),
                post("/a2a/abc", call),
            ):
                async with await server.connect(request) as refused_one:
                    answer = await until(refused_one, b"}")
                text = "2 streams are open; at most 2 may be"
                assert refused(answer) == (429, text)
                assert b"retry-after: 5" in answer
            assert await server.answers()
            assert len(await room.client.runs.list(NIL)) == 1

        gate.opened.set()
        await until(first, b"0\r\n\r\n")
        async with await server.connect(stream_of("abc", "updates")) as again:
            assert b"200" in await until(again, b"0\r\n\r\n")


async def test_a_client_that_goes_away_in_the_middle_of_much_is_forgotten(server: Server) -> None:
    async with await server.connect(stream_of("floods", "custom")) as stream:
        await until(stream, b"xxx")

    assert await server.answers()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="not on this system")
async def test_a_machine_that_has_gone_is_not_sent_to_for_long() -> None:
    (listener,) = await listen("127.0.0.1", 0)
    port = listener.socket.getsockname()[1]
    async with (
        listener,
        await trio.open_tcp_stream("127.0.0.1", port),
        await listener.accept() as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


async def test_a_port_that_is_taken_is_named(server: Server) -> None:
    with pytest.raises(ListenError, match=rf"^port {server.port} of 127\.0\.0\.1 is taken"):
        await listen("127.0.0.1", server.port)


async def test_a_host_that_is_not_here_is_named() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1, port 0: "):
        await listen("192.0.2.1", 0)
    with pytest.raises(ListenError, match=r"^cannot listen on nowhere\.invalid, port 0: "):
        await listen("nowhere.invalid", 0)
