"""`Greenroom`: the runtime, embedded in a program or behind a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from types import TracebackType
from typing import Any, Final, Self

import trio

from greenroom.graph.adoption import adopted
from greenroom.graph.store import StoreConfig
from greenroom.graph.world import World
from greenroom.storage import (
    MemoryStorage,
    StaleEpoch,
    Storage,
    StorageAway,
    StorageSession,
    StorageStore,
)
from greenroom.storage.session import RunBlocking
from greenroom.storage.timing import Timing

from .client import Client
from .errors import Closed
from .event_ttl import EVENT_TTL
from .events import MAX_KEPT_EVENTS
from .in_thread import InThread, InThreadAsync
from .meters import Census, Meters
from .supervisor import Supervisor
from .ttl import CheckpointerConfig
from .webhooks import Poster

__all__ = ["MAX_QUEUED_RUNS", "RUN_TIMEOUT", "Greenroom"]

MAX_QUEUED_RUNS: Final = 1000
RUN_TIMEOUT: Final = 3600.0  # seconds


class Greenroom:
    """Serves graphs to threads: `async with Greenroom({"agent": graph}, storage=…) as room:`.

    `graphs`: compiled graphs by the name they are called by, of this engine or of `langgraph`.
    `descriptions`: what they are for, by the same names; see `Assistants`.
    `storage`: where threads are kept, and the items of the store; in memory by default. `store`:
    how the store is to be, see `StoreConfig`; nodes are given it unless their graph has one of its
    own, and `client.store` is the same. `checkpointer`: how threads are kept, see
    `CheckpointerConfig`. `run_timeout`: seconds that a run may take, counted anew when it is taken
    up after a restart; None for no limit. One that takes longer is stopped, and ends `timeout`.
    `event_ttl`: seconds that the events of resumable runs are kept; None for as long as their
    thread. `max_kept_events`: how many of a run are kept; then the oldest go. `grace_period`:
    seconds that a run may take to stop before it is given up on. `idle_timeout`: seconds that a
    thread with nothing to do stays in memory. `max_queued_runs`: how many runs of a thread may
    wait; one more is refused with TooMany. `poster`: what posts to the webhooks of runs, as
    `greenroom.gateway.WebhookPoster` does; without one they are refused. `world`: clock, ids,
    randomness and the threads of plain nodes. `run_blocking`: how calls of the storage are run, see
    `StorageSession`; by default in threads.

    Entering takes the storage, raising StorageHeld if another process has it and StorageError if it
    cannot be used, and carries on with the runs that an earlier process left. Leaving stops the
    runs under way; they go on when the storage is served again, and the start that was cut short is
    not held against them. Calls of `client` raise Closed then. If the storage is taken over by
    another process, or may soon be because it cannot be reached, everything is cancelled and
    StaleEpoch is raised.
    """

    client: Client

    def __init__(
        self,
        graphs: Mapping[str, Any],
        *,
        descriptions: Mapping[str, str] | None = None,
        storage: Storage | None = None,
        store: StoreConfig | None = None,
        checkpointer: CheckpointerConfig | None = None,
        run_timeout: float | None = RUN_TIMEOUT,
        event_ttl: float | None = EVENT_TTL,
        max_kept_events: int = MAX_KEPT_EVENTS,
        grace_period: float = 5.0,
        idle_timeout: float = 10.0,
        poster: Poster | None = None,
        max_queued_runs: int = MAX_QUEUED_RUNS,
        world: World | None = None,
        run_blocking: RunBlocking | None = None,
    ) -> None:
        self.graphs = {name: adopted(name, graph) for name, graph in graphs.items()}
        self._descriptions = descriptions or {}
        self.storage = storage if storage is not None else MemoryStorage()
        self._store_config = store or StoreConfig()
        self._checkpointer = checkpointer or CheckpointerConfig()
        self._run_timeout = inf if run_timeout is None else run_timeout
        if not self._run_timeout > 0:
            raise ValueError(f"run_timeout: {run_timeout!r} is no time that a run could take")
        self._event_ttl = inf if event_ttl is None else event_ttl
        if not self._event_ttl > 0:
            raise ValueError(f"event_ttl: {event_ttl!r} is no time that events could be kept")
        if not max_kept_events >= 1:
            raise ValueError(f"max_kept_events: expected 1 or more, got {max_kept_events!r}")
        self._max_kept_events = max_kept_events
        self._grace_period = grace_period
        self._idle_timeout = idle_timeout
        self._poster = poster
        self._max_queued_runs = max_queued_runs
        self._world = world or World()
        for graph in self.graphs.values():
            self.storage.types.declare(graph.declared)
        self._session = StorageSession(self.storage, run_blocking=run_blocking, closed=Closed)
        self._supervisor: Supervisor | None = None

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        try:
            store = StorageStore(
                self._session,
                index=self._store_config.get("index"),
                ttl=self._store_config.get("ttl"),
                world=self._world,
            )
            self.graphs = {name: one.with_store(store) for name, one in self.graphs.items()}
            self._nurseries = trio.open_nursery()
            nursery = await self._nurseries.__aenter__()
            self._supervisor = Supervisor(
                session=self._session,
                store=store,
                graphs=self.graphs,
                descriptions=self._descriptions,
                nursery=nursery,
                world=self._world,
                ttl=self._checkpointer.get("ttl") or {},
                run_timeout=self._run_timeout,
                event_ttl=self._event_ttl,
                max_kept_events=self._max_kept_events,
                grace_period=self._grace_period,
                idle_timeout=self._idle_timeout,
                poster=self._poster,
                max_queued_runs=self._max_queued_runs,
            )
            self.client = Client(self._supervisor)
            await self._supervisor.assistants.register()
            await nursery.start(store.keep_swept)
            await self._supervisor.recover()  # the last that can fail: runs start with it
            nursery.start_soon(self._watch_lease)
            nursery.start_soon(self._supervisor.sweeper.loop.run)
            nursery.start_soon(self._supervisor.event_sweeper.run)
            nursery.start_soon(self._supervisor.crontab.run, self.client.crons.fire)
            nursery.start_soon(self._supervisor.alarms.run)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if self._supervisor is not None:
                self._supervisor.close()
                self._supervisor.nursery.cancel_scope.cancel()
                await self._leave(kind, error, traceback)
        finally:
            await self._session.__aexit__(None, None, None)

    async def _leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._nurseries.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            # One error, whoever raised it, leaves as itself and not as a group of one.
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from group.exceptions[0].__cause__
            raise

    async def drain(self) -> None:
        """Before leaving: start no more runs, and wait until those under way have ended. Runs are
        still accepted; like those that wait they start when the storage is served again."""
        await self._entered.drain()

    def in_thread(self) -> InThread:
        """For a plain program: `with Greenroom(…).in_thread() as client:` has the room, not entered
        before, in a thread of its own, and gives its client, whose calls block."""
        return InThread(self)

    def in_thread_async(self) -> InThreadAsync:
        """The same for asyncio: `async with Greenroom(…).in_thread_async() as client:`."""
        return InThreadAsync(self)

    @property
    def _entered(self) -> Supervisor:
        if self._supervisor is None:
            raise RuntimeError("The Greenroom has not been entered")
        return self._supervisor

    @property
    def meters(self) -> Meters:
        """What has been counted since it was entered."""
        return self._entered.meters

    def census(self) -> Census:
        """How many actors, messages and runs there are at the moment."""
        return self._entered.census()

    @property
    def commit_times(self) -> Timing:
        """How long commits of storage took."""
        return self._session.commit_times

    @property
    def lost(self) -> trio.Event:
        """Set when the storage is no longer this process's, which is about to be left."""
        return self._session.stale

    @property
    def away(self) -> StorageAway | None:
        """Why the storage cannot be reached at the moment, as far as is known without asking it."""
        return self._session.away

    async def check_storage(self) -> None:
        """Ask the storage. Raises StorageAway if it cannot be reached."""
        await self._session.check()

    async def _watch_lease(self) -> None:
        await self._session.stale.wait()
        assert self._session.why is not None
        raise StaleEpoch(f"{self._session.why}; this process has stopped its work")
