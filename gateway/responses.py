"""Plain answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from greenroom.actors import Client, Greenroom
from greenroom.storage.codec import to_json

from .requests import Search

__all__ = ["client", "json_bytes", "json_response", "room", "search_page"]


def room(request: Request) -> Greenroom:
    found: Greenroom = request.app.state.room
    return found


def client(request: Request) -> Client:
    """The client that programs use in process: the routes call it and no other."""
    return room(request).client


def json_response(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return json_bytes(to_json(value), status=status, headers=headers)


def json_bytes(
    data: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """What is JSON already."""
    return Response(data, status, dict(headers or {}), "application/json")


async def search_page(
    body: Search,
    search: Callable[..., Awaitable[list[Any]]],
    count: Callable[..., Awaitable[int]],
) -> Response:
    """One page of a search, with where the next one starts if there is one.

    `count`: how many rows there are on all pages; asked only if the page does not tell.
    """
    rows = await search(**body.arguments())
    offset = body.offset or 0
    total = end = offset + len(rows)
    if len(rows) == (body.limit or 10) or (offset and not rows):
        total = await count(**body.conditions())
    headers = {"X-Pagination-Total": str(total)}
    if end < total:
        headers["X-Pagination-Next"] = str(end)
    return json_response(rows, headers=headers)
