"""The items of the user's store."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from greenroom.graph.filters import fits
from greenroom.graph.words import words_of

from ..codec import Unstorable
from ..contract import RecordExists, Storage
from ..namespaces import place
from ..operations import DeleteExpired, DeleteItem, InsertThread, ProlongItem, PutItem
from ..queries import ItemQuery, NamespaceQuery
from .making import Open, OpenStorage, make_item, make_thread
from .searches import HOSTILE_KEYS

__all__ = ["ItemContract"]

NOW = "2026-01-01T00:00:00.000000+00:00"
LATER = "2026-01-02T00:00:00.000000+00:00"
MUCH_LATER = "2026-01-03T00:00:00.000000+00:00"

FIELD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 1.0, 1.5, -1, 0.1, 2**53 + 1, 2**60, 2**60 + 1, 1e300),
    *(2.0**53, 2.0**60, 2.0**60 + 256, 2**63 - 1, -(2**63), 1.1, 1 / 3),
    *("", "a", "A", "b", "é", "💥", "1", "true", "null", "a'b", 'a"b', "a\\b", "a\nb"),
    *([], [1], ["a", True], {}, {"a": 1}, {"a": {"b": None}}),
)


class ItemContract(OpenStorage):
    """What is kept, found, listed and let go."""

    def test_an_item_comes_back_as_it_was_given(self, opened: Open) -> None:
        item = make_item(
            ("users", "ada"), "likes", {"ü": [1, None, {"💥": 1.5}]}, ttl=2.5, expires_at=LATER
        )
        opened.commit(PutItem(item))
        assert opened.storage.get_item(("users", "ada"), "likes", NOW) == item
        assert [found.item for found in _search(opened)] == [item]
        for namespace, key in ((("users",), "likes"), (("users", "ada"), "x"), ((), "likes")):
            assert opened.storage.get_item(namespace, key, NOW) is None

    def test_putting_again_keeps_when_an_item_was_made_and_its_place(self, opened: Open) -> None:
        opened.commit(*(PutItem(make_item(("a",), key)) for key in "xyz"))
        again = make_item(("a",), "y", {"n": 2}, time=LATER)
        opened.commit(PutItem(again))
        kept = opened.storage.get_item(("a",), "y", LATER)
        assert kept is not None
        assert (kept.value, kept.created_at, kept.updated_at) == (b'{"n":2}', NOW, LATER)
        assert _keys(opened) == ["x", "y", "z"]

    def test_what_has_expired_is_not_there_and_is_made_anew(self, opened: Open) -> None:
        opened.commit(
            PutItem(make_item(("a",), "x", ttl=1, expires_at=LATER)),
            PutItem(make_item(("a",), "y")),
            PutItem(make_item(("b",), "z", ttl=1, expires_at=LATER)),
        )
        assert _keys(opened, now=NOW) == ["x", "y", "z"]
        assert opened.storage.get_item(("a",), "x", LATER) is None
        assert _keys(opened, now=LATER) == ["y"]
        assert opened.storage.list_namespaces(NamespaceQuery(now=LATER)) == [("a",)]
        opened.commit(PutItem(make_item(("a",), "x", time=LATER)))
        kept = opened.storage.get_item(("a",), "x", LATER)
        assert kept is not None
        assert (kept.created_at, kept.expires_at) == (LATER, None)
        assert _keys(opened, now=LATER) == ["y", "x"]

    def test_an_item_is_prolonged_unless_it_is_another_by_now(self, opened: Open) -> None:
        opened.commit(PutItem(make_item(("a",), "x", ttl=1, expires_at=LATER)))
        for operation, expected in (
            (ProlongItem(("a",), "x", 2, MUCH_LATER), LATER),  # it had another ttl
            (ProlongItem(("a",), "gone", 1, MUCH_LATER), LATER),
            (ProlongItem(("a",), "x", 1, NOW), LATER),  # it lives longer
            (ProlongItem(("a",), "x", 1, MUCH_LATER), MUCH_LATER),
        ):
            opened.commit(operation)
            kept = opened.storage.get_item(("a",), "x", NOW)
            assert kept is not None
            assert (kept.expires_at, kept.updated_at) == (expected, NOW)
        opened.commit(PutItem(make_item(("a",), "x")), ProlongItem(("a",), "x", 1, LATER))
        assert opened.storage.next_expiry() is None

    def test_what_has_expired_is_deleted_oldest_first_and_a_few_at_a_time(
        self, opened: Open
    ) -> None:
        for key, expires_at in (("later", LATER), ("first", NOW), ("never", None)):
            put = PutItem(
                make_item(("a",), key, ttl=expires_at and 1, expires_at=expires_at),
                text="word",
                vectors=((1.0,),),
            )
            opened.commit(put)
        assert opened.storage.next_expiry() == NOW
        opened.commit(DeleteExpired(NOW, 5))
        assert opened.storage.next_expiry() == LATER
        opened.commit(DeleteExpired(MUCH_LATER, 0))
        assert _keys(opened, now="") == ["later", "never"]
        opened.commit(PutItem(make_item(("a",), "second", ttl=1, expires_at=NOW)))
        opened.commit(DeleteExpired(MUCH_LATER, 1))
        assert opened.storage.next_expiry() == LATER
        opened.commit(DeleteExpired(MUCH_LATER, 5))
        assert opened.storage.next_expiry() is None
        assert _keys(opened, now="", words=("word",)) == ["never"]

    def test_a_deleted_item_leaves_nothing_behind(self, opened: Open) -> None:
        put = PutItem(make_item(("a",), "x"), text="word", vectors=((1.0, 0.0),))
        opened.commit(put, PutItem(make_item(("a",), "y")))
        opened.commit(DeleteItem(("a",), "y"), DeleteItem(("a",), "x"), DeleteItem(("a",), "x"))
        assert _keys(opened) == []
        assert opened.storage.list_namespaces(NamespaceQuery(now=NOW)) == []
        opened.commit(PutItem(make_item(("a",), "new")))
        assert _scores(opened, words=("word",)) == {"new": None}
        assert _scores(opened, vector=(1.0, 0.0)) == {"new": None}

    def test_a_refused_group_changes_no_item(self, opened: Open) -> None:
        kept = PutItem(make_item(("a",), "x", ttl=1, expires_at=LATER), "word", ((1.0,),))
        opened.commit(InsertThread(make_thread()), kept, PutItem(make_item(("a",), "y")))
        with pytest.raises(RecordExists):
            opened.commit(
                PutItem(make_item(("a",), "x", {"n": 2})),
                PutItem(make_item(("b",), "new")),
                DeleteItem(("a",), "y"),
                DeleteItem(("c",), "y"),
                DeleteItem(("b",), "new"),
                ProlongItem(("a",), "x", 1, MUCH_LATER),
                DeleteExpired(MUCH_LATER, 9),
                InsertThread(make_thread()),
            )
        assert [found.item for found in _search(opened, words=("word",))] == [
            kept.item,
            make_item(("a",), "y"),
        ]
        assert opened.storage.list_namespaces(NamespaceQuery(now=NOW)) == [("a",)]

    def test_items_are_there_for_the_next_holder(self, new_storage: Callable[[], Storage]) -> None:
        put = PutItem(make_item(("a", "b"), "x"), text="soup", vectors=((0.6, 0.8),))
        for commits in (True, False):
            storage = new_storage()
            storage.open()
            opened = Open(storage, storage.acquire_lease("tests").epoch)
            if commits:
                opened.commit(put)
            assert _keys(opened) == ["x"]
            assert _scores(opened, words=("soup",)) != {"x": None}
            assert _scores(opened, vector=(0.6, 0.8)) == {"x": pytest.approx(1.0)}
            storage.close()

    def test_a_search_looks_below_a_prefix_label_by_label(self, opened: Open) -> None:
        labels = ("a", "ab", "a\x01", "a\x02", "\x01", "\x02", "\x03", "é", "\U0010ffff", "*", "%")
        spaces = [(label,) for label in labels] + list(itertools.product(labels, repeat=2))
        opened.commit(*(PutItem(make_item(space, repr(space))) for space in spaces))
        for prefix in [(), *spaces]:
            below = [repr(space) for space in spaces if space[: len(prefix)] == prefix]
            assert _keys(opened, prefix=prefix, limit=999) == below
        listed = opened.storage.list_namespaces(NamespaceQuery(now=NOW, limit=999))
        assert listed == sorted(spaces)

    def test_a_search_is_paged(self, opened: Open) -> None:
        for key in "dbca":
            opened.commit(PutItem(make_item((key,), key)))
        assert _keys(opened, limit=2) == ["d", "b"]
        assert _keys(opened, limit=9, offset=1) == ["b", "c", "a"]
        assert _keys(opened, limit=0) == _keys(opened, offset=4) == []

    @pytest.mark.parametrize("name", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"])
    def test_a_filter_compares_whatever_is_there_alike(self, opened: Open, name: str) -> None:
        values = [{"f": value} for value in FIELD_VALUES] + [{}, {"f": {"g": 1}}, {"f": {"g": "a"}}]
        for number, value in enumerate(values):
            opened.commit(PutItem(make_item(("a",), str(number), value)))
        for other in FIELD_VALUES:
            for filter in ({"f": {name: other}}, {"f": {"g": {name: other}}}):
                wanted = [str(n) for n, value in enumerate(values) if fits(value, filter)]
                assert _keys(opened, filter=filter, limit=99) == wanted, filter

    def test_a_filter_is_more_than_one_comparison(self, opened: Open) -> None:
        for number in range(5):
            opened.commit(PutItem(make_item(("a",), str(number), {"n": number, "o": {"p": "x"}})))
        assert _keys(opened, filter={"n": {"$gte": 1, "$lt": 4, "$ne": 2}}) == ["1", "3"]
        assert _keys(opened, filter={"n": 3, "o": {"p": "x"}}) == ["3"]
        assert _keys(opened, filter={"n": 3, "o": {"p": "y"}}) == []
        assert _keys(opened, filter={"o": {}}, limit=1, offset=4) == ["4"]
        many = {f"f{number}": None for number in range(2000)}
        assert _keys(opened, filter={**many, "n": 1}) == ["1"]

    @pytest.mark.parametrize("key", [*HOSTILE_KEYS, "$eq", "a]b", "{", "x" * 5000, "') --", "\x7f"])
    def test_any_text_is_a_key_or_a_value_of_a_filter(self, opened: Open, key: str) -> None:
        opened.commit(
            PutItem(make_item(("a",), "key", {key: 1})),
            PutItem(make_item(("a",), "value", {"v": key})),
            PutItem(make_item(("a",), "deep", {"d": {"e": {key: key}}})),
            PutItem(make_item(("a",), "other", {"a": {"b": 1}, "v": key + "x", "b": [1]})),
            PutItem(make_item(("a",), key)),
        )
        assert _keys(opened, filter={key: 1}) == ["key"]
        assert _keys(opened, filter={"v": key}) == ["value"]
        assert _keys(opened, filter={"d": {"$eq": {"e": {key: key}}}}) == ["deep"]
        if not key.startswith("$"):
            assert _keys(opened, filter={"d": {"e": {key: {"$gte": key}}}}) == ["deep"]
        assert opened.storage.get_item(("a",), key, NOW) is not None

    def test_a_filter_that_is_not_json_is_refused(self, opened: Open) -> None:
        for value in ((1,), float("nan"), "a\x00", "\ud800", 2**64):
            with pytest.raises(Unstorable, match=r"filter\.a"):
                _search(opened, filter={"a": value})
        with pytest.raises(Unstorable, match="NUL"):
            _search(opened, filter={"a\x00": 1})

    def test_words_find_the_best_match_first_and_what_has_none_of_them_last(
        self, opened: Open
    ) -> None:
        texts = {"none": "", "other": "nothing", "one": "Soup of the day", "two": "Straße\nsoup"}
        for key, text in texts.items():
            opened.commit(PutItem(make_item(("a",), key), text=text))
        opened.commit(PutItem(make_item(("b",), "elsewhere"), text="soup"))
        found = _scores(opened, prefix=("a",), words=("soup", "strasse"))
        assert list(found) == ["two", "one", "none", "other"]
        assert [score is None for score in found.values()] == [False, False, True, True]
        assert (found["two"] or 0) > (found["one"] or 0) > 0
        assert _scores(opened, prefix=("a",), words=("strasse",))["two"] is not None
        assert _keys(opened, prefix=("a",), words=("soup",), limit=1, offset=2) == ["none"]

    @pytest.mark.parametrize(
        ("text", "words", "others"),
        [
            ("foo-bar snake_case", "foo bar snake case", "foobar snake_case -"),
            ("ada@example.com", "ada example com", "ada@example.com example.com"),
            ("https://a.example/b?c=3.14", "https a example b c 3 14", "3.14 http"),
            ("Don't RUN the running", "don t run the running", "dont runs"),
            ("CAFÉ Straße", "café strasse", "cafe straße"),
            ("soup🥰spoon 🥣 x\ue000y", "soup spoon x y", "soupspoon 🥰"),
            ("हिन्दी 東京都 ключ", "ह न द 東京都 ключ", "हिन्दी 東京 кл"),
            ("a\\b'c\"d:1,2&e|!f<->(g)*^h%i?j", "a b c d 1 2 e f g h i j", "bc 12"),
            ("and OR not near " + "x" * 5000, "and or not near " + "x" * 5000, "x" * 4999),
        ],
    )
    def test_an_item_is_found_by_the_words_of_its_text_and_nothing_else(
        self, opened: Open, text: str, words: str, others: str
    ) -> None:
        opened.commit(PutItem(make_item(("a",), "has"), text), PutItem(make_item(("a",), "not")))
        assert words_of(text) == tuple(words.split())
        for word in words.split():
            found = _scores(opened, prefix=("a",), words=(word,))
            assert (found["has"] or 0) > 0, word
            assert found["not"] is None
            assert _scores(opened, words=(word,)) == found
        for word in {*others.split(), place(("a",))}:
            for asked in words_of(word):
                if asked not in words.split():
                    assert set(_scores(opened, words=(asked,)).values()) == {None}, asked

    def test_a_long_text_is_found_by_all_its_words_until_it_is_another(self, opened: Open) -> None:
        long = " ".join(f"word{number:x}" for number in range(30_000))
        opened.commit(PutItem(make_item(("a",), "one"), "word0 of others"))
        opened.commit(PutItem(make_item(("a",), "long"), long))
        first, middle, last = ("word0",), ("word3a98",), ("word752f",)
        assert None not in _scores(opened, words=first).values()
        for words in (middle, last):
            found = _scores(opened, words=words)
            assert list(found) == ["long", "one"]
            assert (found["long"] or 0) > 0
            assert found["one"] is None
        opened.commit(PutItem(make_item(("a",), "long"), "word0"))
        for words in (middle, last):
            assert set(_scores(opened, words=words).values()) == {None}
        opened.commit(PutItem(make_item(("a",), "long"), long), DeleteItem(("a",), "long"))
        assert _scores(opened, words=last) == {"one": None}

    def test_a_filter_is_held_against_as_many_as_it_takes_in_their_order(
        self, opened: Open
    ) -> None:
        def put(n: int) -> PutItem:
            vector = (-1.0, 0.0) if n % 2 else (1.0, 0.0)
            return PutItem(make_item(("a",), str(n), {"n": n}), "soup" if n % 2 else "", (vector,))

        opened.commit(*map(put, range(600)))
        for given, best in (({}, None), ({"words": ("soup",)}, 1), ({"vector": (1.0, 0.0)}, 0)):
            for since in (0, 90, 450, 590, 599, 600):
                keys = [str(n) for n in range(since, 600)]
                if best is not None:
                    keys.sort(key=lambda key: int(key) % 2 != best)
                asked = {**given, "filter": {"n": {"$gte": since}}}
                assert _keys(opened, **asked, limit=7, offset=2) == keys[2:9]
                assert _keys(opened, **asked, limit=999) == keys
                assert _keys(opened, **asked, limit=0) == _keys(opened, **asked, offset=600) == []

    def test_what_has_expired_is_not_found_and_what_is_prolonged_is(self, opened: Open) -> None:
        for key in ("short", "long"):
            item = make_item(("a",), key, ttl=1, expires_at=LATER)
            opened.commit(PutItem(item, "soup", ((1.0, 0.0),)))
        opened.commit(ProlongItem(("a",), "long", 1, MUCH_LATER))
        for query in ({"words": ("soup",)}, {"vector": (1.0, 0.0)}):
            assert list(_scores(opened, **query)) == ["short", "long"]
            assert None not in _scores(opened, **query).values()
            later = _scores(opened, **query, now=LATER)
            assert list(later) == ["long"]
            assert later["long"] is not None

    def test_an_item_that_was_put_again_is_found_by_what_it_has_now(self, opened: Open) -> None:
        opened.commit(PutItem(make_item(("a",), "x"), text="soup", vectors=((1.0, 0.0),)))
        opened.commit(PutItem(make_item(("a",), "x"), text="cake", vectors=((0.0, 1.0),)))
        assert _scores(opened, words=("soup",)) == {"x": None}
        assert _scores(opened, words=("cake",)) != {"x": None}
        assert _scores(opened, vector=(1.0, 0.0)) == {"x": pytest.approx(0.0)}

    def test_a_vector_finds_the_most_alike_first_by_the_nearest_of_an_item(
        self, opened: Open
    ) -> None:
        for key, vectors in (
            ("none", ()),
            ("far", ((0.0, 1.0),)),
            ("short", ((1.0,),)),  # made by another function, once
            ("near", ((-1.0, 0.0), (0.8, 0.6))),
        ):
            opened.commit(PutItem(make_item(("a",), key, {"k": key}), vectors=vectors))
        found = _scores(opened, vector=(1.0, 0.0))
        assert list(found) == ["near", "far", "none", "short"]
        assert list(found.values()) == [pytest.approx(0.8), pytest.approx(0.0), None, None]
        assert _keys(opened, vector=(1.0, 0.0), filter={"k": {"$ne": "near"}}, limit=1) == ["far"]
        assert set(_scores(opened).values()) == {None}

    def test_namespaces_are_listed_by_prefix_suffix_and_depth(self, opened: Open) -> None:
        spaces = [
            *(("a",), ("a", "x"), ("a", "x", "v1"), ("a", "y", "v2")),
            *(("a!", "x"), ("b", "x", "v1"), ("b", "z", "x", "v1")),
        ]
        for space, key in itertools.product(reversed(spaces), "kl"):
            opened.commit(PutItem(make_item(space, key)))

        def listed(**query: Any) -> list[tuple[str, ...]]:
            return opened.storage.list_namespaces(NamespaceQuery(now=NOW, **query))

        assert listed() == spaces
        assert listed(prefix=("a",)) == spaces[:4]
        assert listed(prefix=("*", "x")) == [spaces[n] for n in (1, 2, 4, 5)]
        assert listed(prefix=("a", "*", "v2")) == [("a", "y", "v2")]
        assert listed(suffix=("x", "v1")) == [spaces[n] for n in (2, 5, 6)]
        assert listed(suffix=("x", "*")) == [spaces[n] for n in (2, 5, 6)]
        assert listed(prefix=("b",), suffix=("v1",), max_depth=2) == [("b", "x"), ("b", "z")]
        assert listed(max_depth=1) == [("a",), ("a!",), ("b",)]
        assert listed(max_depth=1, suffix=("v1",)) == [("a",), ("b",)]
        assert listed(max_depth=2, limit=2, offset=1) == [("a", "x"), ("a", "y")]
        assert listed(limit=0) == listed(prefix=("nobody",)) == listed(prefix=("a",) * 9) == []


def _search(opened: Open, **query: Any) -> list[Any]:
    return opened.storage.search_items(ItemQuery(**{"now": NOW, **query}))


def _keys(opened: Open, **query: Any) -> list[str]:
    return [found.item.key for found in _search(opened, **query)]


def _scores(opened: Open, **query: Any) -> dict[str, float | None]:
    return {found.item.key: found.score for found in _search(opened, **query)}
