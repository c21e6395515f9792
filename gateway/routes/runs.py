"""Runs: start, follow, cancel."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final, Literal

import attrs
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from greenroom.actors import GreenroomError, NotFound, Refused, RunHandle
from greenroom.gateway.answers import EMPTY, EVENTS, RUN, RUNS, RUNS_CREATED, Answer
from greenroom.gateway.errors import gone
from greenroom.gateway.fields import Offset, RunField, StreamMode, Uuid
from greenroom.gateway.operation import Operations
from greenroom.gateway.parameters import Read
from greenroom.gateway.requests import (
    RunBody,
    RunCreate,
    RunCreateStateless,
    RunFollow,
    RunFollowStateless,
    RunsCancel,
)
from greenroom.gateway.responses import client, json_response
from greenroom.gateway.sse import GATHER, STREAM_HEADERS, EventStream, RunResult, frame
from greenroom.storage.codec import INT_MAX

__all__ = ["routes"]

Action = Literal["interrupt", "rollback"]
Count = Annotated[int, Meta(ge=1, extra_json_schema={"maximum": INT_MAX}), Read(error=Refused)]
Skipped = Annotated[Offset, Read(error=Refused)]
EventId = Annotated[int | None, Read(header="Last-Event-ID")]

OF_THREAD: Final = "/threads/{thread_id}/runs"
ONE: Final = f"{OF_THREAD}/{{run_id}}"
# Of a run that is started: what a client that lost its answer comes back to.
_PLACE: Final = {"Content-Location": "The path of the run"}
_BACK: Final = {**_PLACE, "Location": "Where to follow the run further"}
CREATED: Final = Answer(shape=RUN, headers=_PLACE)
RESULT: Final = Answer(headers=_BACK)
FOLLOWED: Final = attrs.evolve(EVENTS, headers=_BACK)

STARTED: Final[dict[str, Any]] = {"refuses": [400, 404, 409, 429]}
FOLLOWING: Final[dict[str, Any]] = {**STARTED, "is_live": True}

routes = Operations()


def _arguments(body: RunBody) -> dict[str, Any]:
    arguments = body.arguments()
    arguments.pop("on_disconnect", None)  # the gateway's own
    return arguments


def _url(run: RunHandle) -> str:
    return f"/threads/{run.thread_id}/runs/{run.run_id}"


def _cancel(request: Request, run: RunHandle) -> Callable[[], Awaitable[None]]:
    async def cancel() -> None:
        with contextlib.suppress(GreenroomError):  # it has ended by itself meanwhile
            await client(request).runs.cancel(run.thread_id, run.run_id)

    return cancel


# Runs with threads of their own.


@routes.add("POST", "/runs", "Start a run on a thread of its own", CREATED, **STARTED)
async def create_stateless(request: Request, body: RunCreateStateless) -> Response:
    return await _create(request, None, body)


@routes.add(
    "POST",
    "/runs/wait",
    "Run on a thread of its own, and wait for the result",
    RESULT,
    **FOLLOWING,
)
async def wait_stateless(request: Request, body: RunFollowStateless) -> RunResult:
    return await _wait(request, None, body)


@routes.add("POST", "/runs/stream", "Run on a thread of its own, and follow", FOLLOWED, **FOLLOWING)
async def stream_stateless(request: Request, body: RunFollowStateless) -> EventStream:
    return await _stream(request, None, body)


@routes.add(
    "POST",
    "/runs/batch",
    "Start runs on threads of their own",
    RUNS_CREATED,
    **STARTED,
)
async def create_batch(request: Request, body: list[RunCreateStateless]) -> Response:
    return json_response(await client(request).runs.create_batch(list(map(_arguments, body))))


@routes.add(
    "GET", "/runs/{run_id}/stream", "Follow a run on a thread of its own", EVENTS, is_live=True
)
async def join_stream_stateless(
    request: Request,
    run_id: Uuid,
    stream_mode: list[StreamMode] | None = None,
    cancel_on_disconnect: bool = False,
    last_event_id: EventId = None,
) -> Response | EventStream:
    """As one of a thread."""
    return await _join_stream(
        request, None, run_id, stream_mode, cancel_on_disconnect, last_event_id
    )


@routes.add("POST", "/runs/cancel", "Stop many runs", {204: EMPTY}, refuses=[404])
async def cancel_many(request: Request, body: RunsCancel, action: Action = "interrupt") -> Response:
    """Those of `run_ids` on a thread, or all of a `status`. `action`: as of one run."""
    await client(request).runs.cancel_many(**body.arguments(), action=action)
    return Response(status_code=204)


# Runs of a thread.


@routes.add("GET", OF_THREAD, "List the runs of a thread", RUNS, refuses=[404])
async def list_runs(
    request: Request,
    thread_id: Uuid,
    limit: Count = 10,
    offset: Skipped = 0,
    status: str | None = None,
    select: list[RunField] | None = None,
) -> Response:
    """Newest first."""
    rows = await client(request).runs.list(
        thread_id, limit=limit, offset=offset, status=status, select=select
    )
    return json_response(rows)


@routes.add("POST", OF_THREAD, "Start a run", CREATED, **STARTED)
async def create(request: Request, thread_id: Uuid, body: RunCreate) -> Response:
    return await _create(request, thread_id, body)


@routes.add("POST", f"{OF_THREAD}/wait", "Run, and wait for the result", RESULT, **FOLLOWING)
async def wait(request: Request, thread_id: Uuid, body: RunFollow) -> RunResult:
    return await _wait(request, thread_id, body)


@routes.add("POST", f"{OF_THREAD}/stream", "Run, and follow", FOLLOWED, **FOLLOWING)
async def stream(request: Request, thread_id: Uuid, body: RunFollow) -> EventStream:
    return await _stream(request, thread_id, body)


@routes.add("GET", ONE, "Get a run", RUN, refuses=[404])
async def get(request: Request, thread_id: Uuid, run_id: Uuid) -> Response:
    return json_response(await client(request).runs.get(thread_id, run_id))


@routes.add("DELETE", ONE, "Delete a run", {204: EMPTY}, refuses=[404])
async def delete(request: Request, thread_id: Uuid, run_id: Uuid) -> Response:
    """One under way is stopped first. The state it left stays."""
    await client(request).runs.delete(thread_id, run_id)
    return Response(status_code=204)


@routes.add("GET", f"{ONE}/join", "Wait for the result of a run", Any, is_live=True)
async def join(
    request: Request, thread_id: Uuid, run_id: Uuid, cancel_on_disconnect: bool = False
) -> Response | RunResult:
    """`__error__` says so where there is no such run."""
    try:
        run = await client(request).runs.attach(thread_id, run_id)
    except NotFound as error:
        return json_response({"__error__": gone(error)})
    return _result(request, run, cancel=cancel_on_disconnect)


@routes.add("GET", f"{ONE}/stream", "Follow a run", EVENTS, is_live=True)
async def join_stream(
    request: Request,
    thread_id: Uuid,
    run_id: Uuid,
    stream_mode: list[StreamMode] | None = None,
    cancel_on_disconnect: bool = False,
    last_event_id: EventId = None,
) -> Response | EventStream:
    """From now on or, one made with `stream_resumable`, from the event after `Last-Event-ID`; 0 or
    -1 for all. An event `error` says so where there is no such run."""
    return await _join_stream(
        request, thread_id, run_id, stream_mode, cancel_on_disconnect, last_event_id
    )


@routes.add(
    *("POST", f"{ONE}/cancel", "Stop a run", {200: dict[str, Any], 202: EMPTY}), refuses=[404]
)
async def cancel(
    request: Request,
    thread_id: Uuid,
    run_id: Uuid,
    wait: bool = False,
    action: Action = "interrupt",
) -> Response:
    """`wait`: until it has stopped; status 202 is told without. `action`: `interrupt` keeps what it
    did, `rollback` deletes it."""
    await client(request).runs.cancel(thread_id, run_id, wait=wait, action=action)
    if not wait:
        return Response(status_code=202)
    url = f"/threads/{thread_id}/runs/{run_id}"
    return json_response({}, headers={"Location": f"{url}/join", "Content-Location": url})


# What runs on a thread and without one have in common.


async def _create(request: Request, thread_id: str | None, body: RunBody) -> Response:
    run = await client(request).runs.create(thread_id, **_arguments(body))
    thread = "" if thread_id is None else f"/threads/{thread_id}"
    return json_response(run, headers={"Content-Location": f"{thread}/runs/{run['run_id']}"})


async def _wait(request: Request, thread_id: str | None, body: RunBody) -> RunResult:
    run = await client(request).runs.start(thread_id, follow=False, **_arguments(body))
    return _result(request, run, cancel=body.on_disconnect == "cancel")


async def _stream(request: Request, thread_id: str | None, body: RunBody) -> EventStream:
    run = await client(request).runs.start(thread_id, **_arguments(body))
    return _events(request, run, cancel=body.on_disconnect == "cancel")


async def _join_stream(
    request: Request,
    thread_id: str | None,
    run_id: str,
    stream_mode: list[str] | None,
    cancel_on_disconnect: bool,
    last_event_id: int | None,
) -> Response | EventStream:
    try:
        run = await client(request).runs.attach(thread_id, run_id)
    except NotFound as error:
        body = frame("error", msgspec.json.encode(gone(error)))
        return Response(body, headers=STREAM_HEADERS)
    return _events(
        request, run, cancel=cancel_on_disconnect, after=last_event_id, stream_mode=stream_mode
    )


def _result(request: Request, run: RunHandle, *, cancel: bool) -> RunResult:
    return RunResult(
        live=request.app.state.live,
        headers={
            "content-type": "application/json",
            "location": f"{_url(run)}/join",
            "content-location": _url(run),
        },
        on_leave=_cancel(request, run) if cancel else None,
        result=partial(run.result, own=False),
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
        events=run.events(gather=GATHER, **options),
        with_ids=run.resumable,
        gone=lambda: run.gone,
    )
