"""What a `langgraph.json` names is served as it is."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from greenroom.actors import Greenroom
from greenroom.gateway.app import create_app
from greenroom.gateway.config import ConfigError, find_config, load_graphs, read_config

AGENT = """
from contextlib import asynccontextmanager, contextmanager

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.runtime import ServerRuntime
from typing_extensions import TypedDict

from my_agent.utils import shouted  # the package that this file is part of


class State(TypedDict):
    text: str


def built(word: str) -> StateGraph:
    def shout(state: State) -> State:
        return {"text": f"{shouted(state['text'])} {word}"}

    return StateGraph(State).add_node(shout).add_edge(START, "shout")


builder = built("built")
graph = builder.compile(name="someone")


@entrypoint()
def program(given: dict) -> dict:
    return {"text": f"{shouted(given['text'])} program"}


def made_program():
    @entrypoint()
    def takes_a_list(given: list) -> list:
        return [*given, "program"]

    return takes_a_list


def made():
    return built("made").compile()


def made_builder():
    return built("made builder")


def configured(config: RunnableConfig):
    return built(f"for {config['configurable'].get('user')}").compile()


async def awaited(config: RunnableConfig):
    return built(f"awaited for {config['configurable'].get('user')}").compile()


@asynccontextmanager
async def opened(config: RunnableConfig):
    yield built(f"opened for {config['configurable'].get('user')}").compile()


@contextmanager
def opened_plainly():
    yield built("opened plainly").compile()


def demanding(config: RunnableConfig):
    user = config["configurable"]["user"]

    def shout(state: State) -> State:
        return {"text": f"{shouted(state['text'])} for {user}"}

    return StateGraph(State).add_node(user, shout).add_edge(START, user)


def tailored(config: RunnableConfig):
    key = config["configurable"]["key"]
    schema = TypedDict("Tailored", {key: str})
    inner = StateGraph(schema).add_node("cut", lambda state: state).add_edge(START, "cut")
    return StateGraph(schema).add_node(key, inner.compile()).add_edge(START, key)


def equipped(config: RunnableConfig):
    return built("kept").compile(checkpointer=InMemorySaver(), store=InMemoryStore())


equipped_already = equipped({})

happened = []


@asynccontextmanager
async def connected():
    async def use(state: State) -> State:
        happened.append("used")
        return {"text": ", ".join(happened)}

    happened.append("opened")
    yield StateGraph(State).add_node(use).add_edge(START, "use")
    happened.append("closed")


def of_the_runtime(runtime: ServerRuntime):
    running = runtime.execution_runtime
    return built(f"with {running.context if running else None}").compile()


@asynccontextmanager
async def of_both(runtime: "ServerRuntime[dict]", config: RunnableConfig):
    if runtime.execution_runtime:
        await runtime.store.aput(("made",), "graph", {"for": config["configurable"]["user"]})
    accesses.append(runtime.access_context)
    yield built("of both").compile()


accesses = []


async def of_the_store(runtime: ServerRuntime):
    item = await runtime.store.aget(("words",), "said")
    return built(f"for {item.value['word']}").compile()


class Maker:
    def __call__(self):
        return built("made by an object").compile()


maker = Maker()
"""

ODD = """
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import task
from langgraph.graph import StateGraph

from greenroom.graph import START, MessagesState
from greenroom.graph import StateGraph as OurGraph

saver = InMemorySaver()
unfinished = StateGraph(dict)


@task
def step(x):
    return x


def ours():
    return OurGraph(MessagesState).add_node("a", lambda state: {}).add_edge(START, "a").compile()


def nothing():
    pass


def raises():
    raise KeyError("a secret key")


def greedy(config, store, model):
    pass


"""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Loading changes the process; the test puts it back."""
    modules = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    yield
    for name in set(sys.modules) - modules:
        if name.startswith(("greenroom_graphs_", "my_agent")):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "my_agent"
    package.mkdir()
    (package / "utils.py").write_text("def shouted(text):\n    return text.upper()\n")
    (package / "agent.py").write_text(AGENT)
    (package / "odd.py").write_text(ODD)
    return tmp_path


def room_of(folder: Path, **graphs: Any) -> Greenroom:
    path = folder / "langgraph.json"
    path.write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
    config = read_config(find_config(folder))
    return Greenroom(load_graphs(config), descriptions=config.descriptions)


async def tools_of(room: Greenroom) -> dict[str, Any]:
    """The input schemas of the tools that `/mcp` lists, by name."""
    transport = httpx.ASGITransport(create_app(room))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        accept = {"accept": "application/json, text/event-stream"}
        answer = await http.post("/mcp", json=call, headers=accept)
    return {tool["name"]: tool["inputSchema"] for tool in answer.json()["result"]["tools"]}


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        ("graph", "HEY built"),
        ("builder", "HEY built"),
        ("program", "HEY program"),
        ("made", "HEY made"),
        ("made_builder", "HEY made builder"),
        ("configured", "HEY for ada"),
        ("awaited", "HEY awaited for ada"),
        ("opened", "HEY opened for ada"),
        ("opened_plainly", "HEY opened plainly"),
        ("maker", "HEY made by an object"),
        ("of_the_runtime", "HEY with {'user': 'ada'}"),
        ("of_both", "HEY of both"),
    ],
)
@pytest.mark.parametrize("place", ["./my_agent/agent.py", "my_agent.agent"])
async def test_what_it_names_is_served(place: str, attribute: str, said: str, folder: Path) -> None:
    graph = {"path": f"{place}:{attribute}", "description": "Shouts"}
    async with room_of(folder, agent=graph) as room:
        thread_id = (await room.client.threads.create())["thread_id"]
        values = await room.client.runs.wait(
            thread_id,
            "agent",
            input={"text": "hey"},
            config={"configurable": {"user": "ada"}},
        )
        assert values == {"text": said}
        state = await room.client.threads.get_state(thread_id)
        assert state["values"] == {"text": said}
        assert (await room.client.assistants.get("agent"))["description"] == "Shouts"
        schemas = await room.client.assistants.get_schemas("agent")
        assert schemas["input_schema"]


async def test_reads_and_edits_make_the_graph_of_the_config_of_the_newest_run(folder: Path) -> None:
    async with room_of(folder, agent="./my_agent/agent.py:demanding") as room:
        runs, threads = room.client.runs, room.client.threads
        thread_id = (await threads.create())["thread_id"]
        for user in ("bob", "ada"):
            config = {"configurable": {"user": user}}
            await runs.wait(thread_id, "agent", input={"text": "hey"}, config=config)

        assert (await threads.get_state(thread_id))["values"] == {"text": "HEY for ada"}
        assert len(await threads.get_history(thread_id)) == 6
        await threads.update_state(thread_id, {"text": "edited"}, as_node="ada")
        assert (await threads.get_state(thread_id))["values"] == {"text": "edited"}


async def test_a_function_may_make_a_program_that_takes_any_input(folder: Path) -> None:
    async with room_of(folder, agent="./my_agent/agent.py:made_program") as room:
        assert await room.client.runs.wait(None, "agent", input=["hey"]) == ["hey", "program"]


async def test_a_function_is_told_what_the_graph_is_for(folder: Path) -> None:
    async with room_of(folder, agent="./my_agent/agent.py:of_both") as room:
        client = room.client
        thread_id = (await client.threads.create())["thread_id"]
        config = {"configurable": {"user": "ada"}}
        await client.runs.wait(thread_id, "agent", input={"text": "hey"}, config=config)
        await client.threads.get_state(thread_id)
        await client.threads.update_state(thread_id, {"text": "x"})
        await client.assistants.get_graph("agent")
        stored = await client.store.get_item(("made",), "graph")

    assert stored is not None
    assert stored["value"] == {"for": "ada"}
    module = next(one for name, one in sys.modules.items() if name.endswith("my_agent_agent_py"))
    assert module.accesses == [
        "threads.create_run",
        "threads.read",
        "threads.update",
        "assistants.read",
    ]


async def test_a_function_finds_the_store_whatever_the_graph_is_for(folder: Path) -> None:
    async with room_of(folder, agent="./my_agent/agent.py:of_the_store") as room:
        client = room.client
        await client.store.put_item(("words",), "said", {"word": "ada"})
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "agent", input={"text": "hey"})
        assert (await client.threads.get_state(thread_id))["values"] == {"text": "HEY for ada"}
        assert len(await client.threads.get_history(thread_id)) == 3
        await client.threads.update_state(thread_id, {"text": "edited"}, as_node="shout")
        drawn = await client.assistants.get_graph("agent")
        assert "shout" in [node["id"] for node in drawn["nodes"]]
        schemas = await client.assistants.get_schemas("agent")
        assert schemas["state_schema"]["properties"].keys() == {"text"}
        assert await client.assistants.get_subgraphs("agent") == {}


async def test_a_function_draws_and_describes_the_graph_of_an_assistant_for_its_config(
    folder: Path,
) -> None:
    pytest.importorskip("mcp_types", reason="mcp is not there")
    async with room_of(folder, agent="./my_agent/agent.py:tailored") as room:
        assistants = room.client.assistants
        await assistants.delete("agent")  # a tool as well, which has nothing in its config
        given = [{"context": {"key": "coat"}}, {"config": {"configurable": {"key": "hat"}}}]
        for one, key in zip(given, ("coat", "hat"), strict=True):
            made = await assistants.create("agent", name=key, **one)
            ident = made["assistant_id"]
            drawn = await assistants.get_graph(ident)
            assert [node["id"] for node in drawn["nodes"]] == ["__start__", key, "__end__"]
            schemas = await assistants.get_schemas(ident)
            assert schemas["input_schema"]["properties"].keys() == {key}
            assert (await assistants.get_subgraphs(ident)).keys() == {key}
        tools = await tools_of(room)
    assert {name: schema["properties"].keys() for name, schema in tools.items()} == {
        "coat": {"coat"},
        "hat": {"hat"},
    }


@pytest.mark.parametrize("attribute", ["equipped", "equipped_already"])
async def test_a_graph_with_a_checkpointer_and_a_store_is_told_once_that_they_are_not_used(
    attribute: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with room_of(folder, agent=f"./my_agent/agent.py:{attribute}") as room:
            thread_id = (await room.client.threads.create())["thread_id"]
            for _ in range(2):
                await room.client.runs.wait(thread_id, "agent", input={"text": "hey"})
                await room.client.threads.get_state(thread_id)
    said = [text for text in caplog.messages if "the runtime's is used" in text]
    assert said == [
        "graph 'agent' was compiled with a checkpointer of its own, InMemorySaver: "
        "the runtime's is used",
        "graph 'agent' was compiled with a store of its own, InMemoryStore: the runtime's is used",
    ]


async def test_what_a_function_opens_is_open_until_its_run_ends(folder: Path) -> None:
    async with room_of(folder, agent="./my_agent/agent.py:connected") as room:
        said = [
            (await room.client.runs.wait(None, "agent", input={"text": "hey"}))["text"]
            for _ in range(2)
        ]

    assert said == ["opened, used", "opened, used, closed, opened, used"]


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        ("saver", "'saver' in {file} is a langgraph.checkpoint.memory.InMemorySaver, no compiled"),
        ("step", "'step' in {file} is a langgraph.func._TaskFunction, no compiled graph"),
        ("unfinished", "'unfinished' in {file} does not compile: Graph must have an entrypoint"),
        (
            "greedy",
            "'greedy' in {file} does not compile: a function that makes a graph takes nothing, the "
            "run's config, a ServerRuntime or both, not (config, store, model)",
        ),
    ],
)
def test_what_can_be_no_graph_is_refused_at_the_start(
    attribute: str, text: str, folder: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        room_of(folder, agent=f"./my_agent/odd.py:{attribute}")

    assert text.format(file=folder / "my_agent/odd.py") in str(caught.value)


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (
            "ours",
            "expected that its function returns a graph of langgraph, "
            "got greenroom.graph.compiled.CompiledStateGraph",
        ),
        ("nothing", "expected that its function returns a graph of langgraph, got NoneType"),
        ("raises", "its function raised KeyError"),
    ],
)
async def test_a_function_that_makes_no_graph_fails_its_runs_and_reads_and_nothing_else(
    attribute: str, text: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    graphs = {"odd": f"./my_agent/odd.py:{attribute}", "agent": "./my_agent/agent.py:graph"}
    async with room_of(folder, **graphs) as room:
        transport = httpx.ASGITransport(create_app(room))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            thread_id = (await room.client.threads.create())["thread_id"]
            with caplog.at_level(logging.ERROR):
                body = {"assistant_id": "odd", "input": {"text": "hey"}}
                answer = await http.post(f"/threads/{thread_id}/runs/wait", json=body)
                assert answer.json()["__error__"] == {
                    "error": "GraphFactoryError",
                    "message": f"Graph 'odd' could not be made: {text}",
                }
                answer = await http.get(f"/threads/{thread_id}/state")
                assert answer.status_code == 500
                assert answer.json() == {"detail": f"Graph 'odd' could not be made: {text}"}
            assert ("a secret key" in caplog.text) == (attribute == "raises")
            values = await room.client.runs.wait(None, "agent", input={"text": "hey"})
            assert values == {"text": "HEY built"}


async def test_a_graph_that_cannot_be_made_takes_any_object_as_a_tool(folder: Path) -> None:
    pytest.importorskip("mcp_types", reason="mcp is not there")
    graphs = {"odd": "./my_agent/odd.py:raises", "agent": "./my_agent/agent.py:graph"}
    async with room_of(folder, **graphs) as room:
        tools = await tools_of(room)
    assert tools["odd"] == {"type": "object"}
    assert "text" in tools["agent"]["properties"]
