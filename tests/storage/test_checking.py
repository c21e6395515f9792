"""Damage of every kind is found, and nothing else is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from greenroom.storage import SqliteStorage, StorageError
from greenroom.storage.checking import check

from .stocked import stock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "greenroom.db"


def faults(path: Path) -> list[str]:
    storage = SqliteStorage(path)
    storage.open()
    try:
        return list(check(storage, lambda _: None))
    finally:
        storage.close()


async def test_a_sound_store_has_no_faults_and_every_record_is_read(path: Path) -> None:
    storage = SqliteStorage(path)
    await stock(storage)
    storage.open()
    read: list[int] = []
    assert list(check(storage, read.append)) == []
    stats = storage.stats()
    storage.close()
    records = [sum(part.values()) for part in (stats.threads, stats.runs, stats.log)]
    others = (stats.assistants, stats.assistant_versions, stats.crons, stats.posts, stats.items)
    assert sum(read) == sum(records) + stats.events + sum(others)


FIRST_LIST = "kind = 'list' AND seq = base_seq"


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("UPDATE threads SET config = '{' WHERE id = 1", "stored Thread"),
        ("UPDATE threads SET status = 'busy' WHERE id = 1", "is busy and has 0 unfinished runs"),
        ("UPDATE runs SET status = 'running' WHERE id = 1", "and has 1 unfinished runs"),
        ("UPDATE runs SET kwargs = '[' WHERE id = 1", "stored Run"),
        ("UPDATE assistants SET context = 'x'", "stored Assistant"),
        ("UPDATE assistant_versions SET config = 'x'", "stored AssistantVersion"),
        ("DELETE FROM assistants", "versions of an assistant that is not there"),
        ("UPDATE crons SET payload = '{'", "stored Cron"),
        ("UPDATE posts SET body = '{'", "stored Post"),
        ("UPDATE crons SET enabled = 2", "2 is neither 0 nor 1"),
        ("UPDATE crons SET thread_id = 'x'", "2 crons of a thread that is not there"),
        ("UPDATE events SET data = CAST('{' AS BLOB) WHERE id = 1", "Event"),
        ("UPDATE items SET value = '{'", "Item a.b, key 'k' cannot be read"),
        ("DELETE FROM runs WHERE id = 1", "events of a run that is not there"),
        ("UPDATE log SET data = CAST('{' AS BLOB) WHERE id = 2", "damaged"),
        ("UPDATE log SET data = CAST('1,' AS BLOB) WHERE kind = 'list'", "elements: "),
        (f"DELETE FROM log WHERE {FIRST_LIST}", "the list at"),
        ("DELETE FROM log WHERE kind = 'list' AND seq > base_seq", "is shorter than"),
        ("UPDATE log SET lists = NULL WHERE kind = 'checkpoint'", "it names the lists []"),
        (
            "DELETE FROM log WHERE kind = 'checkpoint' AND base_seq < seq AND id IN "
            "(SELECT id FROM log WHERE kind = 'checkpoint' AND base_seq < seq LIMIT 1)",
            "the checkpoint before it is not there",
        ),
        (
            "DELETE FROM log WHERE kind = 'checkpoint' AND base_seq = seq",
            "the checkpoint before it is not there",
        ),
        ("UPDATE log SET checkpoint_id = 'x' WHERE kind = 'writes'", "its checkpoint x is not"),
        (
            "UPDATE log SET data = CAST('{\"about\":1' AS BLOB) WHERE kind = 'writes'",
            "damaged",
        ),
        ("UPDATE log SET input = '{', run = NULL WHERE run IS NOT NULL", "input: "),
        (
            "UPDATE log SET data = CAST(replace(CAST(data AS TEXT), '\"metadata\"', '\"meta\"') "
            "AS BLOB) WHERE kind = 'checkpoint'",
            "damaged",
        ),
    ],
)
async def test_damage_is_named(path: Path, sql: str, fault: str) -> None:
    await stock(SqliteStorage(path))
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(sql).rowcount > 0
    found = faults(path)
    assert any(fault in line for line in found), found
    assert all("\n" not in line for line in found)


def overwrite_every_other_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for start in range(8192, len(data), 8192):
        data[start : start + 200] = b"\xff" * 200
    path.write_bytes(data)


async def test_a_file_that_is_damaged_below_its_records_is_said_to_be(path: Path) -> None:
    await stock(SqliteStorage(path))
    overwrite_every_other_page(path)
    with pytest.raises(StorageError, match="is damaged"):
        raise StorageError(f"is damaged: {faults(path)[0]}")
