"""The supervisor: finds the actor that a message is for, wakes it, and starts it again if it
crashed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context, copy_context
from typing import Any, Protocol, TypeVar

import attrs
import trio

from greenroom.graph.contract import Graph
from greenroom.graph.world import World
from greenroom.storage import StaleEpoch, Storage, StorageError, StorageSession, StorageStore
from greenroom.storage.records import Run

from .active import ActiveRun
from .assistants import Assistants
from .crontab import Crontab
from .errors import Closed, NotFound
from .event_ttl import EventSweeper
from .events import EventIds, RunStream, StreamPart
from .feeds import Feeds
from .joining import is_to_wait
from .logs import current_thread
from .mailbox import Mailbox, Message, Reply
from .meters import Census, Meters
from .new_threads import NewThreads
from .thread import ThreadActor
from .timers import Alarms
from .ttl import Sweeper, ThreadTTLConfig
from .webhooks import Poster, Webhooks

__all__ = ["Supervisor"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_BACK_OFF = 0.1  # seconds before a crashed actor is started again, doubled each time
LONGEST_BACK_OFF = 30.0  # seconds


class Question(Protocol[T]):
    """A message that is answered."""

    @property
    def reply(self) -> Reply[T]: ...


@attrs.define(eq=False)
class Seat:
    """What outlives an actor that crashes: its mail, and the streams that its runs are read by."""

    mailbox: Mailbox = attrs.field(factory=Mailbox)
    streams: dict[str, RunStream] = attrs.field(factory=dict)
    actor: ThreadActor | None = None


@attrs.define(eq=False, kw_only=True)
class Supervisor:
    """Owns the actors and the tasks of their runs.

    `run_timeout`: seconds that a run may take. `event_ttl`: seconds that events are kept,
    `max_kept_events`: how many of a run. `grace_period`: seconds that a run told to stop may take.
    `idle_timeout`: seconds that an actor with nothing to do stays awake. `max_queued_runs`: how
    many runs of a thread may wait.
    """

    session: StorageSession
    store: StorageStore
    graphs: Mapping[str, Graph]
    descriptions: Mapping[str, str]
    nursery: trio.Nursery
    world: World
    ttl: ThreadTTLConfig
    run_timeout: float
    event_ttl: float
    max_kept_events: int
    grace_period: float
    idle_timeout: float
    poster: Poster | None
    max_queued_runs: int
    event_ids: EventIds = attrs.field(init=False)
    feeds: Feeds = attrs.field(init=False, factory=Feeds)
    new_threads: NewThreads = attrs.field(init=False, factory=NewThreads)
    meters: Meters = attrs.field(init=False, factory=Meters)
    sweeper: Sweeper = attrs.field(init=False)
    event_sweeper: EventSweeper = attrs.field(init=False)
    alarms: Alarms = attrs.field(init=False)
    webhooks: Webhooks = attrs.field(init=False)
    assistants: Assistants = attrs.field(init=False)
    crontab: Crontab = attrs.field(init=False)
    _seats: dict[str, Seat] = attrs.field(init=False, factory=dict)
    draining: bool = attrs.field(init=False, default=False)  # runs are not started any more
    _closed: bool = attrs.field(init=False, default=False)
    _context: Context = attrs.field(init=False, factory=copy_context)

    def __attrs_post_init__(self) -> None:
        self.event_ids = EventIds(self.session.epoch)
        self.assistants = Assistants(
            session=self.session,
            graphs=self.graphs,
            descriptions=self.descriptions,
            nursery=self.nursery,
            world=self.world,
        )
        self.sweeper = Sweeper.of(self, self.ttl)
        self.event_sweeper = EventSweeper(self, self.event_ttl)
        self.crontab = Crontab(self)
        self.alarms = Alarms(self)
        self.webhooks = Webhooks(self, self.poster)

    async def recover(self) -> None:
        """Wake every thread that an earlier process left runs on, at once or when they are due,
        and post what it has not posted. No run starts unless all of this succeeds."""
        await self.webhooks.recover()
        now = self.world.timestamp()
        for run in await self.session.read(Storage.unfinished_runs):
            if is_to_wait(run) and run.created_at > now:
                self.alarms.set(run.thread_id, run.created_at)
            else:
                self._seat(run.thread_id)

    async def ask(self, thread_id: str, question: Question[T]) -> T:
        """Send a message to a thread and wait for the answer. Raises what the actor answers with.

        Being cancelled here does not take the message back.
        """
        return await self.send(thread_id, question).wait()

    def send(self, thread_id: str, question: Question[T]) -> Reply[T]:
        """Send a message to a thread; what it answers is in the reply. Raises Closed."""
        if self._closed:
            raise Closed
        self.tell(thread_id, question)  # type: ignore[arg-type]
        return question.reply

    def tell(self, thread_id: str, message: Message) -> None:
        """Send a message to a thread and do not wait for the answer."""
        if not self._closed:
            self._seat(thread_id).mailbox.put(message)

    async def awake(self, thread_id: str) -> ThreadActor | None:
        """The actor of a thread, if it is awake and has its log at hand, when what it knows is not
        older than what storage has."""
        while (actor := self._loaded(thread_id)) is not None and actor.state.changing is not None:
            await actor.state.changing.wait()
        return actor

    def kept_parts(self, thread_id: str) -> list[StreamPart]:
        """The events of resumable runs of a thread that are not over, and part of no other."""
        seat = self._seats.get(thread_id)
        streams = () if seat is None else seat.streams.values()
        kept = [stream for stream in streams if stream.resumable and not stream.hosted]
        return [part for stream in kept for part in stream.parts]

    def census(self) -> Census:
        seats = list(self._seats.values())
        runs = [seat.actor.runs for seat in seats if seat.actor is not None and seat.actor.loaded]
        return Census(
            actors=len(seats),
            messages=sum(len(seat.mailbox) for seat in seats),
            running=sum(one.active is not None for one in runs),
            pending=sum(one.waiting for one in runs),
            followers=len(self.feeds),
        )

    def graph(self, graph_id: str) -> Graph:
        """Raises NotFound for a graph that is not served."""
        if graph_id not in self.graphs:
            raise NotFound(f"Graph {graph_id!r} is not served here")
        return self.graphs[graph_id]

    def stream(self, run: Run, *, follow: bool) -> RunStream:
        """A stream for a run. `follow`: its events are read from the first."""
        graph = self.graphs.get(run.metadata["graph_id"])
        stream = RunStream(
            self.event_ids,
            run.kwargs["stream_mode"],
            subgraphs=run.kwargs["subgraphs"],
            resumable=run.kwargs["resumable"],
            max_kept=self.max_kept_events,
            follow=follow,
            feeds=self.feeds,
            run=run,
            told=graph is not None and graph.tells_events,
        )
        if self._closed:  # it was accepted at the last moment
            stream.abort(Closed())
        return stream

    def start(self, function: Callable[..., Awaitable[object]], *args: Any) -> None:
        """Start a task that may outlive who asks for it: it has the context variables that the
        runtime was entered with, and not theirs, which are nobody else's."""
        self._context.run(self.nursery.start_soon, function, *args)

    def start_run(self, active: ActiveRun) -> None:
        """Start a run's task: the supervisor's, so that its actor can give up on it."""
        self.nursery.start_soon(active.perform)

    async def drain(self) -> None:
        """Start no more runs, and wait until those under way have ended."""
        self.draining = True
        for seat in list(self._seats.values()):
            actor = seat.actor
            if actor is not None and actor.loaded:
                # Those that are part of another end with it, or wait again.
                waiting = {*actor.runs.members, *(run.run_id for run in actor.runs.queue)}
                for run_id, stream in list(seat.streams.items()):
                    if run_id not in waiting:
                        await stream.ended.wait()

    def close(self) -> None:
        """Take no more messages, answer all who wait, and put off the runs under way."""
        self._closed = True
        for seat in self._seats.values():
            actor = seat.actor
            if actor is not None and actor.loaded and actor.runs.active is not None:
                actor.runs.active.put_off()
            seat.mailbox.refuse_all(Closed())
            for stream in seat.streams.values():
                stream.abort(Closed())
        self.feeds.close(Closed())

    def _loaded(self, thread_id: str) -> ThreadActor | None:
        seat = self._seats.get(thread_id)
        if self._closed or seat is None or seat.actor is None or not seat.actor.loaded:
            return None
        return seat.actor

    def _seat(self, thread_id: str) -> Seat:
        seat = self._seats.get(thread_id)
        if seat is None:
            seat = self._seats[thread_id] = Seat()
            self.start(self._keep, thread_id, seat)
        return seat

    async def _keep(self, thread_id: str, seat: Seat) -> None:
        """Keep a thread's actor going until it goes to sleep."""
        current_thread.set(thread_id)
        try:
            await self._keep_going(thread_id, seat)
        finally:  # also what an actor had taken up and put back when the runtime was left
            seat.mailbox.refuse_all(Closed())

    async def _keep_going(self, thread_id: str, seat: Seat) -> None:
        wait, crashed = FIRST_BACK_OFF, False
        while True:
            began = trio.current_time()
            actor = seat.actor = ThreadActor(self, thread_id, seat.mailbox, seat.streams)
            try:
                if crashed:  # the end of a run may be stored that it was not told was
                    await self.webhooks.recover()
                    crashed = False
                await actor.live()
                if seat.streams:  # of runs that are not due yet, and may be waited for
                    seat.actor, wait = None, FIRST_BACK_OFF
                    del actor
                    await seat.mailbox.wait()
            except StaleEpoch:  # the runtime is about to be left
                seat.mailbox.refuse_all(Closed())
                await trio.sleep_forever()
            except Exception as error:
                logger.exception("the actor of thread %s crashed; it is started again", thread_id)
                crashed = True
                if trio.current_time() - began > LONGEST_BACK_OFF:
                    wait = FIRST_BACK_OFF
                fails_again = isinstance(error, StorageError) and wait > FIRST_BACK_OFF
                if not actor.loaded or fails_again:
                    # Storage is down: who asks is told so, and does not wait for one back-off each.
                    seat.mailbox.refuse_all(error)
                await self._clear_up(actor)
                await trio.sleep(wait)
                wait = min(wait * 2, LONGEST_BACK_OFF)
            else:
                if seat.streams:
                    continue
                # No await since it found its mailbox empty, so nothing can have come in.
                del self._seats[thread_id]
                return

    async def _clear_up(self, actor: ThreadActor) -> None:
        """What a crashed actor was doing is over before the next one looks."""
        if not actor.loaded:
            return
        actor.loaded = False
        if (active := actor.runs.active) is not None:
            active.fence()
            with trio.move_on_after(self.grace_period):
                await active.over.wait()
        try:
            await self.session.commit([])  # all that was handed over is in storage, or refused
        except Exception:
            logger.exception("storage refuses work")
