"""Who may call."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .body import Body, turn_away
from .errors import detail

__all__ = ["OPEN_PATH", "ApiKey", "is_loopback"]

OPEN_PATH: Final = "/ok"  # whether the server is well, anybody may ask


class ApiKey:
    """Middleware: 401 for who does not show the key, as `x-api-key` or as a bearer token.

    `open_path`: what anybody may ask, such as whether the server is well. `patience`: seconds in
    which the body of who is refused may come, to be thrown away; then the connection ends.
    """

    def __init__(self, app: ASGIApp, key: str, open_path: str, patience: float) -> None:
        self.app = app
        self._key = key.encode()
        self._open_path = open_path
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _path(scope) != self._open_path:
            headers = Headers(scope=scope)
            if not any(map(self._fits, (headers.get("x-api-key"), _bearer(headers)))):
                text = "this server wants its API key, as x-api-key or as a bearer token"
                answer = detail(401, text, {"WWW-Authenticate": "Bearer"})
                await turn_away(answer, Body(), scope, receive, send, patience=self._patience)
                return
        await self.app(scope, receive, send)

    def _fits(self, shown: str | None) -> bool:
        return shown is not None and hmac.compare_digest(shown.encode("latin-1"), self._key)


def _path(scope: Scope) -> str:
    """Below where the application is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _bearer(headers: Headers) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def is_loopback(host: str) -> bool:
    """Whether only programs of the same machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name, of whatever is behind it
        return False
