"""The ASGI application: every route, and what stands around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from greenroom.actors import Greenroom

from .body import WholeBody
from .errors import HANDLERS, InternalErrors
from .routes import assistants, crons, runs, store, system, threads
from .sse import LiveAnswers

__all__ = ["create_app"]

MAX_BODY_SIZE: Final = 16 * 1024 * 1024  # bytes


def create_app(
    room: Greenroom,
    *,
    cors_origins: Sequence[str] = (),
    max_body_size: int = MAX_BODY_SIZE,
) -> Starlette:
    """The LangGraph Agent Server API over an open `room`.

    `cors_origins`: the origins whose pages may call it, `["*"]` for all. `max_body_size`: in bytes;
    a longer request is answered 413. The app runs on trio, and the room must outlive its server.
    """
    app = Starlette(
        routes=[
            *system.routes,
            *threads.routes,
            *crons.routes,
            *runs.routes,
            *assistants.routes,
            *store.routes,
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=cors_origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=[
                    "Content-Location",
                    "Location",
                    "X-Pagination-Total",
                    "X-Pagination-Next",
                ],
            ),
            Middleware(InternalErrors),
            Middleware(WholeBody, limit=max_body_size),
        ],
        exception_handlers=HANDLERS,
    )
    app.state.room = room
    app.state.live = LiveAnswers()
    return app
