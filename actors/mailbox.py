"""What a thread actor can be told, and where it is told it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import trio

from greenroom.graph import StateUpdate
from greenroom.graph.checkpoint import Checkpoint
from greenroom.storage.operations import Operation
from greenroom.storage.records import Run, RunStatus, Thread

from .multitask import Stop, Strategy

if TYPE_CHECKING:
    from .active import ActiveRun, Lost, Outcome
    from .events import RunStream

__all__ = [
    "Accepted",
    "Attach",
    "Cancel",
    "Copy",
    "Create",
    "DeleteRun",
    "DeleteThread",
    "Due",
    "EditState",
    "Ended",
    "Expire",
    "KeepLatest",
    "Mailbox",
    "Message",
    "Patch",
    "Reply",
    "Submit",
]

T = TypeVar("T")


class Reply(Generic[T]):
    """The answer to one message: sent once, awaited once by who asked."""

    def __init__(self) -> None:
        self._there = trio.Event()
        self._value: T | None = None
        self._error: Exception | None = None

    @property
    def sent(self) -> bool:
        """Whether it has been answered, well or not."""
        return self._there.is_set()

    def send(self, value: T) -> None:
        if not self._there.is_set():
            self._value = value
            self._there.set()

    def fail(self, error: Exception) -> None:
        if not self._there.is_set():
            self._error = error
            self._there.set()

    async def wait(self) -> T:
        await self._there.wait()
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
            return self._value  # type: ignore[return-value]
        finally:
            del error  # its traceback has this frame


@attrs.frozen
class Accepted:
    """A run that is durable and will be carried out, and its stream."""

    run: Run
    stream: RunStream


@attrs.frozen(eq=False)
class Create:
    """Make the thread. `if_exists`: `raise` or `do_nothing`. `supersteps`: what its state begins
    with, a checkpoint each."""

    thread: Thread
    if_exists: str
    supersteps: Sequence[Sequence[StateUpdate]] = ()
    reply: Reply[Thread] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class Submit:
    """A run arrives. `strategy`: its own, None for the default. `thread`: what to create where
    there is none yet. `follow`: its events are read. `below`: metadata of the run that the thread's
    outweighs, as the run's own outweighs that. `along`: what is committed together with its being
    accepted, and only then. `answers`: of a graph around it that is resumed, see `remote`.
    """

    run: Run
    strategy: Strategy | None
    thread: Thread | None
    follow: bool
    below: Mapping[str, Any]
    answers: Mapping[str, Any] | None
    along: tuple[Operation, ...] = ()
    reply: Reply[Accepted] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class Due:
    """The time of a delayed run has come."""

    reply: Reply[None] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class Attach:
    """Who reads along: the reply is the stream of a run that is queued or under way, else None."""

    run_id: str
    reply: Reply[RunStream | None] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class Cancel:
    """Stop a run that is queued or under way; with `only`, one that is `pending` or `running`. The
    reply comes once that is decided and certain, with the run's stream, which ends when the run has
    stopped."""

    run_id: str
    action: Stop
    only: RunStatus | None = None
    reply: Reply[RunStream] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class DeleteRun:
    """Delete a run, stopping it first."""

    run_id: str
    reply: Reply[None] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class DeleteThread:
    """Delete the thread, stopping its run first."""

    reply: Reply[None] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class KeepLatest:
    """Forget all but the newest checkpoint. The reply is False if runs are queued or under way:
    then nothing is forgotten."""

    reply: Reply[bool] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class Expire:
    """Do what the thread's `ttl` says, if its time has come and no run is queued or under way. The
    reply is whether that was so."""

    reply: Reply[bool] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class Copy:
    """Make a thread of that id, with the same metadata, state and history, and no runs."""

    thread_id: str
    reply: Reply[Thread] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class Patch:
    """Merge into the thread's metadata, on the top level. `ttl`: the new one, if any."""

    metadata: Mapping[str, Any]
    ttl: Mapping[str, Any] | None = None
    reply: Reply[Thread] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class EditState:
    """Edit the state by hand; the reply is the new checkpoint."""

    values: Any
    as_node: str | None
    ns: str
    checkpoint_id: str | None
    reply: Reply[Checkpoint] = attrs.field(factory=Reply)


@attrs.frozen(eq=False)
class Ended:
    """From the run under way: its task is over."""

    active: ActiveRun
    outcome: Outcome | Lost


Message = (
    Create
    | Submit
    | Attach
    | Cancel
    | DeleteRun
    | DeleteThread
    | Due
    | KeepLatest
    | Expire
    | Copy
    | Patch
    | EditState
    | Ended
)


class Mailbox:
    """Messages for one thread, in order of arrival."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._arrived = trio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> None:
        self._messages.append(message)
        self._arrived.set()

    def put_back(self, messages: Sequence[Message]) -> None:
        """Put messages that were taken before in front again."""
        self._messages.extendleft(reversed(messages))
        if messages:
            self._arrived.set()

    def take(self) -> Message:
        """The oldest message. Raises IndexError if there is none."""
        return self._messages.popleft()

    async def wait(self) -> None:
        """Until there is a message."""
        while not self._messages:
            self._arrived = trio.Event()
            await self._arrived.wait()

    def refuse_all(self, error: Exception) -> None:
        """Answer everything that waits with an error."""
        while self._messages:
            message = self._messages.popleft()
            if not isinstance(message, Ended):
                message.reply.fail(error)
