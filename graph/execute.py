"""Execution: super-steps on trio.

Planning is in `plan`, a single task in `attempt`, the checkpoint at hand in `position`. This module
owns the order of things: what is read, run, recorded and emitted, and when.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio

from .attempt import Task
from .beginning import begin
from .cache import BaseCache, cache_key
from .checkpoint import CheckpointLog, PendingWrites, Planned, Result, Tried
from .context import RunnableConfig, Runtime
from .control import START, Interrupt
from .errors import (
    GraphBubbleUp,
    GraphInterrupt,
    GraphRecursionError,
    NodeError,
    ParentCommand,
)
from .failure import TaskError
from .inner import Call, inner_job, start_inner
from .job import Breakpoints, Finish, Job
from .line import Line
from .payloads import triggers
from .plan import Outcome, Topology, advance
from .position import Position
from .reports import Reports
from .results import kept_results
from .superstep import SuperStep
from .timelimit import places
from .visits import Visits
from .world import entered_world

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = ["DEFAULT_RECURSION_LIMIT", "Execution"]

DEFAULT_RECURSION_LIMIT = 10_007  # as in LangGraph since it is no longer 25

logger = logging.getLogger(__name__)


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
    token: trio.lowlevel.TrioToken = attrs.field(
        init=False, factory=trio.lowlevel.current_trio_token
    )
    visits: Visits | None = attrs.field(init=False, default=None)
    # Answers for the tasks of the super-step under way, inner graphs included.
    answers: Mapping[str, Any] = attrs.field(init=False, factory=dict)
    # For inner graphs, as in `Inner`.
    line: Line | None = attrs.field(init=False, default=None)
    travels: Mapping[str, str] = attrs.field(init=False, factory=dict)
    origin: tuple[str, ...] = attrs.field(init=False, default=())
    places: trio.Semaphore | None = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.compiled.config:
            self.job = self.job.configured(self.compiled.config)
        self.graph = self.compiled.topology
        self.position = Position(self.graph, self.job)
        self.reports = Reports(self.job, self.graph, self.position, self.token)
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
        if self.position.warning is not None:
            logger.warning("%s", self.position.warning)
        if resuming is None:
            self.reports.values()
            self.reports.checkpoint()
            return self._finish()
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
        if self.job.inner is not None:
            return await start_inner(self, self.job.inner)
        log, ns = self.job.log, self.position.ns
        if log is None:
            return begin(self.position, None, forks=False)
        saved, forks = await log.load(ns), False
        wanted = self.job.checkpoint_id
        if wanted is not None and (saved is None or saved.checkpoint.id != wanted):
            saved, forks = await log.load(ns, wanted), True
            if saved is None:
                raise ValueError(f"There is no checkpoint {wanted!r} on this thread")
        if forks or (self.job.travels and await self._have_moved_on(log)):
            self.travels, forks = self.job.travels, True
        start = None if saved is None else saved.checkpoint
        goes_on = begin(self.position, saved, forks=forks)
        self.line = Line(log, start, branches=forks, goes_on=bool(goes_on))
        return goes_on

    async def _have_moved_on(self, log: CheckpointLog) -> bool:
        """Whether inner graphs have newer checkpoints than those to go on from."""
        for ns, wanted in self.job.travels.items():
            saved = await log.load(ns)
            if saved is not None and saved.checkpoint.id != wanted:
                return True
        return False

    async def _super_steps(self, limit: int, resuming: bool) -> Finish:
        position, steps = self.position, 0
        between = False  # two super-steps of this run
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
            if between and nodes and self.job.inner is None:
                self._take_more_in()
            self.remaining = limit - steps
            if await self._super_step():
                return self._pause(position.waiting())
            steps += bool(nodes)
            self.job.progress()
            between, passed = True, False
        if not passed and self._is_breakpoint(position.at.ran, ()):
            if self.job.inner is not None:
                position.append_pause()  # the run around it goes on from here
                return self._pause(())
            if between:
                self.reports.at_breakpoint()
        return self._finish()

    def _take_more_in(self) -> None:
        at = self.position.at
        self.job.boundary(self.position.take_in)
        if self.position.at is not at:
            self.reports.values()
            self.reports.checkpoint()

    async def _super_step(self) -> bool:
        """Run the tasks that are planned and move on; returns True if it has to pause instead."""
        position = self.position
        finished: dict[Planned, Outcome] = {}
        tasks: list[Task] = []
        if self.job.log is not None or self.job.inner is None:
            self.answers, position.answers = position.answers, {}
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
            if self.job.durability == "sync":
                await position.flush()
            else:
                position.hand_over()  # an input goes with the state that it leads to
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
        results: tuple[Result, ...] = ()
        tried: tuple[Tried | None, ...] = ()
        if self.job.log is not None:
            outcomes = (outcome for _, outcome in done)
            results = kept_results(self.graph, at.values, after.values, outcomes)
            tried = position.tried()
        position.move(after, "loop", ran, results, tried)
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
        if self.answers and so_far.interrupts and not self._answered(so_far):
            return None
        if so_far.interrupts or so_far.error:  # it starts again
            position.append_answers(planned, self.answers)
        answers = position.answers_to(planned.id)
        task = Task(self, planned, position.at.values, answers, resumed=True)
        if so_far.handles is not None:
            if task.node.error_handler is not None:
                task.error = NodeError(planned.node, so_far.handles.exception())
            else:  # the graph has changed: the node has another chance
                task.answers = None
                position.append_outcome(planned)
        return task

    async def hand_on(self, planned: Planned, failure: Exception) -> None:
        """Record that a node has failed for good: from here on its error handler has the task."""
        self.position.append_outcome(planned, handles=TaskError.of(failure))
        if self.job.durability == "sync":
            await self.position.flush()
        else:
            self.position.hand_over()

    def _answered(self, so_far: PendingWrites) -> bool:
        return any(interrupt.id in self.answers for interrupt in so_far.interrupts)

    async def call_graph(
        self, task: Task, graph: CompiledStateGraph, given: Any, number: int, call: Call
    ) -> Finish:
        """Run a graph inside this run, for a task; see `inner.inner_job`.

        Raises GraphInterrupt where it pauses, ParentCommand without a `graph` where it speaks to
        this one.
        """
        job = inner_job(task, graph, given, number, call)
        inner = Execution(graph, job)
        try:
            if graph.checkpointer is True and self.line is not None:
                async with self.line.lock("|".join(job.ns)):
                    finish = await inner.run()
            else:
                finish = await inner.run()
        except ParentCommand as up:
            raise ParentCommand(attrs.evolve(up.command, graph=None)) from up
        if finish.paused:
            raise GraphInterrupt(finish.interrupts)
        return finish

    def origin_of(self, task: Task) -> tuple[str, ...]:
        """Where a task was on the line that this run has left."""
        ident = self.position.replaced.get(task.id, task.id)
        return (*self.origin, f"{task.name}:{ident}")

    @property
    def cache(self) -> BaseCache | None:
        return self.compiled.cache if self.compiled.cache is not None else self.job.cache

    async def recall(self, task: Task) -> Outcome | None:
        """What the cache knows of a task whose node has a policy for that."""
        if self.cache is None:
            return None
        found = await self.cache.aget([cache_key(task)])
        return next(iter(found.values()), None)

    async def remember(self, task: Task, outcome: Outcome) -> None:
        if self.cache is not None and task.node.cache is not None:
            await self.cache.aset({cache_key(task): (outcome, task.node.cache.ttl)})

    def parents(self) -> dict[str, str]:
        return {**self.job.metadata.get("parents", {}), self.position.ns: self.position.at.id}

    def _pause(self, interrupts: tuple[Interrupt, ...]) -> Finish:
        position = self.position
        if interrupts:
            self.reports.still_asked(interrupts)
            self.reports.settled()
        elif not self.job.ns:  # of a breakpoint, the outermost graph tells
            self.reports.at_breakpoint()
        return Finish(
            values=position.output(),
            interrupts=interrupts,
            paused=True,
            warning=position.warning,
        )

    def _finish(self) -> Finish:
        position = self.position
        return Finish(
            values=position.output(),
            interrupts=position.waiting(),
            paused=bool(position.at.next),
            warning=position.warning,
        )

    def task_config(self, task: Task) -> RunnableConfig:
        """The run's config as the node of a task sees it."""
        config = self.job.config
        own = {"checkpoint_id": self.position.at.id, "checkpoint_ns": "|".join(task.path)}
        metadata = {
            **self.job.metadata,
            **config.get("metadata", {}),
            **task.node.metadata,
            **self.place(task),
        }
        metadata.pop("parents", None)
        given: RunnableConfig = {
            **config,
            "metadata": metadata,
            "configurable": {**config.get("configurable", {}), **own},
        }
        given.pop("run_id", None)  # models that are called with this would take it for their own
        given.pop("run_name", None)
        return given

    def place(self, task: Task) -> dict[str, Any]:
        """Where a task is, under LangGraph's names."""
        is_entry = task.caller is None and START in self.position.at.values
        return {
            "langgraph_node": task.planned.node,
            "langgraph_step": self.position.at.step + 1,
            "langgraph_path": task.planned.path,
            "langgraph_triggers": (START,) if is_entry else triggers(task.planned),
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
