"""What every store does: in memory, and over each storage backend."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict

import attrs
import pytest
import trio
from trio.testing import MockClock

from greenroom.graph import (
    START,
    BaseStore,
    InMemoryStore,
    InvalidItemError,
    InvalidNamespaceError,
    SearchItem,
    StateGraph,
    get_store,
)
from greenroom.graph.world import World
from greenroom.storage import (
    DeleteExpired,
    MemoryStorage,
    SqliteStorage,
    Storage,
    StorageError,
    StorageSession,
    StorageStore,
    Unstorable,
)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)


@attrs.define
class TurnedWorld(World):
    clock: Clock = attrs.field(kw_only=True)

    def now(self) -> datetime:
        return self.clock()


NewStore = Callable[..., BaseStore]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make_storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "memory":
        return MemoryStorage()
    if request.param == "sqlite":
        return SqliteStorage(tmp_path / "items.db")
    dsn = request.getfixturevalue("dsn")
    from greenroom.storage.postgres import PostgresStorage

    return PostgresStorage(dsn)


@pytest.fixture(params=["no storage", "memory", "sqlite", "postgres"])
async def new_store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock
) -> AsyncIterator[NewStore]:
    """Makes stores; options as of `InMemoryStore`."""
    if request.param == "no storage":
        yield lambda **options: InMemoryStore(clock=clock, **options)
        return
    async with StorageSession(make_storage(request, tmp_path)) as session:
        yield lambda **options: StorageStore(session, world=TurnedWorld(clock=clock), **options)


@pytest.fixture
def store(new_store: NewStore) -> BaseStore:
    return new_store()


def keys(found: list[SearchItem]) -> list[str]:
    return [item.key for item in found]


async def stock(store: BaseStore, *values: Any) -> None:
    for number, value in enumerate(values):
        await store.aput(("docs",), str(number), {"n": value})


async def test_what_was_put_is_got_and_what_was_deleted_is_not(store: BaseStore) -> None:
    await store.aput(("users", "ada"), "likes", {"food": "soup"})
    item = await store.aget(("users", "ada"), "likes")
    assert item is not None
    assert (item.namespace, item.key, item.value) == (("users", "ada"), "likes", {"food": "soup"})
    await store.adelete(("users", "ada"), "likes")
    assert await store.aget(("users", "ada"), "likes") is None
    assert await store.alist_namespaces() == []
    await store.adelete(("users", "ada"), "likes")


async def test_putting_again_replaces_the_value_and_keeps_the_time_it_was_made(
    store: BaseStore, clock: Clock
) -> None:
    await store.aput(("a",), "k", {"x": 1, "y": 1})
    made = clock.now
    clock.turn(minutes=5)
    await store.aput(("a",), "k", {"x": 2})
    item = await store.aget(("a",), "k")
    assert item is not None
    assert (item.value, item.created_at, item.updated_at) == ({"x": 2}, made, clock.now)
    assert item.dict() == {
        "namespace": ["a"],
        "key": "k",
        "value": {"x": 2},
        "created_at": "2030-01-01T00:00:00+00:00",
        "updated_at": "2030-01-01T00:05:00+00:00",
    }


async def test_nobody_changes_what_is_kept_from_outside(store: BaseStore) -> None:
    value = {"tags": ["a"]}
    await store.aput(("a",), "k", value)
    value["tags"].append("b")
    for read in (await store.aget(("a",), "k"), (await store.asearch(("a",)))[0]):
        assert read is not None
        assert read.value == {"tags": ["a"]}
        read.value["tags"].append("c")


@pytest.mark.parametrize("namespace", [("a.b",), ("",), ("a", "x\0"), (1,), "a"])
async def test_a_namespace_that_cannot_be_is_refused(store: BaseStore, namespace: Any) -> None:
    for call in (
        lambda: store.aput(namespace, "k", {}),
        lambda: store.aget(namespace, "k"),
        lambda: store.adelete(namespace, "k"),
        lambda: store.asearch(namespace),
        lambda: store.alist_namespaces(prefix=namespace),
        lambda: store.alist_namespaces(suffix=namespace),
    ):
        with pytest.raises(InvalidNamespaceError):
            await call()


@pytest.mark.parametrize("namespace", [(), ("langgraph", "x")])
async def test_nothing_is_put_into_an_empty_or_a_reserved_namespace(
    store: BaseStore, namespace: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidNamespaceError):
        await store.aput(namespace, "k", {})


async def test_what_is_no_item_is_refused_by_key_and_type(store: BaseStore) -> None:
    wrong: Any = ["x"]
    with pytest.raises(TypeError, match="'k' is a dict; got list"):
        await store.aput(("a",), "k", wrong)
    with pytest.raises(TypeError, match=r"a string; got \['x'\]"):
        await store.aput(("a",), wrong, {})
    for index in (True, "text", [1]):
        with pytest.raises(TypeError, match="index of item 'k'"):
            await store.aput(("a",), "k", {}, index=index)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ttl of item 'k' is a number"):
        await store.aput(("a",), "k", {}, ttl="5")  # type: ignore[arg-type]
    assert await store.asearch(()) == []


async def test_a_search_looks_below_a_prefix_label_by_label(store: BaseStore) -> None:
    for namespace in (("users",), ("users", "ada"), ("users2",), ("users",)):
        await store.aput(namespace, f"{'/'.join(namespace)}{len(await store.asearch(()))}", {})
    assert keys(await store.asearch(("users",))) == ["users0", "users/ada1", "users3"]
    assert len(await store.asearch(())) == 4


@pytest.mark.parametrize(
    ("by", "found"),
    [
        (2, ["1"]),
        (None, []),
        ({"$eq": 2}, ["1"]),
        ({"$ne": 2}, ["0", "2", "3", "4"]),
        ({"$gt": 1}, ["1", "2"]),
        ({"$gte": 2, "$lt": 3}, ["1"]),
        ({"$lte": 1}, ["0"]),
        ({"$gt": "a"}, ["3"]),
        (1, ["0"]),
        (True, ["4"]),
    ],
)
async def test_a_filter_compares_fields(store: BaseStore, by: Any, found: list[str]) -> None:
    await stock(store, 1, 2, 3, "text", True)
    assert keys(await store.asearch(("docs",), filter={"n": by})) == found


async def test_a_filter_looks_into_nested_fields(store: BaseStore) -> None:
    await stock(store, {"a": 1, "b": 2}, {"a": 2}, 3)
    assert keys(await store.asearch(("docs",), filter={"n": {"a": {"$gte": 1}, "b": 2}})) == ["0"]


async def test_an_unknown_operator_is_refused_by_name_wherever_it_is(store: BaseStore) -> None:
    for field, filter in {
        "n": {"n": {"$near": 1}},
        "deep": {"n": {"deep": {"$eq": 1, "$near": 2}}},
    }.items():
        with pytest.raises(ValueError, match=rf"'\$near' for '{field}'"):
            await store.asearch(("docs",), filter=filter)
    assert await store.asearch((), filter={"$near": 1}) == []  # on the outside it is a field


async def test_a_search_is_paged(store: BaseStore) -> None:
    await stock(store, *range(12))
    assert keys(await store.asearch(("docs",))) == [str(n) for n in range(10)]
    assert keys(await store.asearch(("docs",), limit=2, offset=11)) == ["11"]
    for page in ({"offset": -1}, {"limit": -1}, {"limit": 2**63}):
        with pytest.raises(InvalidItemError, match=next(iter(page))):
            await store.asearch(("docs",), **page)
    with pytest.raises(InvalidItemError, match="max_depth"):
        await store.alist_namespaces(max_depth=0)


async def test_namespaces_are_listed_by_prefix_suffix_and_depth(store: BaseStore) -> None:
    for namespace in (("b", "x", "v1"), ("a", "x", "v1"), ("a", "y", "v2")):
        await store.aput(namespace, "k", {})
    listed = store.alist_namespaces
    assert await listed(prefix=("a",)) == [("a", "x", "v1"), ("a", "y", "v2")]
    assert await listed(prefix=("*", "x")) == [("a", "x", "v1"), ("b", "x", "v1")]
    assert await listed(suffix=("v2",)) == [("a", "y", "v2")]
    assert await listed(max_depth=1) == [("a",), ("b",)]
    assert await listed(limit=1, offset=1) == [("a", "y", "v2")]


async def test_an_item_expires_and_reading_it_puts_that_off(store: BaseStore, clock: Clock) -> None:
    await store.aput(("a",), "read", {}, ttl=10)
    await store.aput(("a",), "unread", {}, ttl=10)
    await store.aput(("a",), "kept", {})
    clock.turn(minutes=9)
    assert await store.aget(("a",), "read") is not None
    clock.turn(minutes=9)
    assert keys(await store.asearch(("a",))) == ["read", "kept"]
    clock.turn(minutes=9)
    assert keys(await store.asearch(("a",), refresh_ttl=False)) == ["read", "kept"]
    clock.turn(minutes=1)
    assert keys(await store.asearch(("a",))) == ["kept"]
    assert await store.aget(("a",), "read") is None


async def test_reading_does_not_put_it_off_where_that_is_not_wanted(
    new_store: NewStore, clock: Clock
) -> None:
    store = new_store(ttl={"refresh_on_read": False, "default_ttl": 10})
    await store.aput(("a",), "k", {})
    await store.aput(("a",), "for ever", {}, ttl=None)
    await store.aput(("a",), "asked for", {})
    clock.turn(minutes=9)
    assert await store.aget(("a",), "k") is not None
    assert await store.aget(("a",), "asked for", refresh_ttl=True) is not None
    clock.turn(minutes=1)
    assert keys(await store.asearch(("a",))) == ["for ever", "asked for"]


async def test_putting_again_starts_the_time_of_an_item_anew(
    store: BaseStore, clock: Clock
) -> None:
    await store.aput(("a",), "k", {}, ttl=10)
    clock.turn(minutes=5)
    await store.aput(("a",), "k", {}, ttl=10)
    clock.turn(minutes=5)
    assert await store.aget(("a",), "k", refresh_ttl=False) is not None
    clock.turn(minutes=5)
    assert await store.aget(("a",), "k") is None


async def test_what_is_put_after_it_has_expired_is_new(store: BaseStore, clock: Clock) -> None:
    await store.aput(("a",), "k", {}, ttl=1)
    await store.aput(("a",), "other", {})
    clock.turn(minutes=1)
    await store.aput(("a",), "k", {})
    item = await store.aget(("a",), "k")
    assert item is not None
    assert item.created_at == clock.now
    assert keys(await store.asearch(("a",))) == ["other", "k"]


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 1e12])
async def test_a_time_to_live_that_cannot_be_is_refused(store: BaseStore, ttl: float) -> None:
    with pytest.raises(ValueError, match="'k'"):
        await store.aput(("a",), "k", {}, ttl=ttl)


def letters(texts: list[str]) -> list[list[float]]:
    """Texts as counts of a, b and c."""
    return [[float(text.count(letter)) for letter in "abc"] for text in texts]


async def async_letters(texts: list[str]) -> list[list[float]]:
    return letters(texts)


@pytest.mark.parametrize("embed", [letters, async_letters])
async def test_a_query_finds_the_most_alike_first_and_what_has_no_vectors_last(
    new_store: NewStore, embed: Any
) -> None:
    store = new_store(index={"embed": embed, "dims": 3, "fields": ["text"]})
    await store.aput(("d",), "none", {"text": "aaa"}, index=False)
    await store.aput(("d",), "b", {"text": "bbba"})
    await store.aput(("d",), "a", {"text": "aa"})
    found = await store.asearch(("d",), query="a")
    assert keys(found) == ["a", "b", "none"]
    assert [item.score for item in found] == [
        pytest.approx(1.0),
        pytest.approx(10**-0.5),
        None,
    ]
    assert [item.score for item in await store.asearch(("d",))] == [None, None, None]


async def test_an_item_is_as_near_as_its_nearest_field(new_store: NewStore) -> None:
    store = new_store(index={"embed": letters, "fields": ["title", "chapters[*].text"]})
    await store.aput(("d",), "book", {"title": "c", "chapters": [{"text": "b"}, {"text": "a"}]})
    await store.aput(("d",), "other", {"title": "ab"})
    own = {"title": "a", "note": {"x": ["c", "a"]}}
    await store.aput(("d",), "own", own, index=["note.x[-1]"])
    assert keys(await store.asearch(("d",), query="a")) == ["book", "own", "other"]
    assert keys(await store.asearch(("d",), query="a", limit=1, offset=2)) == ["other"]


async def test_vectors_of_the_wrong_length_change_nothing(new_store: NewStore) -> None:
    store = new_store(index={"embed": letters, "dims": 4})
    with pytest.raises(ValueError, match="dims"):
        await store.aput(("d",), "k", {"text": "a"})
    assert await store.aget(("d",), "k") is None


async def test_without_an_index_a_query_finds_words_and_the_rest_comes_after(
    store: BaseStore,
) -> None:
    await store.aput(("d",), "tea", {"likes": ["Tea", {"cold": "soup"}]})
    await store.aput(("d",), "hidden", {"likes": "cake"}, index=False)
    await store.aput(("d",), "title", {"title": "cake", "text": "tea"}, index=["title"])
    await store.aput(("d",), "cake", {"likes": "cakes, TEA & Kuchen; 42"})
    for query, best in (
        ("Does she like SOUP?", "tea"),
        ("cake", "title"),
        ("kuchen", "cake"),
        ("42", "cake"),
        ('"kuchen" OR NEAR(* -:^ AND "', "cake"),
    ):
        found = await store.asearch(("d",), query=query)
        assert keys(found)[0] == best, query
        assert [item.score is None for item in found] == [False, True, True, True], query
    for query in ("", "nothing of it", '"', "***", "likes", "\0"):
        found = await store.asearch(("d",), query=query)
        assert keys(found) == ["tea", "hidden", "title", "cake"], query
        assert {item.score for item in found} == {None}
    both = await store.asearch(("d",), query="tea", filter={"likes": {"$ne": 1}}, limit=2)
    assert sorted(keys(both)) == ["cake", "tea"]


async def test_a_long_query_and_a_long_filter_are_no_trouble(store: BaseStore) -> None:
    await store.aput(("d",), "k", {"text": "word0", "n": 1})
    query = " ".join(f"word{number}" for number in range(5000))
    found = await store.asearch(("d",), query=query, filter={"n": 1, "x" * 10_000: None})
    assert [item.score is None for item in found] == [False]


# What is the durable store's own.


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return SqliteStorage(tmp_path / "items.db")


async def test_items_are_there_for_the_next_process(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        await StorageStore(session).aput(("a",), "k", {"x": 1}, ttl=60)
    async with StorageSession(storage) as session:
        item = await StorageStore(session).aget(("a",), "k")
    assert item is not None
    assert item.value == {"x": 1}


async def test_the_plain_methods_are_for_threads_and_refused_on_the_loop(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        store = StorageStore(session, index={"embed": async_letters})

        def use() -> list[Any]:
            store.put(("a", "b"), "k", {"x": "a"}, ttl=5)
            store.put(("a", "b"), "gone", {"x": "b"})
            store.delete(("a", "b"), "gone")
            item = store.get(("a", "b"), "k", refresh_ttl=False)
            found = store.search(("a",), query="a", filter={"x": "a"}, limit=5)
            return [item and item.value, keys(found), store.list_namespaces(suffix=("b",))]

        expected = [{"x": "a"}, ["k"], [("a", "b")]]
        assert await trio.to_thread.run_sync(use) == expected

        # A thread that trio knows nothing of, as those of a pool of the user's own.
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(use()))
        thread.start()
        await trio.to_thread.run_sync(thread.join)
        assert answers == [expected]

        with pytest.raises(RuntimeError, match=r"use 'await store\.aput\("):
            store.put(("a",), "k", {})
    with pytest.raises(StorageError, match="closed"):
        await trio.to_thread.run_sync(use)


async def test_a_graph_that_is_used_alone_keeps_its_items_in_storage(storage: Storage) -> None:
    class State(TypedDict, total=False):
        found: list[str]

    def put(state: State, store: BaseStore) -> None:
        store.put(("a",), "plain", {})

    async def search(state: State) -> State:
        await get_store().aput(("a",), "async", {})
        return {"found": keys(await get_store().asearch(()))}

    builder = StateGraph(State).add_node("put", put).add_node("search", search)
    builder.add_edge(START, "put").add_edge("put", "search")
    async with StorageSession(storage) as session:
        graph = builder.compile(store=StorageStore(session))
        assert await graph.ainvoke({}) == {"found": ["plain", "async"]}
        assert await graph.ainvoke({}) == {"found": ["plain", "async"]}


@pytest.mark.parametrize(
    ("namespace", "key", "error"),
    [
        (("a",) * 17, "k", "at most 16 labels; got 17"),
        (("x" * 1000, "é" * 13), "k", "at most 1024 bytes; got 1026"),
        (("a", "\ud800"), "k", "surrogate"),
        (("a",), "é" * 513, "at most 1024 bytes; got 1026"),
        (("a",), "a\0", "NUL"),
        (("a",), "\ud800", "surrogate"),
    ],
)
async def test_names_that_are_too_much_for_a_database_are_refused(
    storage: Storage, namespace: tuple[str, ...], key: str, error: str
) -> None:
    async with StorageSession(storage) as session:
        store = StorageStore(session)
        for call in (store.aput(namespace, key, {}), store.aget(namespace, key)):
            with pytest.raises(ValueError, match=error):
                await call
        with pytest.raises(ValueError, match=error):
            await store.adelete(namespace, key)
        longest = (*("x" * 60 for _ in range(15)), "é" * 62)
        await store.aput(longest, "k" * 1024, {})
        assert await store.aget(longest, "k" * 1024) is not None


async def test_values_are_plain_json_of_some_size(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        store = StorageStore(session)
        for value in (datetime(2030, 1, 1), (1,), float("nan"), "a\0", {1: 2}, 2**64):
            with pytest.raises(Unstorable, match=r"value\.deep\[0\]"):
                await store.aput(("a",), "k", {"deep": [value]})
        whole = {"x": "y" * (4 * 1024 * 1024 - len('{"x":""}'))}
        with pytest.raises(InvalidItemError, match="has 4194305 bytes as JSON; 4194304 are"):
            await store.aput(("a",), "k", {"x": whole["x"] + "y"})
        assert await store.asearch(()) == []
        await store.aput(("a",), "k", whole)


class CountingStorage(MemoryStorage):
    """It knows of each slice that was deleted how many items were left, and how often somebody
    looked for more."""

    def __init__(self) -> None:
        super().__init__()
        self.slices: list[int] = []
        self.looks = 0

    def next_expiry(self) -> str | None:
        self.looks += 1
        return super().next_expiry()

    def commit(self, groups: Any, epoch: int) -> Any:
        answer = super().commit(groups, epoch)
        if any(isinstance(operation, DeleteExpired) for group in groups for operation in group):
            kept = [put.item for _, put in self.scan_items()]
            self.slices.append(sum(1 for item in kept if item.expires_at is not None))
        return answer


async def test_what_has_expired_is_cleared_away_a_slice_at_a_time(
    autojump_clock: MockClock,
) -> None:
    storage = CountingStorage()
    async with StorageSession(storage) as session, trio.open_nursery() as nursery:
        store = StorageStore(session, ttl={"sweep_interval_minutes": 1})
        await nursery.start(store.keep_swept)
        await trio.sleep(3600)
        assert (storage.slices, storage.looks) == ([], 1)
        for number in range(450):
            await store.aput(("a",), str(number), {}, ttl=1.5)
        await store.aput(("a",), "later", {}, ttl=60)
        await store.aput(("a",), "never", {})
        await trio.sleep(119)
        assert storage.slices == []  # nothing had expired at the first look
        await trio.sleep(2)
        assert storage.slices == [251, 51, 1]
        await trio.sleep(3600)
        assert storage.slices == [251, 51, 1, 0]
        looks = storage.looks
        await trio.sleep(3600)
        assert storage.looks == looks  # nothing is left that expires
        assert keys(await store.asearch(())) == ["never"]
        nursery.cancel_scope.cancel()


async def test_a_sweep_that_fails_is_tried_again(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(CountingStorage):
        fails = False

        def next_expiry(self) -> str | None:
            if self.fails:
                raise StorageError("the disk is full")
            return super().next_expiry()

    storage = Failing()
    async with StorageSession(storage) as session, trio.open_nursery() as nursery:
        store = StorageStore(session)
        await nursery.start(store.keep_swept)
        storage.fails = True
        await store.aput(("a",), "k", {}, ttl=1)
        await trio.sleep(301)
        assert "the disk is full" in caplog.text
        storage.fails = False
        await trio.sleep(300)
        assert storage.slices == [0]
        nursery.cancel_scope.cancel()
