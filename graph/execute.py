"""Execution: super-steps on trio.

Planning is in `plan`, a single task in `task`, the checkpoint at hand in `position`. This module
owns the order of things: what is read, run, recorded and emitted, and when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .cache import BaseCache, cache_key
from .checkpoint import PendingWrites, Planned
from .context import RunnableConfig, Runtime
from .control import START, Interrupt
from .errors import GraphBubbleUp, GraphInterrupt, GraphRecursionError, ParentCommand
from .job import Breakpoints, Finish, Job
from .payloads import triggers
from .plan import Outcome, Topology, advance
from .position import Position
from .reports import Reports
from .schema import as_update
from .superstep import SuperStep
from .task import Task
from .timelimit import places
from .world import entered_world

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = ["DEFAULT_RECURSION_LIMIT", "Execution"]

DEFAULT_RECURSION_LIMIT = 25


@attrs.define(eq=False)
class Execution:
    """One run of one graph."""

    compiled: CompiledStateGraph
    job: Job
    graph: Topology = attrs.field(init=False)
    position: Position = attrs.field(init=False)
    runtime: Runtime[Any] = attrs.field(init=False)
    # Super-steps until the recursion limit, the one at hand included.
    remaining: int = attrs.field(init=False, default=DEFAULT_RECURSION_LIMIT)
    reports: Reports = attrs.field(init=False)
    # Answers for the tasks of the super-step under way, graphs called as nodes included.
    _answers: Mapping[str, Any] = attrs.field(init=False, factory=dict)
    places: trio.Semaphore | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.graph = self.compiled.topology
        self.position = Position(self.graph, self.job)
        self.reports = Reports(self)
        self.runtime = Runtime(
            context=self.job.context,
            store=self.job.store if self.job.store is not None else self.compiled.store,
            stream_writer=self.reports.custom,
        )

    async def run(self) -> Finish:
        """Run to the end, to a pause, or to an error, which is in the log when it is raised."""
        limit = self.job.config.get("recursion_limit", DEFAULT_RECURSION_LIMIT)
        if not isinstance(limit, int) or limit < 1:
            raise ValueError(f"recursion_limit must be a whole number of at least 1; got {limit!r}")
        self.places = places(self.job.config.get("max_concurrency"))
        self.job.world.now()  # sets its clock going, for nodes that look at it from a thread
        resuming = await self._begin()
        if resuming is None:
            return self._finish("The resume answers no interrupt that waits, so nothing was run")
        with entered_world(self.job.world):
            try:
                return await self._super_steps(limit, resuming)
            except GraphBubbleUp:
                raise
            except Exception as error:
                self.position.append_failure(error)
                raise
            finally:
                self.reports.close()

    async def _begin(self) -> bool | None:
        log, ns = self.job.log, self.position.ns
        saved = await log.load(ns) if log is not None else None
        wanted, forks = self.job.checkpoint_id, False
        if (
            log is not None
            and wanted is not None
            and (saved is None or saved.checkpoint.id != wanted)
        ):
            saved, forks = await log.load(ns, wanted), True
            if saved is None:
                raise ValueError(f"There is no checkpoint {wanted!r} on this thread")
        return self.position.begin(saved, forks=forks)

    async def _super_steps(self, limit: int, resuming: bool) -> Finish:
        position, steps = self.position, 0
        passed = False  # the breakpoints of the checkpoint at hand
        if resuming:
            self.reports.values()
            passed = position.has_passed_breakpoints()
        self.reports.checkpoint()
        while position.at.next:
            nodes = position.open_nodes()
            if nodes:
                await trio.lowlevel.checkpoint()  # a chain of nodes that never wait stops when told
            if not passed and self._is_breakpoint(position.at.ran, nodes):
                position.append_pause()
                return self._pause(())
            if nodes and steps >= limit:
                raise GraphRecursionError(
                    f"The run took {limit} super-steps without coming to an end; next would be "
                    f"{', '.join(nodes)}. The limit is the config's 'recursion_limit'."
                )
            self.remaining = limit - steps
            if await self._super_step():
                return self._pause(position.waiting())
            steps += bool(nodes)
            self.job.progress()
            passed = False
        return self._finish()

    async def _super_step(self) -> bool:
        """Run the tasks that are planned and move on; returns True if it has to pause instead."""
        position = self.position
        finished: dict[Planned, Outcome] = {}
        tasks: list[Task] = []
        self._answers, position.answers = position.answers, {}
        left = works = False
        for planned in position.at.next:
            outcome = position.outcome(planned)
            if outcome is not None:
                finished[planned] = outcome
            elif (task := self._task(planned)) is not None:
                tasks.append(task)
                works = works or planned.node != START
            else:
                left = True
        if works:
            position.hand_over()  # an input goes with the state that it leads to
            if self.job.durability == "sync" and self.job.log is not None:
                await self.job.log.flush()
        step = SuperStep(self, tasks, finished)
        if await step.perform() or left:
            return True
        at = position.at
        done = [(planned, finished[planned]) for planned in at.next]
        ran = tuple(dict.fromkeys([planned.node for planned in at.next]))
        try:
            after = advance(self.graph, at.values, at.joins, done, position.goto)
        except Exception:
            step.record()
            raise
        position.move(after, "loop", ran)
        if any(outcome.writes for _, outcome in done):
            self.reports.values()
        self.reports.checkpoint()
        return False

    def _task(self, planned: Planned) -> Task | None:
        """A planned task, with its answers; None for one that was asked and is not answered now."""
        position = self.position
        so_far = position.pending.get(planned.id) if position.pending else None
        if so_far is None:
            return Task(self, planned, position.at.values)
        if self._answers and so_far.interrupts and not self._answered(so_far):
            return None
        depth = len(self.job.ns) + 1  # deeper ones were asked by a graph called as this node
        own = [i.id for i in so_far.interrupts if len(i.ns) == depth and i.id in self._answers]
        resumes = (*so_far.resumes, *(self._answers[i] for i in own))
        if so_far.interrupts or so_far.error:
            # It starts again: what it asked or died of before is over.
            position.append_outcome(planned, resumes=resumes)
        return Task(self, planned, position.at.values, resumes)

    def _answered(self, so_far: PendingWrites) -> bool:
        return any(interrupt.id in self._answers for interrupt in so_far.interrupts)

    async def call_subgraph(self, task: Task, inner: CompiledStateGraph, state: Any) -> Any:
        """Run a graph as a node: its output is the node's update."""
        job = attrs.evolve(
            self.job,
            input=state if isinstance(state, Mapping) else as_update(state),
            ns=task.path,
            answers=self._answers,
            store=self.runtime.store,
            cache=self._cache,
            progress=task.progress,
            checkpoint_id=None,
            interrupt_before=(),
            interrupt_after=(),
            metadata={**self.job.metadata, **self._place(task), "parents": self._parents()},
        )
        try:
            finish = await Execution(inner, job).run()
        except ParentCommand as up:
            return attrs.evolve(up.command, graph=None)
        if finish.paused:
            raise GraphInterrupt(finish.interrupts)
        return finish.values

    @property
    def _cache(self) -> BaseCache | None:
        return self.compiled.cache if self.compiled.cache is not None else self.job.cache

    async def recall(self, task: Task) -> Outcome | None:
        """What the cache knows of a task whose node has a policy for that."""
        if self._cache is None:
            return None
        found = await self._cache.aget([cache_key(task)])
        return next(iter(found.values()), None)

    async def remember(self, task: Task, outcome: Outcome) -> None:
        if self._cache is not None and task.node.cache is not None:
            await self._cache.aset({cache_key(task): (outcome, task.node.cache.ttl)})

    def _parents(self) -> dict[str, str]:
        return {**self.job.metadata.get("parents", {}), self.position.ns: self.position.at.id}

    def _pause(self, interrupts: tuple[Interrupt, ...]) -> Finish:
        position = self.position
        self.reports.emit("updates", {"__interrupt__": interrupts})
        if interrupts:
            self.reports.emit("values", {**position.values(), "__interrupt__": interrupts})
        return Finish(values=position.output(), interrupts=interrupts, paused=True)

    def _finish(self, warning: str | None = None) -> Finish:
        position = self.position
        return Finish(
            values=position.output(),
            interrupts=position.waiting(),
            paused=bool(position.at.next),
            warning=warning,
        )

    def task_config(self, task: Task) -> RunnableConfig:
        """The run's config as the node of a task sees it."""
        config = self.job.config
        own = {"checkpoint_id": self.position.at.id, "checkpoint_ns": "|".join(task.path)}
        return {
            **config,
            "metadata": {**self.job.metadata, **config.get("metadata", {}), **self._place(task)},
            "configurable": {**config.get("configurable", {}), **own},
        }

    def _place(self, task: Task) -> dict[str, Any]:
        """Where a task is, under LangGraph's names."""
        return {
            "langgraph_node": task.planned.node,
            "langgraph_step": self.position.at.step + 1,
            "langgraph_path": list(task.planned.path),
            "langgraph_triggers": list(triggers(task.planned)),
            "langgraph_checkpoint_ns": "|".join(task.path),
        }

    def _is_breakpoint(self, ran: Sequence[str], nodes: Sequence[str]) -> bool:
        """Whether to pause after the nodes that ran last, or before those that are next."""
        before = self.job.interrupt_before or self.compiled.interrupt_before
        after = self.job.interrupt_after or self.compiled.interrupt_after
        if not before and not after:
            return False
        ran = [node for node in ran if node != START]
        return _names_one(after, ran) or _names_one(before, nodes)


def _names_one(breaks: Breakpoints, nodes: Sequence[str]) -> bool:
    return bool(nodes) if breaks == "*" else not set(breaks).isdisjoint(nodes)
