"""What a node is given beside the state."""

from __future__ import annotations

import functools
from typing import Any

import attrs
import pytest
import trio

from greenroom.graph import (
    START,
    BaseStore,
    ExecutionInfo,
    InMemorySaver,
    InMemoryStore,
    RetryPolicy,
    RunnableConfig,
    Runtime,
    StateGraph,
    StreamWriter,
    get_runtime,
    get_store,
)

from .conftest import State, Wire


@attrs.frozen
class Context:
    user: str


def graph(node: Any, **options: Any) -> Any:
    return StateGraph(State, Context).add_node("n", node).add_edge(START, "n").compile(**options)


@pytest.mark.parametrize("how", ["async", "plain"])
async def test_a_node_reads_and_writes_the_store_it_is_given(how: str) -> None:
    async def remember(state: State, store: BaseStore) -> State:
        await store.aput(("users",), "ada", {"food": "soup"})
        return {"value": len(await store.asearch(("users",)))}

    def remember_plain(state: State, *, store: BaseStore) -> State:
        store.put(("users",), "ada", {"food": "soup"})
        return {"value": len(store.search(("users",)))}

    store = InMemoryStore()
    ran = graph(remember if how == "async" else remember_plain, store=store)
    assert (await ran.ainvoke({}))["value"] == 1
    item = store.get(("users",), "ada")
    assert item is not None
    assert item.value == {"food": "soup"}


async def test_the_store_is_found_from_anywhere_in_a_node(wire: Wire) -> None:
    seen: list[Any] = []

    async def node(state: State, runtime: Runtime[Context]) -> None:
        seen.extend([runtime.store, get_store(), get_runtime().store])

    store = InMemoryStore()
    inner = graph(node)
    await graph(inner, store=store).ainvoke({})
    assert seen == [store, store, store]


async def test_without_a_store_get_store_says_how_to_have_one() -> None:
    async def node(state: State, store: BaseStore | None) -> None:
        assert store is None
        get_store()

    with pytest.raises(RuntimeError, match="compile it with store="):
        await graph(node).ainvoke({})


async def test_an_annotation_says_what_a_parameter_of_any_name_is_given() -> None:
    seen: list[Any] = []

    def node(
        state: State,
        settings: RunnableConfig,
        things: BaseStore | None,
        write: StreamWriter,
        *,
        around: Runtime[Context],
    ) -> None:
        write("hello")
        seen.extend([settings["tags"], things, around.context])

    store = InMemoryStore()
    ran = graph(node, store=store)
    async with ran.astream(
        {}, {"tags": ["x"]}, context={"user": "ada"}, stream_mode="custom"
    ) as chunks:
        assert [chunk async for chunk in chunks] == ["hello"]
    assert seen == [["x"], store, Context("ada")]


async def test_annotations_that_exist_for_the_type_checker_only_count_too() -> None:
    async def node(state: State, settings: Any, around: Any) -> State:
        return {"value": (settings["tags"], around.context)}

    node.__annotations__.update(settings="lc.RunnableConfig", around="Optional[Runtime[Nowhere]]")
    found = await graph(node).ainvoke({}, {"tags": ["x"]}, context=Context("ada"))
    assert found["value"] == (["x"], Context("ada"))


async def test_what_a_partial_has_fixed_is_left_alone() -> None:
    async def node(state: State, store: Any, config: RunnableConfig) -> State:
        return {"value": (store, config["tags"])}

    ran = graph(functools.partial(node, store="mine"), store=InMemoryStore())
    assert (await ran.ainvoke({}, {"tags": []}))["value"] == ("mine", [])


async def test_a_node_learns_where_it_is_at_work_and_at_which_attempt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    seen: list[ExecutionInfo] = []

    async def node(state: State, runtime: Runtime[Context], config: RunnableConfig) -> None:
        info = runtime.execution_info
        assert info is not None
        assert info.checkpoint_ns == config["configurable"]["checkpoint_ns"]
        assert info.checkpoint_id == config["configurable"]["checkpoint_id"]
        seen.append(info)
        if len(seen) < 2:
            raise ConnectionError("again")

    builder = StateGraph(State).add_node("n", node, retry_policy=RetryPolicy())
    ran = builder.add_edge(START, "n").compile(InMemorySaver())
    await ran.ainvoke({}, {"run_id": "r", "configurable": {"thread_id": "t"}})
    first, second = seen
    assert (first.thread_id, first.run_id, first.node_attempt) == ("t", "r", 1)
    assert first.checkpoint_ns == f"n:{first.task_id}"
    assert first.node_first_attempt_time is not None
    assert second == attrs.evolve(first, node_attempt=2)


async def test_the_metadata_of_a_node_is_part_of_its_config_and_of_its_messages() -> None:
    def node(state: Any, config: RunnableConfig) -> dict[str, Any]:
        return {"value": config["metadata"]["kind"], "log": [{"type": "ai", "content": "x"}]}

    builder = StateGraph(State).add_node("a", node, metadata={"kind": "writer"})
    graph = builder.add_edge(START, "a").compile()
    async with graph.astream({}, {"metadata": {"kind": "run"}}, stream_mode="messages") as chunks:
        assert [about["kind"] async for _, about in chunks] == ["writer"]
    assert (await graph.ainvoke({}))["value"] == "writer"
