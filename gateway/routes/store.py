"""The store: the user's own items, by namespace and key."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.actors import Invalid, Refused
from greenroom.gateway.requests import (
    StoreDelete,
    StoreNamespaces,
    StorePut,
    StoreSearch,
    query_flag,
    read,
)
from greenroom.gateway.responses import client, json_response

__all__ = ["routes"]


async def put(request: Request) -> Response:
    arguments = (await read(request, StorePut)).arguments()
    await client(request).store.put_item(arguments.pop("namespace"), **arguments)
    return Response(status_code=204)


async def get(request: Request) -> Response:
    query = request.query_params
    if "key" not in query:
        raise Refused("key: required, and missing")
    labels = [label for text in query.getlist("namespace") for label in text.split(".")]
    if not labels:
        raise Invalid("namespace: required, and missing")
    refresh = query_flag(request, "refresh_ttl") if "refresh_ttl" in query else None
    item = await client(request).store.get_item(labels, query["key"], refresh_ttl=refresh)
    return json_response(item)


async def delete(request: Request) -> Response:
    body = await read(request, StoreDelete)
    await client(request).store.delete_item(body.namespace or (), body.key)
    return Response(status_code=204)


async def search(request: Request) -> Response:
    arguments = (await read(request, StoreSearch)).arguments()
    prefix = arguments.pop("namespace_prefix", ())
    return json_response(await client(request).store.search_items(prefix, **arguments))


async def namespaces(request: Request) -> Response:
    body = await read(request, StoreNamespaces)
    return json_response(await client(request).store.list_namespaces(**body.arguments()))


routes = [
    Route("/store/items", put, methods=["PUT"]),
    Route("/store/items", get, methods=["GET"]),
    Route("/store/items", delete, methods=["DELETE"]),
    Route("/store/items/search", search, methods=["POST"]),
    Route("/store/namespaces", namespaces, methods=["POST"]),
]
