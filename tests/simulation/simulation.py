"""One history: a seed, and what came of it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final
from uuid import UUID

import attrs
import trio
from trio.testing import MockClock

from greenroom.actors import Client, Closed, Greenroom, NotFound
from greenroom.storage import MemoryStorage, Operation, Run, SqliteStorage, Storage, StorageError

from .clients import SimulatedClient
from .courses import Course
from .determinism import seeded_schedule
from .endings import look_at_all, look_at_events
from .faults import Profile, SimulatedStorage, profile_of
from .graphs import GRAPHS, Stage, StagedWorld, graph
from .posts import SimulatedPoster, wait_for_posts
from .readings import Reading
from .scheduling import wait_for_crons
from .witness import RUN_TIMEOUT, Witness

__all__ = ["Simulation", "simulate"]

GRACE: Final = 1.0  # seconds
LEASE: Final = 6.0  # seconds that it lasts
TO_STOP: Final = 20.0  # seconds that a process has which has lost it
SQLITE_EVERY: Final = 8  # seeds
PATIENCE: Final = 3000.0  # seconds until what is not over never will be


@attrs.frozen
class Outcome:
    """`wrong`: what was not as it must be; None if all was. `history`: a line for each thing that
    happened."""

    seed: int
    wrong: str | None
    history: list[str]


def simulate(seed: int) -> Outcome:
    """Play one history, and say what was wrong with it."""
    simulation = Simulation(seed)
    witness = simulation.witness
    collects = gc.isenabled()
    gc.disable()  # what it finds is finished in the order in which it was found
    try:
        with seeded_schedule(f"{seed} schedule"), _log(witness):
            trio.run(simulation.play, clock=MockClock(autojump_threshold=0))
    except Exception as error:  # it has left the room
        witness.wrong = witness.wrong or f"{type(error).__name__}: {error}"
    finally:
        if collects:
            gc.enable()
    return Outcome(seed, witness.wrong, witness.history)


@contextmanager
def _log(witness: Witness) -> Iterator[None]:
    """What the runtime logs is seen by the witness and nobody else."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            witness.say(f"log: {record.getMessage()} {type(error).__name__ if error else ''}")
            if "of cron %s was refused" in str(record.msg) and isinstance(record.args, tuple):
                witness.refused.add(str(record.args[0]))
            crashed = "crashed" in record.getMessage()
            witness.lives += crashed
            if crashed and not isinstance(error, StorageError):
                witness.refute(f"{record.getMessage()}: {error!r}")

    logger, handler = logging.getLogger("greenroom"), Handler()
    before = logger.propagate, logger.level
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before[0]
        logger.setLevel(before[1])


@attrs.define(eq=False)
class Process:
    """One life of the server. `gone`: it does not serve any more; `over`: and has ended."""

    storage: SimulatedStorage
    stage: Stage
    poster: SimulatedPoster
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    gone: trio.Event = attrs.field(factory=trio.Event)
    over: trio.Event = attrs.field(factory=trio.Event)


@attrs.define(eq=False)
class _Audience:
    witness: Witness
    alive: Callable[[], bool]

    def watched(self, node: str, thread_id: str, run_id: str, tag: str) -> Any:
        return self.witness.watched(self.alive, node, thread_id, run_id, tag)


@attrs.define(eq=False)
class Simulation:
    """Everything that one seed decides. `branches`: clients go on from older checkpoints, too."""

    seed: int
    witness: Witness = attrs.field(factory=Witness)
    readings: list[Reading] = attrs.field(factory=list)
    acknowledged: list[Course] = attrs.field(factory=list)
    thread_ids: list[str] = attrs.field(init=False)
    branches: bool = attrs.field(init=False)
    profile: Profile = attrs.field(init=False)
    _graphs: dict[str, str] = attrs.field(init=False)
    _durabilities: dict[str, str] = attrs.field(init=False)
    _random: Random = attrs.field(init=False)
    _ids: Iterator[int] = attrs.field(init=False)
    _adopted: list[str] = attrs.field(factory=list)
    _room: Greenroom | None = None
    _process: Process | None = None
    _opened: trio.Event = attrs.field(factory=trio.Event)
    _last_tag: int = 0

    def __attrs_post_init__(self) -> None:
        self._random = self.dice("simulation")
        self.profile = profile_of(self._random)
        self._ids = count(1)
        self.branches = self._random.random() < 0.4
        many = self._random.choice((1, 1, 2, 3))
        self.thread_ids = [str(UUID(int=(2 << 64) + number)) for number in range(many)]
        self._graphs = {ident: self._random.choice(list(GRAPHS)) for ident in self.thread_ids}
        durabilities = ("async", "async", "async", "sync", "exit")
        self._durabilities = {ident: self._random.choice(durabilities) for ident in self._graphs}

    def dice(self, name: str) -> Random:
        return Random(f"{self.seed} {name}")

    def new_tag(self) -> str:
        self._last_tag += 1
        return f"t{self._last_tag}"

    def durability_of(self, thread_id: str) -> str:
        """That of most of its runs: those that become one have the same."""
        return self._durabilities[thread_id]

    def graph_of(self, thread_id: str) -> str:
        return self._graphs[thread_id]

    def adopt(self, thread_id: str, graph: str) -> None:
        """A thread that came to be by itself is one of those that clients speak to."""
        if thread_id not in self._graphs:
            durability = self.dice(f"durability {thread_id}").choice(("async", "exit"))
            self._graphs[thread_id], self._durabilities[thread_id] = graph, durability
            self._adopted.append(thread_id)

    def some_thread(self, random: Random) -> str:
        adopted = [ident for ident in self._adopted if ident in self.witness.threads]
        return random.choice(adopted if adopted and random.random() < 0.2 else self.thread_ids)

    async def client(self) -> Client:
        """Of the process that serves, once there is one."""
        while self._room is None:
            await self._opened.wait()
        return self._room.client

    async def make_thread(self, thread_id: str, client: Client) -> None:
        await client.threads.create(
            thread_id=thread_id, graph_id=self.graph_of(thread_id), if_exists="do_nothing"
        )

    async def play(self) -> None:
        self.witness.say(f"seed {self.seed}: {self.profile}, {list(self._graphs.values())}")
        if self.seed % SQLITE_EVERY:
            memory = MemoryStorage()
            await self._play(lambda: memory)
        else:
            with TemporaryDirectory(prefix="greenroom-") as folder:
                await self._play(lambda: SqliteStorage(Path(folder) / "agents.db"))

    async def _play(self, open_storage: Callable[[], Storage]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_when_wrong, nursery.cancel_scope)
            nursery.start_soon(self._serve, open_storage)
            with trio.move_on_after(PATIENCE) as scope:
                await self._session()
            if scope.cancelled_caught:
                left = [c.order.tag for c in self.witness.courses.values() if c.end is None]
                self.witness.refute(f"it does not come to an end: {left}")
            nursery.cancel_scope.cancel()

    async def _leave_when_wrong(self, scope: trio.CancelScope) -> None:
        await self.witness.found.wait()
        scope.cancel()

    async def _serve(self, open_storage: Callable[[], Storage]) -> None:
        """One process after the other."""
        dice = self.dice("storage")
        async with trio.open_nursery() as nursery:
            while True:
                self._process = process = self._new_process(open_storage(), dice)
                nursery.start_soon(self._live, process)
                await process.gone.wait()
                await trio.sleep(0.01)

    async def _live(self, process: Process) -> None:
        try:  # it may be left by several errors at once
            with process.scope:
                async with Greenroom(
                    {name: graph(name) for name in sorted(set(self._graphs.values()))},
                    storage=process.storage,
                    world=StagedWorld(
                        random=process.stage.random, ids=self._ids, stage=process.stage
                    ),
                    run_blocking=process.storage.run_blocking,
                    run_timeout=RUN_TIMEOUT,
                    grace_period=GRACE,
                    idle_timeout=self._random.choice((0.05, 10.0)),
                    poster=process.poster,
                    max_queued_runs=self._random.choice((2, 1000)),
                ) as room:
                    self._room = room
                    self._opened.set()
                    self.witness.say("process: serves")
                    await trio.sleep_forever()
        except* StorageError as errors:
            self.witness.say(f"process: {[type(error).__name__ for error in errors.exceptions]}")
        self.witness.say("process: over")
        if not process.gone.is_set():
            self._is_gone(process)
        process.over.set()

    def _is_gone(self, process: Process) -> None:
        """It serves nobody any more."""
        if self._room is not None:
            self._room, self._opened = None, trio.Event()
        for thread in self.witness.threads.values():
            thread.at_work.clear()
        self.witness.lives += 1
        process.gone.set()

    def _new_process(self, storage: Storage, dice: Random) -> Process:
        def died() -> None:
            if not process.stage.dead.is_set():
                self.witness.say("process: dies")
                process.stage.dead.set()
                process.scope.cancel()

        def seen(storage: Storage, group: Sequence[Operation]) -> None:
            self.witness.check(not simulated.taken, "a process wrote whose lease another has")
            self.witness.committed(storage, group)

        lasts = LEASE if self.profile.take_overs else None
        unread = self.witness.not_read
        simulated = SimulatedStorage(storage, dice, self.profile, seen, unread, died, lasts)

        def alive() -> bool:
            return not (simulated.crashed.is_set() or simulated.taken)

        lives = self.witness.lives
        stage = Stage(self.dice(f"nodes {lives}"), _Audience(self.witness, alive))
        poster = SimulatedPoster(self.witness, alive, self.dice(f"posts {lives}"))
        process = Process(simulated, stage, poster)
        return process

    async def _session(self) -> None:
        for thread_id in self.thread_ids:
            await self._insist(partial(self.make_thread, thread_id))
        operations = self._random.choice((4, 8, 12, 20))
        async with trio.open_nursery() as nursery:
            for number in range(self._random.choice((1, 2, 3, 5))):
                client = SimulatedClient(f"client {number}", self.dice(f"client {number}"), self)
                nursery.start_soon(client.play, operations)
            for _ in range(self.profile.restarts):
                nursery.start_soon(self._restart)
            for _ in range(self.profile.take_overs if self.seed % SQLITE_EVERY else 0):
                nursery.start_soon(self._take_over)
        self._calm()
        await wait_for_crons(self.witness)
        await self._come_to_rest()
        if self._random.random() < 0.3 and self._process is not None:
            self.witness.say("the process is left, and what is stored is looked at")
            self._process.scope.cancel()
            await self._process.over.wait()
            await self.client()
            await wait_for_crons(self.witness)  # those that only storage had heard of
            await self._come_to_rest()
        await wait_for_posts(self.witness)
        await self._insist(self._look)

    async def _restart(self) -> None:
        await trio.sleep(self._random.choice((0.01, 0.1, 0.5, 1.0, 3.0)))
        await self.client()
        if self._process is None:
            return
        if self._random.random() < 0.5:
            self._process.storage.die()
        else:
            self.witness.say("process: is stopped")
            self._process.scope.cancel()

    async def _take_over(self) -> None:
        """Another process takes the lease, while the one that has it works on: it stops."""
        await trio.sleep(self._random.choice((0.1, 0.5, 1.0, 3.0)))
        await self.client()
        process = self._process
        if process is None or self._room is None or process.storage.crashed.is_set():
            return
        self.witness.say("process: another takes its lease")
        self.witness.taken_over = True
        process.storage.be_taken_over()
        self._is_gone(process)
        with trio.move_on_after(TO_STOP):
            await process.over.wait()
        self.witness.check(process.over.is_set(), "a process works on whose lease another has")

    def _calm(self) -> None:
        """Nothing goes wrong any more."""
        self.witness.say("calm")
        self.profile = Profile()
        if self._process is not None:
            self._process.storage.settle()

    async def _insist(self, ask: Callable[[Client], Any]) -> Any:
        """Ask until there is an answer."""
        while True:
            client = await self.client()
            try:
                return await ask(client)
            except (Closed, StorageError) as error:
                self.witness.say(f"again: {type(error).__name__}")
                await trio.sleep(0.1)

    async def _come_to_rest(self) -> None:
        """All that was asked for is done, and all runs end."""
        for thread_id in [*self.thread_ids, *self._adopted]:

            async def ask(client: Client, thread_id: str = thread_id) -> None:
                with suppress(NotFound):
                    await client.threads.update(thread_id, metadata={})

            await self._insist(ask)
        while left := [one.run for one in self.witness.courses.values() if one.end is None]:

            async def join(client: Client, run: Run = left[0]) -> None:
                with suppress(NotFound):
                    await client.runs.join(run.thread_id, run.run_id, raise_error=False)

            await self._insist(join)
            await trio.sleep(1)  # one that was lost has no end

    @property
    def _known(self) -> list[str]:
        """All threads that there have ever been, as far as anybody knows."""
        return list(dict.fromkeys([*self.thread_ids, *self._adopted, *self.witness.threads]))

    async def _look(self, client: Client) -> None:
        await look_at_all(client, self.witness, self._known, self.acknowledged)
        await look_at_events(client, self.witness, self.readings, self._random)
