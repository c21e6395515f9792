"""Whether the server is well, and what it can do."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.actors import Greenroom
from greenroom.gateway.errors import not_installed
from greenroom.gateway.requests import query_flag
from greenroom.gateway.responses import json_response

__all__ = ["routes"]

FOLLOWED_LANGGRAPH: Final = "1.2.22"  # the release whose behaviour on the wire is followed


async def ok(request: Request) -> Response:
    room: Greenroom = request.app.state.room
    if query_flag(request, "check_db"):
        await room.check_storage()
    elif room.away is not None:
        raise room.away
    return json_response({"ok": True})


async def info(request: Request) -> Response:
    return json_response(
        {
            "version": version("greenroom"),
            "langgraph_py_version": FOLLOWED_LANGGRAPH,
            "flags": {"assistants": True, "crons": True, "langsmith": False},
            "host": {"kind": "self-hosted"},
            "metadata": {},
        }
    )


async def metrics(request: Request) -> Response:
    found = request.app.state.metrics
    if found is None:
        return not_installed("metrics")
    return Response(found.text(), headers={"content-type": found.content_type})


routes = [Route("/ok", ok), Route("/info", info), Route("/metrics", metrics)]
