"""The user's store in PostgreSQL: what a search reads, how words rank, items of older versions."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed")

from greenroom.storage import DeleteItem, ItemQuery, PutItem, postgres, postgres_items
from greenroom.storage.postgres import PostgresStorage
from greenroom.storage.postgres_schema import MIGRATIONS
from greenroom.storage.postgres_words import match
from greenroom.storage.testing import make_item

NOW = "2026-01-01T00:00:00.000000+00:00"


@pytest.fixture
def storage(dsn):
    storage = PostgresStorage(dsn)
    storage.open()
    yield storage
    storage.close()


@pytest.fixture
def put(storage):
    """Commits items, all at once."""
    epoch = storage.acquire_lease("tests").epoch

    def put(*operations):
        assert storage.commit([operations], epoch) == [None]

    return put


def search(storage, *words, **query):
    return storage.search_items(ItemQuery(**{"now": NOW, "words": words, **query}))


def keys(found):
    return [one.item.key for one in found]


# What is read.


@pytest.fixture
def read(monkeypatch):
    """How many items were read with their values."""
    items = []
    to_item = postgres_items.to_item

    def seen(row):
        items.append(row)
        return to_item(row)

    monkeypatch.setattr(postgres_items, "to_item", seen)
    return items


def test_only_the_items_of_the_page_are_read(storage, put, read):
    put(
        *(
            PutItem(make_item(("a",), str(n), {"n": n}), "soup of the day", ((1.0, 0.0),))
            for n in range(300)
        )
    )
    for query in ({}, {"words": ("soup",)}, {"words": ("cake",)}, {"vector": (1.0, 0.0)}):
        read.clear()
        assert keys(search(storage, **query, limit=3, offset=200)) == ["200", "201", "202"]
        assert len(read) == 3
        read.clear()
        found = search(storage, **query, filter={"n": {"$gte": 10}}, limit=3)
        assert keys(found) == ["10", "11", "12"]
        assert len(read) == 100


def test_where_enough_has_the_words_nothing_else_is_looked_at(storage, put, db, monkeypatch):
    put(*(PutItem(make_item((str(n % 3),), str(n)), "soup" * (n % 2)) for n in range(60)))
    plans = []

    def explained(query, values):
        plan = db.execute(f"EXPLAIN (ANALYZE) {query}".encode(), values).fetchall()
        plans.append("\n".join(line for (line,) in plan))
        return fetch(query, values)

    fetch = storage._fetch
    monkeypatch.setattr(storage, "_fetch", explained)
    assert keys(search(storage, "soup", limit=30)) == [str(n) for n in range(1, 60, 2)]
    assert keys(search(storage, "soup", limit=31))[-1] == "0"
    enough, more = plans
    assert "never executed" in enough
    assert "never executed" not in more


def test_words_of_other_prefixes_are_no_matches(storage, put, db):
    put(*(PutItem(make_item((str(n), "mem"), "k"), "soup of the day") for n in range(50)))
    assert len(search(storage, "soup", prefix=("7",))) == 1
    query = "SELECT count(*) FROM greenroom.item_words WHERE words @@ %s::tsquery"
    assert db.execute(query, [match(("7",), ["soup"])]).fetchone() == (1,)
    assert db.execute(query, [match((), ["soup"])]).fetchone() == (50,)


def test_a_search_by_vector_is_of_one_moment_whatever_is_committed_meanwhile(
    storage, put, monkeypatch
):
    item = make_item(("a",), "x")
    put(PutItem(item, vectors=((1.0, 0.0),)))
    deletes = [DeleteItem(("a",), "x")]
    similarity = postgres_items.similarity

    def delete_in_between(vectors, wanted):
        while deletes:
            put(deletes.pop())
        return similarity(vectors, wanted)

    monkeypatch.setattr(postgres_items, "similarity", delete_in_between)
    assert [one.item for one in search(storage, vector=(1.0, 0.0))] == [item]
    assert search(storage, vector=(1.0, 0.0)) == []


def test_an_item_that_is_put_again_or_deleted_leaves_no_words(storage, put, db):
    many = " ".join(f"word{n}" for n in range(30_000))
    left = "SELECT count(*) FROM greenroom.item_words"
    mortal = partial(make_item, ("a",), "x", ttl=1)
    put(PutItem(mortal(expires_at=NOW), many))
    assert db.execute(left).fetchone() > (1,)
    for operation, number in (
        (PutItem(mortal(expires_at="2027"), "soup"), 1),
        (PutItem(mortal(), "soup"), 1),
        (PutItem(mortal()), 0),
        (PutItem(mortal(), many), 6),
        (DeleteItem(("a",), "x"), 0),
    ):
        put(operation)
        assert db.execute(left).fetchone() == (number,)


# Ranks.


def test_more_of_the_words_are_better_than_one_of_them_often_and_the_earlier_item_than_the_later(
    storage, put
):
    texts = {
        "often": "soup " * 1000,
        "once": "soup of the day",
        "both": "a cake and no soup",
        "again": "the soup of yesterday",
        "twice": "soup soup",
    }
    put(*(PutItem(make_item(("a",), key), text) for key, text in texts.items()))
    found = search(storage, "soup", "cake")
    assert keys(found) == ["both", "often", "twice", "once", "again"]
    assert found[3].score == found[4].score


def test_the_words_of_a_long_text_count_together_wherever_they_are(storage, put):
    long = " ".join(f"word{n}" for n in range(30_000))
    put(PutItem(make_item(("a",), "one"), "word0"), PutItem(make_item(("a",), "long"), long))
    one, both = (found.score for found in search(storage, "word0", "word29999")[::-1])
    assert both == pytest.approx(2 * one)


# Items of older versions.

TEXTS = [f"Soup-of-the-DAY {number}" for number in range(120)] + ["", "!!", "Café 🥣"]


@pytest.fixture
def old(db):
    """A database as it was before there was an index of words."""
    db.execute("CREATE SCHEMA greenroom")
    db.execute(
        "CREATE TABLE greenroom.migrations"
        " (number integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    for script in MIGRATIONS[0]:
        db.execute(script)
    db.execute("INSERT INTO greenroom.migrations (number) VALUES (1)")
    for number, text in enumerate(TEXTS):
        db.execute(
            "INSERT INTO greenroom.items"
            " (namespace, key, value, created_at, updated_at, words, vectors)"
            " VALUES (%s, %s, '{}', %s, %s, %s, %s)",
            ["\x01a\x01", str(number), NOW, NOW, text, [b"\x00\x00\x80\x3f"]],
        )


def check_all_is_found(storage):
    first = [str(number) for number in range(120)]
    found = search(storage, "soup", prefix=("a",), limit=999)
    assert keys(found) == [str(number) for number in range(len(TEXTS))]
    assert keys(one for one in found if one.score) == first
    assert keys(one for one in search(storage, "119", limit=1) if one.score) == ["119"]
    assert keys(one for one in search(storage, "café", limit=1) if one.score) == ["122"]
    scanned = [put for _, put in storage.scan_items()]
    texts = [f"soup of the day {number}" for number in range(120)] + ["", "", "café"]
    assert [put.text for put in scanned] == texts
    assert {put.vectors for put in scanned} == {((1.0,),)}


def test_what_an_older_version_has_put_is_found_by_its_words(old, storage, put):
    check_all_is_found(storage)
    put(PutItem(make_item(("a",), "7"), "cake"))
    assert [one.score for one in search(storage, "7", limit=1)] == [None]
    assert list(storage.faults()) == []


def test_indexing_that_was_cut_short_goes_on_where_it_was(old, dsn, monkeypatch):
    indexed = []
    send_index = postgres.send_index

    def fail(cursor, row):
        if len(indexed) == 60:
            raise ZeroDivisionError
        indexed.append(row[0])
        send_index(cursor, row)

    monkeypatch.setattr(postgres, "send_index", fail)
    first, second, third = (PostgresStorage(dsn) for _ in range(3))
    first.open()
    with pytest.raises(ZeroDivisionError):
        first.acquire_lease("tests")
    first.close()
    assert len(indexed) == 60
    indexed.append("the rest")
    second.open()
    second.acquire_lease("tests")
    check_all_is_found(second)
    second.close()
    assert indexed[61:] == [*range(51, 121), 122, 123]
    done = len(indexed)
    third.open()
    third.acquire_lease("tests")
    third.close()
    assert len(indexed) == done
