"""What LangGraph's nodes find around them: store, context and config; and functional programs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import attrs
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config, get_store
from langgraph.func import entrypoint, task
from langgraph.graph import START, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt
from typing_extensions import TypedDict

from greenroom.actors import RunFailed

from ..conftest import Serve
from ..stage import State, new_thread, says, status, text
from .stage import chain

FRUIT = ("fruit", "red")


async def keeps(state: State, runtime: Runtime[Any]) -> State:
    assert runtime.store is not None
    for key, weight in (("apple", 3), ("cherry", 1)):
        await runtime.store.aput(FRUIT, key, {"weight": weight, "kind": "fruit"})
    await runtime.store.aput(("tools",), "saw", {"weight": 9})
    return {"log": ["kept"]}


async def finds(state: State) -> State:
    store = get_store()
    heavy = await store.asearch(("fruit",), filter={"weight": {"$gt": 2}})
    spaces = await store.alist_namespaces(prefix=("fruit",))
    one = await store.aget(FRUIT, "cherry")
    assert one is not None
    await store.adelete(FRUIT, "cherry")
    return {"log": [[item.key for item in heavy], spaces, one.value["weight"]]}


def keeps_plainly(state: State, runtime: Runtime[Any]) -> State:
    assert runtime.store is not None
    for key, weight in (("apple", 3), ("cherry", 1)):
        runtime.store.put(FRUIT, key, {"weight": weight, "kind": "fruit"})
    runtime.store.put(("tools",), "saw", {"weight": 9})
    return {"log": ["kept"]}


def finds_plainly(state: State) -> State:
    store = get_store()
    heavy = store.search(("fruit",), filter={"weight": {"$gt": 2}})
    spaces = store.list_namespaces(prefix=("fruit",))
    one = store.get(FRUIT, "cherry")
    assert one is not None
    store.delete(FRUIT, "cherry")
    return {"log": [[item.key for item in heavy], spaces, one.value["weight"]]}


@pytest.mark.parametrize(("keep", "find"), [(keeps, finds), (keeps_plainly, finds_plainly)])
async def test_nodes_share_the_store_with_the_client(serve: Serve, keep: Any, find: Any) -> None:
    async with serve(chain(keep=keep, find=find)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(thread_id, "agent", input=text("x"))
        kept, heavy, spaces, weight = values["log"][1:]
        assert (kept, heavy, weight) == ("kept", ["apple"], 1)
        assert [tuple(one) for one in spaces] == [FRUIT]
        item = await client.store.get_item(FRUIT, "apple")
        assert item is not None
        assert item["value"] == {"weight": 3, "kind": "fruit"}
        assert await client.store.get_item(FRUIT, "cherry") is None
    async with serve(chain(keep=keep, find=find)) as room:
        found = await room.client.store.search_items(["tools"])
        assert [one["key"] for one in found["items"]] == ["saw"]


async def test_an_edit_goes_where_an_edge_finds_in_the_store(serve: Serve) -> None:
    async def by_runtime(state: State, runtime: Runtime[Any]) -> str:
        assert runtime.store is not None
        item = await runtime.store.aget(("way",), "next")
        return "end" if item is None else str(item.value["node"])

    async def by_itself(state: State) -> str:
        item = await get_store().aget(("way",), "next")
        return "end" if item is None else str(item.value["node"])

    for edge in (by_runtime, by_itself):
        builder = StateGraph(State)
        for name in ("a", "b", "end"):
            builder.add_node(name, says(name))
        builder.add_edge(START, "a").add_conditional_edges("a", edge, ["b", "end"])
        async with serve(builder.compile()) as room:
            client, thread_id = room.client, await new_thread(room.client)
            await client.store.delete_item(("way",), "next")
            values = await client.runs.wait(thread_id, "agent", input=text("x"))
            assert values["log"] == ["x", "a", "end"]
            await client.store.put_item(("way",), "next", {"node": "b"})
            await client.threads.update_state(thread_id, {"log": ["edited"]}, as_node="a")
            values = await client.runs.wait(thread_id, "agent", input=None)
            assert values["log"] == ["x", "a", "end", "edited", "b"]


@pytest.mark.parametrize("key", ["task_id", "checkpointer", "runtime", "scratchpad", "stream"])
async def test_what_langgraph_tells_itself_no_client_can_tell_it(serve: Serve, key: str) -> None:
    async def asks(state: State) -> State:
        return {"log": [interrupt("sure?")]}

    config = {"configurable": {f"__pregel_{key}": "x"}}
    async with serve(chain(asks=asks)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), config=config)
        assert await status(client, thread_id) == "interrupted"
        yes = {"resume": "yes"}
        values = await client.runs.wait(thread_id, "agent", command=yes, config=config)
        assert values["log"] == ["x", "yes"]


class Context(TypedDict, total=False):
    user: str


async def test_context_and_config_reach_nodes_also_inside(serve: Serve) -> None:
    async def node(state: State, runtime: Runtime[Context], config: RunnableConfig) -> State:
        own = get_config()["configurable"]
        assert own["thread_id"] == config["configurable"]["thread_id"]
        return {
            "log": [
                runtime.context["user"],
                config["configurable"]["graph_key"],
                config["metadata"]["about"],
            ]
        }

    async with serve(chain(a=node, call=chain(inside=node))) as room:
        client, thread_id = room.client, await new_thread(room.client)
        values = await client.runs.wait(
            thread_id,
            "agent",
            input={"text": "x"},
            context={"user": "ada", "graph_key": 7},
            metadata={"about": "tea"},
        )
        assert values["log"][:3] == ["ada", 7, "tea"]
        assert values["log"][-3:] == ["ada", 7, "tea"]


@attrs.define
class Program:
    """A functional program that does something costly, and then asks."""

    done: list[str] = attrs.field(factory=list)

    def made(self) -> Any:
        @task
        async def costly(word: str) -> str:
            self.done.append(word)
            return word.upper()

        @entrypoint()
        async def program(word: str, *, previous: Any = None) -> Any:
            shouted = await costly(word)
            answer = interrupt(f"{shouted}?")
            return entrypoint.final(
                value=[shouted, answer, previous], save=[*(previous or []), answer]
            )

        return program


async def test_a_functional_program_pauses_goes_on_and_remembers(serve: Serve) -> None:
    program = Program()
    async with serve(program.made()) as room:
        client, thread_id = room.client, await new_thread(room.client)
        paused = await client.runs.wait(thread_id, "agent", input="tea")
        assert [one["value"] for one in paused["__interrupt__"]] == ["TEA?"]
        assert await status(client, thread_id) == "interrupted"
    async with serve(program.made()) as room:
        client = room.client
        done = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert done == ["TEA", "yes", None]
        assert program.done == ["tea"]  # once
        await client.runs.wait(thread_id, "agent", input="milk")
        done = await client.runs.wait(thread_id, "agent", command={"resume": "no"})
        assert done == ["MILK", "no", ["yes"]]
        assert await status(client, thread_id) == "idle"


async def test_a_program_that_fails_says_so_and_goes_on(serve: Serve) -> None:
    failed: list[str] = []

    @task
    async def step(word: str) -> str:
        return word

    @entrypoint()
    async def program(word: str) -> str:
        said = await step(word)
        if not failed:
            failed.append(word)
            raise ValueError("no such colour")
        return said

    async with serve(program) as room:
        client, thread_id = room.client, await new_thread(room.client)
        with pytest.raises(RunFailed, match="no such colour"):
            await client.runs.wait(thread_id, "agent", input="tea")
        assert await status(client, thread_id) == "error"
        assert await client.runs.wait(thread_id, "agent", input=None) == "tea"
        assert await status(client, thread_id) == "idle"


async def test_a_key_that_pydantic_cannot_describe_leaves_the_others_described(
    serve: Serve,
) -> None:
    class Odd(State):
        engine: threading.Thread
        model_config: str

    def node(state: Odd) -> Any:
        return {"log": ["x"]}

    graph = StateGraph(Odd).add_node("node", node).add_edge(START, "node").compile()
    async with serve(graph) as room:
        properties = (await room.client.assistants.get_schemas("agent"))["state_schema"][
            "properties"
        ]
    assert properties["log"]["type"] == "array"
    assert properties["engine"] == {"title": "Engine"}
    assert set(properties) == {"log", "text", "engine", "model_config"}


async def test_of_a_context_the_graph_is_given_what_its_schema_names(serve: Serve) -> None:
    @dataclass
    class Known:
        user: str

    def node(state: State, runtime: Runtime[Known]) -> State:
        return {"log": [repr(runtime.context.user)]}

    graph = StateGraph(State, context_schema=Known).add_node(node).add_edge(START, "node")
    async with serve(graph.compile()) as room:
        client, thread_id = room.client, await new_thread(room.client)
        context = {"user": "ada", "of_another_graph": 1}
        values = await client.runs.wait(thread_id, "agent", input={}, context=context)
        assert values["log"] == ["'ada'"]


async def test_a_node_knows_which_graph_it_is_in(serve: Serve) -> None:
    def node(state: State, config: RunnableConfig) -> State:
        return {"log": [config["configurable"]["graph_id"]]}

    async with serve(chain(a=node)) as room:
        values = await room.client.runs.wait(None, "agent", input={})
        assert values["log"] == ["agent"]


async def test_metadata_that_a_graph_was_bound_with_is_that_of_its_states(serve: Serve) -> None:
    graph = chain(a=lambda state: {"log": ["a"]}).with_config(metadata={"team": "blue"})
    async with serve(graph) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input={})
        state = await client.threads.get_state(thread_id)
        assert state["metadata"]["team"] == "blue"


async def test_a_graph_without_a_name_has_the_one_that_it_is_served_under(serve: Serve) -> None:
    async with serve(chain(a=lambda state: {"log": ["a"]})) as room:
        schemas = await room.client.assistants.get_schemas("agent")
        assert schemas["state_schema"]["title"] == "agent_state"
