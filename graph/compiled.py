"""A compiled graph: what can be asked of it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, cast, get_args

import attrs
import trio
from typing_extensions import TypeVar

from .batch import batch
from .cache import BaseCache
from .checkpoint import Checkpoint, Checkpointer, CheckpointLog, Saved, StateSnapshot
from .context import RunnableConfig, coerced, configurable, merged_config
from .control import StateUpdate
from .errors import NodeNotFoundError
from .execute import Execution
from .exitlog import ExitLog
from .inspection import Inspection
from .isolation import isolated, isolated_state
from .job import Breakpoints, Durability, Finish, Job
from .parts import GraphOutput, stream_part
from .plan import Topology
from .root import asking
from .snapshot import empty_snapshot, snapshot
from .store import BaseStore
from .stream import Chunks, Stream, StreamMode, Version, check_version
from .twins import BlockingTwins
from .update import check_updates, take_in, update_state
from .validation import check_breakpoints
from .world import world_of_program

if TYPE_CHECKING:
    from .functional import Signature
    from .state import StateGraph

__all__ = ["CompiledStateGraph", "ContextT", "InputT", "OutputT", "StateT"]

# For the reader: what a graph is of. Input and output are the state unless they are given.
StateT = TypeVar("StateT", default=Any)
ContextT = TypeVar("ContextT", default=Any)
InputT = TypeVar("InputT", default=StateT)
OutputT = TypeVar("OutputT", default=StateT)


@attrs.define(eq=False, kw_only=True)
class CompiledStateGraph(BlockingTwins, Inspection, Generic[StateT, ContextT, InputT, OutputT]):
    """A graph that runs, made by `StateGraph.compile`.

    The methods with an `a` are for trio; those without are for programs without an event loop. A
    config names the thread in `configurable.thread_id` and, to go on from an older checkpoint, that
    in
    `configurable.checkpoint_id`. `declared`: the classes whose objects come back from storage as
    themselves. `step_timeout`: seconds a super-step may take; it may be set on a compiled graph,
    and a run that exceeds it fails with TimeoutError. `config`: of all its runs, below what each is
    given.
    """

    name: str
    topology: Topology
    config: RunnableConfig = attrs.field(factory=RunnableConfig)
    state_schema: type[Any]
    context_schema: type[Any] | None = None
    declared: Collection[type] = ()
    builder: StateGraph | Signature | None = None
    checkpointer: Checkpointer | None = None
    store: BaseStore | None = None
    cache: BaseCache | None = None
    step_timeout: float | None = None
    interrupt_before: Breakpoints = ()
    interrupt_after: Breakpoints = ()

    async def ainvoke(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode | Collection[StreamMode] = "values",
        interrupt_before: Breakpoints | None = None,
        interrupt_after: Breakpoints | None = None,
        durability: Durability | None = None,
        version: Version = "v1",
        checkpoint_during: bool | None = None,
    ) -> Any:
        """Run to the end or to a pause and return the state; paused at interrupts it has them, a
        list of `Interrupt`, under `__interrupt__`. An entrypoint returns what its function did.

        `input`: a dict of state keys (for an entrypoint anything), a `Command`, or None to go on
        where the thread paused or failed. `stream_mode`: of anything but `values`, the list of the
        chunks that `astream` gives. `durability`: `sync`, `async` (default) or `exit`; see `Job`.
        `version`: with "v2" the result is a `GraphOutput`. `checkpoint_during`: deprecated, True is
        durability `async` and False is `exit`. Raises what a node raised, GraphRecursionError,
        EmptyInputError, InvalidUpdateError.
        """
        durability = _durability(durability, checkpoint_during)
        if stream_mode != "values":
            stream = self.astream(
                input,
                config,
                context=context,
                stream_mode=stream_mode,
                interrupt_before=interrupt_before,
                interrupt_after=interrupt_after,
                durability=durability,
                version=version,
            )
            async with stream as chunks:
                return [chunk async for chunk in chunks]
        check_version(version)
        job = self._job(config, input, context, interrupt_before, interrupt_after, durability)
        finish = await self._carry_out(job)
        values = isolated_state(finish.values, self.topology.untracked)
        if version == "v2":
            return GraphOutput(self._output(values), finish.interrupts)
        if finish.interrupts:
            return asking(values, list(isolated(finish.interrupts)))
        return values

    def astream(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode | Collection[StreamMode] = "updates",
        subgraphs: bool = False,
        interrupt_before: Breakpoints | None = None,
        interrupt_after: Breakpoints | None = None,
        durability: Durability | None = None,
        version: Version = "v1",
        checkpoint_during: bool | None = None,
    ) -> Stream:
        """Run and follow: `async with graph.astream(…) as chunks: async for chunk in chunks:`.

        `stream_mode`: `values` (the state after each super-step), `updates` (what each node
        returned), `messages` ((message, metadata) pairs: tokens as they come, and whole messages
        that nodes return), `custom` (what nodes write to their stream writer), `tasks` (each task
        as it starts and as it ends), `checkpoints` (each as it is made, of a graph that keeps
        threads), `debug` (both, with step and time), or a list of these, which makes chunks
        (mode, chunk) pairs. `subgraphs`: graphs called as nodes too; chunks become (namespace,
        chunk), or (namespace, mode, chunk). What tasks side by side come to is told in task order;
        `messages` tokens and `custom` come as they are made. `version`: with "v2" each chunk is a
        `StreamPart`. The rest as of `ainvoke`. An error of the run is raised after the chunks
        before it. Leaving early cancels the run.
        """
        check_version(version)
        durability = _durability(durability, checkpoint_during)
        job = self._job(config, input, context, interrupt_before, interrupt_after, durability)

        async def run(chunks: Chunks) -> None:
            await self._carry_out(attrs.evolve(job, sink=chunks))

        shape = partial(stream_part, output_of=self._output) if version == "v2" else None
        return Stream(run, stream_mode, subgraphs, shape)

    async def abatch(
        self,
        inputs: Sequence[Any],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **options: Any,
    ) -> list[Any]:
        """`ainvoke` for each of the inputs, side by side; the results in their order.

        `config`: of all runs, or a list with one for each; `max_concurrency` of the first says how
        many run at once. `return_exceptions`: errors are results; otherwise the first is raised,
        and the other runs are cancelled. `options`: as of `ainvoke`.
        """
        return await batch(
            partial(self.ainvoke, **options), inputs, config, return_exceptions=return_exceptions
        )

    def with_config(self, config: RunnableConfig | None = None, **parts: Any) -> Self:
        """The same graph with a config for all its runs, over the one it has; `parts` are keys of
        it. What a single run is given counts before it."""
        given = merged_config(config, cast(RunnableConfig, parts))
        return attrs.evolve(self, config=merged_config(self.config, given))

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """The state of a thread: now, or at `configurable.checkpoint_id`. Empty for a new thread.

        `subgraphs`: `state` of the tasks of graphs called as nodes is their snapshot, at any depth,
        and not just the config for it.
        """
        thread_id, ns, checkpoint_id = self._place(config)
        saved = await self._log(thread_id).load(ns, checkpoint_id)
        if saved is None:
            return empty_snapshot(thread_id, ns)
        state = self.at(ns).snapshot(saved, thread_id, is_past=checkpoint_id is not None)
        if not subgraphs:
            return state
        tasks = []
        for task in state.tasks:
            if isinstance(task.state, Mapping):
                place = RunnableConfig(configurable=task.state["configurable"])
                task = attrs.evolve(task, state=await self.aget_state(place, subgraphs=True))
            tasks.append(task)
        return attrs.evolve(state, tasks=tuple(tasks))

    async def aget_state_history(
        self,
        config: RunnableConfig,
        *,
        filter: Mapping[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[StateSnapshot]:
        """The states of a thread, newest first; `filter` by metadata, `before` a config's
        checkpoint.
        """
        thread_id, ns, _ = self._place(config)
        start = self._place({**config, **before})[2] if before is not None else None
        found = 0
        for saved in await self._log(thread_id).history(ns, before=start):
            state = self.at(ns).snapshot(saved, thread_id, is_past=True)
            if not (filter or {}).items() <= (state.metadata or {}).items():
                continue
            if found == limit:
                return
            found += 1
            yield state

    async def aupdate_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None
    ) -> RunnableConfig:
        """Edit the state as if `as_node` (by default the node that ran last) had returned `values`.

        Returns the config of the new checkpoint. Raises InvalidUpdateError for an unknown `as_node`
        or where it is ambiguous.
        """
        return await self.abulk_update_state(config, [[StateUpdate(values, as_node)]])

    async def abulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """Edit the state several times over, with a checkpoint for each super-step of updates.

        Returns the config of the last one. Raises ValueError for no super-steps or an empty one;
        InvalidUpdateError as `aupdate_state`, and where several updates do not say whose they are,
        before anything is done; for values that are no update, with the super-steps before done.
        """
        if not supersteps or not all(supersteps):
            raise ValueError("Updates are given as super-steps of at least one update each")
        thread_id, ns, _ = self._place(config)
        self._log(thread_id)
        graph, job = self.at(ns), self._job(config, None)
        for updates in supersteps:
            check_updates(updates, graph.topology)
        for updates in supersteps:
            made = await update_state(graph, job, updates)
            job = attrs.evolve(job, checkpoint_id=made.id)
        if job.log is not None:
            await job.log.flush()
        own = {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": made.id}
        return {"configurable": own}

    # What a runtime asks of a graph.

    async def perform(self, job: Job) -> Finish:
        """Do a job; see `ainvoke` for what it raises."""
        if job.durability != "exit" or job.log is None:
            return await Execution(self, job).run()
        log = ExitLog(job.log)
        try:
            return await Execution(self, attrs.evolve(job, log=log)).run()
        finally:
            log.settle()

    async def update(self, job: Job, values: Any, as_node: str | None = None) -> Checkpoint:
        """Edit the state in the job's log; see `update.update_state`."""
        return await update_state(self, job, [StateUpdate(values, as_node)])

    async def take_in(self, job: Job) -> Checkpoint:
        """Apply the job's input without running a node; see `update.take_in`."""
        return await take_in(self, job)

    def at(self, ns: str) -> CompiledStateGraph:
        """The graph that works in a checkpoint namespace: this one, or one called as a node in it.

        Raises NodeNotFoundError for a namespace that this graph does not have.
        """
        graph = self
        for place in filter(None, ns.split("|")):
            node = graph.topology.nodes.get(place.partition(":")[0])
            if node is None or node.subgraph is None:
                raise NodeNotFoundError(f"Checkpoint namespace {ns!r} leads to no graph")
            graph = node.subgraph
        return graph

    def snapshot(self, saved: Saved, thread_id: str, *, is_past: bool = False) -> StateSnapshot:
        """A checkpoint of one of this graph's threads as `get_state` shows it, now or, `is_past`,
        in the history."""
        return snapshot(saved, thread_id, self.topology, is_past=is_past)

    async def _carry_out(self, job: Job) -> Finish:
        """A run of a graph used alone: what it leaves in the log is durable when this is over."""
        try:
            return await self.perform(job)
        finally:
            if job.log is not None:
                with trio.CancelScope(shield=True):
                    await job.log.flush()

    def _job(
        self,
        config: RunnableConfig | None,
        input: Any,
        context: Any = None,
        interrupt_before: Breakpoints | None = None,
        interrupt_after: Breakpoints | None = None,
        durability: Durability | None = None,
    ) -> Job:
        config = merged_config(self.config, config)
        check_breakpoints(None, interrupt_before=interrupt_before, interrupt_after=interrupt_after)
        log = checkpoint_id = None
        ns: tuple[str, ...] = ()
        if self.checkpointer is not None:
            thread_id, place, checkpoint_id = self._place(config)
            log = self._log(thread_id)
            ns = tuple(filter(None, place.split("|")))
        return Job(
            input=input,
            config=config,
            context=coerced(context, self.context_schema),
            log=log,
            world=world_of_program(),
            checkpoint_id=checkpoint_id,
            interrupt_before=interrupt_before or (),
            interrupt_after=interrupt_after or (),
            durability=durability or "async",
            metadata=config.get("metadata") or {},
            ns=ns,
        )

    def _log(self, thread_id: str) -> CheckpointLog:
        if self.checkpointer is None:
            raise ValueError(
                "This graph keeps no threads: compile it with checkpointer=InMemorySaver()"
            )
        return self.checkpointer.log(thread_id, self.declared)

    def _place(self, config: RunnableConfig) -> tuple[str, str, str | None]:
        """Thread, namespace and checkpoint that a config names."""
        own = configurable(merged_config(self.config, config))
        if not own.get("thread_id"):
            raise ValueError(
                "A graph with a checkpointer needs a thread: configurable.thread_id in the config"
            )
        return str(own["thread_id"]), own.get("checkpoint_ns") or "", own.get("checkpoint_id")

    def _output(self, values: Mapping[str, Any]) -> Any:
        """Values as an instance of the class that declares the output, if it is one."""
        if self.builder is None or self.topology.whole:
            return values
        return cast("StateGraph[Any]", self.builder).output_of(values)


def _durability(given: Durability | None, checkpoint_during: bool | None) -> Durability | None:
    """Raises ValueError for both spellings at once, and for a durability that is none."""
    if checkpoint_during is not None:
        if given is not None:
            raise ValueError("durability and checkpoint_during say the same: give the first")
        warnings.warn(
            "checkpoint_during is deprecated: use durability='async' or durability='exit'",
            DeprecationWarning,
            stacklevel=3,
        )
        return "async" if checkpoint_during else "exit"
    if given not in (None, *get_args(Durability)):
        raise ValueError(f"durability must be 'sync', 'async' or 'exit'; got {given!r}")
    return given
