"""Assistants: each graph has one, known by its id and by the graph's name."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.gateway.requests import AssistantCount, AssistantSearch, read
from greenroom.gateway.responses import client, json_response, page

__all__ = ["routes"]


async def get(request: Request) -> Response:
    assistant_id = request.path_params["assistant_id"]
    return json_response(await client(request).assistants.get(assistant_id))


async def search(request: Request) -> Response:
    body = await read(request, AssistantSearch)
    assistants = client(request).assistants
    rows = await assistants.search(**body.arguments())
    count = partial(
        assistants.count, metadata=body.metadata, graph_id=body.graph_id, name=body.name
    )
    return await page(rows, limit=body.limit or 10, offset=body.offset or 0, count=count)


async def count(request: Request) -> Response:
    body = await read(request, AssistantCount)
    return json_response(await client(request).assistants.count(**body.arguments()))


routes = [
    Route("/assistants/search", search, methods=["POST"]),
    Route("/assistants/count", count, methods=["POST"]),
    Route("/assistants/{assistant_id}", get, methods=["GET"]),
]
