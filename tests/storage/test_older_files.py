"""Files of older versions are brought up to date, with a backup first.

`files/first_format.sql` was written by the first version of the log (commit 6ccf9c5), and
`first_format.json` is what that version answered. One of its runs was under way when it was left.
"""

from __future__ import annotations

import operator
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec
import pytest

from greenroom.actors import Greenroom
from greenroom.graph import START, CompiledStateGraph, StateGraph, interrupt
from greenroom.storage import SqliteStorage, StorageError, ThreadQuery
from greenroom.storage.checking import check
from greenroom.storage.sqlite_schema import MIGRATIONS

FILES = Path(__file__).with_name("files")
ANSWERS: dict[str, Any] = msgspec.json.decode((FILES / "first_format.json").read_bytes())


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    note: str


def say(state: State) -> State:
    return {"log": ["said"], "note": "ключ"}


def ask(state: State) -> State:
    return {"log": [interrupt("is that so?")]}


def fail(state: State) -> State:
    if "bad" in state["log"]:
        raise ValueError("as told")
    return {}


def graphs() -> dict[str, CompiledStateGraph]:
    """As they were when the file was written."""
    inner, outer, talk = StateGraph(State), StateGraph(State), StateGraph(State)
    inner.add_sequence([("say", say), ("ask", ask)])
    inner.add_edge(START, "say")
    outer.add_sequence([("first", say), ("fail", fail), ("inner", inner.compile())])
    outer.add_edge(START, "first")
    talk.add_node("say", say)
    talk.add_edge(START, "say")
    return {"agent": outer.compile(), "talk": talk.compile()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript((FILES / "first_format.sql").read_text())
    return tmp_path / "old.db"


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def taken(path: Path) -> SqliteStorage:
    storage = SqliteStorage(path)
    storage.open()
    try:
        storage.acquire_lease("tests")
    except BaseException:
        storage.close()
        raise
    return storage


async def test_every_state_of_the_first_version_is_read_as_it_was(path: Path) -> None:
    async with Greenroom(graphs(), storage=SqliteStorage(path)) as room:
        threads = room.client.threads
        for name, was in ANSWERS.items():
            if name == "slow":
                continue
            history = await threads.get_history(was["thread_id"], limit=1000)
            now = [
                [
                    state["checkpoint"]["checkpoint_id"],
                    state["values"],
                    state["next"],
                    state["metadata"],
                    [
                        [task["id"], task["name"], [one["value"] for one in task["interrupts"]]]
                        for task in state["tasks"]
                    ],
                ]
                for state in history
            ]
            assert now == was["history"]
            assert (await threads.get(was["thread_id"]))["status"] == was["status"]


async def test_threads_of_the_first_version_go_on(path: Path) -> None:
    async with Greenroom(graphs(), storage=SqliteStorage(path)) as room:
        threads, runs = room.client.threads, room.client.runs
        ids = {name: was["thread_id"] for name, was in ANSWERS.items()}
        (left,) = await runs.list(ids["slow"])
        await runs.join(ids["slow"], left["run_id"])
        assert (await threads.get_state(ids["slow"]))["values"]["log"][:2] == ["slow", "said"]
        answered = await runs.wait(ids["asks"], "agent", command={"resume": "yes"})
        assert answered["log"][-1] == "yes"
        assert len((await runs.wait(ids["long"], "talk", input={"log": ["new"]}))["log"]) == 38
        old = ANSWERS["long"]["history"][30]
        checkpoint = {"checkpoint_id": old[0]}
        fork = await runs.wait(ids["long"], "talk", input={"log": ["x"]}, checkpoint=checkpoint)
        assert fork["log"][: len(old[1]["log"])] == old[1]["log"]
        await threads.copy(ids["answered"])
        assert await threads.prune(list(ids.values()), strategy="keep_latest") == {
            "pruned_count": len(ids)
        }
        assert list(check(room.storage, lambda _: None)) == []


def test_threads_of_the_first_version_are_found_by_their_metadata(path: Path) -> None:
    stored = dict(rows(path, "SELECT thread_id, metadata ->> '$.graph_id' FROM threads"))
    with closing(taken(path)) as storage:
        for graph_id in ("agent", "talk"):
            page = ThreadQuery(metadata={"graph_id": graph_id}, limit=None)
            found = {thread.thread_id for thread in storage.search_threads(page)}
            assert found == {one for one, of in stored.items() if of == graph_id} != set()


def test_a_file_of_the_first_version_has_nothing_damaged_in_it(path: Path) -> None:
    with closing(taken(path)) as storage:
        assert list(check(storage, lambda _: None)) == []


def test_a_backup_is_made_before_anything_is_changed(path: Path) -> None:
    before = rows(path, "SELECT * FROM log ORDER BY id")
    taken(path).close()
    backup = path.with_name("old.db.backup-1")
    assert rows(backup, "SELECT * FROM log ORDER BY id") == before
    assert rows(backup, "SELECT name FROM _sqlite_migrations") == [("tables",)]
    assert backup.stat().st_mode & 0o777 == 0o600
    assert rows(path, "SELECT count(*) FROM _sqlite_migrations") == [(len(MIGRATIONS),)]
    names = {file.name for file in path.parent.iterdir()}
    assert names == {"old.db", "old.db.lock", "old.db.backup-1"}


def test_a_new_file_and_one_of_this_version_need_no_backup(tmp_path: Path) -> None:
    for _ in range(2):
        taken(tmp_path / "new.db").close()
    assert not [file for file in tmp_path.iterdir() if "backup" in file.name]


def test_a_file_that_cannot_be_brought_up_to_date_stays_as_it_was(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM log WHERE kind = 'checkpoint' AND seq = 2")
    before = rows(path, "SELECT * FROM log ORDER BY id")
    for _ in range(2):
        with pytest.raises(StorageError, match="of the first version cannot be read"):
            taken(path)
        assert rows(path, "SELECT * FROM log ORDER BY id") == before
        assert rows(path, "SELECT name FROM _sqlite_migrations") == [("tables",)]


def test_an_older_file_is_not_read_without_being_brought_up_to_date(path: Path) -> None:
    with closing(SqliteStorage(path)) as storage:
        storage.open()
        with pytest.raises(StorageError, match="older version of Greenroom"):
            storage.stats()
    assert rows(path, "SELECT name FROM _sqlite_migrations") == [("tables",)]
