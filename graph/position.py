"""Where a run is: the checkpoint that it works from, what its tasks have come to, and its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from .channels import initial_values
from .checkpoint import COMMAND_TASK, RUN_TASK, Checkpoint, PendingWrites, Planned, Saved, TaskError
from .control import START, Command, Interrupt, Send
from .errors import EmptyInputError, InvalidUpdateError
from .job import Job
from .nodes import read_update
from .plan import Advance, Outcome, Topology, apply_writes, plan_targets
from .resume import answers_of, waiting

__all__ = ["Position"]


@attrs.define(eq=False)
class Position:
    """The checkpoint at hand and the pending writes of its tasks, in memory and in the log.

    `goto`, `dirty`: a Command's targets and changed keys that no checkpoint has yet. `answers`:
    what a resume brought, by interrupt id.
    """

    graph: Topology
    job: Job
    at: Checkpoint = attrs.field(init=False)
    pending: dict[str, PendingWrites] = attrs.field(init=False, factory=dict)
    answers: Mapping[str, Any] = attrs.field(init=False, factory=dict)
    goto: tuple[str | Send, ...] = attrs.field(init=False, default=())
    dirty: tuple[str, ...] = attrs.field(init=False, default=())

    @property
    def ns(self) -> str:
        return "|".join(self.job.ns)

    def values(self) -> dict[str, Any]:
        """The state, in the order of its declaration."""
        values = self.at.values
        return {key: values[key] for key in self.graph.channels if key in values}

    def waiting(self) -> tuple[Interrupt, ...]:
        """The questions that planned tasks wait on, in task order."""
        return waiting(Saved(self.at, self.pending))

    def outcome(self, planned: Planned) -> Outcome | None:
        """What a planned task came to, if it has finished."""
        so_far = self.pending.get(planned.task_id(self.at.id))
        if so_far is None or so_far.writes is None:
            return None
        return Outcome(so_far.writes, so_far.goto)

    def open_nodes(self) -> list[str]:
        """The nodes of planned tasks that have not finished, but for START."""
        return [t.node for t in self.at.next if t.node != START and self.outcome(t) is None]

    # Where a run starts from.

    def begin(self, saved: Saved | None, *, forks: bool) -> bool | None:
        """Take up what the job gives. Returns whether tasks planned earlier go on; None: nothing to
        do.

        `forks`: `saved` is not the newest checkpoint, so going on from it starts a branch.
        """
        given = self.job.input
        if self.job.ns and saved is not None:
            self.take_up(saved)  # a graph called as a node goes on by itself
            self.answers = self.job.answers
            return True
        if given is None:
            if saved is None:
                raise EmptyInputError("There is no input, and nothing on the thread to go on with")
            self._go_on(saved, forks)
            return True
        if isinstance(given, Command):
            return self._begin_command(given, saved, forks)
        if not isinstance(given, Mapping):
            raise InvalidUpdateError(
                f"The input of a graph is a dict of state keys, a Command or None; "
                f"got {type(given).__name__}"
            )
        self.begin_turn(given, saved)
        return False

    def take_up(self, saved: Saved) -> None:
        self.at, self.pending = saved.checkpoint, dict(saved.pending)
        command = self.pending.get(COMMAND_TASK)
        if command is not None:  # of a run that was cut short before its next checkpoint
            self._apply_command(command)

    def take_up_nothing(self) -> None:
        """An empty thread, to be written by hand; it has no checkpoint until it is."""
        values = initial_values(self.graph.channels)
        self.at = Checkpoint(id="", step=-1, source="", created_at="", values=values, changed=())
        self.dirty = tuple(values)

    def begin_turn(self, given: Mapping[str, Any], saved: Saved | None) -> None:
        """A new turn: START is to take the input in; what was planned before is dropped."""
        arg = {key: given[key] for key in given if key in self.graph.channels}
        self._input(saved, (Planned(START, arg=arg),))

    def _input(self, saved: Saved | None, planned: tuple[Planned, ...]) -> None:
        before = saved.checkpoint if saved else None
        values = before.values if before else initial_values(self.graph.channels)
        changed = () if before else tuple(values)
        self.append_checkpoint(before, source="input", values=values, changed=changed, next=planned)

    def _begin_command(
        self, command: Command[Any], saved: Saved | None, forks: bool
    ) -> bool | None:
        plain = attrs.evolve(command, resume=None)
        writes, goto, outer = read_update(plain, "__input__", self.graph.channels)
        if outer:
            raise InvalidUpdateError("A Command given as input cannot address a parent graph")
        if saved is None:
            if not writes and not goto:
                raise EmptyInputError(
                    "There is nothing on the thread that the Command could answer"
                )
            # As in LangGraph: on an empty thread an update is an input too.
            if writes:
                self.begin_turn(dict(writes), None)
                self._take_command((), goto)
            else:
                self._input(None, plan_targets(goto))
            return False
        self._go_on(saved, forks)
        if command.resume is not None:
            self.answers = answers_of(command.resume, self.waiting(), self.job.bound)
            if not self.answers and not writes and not goto:
                return None
        self._take_command(writes, goto)
        return True

    def _take_command(
        self, writes: tuple[tuple[str, Any], ...], goto: tuple[str | Send, ...]
    ) -> None:
        if writes or goto:
            command = self._record(COMMAND_TASK, writes=writes, goto=goto)
            self.append(command)
            self._apply_command(command)

    def _apply_command(self, command: PendingWrites) -> None:
        if any(task.node == START for task in self.at.next):
            self.goto = command.goto  # the input is taken in first
            return
        named = (("__input__", key, value) for key, value in command.writes or ())
        values, self.dirty = apply_writes(self.graph.channels, self.at.values, named)
        planned = (*self.at.next, *plan_targets(command.goto))
        # A node that waits already and is named again runs once.
        once = {(task.node, task.index): task for task in planned}
        self.at = attrs.evolve(self.at, values=values, next=tuple(once.values()))

    def _go_on(self, saved: Saved, forks: bool) -> None:
        self.take_up(saved)
        if forks:
            self._fork()
        elif RUN_TASK in self.pending:  # it failed, and is tried again
            self.append(self._record(RUN_TASK))

    def _fork(self) -> None:
        """A branch of its own; what the tasks of the older checkpoint came to stays behind."""
        before = self.at
        self.append_checkpoint(
            before,
            source="fork",
            step=before.step,
            values=before.values,
            next=before.next,
            joins=before.joins,
            ran=before.ran,
        )

    # What it leaves behind.

    def append(self, record: PendingWrites) -> None:
        if self.job.log is not None:
            self.job.log.append(record)
        self.pending[record.task_id] = record

    def append_outcome(self, planned: Planned, **what: Any) -> None:
        """Record what a planned task has come to; `what` as in `PendingWrites`."""
        self.append(self._record(planned.task_id(self.at.id), node=planned.node, **what))

    def append_failure(self, error: Exception) -> None:
        """Record why the run failed, unless a task's record says so already."""
        if all(writes.error is None for writes in self.pending.values()):
            self.append(self._record(RUN_TASK, error=TaskError.of(error)))

    def hand_over(self) -> None:
        if self.job.log is not None:
            self.job.log.hand_over()

    def move(self, after: Advance, source: str, ran: tuple[str, ...]) -> None:
        """Append the checkpoint that a super-step or an update has led to."""
        self.append_checkpoint(
            self.at,
            source=source,
            values=after.values,
            changed=tuple(dict.fromkeys((*self.dirty, *after.changed))),
            next=after.next,
            joins=after.joins,
            ran=ran,
        )
        self.goto, self.dirty = (), ()

    def append_checkpoint(
        self,
        before: Checkpoint | None,
        *,
        step: int | None = None,
        changed: tuple[str, ...] = (),
        **parts: Any,
    ) -> None:
        if step is None:
            step = before.step + 1 if before is not None else -1
        made = Checkpoint(
            id=self.job.world.checkpoint_id(),
            ns=self.ns,
            parent_id=(before.id or None) if before is not None else None,
            step=step,
            created_at=self.job.world.timestamp(),
            changed=changed,
            metadata=self.job.metadata,
            **parts,
        )
        if self.job.log is not None:
            self.job.log.append(made)
        self.at, self.pending = made, {}

    def _record(self, task_id: str, *, node: str = "", **what: Any) -> PendingWrites:
        return PendingWrites(
            checkpoint_id=self.at.id, ns=self.ns, task_id=task_id, node=node, **what
        )
