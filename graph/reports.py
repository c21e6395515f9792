"""What a run of a graph tells those who follow it, mode by mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import trio

from . import messages
from .checkpoint import Planned, Saved
from .control import START, Interrupt
from .here import call_on_trio
from .payloads import checkpoint_payload, result_payload, task_payload, wrapped
from .plan import handler_of, settled
from .root import asking
from .snapshot import snapshot

if TYPE_CHECKING:
    from .attempt import Task
    from .job import Job
    from .parts import CheckpointPayload, TaskPayload, TaskResultPayload
    from .plan import Outcome, Topology
    from .position import Position

__all__ = ["Reports"]


@attrs.define(eq=False)
class Reports:
    """The events of one `Execution`, on their way to its sink.

    Nothing is made that nobody wants. `close` silences it: what a node that was left behind still
    says is not heard. It does not refer to the execution, which goes when it is over, and does not
    wait for the garbage collector.
    """

    _job: Job
    _graph: Topology
    _position: Position
    _token: trio.lowlevel.TrioToken
    _closed: bool = False
    _told: set[str] = attrs.field(factory=set)  # the ids of questions

    def close(self) -> None:
        self._closed = True

    def wants(self, *modes: str) -> bool:
        sink = self._job.sink
        wanted = sink.modes
        if not wanted or self._closed or (self._job.ns and not sink.subgraphs):
            return False
        return any(mode in wanted for mode in modes)

    def emit(self, mode: str, data: Any) -> None:
        if self.wants(mode):
            self._job.sink.emit(mode, self._job.ns, data)

    def values(self) -> None:
        if self.wants("values"):
            self.emit("values", self._position.values())

    def settled(self) -> None:
        """The state with what the finished tasks of a paused super-step have written, if any."""
        if self.wants("values"):
            position = self._position
            values = settled(self._graph, position.at.values, position.at.next, position.pending)
            if values is not position.at.values:
                self.emit("values", {k: values[k] for k in self._graph.channels if k in values})

    def custom(self, data: Any) -> None:
        """The stream writer that nodes are given."""
        self._live(self.emit, "custom", data)

    def checkpoint(self) -> None:
        """The checkpoint at hand; none of a run that keeps none."""
        job, position = self._job, self._position
        if job.log is None or not self.wants("checkpoints", "debug"):
            return
        configurable = job.config.get("configurable", {})
        thread_id = job.metadata.get("thread_id") or configurable.get("thread_id", "")
        saved = Saved(position.at, position.pending)
        state = snapshot(saved, thread_id, self._graph, is_past=True)
        if job.durability == "exit":  # nobody will find the one before
            state = state._replace(parent_config=None)
        payload = checkpoint_payload(state, is_new=position.at is not position.stored)
        self._debug("checkpoints", "checkpoint", position.at.step, payload)

    def started(self, tasks: Sequence[Task]) -> None:
        """Tasks that are about to run, in task order."""
        if not self._job.sink.modes or not self.wants("messages", "tasks", "debug"):
            return
        for task in tasks:
            if task.planned.node == START:
                continue
            given = task.planned.arg if task.planned.takes_arg else self._position.given()
            if self.wants("messages"):
                self._job.seen.update(messages.known(given))
            if self.wants("tasks", "debug"):
                shown = task_payload(task.planned, given, task.config)
                self._debug("tasks", "task", self._step, shown)

    def finished(self, task: Task, outcome: Outcome) -> None:
        if task.planned.node == START:
            return
        if self.wants("messages"):
            for message in messages.whole(outcome.writes):
                self._message(message, messages.metadata_of(task.config), True)
        if self.wants("updates"):
            node = handler_of(task.planned.node) if outcome.handled else task.planned.node
            marks = {"__metadata__": {"cached": True}} if task.cached else {}
            self.emit("updates", {node: outcome.result, **marks})
        self._result(task.planned, outcome.writes)

    def paused(self, task: Task, interrupts: Sequence[Interrupt]) -> None:
        if interrupts:  # at a breakpoint of a graph inside it, it has not come to anything
            self._asked(interrupts)
            self._result(task.planned, interrupts=interrupts)

    def still_asked(self, interrupts: Sequence[Interrupt]) -> None:
        """All questions that wait: tasks that did not start again have asked theirs before."""
        if rest := [one for one in interrupts if one.id not in self._told]:
            self._asked(rest)

    def at_breakpoint(self) -> None:
        """A breakpoint behind the nodes that ran last, be it the end, or before the next ones."""
        self.emit("updates", {"__interrupt__": ()})

    def _asked(self, interrupts: Sequence[Interrupt]) -> None:
        self._told.update(one.id for one in interrupts)
        self.emit("updates", {"__interrupt__": tuple(interrupts)})
        if self.wants("values"):
            self.emit("values", asking(self._position.values(), tuple(interrupts)))

    def failed(self, task: Task, error: Exception) -> None:
        self._result(task.planned, error=error)

    def stamp(self, outcome: Outcome) -> None:
        """Give ids to messages in what a task wrote, before it is recorded, if they are to be
        shown.
        """
        if self.wants("messages"):
            for message in messages.whole(outcome.writes):
                messages.stamped(message, self._job.world.random_id)

    def chunk(self, task: Task, given: Any) -> None:
        """What a node gives to `emit_message`."""
        chunk = messages.as_chunk(given, task.id)
        if self.wants("messages"):
            self._live(self._message, chunk, messages.metadata_of(task.config), False)

    def pushed(self, task: Task, message: Any) -> None:
        """What a node gives to `push_message`."""
        if self.wants("messages"):
            self._live(self._message, message, messages.metadata_of(task.config), False)

    def hear(self, task: Task) -> None:
        """Pass on what chat models say in the task that is about to run."""
        if task.node.call is not None and self.wants("messages"):
            metadata = messages.metadata_of(task.config)

            def emit(message: Any, about: Mapping[str, Any], once: bool) -> None:
                self._live(self._message, message, {**about, **metadata}, once)

            task.heard = messages.with_callback(task.config, emit)

    def _message(self, message: Any, metadata: Mapping[str, Any], once: bool) -> None:
        """`once`: unless its id has been shown already."""
        seen = self._job.seen
        ident = messages.stamped(message, self._job.world.random_id)
        if not (once and ident in seen):
            seen.add(ident)
            self.emit("messages", (message, metadata))

    def _result(self, planned: Planned, *what: Any, **more: Any) -> None:
        if planned.node != START and self.wants("tasks", "debug"):
            shown = result_payload(planned, *what, **more)
            self._debug("tasks", "task_result", self._step, shown)

    def _debug(
        self,
        mode: str,
        kind: Literal["checkpoint", "task", "task_result"],
        step: int,
        payload: CheckpointPayload | TaskPayload | TaskResultPayload,
    ) -> None:
        self.emit(mode, payload)
        if self.wants("debug"):
            timestamp = self._job.world.timestamp()
            self.emit("debug", wrapped(kind, step, timestamp, payload))

    def _live(self, emit: Callable[..., None], *args: Any) -> None:
        """Plain nodes call from their threads, and those on asyncio from its."""
        call_on_trio(self._token, emit, *args)

    @property
    def _step(self) -> int:
        return self._position.at.step + 1
