"""Runs: start, follow, cancel."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.actors import GreenroomError, Invalid, NotFound, Refused, RunHandle
from greenroom.actors.events import CLIENT_MODES
from greenroom.gateway.decoding import shown
from greenroom.gateway.errors import gone
from greenroom.gateway.requests import (
    RunBody,
    RunCreate,
    RunCreateStateless,
    RunsCancel,
    last_event_id,
    path_id,
    query_flag,
    query_int,
    query_list,
    read,
)
from greenroom.gateway.responses import client, json_response
from greenroom.gateway.sse import STREAM_HEADERS, EventStream, OpenStream, RunResult, frame

__all__ = ["routes"]


def _arguments(body: RunBody) -> dict[str, Any]:
    arguments = body.arguments()
    arguments.pop("on_disconnect", None)  # the gateway's own
    return arguments


async def _read(request: Request) -> tuple[str | None, RunBody]:
    """The thread in the path, if there is one, and what it is to run."""
    if "thread_id" not in request.path_params:
        return None, await read(request, RunCreateStateless)
    return path_id(request, "thread_id"), await read(request, RunCreate)


def _url(run: RunHandle) -> str:
    return f"/threads/{run.thread_id}/runs/{run.run_id}"


def _cancel(request: Request, run: RunHandle) -> Callable[[], Awaitable[None]]:
    async def cancel() -> None:
        with contextlib.suppress(GreenroomError):  # it has ended by itself meanwhile
            await client(request).runs.cancel(run.thread_id, run.run_id)

    return cancel


async def create(request: Request) -> Response:
    thread_id, body = await _read(request)
    run = await client(request).runs.create(thread_id, **_arguments(body))
    thread = "" if thread_id is None else f"/threads/{thread_id}"
    return json_response(run, headers={"Content-Location": f"{thread}/runs/{run['run_id']}"})


async def create_batch(request: Request) -> Response:
    bodies = await read(request, list[RunCreateStateless])
    return json_response(await client(request).runs.create_batch(list(map(_arguments, bodies))))


async def wait(request: Request) -> RunResult:
    thread_id, body = await _read(request)
    run = await client(request).runs.start(thread_id, follow=False, **_arguments(body))
    return _result(request, run, cancel=body.on_disconnect == "cancel")


async def stream(request: Request) -> EventStream:
    thread_id, body = await _read(request)
    run = await client(request).runs.start(thread_id, **_arguments(body))
    return _events(request, run, cancel=body.on_disconnect == "cancel")


async def join(request: Request) -> Response | RunResult:
    try:
        run = await _attach(request)
    except NotFound as error:
        return json_response({"__error__": gone(error)})
    return _result(request, run, cancel=query_flag(request, "cancel_on_disconnect"))


async def join_stream(request: Request) -> Response | EventStream:
    cancel = query_flag(request, "cancel_on_disconnect")
    after = last_event_id(request)
    stream_mode = query_list(request, "stream_mode")
    for mode in stream_mode or ():
        if mode not in CLIENT_MODES:
            raise Invalid(f"stream_mode: {shown(mode)} is none of {', '.join(CLIENT_MODES)}")
    try:
        run = await _attach(request)
    except NotFound as error:
        body = frame("error", msgspec.json.encode(gone(error)))
        return Response(body, headers=STREAM_HEADERS)
    return _events(request, run, cancel=cancel, after=after, stream_mode=stream_mode)


async def _attach(request: Request) -> RunHandle:
    has_thread = "thread_id" in request.path_params
    thread_id = path_id(request, "thread_id") if has_thread else None
    return await client(request).runs.attach(thread_id, path_id(request, "run_id"))


def _result(request: Request, run: RunHandle, *, cancel: bool) -> RunResult:
    return RunResult(
        live=request.app.state.live,
        headers={
            "content-type": "application/json",
            "location": f"{_url(run)}/join",
            "content-location": _url(run),
        },
        on_leave=_cancel(request, run) if cancel else None,
        result=run.result,
    )


def _events(request: Request, run: RunHandle, *, cancel: bool, **options: Any) -> EventStream:
    url = _url(run) if "thread_id" in request.path_params else f"/runs/{run.run_id}"
    return EventStream(
        live=request.app.state.live,
        headers={
            **STREAM_HEADERS,
            "location": f"{url}/stream",
            "content-location": url,
        },
        on_leave=_cancel(request, run) if cancel else None,
        events=run.events(**options),
        with_ids=run.resumable,
    )


async def list_runs(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    rows = await client(request).runs.list(
        thread_id,
        limit=query_int(request, "limit", 10, minimum=1, error=Refused),
        offset=query_int(request, "offset", 0, error=Refused),
        status=request.query_params.get("status"),
        select=query_list(request, "select"),
    )
    return json_response(rows)


async def get(request: Request) -> Response:
    run = await client(request).runs.get(path_id(request, "thread_id"), path_id(request, "run_id"))
    return json_response(run)


async def delete(request: Request) -> Response:
    await client(request).runs.delete(path_id(request, "thread_id"), path_id(request, "run_id"))
    return Response(status_code=204)


async def cancel(request: Request) -> Response:
    thread_id, run_id = path_id(request, "thread_id"), path_id(request, "run_id")
    action = _action(request)
    wait = query_flag(request, "wait")
    await client(request).runs.cancel(thread_id, run_id, wait=wait, action=action)
    if not wait:
        return Response(status_code=202)
    url = f"/threads/{thread_id}/runs/{run_id}"
    return json_response(None, headers={"Location": f"{url}/join", "Content-Location": url})


async def cancel_many(request: Request) -> Response:
    body = await read(request, RunsCancel)
    await client(request).runs.cancel_many(**body.arguments(), action=_action(request))
    return Response(status_code=204)


def _action(request: Request) -> str:
    action = request.query_params.get("action", "interrupt")
    if action not in ("interrupt", "rollback"):
        raise Invalid(f"action: {shown(action)} is none of interrupt, rollback")
    return action


_live = [Middleware(OpenStream)]

routes = [
    Route("/runs", create, methods=["POST"]),
    Route("/runs/wait", wait, methods=["POST"], middleware=_live),
    Route("/runs/stream", stream, methods=["POST"], middleware=_live),
    Route("/runs/{run_id}/stream", join_stream, methods=["GET"], middleware=_live),
    Route("/runs/batch", create_batch, methods=["POST"]),
    Route("/runs/cancel", cancel_many, methods=["POST"]),
    Route("/threads/{thread_id}/runs", list_runs, methods=["GET"]),
    Route("/threads/{thread_id}/runs", create, methods=["POST"]),
    Route("/threads/{thread_id}/runs/wait", wait, methods=["POST"], middleware=_live),
    Route("/threads/{thread_id}/runs/stream", stream, methods=["POST"], middleware=_live),
    Route("/threads/{thread_id}/runs/{run_id}", get, methods=["GET"]),
    Route("/threads/{thread_id}/runs/{run_id}", delete, methods=["DELETE"]),
    Route("/threads/{thread_id}/runs/{run_id}/join", join, methods=["GET"], middleware=_live),
    Route(
        "/threads/{thread_id}/runs/{run_id}/stream",
        join_stream,
        methods=["GET"],
        middleware=_live,
    ),
    Route("/threads/{thread_id}/runs/{run_id}/cancel", cancel, methods=["POST"]),
]
