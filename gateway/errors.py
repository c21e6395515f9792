"""What goes wrong, as HTTP says it: a status and `{"detail": text}`."""

from __future__ import annotations

import builtins
import logging
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from greenroom.actors import (
    Closed,
    Conflict,
    GreenroomError,
    Invalid,
    NotFound,
    Refused,
    TooMany,
)
from greenroom.actors import errors as actor_errors
from greenroom.graph import GraphError
from greenroom.graph import errors as graph_errors
from greenroom.graph.errors import GraphFactoryError
from greenroom.storage import StaleEpoch, StorageAway, StorageError, Unstorable

__all__ = [
    "HANDLERS",
    "InternalErrors",
    "detail",
    "for_clients",
    "gone",
    "not_installed",
    "status_of",
    "told",
    "with_error_for_clients",
]

logger = logging.getLogger(__name__)

_STATUS: Final[dict[type[GreenroomError], int]] = {
    NotFound: 404,
    Conflict: 409,
    Invalid: 422,
    Refused: 400,
    TooMany: 429,
    Closed: 503,
}

RETRY_AFTER: Final = 5  # seconds

# What these say was said on purpose, by the graph's author or by Greenroom. What others say may be
# a secret of the server's: an address, a path, a query.
_TOLD = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RuntimeError,
    TimeoutError,
    GraphError,
    GreenroomError,
)
_TOLD_NAMES: Final = {
    name
    for module in (builtins, graph_errors, actor_errors)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, _TOLD)
} | {Unstorable.__name__}


def status_of(kind: type[GreenroomError]) -> int:
    """The status that an error is answered with."""
    return next(status for known, status in _STATUS.items() if issubclass(kind, known))


def detail(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that failed."""
    body = msgspec.json.encode({"detail": text})
    return Response(body, status, dict(headers or {}), "application/json")


def not_installed(extra: str) -> Response:
    """The answer where what an extra brings would be."""
    return detail(404, f"this needs the extra: pip install greenroom[{extra}]")


def for_clients(error: Mapping[str, Any]) -> dict[str, Any]:
    """A run's `{"error": type, "message": text}` as it may leave the server."""
    shown = dict(error)
    if _TOLD_NAMES.isdisjoint((shown.get("error"), shown.pop("base", None))):
        shown["message"] = "An internal error occurred"
    return shown


def with_error_for_clients(holder: Mapping[str, Any]) -> dict[str, Any]:
    """What has an `error` that is None, a text or such a mapping: a thread, a task of a stream."""
    error = holder.get("error")
    return (
        dict(holder) if not isinstance(error, Mapping) else {**holder, "error": for_clients(error)}
    )


def told(error: Mapping[str, Any]) -> str:
    """The same as one text."""
    shown = for_clients(error)
    return f"{shown['error']}: {shown['message']}"


def gone(error: NotFound) -> dict[str, str]:
    """What following a run says that is not there, or not any more."""
    return {"error": "HTTPException", "message": f"404: {error}"}


async def _on_greenroom_error(request: Request, error: Exception) -> Response:
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            headers = {"Retry-After": str(RETRY_AFTER)} if kind is TooMany else None
            return detail(status, str(error), headers)
    raise error


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return detail(error.status_code, error.detail, error.headers)


async def _on_storage_away(request: Request, error: Exception) -> Response:
    return detail(503, "The storage cannot be reached at the moment")


async def _on_graph_factory_error(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return detail(500, str(error))


async def _on_storage_error(request: Request, error: Exception) -> Response:
    # Why is the operator's to know: it may name a path or an address.
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return detail(503, "The storage failed; try again later")


HANDLERS: Final = {
    GreenroomError: _on_greenroom_error,
    HTTPException: _on_http_exception,
    GraphFactoryError: _on_graph_factory_error,
    StorageError: _on_storage_error,
    StaleEpoch: _on_storage_away,
    StorageAway: _on_storage_away,
}


class InternalErrors:
    """Middleware: an unexpected error is logged and answered with a 500 that tells nothing.

    Stands inside the CORS middleware, so that a page can read the answer. An answer that had begun
    is left unfinished, which the client sees as a broken connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched_send(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, watched_send)
        except Exception:
            if scope["type"] != "http":
                raise
            logger.exception("%s %s failed", scope["method"], scope["path"])
            if not begun:
                await detail(500, "Internal server error")(scope, receive, send)
