"""The store: the user's own items, by namespace and key."""

from __future__ import annotations

from typing import Annotated

from starlette.requests import Request
from starlette.responses import Response

from greenroom.actors import Refused
from greenroom.gateway.answers import EMPTY, Item, Items, Namespaces
from greenroom.gateway.operation import Operations
from greenroom.gateway.parameters import Read
from greenroom.gateway.requests import StoreDelete, StoreNamespaces, StorePut, StoreSearch
from greenroom.gateway.responses import client, json_response

__all__ = ["routes"]

routes = Operations()


@routes.add("PUT", "/store/items", "Put an item, in place of what was there", {204: EMPTY})
async def put(request: Request, body: StorePut) -> Response:
    arguments = body.arguments()
    await client(request).store.put_item(arguments.pop("namespace"), **arguments)
    return Response(status_code=204)


@routes.add("GET", "/store/items", "Get an item, or null", Item | None)
async def get(
    request: Request,
    key: Annotated[str, Read(error=Refused)],
    namespace: list[str],
    refresh_ttl: bool | None = None,
) -> Response:
    """`namespace`: its labels, or texts of them joined by dots. `refresh_ttl`: its time to live
    starts anew; by default as the server is configured."""
    labels = [label for text in namespace for label in text.split(".")]
    item = await client(request).store.get_item(labels, key, refresh_ttl=refresh_ttl)
    return json_response(item)


@routes.add("DELETE", "/store/items", "Forget an item", {204: EMPTY})
async def delete(request: Request, body: StoreDelete) -> Response:
    await client(request).store.delete_item(body.namespace or (), body.key)
    return Response(status_code=204)


@routes.add("POST", "/store/items/search", "Find items", Items)
async def search(request: Request, body: StoreSearch) -> Response:
    arguments = body.arguments()
    prefix = arguments.pop("namespace_prefix", ())
    return json_response(await client(request).store.search_items(prefix, **arguments))


@routes.add("POST", "/store/namespaces", "List namespaces that have items", Namespaces)
async def namespaces(request: Request, body: StoreNamespaces) -> Response:
    return json_response(await client(request).store.list_namespaces(**body.arguments()))
