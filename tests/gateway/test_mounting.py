"""The gateway inside an application on asyncio, on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from greenroom.actors import Greenroom
from greenroom.gateway.mounting import asyncio_app
from greenroom.graph import CompiledStateGraph

from ..scenarios.server import free_port


def home(request: Any) -> PlainTextResponse:
    return PlainTextResponse("the program's own")


def mounted(
    graphs: dict[str, CompiledStateGraph],
    use: Callable[[httpx.AsyncClient], Awaitable[None]],
    **options: Any,
) -> None:
    """Serve an application that has the gateway under `/agents`, and use it."""

    async def main() -> None:
        app = Starlette(routes=[Route("/", home)])
        config, stop = Config(), asyncio.Event()
        config.bind = [f"127.0.0.1:{free_port()}"]
        config.graceful_timeout = 1.0
        async with Greenroom(graphs).in_thread_async() as client:
            app.mount("/agents", asyncio_app(client, **options))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(serve(app, config, shutdown_trigger=stop.wait))
                url = f"http://{config.bind[0]}"
                retries = httpx.AsyncHTTPTransport(retries=10)
                async with httpx.AsyncClient(base_url=url, transport=retries, timeout=30) as http:
                    await use(http)
                stop.set()

    asyncio.run(main())


def test_it_answers_beside_the_programs_own_routes(graphs: dict[str, CompiledStateGraph]) -> None:
    async def use(http: httpx.AsyncClient) -> None:
        assert (await http.get("/")).text == "the program's own"
        assert (await http.get("/agents/ok")).json() == {"ok": True}
        thread = (await http.post("/agents/threads", json={})).json()["thread_id"]
        path = f"/agents/threads/{thread}/runs"
        body = {"assistant_id": "abc", "input": {"log": []}}
        assert (await http.post(f"{path}/wait", json=body)).json() == {"log": ["a", "b", "c"]}
        refused = await http.post(f"{path}/wait", content=b"{")
        assert refused.status_code == 422
        document = (await http.get("/agents/openapi.json")).json()
        assert document["servers"] == [{"url": "/agents"}]
        assert "/threads" in document["paths"]

    mounted(graphs, use)


def test_whether_it_is_well_anybody_may_ask_there_too(
    graphs: dict[str, CompiledStateGraph],
) -> None:
    async def use(http: httpx.AsyncClient) -> None:
        assert (await http.get("/agents/ok")).json() == {"ok": True}
        assert (await http.get("/agents/info")).status_code == 401
        key = {"x-api-key": "s3cret"}
        assert (await http.get("/agents/info", headers=key)).status_code == 200

    mounted(graphs, use, api_key="s3cret")


def test_a_stream_comes_as_it_is_made_and_a_client_that_leaves_is_noticed(
    graphs: dict[str, CompiledStateGraph], gate: Any
) -> None:
    async def use(http: httpx.AsyncClient) -> None:
        thread = (await http.post("/agents/threads", json={})).json()["thread_id"]
        path = f"/agents/threads/{thread}/runs"
        body = {"assistant_id": "held", "input": {"log": []}, "stream_mode": "updates"}
        events = []
        leaving = {**body, "on_disconnect": "cancel"}
        async with http.stream("POST", f"{path}/stream", json=leaving) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    events.append(json.loads(line.removeprefix("data: ")))
                if events and "before" in events[-1]:
                    break  # the run waits at its gate now
        (run,) = (await http.get(path)).json()
        await http.get(f"{path}/{run['run_id']}/join")
        assert (await http.get(f"{path}/{run['run_id']}")).json()["status"] == "interrupted"

    mounted(graphs, use)
