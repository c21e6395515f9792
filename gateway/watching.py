"""What a request came to, for those who count or log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestWatch"]


class RequestWatch(ABC):
    """Middleware that is told how each request ended."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    @abstractmethod
    def seen(self, scope: Scope, status: int | None, seconds: float) -> None:
        """`status`: None if the client went away before there was an answer. `scope`: with what
        the router found, such as `endpoint` and `path_params`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status: int | None = None

        async def send_seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = perf_counter()
        try:
            await self.app(scope, receive, send_seen)
        finally:
            self.seen(scope, status, perf_counter() - began)
