"""What is in which commit, in which order, and when the caller is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Greenroom, RunFailed
from greenroom.graph import START, CompiledStateGraph, StateGraph, interrupt
from greenroom.storage import (
    AppendLog,
    DeleteRun,
    DeleteThread,
    InsertThread,
    MemoryStorage,
    Operation,
    PutRun,
    PutThread,
    SqliteStorage,
    StorageError,
)
from greenroom.storage.testing import FaultyStorage

from .stage import (
    Hold,
    Shielded,
    State,
    chain,
    ends_a_run,
    is_a,
    new_thread,
    parallel,
    says,
    status,
    statuses,
    text,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agents.db"


@pytest.fixture
def storage(file: Path) -> FaultyStorage:
    return FaultyStorage(SqliteStorage(file))


def put_run(*, status: str | None = None, stop: str | None = None) -> Any:
    def fits(operation: Operation) -> bool:
        return (
            isinstance(operation, PutRun)
            and status in (None, operation.run.status)
            and stop in (None, operation.run.stop)
        )

    return fits


async def killed(storage: FaultyStorage, nursery: trio.Nursery) -> None:
    """Wait until the storage has crashed, and leave what cannot go on."""
    with trio.fail_after(30):
        await trio.to_thread.run_sync(storage.crashed.wait, abandon_on_cancel=True)
    nursery.cancel_scope.cancel()


# What is in which commit.


def shown(group: Sequence[Operation]) -> str:
    """`PutRun pending, AppendLog 2`: the operations of a group, and what they say."""

    def one(operation: Operation) -> str:
        match operation:
            case PutRun(run):
                detail = f" {run.status}" + (f" to {run.stop}" if run.stop else "")
            case PutThread(thread):
                detail = f" {thread.status}"
            case AppendLog(rows):
                detail = f" {len(rows)}"
            case _:
                detail = ""
        return type(operation).__name__ + detail

    return ", ".join(map(one, group))


@attrs.define
class Commits:
    """The groups that have been applied since it was last asked."""

    storage: FaultyStorage
    seen: int = 0

    def new(self) -> list[str]:
        groups = self.storage.applied[self.seen :]
        self.seen += len(groups)
        return [shown(group) for group in groups]


@pytest.fixture
async def memory() -> FaultyStorage:
    return FaultyStorage(MemoryStorage())  # commits each group when it is handed over


ACCEPTED = "PutRun pending, PutThread busy"


@pytest.mark.parametrize(
    ("durability", "later"),
    [
        # The input and the state that it leads to; then a checkpoint for each super-step.
        ("sync", ["PutRun running, AppendLog 2", "AppendLog 1", "AppendLog 1, PutRun success"]),
        ("async", ["PutRun running, AppendLog 2", "AppendLog 1", "AppendLog 1, PutRun success"]),
        ("exit", ["PutRun running", "AppendLog 1, PutRun success"]),
    ],
)
async def test_a_run_is_stored_when_accepted_at_its_first_records_each_step_and_its_end(
    memory: FaultyStorage, durability: str, later: list[str]
) -> None:
    commits = Commits(memory)
    async with Greenroom({"agent": chain(a=says("a"), b=says("b"))}, storage=memory) as room:
        client = room.client
        assert commits.new() == ["PutAssistant"]
        thread_id = await new_thread(client)
        assert commits.new() == ["InsertThread"]
        run = await client.runs.create(thread_id, "agent", input=text("x"), durability=durability)
        assert commits.new()[0] == ACCEPTED
        await client.runs.join(thread_id, run["run_id"])
        commits = Commits(memory, seen=3)
        assert commits.new() == [*later[:-1], f"{later[-1]}, PutThread idle"]

        other = str(UUID(int=1))
        await client.runs.create(other, "agent", input=text("x"), if_not_exists="create")
        assert commits.new()[0] == f"InsertThread, {ACCEPTED}"


async def test_events_that_are_kept_are_stored_with_the_records_of_their_super_step(
    memory: FaultyStorage,
) -> None:
    commits = Commits(memory, seen=2)
    async with Greenroom({"agent": chain(a=says("a"), b=says("b"))}, storage=memory) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"), stream_resumable=True)
        assert commits.new() == [
            ACCEPTED,
            "AppendEvents, PutRun running, AppendLog 2",
            "AppendEvents, AppendLog 1",
            "AppendEvents, AppendLog 1, PutRun success, PutThread idle",
        ]


async def test_edits_are_one_commit_each(memory: FaultyStorage) -> None:
    commits = Commits(memory, seen=2)
    async with Greenroom({"agent": chain(a=says("a"))}, storage=memory) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        commits.new()
        await client.threads.update(thread_id, metadata={"a": 1})
        await client.threads.update_state(thread_id, {"log": ["y"]})
        [run] = await client.runs.list(thread_id)
        await client.runs.delete(thread_id, run["run_id"])
        await client.threads.delete(thread_id)
        expected = ["PutThread idle", "AppendLog 1, PutThread idle", "DeleteRun", "DeleteThread"]
        assert commits.new() == expected


@pytest.mark.parametrize("by", ["cancel", "strategy"])
@pytest.mark.parametrize("how", ["interrupt", "rollback"])
async def test_a_stop_is_stored_before_it_is_made_and_the_end_of_the_run_before_the_next_one(
    memory: FaultyStorage, by: str, how: str
) -> None:
    hold = Hold()
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=memory) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        commits = Commits(memory, seen=len(memory.applied))
        if by == "cancel":
            await client.runs.cancel(thread_id, run["run_id"], action=how, wait=True)
            first, rest = f"PutRun running to {how}", []
        else:
            await client.runs.wait(thread_id, "agent", input=text("x"), multitask_strategy=how)
            first = f"PutRun running to {how}, {ACCEPTED}"
            rest = [
                "PutRun running, AppendLog 2",
                "AppendLog 1, PutRun success, PutThread idle",
            ]
        left = "busy" if rest else "interrupted" if how == "interrupt" else "idle"
        end = {
            "interrupt": f"PutRun interrupted to interrupt, PutThread {left}",
            "rollback": f"TruncateLog, DeleteRun, PutThread {left}",
        }[how]
        assert commits.new() == [first, end, *rest]


# When the caller is answered.


@pytest.mark.parametrize("at", ["before", "after"])
async def test_nobody_is_answered_before_storage_has_said_yes(
    storage: FaultyStorage, at: Any
) -> None:
    graphs = {"agent": chain(a=says("a"))}
    async with Greenroom(graphs, storage=storage) as room, trio.open_nursery() as nursery:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("w"))
        await client.runs.join(thread_id, run["run_id"])
        other = str(UUID(int=7))
        calls: list[tuple[Callable[[], Any], Any]] = [
            (client.threads.create, is_a(InsertThread)),
            (lambda: client.threads.create(thread_id=other), is_a(InsertThread)),
            (lambda: client.threads.update(thread_id, metadata={"a": 1}), is_a(PutThread)),
            (lambda: client.threads.update_state(thread_id, {"log": ["y"]}), is_a(AppendLog)),
            (
                lambda: client.runs.create(thread_id, "agent", input=text("x")),
                put_run(status="pending"),
            ),
            (
                lambda: client.runs.wait(thread_id, "agent", input=text("z")),
                put_run(status="success"),
            ),
            (lambda: client.runs.delete(thread_id, run["run_id"]), is_a(DeleteRun)),
            (lambda: client.threads.delete(thread_id), is_a(DeleteThread)),
        ]
        answered: list[int] = []

        async def ask(number: int, call: Callable[[], Any]) -> None:
            await call()
            answered.append(number)

        for number, (call, meant) in enumerate(calls):
            gate = storage.hold(at, meant)
            nursery.start_soon(ask, number, call)
            await gate.reached()
            await wait_all_tasks_blocked()
            assert answered == list(range(number))
            gate.open()
            while len(answered) == number:
                await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(("durability", "begins"), [("sync", False), ("async", True)])
async def test_only_sync_waits_for_storage_before_a_node_begins(
    storage: FaultyStorage, durability: str, begins: bool
) -> None:
    hold = Hold()
    gate = storage.hold("before", is_a(AppendLog))
    async with Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(
            thread_id, "agent", input=text("slow"), durability=durability
        )
        await gate.reached()
        await wait_all_tasks_blocked()
        assert hold.reached.is_set() is begins
        gate.open()
        hold.open()
        values = await client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["slow", "did slow"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_what_a_kill_costs_is_the_work_since_the_last_checkpoint_that_was_stored(
    storage: FaultyStorage, file: Path, caplog: pytest.LogCaptureFixture, durability: str
) -> None:
    began: list[str] = []

    def node(name: str) -> Any:
        async def node(state: State) -> State:
            began.append(name)
            # All before is stored.
            await room.client.threads.update(thread_id, metadata={"at": name})
            if name == "c" and not storage.crashed.is_set():
                storage.crash("before")
                with suppress(StorageError):
                    await room.client.threads.update(thread_id, metadata={"at": "nowhere"})
                await trio.sleep_forever()
            return {"log": [name]}

        return node

    graphs = {"agent": chain(a=node("a"), b=node("b"), c=node("c"))}
    async with trio.open_nursery() as nursery, Greenroom(graphs, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("x"), durability=durability)
        await killed(storage, nursery)

    room = Greenroom(graphs, storage=SqliteStorage(file))
    async with room:  # the run goes on before this is entered
        values = await room.client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["x", "a", "b", "c"]
    again = ["a", "b", "c"] if durability == "exit" else ["c"]
    assert began == ["a", "b", "c", *again]


async def test_a_run_that_kills_its_process_at_once_is_given_up_after_four_starts(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that nobody could count, and three that were counted."""
    graphs, made = {"agent": chain(a=says("a"))}, dict[str, Any]()
    for _ in range(4):
        storage = FaultyStorage(SqliteStorage(file))
        storage.crash("before", is_a(AppendLog))
        async with trio.open_nursery() as nursery, Greenroom(graphs, storage=storage) as room:
            client = room.client
            if not made:
                thread_id = await new_thread(client)
                made = await client.runs.create(thread_id, "agent", input=text("x"))
            await killed(storage, nursery)

    async with Greenroom(graphs, storage=SqliteStorage(file)) as room:
        with pytest.raises(RunFailed, match="started 3 times"):
            await room.client.runs.join(thread_id, made["run_id"])


@pytest.mark.parametrize("name", ["next_expiry", "unfinished_runs"])
async def test_a_room_that_cannot_be_entered_has_started_no_run(
    storage: FaultyStorage, file: Path, name: str
) -> None:
    hold = Hold(texts=("x",))
    graphs = {"agent": chain(hold=hold.node)}
    async with Greenroom(graphs, storage=storage) as room:
        thread_id = await new_thread(room.client)
        run = await room.client.runs.create(thread_id, "agent", input=text("x"))
        await hold.reached.wait()
    hold.reached = trio.Event()

    storage = FaultyStorage(SqliteStorage(file))

    def fail() -> NoReturn:
        trio.from_thread.run(wait_all_tasks_blocked, 0.05)  # time for it to start
        raise StorageError("the disk is full")

    storage.plan("read", fail, lambda read: read == name)
    with pytest.raises(StorageError, match="the disk is full"):
        async with Greenroom(graphs, storage=storage):
            raise AssertionError("unreachable")
    assert not hold.reached.is_set()

    hold.open()
    async with Greenroom(graphs, storage=storage) as room:
        assert await room.client.runs.join(thread_id, run["run_id"])


async def test_a_run_that_cannot_read_where_it_is_to_start_from_fails(
    storage: FaultyStorage,
) -> None:
    async with Greenroom({"agent": chain(a=says("a"))}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.wait(thread_id, "agent", input=text("x"))
        oldest = (await client.threads.get_history(thread_id))[-1]["checkpoint"]
        storage.fail("read", lambda name: name == "read_checkpoint")

        with pytest.raises(RunFailed, match="StorageError: the disk is full"):
            await client.runs.wait(thread_id, "agent", checkpoint=oldest)

        assert await statuses(client, thread_id) == ["success", "error"]
        values = await client.runs.wait(thread_id, "agent", checkpoint=oldest)
        assert values["log"] == ["x", "a"]


# In the order in which it was promised.


@pytest.mark.parametrize("how", ["interrupt", "rollback"])
async def test_a_stop_that_came_before_the_first_records_of_a_run_outlives_a_kill(
    storage: FaultyStorage, file: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    hold, again = Hold(texts=("one",)), Hold(texts=())
    gate = storage.hold("before", put_run(status="pending"))
    async with (
        trio.open_nursery() as nursery,
        Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room,
    ):
        client, thread_id = room.client, await new_thread(room.client)

        async def send(word: str, strategy: str = "enqueue") -> None:
            await client.runs.create(
                thread_id, "agent", input=text(word), multitask_strategy=strategy
            )

        nursery.start_soon(send, "one")
        await gate.reached()
        storage.crash("before", is_a(DeleteRun) if how == "rollback" else ends_a_run)
        stop = storage.hold("before", put_run(stop=how))
        nursery.start_soon(send, "two", how)
        await wait_all_tasks_blocked()
        gate.open()
        await stop.reached()
        await hold.reached.wait()  # its first records are handed over, behind the stop
        stop.open()
        await killed(storage, nursery)
    assert hold.order == ["one begins", "one ends"]

    async with Greenroom({"agent": chain(hold=again.node)}, storage=SqliteStorage(file)) as room:
        client = room.client
        [second, *_] = await client.runs.list(thread_id)
        values = await client.runs.join(thread_id, second["run_id"])
        assert again.order == ["two begins", "two ends"]
        kept = ["one"] if how == "interrupt" else []
        assert values["log"] == [*kept, "two", "did two"]
        stopped = ["interrupted"] if how == "interrupt" else []
        assert await statuses(client, thread_id) == [*stopped, "success"]


@pytest.mark.parametrize("refused", [{"stop": "interrupt"}, {"status": "running"}], ids=str)
async def test_a_run_keeps_its_start_where_the_stop_that_came_before_its_first_records_is_refused(
    storage: FaultyStorage, caplog: pytest.LogCaptureFixture, refused: dict[str, str]
) -> None:
    hold = Hold(texts=("one",))
    gate = storage.hold("before", put_run(status="pending"))
    storage.fail("before", put_run(**refused))
    async with (
        Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room,
        trio.open_nursery() as nursery,
    ):
        client, thread_id = room.client, await new_thread(room.client)

        async def stop() -> None:
            with pytest.raises(StorageError):
                await client.runs.create(
                    thread_id, "agent", input=text("two"), multitask_strategy="interrupt"
                )

        async def start() -> None:
            run = await client.runs.create(thread_id, "agent", input=text("one"))
            values = await client.runs.join(thread_id, run["run_id"])
            assert values["log"] == ["one", "did one"]

        nursery.start_soon(start)
        await gate.reached()
        nursery.start_soon(stop)
        await wait_all_tasks_blocked()
        gate.open()
        await hold.reached.wait()
        hold.open()


async def test_a_text_that_was_to_come_later_outlives_the_rollback_of_the_run_under_way_and_a_kill(
    storage: FaultyStorage, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hold, again = Shielded(), Hold(texts=())
    async with (
        trio.open_nursery() as nursery,
        Greenroom({"agent": chain(hold=hold.node)}, storage=storage) as room,
    ):
        client, thread_id = room.client, await new_thread(room.client)
        await client.runs.create(thread_id, "agent", input=text("later"), after_seconds=3600)
        run = await client.runs.create(thread_id, "agent", input=text("slow"))
        await hold.reached.wait()
        new = await client.runs.create(
            thread_id, "agent", input=text("new"), multitask_strategy="interrupt"
        )
        await client.runs.cancel(thread_id, run["run_id"], action="rollback")
        storage.crash("before", is_a(DeleteRun))
        hold.open()
        await killed(storage, nursery)

    async with Greenroom({"agent": chain(hold=again.node)}, storage=SqliteStorage(file)) as room:
        values = await room.client.runs.join(thread_id, new["run_id"])
        assert values["log"] == ["later", "new", "did new"]


async def test_a_look_at_the_history_does_not_part_a_run_from_its_first_records(
    storage: FaultyStorage, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reached, opened = trio.Event(), trio.Event()

    async def route(state: State) -> str:
        reached.set()
        await opened.wait()
        return "a"

    def graph() -> CompiledStateGraph:
        builder = StateGraph(State).add_node("a", says("a")).add_conditional_edges(START, route)
        return builder.compile()

    async with (
        trio.open_nursery() as nursery,
        Greenroom({"agent": graph()}, storage=storage) as room,
    ):
        client, thread_id = room.client, await new_thread(room.client)
        run = await client.runs.create(thread_id, "agent", input=text("x"))
        await reached.wait()
        storage.crash("after", is_a(AppendLog))
        with pytest.raises(StorageError):  # it has what the run has left so far stored first
            await client.threads.get_history(thread_id)
        await killed(storage, nursery)

    async with Greenroom({"agent": graph()}, storage=SqliteStorage(file)) as room:
        opened.set()
        values = await room.client.runs.join(thread_id, run["run_id"])
        assert values["log"] == ["x", "a"]
        history = await room.client.threads.get_history(thread_id)
        assert [state["metadata"]["step"] for state in history] == [1, 0, -1]


async def test_the_end_of_a_run_is_not_stored_where_its_last_records_were_refused(
    storage: FaultyStorage, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt("sure?")]}

    async with Greenroom(
        {"agent": parallel(ask=ask, quick=says("quick"))}, storage=storage
    ) as room:
        client, thread_id = room.client, await new_thread(room.client)
        storage.fail("before", is_a(AppendLog))

        paused = await client.runs.wait(thread_id, "agent", input=text("x"))

        assert [question["value"] for question in paused["__interrupt__"]] == ["sure?"]
        assert await status(client, thread_id) == "interrupted"
        [waits] = (await client.threads.get_state(thread_id))["interrupts"]
        assert waits["value"] == "sure?"
        values = await client.runs.wait(thread_id, "agent", command={"resume": "yes"})
        assert values["log"] == ["x", "yes", "quick"]
