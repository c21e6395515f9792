"""Assistants as tools: the Model Context Protocol, by its own client and by hand."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio

from greenroom.actors import Greenroom
from greenroom.storage import MemoryStorage

from .conftest import Gate, refusal
from .rpc import Rpc, error, not_calls
from .test_access import calling

mcp = pytest.importorskip("mcp", reason="mcp is not there")

SCHEMA = {
    "title": "State",
    "type": "object",
    "properties": {"log": {"title": "Log", "type": "array", "items": {}}},
}

both_eras = pytest.mark.parametrize("mode", ["legacy", "auto"])


def said(result: Any) -> Any:
    (block,) = result.content
    return block.text


@both_eras
async def test_every_assistant_is_a_tool(url: str, mode: Any) -> None:
    async with mcp.Client(f"{url}/mcp", mode=mode) as client:
        assert client.server_info.name == "greenroom"
        assert client.protocol_version == {"legacy": "2025-11-25", "auto": "2026-07-28"}[mode]
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"abc", "ask", "held", "fails", "talks", "floods", "program"}
    assert tools["abc"].input_schema == SCHEMA
    assert tools["abc"].description is None
    assert tools["program"].input_schema == {
        "type": "object",
        "required": ["input"],
        "properties": {"input": {"type": "array", "items": {"type": "integer"}}},
    }


@both_eras
async def test_a_call_is_a_run_that_leaves_nothing_behind(
    url: str, room: Greenroom, mode: Any
) -> None:
    async with mcp.Client(f"{url}/mcp", mode=mode) as client:
        result = await client.call_tool("abc", {"log": ["given", None]})
    assert not result.is_error
    assert result.structured_content == {"log": ["given", None, "a", "b", "c"]}
    assert json.loads(said(result)) == result.structured_content
    assert await room.client.threads.count() == 0


async def test_the_session_of_a_client_works_too(url: str) -> None:
    from mcp.client.streamable_http import streamable_http_client

    async with (
        streamable_http_client(f"{url}/mcp/") as (read, write),
        mcp.ClientSession(read, write) as session,
    ):
        await session.initialize()
        await session.send_ping()
        result = await session.call_tool("abc", {})
    assert result.structured_content == {"log": ["a", "b", "c"]}


async def test_a_question_is_in_what_the_tool_says(url: str, room: Greenroom) -> None:
    async with mcp.Client(f"{url}/mcp") as client:
        asked = (await client.call_tool("ask", {})).structured_content
        program = (await client.call_tool("program", {"input": [1]})).structured_content
    for found in (asked, program):
        assert [one["value"] for one in found["__interrupt__"]] == ["sure?"]
    assert await room.client.threads.count() == 0


@both_eras
@pytest.mark.parametrize(
    ("tool", "arguments", "text"),
    [
        ("fails", {"log": ["told"]}, "ValueError: no such colour"),
        ("fails", {"log": ["secret"]}, "SecretError: An internal error occurred"),
        ("abc", {"log": 5}, "TypeError: can only concatenate"),
        ("program", {}, "EmptyInputError"),
    ],
)
async def test_what_goes_wrong_in_a_run_is_an_error_of_the_tool(
    url: str, room: Greenroom, mode: Any, tool: str, arguments: dict[str, Any], text: str
) -> None:
    async with mcp.Client(f"{url}/mcp", mode=mode) as client:
        result = await client.call_tool(tool, arguments)
    assert result.is_error
    assert text in said(result)
    assert await room.client.threads.count() == 0


@both_eras
async def test_an_unknown_tool_is_an_error_of_the_protocol(url: str, mode: Any) -> None:
    async with mcp.Client(f"{url}/mcp", mode=mode) as client:
        with pytest.raises(mcp.MCPError, match=r'params.name: there is no tool "nobody"'):
            await client.call_tool("nobody", {})


async def test_a_run_that_nobody_waits_for_is_stopped(
    url: str, room: Greenroom, gate: Gate
) -> None:
    async with mcp.Client(f"{url}/mcp") as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.call_tool, "held", {})
        await gate.reached.wait()
        assert await room.client.threads.count() == 1
        nursery.cancel_scope.cancel()
    while await room.client.threads.count():
        await trio.lowlevel.checkpoint()


MODERN = "2026-07-28"
META = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
}


async def test_what_is_no_call_is_answered_with_an_error_of_the_protocol(
    http: httpx.AsyncClient,
) -> None:
    await not_calls(http, "/mcp")


async def test_calls_that_do_not_fit_are_answered_with_an_error_of_the_protocol(
    http: httpx.AsyncClient,
) -> None:
    rpc = Rpc(http, "/mcp")
    assert error(await rpc("prompts/list"))[:2] == (200, -32601)
    assert error(await rpc("server/discover"))[:2] == (200, -32601)
    assert error(await rpc("tools/call")) == (200, -32602, "params: required, and missing")
    assert error(await rpc("tools/call", {"name": "abc", "arguments": 5}))[:2] == (200, -32602)
    assert error(await rpc("tools/list", {"cursor": "2"}))[:2] == (200, -32602)
    headers = {"mcp-protocol-version": "2001-01-01"}
    answer = await rpc("ping", headers=headers)
    assert error(answer, ident=None)[:2] == (400, -32022)
    assert MODERN in answer[1]["error"]["data"]["supported"]


async def test_the_headers_of_newer_clients_must_say_what_the_body_says(
    http: httpx.AsyncClient,
) -> None:
    rpc = Rpc(http, "/mcp")
    headers = {"mcp-protocol-version": MODERN, "mcp-method": "tools/call", "mcp-name": "abc"}
    given = {"name": "abc", **META}
    status, body = await rpc("tools/call", given, headers=headers)
    assert (status, body["result"]["structuredContent"]) == (200, {"log": ["a", "b", "c"]})
    for header, value in (("mcp-method", "tools/list"), ("mcp-name", "ask"), ("mcp-name", "")):
        answer = await rpc("tools/call", given, headers={**headers, header: value})
        assert error(answer)[:2] == (400, -32020)
    assert error(await rpc("tools/call", {"name": "abc"}, headers=headers))[:2] == (400, -32602)
    assert error(await rpc("nothing", META, headers=headers))[:2] == (404, -32601)


async def test_notifications_are_taken_and_there_are_no_sessions(http: httpx.AsyncClient) -> None:
    body = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    answer = await http.post("/mcp", json=body)
    assert (answer.status_code, answer.content) == (202, b"")
    assert (await http.get("/mcp")).status_code == 405
    assert refusal(await http.delete("/mcp")) == (404, "there are no sessions to end")


async def test_assistants_are_tools_by_their_name_or_else_by_their_id(room: Greenroom) -> None:
    assistants = room.client.assistants

    async def made(name: str) -> str:
        return (await assistants.create("abc", name=name, description="of abc"))["assistant_id"]

    async with calling(room) as http:
        rpc = Rpc(http, "/mcp")
        before = len((await rpc("tools/list"))[1]["result"]["tools"])
        wanted = {"ok.A-1_": "ok.A-1_"}
        await made("ok.A-1_")
        for name in ("my agent", "a" * 129, "twin", "twin"):
            wanted[await made(name)] = name
        taken = list(wanted)[1]
        wanted[await made(taken)] = taken
        tools = (await rpc("tools/list"))[1]["result"]["tools"]
        assert len(tools) == before + 6
        titles = {tool["name"]: tool["title"] for tool in tools if "description" in tool}
        assert titles == wanted
        for name in wanted:
            _, body = await rpc("tools/call", {"name": name})
            assert body["result"]["structuredContent"] == {"log": ["a", "b", "c"]}


async def test_an_assistant_whose_graph_is_not_served_is_no_tool(room: Greenroom) -> None:
    graph, storage = room.graphs["abc"], MemoryStorage()
    async with Greenroom({"old": graph}, storage=storage):
        pass
    async with Greenroom({"abc": graph}, storage=storage) as room, calling(room) as http:
        _, body = await Rpc(http, "/mcp")("tools/list")
        assert [tool["name"] for tool in body["result"]["tools"]] == ["abc"]


async def test_pages_of_other_origins_may_not_call(room: Greenroom) -> None:
    cors = {"allow_origins": ["http://good.example"]}
    async with calling(room, http={"cors": cors}) as http:
        headers = {"Origin": "http://good.example"}
        assert (await Rpc(http, "/mcp")("ping", headers=headers))[0] == 200
        status, body = await Rpc(http, "/mcp")("ping", headers={"Origin": "http://test"})
        assert status == 403
        assert "http.cors" in body["detail"]


async def test_it_can_be_disabled_and_may_not_be_installed(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with calling(room, http={"disable_mcp": True}) as http:
        assert refusal(await http.post("/mcp", json={})) == (404, "Not Found")
    monkeypatch.setattr("greenroom.gateway.app.find_spec", lambda name: None)
    async with calling(room) as http:
        status, text = refusal(await http.post("/mcp", json={}))
        assert (status, "greenroom[mcp]" in text) == (404, True)
