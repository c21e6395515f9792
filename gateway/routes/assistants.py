"""Assistants: each graph has one, clients make more, and each change is a version of its own."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from greenroom.gateway.answers import (
    ASSISTANT,
    ASSISTANT_VERSIONS,
    ASSISTANTS,
    EMPTY,
    Drawing,
    GraphSchema,
    Schemas,
)
from greenroom.gateway.fields import AssistantName, Uuid
from greenroom.gateway.operation import Operations
from greenroom.gateway.requests import (
    AssistantCount,
    AssistantCreate,
    AssistantLatest,
    AssistantPatch,
    AssistantSearch,
    AssistantVersions,
)
from greenroom.gateway.responses import client, json_response, search_page

__all__ = ["routes"]

ONE = "/assistants/{assistant_id}"

routes = Operations()


@routes.add("POST", "/assistants", "Make an assistant", ASSISTANT, refuses=[400, 404, 409])
async def create(request: Request, body: AssistantCreate) -> Response:
    return json_response(await client(request).assistants.create(**body.arguments()))


@routes.add("POST", "/assistants/search", "Find assistants", ASSISTANTS, refuses=[404])
async def search(request: Request, body: AssistantSearch) -> Response:
    assistants = client(request).assistants
    return await search_page(body, assistants.search, assistants.count)


@routes.add("POST", "/assistants/count", "Count assistants", int, refuses=[404])
async def count(request: Request, body: AssistantCount) -> Response:
    return json_response(await client(request).assistants.count(**body.arguments()))


@routes.add("GET", ONE, "Get an assistant", ASSISTANT, refuses=[404])
async def get(request: Request, assistant_id: Uuid) -> Response:
    return json_response(await client(request).assistants.get(assistant_id))


@routes.add("PATCH", ONE, "Make a new version of an assistant", ASSISTANT, refuses=[400, 404])
async def patch(request: Request, assistant_id: Uuid, body: AssistantPatch) -> Response:
    assistants = client(request).assistants
    return json_response(await assistants.update(assistant_id, **body.arguments()))


@routes.add("DELETE", ONE, "Delete an assistant", {204: EMPTY}, refuses=[404])
async def delete(request: Request, assistant_id: Uuid, delete_threads: bool = False) -> Response:
    """`delete_threads`: the threads that it ran on last are deleted too."""
    await client(request).assistants.delete(assistant_id, delete_threads=delete_threads)
    return Response(status_code=204)


@routes.add(
    "POST", f"{ONE}/versions", "List an assistant's versions", ASSISTANT_VERSIONS, refuses=[404]
)
async def versions(request: Request, assistant_id: Uuid, body: AssistantVersions) -> Response:
    assistants = client(request).assistants
    return json_response(await assistants.get_versions(assistant_id, **body.arguments()))


@routes.add("POST", f"{ONE}/latest", "Go back to a version", ASSISTANT, refuses=[404])
async def latest(request: Request, assistant_id: Uuid, body: AssistantLatest) -> Response:
    return json_response(await client(request).assistants.set_latest(assistant_id, body.version))


@routes.add("GET", f"{ONE}/graph", "Get the nodes and edges of its graph", Drawing, refuses=[404])
async def graph(
    request: Request,
    assistant_id: AssistantName,
    xray: Annotated[int, Meta(ge=1)] | bool = False,
) -> Response:
    """`xray`: with what is inside graphs called as nodes, all of it or so many levels of it."""
    return json_response(await client(request).assistants.get_graph(assistant_id, xray=xray))


@routes.add("GET", f"{ONE}/schemas", "Get the schemas of its graph", Schemas, refuses=[404])
async def schemas(request: Request, assistant_id: Uuid) -> Response:
    return json_response(await client(request).assistants.get_schemas(assistant_id))


@routes.add(
    "GET",
    f"{ONE}/subgraphs",
    "Get the schemas of the graphs inside its graph",
    dict[str, GraphSchema],
    refuses=[404],
)
async def subgraphs(request: Request, assistant_id: Uuid, recurse: bool = False) -> Response:
    """By namespace: names of nodes joined by `|`. `recurse`: with those inside them."""
    assistants = client(request).assistants
    return json_response(await assistants.get_subgraphs(assistant_id, recurse=recurse))


@routes.add(
    "GET",
    f"{ONE}/subgraphs/{{namespace}}",
    "Get the schemas of a graph inside its graph",
    dict[str, GraphSchema],
    refuses=[404],
)
async def subgraph(
    request: Request, assistant_id: Uuid, namespace: str, recurse: bool = False
) -> Response:
    """By its namespace, if there is one. `recurse`: a namespace may be of several names."""
    assistants = client(request).assistants
    return json_response(await assistants.get_subgraphs(assistant_id, namespace, recurse))
