"""The client in programs that do not run trio."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio

from greenroom.actors import Closed, Greenroom, NotFound
from greenroom.actors.client.threads import ThreadsClient
from greenroom.graph import interrupt
from greenroom.storage import SqliteStorage, StaleEpoch, StorageHeld

from .stage import Hold, chain, says, text

NIL = "00000000-0000-0000-0000-000000000000"
PATIENCE = 30.0  # seconds, for what must not hang


async def ask(state: Any) -> Any:
    return {"log": [interrupt("sure?")]}


@pytest.fixture
def room(tmp_path: Path, hold: Hold) -> Greenroom:
    """Not entered yet."""
    graphs = {
        "agent": chain(a=says("a"), b=says("b")),
        "ask": chain(ask=ask),
        "held": chain(hold=hold.node),
    }
    return Greenroom(graphs, storage=SqliteStorage(tmp_path / "agents.db"))


# Plain programs.


def test_a_plain_program_calls_and_waits(room: Greenroom) -> None:
    with room.in_thread() as client:
        thread_id = client.threads.create()["thread_id"]
        paused = client.runs.wait(thread_id, "ask", input=text("x"))
        assert paused["__interrupt__"][0]["value"] == "sure?"
        done = client.runs.wait(thread_id, "ask", command={"resume": "yes"})
        assert done["log"] == ["x", "yes"]
        client.store.put_item(("a",), "k", {"x": 1})
        assert client.store.get_item(("a",), "k")["value"] == {"x": 1}
        handle = client.runs.start(thread_id, "agent", input=text("y"))
        assert handle.result()["log"] == ["x", "yes", "y", "a", "b"]
        assert handle.thread_id == thread_id


def test_a_plain_program_iterates_over_a_stream(room: Greenroom) -> None:
    with room.in_thread() as client:
        thread_id = client.threads.create()["thread_id"]
        parts = client.runs.stream(thread_id, "agent", input=text("x"), stream_mode="updates")
        assert [part.event for part in parts] == ["metadata", "updates", "updates"]
        first = next(iter(client.runs.stream(thread_id, "agent", input=text("x"))))
        assert first.event == "metadata"


def test_errors_are_those_of_the_client(room: Greenroom) -> None:
    with room.in_thread() as client:
        with pytest.raises(NotFound, match=NIL):
            client.threads.get(NIL)
        with pytest.raises(NotFound, match=NIL):
            list(client.threads.join_stream(NIL))
        with pytest.raises(AttributeError):
            client.threads.nothing  # noqa: B018


def test_many_threads_call_at_once(room: Greenroom) -> None:
    with room.in_thread() as client, ThreadPoolExecutor(16) as pool:

        def talk(number: int) -> Any:
            thread_id = client.threads.create()["thread_id"]
            return client.runs.wait(thread_id, "agent", input=text(str(number)))["log"][0]

        assert list(pool.map(talk, range(50))) == [str(number) for number in range(50)]


def test_what_is_under_way_when_the_room_is_left_goes_on_later(
    room: Greenroom, hold: Hold, tmp_path: Path
) -> None:
    seen: list[Any] = []

    def wait(client: Any, thread_id: str) -> None:
        with pytest.raises(Closed) as caught:
            client.runs.wait(thread_id, "held", input=text("slow"))
        seen.append(caught.value)

    with room.in_thread() as client:
        thread_id = client.threads.create()["thread_id"]
        waiter = threading.Thread(target=wait, args=(client, thread_id))
        waiter.start()
        reached = client.thread.submit(hold.reached.wait)
        reached.result(PATIENCE)
    waiter.join(PATIENCE)
    assert len(seen) == 1
    with pytest.raises(Closed):
        client.threads.create()
    hold.open()
    again = Greenroom(room.graphs, storage=SqliteStorage(tmp_path / "agents.db"))
    with again.in_thread() as client:
        (run,) = client.runs.list(thread_id)
        assert client.runs.join(thread_id, run["run_id"])["log"] == ["slow", "did slow"]


def test_a_room_that_cannot_be_entered_says_why(room: Greenroom, tmp_path: Path) -> None:
    with room.in_thread():
        second = Greenroom(room.graphs, storage=SqliteStorage(tmp_path / "agents.db"))
        with pytest.raises(StorageHeld), second.in_thread():
            pass


def test_a_room_that_ends_by_itself_says_why(room: Greenroom) -> None:
    async def lose() -> None:
        room._session._lose(StaleEpoch("somebody else has it"))
        await trio.sleep_forever()

    with ExitStack() as stack:
        client = stack.enter_context(room.in_thread())
        with pytest.raises(Closed):
            client.thread.submit(lose).result(PATIENCE)
        with pytest.raises(Closed):
            client.threads.create()
        with pytest.raises(StaleEpoch, match="somebody else"):
            stack.close()


# Programs on asyncio.


def test_a_program_on_asyncio_awaits_and_iterates(room: Greenroom) -> None:
    async def main() -> None:
        async with room.in_thread_async() as client:
            thread_id = (await client.threads.create())["thread_id"]
            parts = client.runs.stream(thread_id, "agent", input=text("x"), stream_mode="updates")
            assert [part.event async for part in parts] == ["metadata", "updates", "updates"]
            handle = await client.runs.start(thread_id, "agent", input=text("y"))
            assert (await handle.result())["log"] == ["x", "a", "b", "y", "a", "b"]
            with pytest.raises(NotFound):
                await client.threads.get(NIL)
            made = await asyncio.gather(*(client.threads.create() for _ in range(20)))
            assert len({thread["thread_id"] for thread in made}) == 20
        with pytest.raises(Closed):
            await client.threads.create()

    asyncio.run(main())


def test_cancelling_an_await_on_asyncio_cancels_the_call(
    room: Greenroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def create(self: ThreadsClient) -> None:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    monkeypatch.setattr(ThreadsClient, "create", create)

    async def main() -> None:
        async with room.in_thread_async() as client:
            call = asyncio.create_task(client.threads.create())
            assert await asyncio.to_thread(begun.wait, PATIENCE)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await asyncio.to_thread(cancelled.wait, PATIENCE)

    asyncio.run(main())


def test_a_program_on_asyncio_is_told_why_a_room_cannot_be_entered(
    room: Greenroom, tmp_path: Path
) -> None:
    async def main() -> None:
        async with room.in_thread_async():
            second = Greenroom(room.graphs, storage=SqliteStorage(tmp_path / "agents.db"))
            with pytest.raises(StorageHeld):
                await second.in_thread_async().__aenter__()

    asyncio.run(main())
