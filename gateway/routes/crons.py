"""Crons: runs by the clock, on a thread or on a new one each time."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from greenroom.gateway.answers import CRON, CRONS, EMPTY
from greenroom.gateway.fields import Uuid
from greenroom.gateway.operation import Operations
from greenroom.gateway.requests import CronCount, CronCreate, CronPatch, CronSearch
from greenroom.gateway.responses import client, json_response, search_page

__all__ = ["routes"]

ONE = "/runs/crons/{cron_id}"

routes = Operations()


@routes.add("POST", "/runs/crons", "Make a cron of runs on new threads", CRON, refuses=[400, 404])
async def create(request: Request, body: CronCreate) -> Response:
    arguments = body.arguments()
    assistant_id = arguments.pop("assistant_id")
    return json_response(await client(request).crons.create(assistant_id, **arguments))


@routes.add("POST", "/runs/crons/search", "Find crons", CRONS, refuses=[404])
async def search(request: Request, body: CronSearch) -> Response:
    crons = client(request).crons
    return await search_page(body, crons.search, crons.count)


@routes.add("POST", "/runs/crons/count", "Count crons", int, refuses=[404])
async def count(request: Request, body: CronCount) -> Response:
    return json_response(await client(request).crons.count(**body.arguments()))


@routes.add("GET", ONE, "Get a cron", CRON, refuses=[404])
async def get(request: Request, cron_id: Uuid) -> Response:
    return json_response(await client(request).crons.get(cron_id))


@routes.add("PATCH", ONE, "Change a cron", CRON, refuses=[400, 404])
async def patch(request: Request, cron_id: Uuid, body: CronPatch) -> Response:
    return json_response(await client(request).crons.update(cron_id, **body.arguments()))


@routes.add("DELETE", ONE, "Delete a cron", {204: EMPTY}, refuses=[404])
async def delete(request: Request, cron_id: Uuid) -> Response:
    await client(request).crons.delete(cron_id)
    return Response(status_code=204)


@routes.add(
    "POST",
    "/threads/{thread_id}/runs/crons",
    "Make a cron of runs on a thread",
    CRON,
    refuses=[400, 404],
)
async def create_for_thread(request: Request, thread_id: Uuid, body: CronCreate) -> Response:
    arguments = body.arguments()
    arguments.pop("on_run_completed", None)
    assistant_id = arguments.pop("assistant_id")
    crons = client(request).crons
    return json_response(await crons.create_for_thread(thread_id, assistant_id, **arguments))
