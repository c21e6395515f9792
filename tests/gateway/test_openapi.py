"""The document of the API, and the page that shows it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Host, Route

from greenroom.actors import Greenroom
from greenroom.gateway import create_app
from greenroom.gateway.app import _ROUTES
from greenroom.gateway.operation import Resources
from greenroom.gateway.own import OwnRoutes

from .conftest import NIL, Gate, refusal
from .contract import Contract
from .test_access import KEY, calling

COMPATIBILITY = Path(__file__).parents[2] / "docs" / "compatibility.md"
Call = Callable[..., Awaitable[Any]]

RUN = {"assistant_id": "abc", "input": {"log": []}}
CRON = {**RUN, "schedule": "0 0 1 1 *"}


async def document_of(room: Greenroom, path: str = "/openapi.json", **options: Any) -> Contract:
    async with calling(room, **options) as http:
        answer = await http.get(path, headers={"x-api-key": KEY.encode()})
        assert answer.status_code == 200
        return Contract(answer.json())


def served(routes: list[BaseRoute]) -> set[tuple[str, str]]:
    return {
        (method, route.path)
        for route in routes
        if isinstance(route, Route) and route.include_in_schema
        for method in (route.methods or set()) - {"HEAD"}
    }


async def test_what_is_served_is_in_the_document_and_nothing_else(room: Greenroom) -> None:
    [resources] = create_app(room).routes
    assert isinstance(resources, Resources)
    routes: list[BaseRoute] = [*resources.routes]
    found = await document_of(room)
    assert served(routes) == set(found.operations)
    hidden = {route.path for route in routes if isinstance(route, Route)} - set(
        found.document["paths"]
    )
    assert hidden == {"/", "/docs/{name}", "/mcp"}


async def test_what_is_not_served_is_not_in_the_document(room: Greenroom) -> None:
    everything = set((await document_of(room)).operations)
    for name, routes in _ROUTES.items():
        if name != "meta":
            found = await document_of(room, http={f"disable_{name}": True})
            assert set(found.operations) == everything - served([*routes])
    found = await document_of(room, http={"disable_mcp": True, "disable_a2a": True})
    assert {path for path in found.document["paths"] if "mcp" in path or "a2a" in path} == set()
    async with calling(room, http={"disable_meta": True}) as http:
        assert refusal(await http.get("/openapi.json"))[0] == 404
        assert refusal(await http.get("/docs"))[0] == 404


async def test_where_an_extra_is_not_installed_the_document_has_nothing_of_it(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.gateway.app.find_spec", lambda name: None)
    found = await document_of(room)
    assert {path for path in found.document["paths"] if "mcp" in path or "agent" in path} == set()


async def mine(request: Request) -> JSONResponse:
    return JSONResponse("mine")


async def test_what_routes_of_the_users_own_stand_before_is_not_in_the_document(
    room: Greenroom,
) -> None:
    everything = set((await document_of(room)).operations)
    routes = [
        Host("www.example.org", Starlette()),
        *[Route(path, mine) for path in ("/mine", "/info", "/threads/{any}")],
    ]
    found = await document_of(room, own=OwnRoutes(Starlette(routes=routes)))
    assert everything - set(found.operations) == {
        ("GET", "/info"),
        ("GET", "/threads/{thread_id}"),
    }
    assert not set(found.operations) - everything


async def test_the_document_says_where_the_api_lies(room: Greenroom) -> None:
    found = await document_of(room)
    assert found.document["servers"] == [{"url": "/"}]
    found = await document_of(room, "/agents/openapi.json", http={"mount_prefix": "/agents"})
    assert found.document["servers"] == [{"url": "/agents"}]
    assert "/threads" in found.document["paths"]


async def test_the_document_says_that_a_key_must_be_shown(room: Greenroom) -> None:
    found = await document_of(room)
    assert found.document["security"] == []
    assert "401" not in found.operations["GET", "/info"]["responses"]

    found = await document_of(room, api_key=KEY)
    schemes = found.document["components"]["securitySchemes"]
    assert found.document["security"] == [{name: []} for name in schemes]
    assert [scheme["type"] for scheme in schemes.values()] == ["apiKey", "http"]
    open_ones = {where for where, one in found.operations.items() if one.get("security") == []}
    assert open_ones == {("GET", "/ok")}
    without_401 = {
        where for where, one in found.operations.items() if "401" not in one["responses"]
    }
    assert without_401 == open_ones
    async with calling(room, api_key=KEY) as http:
        for path in ("/openapi.json", "/docs", "/docs/swagger-ui.css"):
            assert refusal(await http.get(path))[0] == 401


async def test_operations_have_names_of_their_own_and_say_what_they_are(room: Greenroom) -> None:
    found = await document_of(room)
    tags = {tag["name"]: tag["description"] for tag in found.document["tags"]}
    names = [operation["operationId"] for operation in found.operations.values()]
    assert len(names) == len(set(names))
    assert all(tags.values())
    for (_, path), operation in found.operations.items():
        assert operation["summary"]
        assert set(operation["tags"]) <= set(tags)
        places = {
            one["name"]
            for one in operation["parameters"]
            if (one["in"], one["required"]) == ("path", True)
        }
        assert places == set(re.findall(r"{(\w+)}", path))


async def test_the_table_of_routes_is_the_documents(room: Greenroom) -> None:
    table = COMPATIBILITY.read_text().partition("\n## Routes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(/\S*)` \| ([A-Z, ]+) \| (yes|no)", table, re.MULTILINE)
    there = {
        (one, path)
        for path, methods, is_there in rows
        if is_there == "yes"
        for one in methods.split(", ")
    }
    assert there == {*(await document_of(room)).operations, ("GET", "/mcp/")}  # a 405 there too


# Those of other tests are checked by the fixture `http`.


async def test_every_operation_answers_as_the_document_says(
    url: str, contract: Contract, gate: Gate
) -> None:
    contract = Contract(contract.document)
    hooks = {"response": [contract.check]}
    async with httpx.AsyncClient(base_url=url, timeout=30, event_hooks=hooks) as http:

        async def call(method: str, path: str, body: Any = None) -> Any:
            answer = await http.request(method, path, json=body)
            assert answer.is_success, f"{method} {path}: {answer.text}"
            plain = answer.headers.get("content-type") == "application/json"
            return answer.json() if plain else answer.text

        for path in ("/ok?check_db=true", "/info", "/metrics", "/openapi.json", "/docs"):
            await call("GET", path)
        await of_assistants(call)
        await of_threads(call)
        await of_runs(call, gate)
        await of_crons(call)
        await of_the_store(call)
        await of_protocols(call)
        thread = f"/threads/{(await call('POST', '/threads', {}))['thread_id']}"
        async with http.stream("GET", f"{thread}/stream"):
            await call("DELETE", thread)
    everything = {operation["operationId"] for operation in contract.operations.values()}
    assert everything - contract.succeeded == {"mcp_delete"}  # there are no sessions to end


async def of_assistants(call: Call) -> None:
    made = await call("POST", "/assistants", {"graph_id": "abc", "context": {"a": 1}})
    path = f"/assistants/{made['assistant_id']}"
    await call("PATCH", path, {"name": "mine"})
    await call("GET", path)
    await call("POST", f"{path}/versions", {})
    await call("POST", f"{path}/latest", {"version": 1})
    for question in ("graph?xray=1", "schemas", "subgraphs?recurse=true", "subgraphs/inner"):
        await call("GET", f"{path}/{question}")
    assert len(await call("POST", "/assistants/search", {"limit": 1, "select": ["name"]})) == 1
    await call("POST", "/assistants/search", {})
    await call("POST", "/assistants/count", {})
    await call("DELETE", f"{path}?delete_threads=true")


async def of_threads(call: Call) -> None:
    made = await call("POST", "/threads", {"metadata": {"a": 1}, "ttl": {"ttl": 5}})
    path = f"/threads/{made['thread_id']}"
    await call("GET", f"{path}/state")
    assert await call("POST", f"{path}/runs/wait", {**RUN, "assistant_id": "ask"})
    await call("GET", path)
    await call("PATCH", path, {"metadata": {"b": 2}})
    state = await call("GET", f"{path}/state?subgraphs=true")
    await call("GET", f"{path}/state/{state['checkpoint_id']}")
    await call("POST", f"{path}/state/checkpoint", {"checkpoint": state["checkpoint"]})
    await call("POST", f"{path}/state", {"values": {"log": ["edited"]}})
    assert len(await call("GET", f"{path}/history?limit=10")) == 3
    await call("POST", f"{path}/history", {"before": state["checkpoint"]})
    body = {"status": "interrupted", "extract": {"log": "values.log"}, "select": ["thread_id"]}
    assert len(await call("POST", "/threads/search", body)) == 1
    await call("POST", "/threads/search", {"limit": 1})
    await call("POST", "/threads/count", {})
    copy = await call("POST", f"{path}/copy")
    await call("POST", "/threads/prune", {"thread_ids": [copy["thread_id"]]})
    failed = {"assistant_id": "fails", "input": {"log": ["told"]}, "if_not_exists": "create"}
    await call("POST", f"/threads/{NIL}/runs/wait", failed)
    assert (await call("GET", f"/threads/{NIL}"))["error"]
    await call("GET", f"/threads/{NIL}/state")


async def of_runs(call: Call, gate: Gate) -> None:
    run = await call("POST", "/runs", RUN)
    await call("GET", f"/runs/{run['run_id']}/stream")
    await call("POST", "/runs/wait", RUN)
    await call("POST", "/runs/stream", RUN)
    await call("POST", "/runs/batch", [RUN, RUN])
    path = f"/threads/{(await call('POST', '/threads', {}))['thread_id']}/runs"
    await call("POST", f"{path}/wait", RUN)
    await call("POST", f"{path}/stream", {**RUN, "stream_mode": ["values", "updates"]})
    for action in ("cancel", "cancel?wait=true"):
        run = await call("POST", path, {**RUN, "assistant_id": "held"})
        await gate.reached.wait()
        await call("POST", f"{path}/{run['run_id']}/{action}")
    for number in (1, 2):
        run = await call("POST", path, {**RUN, "after_seconds": number * 1000})
    await call("POST", "/runs/cancel", {"status": "all"})
    assert len(await call("GET", path)) == 6
    await call("GET", f"{path}?limit=1&offset=1&status=success&select=run_id,status")
    one = f"{path}/{run['run_id']}"
    await call("GET", one)
    await call("GET", f"{one}/join")
    await call("GET", f"{one}/stream?stream_mode=values")
    await call("DELETE", one)


async def of_crons(call: Call) -> None:
    made = await call("POST", "/runs/crons", CRON)
    path = f"/runs/crons/{made['cron_id']}"
    await call("PATCH", path, {"end_time": "2999-01-01T00:00:00Z"})
    await call("GET", path)
    thread = (await call("POST", "/threads", {}))["thread_id"]
    await call("POST", f"/threads/{thread}/runs/crons", CRON)
    assert len(await call("POST", "/runs/crons/search", {})) == 2
    await call("POST", "/runs/crons/search", {"select": ["cron_id", "next_run_date"]})
    await call("POST", "/runs/crons/count", {})
    await call("DELETE", path)


async def of_the_store(call: Call) -> None:
    item = {"namespace": ["a", "b"], "key": "k"}
    await call("PUT", "/store/items", {**item, "value": {"n": 1}})
    assert await call("GET", "/store/items?namespace=a.b&key=k&refresh_ttl=true")
    assert await call("POST", "/store/items/search", {"namespace_prefix": ["a"], "query": "x"})
    assert await call("POST", "/store/namespaces", {})
    await call("DELETE", "/store/items", item)
    assert await call("GET", "/store/items?namespace=a.b&key=k") is None


async def of_protocols(call: Call) -> None:
    ask = {"jsonrpc": "2.0", "id": 1}
    assert await call("POST", "/mcp/", {**ask, "method": "tools/list"})
    assert (
        await call("POST", "/mcp/", {"jsonrpc": "2.0", "method": "notifications/initialized"}) == ""
    )
    await call("GET", "/.well-known/agent-card.json?assistant_id=abc")
    part = {"kind": "data", "data": {"log": []}}
    message = {"kind": "message", "messageId": "1", "role": "user", "parts": [part]}
    for method in ("message/send", "message/stream", "no/such"):
        body = {**ask, "method": method, "params": {"message": message}}
        assert await call("POST", "/a2a/abc", body)


# The page.


@pytest.fixture
def page() -> None:
    pytest.importorskip("openapi_ui_bundles", reason="openapi-ui-bundles is not there")


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize("prefix", ["", "/agents"])
async def test_the_page_needs_nothing_from_elsewhere(room: Greenroom, prefix: str) -> None:
    async with calling(room, http={"mount_prefix": prefix}) as http:
        answer = await http.get(f"{prefix}/docs")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        names = re.findall(r'(?:src|href|url)(?:=|: )"([^"]*)"', answer.text)
        assert len(names) == 4
        kinds = {
            (found := await http.get(answer.url.join(name))).headers[
                "content-type"
            ]: found.status_code
            for name in names
        }
    assert not re.search(r"//|@import", answer.text)
    assert set(kinds.values()) == {200}
    assert [kind.partition(";")[0] for kind in kinds] == [
        "image/png",
        "text/css",
        "text/javascript",
        "application/json",
    ]
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self' 'sha256-")
    assert "http" not in policy


@pytest.mark.usefixtures("page")
async def test_no_other_files_are_beside_the_page(room: Greenroom) -> None:
    async with calling(room) as http:
        for path in ("index.html", "..%2F__init__.py", "%2Fetc%2Fpasswd"):
            assert refusal(await http.get(f"/docs/{path}"))[0] == 404


async def test_without_the_library_the_page_says_what_is_missing(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.gateway.routes.documentation.find_spec", lambda name: None)
    async with calling(room) as http:
        for path in ("/docs", "/docs/swagger-ui.css"):
            status, text = refusal(await http.get(path))
            assert (status, "greenroom[docs]" in text) == (404, True)
        assert (await http.get("/openapi.json")).status_code == 200
