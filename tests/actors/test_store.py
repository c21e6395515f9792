"""The store: what nodes keep beyond their thread, and clients with them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from greenroom.actors import Greenroom, Invalid, RunFailed
from greenroom.graph import (
    START,
    BaseStore,
    InMemoryStore,
    Runtime,
    StateGraph,
    get_store,
    interrupt,
)
from greenroom.storage import MemoryStorage, Storage

from .conftest import Serve
from .stage import Blocking, State, chain, new_thread, says, text


async def remember(state: State, store: BaseStore) -> State:
    await store.aput(("users", "ada"), "likes", {"food": state["text"]})
    return {"log": ["put"]}


def remember_plain(state: State) -> State:
    get_store().put(("users", "ada"), "likes", {"food": state["text"]})
    return {"log": ["put"]}


async def recall(state: State, runtime: Runtime[Any]) -> State:
    assert runtime.store is not None
    item = await runtime.store.aget(("users", "ada"), "likes")
    return {"log": [item and item.value["food"]]}


def recall_plain(state: State, *, store: BaseStore) -> State:
    return {"log": [found.value["food"] for found in store.search(("users",))]}


@pytest.mark.parametrize(
    ("put", "got"), [(remember, recall_plain), (remember_plain, recall), (remember, recall)]
)
async def test_nodes_and_clients_share_their_items_over_threads_and_restarts(
    serve: Serve, put: Any, got: Any
) -> None:
    graphs = {"put": chain(put=put), "get": chain(get=got)}
    async with serve(graphs) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.wait(thread_id, "put", input=text("soup"))
        item = await room.client.store.get_item(["users", "ada"], "likes")
        assert item is not None
        assert item["value"] == {"food": "soup"}

    async with serve(graphs) as room:
        assert await room.client.store.get_item(("users", "ada"), key="likes") == item
        other = await new_thread(room.client)
        assert (await room.client.runs.wait(other, "get", input=text("?")))["log"] == ["?", "soup"]
        await room.client.store.put_item(["users", "ada"], "likes", {"food": "cake"})
        values = await room.client.runs.wait(other, "get", input={"text": "?"})
        assert values["log"] == ["?", "soup", "cake"]


async def test_a_graph_called_as_a_node_has_the_store_too(serve: Serve) -> None:
    inner = chain(put=remember_plain, get=recall)
    outer = StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()
    async with serve(outer) as room:
        thread_id = await new_thread(room.client)
        values = await room.client.runs.wait(thread_id, "agent", input=text("soup"))
        assert values["log"][-2:] == ["put", "soup"]


async def test_a_run_that_goes_on_after_a_question_has_the_store_too(serve: Serve) -> None:
    async def ask(state: State, store: BaseStore) -> State:
        await store.aput(("asked",), "k", {"answer": interrupt("food?")})
        return {}

    async with serve(chain(ask=ask)) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.wait(thread_id, "agent", input=text("x"))
        assert await room.client.store.get_item(["asked"], "k") is None
        await room.client.runs.wait(thread_id, "agent", command={"resume": "soup"})
        item = await room.client.store.get_item(["asked"], "k")
        assert item is not None
        assert item["value"] == {"answer": "soup"}


async def test_a_graph_with_a_store_of_its_own_keeps_to_it(serve: Serve) -> None:
    own = InMemoryStore()
    async with serve(chain(put=remember, compile={"store": own})) as room:
        thread_id = await new_thread(room.client)
        await room.client.runs.wait(thread_id, "agent", input=text("soup"))
        assert await room.client.store.get_item(["users", "ada"], "likes") is None
    assert own.get(("users", "ada"), "likes") is not None


async def test_a_node_is_told_what_it_cannot_put(serve: Serve) -> None:
    async def put(state: State, store: BaseStore) -> State:
        await store.aput(("a",), "k", {"when": {1, 2}})
        return {}

    async with serve(chain(put=put)) as room:
        thread_id = await new_thread(room.client)
        with pytest.raises(RunFailed, match=r"Unstorable: value\.when: a set cannot be stored"):
            await room.client.runs.wait(thread_id, "agent", input=text("x"))


@pytest.fixture
def room(serve: Serve) -> Greenroom:
    return serve(chain(a=says("a")))


async def test_items_have_the_shape_of_the_published_client(room: Greenroom) -> None:
    async with room:
        store = room.client.store
        await store.put_item(["a", "b"], key="k", value={"x": [1, None]})
        item = await store.get_item(["a", "b"], key="k")
        assert item is not None
        times = [datetime.fromisoformat(item.pop(name)) for name in ("created_at", "updated_at")]
        assert times[0] == times[1]
        assert times[0].utcoffset() is not None
        assert item == {"namespace": ["a", "b"], "key": "k", "value": {"x": [1, None]}}
        [found] = (await store.search_items(["a"]))["items"]
        assert found["score"] is None
        assert found.keys() == {*item, "score", "created_at", "updated_at"}
        await store.delete_item(["a", "b"], key="k")
        await store.delete_item(["a", "b"], key="k")
        assert await store.get_item(["a", "b"], "k") is None
        assert await store.search_items([]) == {"items": []}


async def test_a_client_searches_and_lists(room: Greenroom) -> None:
    async with room:
        store = room.client.store
        for number, word in enumerate(("soup", "cake", "tea")):
            namespace = ["users", word, f"v{number}"]
            await store.put_item(namespace, str(number), {"n": number, "text": f"likes {word}"})

        async def keys(*prefix: str, **query: Any) -> list[str]:
            found = await store.search_items(prefix, **query)
            return [item["key"] for item in found["items"]]

        assert await keys("users") == ["0", "1", "2"]
        assert await keys("users", "cake") == ["1"]
        assert await keys("users", filter={"n": {"$gte": 1}}, limit=1, offset=1) == ["2"]
        assert await keys(query="cake") == ["1", "0", "2"]
        names = [["users", "cake", "v1"], ["users", "soup", "v0"], ["users", "tea", "v2"]]
        assert await store.list_namespaces() == {"namespaces": names}
        assert await store.list_namespaces(["users", "*", "v1"]) == {"namespaces": names[:1]}
        assert await store.list_namespaces(suffix=["v2"]) == {"namespaces": names[2:]}
        assert await store.list_namespaces(max_depth=1, limit=5) == {"namespaces": [["users"]]}
        assert await store.list_namespaces(limit=1, offset=1) == {"namespaces": names[1:2]}


async def test_what_cannot_be_is_refused_by_name(room: Greenroom) -> None:
    async with room:
        store: Any = room.client.store
        for call, said in (
            (store.put_item(["a.b"], "k", {}), r"got 'a\.b'"),
            (store.put_item([], "k", {}), "may not be empty"),
            (store.put_item([1], "k", {}), "labels of a namespace are strings; got 1"),
            (store.put_item("ab", "k", {}), "tuple of strings; got 'ab'"),
            (store.put_item(5, "k", {}), "namespace: 5 is not a list"),
            (store.put_item(["langgraph"], "k", {}), "reserved"),
            (store.put_item(["a"] * 17, "k", {}), "at most 16 labels"),
            (store.put_item(["a"], 1, {}), "key: 1 is not a string"),
            (store.put_item(["a"], "k" * 1025, {}), "at most 1024 bytes; got 1025"),
            (store.put_item(["a"], "k", 3), "'k' is a dict; got int"),
            (store.put_item(["a"], "k", {"x": {1}}), r"value\.x: a set"),
            (store.put_item(["a"], "k", {}, index=True), "index of item 'k'"),
            (store.put_item(["a"], "k", {}, ttl=0), "ttl of item 'k'"),
            (store.put_item(["a"], "k", {}, ttl="5"), "ttl of item 'k'"),
            (store.get_item(["a", ""], "k"), "may not be empty"),
            (store.get_item(["a"], None), "key: None"),
            (store.delete_item(["a."], "k"), r"got 'a\.'"),
            (store.search_items(["a."]), r"got 'a\.'"),
            (store.search_items(None), "namespace_prefix: None"),
            (store.search_items(["a"], filter={"x": {"$near": 1}}), r"\$near"),
            (store.search_items(["a"], filter=[1]), r"filter: \[1\]"),
            (store.search_items(["a"], query=1), "query: 1"),
            (store.search_items(["a"], limit=0), "limit: 0"),
            (store.search_items(["a"], offset=-1), "offset: -1"),
            (store.list_namespaces(max_depth=0), "max_depth"),
            (store.list_namespaces(prefix=["a."]), r"got 'a\.'"),
            (store.list_namespaces(suffix=5), "suffix: 5"),
            (store.list_namespaces(limit="x"), "limit: 'x'"),
        ):
            with pytest.raises(Invalid, match=said):
                await call
        assert await store.search_items([]) == {"items": []}


async def test_the_store_is_as_the_room_was_told(
    serve_in_memory: Serve, autojump_clock: MockClock
) -> None:
    async def letters(texts: list[str]) -> list[list[float]]:
        return [[float(text.count(letter)) for letter in "abc"] for text in texts]

    config = {
        "index": {"embed": letters, "dims": 3, "fields": ["text"]},
        "ttl": {"default_ttl": 10, "refresh_on_read": False, "sweep_interval_minutes": 1},
    }
    storage = MemoryStorage()
    async with serve_in_memory(chain(a=says("a")), store=config, storage=storage) as room:
        store = room.client.store
        await store.put_item(["d"], "b", {"text": "bb", "a": "a"})
        await store.put_item(["d"], "a", {"text": "aab", "b": "b"})
        await store.put_item(["d"], "longer", {"text": "c"}, ttl=20)
        found = (await store.search_items(["d"], query="b", limit=2))["items"]
        assert [(item["key"], item["score"]) for item in found] == [
            ("b", pytest.approx(1.0)),
            ("a", pytest.approx(5**-0.5)),
        ]
        await trio.sleep(9 * 60)
        assert await store.get_item(["d"], "a") is not None
        assert await store.get_item(["d"], "b", refresh_ttl=True) is not None
        await trio.sleep(2 * 60)
        kept = [item["key"] for item in (await store.search_items(["d"]))["items"]]
        assert kept == ["b", "longer"]
        assert [put.item.key for _, put in storage.scan_items()] == ["b", "longer"]  # swept


async def test_a_store_that_cannot_be_leaves_the_storage_free(serve: Serve) -> None:
    broken: Any = {"index": {"embed": "no function"}}
    with pytest.raises(TypeError, match="embed"):
        async with serve(chain(a=says("a")), store=broken):
            pass
    async with serve(chain(a=says("a"))) as room:
        assert isinstance(room.storage, Storage)


@pytest.mark.parametrize("strategy", ["interrupt", "rollback"])
async def test_what_a_node_puts_there_that_was_left_behind_stays(
    serve: Serve, strategy: str
) -> None:
    blocking = Blocking()

    def put_late(state: State) -> State:
        store = get_store()
        blocking.tell = lambda what: store.put(("late",), what, {})
        return blocking.node(state)

    async with serve(chain(a=put_late)) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("slow"))
        await blocking.reached.wait()
        await client.runs.wait(thread_id, "agent", input=text("quick"), multitask_strategy=strategy)
        blocking.open()
        await trio.to_thread.run_sync(blocking.left.wait)

        found = await client.store.search_items(("late",))
        assert {item["key"] for item in found["items"]} == {"did slow", "did quick"}
