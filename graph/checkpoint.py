"""Checkpoints: the state after a super-step, what runs next, and what a log of them must do."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import attrs

from .control import START, Interrupt, Send
from .failure import TaskError

__all__ = [
    "PAUSE_TASK",
    "RETURN",
    "RUN_TASK",
    "Checkpoint",
    "CheckpointLog",
    "CheckpointReader",
    "Checkpointer",
    "PendingWrites",
    "Planned",
    "Result",
    "Saved",
    "StateSnapshot",
    "StateTask",
    "as_shown",
]

# Task ids of records that are the run's own and no task's.
RUN_TASK: Final = "__run__"  # it failed
PAUSE_TASK: Final = "__pause__"  # it paused here at a breakpoint
RETURN: Final = "__return__"  # what a call of a task wrote its result to; no channel

# What a task wrote, by key: [] for the value that the checkpoint has, [start, end] for a part of
# the list that it has, [value] for what it does not have.
Result = Mapping[str, Sequence[Any]]


@attrs.define(unsafe_hash=True)
class Planned:
    """A task of the next super-step. It is not changed once it is made.

    A node reached by an edge reads the state; one reached by `Send` reads `arg`; `START` takes
    `arg`, the input, in. `index` tells the `Send`s of one super-step apart. `origin`: the id of
    the checkpoint that planned it first; empty until one has. `given_id`: the task's id, where
    another engine has given it.
    """

    node: str
    index: int | None = None
    arg: Any = attrs.field(default=None, eq=False)  # node and index tell the tasks of a step apart
    origin: str = attrs.field(default="", eq=False)
    given_id: str = attrs.field(default="", eq=False, kw_only=True)
    _id: str = attrs.field(init=False, default="", eq=False)

    @property
    def id(self) -> str:
        """Shaped like a UUID: the same for the same task of the same checkpoint, always."""
        if self.given_id:
            return self.given_id
        if not self._id:  # few are asked for theirs
            name = f"{self.origin}\0{self.node}\0{self.index}".encode()
            h = blake2b(name, digest_size=16).hexdigest()
            self._id = f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}"
        return self._id

    @property
    def takes_arg(self) -> bool:
        return self.index is not None or self.node == START

    @property
    def path(self) -> tuple[str | int | bool, ...]:
        """As LangGraph shows it."""
        if self.index is None:
            return ("__pregel_pull", self.node)
        return ("__pregel_push", self.index, False)  # no call of a functional task

    def afresh(self) -> Planned:
        """The same node as a task of its own, which has come to nothing yet."""
        return Planned(self.node, self.index, self.arg)

    def identified(self, within: str) -> Planned:
        """The task as a checkpoint plans it, or the call that a task makes. `within`: its id."""
        return Planned(self.node, self.index, self.arg, within)


def as_shown(planned: Sequence[Planned]) -> list[Planned]:
    """Tasks in the order in which states and results have them: those of `Send`s come first."""
    return sorted(planned, key=lambda task: task.index is None)


@attrs.frozen
class Tried:
    """What a task had come to before it began again: the questions that it was answered last, and
    why it had failed. Only for the reader."""

    interrupts: tuple[Interrupt, ...] = ()
    error: TaskError | None = None


@attrs.define(kw_only=True)
class Checkpoint:
    """The state after a super-step. It is not changed once it is made.

    `id`: UUIDv6, sorts by age. `ns`: "" for the outermost graph, `node:task_id` (joined by `|`) in
    subgraphs. `step`: -1 for the first input. `source`: `input`, `loop`, `update` or `fork`.
    `created_at`: ISO 8601, UTC. `values`: every channel that holds something. `changed`: the
    channels whose value is not the parent's. `next`: the tasks of the next super-step. `joins`: for
    each edge from several nodes (named `a+b:target`) the nodes that have arrived so far. `ran`: the
    nodes whose writes made this checkpoint. `metadata`: of the run and thread that made it.
    `results`: what the tasks of the parent wrote that led here, in the order of its `next`; empty
    where no tasks did. `tried`: what they had come to before, likewise. `engine`: what another
    engine that made it needs to go on, which nobody else looks at.
    """

    id: str
    ns: str = ""
    parent_id: str | None = None
    step: int
    source: str
    created_at: str
    values: Mapping[str, Any]
    changed: tuple[str, ...]
    next: tuple[Planned, ...] = ()
    joins: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    ran: tuple[str, ...] = ()
    results: tuple[Result, ...] = ()
    tried: tuple[Tried | None, ...] = ()
    metadata: Mapping[str, Any] = attrs.field(factory=dict)
    engine: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class PendingWrites:
    """What one task of a checkpoint's next super-step, or a call that one made, has come to so far.

    Appended to the log when a task finishes before its siblings, pauses, fails or is answered; a
    later one for the same task replaces an earlier one whole. `writes`: channel and value pairs,
    None while the task is not finished. `goto`: where it sends the run. `resumes`: the answers to
    its interrupts so far, in order; `asked`: what each was asked, see `Answers`, empty where the
    order tells. `interrupts`: the questions it waits on, those of its calls included. `error`: why
    it failed. `handles`: why its node failed, where its error handler has taken over and is not
    done; answers and questions are the handler's then. `tried`: what it had come to when it began
    again. `caller`: for a call, the id of the planned task that made it, directly or through other
    calls; calls have neither interrupts nor errors of their own here.
    """

    checkpoint_id: str
    ns: str = ""
    task_id: str
    node: str
    writes: tuple[tuple[str, Any], ...] | None = None
    goto: tuple[str | Send, ...] = ()
    resumes: tuple[Any, ...] = ()
    asked: tuple[str | None, ...] = ()
    interrupts: tuple[Interrupt, ...] = ()
    error: TaskError | None = None
    handles: TaskError | None = None
    tried: Tried | None = None
    caller: str = ""


@attrs.frozen
class Saved:
    """A checkpoint as read from a log, with the pending writes of its tasks by task id."""

    checkpoint: Checkpoint
    pending: Mapping[str, PendingWrites] = attrs.field(factory=dict)


class CheckpointReader(Protocol):
    """The log of one thread, as it is read."""

    async def load(
        self, ns: str = "", checkpoint_id: str | None = None, *, following: bool = False
    ) -> Saved | None:
        """A checkpoint of a namespace, the newest where no id is given, or the one that was made
        there next after it (`following`); None where there is none.
        """
        ...

    async def history(
        self, ns: str = "", *, before: str | None = None, limit: int | None = None
    ) -> list[Saved]:
        """The checkpoints of a namespace, newest first, those older than `before` where given."""
        ...


class CheckpointLog(CheckpointReader, Protocol):
    """The log of one thread, as the executor writes it.

    Reads see what was appended, durable or not. Records become durable in the order in which they
    were appended.
    """

    def append(self, record: Checkpoint | PendingWrites) -> None:
        """Add a record. It need not be durable when this returns.

        Raises what the log raises for a value that it cannot store, naming the channel.
        """
        ...

    def hand_over(self) -> None:
        """Start to make durable what was appended; a super-step is about to begin."""
        ...

    async def flush(self) -> None:
        """Wait until everything that was appended is durable."""
        ...


@runtime_checkable
class Checkpointer(Protocol):
    """Where a graph used alone keeps its threads."""

    def log(self, thread_id: str, declared: Collection[type] = ()) -> CheckpointLog:
        """The log of a thread. `declared`: the classes that the graph's schemas declare, whose
        objects come back as themselves."""
        ...


class StateTask(NamedTuple):
    """A task as `get_state` shows it: waiting, finished before its siblings, failed or paused.

    `error`: the `repr` of what it failed with.
    """

    id: str
    name: str
    path: tuple[str | int | bool, ...]
    error: str | None = None
    interrupts: tuple[Interrupt, ...] = ()
    state: Mapping[str, Any] | StateSnapshot | None = None
    result: Any = None


class StateSnapshot(NamedTuple):
    """A thread's state at a checkpoint, as `get_state` and `get_state_history` return it.

    `next`: the nodes still to run. `config`, `parent_config`: carry `configurable.checkpoint_id`.
    `interrupts`: of all tasks.
    """

    values: Any
    next: tuple[str, ...]
    config: Mapping[str, Any]
    metadata: Mapping[str, Any] | None
    created_at: str | None
    parent_config: Mapping[str, Any] | None
    tasks: tuple[StateTask, ...]
    interrupts: tuple[Interrupt, ...]
