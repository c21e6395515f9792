"""The store of LangGraph's programs."""

from __future__ import annotations

import asyncio
from typing import TypedDict

import pytest
from langgraph.graph import START, StateGraph
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

from greenroom.graph import InvalidItemError
from greenroom.storage import StorageError, Unstorable
from greenroom.storage.langgraph import GreenroomSaver, GreenroomStore

USERS = ("users", "1")


@pytest.fixture
def store(session):
    return GreenroomStore(session)


class State(TypedDict):
    said: str


def test_what_one_thread_puts_another_finds_after_a_restart(opened):
    def remember(state, *, store: BaseStore):
        known = [item.value["text"] for item in store.search(USERS)]
        store.put(USERS, state["said"], {"text": state["said"]})
        return {"said": ", ".join(known)}

    def run(said, thread_id):
        with opened() as session:
            builder = StateGraph(State).add_node(remember).add_edge(START, "remember")
            graph = builder.compile(
                checkpointer=GreenroomSaver(session), store=GreenroomStore(session)
            )
            return graph.invoke({"said": said}, {"configurable": {"thread_id": thread_id}})

    assert run("tea", "1") == {"said": ""}
    assert run("milk", "2") == {"said": "tea"}
    assert run("more", "1") == {"said": "tea, milk"}


def test_an_asyncio_program_has_the_same_methods(store):
    async def program():
        await store.aput(USERS, "a", {"n": 1})
        await store.aput(USERS, "b", {"n": 2})
        await store.adelete(USERS, "a")
        found = await store.asearch(("users",), filter={"n": {"$gte": 1}})
        namespaces = await store.alist_namespaces()
        return await store.aget(USERS, "a"), found, namespaces

    gone, found, namespaces = asyncio.run(program())
    assert gone is None
    assert [(item.namespace, item.key, item.value) for item in found] == [(USERS, "b", {"n": 2})]
    assert namespaces == [USERS]


def test_putting_again_replaces_the_value_and_keeps_when_it_was_made(store):
    store.put(USERS, "a", {"n": 1})
    first = store.get(USERS, "a")
    store.put(USERS, "a", {"n": 2})
    again = store.get(USERS, "a")
    assert (again.value, again.created_at) == ({"n": 2}, first.created_at)
    assert again.updated_at >= first.updated_at


def test_a_batch_reads_before_it_writes_and_answers_in_order(store):
    store.put(USERS, "a", {"n": 1})
    got, put, found, spaces, gone = store.batch(
        [
            GetOp(USERS, "a"),
            PutOp(USERS, "b", {"n": 2}),
            SearchOp(("users",)),
            ListNamespacesOp((MatchCondition("prefix", ("*",)), MatchCondition("suffix", ("1",)))),
            PutOp(USERS, "a", None),
        ]
    )
    assert (got.value, put, gone) == ({"n": 1}, None, None)
    assert [item.key for item in found] == ["a"]
    assert spaces == [USERS]
    assert [item.key for item in store.search(())] == ["b"]


def test_a_batch_with_something_wrong_in_it_writes_nothing(store):
    with pytest.raises(Unstorable, match="value"):
        store.batch([PutOp(USERS, "a", {"n": 1}), PutOp(USERS, "b", {"n": {1}})])
    assert store.search(()) == []


def test_what_has_expired_is_gone_and_what_is_read_lives_on(session):
    store = GreenroomStore(session, ttl={"default_ttl": 1e-9, "refresh_on_read": True})
    store.put(USERS, "brief", {"n": 1})
    store.put(USERS, "long", {"n": 2}, ttl=10)
    before = session.storage.next_expiry()
    assert store.get(USERS, "brief") is None
    assert store.get(USERS, "long").value == {"n": 2}
    store.put(USERS, "other", {"n": 3}, ttl=20)
    assert [item.key for item in store.search((), refresh_ttl=False)] == ["long", "other"]
    assert session.storage.next_expiry() > before  # "brief" is deleted, "long" prolonged


def embed(texts):
    return [[text.count("a"), text.count("b"), 1] for text in texts]


async def aembed(texts):
    return embed(texts)


@pytest.mark.parametrize("function", [embed, aembed])
def test_items_are_found_by_meaning(session, function):
    store = GreenroomStore(session, index={"dims": 3, "embed": function, "fields": ["text"]})
    others = {"hidden": ({"text": "aaaa"}, False), "named": ({"title": "aaa"}, ["title"])}

    async def program():
        await store.aput(USERS, "much b", {"text": "bbb"})
        await store.aput(USERS, "much a", {"text": "aa"})
        for key, (value, index) in others.items():
            await store.aput(USERS, key, value, index=index)
        return await store.asearch(("users",), query="aaa")

    found = asyncio.run(program())
    assert [item.key for item in found] == ["named", "much a", "much b", "hidden"]
    assert found[0].score > found[1].score > found[2].score
    assert found[3].score is None


def test_vectors_of_another_length_are_refused(session):
    store = GreenroomStore(session, index={"dims": 4, "embed": embed})
    with pytest.raises(ValueError, match="a vector of 3 numbers"):
        store.put(USERS, "a", {"text": "a"})
    assert store.search(()) == []


def test_items_are_found_by_their_words_without_an_index(store):
    store.put(USERS, "1", {"text": "green tea"})
    store.put(USERS, "2", {"text": "black coffee"})
    found = store.search((), query="coffee")
    assert found[0].key == "2"
    assert found[0].score is not None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.put(("a.b",), "k", {}), InvalidNamespaceError, "a.b"),
        (lambda s: s.search((), filter={"n": {"$near": 1}}), InvalidItemError, r"\$near"),
        (lambda s: s.search((), limit=-1), InvalidItemError, "limit"),
        (
            lambda s: s.batch([ListNamespacesOp((MatchCondition("prefix", ("a",)),) * 2)]),
            ValueError,
            "'prefix' is there twice",
        ),
    ],
)
def test_wrong_arguments_are_named(store, call, error, message):
    with pytest.raises(error, match=message):
        call(store)


def test_a_store_whose_session_is_over_says_so(opened):
    with opened() as session:
        store = GreenroomStore(session)
    with pytest.raises(StorageError, match="not open"):
        store.get(USERS, "a")
