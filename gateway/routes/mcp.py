"""Model Context Protocol: every assistant is a tool, and each call of it a run of its own.

There are no sessions: a request says all that it needs, and is answered with one JSON body.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, Final, cast

import msgspec
from mcp_types import (
    DEFAULT_NEGOTIATED_VERSION,
    HEADER_MISMATCH,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
    CallToolRequest,
    CallToolResult,
    DiscoverRequest,
    DiscoverResult,
    EmptyResult,
    Implementation,
    InitializeRequest,
    InitializeResult,
    ListToolsRequest,
    ListToolsResult,
    PingRequest,
    Result,
    ServerCapabilities,
    TextContent,
    Tool,
    ToolsCapability,
)
from mcp_types.methods import parse_client_request, serialize_server_result
from mcp_types.version import (
    HANDSHAKE_PROTOCOL_VERSIONS,
    KNOWN_PROTOCOL_VERSIONS,
    LATEST_HANDSHAKE_VERSION,
    MODERN_PROTOCOL_VERSIONS,
)
from msgspec import UNSET
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from greenroom.actors import Closed, GreenroomError
from greenroom.gateway.answers import EMPTY
from greenroom.gateway.decoding import shown
from greenroom.gateway.errors import detail, told
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
from greenroom.gateway.sse import RunResult
from greenroom.graph import RunnableConfig
from greenroom.graph.errors import GraphFactoryError
from greenroom.storage.codec import to_json

__all__ = ["routes"]

CAPABILITIES: Final = ServerCapabilities(tools=ToolsCapability())
# The HTTP status of an error, for clients of versions that know one.
STATUS: Final = {METHOD_NOT_FOUND: 404, INVALID_PARAMS: 400, HEADER_MISMATCH: 400}
TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")  # what models can call
PAGE: Final = 1000

Assistant = Mapping[str, Any]

logger = logging.getLogger(__name__)

ANSWERS: Final = {200: RpcAnswer, 202: EMPTY, 400: RpcAnswer, 404: RpcAnswer}

routes = Operations()


@routes.add("POST", "/mcp/", "Call", ANSWERS, takes=Call, refuses=[403], is_live=True)
async def post(request: Request) -> Response | RunResult:
    """A method of the Model Context Protocol. Nothing is answered to what has no id."""
    origin = request.headers.get("origin")
    # A page that made its own name lead here is no caller of another origin to its browser.
    if origin is not None and not request.app.state.cors.is_allowed_origin(origin):
        return detail(403, f"origin: pages of {shown(origin)} may not call; see http.cors")
    try:
        call = read_call(await request.body())
        spoken = _version(request)
    except RpcError as error:
        return error.response()
    if call.id is UNSET:
        return Response(status_code=202)
    try:
        return await _answer(request, call, spoken)
    except RpcError as error:
        if spoken in MODERN_PROTOCOL_VERSIONS:
            error.status = STATUS[error.code]
        return error.response(call.id)


@routes.add("DELETE", "/mcp/", "End a session", {}, refuses=[404])
async def delete(request: Request) -> Response:
    """There are none."""
    return detail(404, "there are no sessions to end")


routes.also_at("/mcp")


def _version(request: Request) -> str:
    given = request.headers.get("mcp-protocol-version", DEFAULT_NEGOTIATED_VERSION)
    if given not in KNOWN_PROTOCOL_VERSIONS:
        known = list(KNOWN_PROTOCOL_VERSIONS)
        text = f"mcp-protocol-version: {shown(given)} is none of {', '.join(known)}"
        data = {"supported": known, "requested": given}
        raise RpcError(UNSUPPORTED_PROTOCOL_VERSION, text, data=data, status=400)
    return given


async def _answer(request: Request, call: Call, spoken: str) -> Response | RunResult:
    params = None if call.params is UNSET else call.params
    try:
        asked = parse_client_request(call.method, spoken, params)
    except KeyError:
        raise _unknown(call, spoken) from None
    except ValidationError as error:
        raise RpcError(INVALID_PARAMS, misfit(error)) from None
    if spoken in MODERN_PROTOCOL_VERSIONS:
        _check_headers(request, call)
    result: Result
    match asked:
        case InitializeRequest():
            wanted = asked.params.protocol_version
            result = InitializeResult(
                protocol_version=wanted
                if wanted in HANDSHAKE_PROTOCOL_VERSIONS
                else LATEST_HANDSHAKE_VERSION,
                capabilities=CAPABILITIES,
                server_info=_server(),
            )
        case DiscoverRequest():
            result = DiscoverResult(
                supported_versions=list(KNOWN_PROTOCOL_VERSIONS), capabilities=CAPABILITIES
            )
        case PingRequest():
            result = EmptyResult()
        case ListToolsRequest():
            if asked.params is not None and asked.params.cursor is not None:
                raise RpcError(INVALID_PARAMS, "params.cursor: there is one page of tools")
            tools = [await _tool(request, *item) for item in (await _assistants(request)).items()]
            result = ListToolsResult(tools=tools)
        case CallToolRequest():
            name = asked.params.name
            assistant = (await _assistants(request)).get(name)
            if assistant is None:
                raise RpcError(INVALID_PARAMS, f"params.name: there is no tool {shown(name)}")
            return await _run(request, call, spoken, assistant, asked.params.arguments or {})
        case _:
            raise _unknown(call, spoken)
    return json_response(answered(call, _wire(call, spoken, result)))


@cache
def _server() -> Implementation:
    return Implementation(name="greenroom", version=version("greenroom"))


def _unknown(call: Call, spoken: str) -> RpcError:
    return RpcError(METHOD_NOT_FOUND, f"method: there is no {shown(call.method)} in {spoken}")


def _check_headers(request: Request, call: Call) -> None:
    """Newer clients say in headers, for what stands between, what the body says."""
    assert call.params is not UNSET
    said = {
        "mcp-protocol-version": call.params["_meta"][PROTOCOL_VERSION_META_KEY],
        "mcp-method": call.method,
    }
    if call.method == "tools/call":
        said["mcp-name"] = call.params["name"]
    for header, value in said.items():
        given = request.headers.getlist(header)
        if given != [value]:
            text = f"{header}: the header says {shown(given)}, the body {shown(value)}"
            raise RpcError(HEADER_MISMATCH, text)


def _wire(call: Call, spoken: str, result: Result) -> dict[str, Any]:
    data = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    if spoken in MODERN_PROTOCOL_VERSIONS:
        data["_meta"] = {
            SERVER_INFO_META_KEY: _server().model_dump(by_alias=True, exclude_none=True)
        }
    return serialize_server_result(call.method, spoken, data)


# Tools.


async def _assistants(request: Request) -> dict[str, Assistant]:
    """Those that can be called, by the name of their tool: their own, or their id where a tool
    cannot have that or several do."""
    search = client(request).assistants.search
    found: list[Assistant] = []
    while len(found) % PAGE == 0:
        page = await search(limit=PAGE, offset=len(found), sort_by="name", sort_order="asc")
        found += page
        if not page:
            break
    names = Counter(assistant["name"] for assistant in found)
    ids = {assistant["assistant_id"] for assistant in found}
    graphs = room(request).graphs
    return {
        name
        if names[name := one["name"]] == 1 and TOOL_NAME.fullmatch(name) and name not in ids
        else one["assistant_id"]: one
        for one in found
        if one["graph_id"] in graphs
    }


async def _tool(request: Request, name: str, assistant: Assistant) -> Tool:
    return Tool(
        name=name,
        title=assistant["name"],
        description=assistant["description"],
        input_schema=_wrapped(await _takes(request, assistant)),
    )


async def _takes(request: Request, assistant: Assistant) -> dict[str, Any]:
    """The schema of the assistant's input; any object where its graph cannot be made now."""
    graph_id, config = assistant["graph_id"], cast(RunnableConfig, assistant["config"])
    try:
        return (await room(request).graphs[graph_id].schemas(config=config))["input"]
    except GraphFactoryError:
        logger.exception("the schema of graph %r is not known", graph_id)
        return {"type": "object"}


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    if not _is_wrapped(schema):
        return schema
    inner = {key: part for key, part in schema.items() if key != "$defs"}
    named = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return {"type": "object", "required": ["input"], **named, "properties": {"input": inner}}


def _is_wrapped(schema: Mapping[str, Any]) -> bool:
    """Arguments are an object: a graph that takes something else finds it in `input`."""
    return schema.get("type") != "object"


async def _run(
    request: Request, call: Call, spoken: str, assistant: Assistant, arguments: Mapping[str, Any]
) -> Response | RunResult:
    wrapped = _is_wrapped(await _takes(request, assistant))
    given = arguments.get("input") if wrapped else arguments
    runs, assistant_id = client(request).runs, assistant["assistant_id"]
    try:
        run = await runs.start(None, assistant_id, input=given, follow=False)
    except Closed:
        raise
    except GreenroomError as error:
        return json_response(answered(call, _wire(call, spoken, _failed(str(error)))))

    async def result() -> dict[str, Any]:
        return answered(call, _wire(call, spoken, _came_to(await run.result())))

    async def leave() -> None:
        run.leave()

    return RunResult(live=request.app.state.live, result=result, on_leave=leave)


def _came_to(values: Any) -> CallToolResult:
    if isinstance(values, dict) and "__error__" in values:
        return _failed(told(values["__error__"]))
    text = to_json(values)
    plain = msgspec.json.decode(text)
    return CallToolResult(
        content=[TextContent(text=text.decode())],
        structured_content=plain if isinstance(plain, dict) else {"result": plain},
    )


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)
