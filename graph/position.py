"""Where a run is: the checkpoint that it works from, what its tasks have come to, and its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from .channels import initial_values
from .checkpoint import PAUSE_TASK, RUN_TASK, Checkpoint, PendingWrites, Planned, Saved, TaskError
from .control import START, Command, Interrupt, Send
from .errors import EmptyInputError, InvalidUpdateError
from .job import Job
from .nodes import check_targets, read_update
from .plan import Advance, Outcome, Topology, apply_writes, handler_of, plan_targets
from .resume import answers_of, waiting
from .schema import as_update
from .untracked import TrackedLog

__all__ = ["Position"]


@attrs.define(eq=False)
class Position:
    """The checkpoint at hand and the pending writes of its tasks, in memory and in the log.

    `goto`, `dirty`: targets of a Command and changed keys that no checkpoint has yet. `answers`:
    what a resume brought, by interrupt id.
    """

    graph: Topology
    job: Job
    at: Checkpoint = attrs.field(init=False)
    pending: dict[str, PendingWrites] = attrs.field(init=False, factory=dict)
    answers: Mapping[str, Any] = attrs.field(init=False, factory=dict)
    goto: tuple[str | Send, ...] = attrs.field(init=False, default=())
    dirty: tuple[str, ...] = attrs.field(init=False, default=())

    def __attrs_post_init__(self) -> None:
        if self.job.log is not None and self.graph.untracked:
            self.job = attrs.evolve(self.job, log=TrackedLog(self.job.log, self.graph.untracked))

    @property
    def ns(self) -> str:
        return "|".join(self.job.ns) if self.job.ns else ""

    def values(self) -> dict[str, Any]:
        """The state, in the order of its declaration."""
        values = self.at.values
        return {key: values[key] for key in self.graph.channels if key in values}

    def output(self) -> dict[str, Any]:
        """The part of the state that a result has."""
        values = self.at.values
        return {key: values[key] for key in self.graph.outputs if key in values}

    def waiting(self) -> tuple[Interrupt, ...]:
        """The questions that planned tasks wait on, in task order."""
        return waiting(Saved(self.at, self.pending)) if self.pending else ()

    def outcome(self, planned: Planned) -> Outcome | None:
        """What a planned task came to, if it has finished."""
        if not self.pending:
            return None
        so_far = self.pending.get(planned.id)
        if so_far is None or so_far.writes is None:
            return None
        return Outcome(so_far.writes, so_far.goto, handled=so_far.node == handler_of(planned.node))

    def open_nodes(self) -> list[str]:
        """The nodes of planned tasks that have not finished, but for START."""
        return [t.node for t in self.at.next if t.node != START and self.outcome(t) is None]

    def has_passed_breakpoints(self) -> bool:
        """Whether a run that goes on from here need not stop here first: it stopped, a human has
        edited or chosen this checkpoint, or its tasks were under way already."""
        if self.at.source in ("update", "fork") or PAUSE_TASK in self.pending:
            return True
        return any(task.id in self.pending for task in self.at.next)

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
            instance = as_update(given)
            if instance is None or not any(key in self.graph.inputs for key in instance):
                raise InvalidUpdateError(
                    f"The input of a graph is a dict of state keys, an instance of its state "
                    f"type, a Command or None; got {type(given).__name__}"
                )
            given = instance
        self.begin_turn(given, saved)
        return False

    def take_up(self, saved: Saved) -> None:
        self.at, self.pending = saved.checkpoint, dict(saved.pending)

    def take_up_nothing(self) -> None:
        """An empty thread, to be written by hand; it has no checkpoint until it is."""
        values = initial_values(self.graph.channels)
        self.at = Checkpoint(id="", step=-1, source="", created_at="", values=values, changed=())
        self.dirty = tuple(values)

    def begin_turn(self, given: Mapping[str, Any], saved: Saved | None) -> None:
        """A new turn: START is to take the input in; what was planned before is dropped."""
        arg = {key: given[key] for key in given if key in self.graph.inputs}
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
        check_targets(goto, "__input__", self.graph.nodes)
        if saved is None:
            if not writes and not goto:
                raise EmptyInputError(
                    "There is nothing on the thread that the Command could answer"
                )
            # As in LangGraph: on an empty thread an update is an input too.
            if writes:
                self._input(None, (Planned(START, arg=dict(writes)),))
                self.goto = goto
            else:
                self._input(None, plan_targets(goto))
            return False
        if command.resume is not None:
            self.answers = answers_of(command.resume, waiting(saved), self.job.bound)
            if not self.answers and not writes and not goto:
                self.take_up(saved)
                return None
        self._go_on(saved, forks)
        if writes or goto:
            self._edit(writes, goto)
        return True

    def _go_on(self, saved: Saved, forks: bool) -> None:
        self.take_up(saved)
        if forks:
            self._fork()
        elif RUN_TASK in self.pending:  # it failed, and is tried again
            self.append(self._record(RUN_TASK))

    def _fork(self) -> None:
        """A branch of its own. What its tasks came to stays behind, but for questions that are
        being answered: those tasks stay the same."""
        before = self.at
        planned = before.next if self.answers else tuple(task.afresh() for task in before.next)
        self._rebase("fork", before.step, before.values, (), planned)

    def _edit(self, writes: tuple[tuple[str, Any], ...], goto: tuple[str | Send, ...]) -> None:
        """What a Command writes, and where it goes beside the tasks that are planned."""
        before = self.at
        named = (("__input__", key, value) for key, value in writes)
        values, changed = apply_writes(self.graph.channels, before.values, named)
        planned = plan_targets(goto, beside=before.next)
        self._rebase("update", before.step + 1, values, changed, planned)

    def _rebase(
        self,
        source: str,
        step: int,
        values: Mapping[str, Any],
        changed: tuple[str, ...],
        planned: tuple[Planned, ...],
    ) -> None:
        """A new checkpoint in place of the one at hand, with what its tasks have come to."""
        before, pending = self.at, self.pending
        self.append_checkpoint(
            before,
            source=source,
            step=step,
            values=values,
            changed=changed,
            next=planned,
            joins=before.joins,
            ran=before.ran,
        )
        for task in planned:
            if (so_far := pending.get(task.id)) is not None:
                self.append(attrs.evolve(so_far, checkpoint_id=self.at.id, error=None))

    # What it leaves behind.

    def append(self, record: PendingWrites) -> None:
        if self.job.log is not None:
            self.job.log.append(record)
        self.pending[record.task_id] = record

    def append_outcome(self, planned: Planned, **what: Any) -> None:
        """Record what a planned task has come to; `what` as in `PendingWrites`."""
        node = what.pop("node", planned.node)
        self.append(self._record(planned.id, node=node, **what))

    def append_failure(self, error: Exception) -> None:
        """Record why the run failed, unless a task's record says so already."""
        if all(writes.error is None for writes in self.pending.values()):
            self.append(self._record(RUN_TASK, error=TaskError.of(error)))

    def append_pause(self) -> None:
        """Record that the run has paused at a breakpoint."""
        self.append(self._record(PAUSE_TASK))

    def hand_over(self) -> None:
        if self.job.log is not None:
            self.job.log.hand_over()

    def move(self, after: Advance, source: str, ran: tuple[str, ...]) -> None:
        """Append the checkpoint that a super-step or an update has led to."""
        self.append_checkpoint(
            self.at,
            source=source,
            values=after.values,
            changed=tuple(dict.fromkeys((*self.dirty, *after.changed)))
            if self.dirty
            else after.changed,
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
        next: Sequence[Planned] = (),
        **parts: Any,
    ) -> None:
        if step is None:
            step = before.step + 1 if before is not None else -1
        job = self.job
        ident = job.world.checkpoint_id()
        made = Checkpoint(
            id=ident,
            ns=self.ns,
            parent_id=(before.id or None) if before is not None else None,
            step=step,
            created_at=job.world.timestamp() if job.log is not None else "",
            changed=changed,
            next=tuple([task if task.origin else task.identified(ident) for task in next]),
            metadata=job.metadata,
            **parts,
        )
        if job.log is not None:
            job.log.append(made)
        self.at, self.pending = made, {}

    def _record(self, task_id: str, *, node: str = "", **what: Any) -> PendingWrites:
        return PendingWrites(
            checkpoint_id=self.at.id, ns=self.ns, task_id=task_id, node=node, **what
        )
