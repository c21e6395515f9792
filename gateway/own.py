"""The user's own routes beside the API's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

__all__ = ["OwnRoutes"]


class OwnRoutes(BaseRoute):
    """Gives the requests that a Starlette or FastAPI application has a route for to it, with its
    own middleware and exception handlers.
    """

    def __init__(self, app: Starlette) -> None:
        self.app = app
        self._state: dict[str, Any] = {}

    def takes(self, method: str, path: str) -> bool:
        """Whether requests of that method and path come here."""
        scope = {"type": "http", "method": method, "path": path, "headers": []}
        return self.matches(scope)[0] is Match.FULL

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        for route in self.app.routes:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return match, {"endpoint": self.app}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = self._state.copy()
        await self.app(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """The application's own."""
        async with self.app.router.lifespan_context(self.app) as state:
            self._state = dict(state or {})
            yield
