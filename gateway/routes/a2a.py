"""Agent2Agent: every assistant is an agent, whose tasks are runs and whose contexts are threads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, TypeVar, cast
from uuid import uuid4

import attrs
from a2a.compat.v0_3.types import (
    Artifact,
    MessageSendParams,
    Part,
    PushNotificationNotSupportedError,
    Task,
    TaskArtifactUpdateEvent,
    TaskIdParams,
    TaskNotCancelableError,
    TaskNotFoundError,
    TaskState,
    TaskStatus,
    TaskStatusUpdateEvent,
    TextPart,
    UnsupportedOperationError,
)
from msgspec import UNSET
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from greenroom.actors import Invalid, NotFound, Refused, RunHandle, StreamPart
from greenroom.actors.wire_messages import is_part
from greenroom.gateway.a2a import (
    agent_card,
    answer_of,
    artifact,
    input_of,
    split_id,
    task_id,
    task_of,
    text_of,
)
from greenroom.gateway.answers import EMPTY, JSON, Answer
from greenroom.gateway.decoding import shown
from greenroom.gateway.fields import AssistantName, JsonObject
from greenroom.gateway.jsonrpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    Call,
    RpcAnswer,
    RpcError,
    answered,
    misfit,
    read_call,
)
from greenroom.gateway.operation import Operations
from greenroom.gateway.responses import client, json_response, room
from greenroom.gateway.sse import HEARTBEAT, STREAM_HEADERS, LiveAnswer, RunResult
from greenroom.graph import RunnableConfig
from greenroom.storage.codec import to_json
from greenroom.storage.records import UNFINISHED

__all__ = ["routes"]

CARD: Final = "/.well-known/agent-card.json"

Assistant = dict[str, Any]
P = TypeVar("P", bound=BaseModel)


ANSWERS: Final = {
    200: Answer(shape=RpcAnswer, media=[JSON, "text/event-stream"]),
    202: EMPTY,
    400: RpcAnswer,
    404: RpcAnswer,
}

routes = Operations()


@routes.add("GET", CARD, "Get the card of an assistant", JsonObject, refuses=[404])
async def card(request: Request, assistant_id: AssistantName) -> Response:
    assistant = await client(request).assistants.get(assistant_id)
    prefix = request.url.path.removesuffix(CARD)
    path = f"{prefix}/a2a/{assistant['assistant_id']}"
    url = str(request.url.replace(path=path, query=""))
    return json_response(_wire(agent_card(assistant, url)))


@routes.add("POST", "/a2a/{assistant_id}", "Call", ANSWERS, takes=Call, is_live=True)
async def post(request: Request, assistant_id: AssistantName) -> Response | LiveAnswer:
    """A method of Agent2Agent; `message/stream` is answered with events. Nothing is answered to
    what has no id."""
    try:
        call = read_call(await request.body())
    except RpcError as error:
        return error.response()
    if call.id is UNSET:
        return Response(status_code=202)
    try:
        assistant = await _assistant(request, assistant_id)
        method = _METHODS.get(call.method)
        if method is None:
            known = ", ".join(_METHODS)
            raise RpcError(METHOD_NOT_FOUND, f"method: {shown(call.method)} is none of {known}")
        return await method(request, call, assistant)
    except RpcError as error:
        return error.response(call.id)
    except (Invalid, Refused, NotFound) as error:
        return RpcError(INVALID_PARAMS, str(error)).response(call.id)


async def _assistant(request: Request, assistant_id: str) -> Assistant:
    try:
        return await client(request).assistants.get(assistant_id)
    except (Invalid, NotFound) as error:
        raise RpcError(INVALID_PARAMS, str(error), status=404) from None


def _params(call: Call, shape: type[P]) -> P:
    try:
        return shape.model_validate({} if call.params is UNSET else call.params)
    except ValidationError as error:
        raise RpcError(INVALID_PARAMS, f"params.{misfit(error)}") from None


# Messages.


async def _send(request: Request, call: Call, assistant: Assistant) -> Response | RunResult:
    params = _params(call, MessageSendParams)
    run = await _start(request, params, assistant, follow=False)
    if params.configuration is not None and params.configuration.blocking is False:
        return json_response(answered(call, _wire(task_of(run.run))))

    async def result() -> dict[str, Any]:
        try:
            task = await _ended(request, run)
        except NotFound as error:  # the thread was deleted
            return _gone(error).body(call.id)
        return answered(call, _wire(task))

    return RunResult(live=request.app.state.live, result=result)


async def _stream(request: Request, call: Call, assistant: Assistant) -> LiveAnswer:
    params = _params(call, MessageSendParams)
    run = await _start(request, params, assistant, stream_mode="messages-tuple")
    return _TaskStream(
        live=request.app.state.live,
        headers=STREAM_HEADERS,
        call=call,
        run=run,
        end=lambda: _ended(request, run),
    )


async def _start(
    request: Request, params: MessageSendParams, assistant: Assistant, **options: Any
) -> RunHandle:
    """The run that a message starts: a new turn, or the answer to what a task asks."""
    message, configuration = params.message, params.configuration
    if configuration is not None and configuration.push_notification_config is not None:
        raise RpcError(PushNotificationNotSupportedError().code, "tasks are not pushed")
    if message.task_id is None:
        graph = room(request).graphs.get(assistant["graph_id"])
        config = cast(RunnableConfig, assistant["config"])
        schemas = None if graph is None else await graph.schemas(config=config)
        keys = None if schemas is None else schemas["input"].get("properties")
        options |= {"input": input_of(message, keys), "if_not_exists": "create"}
        thread_id = message.context_id or str(uuid4())
    else:
        run = await _find(request, assistant, message.task_id, message.context_id)
        thread_id = run["thread_id"]
        task = await _task(request, run)
        if task.status.state != TaskState.input_required:
            text = f"message.taskId: the task asks nothing, it is {task.status.state.value}"
            raise RpcError(UnsupportedOperationError().code, text)
        options["command"] = {"resume": answer_of(message)}
    return await client(request).runs.start(thread_id, assistant["assistant_id"], **options)


async def _ended(request: Request, run: RunHandle) -> Task:
    result = await run.result()
    return task_of(await client(request).runs.get(run.thread_id, run.run_id), result=result)


@attrs.define(kw_only=True)
class _TaskStream(LiveAnswer):
    """A task as it comes about: its messages as they are written, its output, how it ended."""

    silence = HEARTBEAT

    call: Call
    run: RunHandle
    end: Callable[[], Awaitable[Task]]
    _has_text: bool = attrs.field(init=False, default=False)

    async def _write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        async with aclosing(self._parts()) as parts:
            async for part in parts:
                body = part.body(self.call.id) if isinstance(part, RpcError) else None
                body = body or answered(self.call, _wire(part))
                await send(b"data: %b\r\n\r\n" % to_json(body))

    async def _parts(self) -> AsyncGenerator[Any, None]:
        yield task_of(self.run.run)
        try:
            async with aclosing(self.run.parts()) as events:
                async for event in events:
                    if update := self._update(event):
                        yield update
            task = await self.end()
        except NotFound as error:
            yield _gone(error)
            return
        for made in task.artifacts or ():
            yield self._artifact(made, last_chunk=True)
        yield self._status(task.status, final=True)

    def _update(self, event: StreamPart) -> BaseModel | None:
        if event.event == "metadata":
            return self._status(TaskStatus(state=TaskState.working), final=False)
        if event.event != "messages":
            return None
        message, _ = event.data
        if not is_part(message) or not (text := text_of(message)):
            return None
        append, self._has_text = self._has_text, True
        made = artifact(self.run.run_id, Part(root=TextPart(text=text)))
        return self._artifact(made, append=append)

    def _artifact(
        self, made: Artifact, *, append: bool = False, last_chunk: bool = False
    ) -> TaskArtifactUpdateEvent:
        return TaskArtifactUpdateEvent(
            artifact=made, append=append, last_chunk=last_chunk, **self._ids()
        )

    def _status(self, status: TaskStatus, *, final: bool) -> TaskStatusUpdateEvent:
        return TaskStatusUpdateEvent(status=status, final=final, **self._ids())

    def _ids(self) -> dict[str, Any]:
        thread_id = self.run.thread_id
        return {"context_id": thread_id, "task_id": task_id(thread_id, self.run.run_id)}


# Tasks.


async def _get(request: Request, call: Call, assistant: Assistant) -> Response:
    run = await _find(request, assistant, _params(call, TaskIdParams).id, _context(call))
    return json_response(answered(call, _wire(await _task(request, run))))


async def _cancel(request: Request, call: Call, assistant: Assistant) -> Response:
    run = await _find(request, assistant, _params(call, TaskIdParams).id, _context(call))
    runs = client(request).runs
    try:
        await runs.cancel(run["thread_id"], run["run_id"], wait=True)
    except NotFound:
        text = (
            f"params.id: the task is over, it is {(await _task(request, run)).status.state.value}"
        )
        raise RpcError(TaskNotCancelableError().code, text) from None
    run = await runs.get(run["thread_id"], run["run_id"])
    return json_response(answered(call, _wire(await _task(request, run))))


def _context(call: Call) -> Any:
    return None if call.params is UNSET else call.params.get("contextId")


async def _find(
    request: Request, assistant: Assistant, given: str, context_id: Any
) -> dict[str, Any]:
    """The run of a task. Raises RpcError; other agents' tasks are unknown too."""
    thread_id, run_id = split_id(given, context_id)
    try:
        run = await client(request).runs.get(thread_id, run_id)
    except (Invalid, NotFound) as error:
        raise _gone(error) from None
    if run["assistant_id"] != assistant["assistant_id"]:
        raise _gone(f"Run {run_id!r} not found")
    return run


async def _task(request: Request, run: dict[str, Any]) -> Task:
    if run["status"] in UNFINISHED:
        return task_of(run)
    thread_id, run_id = run["thread_id"], run["run_id"]
    runs = client(request).runs
    newest = await runs.list(thread_id, limit=1, select=["run_id"])
    handle = await runs.attach(thread_id, run_id)
    result = await handle.result()
    return task_of(run, result=result, is_newest=newest == [{"run_id": run_id}])


def _gone(error: Exception | str) -> RpcError:
    return RpcError(TaskNotFoundError().code, str(error))


def _wire(model: BaseModel) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


_METHODS: Final = {
    "message/send": _send,
    "message/stream": _stream,
    "tasks/get": _get,
    "tasks/cancel": _cancel,
}
