"""The request body, read whole before the application sees the request."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import detail

__all__ = ["WholeBody"]


class WholeBody:
    """Middleware: reads the body, and answers 413 where it is longer than `limit` bytes.

    Every route needs all of it. A body is read to its end even if it is too long or nobody wants
    it: many clients do not look at the answer before they have sent everything, and a connection
    of hypercorn's stalls for good when the application has gone and body is left.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            if size <= self.limit:
                chunks.append(message["body"])
            else:
                chunks.clear()
            if not message["more_body"]:
                break
        if size > self.limit:
            text = f"the body has {size} bytes; at most {self.limit} are taken"
            await detail(413, text)(scope, receive, send)
            return
        body: Message | None = {
            "type": "http.request",
            "body": b"".join(chunks),
            "more_body": False,
        }

        async def receive_whole() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            message, body = body, None
            return message

        await self.app(scope, receive_whole, send)
