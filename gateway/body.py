"""The request body: read whole before the application sees the request, or thrown away."""

from __future__ import annotations

import attrs
import trio
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import detail

__all__ = ["Body", "WholeBody", "turn_away"]


@attrs.define
class Body:
    """What has come of a body, which is kept up to `limit` bytes. `whole`: all of it has; `left`:
    the client has gone."""

    limit: int = 0
    size: int = 0
    whole: bool = False
    left: bool = False
    content: bytearray = attrs.field(factory=bytearray)

    async def read(self, receive: Receive) -> None:
        while not (self.whole or self.left):
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left = True
                return
            chunk = message.get("body", b"")
            self.size += len(chunk)
            if self.size <= self.limit:
                self.content += chunk
            else:
                self.content.clear()
            self.whole = not message.get("more_body", False)


async def turn_away(
    answer: Response, body: Body, scope: Scope, receive: Receive, send: Send, *, patience: float
) -> None:
    """Answer at once although not all of a body has come, and read what still comes.

    Many clients do not look at the answer before they have sent everything. The connection goes on
    if that takes no longer than `patience` seconds; then it ends.
    """
    read = trio.Event()

    async def read_on() -> None:
        await body.read(receive)
        read.set()

    async def send_with_late_end(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            with trio.move_on_after(patience):
                await read.wait()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    async with trio.open_nursery() as nursery:
        # To its very end: a connection of hypercorn's stalls for good when body is left.
        nursery.start_soon(read_on)
        await answer(scope, receive, send_with_late_end)


class WholeBody:
    """Middleware: reads the body, and answers 413 where it is longer than `limit` bytes, and 408
    where not all of it has come after `timeout` seconds.

    Every route needs all of it. A body is read to its end even if it is too long or nobody wants
    it, as by `turn_away`.
    """

    def __init__(self, app: ASGIApp, limit: int, timeout: float) -> None:
        self.app = app
        self.limit = limit
        self.timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = Body(self.limit)
        with trio.move_on_after(self.timeout):
            await body.read(receive)
        if body.left:
            return
        refusal = self._refusal(body)
        if refusal is not None:
            await turn_away(refusal, body, scope, receive, send, patience=0)
            return
        content = bytes(body.content)
        body.content.clear()
        message: Message | None = {"type": "http.request", "body": content, "more_body": False}
        del content  # an answer may take hours

        async def receive_whole() -> Message:
            nonlocal message
            if message is None:
                return await receive()
            whole, message = message, None
            return whole

        await self.app(scope, receive_whole, send)

    def _refusal(self, body: Body) -> Response | None:
        if body.size > self.limit:
            text = f"the body has {body.size} bytes"
            if not body.whole:
                text += " and more"
            return detail(413, f"{text}; at most {self.limit} are taken")
        if not body.whole:
            text = f"{body.size} bytes of the body came in {self.timeout:g} s, and not the rest"
            return detail(408, text)
        return None
