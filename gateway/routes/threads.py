"""Threads, their state and its history."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from greenroom.actors import Invalid
from greenroom.actors.client.following import FEED_MODES
from greenroom.gateway.decoding import shown
from greenroom.gateway.requests import (
    CheckpointStateRequest,
    HistorySearch,
    StateUpdate,
    ThreadCount,
    ThreadCreate,
    ThreadPatch,
    ThreadPrune,
    ThreadSearch,
    last_event_id,
    path_id,
    query_flag,
    query_int,
    query_list,
    read,
)
from greenroom.gateway.responses import client, json_response, search_page
from greenroom.gateway.sse import STREAM_HEADERS, EventStream, OpenStream

__all__ = ["routes"]


async def create(request: Request) -> Response:
    body = await read(request, ThreadCreate)
    return json_response(await client(request).threads.create(**body.arguments()))


async def get(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    return json_response(await client(request).threads.get(thread_id))


async def patch(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    body = await read(request, ThreadPatch)
    thread = await client(request).threads.update(thread_id, **body.arguments())
    if "return=minimal" in request.headers.get("prefer", ""):
        return Response(status_code=204)
    return json_response(thread)


async def delete(request: Request) -> Response:
    await client(request).threads.delete(path_id(request, "thread_id"))
    return Response(status_code=204)


async def copy(request: Request) -> Response:
    return json_response(await client(request).threads.copy(path_id(request, "thread_id")))


async def prune(request: Request) -> Response:
    body = await read(request, ThreadPrune)
    return json_response(await client(request).threads.prune(**body.arguments()))


async def search(request: Request) -> Response:
    body = await read(request, ThreadSearch)
    threads = client(request).threads
    return await search_page(body, threads.search, threads.count)


async def count(request: Request) -> Response:
    body = await read(request, ThreadCount)
    return json_response(await client(request).threads.count(**body.arguments()))


async def get_state(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    subgraphs = query_flag(request, "subgraphs")
    return json_response(await client(request).threads.get_state(thread_id, subgraphs=subgraphs))


async def get_state_at(request: Request) -> Response:
    thread_id, checkpoint_id = path_id(request, "thread_id"), path_id(request, "checkpoint_id")
    state = await client(request).threads.get_state(
        thread_id, checkpoint_id=checkpoint_id, subgraphs=query_flag(request, "subgraphs")
    )
    return json_response(state)


async def get_state_at_checkpoint(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    body = await read(request, CheckpointStateRequest)
    state = await client(request).threads.get_state(
        thread_id, checkpoint=body.checkpoint, subgraphs=bool(body.subgraphs)
    )
    return json_response(state)


async def update_state(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    arguments = (await read(request, StateUpdate)).arguments()
    values = arguments.pop("values", None)
    return json_response(await client(request).threads.update_state(thread_id, values, **arguments))


async def history(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    before = request.query_params.get("before")
    limit = query_int(request, "limit", 1, minimum=1, maximum=1000)
    return json_response(
        await client(request).threads.get_history(thread_id, limit=limit, before=before)
    )


async def search_history(request: Request) -> Response:
    thread_id = path_id(request, "thread_id")
    body = await read(request, HistorySearch)
    return json_response(await client(request).threads.get_history(thread_id, **body.arguments()))


async def stream(request: Request) -> EventStream:
    thread_id = path_id(request, "thread_id")
    modes = query_list(request, "stream_modes") or query_list(request, "stream_mode")
    for mode in modes or ():
        if mode not in FEED_MODES:
            raise Invalid(f"stream_modes: {shown(mode)} is none of {', '.join(FEED_MODES)}")
    after = last_event_id(request)
    await client(request).threads.get(thread_id)
    return EventStream(
        live=request.app.state.live,
        headers=STREAM_HEADERS,
        events=client(request).threads.events(
            thread_id, after=after, stream_mode=modes or FEED_MODES[:1]
        ),
        with_ids=True,
    )


routes = [
    Route("/threads", create, methods=["POST"]),
    Route("/threads/search", search, methods=["POST"]),
    Route("/threads/count", count, methods=["POST"]),
    Route("/threads/prune", prune, methods=["POST"]),
    Route("/threads/{thread_id}", get, methods=["GET"]),
    Route("/threads/{thread_id}", patch, methods=["PATCH"]),
    Route("/threads/{thread_id}", delete, methods=["DELETE"]),
    Route("/threads/{thread_id}/copy", copy, methods=["POST"]),
    Route("/threads/{thread_id}/state", get_state, methods=["GET"]),
    Route("/threads/{thread_id}/state", update_state, methods=["POST"]),
    Route("/threads/{thread_id}/state/checkpoint", get_state_at_checkpoint, methods=["POST"]),
    Route("/threads/{thread_id}/state/{checkpoint_id}", get_state_at, methods=["GET"]),
    Route(
        "/threads/{thread_id}/stream",
        stream,
        methods=["GET"],
        middleware=[Middleware(OpenStream)],
    ),
    Route("/threads/{thread_id}/history", history, methods=["GET"]),
    Route("/threads/{thread_id}/history", search_history, methods=["POST"]),
]
