"""Answers that last as long as a run: its events as they come, or its result."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from math import inf
from typing import Any, ClassVar, Final

import attrs
import msgspec
import trio
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from greenroom.actors import Closed, NotFound, StreamPart, TooMany
from greenroom.storage.codec import to_json

from .errors import for_clients, gone, with_error_for_clients

__all__ = [
    "GATHER",
    "HEARTBEAT",
    "MAX_OPEN_STREAMS",
    "STREAM_HEADERS",
    "EventStream",
    "LiveAnswer",
    "LiveAnswers",
    "OpenStream",
    "RunResult",
    "frame",
]

HEARTBEAT: Final = b": heartbeat\r\n\r\n"
KEEP_ALIVE: Final = 5.0  # seconds of silence
SHORT: Final = 0.05  # seconds: who leaves earlier is noticed then, and most results are there
GATHER: Final = 0.005  # seconds: a write costs as much as ten events
MAX_OPEN_STREAMS: Final = 5000
_ERROR: Final = b'"error":{'  # in the JSON of a task or a tool that failed
MOST_AT_ONCE: Final = 1024 * 1024  # bytes of events, but for one that is longer by itself

STREAM_HEADERS: Final = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store",
    "x-accel-buffering": "no",
}


def frame(event: str, data: bytes, event_id: int | None = None) -> bytes:
    """One server-sent event."""
    end = b"\r\n" if event_id is None else b"id: %d\r\n\r\n" % event_id
    return b"event: %b\r\ndata: %b\r\n%b" % (event.encode(), data, end)


@attrs.define
class LiveAnswers:
    """The answers under way that end only when their run does, so that a server can stop.

    `most`: how many requests for such an answer may be under way.
    """

    most: int = MAX_OPEN_STREAMS
    _asked: int = 0
    _scopes: set[trio.CancelScope] = attrs.field(factory=set)
    _closes_at: float = inf

    def __len__(self) -> int:
        return len(self._scopes)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """For a request that wants such an answer. Raises TooMany."""
        if self._asked >= self.most:
            raise TooMany(f"{self._asked} streams are open; at most {self.most} may be")
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1

    def add(self, scope: trio.CancelScope) -> None:
        self._scopes.add(scope)
        scope.deadline = self._closes_at

    def discard(self, scope: trio.CancelScope) -> None:
        self._scopes.discard(scope)

    def close(self, after: float) -> None:
        """Break them off in `after` seconds, and whatever is still added.

        Unfinished, not ended: a client comes back for the rest of an answer that broke.
        """
        self._closes_at = trio.current_time() + after
        for scope in self._scopes:
            scope.deadline = self._closes_at


class OpenStream:
    """Middleware of the routes that answer for as long as a run lasts: each takes a place before it
    starts anything."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        live: LiveAnswers = scope["app"].state.live
        with live.place():
            await self.app(scope, receive, send)


@attrs.define(kw_only=True)
class LiveAnswer(ABC):
    """An ASGI response that follows a run.

    Keeps the connection alive while there is nothing to say. `on_leave` is called when the client
    goes away before the end.
    """

    silence: ClassVar[bytes]

    live: LiveAnswers
    headers: Mapping[str, str]
    on_leave: Callable[[], Awaitable[None]] | None = None
    _last_sent: float = attrs.field(init=False, default=0.0)

    @abstractmethod
    async def _write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send the body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left = ended = has_sent = False

        async def send_chunk(data: bytes) -> None:
            nonlocal has_sent
            has_sent = True
            await send({"type": "http.response.body", "body": data, "more_body": True})
            self._last_sent = trio.current_time()

        async def attend() -> None:
            nonlocal left
            while not left:
                # An empty piece has the head sent, which nothing has taken along yet.
                due = self._last_sent + (KEEP_ALIVE if has_sent else GATHER)
                if trio.current_time() >= due:
                    await send_chunk(self.silence if has_sent else b"")
                    continue
                with trio.move_on_at(due):
                    left = (await receive())["type"] == "http.disconnect"
            nursery.cancel_scope.cancel()

        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        self._last_sent = trio.current_time()
        async with trio.open_nursery() as nursery:
            self.live.add(nursery.cancel_scope)
            try:
                nursery.start_soon(attend)
                with contextlib.suppress(Closed):
                    await self._write(send_chunk)
                    ended = True
                nursery.cancel_scope.cancel()
            finally:
                self.live.discard(nursery.cancel_scope)
        if ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif left and self.on_leave is not None:
            await self.on_leave()


@attrs.define(kw_only=True)
class EventStream(LiveAnswer):
    """A run's events. `with_ids`: each carries its id, for a client that wants to come back.
    `gone`: why there is no such run any more, once they have ended."""

    silence = HEARTBEAT

    events: AsyncGenerator[list[StreamPart], None]
    with_ids: bool
    gone: Callable[[], NotFound | None] = lambda: None

    async def _write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        async with contextlib.aclosing(self.events):
            async for batch in self.events:
                # A reader that is far behind is sent what it missed without a copy of all of it.
                waiting = bytearray()
                for part in batch:
                    one = self._frame(part)
                    if waiting and len(waiting) + len(one) > MOST_AT_ONCE:
                        await send(bytes(waiting))
                        waiting.clear()
                    waiting += one
                await send(bytes(waiting))
        if (why := self.gone()) is not None:
            await send(frame("error", to_json(gone(why))))

    def _frame(self, part: StreamPart) -> bytes:
        return frame(part.event, _for_clients(part), part.id if self.with_ids else None)


def _for_clients(part: StreamPart) -> bytes:
    """An event's data, with no more of an error than may leave the server."""
    if part.mode == "error":
        return msgspec.json.encode(for_clients(part.data))
    if part.mode not in ("tasks", "debug", "events") or _ERROR not in part.json:
        return part.json
    data = part.data
    if part.mode == "tasks":
        data = with_error_for_clients(data)
    elif part.mode == "debug":
        data = {**data, "payload": with_error_for_clients(data["payload"])}
    elif data["event"] == "on_tool_error":
        data = {**data, "data": with_error_for_clients(data["data"])}
    return msgspec.json.encode(data)


@attrs.define(kw_only=True)
class RunResult(LiveAnswer):
    """A run's final values, as JSON; after newlines, if it takes long.

    `result`: waits for them; when that is cancelled, it is called again.
    """

    silence = b"\n"

    headers: Mapping[str, str] = {"content-type": "application/json"}
    result: Callable[[], Awaitable[Any]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content = None
        with trio.move_on_after(SHORT):
            content = await self._content()
        if content is None:
            await super().__call__(scope, receive, send)
        else:
            await Response(content, headers=self.headers)(scope, receive, send)

    async def _write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        await send(await self._content())

    async def _content(self) -> bytes:
        try:
            result = await self.result()
        except NotFound as error:  # the thread was deleted
            result = {"__error__": gone(error)}
        else:
            if isinstance(result, dict) and "__error__" in result:
                result = {"__error__": for_clients(result["__error__"])}
        return to_json(result)
