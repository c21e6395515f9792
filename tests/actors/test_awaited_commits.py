"""How often storage is waited for between a run that stops another one and its first node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Greenroom
from greenroom.storage import Operation, SqliteStorage
from greenroom.storage.operations import AppendLog, DeleteRun, PutRun, TruncateLog
from greenroom.storage.testing import FaultyStorage

from .stage import Hold, State, chain, new_thread, text


def said(group: Sequence[Operation], names: dict[str, str]) -> list[str]:
    """`one: running`: what a group says of runs, by their names, and of the log."""
    found = []
    for operation in group:
        match operation:
            case PutRun(run):
                stop = f" to {run.stop}" if run.stop else ""
                found.append(f"{names.get(run.run_id, 'new')}: {run.status}{stop}")
            case DeleteRun(run_id=run_id):
                found.append(f"{names[run_id]}: deleted")
            case AppendLog() | TruncateLog():
                found.append(type(operation).__name__)
    return found


ACCEPTED = "new: pending"
STARTED = {"async": [], "exit": [["new: running"]], "sync": [["new: running", "AppendLog"]]}
ENDED = {
    "interrupt": [["one: interrupted to interrupt"]],
    "rollback": [["TruncateLog", "one: deleted"]],
}
ENDED_TWO = {
    "interrupt": [["AppendLog", "two: interrupted to interrupt"]],
    "rollback": [["two: deleted"]],
}


@pytest.mark.parametrize("durability", ["async", "exit", "sync"])
@pytest.mark.parametrize("how", ["interrupt", "rollback"])
@pytest.mark.parametrize("queued", [False, True], ids=["alone", "one_queued"])
async def test_the_end_of_each_run_before_is_waited_for_and_what_the_durability_asks(
    tmp_path: Path, how: str, durability: str, queued: bool
) -> None:
    hold, begun, held_up = Hold(), trio.Event(), 0
    storage = FaultyStorage(SqliteStorage(tmp_path / "agents.db"))

    async def first(state: State) -> State:
        if state["text"] == "new":
            begun.set()
        return {}

    async def count() -> None:
        """A commit is held until nothing else can happen: does the node begin without it?"""
        nonlocal held_up
        await wait_all_tasks_blocked()
        held_up += not begun.is_set()

    async with Greenroom({"agent": chain(first=first, hold=hold.node)}, storage=storage) as room:
        client, thread_id = room.client, await new_thread(room.client)
        one = await client.runs.create(thread_id, "agent", input=text("slow"))
        names = {one["run_id"]: "one"}
        await hold.reached.wait()
        if queued:
            two = await client.runs.create(thread_id, "agent", input=text("two"))
            names[two["run_id"]] = "two"
        await client.threads.update(thread_id, metadata={})  # all that was before is stored now
        before = len(storage.applied)
        storage.plan("before", lambda: trio.from_thread.run(count), times=None)

        await client.runs.wait(
            thread_id,
            "agent",
            input=text("new"),
            multitask_strategy=how,
            durability=durability,
        )

    told = [
        f"{name}: {'running' if name == 'one' else 'pending'} to {how}" for name in names.values()
    ]
    groups = [said(group, names) for group in storage.applied[before : before + held_up]]
    assert sorted(groups[0]) == sorted([*told, ACCEPTED])
    ends = [*ENDED[how], *(ENDED_TWO[how] if queued else [])]
    assert groups[1:] == [*ends, *STARTED[durability]]
