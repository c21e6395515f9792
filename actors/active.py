"""A run under way: its task, its cancel scope, and the fence around what it may still write."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, cast

import attrs
import trio

from greenroom.graph import BaseStore, Command, RunnableConfig, Send
from greenroom.graph.address import Address
from greenroom.graph.checkpoint import Checkpoint, PendingWrites, Saved
from greenroom.graph.contract import Graph
from greenroom.graph.errors import AsyncioThreadDied
from greenroom.graph.job import Finish, Job, TakeIn
from greenroom.graph.world import World
from greenroom.storage import StaleEpoch, Storage, StorageError, StorageSession, ThreadLog
from greenroom.storage.operations import PutRun
from greenroom.storage.records import Run

from .errors import Refused
from .events import RunStream, unkept
from .handover import Phase, Reason, after, may_write
from .logs import current_run
from .mailbox import Ended, Mailbox
from .meters import Meters
from .views import ids_of

__all__ = [
    "ActiveRun",
    "Failed",
    "Finished",
    "Lost",
    "Outcome",
    "Stopped",
    "command_of",
    "newest_config",
    "told_to_stop",
]

logger = logging.getLogger(__name__)


@attrs.frozen
class Finished:
    """The graph came to its end or to a pause."""

    finish: Finish


@attrs.frozen
class Failed:
    """The graph raised; the log has the error too, unless it could not get that far."""

    error: Exception


@attrs.frozen
class Stopped:
    """It was cut short."""


Outcome = Finished | Failed | Stopped


@attrs.frozen
class Lost:
    """It has come to no outcome: what it ran on has ended beneath it."""

    error: Exception


class Fenced(Exception):
    """A run that was given up on wrote something; it was refused."""


@attrs.define(eq=False)
class ActiveRun:
    """One run, from its start until its task has ended or is given up on.

    `phase`: see `handover`; how it was told to stop is in its `run`. `ends_at`: when it is stopped,
    as it has taken too long. `members`: the runs that are part of it, by id; `unstored`: those
    whose input is in no record of the log yet. `streams`: its own, and then theirs. `boundary`:
    called at each super-step boundary while it may take runs in, with itself and with what takes an
    input in. `grace`: seconds that it may take to stop.
    """

    run: Run
    graph: Graph
    session: StorageSession
    store: BaseStore
    log: ThreadLog
    streams: list[RunStream]
    world: World
    mailbox: Mailbox
    meters: Meters
    grace: float
    fresh: bool
    boundary: Callable[[ActiveRun, TakeIn], None]
    members: dict[str, Run]
    unstored: set[str] = attrs.field(factory=set)
    phase: Phase = "running"
    ends_at: float = float("inf")
    give_up_at: float = float("inf")
    over: trio.Event = attrs.field(factory=trio.Event)
    _scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    _closed: bool = False

    @property
    def stream(self) -> RunStream:
        return self.streams[0]

    @property
    def deadline(self) -> float:
        """When it must be stopped or, if it was, given up on."""
        return self.ends_at if self.phase == "running" else self.give_up_at

    def has(self, run_id: str) -> bool:
        """Whether that is this run, or part of it."""
        return run_id == self.run.run_id or run_id in self.members

    def let_in(self, member: Run, stream: RunStream) -> None:
        """A run becomes part of this one, as it starts or at a boundary."""
        self.members[member.run_id] = member
        self.streams.append(stream)

    def let_out(self, run_id: str) -> Run | None:
        """A run is part of this one no longer, if it was."""
        self.streams = [one for one in self.streams if one.run_id != run_id]
        return self.members.pop(run_id, None)

    def close(self) -> None:
        """It is about to be told to stop: let no more runs in, and leave its record alone."""
        self._closed = True

    def cut_short(self, reason: Reason, give_up_at: float) -> None:
        """Cancel the task."""
        self.run = told_to_stop(self.run, reason)
        if self.phase == "running":
            self.give_up_at = give_up_at
            self._scope.cancel()
        self.phase = after(self.phase, reason)

    def put_off(self) -> None:
        """The runtime is left in good order, and the run goes on at its next start: this one is not
        counted among those that came to nothing."""
        if self.phase == "running" and not self._closed:
            self.run = attrs.evolve(self.run, stalled=self.run.stalled - 1)
            self.log.precede(PutRun(self.run))
            with suppress(StorageError):
                self.hand_over()

    def fence(self) -> None:
        """Give up on the task: whatever it still does is refused."""
        self.phase = after(self.phase, "given up")
        self._scope.cancel()

    @property
    def open(self) -> bool:
        return may_write(self.phase)

    async def perform(self) -> None:
        """Carry the run out, in a task of its own, and tell the mailbox how it ended."""
        outcome: Outcome | Lost = Stopped()
        current_run.set(self.run.run_id)
        try:
            with self._scope:
                self.stream.begin(self.run)
                for stream in self.streams[1:]:
                    stream.begin(self.members[stream.run_id], self.run)
                finish = await self.graph.perform(self._job())
                for stream in self.streams:
                    stream.come_to(finish.values)
                outcome = Finished(finish)
        except StaleEpoch:
            # The run is another process's now, and the runtime is about to be left.
            await trio.sleep_forever()
        except AsyncioThreadDied as error:
            if self.open:
                with suppress(StorageError):
                    self.hand_over()
            outcome = Lost(error)
        except Exception as error:
            if self.open:
                logger.error("run %s failed", self.run.run_id, exc_info=error)
            outcome = Failed(error)
        except BaseException:  # cancelled, by itself or in a group of tasks that were side by side
            # Not by us: the runtime is left. The run goes on from here at the next start.
            if self.open:
                with suppress(StorageError):
                    self.hand_over()
            raise
        finally:
            self.over.set()
        if self.phase == "fenced":
            logger.warning("run %s ended after it was given up on", self.run.run_id)
            return
        self.phase = after(self.phase, "joined")
        self.mailbox.put(Ended(self, outcome))

    def _job(self) -> Job:
        kwargs = self.run.kwargs
        own = {**kwargs["config"]["configurable"], "thread_id": self.run.thread_id}
        at = Address.of({"configurable": own})
        return Job(
            input=_input(kwargs),
            carried_on=not self.fresh,
            config=run_config(self.run),
            context=kwargs["context"],
            log=RunLog(self),
            world=self.world,
            sink=RunSink(self),
            checkpoint_id=at.start_id if self.fresh else None,
            travels=at.travels if self.fresh else {},
            interrupt_before=kwargs["interrupt_before"] or (),
            interrupt_after=kwargs["interrupt_after"] or (),
            durability=kwargs["durability"],
            bound=self.run.bound,
            strict_resume=kwargs.get("strict_resume", False),
            metadata=checkpoint_metadata(self.run),
            store=None if self.graph.has_own_store else self.store,
            grace=self.grace,
            boundary=self._at_boundary,
        )

    def _at_boundary(self, take_in: TakeIn) -> None:
        if self.phase == "running" and not self._closed:
            self.boundary(self, take_in)

    # What it leaves behind.

    def hand_over(self) -> None:
        """Start to make durable what it has left so far."""
        self.log.hand_over(unkept(self.streams, carried_on=self.run.attempt > 1))

    def check_fence(self) -> None:
        if not self.open:
            self.meters.fenced_writes += 1
            raise Fenced(f"run {self.run.run_id} was given up on; what it writes is refused")


@attrs.frozen
class RunLog:
    """The thread's log, for as long as the run may write to it."""

    active: ActiveRun

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        return await self.active.log.load(ns, checkpoint_id, following=following)

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        return await self.active.log.history(ns, before=before, limit=limit)

    def append(self, record: Checkpoint | PendingWrites) -> None:
        active = self.active
        active.check_fence()
        active.log.append(record)
        if active.unstored:
            # What was taken in is in this record: storage has both or neither.
            taken = [run for ident, run in active.members.items() if ident in active.unstored]
            active.log.accompany([PutRun(run) for run in taken])
            active.unstored.clear()

    def hand_over(self) -> None:
        self.active.check_fence()
        self.active.hand_over()

    async def flush(self) -> None:
        await self.active.log.flush()


@attrs.frozen
class RunSink:
    """The streams of the run and its members, for as long as the run may emit to them."""

    active: ActiveRun

    @property
    def modes(self) -> Collection[str]:
        streams = self.active.streams
        if len(streams) == 1:  # as mostly
            return streams[0].modes
        return {mode for stream in streams for mode in stream.modes}

    @property
    def offered(self) -> Collection[str]:
        return {mode for stream in self.active.streams for mode in stream.offered}

    @property
    def subgraphs(self) -> bool:
        return any(stream.subgraphs for stream in self.active.streams)

    def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None:
        if not self.active.open:
            return
        if self.active.run.kwargs["temporary"] and _is_checkpoint(mode, data):
            return  # which goes with the run
        streams = self.active.streams
        if len(streams) == 1:
            streams[0].emit(mode, ns, data)
        else:
            for stream in streams:
                if mode in stream.modes and (stream.subgraphs or not ns):
                    stream.emit(mode, ns, data)


def told_to_stop(run: Run, reason: Reason) -> Run:
    """The run, to end as told; `rollback` outweighs an `interrupt` that came before."""
    return run if run.stop == "rollback" else attrs.evolve(run, stop=reason)


def _is_checkpoint(mode: str, data: Any) -> bool:
    return mode == "checkpoints" or (mode == "debug" and data["type"] == "checkpoint")


def run_config(run: Run) -> RunnableConfig:
    """The config that nodes of the run see."""
    config: dict[str, Any] = run.kwargs["config"]
    shown = {**config, "configurable": {**config["configurable"], **ids_of(run)}}
    for place in ("checkpoint_id", "checkpoint_ns", "checkpoint_map"):
        shown["configurable"].pop(place, None)
    return cast(RunnableConfig, shown)


async def newest_config(
    graph: Graph, session: StorageSession, thread_id: str
) -> RunnableConfig | None:
    """That of the newest run of a thread, to read or edit its state with a graph that is made of
    it; None for other graphs."""
    if not graph.made_per_run:
        return None
    runs = await session.read(Storage.list_runs, thread_id, limit=1)
    return run_config(runs[0]) if runs else {"configurable": {"thread_id": thread_id}}


def checkpoint_metadata(run: Run) -> dict[str, Any]:
    return {**run.metadata, "run_id": run.run_id, "thread_id": run.thread_id}


def command_of(given: dict[str, Any]) -> Command[Any]:
    """A command as it comes over the wire: `goto` may hold `{"node": …, "input": …}`."""
    goto = given.get("goto") or ()
    many = goto if isinstance(goto, (list, tuple)) else [goto]
    return Command(
        update=given.get("update"),
        resume=given.get("resume"),
        goto=tuple(_target(one) for one in many),
    )


def _target(one: Any) -> str | Send:
    if isinstance(one, (str, Send)):
        return one
    if isinstance(one, dict) and isinstance(one.get("node"), str):
        return Send(one["node"], one.get("input"))
    raise Refused(f"command.goto holds {one!r}; expected a node name or {{'node', 'input'}}")


def _input(kwargs: dict[str, Any]) -> Any:
    if kwargs["command"] is not None:
        return command_of(kwargs["command"])
    return kwargs["input"]
