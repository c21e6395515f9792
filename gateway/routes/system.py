"""Whether the server is well, and what it can do."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from greenroom.actors import Greenroom
from greenroom.gateway.answers import Answer, Info, Ok
from greenroom.gateway.errors import not_installed
from greenroom.gateway.operation import Operations
from greenroom.gateway.responses import json_response

__all__ = ["routes"]

FOLLOWED_LANGGRAPH: Final = "1.2.22"  # the release whose behaviour on the wire is followed
METRICS: Final = Answer("The figures", media=["text/plain"])

routes = Operations()


@routes.add("GET", "/ok", "Ask whether the server is well", Ok, refuses=[503])
async def ok(request: Request, check_db: bool = False) -> Response:
    """`check_db`: and its storage, too. Needs no API key."""
    room: Greenroom = request.app.state.room
    if check_db:
        await room.check_storage()
    elif room.away is not None:
        raise room.away
    return json_response({"ok": True})


routes.also_at("/")  # where load balancers ask


@routes.add("GET", "/info", "Ask what the server is, and what it can do", Info)
async def info(request: Request) -> Response:
    return json_response(
        {
            "version": version("greenroom"),
            "langgraph_py_version": FOLLOWED_LANGGRAPH,
            "flags": {
                "assistants": True,
                "crons": True,
                "langsmith": False,
                "strict_resume": True,
            },
            "host": {"kind": "self-hosted"},
            "metadata": {},
        }
    )


@routes.add("GET", "/metrics", "Read what the server counts", METRICS, refuses=[404])
async def metrics(request: Request) -> Response:
    """In the format of Prometheus."""
    found = request.app.state.metrics
    if found is None:
        return not_installed("metrics")
    return Response(found.text(), headers={"content-type": found.content_type})
