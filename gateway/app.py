"""The ASGI application: every route, and what stands around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, TypedDict

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from greenroom.actors import Greenroom

from .access import OPEN_PATH, ApiKey
from .body import WholeBody
from .errors import HANDLERS, InternalErrors, not_installed
from .openapi import openapi
from .operation import Operation, Resources
from .own import OwnRoutes
from .routes import assistants, crons, documentation, runs, store, system, threads
from .sse import MAX_OPEN_STREAMS, LiveAnswers
from .watching import LogRequests

__all__ = ["CorsConfig", "HttpConfig", "create_app"]

MAX_BODY_SIZE: Final = 16 * 1024 * 1024  # bytes
BODY_TIMEOUT: Final = 60.0  # seconds

EXPOSED: Final = ("Content-Location", "Location", "X-Pagination-Total", "X-Pagination-Next")
_ROUTES: Final[Mapping[str, Sequence[Route]]] = {
    "threads": threads.routes,
    "runs": [*crons.routes, *runs.routes],
    "assistants": assistants.routes,
    "store": store.routes,
    "meta": [*system.routes, *documentation.routes],
}
# What extras bring: the library that each needs, and where it lies.
_OPTIONAL: Final = {
    "mcp": ("mcp_types", ("/mcp", "/mcp/")),
    "a2a": ("a2a", ("/a2a/{assistant_id}", "/.well-known/agent-card.json")),
}


class CorsConfig(TypedDict, total=False):
    """Which pages may call the server: as Starlette's CORSMiddleware. By default none may, and one
    that may can use every method and header."""

    allow_origins: Sequence[str]
    allow_origin_regex: str
    allow_methods: Sequence[str]
    allow_headers: Sequence[str]
    allow_credentials: bool
    expose_headers: Sequence[str]
    max_age: int


class HttpConfig(TypedDict, total=False):
    """The key `http` of a configuration file.

    `mount_prefix`: a path that all others follow, such as `/agents`. `disable_meta` (`/ok`,
    `/info`, `/metrics`, `/docs`, `/openapi.json`), `disable_threads`, …: answer 404 to these.
    `max_body_size`, in bytes, and `body_timeout`, in seconds, of a request's body: 413 and 408
    where there is more of it, or it has not come. `max_open_streams`: how many requests may follow
    runs at a time; 429 to one more. `max_header_size`, in bytes, of the request line and the
    headers, on Greenroom's own server. `log_requests`: log a line for each request, at INFO.
    """

    cors: CorsConfig
    mount_prefix: str
    disable_meta: bool
    disable_threads: bool
    disable_runs: bool
    disable_assistants: bool
    disable_store: bool
    disable_mcp: bool
    disable_a2a: bool
    max_body_size: int
    body_timeout: float
    max_open_streams: int
    max_header_size: int
    log_requests: bool


def create_app(
    room: Greenroom,
    *,
    http: HttpConfig | None = None,
    own: OwnRoutes | None = None,
    api_key: str | None = None,
) -> Starlette:
    """The LangGraph Agent Server API over an open `room`.

    `http`: which pages may call it, where it lies, what of it is there, and its limits. `own`:
    routes that come before these. `api_key`: what callers must show, but for `/ok`; None: anybody
    may call. The app runs on trio, and the room must outlive its server.
    """
    http = http or HttpConfig()
    prefix = http.get("mount_prefix", "").rstrip("/")
    routes = [
        route
        for name in (*_ROUTES, *_OPTIONAL)
        if not http.get(f"disable_{name}", False)
        for route in (_ROUTES[name] if name in _ROUTES else _optional(name))
    ]
    documented = [
        route
        for route in routes
        if isinstance(route, Operation) and not (own and own.takes(route.method, route.path))
    ]
    served: list[BaseRoute] = [*([] if own is None else [own]), Resources(routes)]
    given: Mapping[str, Any] = http.get("cors", CorsConfig())
    cors = {"allow_methods": ["*"], "allow_headers": ["*"], **given}
    cors["expose_headers"] = [*EXPOSED, *given.get("expose_headers", ())]
    middleware = [Middleware(CORSMiddleware, **cors), Middleware(InternalErrors)]
    body_timeout = http.get("body_timeout", BODY_TIMEOUT)
    if api_key is not None:
        open_path = prefix + OPEN_PATH
        middleware.append(
            Middleware(ApiKey, key=api_key, open_path=open_path, patience=body_timeout)
        )
    limit = http.get("max_body_size", MAX_BODY_SIZE)
    middleware.append(Middleware(WholeBody, limit=limit, timeout=body_timeout))
    live = LiveAnswers(http.get("max_open_streams", MAX_OPEN_STREAMS))
    metrics = None
    if find_spec("prometheus_client") is not None:
        from .metrics import CountRequests, ServerMetrics

        metrics = ServerMetrics(room, live)
        middleware.insert(0, Middleware(CountRequests, metrics=metrics))
    if http.get("log_requests", False):
        middleware.insert(0, Middleware(LogRequests))
    app = Starlette(
        routes=[Mount(prefix, routes=served)] if prefix else served,
        middleware=middleware,
        exception_handlers=HANDLERS,
    )
    app.state.room = room
    app.state.cors = CORSMiddleware(app, **cors)
    app.state.live = live
    app.state.metrics = metrics
    app.state.openapi = cache(
        lambda: openapi(documented, room.graphs, is_secured=api_key is not None)
    )
    return app


def _optional(extra: str) -> Sequence[Route]:
    """The routes of an extra; where it is not installed, those that say so."""
    library, paths = _OPTIONAL[extra]
    if find_spec(library) is not None:
        routes: Sequence[Route] = import_module(f".routes.{extra}", __package__).routes
        return routes

    async def missing(request: Request) -> Response:
        return not_installed(extra)

    methods = ["GET", "POST", "DELETE"]
    return [Route(path, missing, methods=methods, include_in_schema=False) for path in paths]
