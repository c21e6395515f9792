"""The user's own routes beside the API's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from greenroom.actors import Greenroom
from greenroom.gateway.config import ConfigError, load_graphs, load_own, read_config
from greenroom.gateway.own import OwnRoutes

from .test_access import KEY, calling
from .test_process import Server, folder, serving  # noqa: F401 - a fixture

seen: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    seen.clear()


class Seeing:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(scope["path"])
        await self.app(scope, receive, send)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    seen.append("begin")
    yield {"greeting": "hello"}
    seen.append("end")


async def greet(request: Request) -> JSONResponse:
    return JSONResponse({"said": request.state.greeting, "to": request.path_params["name"]})


async def info(request: Request) -> JSONResponse:
    return JSONResponse({"mine": True})


async def fail(request: Request) -> JSONResponse:
    raise ValueError("no such colour")


async def on_value_error(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"own": str(error)}, status_code=418)


@pytest.fixture
def own() -> OwnRoutes:
    return OwnRoutes(
        Starlette(
            routes=[
                Route("/greet/{name}", greet),
                Route("/info", info),
                Route("/", info),
                Route("/fail", fail),
            ],
            middleware=[Middleware(Seeing)],
            exception_handlers={ValueError: on_value_error},
            lifespan=lifespan,
        )
    )


async def test_own_routes_come_before_those_of_the_api(room: Greenroom, own: OwnRoutes) -> None:
    async with own.lifespan(), calling(room, own=own) as http:
        assert (await http.get("/greet/ann")).json() == {"said": "hello", "to": "ann"}
        assert (await http.get("/info")).json() == {"mine": True}
        assert (await http.get("/")).json() == {"mine": True}
        assert (await http.get("/ok")).json() == {"ok": True}
        assert (await http.post("/threads", json={})).status_code == 200
        assert (await http.post("/greet/ann")).status_code == 404
        answer = await http.get("/fail")
        assert (answer.status_code, answer.json()) == (418, {"own": "no such colour"})
    assert seen == ["begin", "/greet/ann", "/info", "/", "/fail", "end"]


async def test_own_routes_want_the_key_and_follow_the_prefix(
    room: Greenroom, own: OwnRoutes
) -> None:
    options = {"own": own, "api_key": KEY, "http": {"mount_prefix": "/agents"}}
    async with own.lifespan(), calling(room, **options) as http:
        assert (await http.get("/agents/info")).status_code == 401
        answer = await http.get("/agents/greet/bob", headers={"x-api-key": KEY.encode()})
        assert answer.json() == {"said": "hello", "to": "bob"}


CODE = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def page(request):
    return PlainTextResponse("a page of mine")

app = Starlette(routes=[Route("/page", page)])
text = "no app"
"""


def test_a_server_has_the_routes_that_its_file_names(folder: Path) -> None:  # noqa: F811
    (folder / "pages.py").write_text(CODE)
    path = folder / "greenroom.json"
    keys = {**json.loads(path.read_text()), "http": {"app": "./pages.py:app"}}
    path.write_text(json.dumps(keys))
    with serving(folder, "--storage", "memory") as server:
        assert isinstance(server, Server)
        assert server.request("GET", "/page").text == "a page of mine"
        assert server.request("GET", "/ok").json() == {"ok": True}
    path.write_text(json.dumps({**keys, "http": {"app": "./pages.py:text"}}))
    config = read_config(path)
    load_graphs(config)
    with pytest.raises(ConfigError, match=r"http.app: 'text' in .* is a str, no Starlette"):
        load_own(config)
