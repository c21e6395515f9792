"""Long lists in the log: stored once, changed by position, read as they were."""

from __future__ import annotations

import random
from typing import Any

import attrs
import pytest

from greenroom.graph.checkpoint import Checkpoint
from greenroom.storage import (
    InsertThread,
    Operation,
    PackList,
    Storage,
    StorageError,
    StorageSession,
    ThreadLog,
    decode_page,
)
from greenroom.storage.testing import make_thread


class Chat:
    """A log with a list that grows, and every state that it has had, by checkpoint."""

    def __init__(self, session: StorageSession, log: ThreadLog) -> None:
        self.session = session
        self.log = log
        self.past: dict[str, list[Any]] = {}
        self.parent: str | None = None

    @property
    def now(self) -> list[Any]:
        return self.past[self.parent] if self.parent is not None else []

    def put(self, value: list[Any], parent: str | None = None) -> str:
        ident = f"c{len(self.past):04}"
        self.log.append(
            Checkpoint(
                id=ident,
                parent_id=parent or self.parent,
                step=len(self.past),
                source="loop",
                created_at="2026-01-01T00:00:00.000000+00:00",
                values={"messages": value},
                changed=("messages",),
            )
        )
        self.past[ident], self.parent = value, ident
        return ident

    async def bytes(self, kind: str | None = None) -> int:
        """What the log has taken so far."""
        await self.log.flush()
        page = await self.session.read(Storage.read_history, "t", "", limit=None)
        rows = [*page.checkpoints, *page.lists]
        return sum(len(row.data) for row in rows if kind in (None, row.kind))

    async def check(self) -> None:
        """Every checkpoint is read as it was, alone, together, and by a log that is opened anew."""
        await self.log.flush()
        history = {saved.checkpoint.id: saved.checkpoint for saved in await self.log.history()}
        assert {ident: made.values["messages"] for ident, made in history.items()} == self.past
        for ident in random.Random(1).sample(sorted(self.past), min(len(self.past), 8)):
            saved = await self.log.load("", ident)
            assert saved is not None
            assert saved.checkpoint.values == {"messages": self.past[ident]}
        again = await ThreadLog.open(self.session, "t")
        assert again.head is not None
        assert again.head.checkpoint.values == {"messages": self.now}

    async def reopen(self) -> None:
        await self.log.flush()
        self.log = await ThreadLog.open(self.session, "t")


async def chat(session: StorageSession) -> Chat:
    await session.commit([InsertThread(make_thread())])
    return Chat(session, await ThreadLog.open(session, "t"))


def message(number: int, size: int = 200) -> dict[str, Any]:
    return {"id": f"m{number}", "content": f"{number} ".ljust(size, "x")}


async def test_of_a_long_list_each_element_is_stored_once(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        for number in range(300):
            talk.put([*talk.now, message(number)])
        assert await talk.bytes("list") < 300 * 260
        assert await talk.bytes() < 300 * 500
        await talk.check()


@pytest.mark.parametrize("copies", [False, True], ids=["shared", "copied"])
async def test_a_changed_element_is_stored_by_its_position(storage: Storage, copies: bool) -> None:
    """Whether or not the reducer hands on the same objects."""
    async with StorageSession(storage) as session:
        talk = await chat(session)
        talk.put([message(number) for number in range(100)])
        before = await talk.bytes()
        now = [dict(one) for one in talk.now] if copies else list(talk.now)
        now[50] = message(1050)
        talk.put(now)
        now = [dict(one) for one in now] if copies else list(now)
        now[3], now[97] = message(1003), message(1097)
        talk.put([*now, message(100)])
        assert await talk.bytes() - before < 4 * 260 + 2 * 200
        await talk.check()


async def test_removed_elements_are_not_a_reason_to_store_the_others_again(
    storage: Storage,
) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        talk.put([message(number) for number in range(100)])
        before = await talk.bytes()
        talk.put(talk.now[:40] + talk.now[45:])
        talk.put(talk.now[10:])
        talk.put(talk.now[:-1])
        talk.put([message(1000), *talk.now])
        assert await talk.bytes() - before < 260 + 4 * 200
        await talk.check()


async def test_a_window_over_a_conversation_stays_as_cheap_as_it_was(storage: Storage) -> None:
    """Reading a list does not take the records of all that was ever in it."""
    async with StorageSession(storage) as session:
        talk = await chat(session)
        for number in range(400):
            talk.put([*talk.now, message(number)][-10:])
        await talk.log.flush()
        page = await session.read(Storage.read_checkpoint, "t", "")
        assert page is not None
        assert len(page.lists) <= 100
        assert await talk.bytes() < 400 * 750
        await talk.check()


async def test_a_list_of_small_things_is_not_read_one_by_one(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        for number in range(1000):
            talk.put([*talk.now, number])
        await talk.log.flush()
        page = await session.read(Storage.read_checkpoint, "t", "")
        assert page is not None
        assert len(page.lists) <= 130
        assert await talk.bytes() < 1000 * 600
        await talk.check()


async def test_a_list_that_is_short_again_is_stored_whole(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        talk.put([message(number) for number in range(10)])
        talk.put([message(1, size=10)])
        talk.put([])
        talk.put([message(number) for number in range(10)])
        await talk.check()


async def test_a_branch_leaves_the_list_that_it_comes_from_alone(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        for number in range(20):
            talk.put([*talk.now, message(number)])
        root = "c0009"
        talk.parent = root
        talk.put([*talk.past[root], message(100)], parent=root)
        talk.put([*talk.now, message(101)])
        await talk.check()
        await talk.reopen()
        talk.put([*talk.now, message(102)])
        await talk.check()


async def test_what_was_rolled_back_is_in_no_list(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        for number in range(10):
            talk.put([*talk.now, message(number)])
        await talk.log.flush()
        start, kept, parent = talk.log.next_seq, dict(talk.past), talk.parent
        for number in range(100, 110):
            talk.put([*talk.now, message(number)])
        talk.put([message(200), *talk.now[1:]])
        await session.commit([await talk.log.truncate(start)])
        talk.past, talk.parent = kept, parent
        await talk.check()
        talk.put([*talk.now, message(300)])
        talk.put(talk.now[:-2])
        await talk.check()


async def test_many_small_records_become_one_and_nothing_reads_differently(
    storage: Storage,
) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        for turn in range(10):
            for number in range(30):
                talk.put([*talk.now, message(30 * turn + number)])
            await talk.log.flush()
            await session.commit(talk.log.packs())
        if storage.blocking:  # in memory they are as quick to read
            page = await session.read(Storage.read_checkpoint, "t", "", "c0290")
            assert page is not None
            assert len(page.lists) == 1
            assert page.lists[0].count < 90
        assert talk.log.packs() == []
        await talk.check()
        talk.put([*talk.now, message(1000)])
        talk.put([message(1001), *talk.now[1:]])
        await session.commit(talk.log.packs())
        await talk.check()
        await talk.reopen()
        talk.put([*talk.now, message(1002)])
        await talk.check()


async def test_what_is_rolled_back_after_it_was_packed_does_not_come_back(
    storage: Storage,
) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        for number in range(10):
            talk.put([*talk.now, message(number)])
        await talk.log.flush()
        start, kept, parent = talk.log.next_seq, dict(talk.past), talk.parent
        for number in range(10, 110):
            talk.put([*talk.now, message(number)])
        await talk.log.flush()
        await session.commit(talk.log.packs())
        await session.commit([await talk.log.truncate(start)])
        talk.past, talk.parent = kept, parent
        await talk.check()
        for number in range(200, 210):
            talk.put([*talk.now, message(number)])
            await talk.check()


@attrs.frozen
class Undeclared:
    """Comes back from storage as plain data."""

    name: str


async def test_objects_that_nobody_declares_are_plain_data_in_long_lists_too(
    storage: Storage,
) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        plain = [message(number) for number in range(10)]
        talk.put(plain)
        talk.put([*talk.now, Undeclared("x" * 50)])
        talk.put([*talk.now, message(11)])
        last = [*plain, {"name": "x" * 50}, message(11)]
        assert talk.log.head is not None
        assert talk.log.head.checkpoint.values["messages"] == last
        await talk.reopen()
        assert talk.log.head is not None
        assert talk.log.head.checkpoint.values["messages"] == last


async def test_values_that_only_look_alike_are_stored_as_what_they_are(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        filler = [message(number) for number in range(5)]
        for value in (1, True, 1.0, "1", None, (1,), [1], {1}, -0.0, 0.0, b"1"):
            talk.put([*filler, value])
        saved = [await talk.log.load("", ident) for ident in sorted(talk.past)]
        await talk.reopen()
        values = [one.checkpoint.values["messages"][-1] for one in saved if one is not None]
        assert list(map(repr, values)) == [
            "1",
            "True",
            "1.0",
            "'1'",
            "None",
            "(1,)",
            "[1]",
            "{1}",
            "-0.0",
            "0.0",
            "b'1'",
        ]


async def test_a_list_whose_records_are_lost_is_damage(storage: Storage) -> None:
    async with StorageSession(storage) as session:
        talk = await chat(session)
        talk.put([message(number) for number in range(10)])
        talk.put([*talk.now, message(10)])
        await talk.log.flush()
        page = await session.read(Storage.read_checkpoint, "t", "")
        assert page is not None
        with pytest.raises(StorageError, match="thread t is damaged: the list at 1"):
            decode_page(attrs.evolve(page, lists=page.lists[1:]))
        torn = attrs.evolve(page.lists[0], data=b'{"id":')
        torn_page = attrs.evolve(page, lists=(torn, *page.lists[1:]))
        with pytest.raises(StorageError, match="Record 4 of the log of thread t cannot be read"):
            decode_page(torn_page)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_done_to_a_list_every_checkpoint_reads_as_it_was(
    storage: Storage, seed: int
) -> None:
    chance = random.Random(seed)
    size = chance.choice([3, 40, 300])
    async with StorageSession(storage) as session:
        talk = await chat(session)
        for number in range(120):
            now: Any = list(talk.now)
            if chance.random() < 0.1:
                now = [dict(one) for one in now]
            for _ in range(chance.choice([1, 1, 1, 3])):
                at = chance.randrange(len(now) + 1)
                match chance.choice(
                    ["append"] * 5 + ["insert", "change", "remove", "cut", "twice"]
                ):
                    case "append":
                        now.append(message(number, size))
                    case "insert":
                        now.insert(at, message(number, size))
                    case "change" if now:
                        now[at - 1] = message(number, size)
                    case "remove" if now:
                        del now[at - 1]
                    case "cut" if chance.random() < 0.3:
                        now = now[at:]
                    case "twice":
                        now += now[at : at + 2]
            if talk.past and chance.random() < 0.05:
                talk.parent = chance.choice(sorted(talk.past))
                talk.put(list(talk.now), parent=talk.parent)
            else:
                talk.put(now)
            if chance.random() < 0.1:
                await talk.reopen()
            if chance.random() < 0.05:
                await talk.log.flush()
                await session.commit([*talk.log.packs(), *_all_packs(talk)])
        await talk.check()


def _all_packs(talk: Chat) -> list[Operation]:
    """Lists may be packed at any time, however little there is to pack."""
    return [PackList("t", list_id) for list_id in range(1, talk.log.next_seq)]
