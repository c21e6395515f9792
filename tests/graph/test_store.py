"""The user's store in memory, without a graph."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from greenroom.graph import BaseStore, InMemoryStore, InvalidNamespaceError, SearchItem


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def keys(found: list[SearchItem]) -> list[str]:
    return [item.key for item in found]


def stocked(*values: Any) -> InMemoryStore:
    store = InMemoryStore()
    for number, value in enumerate(values):
        store.put(("docs",), str(number), {"n": value})
    return store


def test_what_was_put_is_got_and_what_was_deleted_is_not() -> None:
    store = InMemoryStore()
    store.put(("users", "ada"), "likes", {"food": "soup"})
    item = store.get(("users", "ada"), "likes")
    assert item is not None
    assert (item.namespace, item.key, item.value) == (("users", "ada"), "likes", {"food": "soup"})
    store.delete(("users", "ada"), "likes")
    assert store.get(("users", "ada"), "likes") is None
    assert store.list_namespaces() == []
    store.delete(("users", "ada"), "likes")


def test_putting_again_replaces_the_value_and_keeps_the_time_it_was_made(clock: Clock) -> None:
    store = InMemoryStore(clock=clock)
    store.put(("a",), "k", {"x": 1, "y": 1})
    made = clock.now
    clock.turn(minutes=5)
    store.put(("a",), "k", {"x": 2})
    item = store.get(("a",), "k")
    assert item is not None
    assert (item.value, item.created_at, item.updated_at) == ({"x": 2}, made, clock.now)
    assert item.dict()["created_at"] == "2030-01-01T00:00:00+00:00"


def test_nobody_changes_what_is_kept_from_outside() -> None:
    store, value = InMemoryStore(), {"tags": ["a"]}
    store.put(("a",), "k", value)
    value["tags"].append("b")
    for read in (store.get(("a",), "k"), store.search(("a",))[0]):
        assert read is not None
        assert read.value == {"tags": ["a"]}
        read.value["tags"].append("c")


async def test_the_async_methods_do_the_same() -> None:
    store: BaseStore = InMemoryStore()
    await store.aput(("a", "b"), "k", {"x": 1})
    item = await store.aget(("a", "b"), "k")
    assert item == store.get(("a", "b"), "k")
    assert keys(await store.asearch(("a",), filter={"x": 1})) == ["k"]
    assert await store.alist_namespaces(suffix=("b",)) == [("a", "b")]
    await store.adelete(("a", "b"), "k")
    assert await store.aget(("a", "b"), "k") is None


@pytest.mark.parametrize("namespace", [("a.b",), ("",), ("a", "x\0"), (1,), "a"])
def test_a_namespace_that_cannot_be_is_refused(namespace: Any) -> None:
    store = InMemoryStore()
    for call in (
        lambda: store.put(namespace, "k", {}),
        lambda: store.get(namespace, "k"),
        lambda: store.search(namespace),
        lambda: store.list_namespaces(prefix=namespace),
    ):
        with pytest.raises(InvalidNamespaceError):
            call()


@pytest.mark.parametrize("namespace", [(), ("langgraph", "x")])
def test_nothing_is_put_into_an_empty_or_a_reserved_namespace(namespace: tuple[str, ...]) -> None:
    with pytest.raises(InvalidNamespaceError):
        InMemoryStore().put(namespace, "k", {})


def test_a_value_that_is_no_dict_is_refused_by_key_and_type() -> None:
    not_a_dict: Any = ["x"]
    with pytest.raises(TypeError, match="'k' is a dict; got list"):
        InMemoryStore().put(("a",), "k", not_a_dict)


def test_a_search_looks_below_a_prefix_label_by_label() -> None:
    store = InMemoryStore()
    for namespace in (("users",), ("users", "ada"), ("users2",)):
        store.put(namespace, "/".join(namespace), {})
    assert keys(store.search(("users",))) == ["users", "users/ada"]
    assert len(store.search(())) == 3


@pytest.mark.parametrize(
    ("by", "found"),
    [
        (2, ["1"]),
        ({"$eq": 2}, ["1"]),
        ({"$ne": 2}, ["0", "2", "3"]),
        ({"$gt": 1}, ["1", "2"]),
        ({"$gte": 2, "$lt": 3}, ["1"]),
        ({"$lte": 1}, ["0"]),
        ({"$gt": "a"}, ["3"]),
    ],
)
def test_a_filter_compares_fields(by: Any, found: list[str]) -> None:
    assert keys(stocked(1, 2, 3, "text").search(("docs",), filter={"n": by})) == found


def test_a_filter_looks_into_nested_fields() -> None:
    store = stocked({"a": 1, "b": 2}, {"a": 2}, 3)
    assert keys(store.search(("docs",), filter={"n": {"a": {"$gte": 1}, "b": 2}})) == ["0"]


def test_an_unknown_operator_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"\$near"):
        stocked(1).search(("docs",), filter={"n": {"$near": 1}})


def test_a_search_is_paged() -> None:
    store = stocked(*range(12))
    assert keys(store.search(("docs",))) == [str(n) for n in range(10)]
    assert keys(store.search(("docs",), limit=2, offset=11)) == ["11"]
    with pytest.raises(ValueError, match="offset"):
        store.search(("docs",), offset=-1)


def test_namespaces_are_listed_by_prefix_suffix_and_depth() -> None:
    store = InMemoryStore()
    for namespace in (("b", "x", "v1"), ("a", "x", "v1"), ("a", "y", "v2")):
        store.put(namespace, "k", {})
    assert store.list_namespaces(prefix=("a",)) == [("a", "x", "v1"), ("a", "y", "v2")]
    assert store.list_namespaces(prefix=("*", "x")) == [("a", "x", "v1"), ("b", "x", "v1")]
    assert store.list_namespaces(suffix=("v2",)) == [("a", "y", "v2")]
    assert store.list_namespaces(max_depth=1) == [("a",), ("b",)]
    assert store.list_namespaces(limit=1, offset=1) == [("a", "y", "v2")]


def test_an_item_expires_and_reading_it_puts_that_off(clock: Clock) -> None:
    store = InMemoryStore(clock=clock)
    store.put(("a",), "read", {}, ttl=10)
    store.put(("a",), "unread", {}, ttl=10)
    store.put(("a",), "kept", {})
    clock.turn(minutes=9)
    assert store.get(("a",), "read") is not None
    clock.turn(minutes=9)
    assert keys(store.search(("a",))) == ["read", "kept"]
    clock.turn(minutes=11)
    assert keys(store.search(("a",))) == ["kept"]


def test_reading_does_not_put_it_off_where_that_is_not_wanted(clock: Clock) -> None:
    store = InMemoryStore(clock=clock, ttl={"refresh_on_read": False, "default_ttl": 10})
    store.put(("a",), "k", {})
    store.put(("a",), "for ever", {}, ttl=None)
    store.put(("a",), "asked for", {})
    clock.turn(minutes=9)
    assert store.get(("a",), "k") is not None
    assert store.get(("a",), "asked for", refresh_ttl=True) is not None
    clock.turn(minutes=1)
    assert keys(store.search(("a",))) == ["for ever", "asked for"]


def test_putting_again_starts_the_time_of_an_item_anew(clock: Clock) -> None:
    store = InMemoryStore(clock=clock)
    store.put(("a",), "k", {}, ttl=10)
    clock.turn(minutes=5)
    store.put(("a",), "k", {}, ttl=10)
    clock.turn(minutes=5)
    assert store.get(("a",), "k", refresh_ttl=False) is not None
    clock.turn(minutes=5)
    assert store.get(("a",), "k") is None


def test_a_time_to_live_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="'k'"):
        InMemoryStore().put(("a",), "k", {}, ttl=0)


def letters(texts: list[str]) -> list[list[float]]:
    """Texts as counts of a, b and c."""
    return [[float(text.count(letter)) for letter in "abc"] for text in texts]


def test_a_query_finds_the_most_alike_first_and_what_has_no_vectors_last() -> None:
    store = InMemoryStore(index={"embed": letters, "dims": 3, "fields": ["text"]})
    store.put(("d",), "none", {"text": "aaa"}, index=False)
    store.put(("d",), "b", {"text": "bbba"})
    store.put(("d",), "a", {"text": "aa"})
    found = store.search(("d",), query="a")
    assert keys(found) == ["a", "b", "none"]
    assert [item.score for item in found] == [
        pytest.approx(1.0),
        pytest.approx(10**-0.5),
        None,
    ]
    assert [item.score for item in store.search(("d",))] == [None, None, None]


def test_an_item_is_as_near_as_its_nearest_field() -> None:
    store = InMemoryStore(index={"embed": letters, "fields": ["title", "chapters[*].text"]})
    store.put(("d",), "book", {"title": "c", "chapters": [{"text": "b"}, {"text": "a"}]})
    store.put(("d",), "other", {"title": "ab"})
    store.put(("d",), "own", {"title": "a", "note": {"x": ["c", "a"]}}, index=["note.x[-1]"])
    assert keys(store.search(("d",), query="a")) == ["book", "own", "other"]
    assert keys(store.search(("d",), query="a", limit=1, offset=2)) == ["other"]


def test_a_query_without_an_index_returns_everything() -> None:
    assert keys(stocked(1, 2).search(("docs",), query="x")) == ["0", "1"]


def test_vectors_of_the_wrong_length_change_nothing() -> None:
    store = InMemoryStore(index={"embed": letters, "dims": 4})
    with pytest.raises(ValueError, match="dims"):
        store.put(("d",), "k", {"text": "a"})
    assert store.get(("d",), "k") is None


async def test_an_async_function_embeds_for_the_async_methods_only() -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        return letters(texts)

    store = InMemoryStore(index={"embed": embed, "fields": ["text"]})
    await store.aput(("d",), "b", {"text": "b"})
    await store.aput(("d",), "a", {"text": "a"})
    assert keys(await store.asearch(("d",), query="a")) == ["a", "b"]
    with pytest.raises(TypeError, match="aput"):
        store.put(("d",), "c", {"text": "c"})
