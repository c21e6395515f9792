"""Looking after PostgreSQL: one moment, damage, space that is given back."""

from __future__ import annotations

import pytest

pytest.importorskip("psycopg", reason="psycopg is not installed")

import psycopg

from greenroom.storage import AssistantQuery, InsertThread, Restore, StorageAway
from greenroom.storage.checking import check
from greenroom.storage.postgres import PostgresStorage
from greenroom.storage.postgres_connection import Connection
from greenroom.storage.records import Assistant
from greenroom.storage.rows import to_row
from greenroom.storage.testing import make_assistant, make_thread

from .postgres_server import let_the_lease_run_out
from .stocked import stock


@pytest.fixture
def storage(dsn):
    storage = PostgresStorage(dsn)
    storage.open()
    yield storage
    storage.close()


def ids(storage):
    return [row["thread_id"] for row in storage.scan_threads()]


def test_a_moment_does_not_see_what_is_committed_meanwhile(storage):
    epoch = storage.acquire_lease("tests").epoch
    storage.commit([[InsertThread(make_thread("a"))]], epoch)
    with storage.moment() as then:
        assert ids(then) == ["a"]
        storage.commit([[InsertThread(make_thread("b"))]], epoch)
        with then.moment() as same:
            assert ids(same) == ids(then) == ["a"]
        assert dict(then.stats().threads) == {"idle": 1}
        assert ids(storage) == ["a", "b"]
        assert then.types is storage.types
    assert ids(storage) == ["a", "b"]


def test_a_moment_that_ends_leaves_no_transaction_behind(storage, db):
    storage.acquire_lease("tests")
    under_way = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
    with storage.moment() as then:
        assert ids(then) == []
        assert db.execute(under_way).fetchone() == (1,)
    assert db.execute(under_way).fetchone() == (0,)
    with pytest.raises(ZeroDivisionError), storage.moment():
        raise ZeroDivisionError
    assert ids(storage) == []


def test_a_moment_that_is_cut_off_says_so(storage, postgres):
    storage.acquire_lease("tests")

    def be_cut_off():
        with storage.moment() as then:
            ids(then)
            postgres.cut_connections()
            ids(then)

    with pytest.raises(StorageAway, match="cannot be reached"):
        be_cut_off()
    assert ids(storage) == []


def test_a_moment_begins_on_a_new_connection_where_the_idle_one_was_lost(storage, postgres):
    storage.acquire_lease("tests")
    ids(storage)
    postgres.cut_connections()
    with storage.moment() as then:
        assert ids(then) == []


def test_an_assistant_that_was_restored_is_found_by_its_name(storage):
    epoch = storage.acquire_lease("tests").epoch
    row = to_row(make_assistant(name="Große Ada"))
    assert storage.commit([[Restore(Assistant, row)]], epoch) == [None]
    assert storage.count_assistants(AssistantQuery(name="GROSSE")) == 1


def test_nobody_is_said_to_hold_a_lease_that_has_run_out(storage, db):
    storage.acquire_lease("the one")
    assert storage.stats().holder == "the one"
    let_the_lease_run_out(db)
    assert storage.stats().holder is None


def test_vacuum_makes_a_table_smaller_and_waits_as_long_as_it_takes(storage, db, monkeypatch):
    epoch = storage.acquire_lease("tests").epoch
    db.execute(
        "INSERT INTO greenroom.events SELECT 1, n, 1, 'e', 'x'::bytea"
        " FROM generate_series(1, 50000) n"
    )
    db.execute("DELETE FROM greenroom.events")
    size = "SELECT pg_relation_size('greenroom.events')"
    (before,) = db.execute(size).fetchone()
    storage.commit([], epoch)
    waits = []
    wait = psycopg.Connection.wait

    def seen(self, gen, interval=0.1, timeout=None):
        if isinstance(self, Connection):
            waits.append(timeout)
        return wait(self, gen, interval, timeout)

    monkeypatch.setattr(psycopg.Connection, "wait", seen)
    storage.vacuum(epoch)
    (after,) = db.execute(size).fetchone()
    assert before > 1_000_000
    assert after == 0
    assert None in waits
    waits.clear()
    storage.commit([], epoch)
    assert waits
    assert None not in waits


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("UPDATE threads SET config = '{'", "stored Thread"),
        ("UPDATE threads SET status = 'busy'", "is busy and has 0 unfinished runs"),
        ("UPDATE runs SET kwargs = '['", "stored Run"),
        ("UPDATE assistants SET context = 'x'", "stored Assistant"),
        ("UPDATE greenroom.assistant_versions SET config = 'x'", "stored AssistantVersion"),
        ("DELETE FROM assistants", "versions of an assistant that is not there"),
        ("DELETE FROM assistant_versions", "assistants that are a version which is not there"),
        ("UPDATE crons SET payload = '{'", "stored Cron"),
        ("UPDATE posts SET body = '{'", "stored Post"),
        ("UPDATE crons SET thread_id = 'x'", "2 crons of a thread that is not there"),
        ("UPDATE events SET data = '{'", "Event"),
        ("UPDATE items SET value = '{'", "Item a.b, key 'k' cannot be read"),
        ("UPDATE log SET data = '{' WHERE kind = 'writes'", "damaged"),
        ("UPDATE log SET lists = NULL WHERE kind = 'checkpoint'", "it names the lists []"),
        ("DELETE FROM runs", "events of a run that is not there"),
        ("DELETE FROM runs", "log records that take their input from a run that is not there"),
        ("DELETE FROM threads", "runs of a thread that is not there"),
        ("DELETE FROM threads", "log records of a thread that is not there"),
        ("DELETE FROM threads", "events of a thread that is not there"),
        ("DELETE FROM items", "words of an item that is not there"),
    ],
)
async def test_damage_is_named(storage, db, dsn, sql, fault):
    await stock(PostgresStorage(dsn))
    assert list(check(storage, lambda _: None)) == []
    db.execute("SET search_path = greenroom")
    assert db.execute(sql).rowcount > 0
    found = list(check(storage, lambda _: None))
    assert any(fault in line for line in found), found
    assert all("\n" not in line for line in found)
