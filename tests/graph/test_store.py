"""What is `InMemoryStore`'s own. What every store does is in `tests/storage/test_store.py`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from greenroom.graph import BaseStore, InMemoryStore
from greenroom.graph.words import all_words


def letters(texts: list[str]) -> list[list[float]]:
    """Texts as counts of a, b and c."""
    return [[float(text.count(letter)) for letter in "abc"] for text in texts]


async def test_the_plain_methods_do_the_same_wherever_they_are_called() -> None:
    store: BaseStore = InMemoryStore(index={"embed": letters})
    store.put(("a", "b"), "k", {"x": "a"}, ttl=5)
    store.put(("a", "b"), "l", {"x": "b"}, index=False)
    assert store.get(("a", "b"), "k") == await store.aget(("a", "b"), "k")
    assert store.search(("a",), query="a") == await store.asearch(("a",), query="a")
    assert [item.key for item in store.search(("a",), filter={"x": "b"}, limit=1)] == ["l"]
    assert store.list_namespaces(suffix=("b",)) == [("a", "b")]
    store.delete(("a", "b"), "k")
    store.delete(("a", "b"), "l")
    assert await store.asearch(()) == []


def test_a_value_may_be_more_than_json_and_is_nobody_elses() -> None:
    store, day = InMemoryStore(), datetime(2030, 1, 1, tzinfo=UTC)
    value: dict[str, Any] = {"day": day, "place": (1, [2])}
    store.put(("a",), "k", value)
    value["place"][1].append(3)
    for read in (store.get(("a",), "k"), store.search(("a",), filter={"day": day})[0]):
        assert read is not None
        assert read.value == {"day": day, "place": (1, [2])}
        read.value["place"][1].append(4)


def test_the_words_of_a_text_are_looked_for_once_however_often_it_is_searched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at: list[str] = []

    def noted(text: str) -> list[str]:
        looked_at.append(text)
        return all_words(text)

    monkeypatch.setattr("greenroom.graph.words.all_words", noted)
    store = InMemoryStore()
    store.put(("a",), "k", {"text": "a long story"})
    for query in ("story", "long", "story"):
        assert [found.score for found in store.search((), query=query)] == [1.0]
    assert looked_at.count("a long story") == 1
    store.put(("a",), "k", {"text": "another"})
    assert [found.score for found in store.search((), query="story")] == [None]


def test_an_async_function_embeds_for_the_async_methods_only() -> None:
    async def embed(texts: list[str]) -> list[list[float]]:
        return letters(texts)

    store = InMemoryStore(index={"embed": embed, "fields": ["text"]})
    with pytest.raises(TypeError, match="aput"):
        store.put(("d",), "c", {"text": "c"})
    with pytest.raises(TypeError, match="asearch"):
        store.search(("d",), query="c")
