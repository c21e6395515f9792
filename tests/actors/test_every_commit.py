"""A process that dies at any commit of a session: whatever was acknowledged is there, whatever was
accepted comes to one end, and nothing is there by halves.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from greenroom.actors import Greenroom
from greenroom.storage import (
    AssistantQuery,
    CronQuery,
    MemoryStorage,
    SqliteStorage,
    Storage,
    ThreadQuery,
)
from greenroom.storage.testing import Crashed, FaultyStorage

from .session_script import CountingWorld, Found, Ledger, Script, Stage, make_graphs

# Set to have recoveries die at each of their own commits as well, and not at one of them.
ALL = "GREENROOM_TEST_ALL_COMMITS" in os.environ
# So slowly that nothing is stored because time has passed, and what comes to no end is given up
# all the same.
SLOWLY = 0.01
PATIENCE = 60 * SLOWLY


class NeverPosts:
    """So that what is to be posted stays in storage."""

    async def check(self, url: str) -> None:
        """Anywhere will do."""

    async def post(self, url: str, body: dict[str, Any]) -> None:
        await trio.sleep_forever()


@attrs.frozen
class Played:
    """The session, once it was played: `images` has the files as they were after each commit."""

    ledger: Ledger
    images: list[Path]


async def play(folder: Path, clock: MockClock) -> Played:
    file = folder / "greenroom.db"
    storage = FaultyStorage(SqliteStorage(file))
    images: list[Path] = []

    def keep_image() -> None:
        # What a kill leaves: the files as they are. Nothing is written meanwhile.
        image = folder / f"{len(storage.applied)}"
        image.mkdir()
        for name in (file.name, f"{file.name}-wal"):
            shutil.copy(folder / name, image / name)
        images.append(image / file.name)

    storage.plan("after", keep_image, times=None)
    stage, ledger = Stage(), Ledger(storage)
    graphs, world = make_graphs(stage), CountingWorld()
    async with Greenroom(graphs, storage=storage, world=world, poster=NeverPosts()) as room:
        stage.session, stage.clock = room._session, clock
        await Script(room, ledger, stage).play()
    assert len(images) == len(storage.applied)
    return Played(ledger, images)


def everything(storage: Storage) -> list[Any]:
    threads = storage.search_threads(ThreadQuery(limit=None))
    return [
        storage.search_assistants(AssistantQuery(limit=None)),
        storage.search_crons(CronQuery(limit=None)),
        storage.scan_posts(),
        [
            (
                thread,
                storage.list_runs(thread.thread_id, limit=None),
                storage.read_history(thread.thread_id, "", limit=None),
                storage.last_log_seq(thread.thread_id),
                storage.read_thread_events(thread.thread_id, limit=10_000),
            )
            for thread in threads
        ],
    ]


async def recover(storage: Storage) -> None:
    """Serve it until every run has come to its end. Nobody says a word to a thread."""
    with trio.fail_after(PATIENCE):
        await serve_to_the_end(storage)


async def serve_to_the_end(storage: Storage) -> None:
    async with Greenroom(make_graphs(), storage=storage) as room:
        while await room._session.read(Storage.unfinished_runs):
            pass


async def recover_until_it_dies(image: Path, skip: int) -> bool:
    """Serve it and die before or after a commit; False if there are not so many."""
    storage = FaultyStorage(SqliteStorage(image))
    storage.crash("before" if skip % 2 else "after", skip=skip // 2)
    dies = False

    async def cut() -> None:
        await trio.to_thread.run_sync(storage.crashed.wait)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(cut)
        try:
            await recover(storage)
        except* Crashed:
            pass
        finally:
            dies = storage.crashed.is_set()
            storage.crashed.set()  # or the thread would wait for ever
    return dies


@contextmanager
def opened(image: Path) -> Iterator[Storage]:
    storage = SqliteStorage(image)
    storage.open()
    try:
        yield storage
    finally:
        storage.close()


async def test_whatever_was_acknowledged_outlives_a_death_at_any_commit(
    tmp_path: Path, mock_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    mock_clock.rate = SLOWLY
    with trio.fail_after(PATIENCE):
        played = await play(tmp_path, mock_clock)
    model = MemoryStorage()
    epoch = model.acquire_lease("the model").epoch
    deaths = 0
    for number, image in enumerate(played.images, 1):
        group = played.ledger.storage.applied[number - 1]
        try:
            assert model.commit([group], epoch) == [None]
            with opened(image) as storage:  # each commit wholly, and none that came later
                assert everything(storage) == everything(model)
            # The next process dies too, early or late in its recovery; the one after it does not.
            for skip in itertools.count() if ALL else [number % 8]:
                again = shutil.copytree(image.parent, tmp_path / "again") / image.name
                dies = await recover_until_it_dies(again, skip)
                await recover(SqliteStorage(again))
                with opened(again) as storage:
                    played.ledger.check(Found.of(storage), number)
                shutil.rmtree(again.parent)
                deaths += dies
                if not dies:
                    break
        except BaseException as error:
            kinds = ", ".join(type(operation).__name__ for operation in group)
            error.add_note(f"after commit {number} of {len(played.images)}: {kinds}")
            raise
    assert deaths > len(played.images) / 2
