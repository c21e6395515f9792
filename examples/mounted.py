"""The HTTP API inside an application of your own, on any asyncio server:

    hypercorn mounted:app        # or: uvicorn mounted:app

It lies under http://127.0.0.1:8000/agents then. FastAPI takes the same `lifespan`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from greenroom.actors import Greenroom
from greenroom.gateway.mounting import asyncio_app
from greenroom.storage import SqliteStorage
from human import graph


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    room = Greenroom({"agent": graph}, storage=SqliteStorage("mounted.db"))
    async with room.in_thread_async() as client:
        app.mount("/agents", asyncio_app(client))
        yield


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("The agents are under /agents.")


app = Starlette(routes=[Route("/", home)], lifespan=lifespan)
