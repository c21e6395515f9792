"""What a request came to, for those who count or log."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from time import perf_counter
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["LogRequests", "RequestWatch"]

logger = logging.getLogger("greenroom.requests")


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


class LogRequests(RequestWatch):
    """Middleware: a line for each request, when it is answered."""

    def seen(self, scope: Scope, status: int | None, seconds: float) -> None:
        # Quoted again: a stranger's line breaks and escape codes are not for who reads the log.
        params = scope.get("path_params", {})
        ids = {name: quote(str(params[name])) for name in ("thread_id", "run_id") if name in params}
        logger.info(
            "%s %s %s",
            scope["method"],
            quote(scope["path"]),
            "left" if status is None else status,
            extra={"status": status, "seconds": round(seconds, 4), **ids},
        )
