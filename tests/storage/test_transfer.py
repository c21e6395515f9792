"""What is stored goes to another store, whole, and goes on where it was cut short."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from greenroom.actors import Greenroom
from greenroom.storage import (
    AssistantQuery,
    DeleteRun,
    ItemQuery,
    MemoryStorage,
    PutItem,
    Restore,
    SqliteStorage,
    Storage,
    StorageError,
    Thread,
    TruncateLog,
)
from greenroom.storage.blocking import BlockingSession
from greenroom.storage.checking import check
from greenroom.storage.testing import make_item
from greenroom.storage.transfer import everything, from_lines, how_many, to_lines
from greenroom.storage.transfer import take_in as take_in_records

from .stocked import FIRST, graph, stock

ID = "[0-9a-f-]{36}"


def at(dsn: str) -> Storage:
    from greenroom.storage.postgres import PostgresStorage

    return PostgresStorage(dsn)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path: Any) -> Storage:
    if request.param == "postgres":
        return at(request.getfixturevalue("dsn"))
    return MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "from.db")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Any) -> Storage:
    if request.param == "postgres":
        return at(request.getfixturevalue("other_dsn"))
    return MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path / "to.db")


def export(storage: Storage) -> list[bytes]:
    storage.open()
    try:
        return list(to_lines(everything(storage)))
    finally:
        storage.close()


def take_in(storage: Storage, lines: Iterator[bytes] | list[bytes]) -> None:
    with BlockingSession(storage) as session:
        take_in_records(from_lines(lines, "the export"), storage, session.commit)


async def test_what_was_taken_in_is_what_was_exported_byte_for_byte(
    source: Storage, target: Storage
) -> None:
    await stock(source)
    lines = export(source)
    kinds = {next(iter(msgspec.json.decode(line))) for line in lines[1:-1]}
    assert kinds == {
        "assistant",
        "assistant_version",
        "thread",
        "run",
        "log",
        "event",
        "item",
        "cron",
        "post",
    }
    take_in(target, lines)
    assert export(target) == lines
    for storage in (source, target):
        storage.open()
        assert how_many(storage.stats()) == len(lines) - 2
        assert list(check(storage, lambda _: None)) == []
        storage.close()


async def test_threads_go_on_in_the_store_that_they_were_taken_to(
    source: Storage, target: Storage
) -> None:
    ids = await stock(source)
    take_in(target, export(source))
    async with Greenroom({"agent": graph()}, storage=source) as room:
        history = await room.client.threads.get_history(ids["answered"], limit=100)
    async with Greenroom({"agent": graph()}, storage=target) as room:
        assert await room.client.threads.get_history(ids["answered"], limit=100) == history
        thread = await room.client.threads.get(ids["asks"])
        assert thread["status"] == "interrupted"
        state = await room.client.runs.wait(ids["asks"], "agent", command={"resume": "yes"})
        assert state["log"][-1] == "yes"
        assert await room.client.store.get_item(["a", "b"], key="k") is not None


def test_items_are_found_by_their_words_and_vectors_in_the_store_that_they_were_taken_to(
    source: Storage, target: Storage
) -> None:
    puts = [
        PutItem(make_item(("a", "b"), "words"), "Soup-of-the-DAY\nCafé 🥣"),
        PutItem(make_item(("a",), "vectors"), vectors=((0.0, 1.0), (1.0, 0.0))),
    ]
    source.open()
    assert source.commit([puts], source.acquire_lease("tests").epoch) == [None]
    source.close()
    lines = export(source)
    take_in(target, lines)
    assert export(target) == lines
    target.open()
    for query, key in (({"words": ("day", "café")}, "words"), ({"vector": (0.0, 1.0)}, "vectors")):
        best, other = target.search_items(ItemQuery(now="", **query))
        assert (best.item.key, other.score) == (key, None)
        assert best.score is not None
    target.close()


async def test_an_import_that_was_cut_short_anywhere_is_made_again(source: Storage) -> None:
    await stock(source)
    lines = export(source)
    for end in range(1, len(lines), 7):
        target = MemoryStorage()
        with pytest.raises(StorageError, match=f"not complete: it ends after {end - 1} records"):
            take_in(target, lines[:end])
        take_in(target, lines)
        take_in(target, lines)
        assert export(target) == lines


async def test_an_import_in_small_commits_that_dies_between_them_is_made_again(
    source: Storage, target: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.storage.transfer.GROUP", 3)
    monkeypatch.setattr("greenroom.storage.scans.PAGE", 2)
    await stock(source)
    lines = export(source)
    source.open()
    assert len(lines) - 2 == how_many(source.stats())
    source.close()
    with pytest.raises(StorageError):
        take_in(target, lines[:40])
    take_in(target, lines)
    assert export(target) == lines


async def test_a_thread_that_has_changed_since_is_not_written_over(source: Storage) -> None:
    ids = await stock(source)
    lines = export(source)
    target = MemoryStorage()
    take_in(target, lines)
    async with Greenroom({"agent": graph()}, storage=target) as room:
        await room.client.threads.update(ids["empty"], metadata={"new": True})
    with pytest.raises(StorageError, match=f"{ids['empty']} is there already, and is not the same"):
        take_in(target, lines)


async def test_a_thread_is_exported_as_of_one_moment(tmp_path: Any) -> None:
    storage = SqliteStorage(tmp_path / "served.db")
    await stock(storage)
    lines = export(storage)
    storage.open()
    epoch = storage.acquire_lease("tests").epoch
    records = everything(storage)
    exported = []
    for record in records:
        exported.append(record)
        if isinstance(record, Restore) and record.kind is Thread:
            thread_id = record.row["thread_id"]
            storage.commit([[TruncateLog(thread_id, 1), DeleteRun(thread_id, "x")]], epoch)
    storage.close()
    assert list(to_lines(exported)) == lines


async def test_the_assistants_that_a_server_made_by_itself_give_way_to_those_of_an_export(
    source: Storage, target: Storage
) -> None:
    await stock(source)
    async with Greenroom({"agent": graph()}, storage=source) as room:
        edited = await room.client.assistants.update("agent", context={"n": 1})
    async with Greenroom({"agent": graph()}, storage=target) as room:
        assert (await room.client.assistants.get("agent"))["context"] == {}
    target.open()
    assert [one.context for one in target.search_assistants(AssistantQuery())] == [{}]
    target.close()
    lines = export(source)
    take_in(target, lines)
    assert export(target) == lines
    async with Greenroom({"agent": graph()}, storage=target) as room:
        assert await room.client.assistants.get("agent") == edited
        assert len(await room.client.assistants.get_versions("agent")) == 2


async def test_an_assistant_of_a_user_does_not_give_way_though_it_was_never_changed() -> None:
    source, target = MemoryStorage(), MemoryStorage()
    async with Greenroom({"agent": graph()}, storage=target) as room:
        await room.client.assistants.create("agent", assistant_id=FIRST, context={"n": 1})
    before = export(target)
    await stock(source)
    with pytest.raises(StorageError, match=f"^Assistant {FIRST} is there already"):
        take_in(target, export(source))
    assert export(target) == before


async def test_an_import_that_was_cut_short_where_an_assistant_gives_way_is_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("greenroom.storage.transfer.GROUP", 1)
    source = MemoryStorage()
    await stock(source)
    async with Greenroom({"agent": graph()}, storage=source) as room:
        await room.client.assistants.update("agent", context={"n": 1})
        await room.client.assistants.update("agent", context={"n": 2})
        await room.client.assistants.set_latest("agent", 2)
    lines = export(source)
    for end in range(2, 12):
        target = MemoryStorage()
        async with Greenroom({"agent": graph()}, storage=target):
            pass
        with pytest.raises(StorageError, match="is not complete"):
            take_in(target, lines[:end])
        target.open()
        assert list(check(target, lambda _: None)) == []
        target.close()
        take_in(target, lines)
        assert export(target) == lines


@pytest.mark.parametrize(
    ("kind", "owner"), [("assistant_version", "assistant"), ("run", "thread"), ("log", "thread")]
)
async def test_what_does_not_follow_what_it_belongs_to_is_not_taken_in(
    kind: str, owner: str
) -> None:
    source, target = MemoryStorage(), MemoryStorage()
    await stock(source)
    lines = export(source)
    take_in(target, lines)
    at = next(n for n, line in enumerate(lines) if line.startswith(f'{{"{kind}"'.encode()))
    with pytest.raises(StorageError, match=f"does not follow its {owner}$"):
        take_in(target, [lines[0], lines[at].replace(b'"name":"', b'"name":"another ')])
    assert export(target) == lines


async def test_an_export_from_before_there_were_versions_is_taken_in(
    source: Storage, target: Storage
) -> None:
    await stock(source)
    before = [line for line in export(source)[:-1] if not line.startswith(b'{"assistant_version"')]
    take_in(target, [*before, msgspec.json.encode({"end": len(before) - 1}) + b"\n"])
    target.open()
    versions = target.list_assistant_versions(FIRST)
    assert [(one.version, one.metadata) for one in versions] == [(2, {"n": [1, None]})]
    assert list(check(target, lambda _: None)) == []
    target.close()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("assistant", f"Assistant {FIRST}"),
        ("assistant_version", f"Version 1 of assistant {FIRST}"),
        ("thread", f"Thread {ID}"),
        ("run", f"Run {ID} of thread {ID}"),
        ("log", f"Record 1 of the log of thread {ID}"),
        ("event", f"Event [0-9]+ of thread {ID}"),
        ("item", "Item a.b, key 'k'"),
        ("cron", "Cron of a thread"),
        ("post", "Post p"),
    ],
)
async def test_a_record_that_is_another_is_named_and_not_written_over(kind: str, name: str) -> None:
    source, target = MemoryStorage(), MemoryStorage()
    await stock(source)
    lines = export(source)
    take_in(target, lines)
    at = next(n for n, line in enumerate(lines) if line.startswith(f'{{"{kind}"'.encode()))
    changed = msgspec.json.decode(lines[at])
    fields = {"log": "data", "event": "data", "post": "url", "assistant_version": "name"}
    field = fields.get(kind, "updated_at")
    changed[kind][field] = "{}" if field == "data" else "2030"
    with pytest.raises(StorageError, match=f"^{name} is there already, and is not the same$"):
        take_in(target, [*lines[:at], msgspec.json.encode(changed) + b"\n", *lines[at + 1 :]])
    assert export(target) == lines


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda lines: [], "is no export of Greenroom's"),
        (lambda lines: [b"{}\n", *lines[1:]], "is no export of Greenroom's"),
        (lambda lines: [b'{"greenroom_export":2}\n', *lines[1:]], "newer version .* format 2"),
        (lambda lines: lines[:-1], "is not complete"),
        (lambda lines: [*lines[:5], lines[5][:20]], "is not complete: it ends after 4 records"),
        (lambda lines: [*lines[:5], lines[5][:20] + b"\n", *lines[6:]], "line 6: "),
        (lambda lines: [*lines[:5], b'{"what":1}\n', *lines[5:]], "line 6: 'what' is no kind"),
        (lambda lines: [*lines[:5], b'{"run":{}}\n', *lines[5:]], "line 6: a run lacks"),
        (lambda lines: [*lines[:5], *lines[6:]], "records came before it"),
        (lambda lines: [lines[0], lines[1].replace(b'"version":2', b'"version":"2"')], "line 2: "),
        (lambda lines: [*lines[:5], lines[-3].replace(b'"enabled":1', b'"enabled":2')], "line 6: "),
    ],
)
async def test_what_is_no_export_or_is_damaged_is_said_in_a_line(
    change: Callable[[list[bytes]], list[bytes]], reason: str
) -> None:
    source = MemoryStorage()
    await stock(source)
    with pytest.raises(StorageError, match=reason) as refused:
        take_in(MemoryStorage(), change(export(source)))
    assert "\n" not in str(refused.value)
