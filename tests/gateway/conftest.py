"""An app on a real socket, over a room in memory."""

from __future__ import annotations

import itertools
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import attrs
import httpx
import pytest
import trio

from greenroom.actors import Greenroom
from greenroom.gateway import WebhookPoster, create_app
from greenroom.gateway.server import listen, serve_connections
from greenroom.graph import (
    END,
    START,
    CompiledStateGraph,
    StateGraph,
    entrypoint,
    get_stream_writer,
    interrupt,
    task,
)
from greenroom.storage import MemoryStorage

from .contract import Contract

NIL = "00000000-0000-4000-8000-000000000000"


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


@attrs.frozen
class Gate:
    """A node of the graph `held` waits here. `reached`: it does; `opened`: it need not."""

    reached: trio.Event = attrs.field(factory=trio.Event)
    opened: trio.Event = attrs.field(factory=trio.Event)

    async def node(self, state: State) -> State:
        self.reached.set()
        await self.opened.wait()
        return {"log": ["held"]}


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def graphs(gate: Gate) -> dict[str, CompiledStateGraph]:
    return {
        "abc": chain(a=says("a"), b=says("b"), c=says("c")),
        "ask": chain(ask=ask),
        "held": chain(before=says("before"), hold=gate.node, after=says("after")),
        "fails": chain(fail=fail),
        "talks": chain(talk=talk),
        "floods": chain(flood=flood),
        "program": entrypoint()(program),
    }


def chain(**nodes: Any) -> CompiledStateGraph:
    builder = StateGraph(State)
    names = [START, *nodes, END]
    for name, node in nodes.items():
        builder.add_node(name, node)
    for source, target in itertools.pairwise(names):
        builder.add_edge(source, target)
    return builder.compile()


@task
async def double(number: int) -> int:
    return number * 2


async def program(numbers: list[int]) -> Any:
    doubled = [double(number) for number in numbers]
    return [interrupt("sure?"), *[await number for number in doubled]]


def says(word: str) -> Any:
    async def node(state: State) -> State:
        return {"log": [word]}

    return node


async def ask(state: State) -> State:
    return {"log": [interrupt("sure?")]}


class SecretError(Exception):
    pass


class ColourError(ValueError):
    pass


async def fail(state: State) -> State:
    raise {
        "told": ValueError("no such colour"),
        "own": ColourError("no such colour"),
        "secret": SecretError("db at 10.0.0.7"),
    }[state["log"][0]]


async def talk(state: State) -> State:
    get_stream_writer()({"said": "hello"})
    return {"log": ["talked"]}


async def flood(state: State) -> State:
    write = get_stream_writer()
    for _ in range(100):
        write("x" * 200_000)  # together more than any socket buffers
    return {}


@pytest.fixture
async def room(graphs: dict[str, CompiledStateGraph]) -> AsyncIterator[Greenroom]:
    async with Greenroom(graphs, storage=MemoryStorage(), poster=WebhookPoster()) as room:
        yield room


@pytest.fixture
async def url(room: Greenroom) -> AsyncIterator[str]:
    """The address of a server that ends with the test."""
    app = create_app(room, http={"cors": {"allow_origins": ["*"]}, "max_body_size": 100_000})
    listeners = await listen("127.0.0.1", 0)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve_connections, app, listeners, stop)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        stop.set()


@pytest.fixture(scope="session")
def contracts() -> dict[frozenset[str], Contract]:
    return {}


@pytest.fixture
def contract(room: Greenroom, contracts: dict[frozenset[str], Contract]) -> Contract:
    names = frozenset(room.graphs)
    if names not in contracts:
        contracts[names] = Contract(create_app(room).state.openapi())
    return contracts[names]


@pytest.fixture
async def http(url: str, contract: Contract) -> AsyncIterator[httpx.AsyncClient]:
    """All answers are as the document has them."""
    hooks = {"response": [contract.check]}
    async with httpx.AsyncClient(base_url=url, timeout=30, event_hooks=hooks) as http:
        yield http


@pytest.fixture
async def thread(http: httpx.AsyncClient) -> str:
    """The path of a thread."""
    answer = await http.post("/threads", json={})
    return f"/threads/{answer.json()['thread_id']}"


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """The status and the text of an answer that has nothing else."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert list(body) == ["detail"]
    return answer.status_code, body["detail"]


def events_of(text: str) -> list[dict[str, str]]:
    """Server-sent events as their fields."""
    assert text == "" or text.endswith("\r\n\r\n")
    frames = [frame for frame in text.split("\r\n\r\n") if frame and not frame.startswith(":")]
    return [dict(line.split(": ", 1) for line in frame.split("\r\n")) for frame in frames]
