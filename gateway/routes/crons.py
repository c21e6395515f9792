"""Crons: runs by the clock, on a thread or on a new one each time."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.gateway.requests import (
    CronCount,
    CronCreate,
    CronPatch,
    CronSearch,
    path_id,
    read,
)
from greenroom.gateway.responses import client, json_response, search_page

__all__ = ["routes"]


async def create(request: Request) -> Response:
    arguments = (await read(request, CronCreate)).arguments()
    assistant_id = arguments.pop("assistant_id")
    return json_response(await client(request).crons.create(assistant_id, **arguments))


async def create_for_thread(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    arguments = (await read(request, CronCreate)).arguments()
    arguments.pop("on_run_completed", None)
    assistant_id = arguments.pop("assistant_id")
    crons = client(request).crons
    return json_response(await crons.create_for_thread(thread_id, assistant_id, **arguments))


async def get(request: Request) -> Response:
    return json_response(await client(request).crons.get(path_id(request, "cron_id")))


async def patch(request: Request) -> Response:
    cron_id = path_id(request, "cron_id")
    arguments = (await read(request, CronPatch)).arguments()
    return json_response(await client(request).crons.update(cron_id, **arguments))


async def delete(request: Request) -> Response:
    await client(request).crons.delete(path_id(request, "cron_id"))
    return Response(status_code=204)


async def search(request: Request) -> Response:
    body = await read(request, CronSearch)
    crons = client(request).crons
    return await search_page(body, crons.search, crons.count)


async def count(request: Request) -> Response:
    body = await read(request, CronCount)
    return json_response(await client(request).crons.count(**body.arguments()))


routes = [
    Route("/runs/crons", create, methods=["POST"]),
    Route("/runs/crons/search", search, methods=["POST"]),
    Route("/runs/crons/count", count, methods=["POST"]),
    Route("/runs/crons/{cron_id}", get, methods=["GET"]),
    Route("/runs/crons/{cron_id}", patch, methods=["PATCH"]),
    Route("/runs/crons/{cron_id}", delete, methods=["DELETE"]),
    Route("/threads/{thread_id}/runs/crons", create_for_thread, methods=["POST"]),
]
