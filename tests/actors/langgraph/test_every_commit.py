"""A process that dies at any commit of a session with a graph of LangGraph's, which has a graph
inside that asks: the next one goes on, and nothing is lost, or there twice or by halves.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from langgraph.types import interrupt

from greenroom.actors import Client, Greenroom
from greenroom.storage import UNFINISHED, SqliteStorage
from greenroom.storage.checking import check
from greenroom.storage.testing import FaultyStorage

from ..stage import State, log_of, says, status, text
from .stage import AsyncioHold, chain

THREAD = "00000000-0000-4000-8000-000000000001"


async def ask(state: State) -> State:
    return {"log": [f"told {interrupt('sure?')}"]}


def graph(hold: AsyncioHold) -> Any:
    inner = chain(note=says("noted"), ask=ask, more=says("more"))

    async def call(state: State) -> State:
        log = (await inner.ainvoke({"log": [], "text": state["text"]}))["log"]
        return {"log": log}

    async def count(state: State) -> State:
        return {"log": [f"counted {len(state['log'])}"]}

    return chain(read=says("read"), call=call, hold=hold.node, count=count)


def said(*words: str) -> list[str]:
    """What the log has of texts whose questions were answered."""
    log: list[str] = []
    for word in words:
        log += [word, "read", "noted", "told yes", "more", f"did {word}"]
        log.append(f"counted {len(log)}")
    return log


YES = {"command": {"resume": "yes"}}
STEPS: list[dict[str, Any]] = [
    {"input": text("one")},
    YES,
    {"input": text("two"), "durability": "sync"},
    {**YES, "durability": "sync"},
    {"input": text("three"), "durability": "exit"},
    {**YES, "durability": "exit"},
]


async def take(client: Client, number: int) -> None:
    """A step of the session, to its end."""
    run = await client.runs.create(THREAD, "agent", metadata={"step": number}, **STEPS[number])
    await client.runs.join(THREAD, run["run_id"])


async def in_order(client: Client, hold: AsyncioHold, told: Callable[[int], None]) -> None:
    for number in range(len(STEPS)):
        await take(client, number)
        told(number + 1)


async def texted_twice(client: Client, hold: AsyncioHold, told: Callable[[int], None]) -> None:
    """One run is held, one waits, and is taken in when a third stops both."""
    held = await client.runs.create(THREAD, "agent", input=text("held"))
    await client.runs.join(THREAD, held["run_id"])
    await client.runs.create(THREAD, "agent", **YES)
    await hold.reached.wait()
    await client.runs.create(THREAD, "agent", input=text("waits"))
    told(2)
    newest = await client.runs.create(
        THREAD, "agent", input=text("newest"), multitask_strategy="interrupt"
    )
    told(3)
    await client.runs.join(THREAD, newest["run_id"])


@attrs.frozen
class Image:
    """The file as it was after a commit. `told`: how far the caller had come by then."""

    file: Path
    told: int


async def played(
    folder: Path,
    session: Callable[[Client, AsyncioHold, Callable[[int], None]], Awaitable[None]],
) -> list[Image]:
    file = folder / "greenroom.db"
    storage, images, told = FaultyStorage(SqliteStorage(file)), list[Image](), [0]

    def keep() -> None:  # what a kill leaves
        image = folder / f"{len(images)}"
        image.mkdir()
        for name in (file.name, f"{file.name}-wal"):
            shutil.copy(folder / name, image / name)
        images.append(Image(image / file.name, told[-1]))

    hold = AsyncioHold(texts=("held",))
    async with Greenroom({"agent": graph(hold)}, storage=storage) as room:
        await room.client.threads.create(thread_id=THREAD)
        storage.plan("after", keep, times=None)
        await session(room.client, hold, told.append)
    return images


async def finished(client: Client) -> list[dict[str, Any]]:
    """The runs, oldest first, once all are over."""
    while True:
        runs = list(reversed(await client.runs.list(THREAD, limit=100)))
        left = [run for run in runs if run["status"] in UNFINISHED]
        if not left:
            return runs
        await client.runs.join(THREAD, left[-1]["run_id"], raise_error=False)


async def test_a_session_comes_to_the_same_wherever_the_process_dies(tmp_path: Path) -> None:
    images = await played(tmp_path, in_order)
    assert len(images) > 3 * len(STEPS)
    for image in images:
        storage = SqliteStorage(image.file)
        async with Greenroom({"agent": graph(AsyncioHold(texts=()))}, storage=storage) as room:
            client = room.client
            runs = await finished(client)
            assert [run["metadata"]["step"] for run in runs] == list(range(len(runs)))
            assert {run["status"] for run in runs} <= {"success"}
            assert len(runs) >= image.told
            for number in range(len(runs), len(STEPS)):
                await take(client, number)
            assert await log_of(client, THREAD) == said("one", "two", "three")
            assert await status(client, THREAD) == "idle"
            history = await client.threads.get_history(THREAD, limit=100)
            lengths = [len(one["values"].get("log", ())) for one in reversed(history)]
            assert lengths == sorted(lengths)
            assert list(check(storage, lambda _: None)) == []


async def test_no_text_is_lost_or_there_twice_wherever_the_process_dies(tmp_path: Path) -> None:
    images = await played(tmp_path, texted_twice)
    for image in images:
        storage = SqliteStorage(image.file)
        async with Greenroom({"agent": graph(AsyncioHold(texts=()))}, storage=storage) as room:
            client = room.client
            runs = await finished(client)
            given = [run["kwargs"]["input"] for run in runs]
            sent = [one["text"] for one in given if one is not None]
            log = await log_of(client, THREAD)
            assert [entry for entry in log if entry in sent] == sent  # each once, in order
            assert len(sent) >= image.told
            assert list(check(storage, lambda _: None)) == []
