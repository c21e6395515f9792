"""Where a run is: the checkpoint that it works from, what its tasks have come to, and its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from .answers import Answers, asker
from .channels import MISSING, initial_values
from .checkpoint import (
    PAUSE_TASK,
    RUN_TASK,
    Checkpoint,
    PendingWrites,
    Planned,
    Result,
    Saved,
    Tried,
)
from .control import END, START, Interrupt, Send
from .failure import TaskError
from .job import Job
from .nodes import INPUT, read_update
from .plan import (
    Advance,
    Outcome,
    Topology,
    apply_writes,
    deferring,
    handler_of,
    plan_targets,
    settled,
)
from .resume import waiting
from .root import input_values, shown
from .untracked import TrackedLog

__all__ = ["Position"]


@attrs.define(eq=False)
class Position:
    """The checkpoint at hand and the pending writes of its tasks, in memory and in the log.

    `goto`, `dirty`: targets of a Command and changed keys that no checkpoint has yet. `answers`:
    what a resume brought, by interrupt id; `answered`: the tasks and calls that start again, with
    what they had come to before. `replaced`: the ids that tasks had before a fork. `warning`: what
    the sender of a resume should know. `stored`: the checkpoint that it took up.
    """

    graph: Topology
    job: Job
    at: Checkpoint = attrs.field(init=False)
    stored: Checkpoint | None = attrs.field(init=False, default=None)
    pending: dict[str, PendingWrites] = attrs.field(init=False, factory=dict)
    answers: Mapping[str, Any] = attrs.field(init=False, factory=dict)
    goto: tuple[str | Send, ...] = attrs.field(init=False, default=())
    dirty: tuple[str, ...] = attrs.field(init=False, default=())
    replaced: Mapping[str, str] = attrs.field(init=False, factory=dict)
    answered: dict[str, tuple[PendingWrites, Answers]] = attrs.field(init=False, factory=dict)
    warning: str | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.job.log is not None and self.graph.untracked:
            self.job = attrs.evolve(self.job, log=TrackedLog(self.job.log, self.graph.untracked))

    @property
    def ns(self) -> str:
        return "|".join(self.job.ns) if self.job.ns else ""

    def values(self) -> Any:
        """The state, in the order of its declaration."""
        values = self.at.values
        return shown({key: values[key] for key in self.graph.channels if key in values})

    def given(self) -> Any:
        """What nodes read that read all there is."""
        return self.at.values[START] if START in self.at.values else self.values()

    def output(self) -> Any:
        """The part of the state that a result has, with what finished tasks have written."""
        values = settled(self.graph, self.at.values, self.at.next, self.pending)
        if self.graph.outputs == (END,):
            return values.get(END)
        return shown({key: values[key] for key in self.graph.outputs if key in values})

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

    def is_cut_short(self, *, forks: bool) -> bool:
        """Whether there is something to go on with that has neither asked nor failed: the thread
        stands at a breakpoint, was stopped or edited. Where going on `forks`, nothing that has been
        answered since."""
        if PAUSE_TASK in self.pending:
            return True
        over = any(
            record.error is not None or (forks and record.resumes)
            for record in self.pending.values()
        )
        return bool(self.at.next) and not over and not self.waiting()

    # Which checkpoint is at hand.

    def fitted(self, saved: Saved) -> Saved:
        """A checkpoint, which an earlier version of the graph may have made, or another one: with
        first values for the keys that it lacks, without the tasks of nodes that the graph lacks."""
        values, planned = saved.checkpoint.values, saved.checkpoint.next
        new = {
            key: first
            for key, channel in self.graph.channels.items()
            if key not in values and (first := channel.initial()) is not MISSING
        }
        known = [task for task in planned if task.node == START or task.node in self.graph.nodes]
        if not new and len(known) == len(planned):
            return saved
        self.dirty = tuple(new)
        fitting = attrs.evolve(saved.checkpoint, values={**values, **new}, next=tuple(known))
        return attrs.evolve(saved, checkpoint=fitting)

    def take_up(self, saved: Saved) -> None:
        self.at = self.stored = saved.checkpoint
        self.pending = dict(saved.pending)

    def stay(self, before: Checkpoint) -> None:
        """What comes next is of the task and inside the checkpoints that `before` is."""
        if self.ns:
            about = {
                key: value
                for key, value in before.metadata.items()
                if key == "parents" or key.startswith("langgraph_")
            }
            self.job = attrs.evolve(self.job, metadata={**about, **self.job.metadata})

    def take_up_nothing(self) -> None:
        """An empty thread, to be written by hand; it has no checkpoint until it is."""
        values = initial_values(self.graph.channels)
        self.at = Checkpoint(id="", step=-1, source="", created_at="", values=values, changed=())
        self.dirty = tuple(values)

    def go_on(self, saved: Saved, *, forks: bool = False) -> None:
        """Go on with the tasks of a checkpoint; `forks`: from a new branch."""
        self.take_up(saved)
        if forks:
            self.fork()
        elif RUN_TASK in self.pending:  # it failed, and is tried again
            self.append(self._record(RUN_TASK))

    def branch(self, saved: Saved) -> None:
        """Fork from a checkpoint, which may be of another namespace."""
        self.take_up(saved)
        if saved.checkpoint.ns != self.ns:
            self.at = attrs.evolve(self.at, id="")  # nobody finds it as a parent here
        self.fork()

    def fork(self) -> None:
        """A branch of its own. What its tasks came to stays behind, but for questions that are
        being answered: those tasks stay the same."""
        before = self.at
        planned = before.next if self.answers else tuple(task.afresh() for task in before.next)
        self._rebase("fork", before.step + 1, before.values, (), planned)
        self.replaced = {new.id: old.id for old, new in zip(before.next, self.at.next, strict=True)}

    def take_in(self, given: Any, metadata: Mapping[str, Any]) -> None:
        """More input while a turn goes on: a state update beside the tasks that are planned, which
        stay as they are. `metadata`: of the checkpoint. Raises what the state or the log raises for
        it, and has changed nothing then."""
        values = shown(input_values(self.graph, given))
        writes, _, _ = read_update(values, START, self.graph.channels)
        own, self.job = self.job, attrs.evolve(self.job, metadata=metadata)
        try:
            self.edit(writes, ())
        finally:
            self.job = own

    def edit(self, writes: tuple[tuple[str, Any], ...], goto: tuple[str | Send, ...]) -> None:
        """What a Command writes, and where it goes beside the tasks that are planned."""
        before = self.at
        named = ((INPUT, key, value) for key, value in writes)
        values, changed = apply_writes(self.graph.channels, before.values, named)
        now, joins = deferring(self.graph.deferred, goto, before.joins, before.next)
        planned = plan_targets(now, beside=before.next)
        self._rebase("update", before.step + 1, values, changed, planned, joins)

    def _rebase(
        self,
        source: str,
        step: int,
        values: Mapping[str, Any],
        changed: tuple[str, ...],
        planned: tuple[Planned, ...],
        joins: Mapping[str, tuple[str, ...]] | None = None,
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
            joins=before.joins if joins is None else joins,
            ran=before.ran,
        )
        self.keep(pending)

    def keep(self, pending: Mapping[str, PendingWrites]) -> None:
        """Record again what tasks have come to that are planned by the checkpoint at hand too."""
        kept = {task.id for task in self.at.next} if pending else ()
        for so_far in pending.values():
            if so_far.task_id in kept or so_far.caller in kept:
                self.append(attrs.evolve(so_far, checkpoint_id=self.at.id, error=None))

    # What it leaves behind.

    def append(self, record: PendingWrites) -> None:
        if self.job.log is not None:
            self.job.log.append(record)
        self.pending[record.task_id] = record

    def append_outcome(self, planned: Planned, **what: Any) -> None:
        """Record what a planned task has come to; `what` as in `PendingWrites`."""
        node = what.pop("node", planned.node)
        so_far = self.pending.get(planned.id)
        tried = None if so_far is None else so_far.tried
        self.append(self._record(planned.id, node=node, tried=tried, **what))

    def append_stop(self, planned: Planned, answered: Mapping[str, Any], **why: Any) -> None:
        """Record that a planned task has paused or failed, with the answers that it has had. An
        error handler keeps what it handles, and its own answers."""
        so_far = self.pending.get(planned.id)
        if so_far is not None and so_far.handles is not None:
            self.append(attrs.evolve(so_far, **why))
        else:
            self.append_outcome(planned, **answered, **why)

    def append_answers(self, planned: Planned, answers: Mapping[str, Any]) -> None:
        """Record what those who asked have been answered, the task itself and the calls it made;
        what it asked or died of before is over."""
        asked: dict[str, list[Interrupt]] = {planned.id: []}
        for interrupt in self.pending[planned.id].interrupts:
            asked.setdefault(asker(interrupt), []).append(interrupt)
        for ident, own in asked.items():
            if (so_far := self.pending.get(ident)) is not None:  # else a graph inside asks
                given = Answers.of(so_far, own, answers)
                self.answered[ident] = so_far, given
                again = attrs.evolve(so_far, **given.record, interrupts=(), error=None)
                if ident == planned.id:
                    again = attrs.evolve(again, tried=Tried(so_far.interrupts, so_far.error))
                self.append(again)

    def answers_to(self, task_id: str) -> Answers | None:
        """What a task or a call has been answered; None for nothing."""
        if not self.pending:
            return None
        if (known := self.answered.get(task_id)) is not None:
            return known[1].again()
        so_far = self.pending.get(task_id)
        return None if so_far is None or not so_far.resumes else Answers.of(so_far)

    def tried(self) -> tuple[Tried | None, ...]:
        """What planned tasks had come to before they began again, in task order; empty for none."""
        pending = (self.pending.get(task.id) for task in self.at.next) if self.pending else ()
        tried = tuple([None if so_far is None else so_far.tried for so_far in pending])
        return tried if any(tried) else ()

    def ask_again(self, planned: Planned) -> bool:
        """An answer did not fit: what the task and its calls were asked waits on, but for questions
        of calls that have finished. Returns whether anything had been asked."""
        before, _ = self.answered.get(planned.id, (None, None))
        if before is None or not before.interrupts:
            return False
        waiting = []
        for interrupt in before.interrupts:
            so_far, _ = self.answered.get(asker(interrupt), (None, None))
            if so_far is None or self.pending[so_far.task_id].writes is None:
                waiting.append(interrupt)
                if so_far is not None:
                    self.append(so_far)
        self.append(attrs.evolve(before, interrupts=tuple(waiting)))
        return True

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

    async def flush(self) -> None:
        """Wait until all that was left is durable."""
        self.hand_over()
        if self.job.log is not None:
            await self.job.log.flush()

    def move(
        self,
        after: Advance,
        source: str,
        ran: tuple[str, ...],
        results: tuple[Result, ...] = (),
        tried: tuple[Tried | None, ...] = (),
    ) -> None:
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
            results=results,
            tried=tried,
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
        # The tasks of an inner graph that keeps nothing are the same each time it starts anew.
        source = ident if job.log is not None or not job.ns else f"{self.ns}\0{step}"
        made = Checkpoint(
            id=ident,
            ns=self.ns,
            parent_id=(before.id or None) if before is not None else None,
            step=step,
            created_at=job.world.timestamp() if job.log is not None else "",
            changed=changed,
            next=tuple([task if task.origin else task.identified(source) for task in next]),
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
