"""A run's stream: an append-only list of events that any number of readers follow by position."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, Collection, Iterable, Sequence
from itertools import zip_longest
from operator import attrgetter
from typing import Any, Final

import attrs
import msgspec
import trio

from greenroom.graph.stream import STREAM_MODES
from greenroom.storage.codec import to_json
from greenroom.storage.operations import AppendEvents, Operation, TrimEvents
from greenroom.storage.records import Event, Run

from .chain_events import NEEDED, ChainEvents
from .errors import Closed
from .feeds import MOST_WAITING, Feeds, far_behind
from .joining import HOST
from .views import chain_event, debug_event, interrupt_event, task_event
from .wire_messages import MessageEvents

__all__ = [
    "CLIENT_MODES",
    "DONE",
    "MAX_KEPT_EVENTS",
    "SLICE",
    "EventIds",
    "RunStream",
    "StreamPart",
    "unkept",
]

CLIENT_MODES: Final = (*STREAM_MODES, "messages-tuple", "events")  # what a client may ask for

MAX_KEPT_EVENTS: Final = 10_000  # of a resumable run

SLICE: Final = 1000  # events that are let go of at once
DONE: Final = "run_done"  # the end of a run as it is kept; only who follows the thread is told
_EPOCH_BITS = 36  # ids of 68 thousand million events a process, and still exact in JavaScript


class EventIds:
    """Event ids: integers that rise, across restarts too, because the storage epoch leads."""

    def __init__(self, epoch: int) -> None:
        self.last = epoch << _EPOCH_BITS

    def next(self) -> int:
        self.last += 1
        return self.last


@attrs.frozen
class StreamPart:
    """One event: `event` is its name (`values`, `updates`, `metadata`, `error`, …, with
    `|namespace` for graphs called as nodes), `json` its data, encoded once for all readers."""

    id: int
    event: str
    json: bytes

    @classmethod
    def of(cls, event: Event) -> StreamPart:
        """An event that was kept, as those who follow its thread see it."""
        name = "metadata" if event.name == DONE else event.name
        return cls(event.event_id, name, event.data)

    @property
    def data(self) -> Any:
        return msgspec.json.decode(self.json)

    @property
    def mode(self) -> str:
        """What its reader asked for: `messages` is the mode of `messages/partial` too, and
        `messages-tuple` that of `messages` by itself."""
        name = self.event.partition("|")[0]
        kind, slash, _ = name.partition("/")
        if kind != "messages":
            return name
        return kind if slash else "messages-tuple"


class RunStream:
    """The events of one run in this process, and its result.

    Events are recorded if somebody follows or the run is resumable, and passed on to those who
    follow the thread; nobody pays for events that nobody reads. `parts` holds the newest: as many
    as are kept of a run, and as a reader may be behind. Each has a position, from 0 on, which it
    has still when those before it are gone; `stored_to` is the one to which storage has them.
    `hosted`: the run is part of another, whose events these are too; those who follow the thread
    get them once.
    """

    def __init__(
        self,
        ids: EventIds,
        modes: Collection[str],
        *,
        subgraphs: bool,
        resumable: bool,
        max_kept: int,
        follow: bool,
        feeds: Feeds,
        run: Run,
        told: bool = False,
    ) -> None:
        """`told`: the graph emits mode `events` by itself."""
        self.thread_id = run.thread_id
        self.run_id = run.run_id
        self.resumable = resumable
        self.hosted = False
        self.parts: list[StreamPart] = []
        self.ended = trio.Event()
        self.result: Any = None
        self.error: Exception | None = None
        self.stored_to = 0
        self._untrimmed = 0
        self._ids = ids
        self._max_kept = max_kept
        self._most = max(max_kept, MOST_WAITING)
        self._gone = 0
        self._messages = None if "messages-tuple" in modes else MessageEvents()
        self._asked = {"messages" if mode == "messages-tuple" else mode for mode in modes}
        self._chain = None
        if "events" in modes and not told:
            self._asked.discard("events")
            self._chain = ChainEvents(run)
        self._inside = subgraphs
        self.subgraphs = subgraphs or self._chain is not None  # which shows those inside too
        self._modes = self._asked if self._chain is None else self._asked | NEEDED
        self._recording = follow or resumable
        self._changed = trio.Event()
        self._feeds = feeds

    @property
    def modes(self) -> Collection[str]:
        return self._modes if self._is_read() else ()

    @property
    def offered(self) -> Collection[str]:
        return self._modes

    def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None:
        """Take an event of the graph."""
        if self._chain is not None:
            for event in self._chain.of(mode, ns, data):
                self.publish("events", event)
            if mode not in self._asked or (ns and not self._inside):
                return
        if mode != "messages" or self._messages is None:
            self.publish("|".join((mode, *ns)), _for_readers(mode, data))
            return
        for name, shown in self._messages.of(*data):
            self.publish(name, shown)

    def begin(self, run: Run, host: Run | None = None) -> None:
        """The run starts, or its host does, or it becomes part of it."""
        self.hosted = host is not None
        about = {} if host is None else {HOST: host.run_id}
        attempt = (host or run).attempt
        self.publish("metadata", {"run_id": run.run_id, "attempt": attempt, **about})
        if self._chain is not None:
            self.publish("events", self._chain.began())

    def come_to(self, values: Any) -> None:
        """The graph has come to its end or to a pause."""
        if self._chain is not None:
            self.publish("events", self._chain.ended(values))

    def publish(self, event: str, data: Any) -> None:
        if not self._is_read():
            return
        part = StreamPart(self._ids.next(), event, to_json(data))
        if self._recording:
            self.parts.append(part)
            if len(self.parts) >= self._most + SLICE:
                del self.parts[:SLICE]
                self._gone += SLICE
            self._wake()
        if not self.hosted:
            self._feeds.put(self.thread_id, part)

    def done(self) -> StreamPart:
        """What those who follow the thread are to be told, once the end of the run is durable."""
        about = {"status": DONE, "run_id": self.run_id}
        return StreamPart(self._ids.next(), "metadata", to_json(about))

    def end(self, result: Any) -> None:
        """The run is over, and its end is durable."""
        self.result = result
        self._close()

    def abort(self, error: Exception) -> None:
        """There will be no end in this process."""
        self.error = error
        self._close()

    async def stopped(self) -> None:
        """Until the run is over, or gone with its thread. Raises Closed where that is not to be
        seen in this process."""
        await self.ended.wait()
        if isinstance(self.error, Closed):
            raise self.error

    async def wait(self) -> Any:
        """The run's result, once it is over."""
        await self.ended.wait()
        if self.error is not None:
            raise self.error
        return self.result

    @property
    def position(self) -> int:
        """That of the next event."""
        return self._gone + len(self.parts)

    def position_after(self, event_id: int) -> int:
        """That of the first event with an id above `event_id`, of those that are there."""
        return self._gone + bisect_right(self.parts, event_id, key=attrgetter("id"))

    def unkept(self, *, carried_on: bool, done: StreamPart | None = None) -> list[Operation]:
        """As the function, for one."""
        if not self.resumable:
            return []
        new = self.parts[max(self.stored_to - self._gone, 0) :][-self._max_kept :]
        self.stored_to = self.position
        self._untrimmed += len(new)
        events, most, due = list(map(self._kept, new)), self._max_kept, self._max_kept / 10
        if done is not None:
            events.append(attrs.evolve(self._kept(done), name=DONE))
            most, due = most + 1, 1
        operations: list[Operation] = [AppendEvents(tuple(events))] if events else []
        if self._untrimmed >= due and (carried_on or self.stored_to > self._max_kept):
            limit = max(self._untrimmed, SLICE)
            operations.append(TrimEvents(self.thread_id, self.run_id, most, limit))
            self._untrimmed = 0
        return operations

    def _kept(self, part: StreamPart) -> Event:
        return Event(
            thread_id=self.thread_id,
            event_id=part.id,
            run_id=self.run_id,
            name=part.event,
            data=part.json,
        )

    async def follow(
        self, start: int, *, gather: float = 0.0
    ) -> AsyncGenerator[list[StreamPart], None]:
        """Everything from position `start` on, as it comes; ends with the run, or with its thread.
        Raises Closed where there will be no end in this process, and where the reader is so far
        behind that it would miss some.

        `gather`: seconds that a batch takes to fill, if there was more as soon as the one before
        had been taken. The first two, with the first token, are not waited for.
        """
        self._recording = True
        batches = 0
        while True:
            if start < self._gone:
                raise far_behind(self._most)
            if start < self.position:
                batch = self.parts[start - self._gone :]
                start += len(batch)
                yield batch
                batches += 1
                if gather and batches > 1 and start < self.position:
                    with trio.move_on_after(gather):
                        await self.ended.wait()
            elif self.ended.is_set():
                await self.stopped()
                return
            else:
                await self._changed.wait()

    def _is_read(self) -> bool:
        return self._recording or (not self.hosted and self._feeds.followed(self.thread_id))

    def _close(self) -> None:
        self.ended.set()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def _for_readers(mode: str, data: Any) -> Any:
    if mode == "tasks":
        return task_event(data)
    if mode == "debug":
        return debug_event(data)
    if mode == "events":
        return chain_event(data)
    if isinstance(data, dict) and "__interrupt__" in data:
        return {**data, "__interrupt__": [interrupt_event(i) for i in data["__interrupt__"]]}
    return data


def unkept(
    streams: Iterable[RunStream], *, carried_on: bool, done: Sequence[StreamPart] = ()
) -> list[Operation]:
    """What stores the events that storage has not got yet, of resumable runs, and from time to time
    deletes those beyond their maximum. `carried_on`: an earlier process may have left some. `done`:
    the runs' ends, where there will be no more."""
    return [
        operation
        for stream, end in zip_longest(streams, done)
        for operation in stream.unkept(carried_on=carried_on, done=end)
    ]
