"""Assistants: each graph has one, clients make more, and each change is a version of its own."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.gateway.requests import (
    AssistantCount,
    AssistantCreate,
    AssistantLatest,
    AssistantPatch,
    AssistantSearch,
    AssistantVersions,
    path_id,
    query_flag,
    query_int,
    read,
)
from greenroom.gateway.responses import client, json_response, search_page

__all__ = ["routes"]


async def create(request: Request) -> Response:
    body = await read(request, AssistantCreate)
    return json_response(await client(request).assistants.create(**body.arguments()))


async def get(request: Request) -> Response:
    return json_response(await client(request).assistants.get(path_id(request, "assistant_id")))


async def patch(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id")
    body = await read(request, AssistantPatch)
    assistants = client(request).assistants
    return json_response(await assistants.update(assistant_id, **body.arguments()))


async def delete(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id")
    delete_threads = query_flag(request, "delete_threads")
    await client(request).assistants.delete(assistant_id, delete_threads=delete_threads)
    return Response(status_code=204)


async def search(request: Request) -> Response:
    assistants = client(request).assistants
    return await search_page(
        await read(request, AssistantSearch), assistants.search, assistants.count
    )


async def count(request: Request) -> Response:
    body = await read(request, AssistantCount)
    return json_response(await client(request).assistants.count(**body.arguments()))


async def versions(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id")
    body = await read(request, AssistantVersions)
    assistants = client(request).assistants
    return json_response(await assistants.get_versions(assistant_id, **body.arguments()))


async def latest(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id")
    body = await read(request, AssistantLatest)
    return json_response(await client(request).assistants.set_latest(assistant_id, body.version))


async def graph(request: Request) -> Response:
    levels = request.query_params.get("xray", "").isdecimal()
    xray = query_int(request, "xray", 1, minimum=1) if levels else query_flag(request, "xray")
    # The one route that takes the name of a graph as well.
    assistant_id = request.path_params["assistant_id"]
    return json_response(await client(request).assistants.get_graph(assistant_id, xray=xray))


async def schemas(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id")
    return json_response(await client(request).assistants.get_schemas(assistant_id))


async def subgraphs(request: Request) -> Response:
    assistant_id = path_id(request, "assistant_id")
    found = await client(request).assistants.get_subgraphs(
        assistant_id, request.path_params.get("namespace"), query_flag(request, "recurse")
    )
    return json_response(found)


routes = [
    Route("/assistants", create, methods=["POST"]),
    Route("/assistants/search", search, methods=["POST"]),
    Route("/assistants/count", count, methods=["POST"]),
    Route("/assistants/{assistant_id}", get, methods=["GET"]),
    Route("/assistants/{assistant_id}", patch, methods=["PATCH"]),
    Route("/assistants/{assistant_id}", delete, methods=["DELETE"]),
    Route("/assistants/{assistant_id}/versions", versions, methods=["POST"]),
    Route("/assistants/{assistant_id}/latest", latest, methods=["POST"]),
    Route("/assistants/{assistant_id}/graph", graph, methods=["GET"]),
    Route("/assistants/{assistant_id}/schemas", schemas, methods=["GET"]),
    Route("/assistants/{assistant_id}/subgraphs", subgraphs, methods=["GET"]),
    Route("/assistants/{assistant_id}/subgraphs/{namespace}", subgraphs, methods=["GET"]),
]
