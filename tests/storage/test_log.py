"""The checkpoint log: deltas, forks, pending writes, truncation."""

from __future__ import annotations

import attrs
import pytest
import trio

from greenroom.graph.checkpoint import Checkpoint, PendingWrites, Planned
from greenroom.graph.control import Interrupt, Send
from greenroom.graph.failure import TaskError
from greenroom.storage import (
    InsertThread,
    LogPage,
    MemoryStorage,
    Storage,
    StorageError,
    StorageSession,
    ThreadLog,
    Unstorable,
    decode_page,
    read_history,
    read_saved,
)
from greenroom.storage.codec import Types
from greenroom.storage.log import SNAPSHOT_EVERY
from greenroom.storage.operations import PutThread
from greenroom.storage.pending import decode_writes
from greenroom.storage.testing import FaultyStorage, make_thread


@pytest.fixture
async def session(storage):
    async with StorageSession(storage) as session:
        await session.commit([InsertThread(make_thread())])
        yield session


@pytest.fixture
async def log(session):
    return await ThreadLog.open(session, "t")


def make(ident, values, changed=None, parent=None, **given):
    return Checkpoint(
        id=ident,
        parent_id=parent,
        step=0,
        source="loop",
        created_at="2026-01-01T00:00:00.000000+00:00",
        values=values,
        changed=tuple(values if changed is None else changed),
        **given,
    )


def writes(checkpoint_id, task_id="task", **given):
    return PendingWrites(checkpoint_id=checkpoint_id, task_id=task_id, node="node", **given)


def chain(log, length, grow=lambda values, n: {**values, "n": n}, start=None):
    """Appends checkpoints c1, c2, …, each a change of the one before; returns the last values."""
    values = start or {}
    for n in range(1, length + 1):
        before, values = values, grow(values, n)
        changed = [key for key in values if key not in before or values[key] is not before[key]]
        log.append(make(f"c{n}", values, changed, f"c{n - 1}" if n > 1 else None))
    return values


async def rows(session, ns=""):
    page = await session.read(Storage.read_history, "t", ns, limit=None)
    return page.checkpoints


async def reopened(session):
    return await ThreadLog.open(session, "t")


async def test_an_empty_log_has_no_head(log):
    assert log.head is None
    assert await log.load() is None
    assert await log.load("", "unknown") is None
    assert await log.load("sub:1") is None
    assert await log.history() == []
    assert log.next_seq == 1


async def test_a_checkpoint_comes_back_whole(session, log):
    checkpoint = make(
        "c1",
        {"a": (1, {"b": b"x"}), "messages": [{"id": "1"}]},
        ["a"],
        "c0",
        next=(Planned("x", origin="c0"), Planned("y", 0, {1: 2}, "c1")),
        joins={"a+b:c": ("a",)},
        ran=("x", "y"),
        metadata={"run_id": "r", "when": (1,)},
    )
    pending = writes(
        "c1",
        writes=(("messages", (1,)), ("a", float("inf"))),
        goto=("x", Send("y", {"arg": {1}})),
        resumes=("yes", None),
        interrupts=(Interrupt({"q": 1}, "f" * 32, ("node:1",), {"type": "object"}),),
        error=TaskError("E", "m", "E('m')"),
    )
    log.append(checkpoint)
    log.append(pending)
    handled = writes("c1", "handled", handles=TaskError.of(KeyError("x")))
    log.append(handled)
    log.append(writes("c1", "unfinished"))
    await log.flush()
    saved = (await reopened(session)).head
    assert saved.checkpoint == checkpoint
    assert [task.arg for task in saved.checkpoint.next] == [None, {1: 2}]
    assert [task.id for task in saved.checkpoint.next] == [task.id for task in checkpoint.next]
    assert len({task.id for task in saved.checkpoint.next}) == 2
    unfinished = writes("c1", "unfinished")
    assert saved.pending == {"task": pending, "handled": handled, "unfinished": unfinished}


async def test_an_error_that_was_recorded_without_its_base_can_be_read(log):
    log.append(make("c1", {"a": 1}))
    log.append(writes("c1", error=TaskError("E", "m", "E('m')", "OSError")))
    row = log.take()[-1].rows[-1]
    old = row.data.replace(b',"OSError"', b"")
    assert old != row.data
    read = decode_writes(attrs.evolve(row, data=old), Types())
    assert read.error == TaskError("E", "m", "E('m')", "Exception")


async def test_the_head_has_the_objects_that_were_appended(log):
    values = {"a": [object]}
    values["a"] = [{"x": 1}]
    log.append(make("c1", values))
    log.append(writes("c1"))
    assert log.head.checkpoint.values is values
    assert (await log.load()).checkpoint.values is values
    assert (await log.load("", "c1")).checkpoint.values is values
    log.head.pending.clear()
    assert log.head.pending == {"task": writes("c1")}


async def test_reads_see_what_is_not_durable_yet(log):
    chain(log, 3)
    log.append(make("s1", {"x": 1}, ns="node:1"))
    assert (await log.load("", "c2")).checkpoint.values == {"n": 2}
    assert [saved.checkpoint.id for saved in await log.history()] == ["c3", "c2", "c1"]
    assert (await log.load("node:1")).checkpoint.id == "s1"
    assert [saved.checkpoint.id for saved in await log.history("node:1")] == ["s1"]


async def test_history_goes_back_from_before_a_checkpoint(session, log):
    chain(log, 5)
    await log.flush()
    page = await log.history(before="c4", limit=2)
    assert [saved.checkpoint.id for saved in page] == ["c3", "c2"]
    assert [saved.checkpoint.values for saved in page] == [{"n": 3}, {"n": 2}]
    assert await session.read(read_history, "t", before="c4", limit=2) == page
    assert await session.read(read_saved, "t", "", "c2") == page[1]
    assert await session.read(read_saved, "t", "", "unknown") is None


# Cost follows change.


async def test_an_unchanged_channel_is_stored_once(session, log):
    big = "unmistakable" * 100
    values = chain(log, 20, start={"big": big})
    await log.flush()
    stored = await rows(session)
    assert len(stored) == 20
    assert sum(row.data.count(b"unmistakable" * 100) for row in stored) == 1
    assert values == {"big": big, "n": 20}
    assert [saved.checkpoint.values["big"] for saved in await log.history()] == [big] * 20


async def test_of_a_list_that_grew_only_what_is_new_is_stored(session, log):
    texts = [f"message number {n}." for n in range(1, 21)]
    chain(log, 20, lambda values, n: {"messages": [*values.get("messages", []), texts[n - 1]]})
    await log.flush()
    stored = b"".join(row.data for row in await rows(session))
    assert [stored.count(text.encode()) for text in texts] == [1] * 20
    history = await log.history()
    assert [saved.checkpoint.values["messages"] for saved in history] == [
        texts[:n] for n in range(20, 0, -1)
    ]
    # It is the stored form that is compared, so that a log opened anew goes on the same way.
    again = await reopened(session)
    again.append(make("c21", {"messages": [*texts, "and one more"]}, parent="c20"))
    await again.flush()
    assert texts[0].encode() not in (await rows(session))[-1].data
    assert (await reopened(session)).head.checkpoint.values["messages"] == [*texts, "and one more"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [1]),
        ([1], []),
        ([1], [12]),
        ([1], [1]),
        ([1, 2], [1]),
        (["a"], ["a,b"]),
        ([[1]], [[1, 2]]),
        ([{"a": 1}], [{"a": 1, "b": 2}]),
        ([{"a": 1}], [{"a": 2}, {"b": 3}]),
        ([1], [True, 1]),
        ([1], {"a": 1}),
        ("[1]", [1]),
        ("[1]", "[1,2]"),
        ((1,), (1, 2)),
        ([(1,)], [(1,), (2,)]),
        ([float("inf")], [float("inf"), "\ud800"]),
        (None, [None]),
    ],
)
async def test_any_change_of_a_channel_is_read_back_as_it_was_written(session, log, before, after):
    log.append(make("c1", {"x": before}))
    log.append(make("c2", {"x": after}, parent="c1"))
    log.append(make("c3", {"x": after, "y": 1}, ["y"], "c2"))
    await log.flush()
    history = [saved.checkpoint.values["x"] for saved in await log.history()]
    assert repr(history) == repr([after, after, before])


async def test_a_message_changed_in_place_and_returned_again_is_stored_as_it_is(session, log):
    message = {"content": "first"}
    log.append(make("c1", {"messages": [message]}))
    message["content"] = "second"
    log.append(make("c2", {"messages": [message]}, parent="c1"))
    await log.flush()
    new, old = await log.history()
    assert old.checkpoint.values == {"messages": [{"content": "first"}]}
    assert new.checkpoint.values == {"messages": [{"content": "second"}]}


async def test_a_channel_that_holds_nothing_any_more_is_gone(session, log):
    log.append(make("c1", {"a": 1, "b": 2}))
    log.append(make("c2", {"b": 2}, ["a"], "c1"))
    log.append(make("c3", {"b": 2, "c": 3}, ["c"], "c2"))
    await log.flush()
    assert [saved.checkpoint.values for saved in await log.history()] == [
        {"b": 2, "c": 3},
        {"b": 2},
        {"a": 1, "b": 2},
    ]


async def test_a_snapshot_at_intervals_bounds_what_a_read_folds(session, log):
    length = 3 * SNAPSHOT_EVERY + 7
    chain(log, length, start={"big": "unmistakable"})
    await log.flush()
    stored = await rows(session)
    bases = [row.seq for row in stored if row.seq == row.base_seq]
    assert bases == [1, SNAPSHOT_EVERY + 1, 2 * SNAPSHOT_EVERY + 1, 3 * SNAPSHOT_EVERY + 1]
    assert sum(b"unmistakable" in row.data for row in stored) == 4
    for n in (1, SNAPSHOT_EVERY, SNAPSHOT_EVERY + 1, length - 1):
        page = await session.read(Storage.read_checkpoint, "t", "", f"c{n}")
        assert len(page.checkpoints) <= SNAPSHOT_EVERY
        assert decode_page(page)[0].checkpoint.values == {"big": "unmistakable", "n": n}
    # A log opened anew counts on from where the chain stands.
    again = await reopened(session)
    values = {"big": "unmistakable", "n": 0}
    for n in range(length + 1, 4 * SNAPSHOT_EVERY + 2):
        again.append(make(f"c{n}", values, ["n"], f"c{n - 1}"))
    await again.flush()
    assert (await rows(session))[-1].base_seq == 4 * SNAPSHOT_EVERY + 1
    assert (await rows(session))[-2].base_seq == 3 * SNAPSHOT_EVERY + 1


# Forks.


async def test_branches_are_read_apart(session, log):
    chain(log, 3, lambda values, n: {**values, f"k{n}": n})
    log.append(make("f1", {"k1": 1, "fork": 1}, ["fork"], "c1"))
    log.append(make("f2", {"k1": 1, "fork": 2}, ["fork"], "f1"))
    log.append(make("g1", {"k1": 1, "k2": 2, "again": 1}, ["again"], "c2"))
    log.append(make("f3", {"k1": 1, "fork": 3}, ["fork"], "f2"))
    await log.flush()
    history = await (await reopened(session)).history()
    assert {saved.checkpoint.id: saved.checkpoint.values for saved in history} == {
        "c1": {"k1": 1},
        "c2": {"k1": 1, "k2": 2},
        "c3": {"k1": 1, "k2": 2, "k3": 3},
        "f1": {"k1": 1, "fork": 1},
        "f2": {"k1": 1, "fork": 2},
        "g1": {"k1": 1, "k2": 2, "again": 1},
        "f3": {"k1": 1, "fork": 3},
    }
    assert [saved.checkpoint.id for saved in await log.history(limit=3)] == ["f3", "g1", "f2"]
    assert (await log.load("", "f1")).checkpoint.parent_id == "c1"


async def test_a_page_that_lacks_an_ancestor_is_damage(session, log):
    chain(log, 3)
    await log.flush()
    page = await session.read(Storage.read_checkpoint, "t", "", "c3")
    torn = LogPage(page.wanted, page.checkpoints[1:], page.writes)
    with pytest.raises(StorageError, match="lacks the one before it"):
        decode_page(torn)


@pytest.mark.parametrize(
    ("good", "bad", "text"),
    [
        (b"{", b"", "log of thread t is damaged at 3"),
        (b'"about":{', b'"about":[],"x":{', "log of thread t is damaged at 3"),
        (
            b'"changed":',
            b'"next":[{"~":"x"}],"changed":',
            "Record 3 of the log of thread t cannot be read",
        ),
        (b'"n":3', b'"n":{"~":"x","=":1}', "Record 3 .* cannot be read: channel 'n': .*damaged"),
    ],
)
async def test_a_damaged_checkpoint_fails_with_its_place(session, log, good, bad, text):
    chain(log, 3)
    await log.flush()
    page = await session.read(Storage.read_checkpoint, "t", "", "c3")
    newest = page.checkpoints[2]
    broken = attrs.evolve(newest, data=newest.data.replace(good, bad, 1))
    assert broken != newest
    with pytest.raises(StorageError, match=text):
        decode_page(LogPage(page.wanted, (*page.checkpoints[:2], broken), ()))


async def test_damaged_writes_fail_with_their_place(session, log):
    chain(log, 1)
    log.append(writes("c1", writes=(("k", 1),)))
    await log.flush()
    page = await session.read(Storage.read_checkpoint, "t", "", "c1")
    data = page.writes[0].data.replace(b'["k",1]', b'["k",{"~":"int","=":"z"}]')
    broken = LogPage(page.wanted, page.checkpoints, (attrs.evolve(page.writes[0], data=data),))
    with pytest.raises(StorageError, match=r"Record 2 of .* cannot be read: channel 'k': "):
        decode_page(broken)


# Pending writes.


async def test_later_writes_of_a_task_replace_the_earlier(session, log):
    log.append(make("c1", {"a": 1}))
    log.append(writes("c1", resumes=("one",)))
    log.append(writes("c1", "other"))
    log.append(writes("c1", resumes=("one", "two")))
    await log.flush()
    expected = {"task": writes("c1", resumes=("one", "two")), "other": writes("c1", "other")}
    assert log.head.pending == expected
    assert (await reopened(session)).head.pending == expected


async def test_writes_of_an_older_checkpoint_stay_with_it(log):
    chain(log, 2)
    log.append(writes("c1"))
    assert log.head.pending == {}
    assert (await log.load("", "c1")).pending == {"task": writes("c1")}


async def test_a_subgraph_keeps_its_own_head_until_the_graph_around_it_goes_on(log):
    chain(log, 1)
    log.append(make("s1", {"x": 1}, ns="node:1"))
    log.append(attrs.evolve(writes("s1"), ns="node:1"))
    log.append(make("i1", {"y": 1}, ns="node:1|inner:2"))
    assert log.head.checkpoint.id == "c1"
    assert (await log.load("node:1")).pending == {"task": attrs.evolve(writes("s1"), ns="node:1")}
    log.append(make("s2", {"x": 2}, parent="s1", ns="node:1"))
    log.append(make("c2", {"n": 2}, parent="c1"))
    assert (await log.load("node:1")).checkpoint.values == {"x": 2}
    assert (await log.load("node:1|inner:2")).checkpoint.values == {"y": 1}
    assert log.head.checkpoint.id == "c2"


# Handing over.


async def test_what_is_taken_is_committed_with_more(session, log):
    chain(log, 2)
    assert log.take() != []
    assert log.take() == []
    assert log.next_seq == 3
    chain_again = await reopened(session)
    assert chain_again.head is None  # nobody has committed it
    chain(chain_again, 1)
    await session.commit([*chain_again.take(), InsertThread(make_thread("with it"))])
    assert (await reopened(session)).head.checkpoint.id == "c1"


async def test_a_value_that_cannot_be_stored_is_refused_by_its_channel_and_changes_nothing(
    session, log
):
    chain(log, 1)
    for refused, text in (
        (make("c2", {"messages": [{"when": object()}]}, parent="c1"), r"^messages\[0\]\.when: "),
        (writes("c1", writes=(("a", 1), ("b", [len]))), r"^b\[0\]: "),
        (writes("c1", resumes=(object(),)), r"^node\.resumes\[0\]: "),
        (make("c2", {}, parent="c1", metadata={"k": {"x": len}}), r"^checkpoint\.metadata\.k\.x: "),
    ):
        with pytest.raises(Unstorable, match=text):
            log.append(refused)
    assert log.next_seq == 2
    assert log.head.checkpoint.id == "c1"
    assert log.head.pending == {}
    await log.flush()
    assert (await reopened(session)).head == log.head


async def test_a_hand_over_that_failed_is_told_at_every_later_step(session, log):
    other = await reopened(session)
    chain(log, 1)
    await log.flush()

    async def hand_over_two() -> None:
        for n in (1, 2):  # the second would be accepted, and leave a gap
            other.append(make(f"c{n}", {"n": n}))
            other.hand_over()
        await other.flush()

    with pytest.raises(StorageError, match="ends at"):
        await hand_over_two()
    for step in (other.hand_over, other.take, lambda: other.append(writes("c1"))):
        with pytest.raises(StorageError, match="ends at"):
            step()


async def test_records_are_durable_in_the_order_of_appending(session, log):
    for n in range(1, 101):
        log.append(make(f"c{n}", {"n": n}, parent=f"c{n - 1}" if n > 1 else None))
        log.hand_over()
        await trio.lowlevel.checkpoint()
    await log.flush()
    assert [row.checkpoint_id for row in await rows(session)] == [f"c{n}" for n in range(1, 101)]


# Truncation.


async def test_truncating_brings_the_head_before_back_with_the_writes_it_had(session, log):
    chain(log, 2)
    log.append(writes("c2", resumes=()))
    before, first = log.head, log.next_seq
    log.append(writes("c2", resumes=("answered",)))
    log.append(make("c3", {"n": 3}, parent="c2"))
    log.hand_over()
    log.append(make("c4", {"n": 4}, parent="c3"))
    operation = await log.truncate(first)
    assert log.head == before
    assert log.next_seq == first
    assert log.take() == []
    log.append(make("other", {"n": 5}, parent="c2"))
    await session.commit([operation, *log.take()])
    again = await reopened(session)
    assert again.head == log.head
    assert [saved.checkpoint.id for saved in await again.history()] == ["other", "c2", "c1"]
    assert (await again.load("", "c2")).pending == before.pending


async def test_truncating_what_changed_only_the_writes_of_the_head(session, log):
    chain(log, 1)
    first = log.next_seq
    log.append(writes("c1"))
    await session.commit([await log.truncate(first)])
    assert log.head.pending == {}
    assert (await reopened(session)).head == log.head


async def test_truncating_nothing_keeps_the_head_and_its_objects(session, log):
    values = chain(log, 2)
    await session.commit([await log.truncate(log.next_seq)])
    assert log.head.checkpoint.values is values
    assert (await reopened(session)).head == log.head


async def test_truncating_everything_leaves_an_empty_log(session, log):
    chain(log, 3)
    await session.commit([await log.truncate(1)])
    assert log.head is None
    assert log.next_seq == 1
    assert await log.load() is None
    assert (await reopened(session)).next_seq == 1


async def test_truncating_far_back_finds_the_head_of_then(session, log):
    chain(log, 2 * SNAPSHOT_EVERY)
    await session.commit([await log.truncate(3)])
    assert log.head.checkpoint.values == {"n": 2}
    log.append(make("next", {"n": 3}, parent="c2"))
    await log.flush()
    assert (await rows(session))[-1].base_seq == 1
    assert (await reopened(session)).head.checkpoint.values == {"n": 3}


async def test_a_log_says_that_its_records_were_refused_however_many_hand_overs_followed():
    storage = FaultyStorage(MemoryStorage(), blocking=True)
    async with StorageSession(storage) as session:
        await session.commit([InsertThread(make_thread())])
        log = await ThreadLog.open(session, "t")
        storage.fail("before")
        log.append(make("c1", {"n": 1}))
        log.hand_over()
        log.append(make("c2", {"n": 2}, parent="c1"))
        log.hand_over([PutThread(make_thread())])  # a commit of its own
        await session.commit([])

        with pytest.raises(StorageError, match="the disk is full"):
            await log.flush()
        with pytest.raises(StorageError, match="the disk is full"):
            log.append(make("c3", {"n": 3}, parent="c2"))


async def test_what_is_to_precede_records_and_was_refused_alone_goes_with_them():
    storage = FaultyStorage(MemoryStorage(), blocking=True)
    async with StorageSession(storage) as session:
        await session.commit([InsertThread(make_thread())])
        log = await ThreadLog.open(session, "t")
        first = PutThread(make_thread(status="busy"))
        log.precede(first)
        storage.fail("before", lambda operation: operation is first)
        log.hand_over()
        refused = session.submit([])
        log.append(make("c1", {"n": 1}))
        log.hand_over([PutThread(make_thread(metadata={"a": 1}))])
        await refused.wait()

        [*_, (patch, start, records)] = storage.applied
        assert (patch.thread.metadata, start) == ({"a": 1}, first)
        assert [row.checkpoint_id for row in records.rows] == ["c1"]


async def test_what_is_to_precede_records_is_stored_once_where_nothing_is_refused():
    storage = FaultyStorage(MemoryStorage(), blocking=True)
    async with StorageSession(storage) as session:
        await session.commit([InsertThread(make_thread())])
        log = await ThreadLog.open(session, "t")
        first = PutThread(make_thread(status="busy"))
        for together in (True, False):
            log.precede(first)
            log.hand_over()
            if not together:
                await session.commit([])
            log.append(make(f"c{together}", {"n": 1}))
            await log.flush()

        stored = [operation for group in storage.applied for operation in group]
        assert stored.count(first) == 2
