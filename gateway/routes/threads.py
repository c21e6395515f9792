"""Threads, their state and its history."""

from __future__ import annotations

from typing import Annotated, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from greenroom.actors.client.following import FEED_MODES
from greenroom.gateway.answers import (
    EMPTY,
    EVENTS,
    THREAD,
    THREADS,
    Pruned,
    StateUpdated,
    ThreadState,
)
from greenroom.gateway.errors import with_error_for_clients
from greenroom.gateway.fields import FeedMode, Limit, StateField, Uuid
from greenroom.gateway.operation import Operations
from greenroom.gateway.parameters import Read
from greenroom.gateway.requests import (
    CheckpointStateRequest,
    HistorySearch,
    StateUpdate,
    ThreadCount,
    ThreadCreate,
    ThreadPatch,
    ThreadPrune,
    ThreadSearch,
)
from greenroom.gateway.responses import client, json_bytes, json_response, search_page
from greenroom.gateway.sse import STREAM_HEADERS, EventStream

__all__ = ["routes"]

ONE: Final = "/threads/{thread_id}"

routes = Operations()


@routes.add("POST", "/threads", "Make a thread", THREAD, refuses=[400, 404, 409])
async def create(request: Request, body: ThreadCreate) -> Response:
    return _thread(await client(request).threads.create(**body.arguments()))


@routes.add("POST", "/threads/search", "Find threads", THREADS)
async def search(request: Request, body: ThreadSearch) -> Response:
    threads = client(request).threads

    async def found(**wanted: Any) -> list[dict[str, Any]]:
        return [with_error_for_clients(one) for one in await threads.search(**wanted)]

    return await search_page(body, found, threads.count)


@routes.add("POST", "/threads/count", "Count threads", int)
async def count(request: Request, body: ThreadCount) -> Response:
    return json_response(await client(request).threads.count(**body.arguments()))


@routes.add("POST", "/threads/prune", "Delete threads, or all but their newest state", Pruned)
async def prune(request: Request, body: ThreadPrune) -> Response:
    return json_response(await client(request).threads.prune(**body.arguments()))


@routes.add("GET", ONE, "Get a thread", THREAD, refuses=[404])
async def get(request: Request, thread_id: Uuid) -> Response:
    return _thread(await client(request).threads.get(thread_id))


@routes.add("PATCH", ONE, "Change a thread", {200: THREAD, 204: EMPTY}, refuses=[404])
async def patch(
    request: Request,
    thread_id: Uuid,
    body: ThreadPatch,
    prefer: Annotated[str, Read(header="Prefer")] = "",
) -> Response:
    """With the header `Prefer: return=minimal` the answer is empty."""
    thread = await client(request).threads.update(thread_id, **body.arguments())
    if "return=minimal" in prefer:
        return Response(status_code=204)
    return _thread(thread)


@routes.add("DELETE", ONE, "Delete a thread", {204: EMPTY}, refuses=[404])
async def delete(request: Request, thread_id: Uuid) -> Response:
    """With its runs and its state; a run under way is stopped first."""
    await client(request).threads.delete(thread_id)
    return Response(status_code=204)


@routes.add("POST", f"{ONE}/copy", "Copy a thread", THREAD, refuses=[409])
async def copy(request: Request, thread_id: Uuid) -> Response:
    """With its state and history, and no runs."""
    return _thread(await client(request).threads.copy(thread_id))


@routes.add("GET", f"{ONE}/state", "Get the state of a thread", ThreadState, refuses=[404])
async def get_state(
    request: Request,
    thread_id: Uuid,
    subgraphs: bool = False,
    select: list[StateField] | None = None,
) -> Response:
    """`subgraphs`: with the states of graphs inside its tasks. `select`: only these fields of it;
    `values.<key>` is one key of its values."""
    state = await client(request).threads.get_state(thread_id, subgraphs=subgraphs, select=select)
    return json_response(state)


@routes.add(
    "POST", f"{ONE}/state", "Edit the state of a thread", StateUpdated, refuses=[400, 404, 409]
)
async def update_state(request: Request, thread_id: Uuid, body: StateUpdate) -> Response:
    """As if a node, `as_node`, had returned the `values`."""
    arguments = body.arguments()
    values = arguments.pop("values", None)
    return json_response(await client(request).threads.update_state(thread_id, values, **arguments))


@routes.add(
    "POST",
    f"{ONE}/state/checkpoint",
    "Get the state at a checkpoint, also of a graph inside",
    ThreadState,
    refuses=[404],
)
async def get_state_at_checkpoint(
    request: Request, thread_id: Uuid, body: CheckpointStateRequest
) -> Response:
    state = await client(request).threads.get_state(
        thread_id,
        checkpoint=body.checkpoint,
        subgraphs=bool(body.subgraphs),
        select=body.select,
    )
    return json_response(state)


@routes.add(
    "GET",
    f"{ONE}/state/{{checkpoint_id}}",
    "Get the state at a checkpoint",
    ThreadState,
    refuses=[404],
)
async def get_state_at(
    request: Request,
    thread_id: Uuid,
    checkpoint_id: Uuid,
    subgraphs: bool = False,
    select: list[StateField] | None = None,
) -> Response:
    """`subgraphs` and `select` as for the newest state."""
    state = await client(request).threads.get_state(
        thread_id, checkpoint_id=checkpoint_id, subgraphs=subgraphs, select=select
    )
    return json_response(state)


@routes.add(
    "GET", f"{ONE}/stream", "Follow all runs of a thread", EVENTS, refuses=[404], is_live=True
)
async def stream(
    request: Request,
    thread_id: Uuid,
    stream_modes: list[FeedMode] | None = None,
    stream_mode: list[FeedMode] | None = None,
    last_event_id: Annotated[int | None, Read(header="Last-Event-ID")] = None,
) -> EventStream:
    """Until it is deleted. `stream_modes`: `run_modes` by default, what each run streams;
    `stream_mode` is another name of it. `Last-Event-ID`: where a client that comes back goes on; 0
    or -1 for all that runs made with `stream_resumable` have kept."""
    await client(request).threads.get(thread_id)
    return EventStream(
        live=request.app.state.live,
        headers=STREAM_HEADERS,
        events=client(request).threads.events(
            thread_id,
            after=last_event_id,
            stream_mode=stream_modes or stream_mode or FEED_MODES[:1],
        ),
        with_ids=True,
    )


@routes.add(
    "GET", f"{ONE}/history", "List the states of a thread", list[ThreadState], refuses=[404]
)
async def history(
    request: Request, thread_id: Uuid, limit: Limit = 1, before: Uuid | None = None
) -> Response:
    """Newest first. `before`: the id of a checkpoint."""
    history = client(request).threads.get_history_json
    return json_bytes(await history(thread_id, limit=limit, before=before))


@routes.add("POST", f"{ONE}/history", "Find states of a thread", list[ThreadState], refuses=[404])
async def search_history(request: Request, thread_id: Uuid, body: HistorySearch) -> Response:
    """Newest first."""
    history = client(request).threads.get_history_json
    return json_bytes(await history(thread_id, **body.arguments()))


def _thread(thread: dict[str, Any]) -> Response:
    return json_response(with_error_for_clients(thread))
