"""A compiled graph: what can be asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import trio

from . import blocking
from .cache import BaseCache, cache_namespace
from .checkpoint import Checkpoint, Checkpointer, CheckpointLog, Saved, StateSnapshot
from .context import RunnableConfig, coerced
from .control import StateUpdate
from .drawing import DrawnGraph, draw
from .errors import NodeNotFoundError
from .execute import Execution
from .exitlog import ExitLog
from .isolation import isolated
from .job import Breakpoints, Durability, Finish, Job
from .jsonschema import json_schema
from .plan import Topology
from .snapshot import empty_snapshot, snapshot
from .store import BaseStore
from .stream import Chunks, Stream
from .update import check_updates, take_in, update_state
from .world import world_of_program

if TYPE_CHECKING:
    from .state import StateGraph

__all__ = ["CompiledStateGraph"]


@attrs.define(eq=False, kw_only=True)
class CompiledStateGraph:
    """A graph that runs, made by `StateGraph.compile`.

    The methods with an `a` are for trio; those without are for programs without an event loop. A
    config names the thread in `configurable.thread_id` and, to go on from an older checkpoint, that
    in
    `configurable.checkpoint_id`. `step_timeout`: seconds a super-step may take; it may be set on a
    compiled graph, and a run that exceeds it fails with TimeoutError.
    """

    name: str
    topology: Topology
    state_schema: type[Any]
    context_schema: type[Any] | None = None
    builder: StateGraph | None = None
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
        interrupt_before: Breakpoints | None = None,
        interrupt_after: Breakpoints | None = None,
        durability: Durability | None = None,
    ) -> dict[str, Any]:
        """Run to the end or to a pause and return the state; paused at interrupts it has them, a
        list of `Interrupt`, under `__interrupt__`.

        `input`: a dict of state keys, a `Command`, or None to go on where the thread paused or
        failed. `durability`: `sync`, `async` (default) or `exit`; see `Job`.
        Raises what a node raised, GraphRecursionError, EmptyInputError, InvalidUpdateError.
        """
        job = self._job(config, input, context, interrupt_before, interrupt_after, durability)
        finish = await self._carry_out(job)
        values: dict[str, Any] = isolated(finish.values)
        if finish.interrupts:
            values["__interrupt__"] = list(finish.interrupts)
        return values

    def astream(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: str | Collection[str] = "updates",
        subgraphs: bool = False,
        interrupt_before: Breakpoints | None = None,
        interrupt_after: Breakpoints | None = None,
        durability: Durability | None = None,
    ) -> Stream:
        """Run and follow: `async with graph.astream(…) as chunks: async for chunk in chunks:`.

        `stream_mode`: `values` (the state after each super-step), `updates` (what each node
        returned), `messages` ((message, metadata) pairs: tokens as they come, and whole messages
        that nodes return), `custom` (what nodes write to their stream writer), `tasks` (each task
        as it starts and as it ends), `checkpoints` (each as it is made, of a graph that keeps
        threads), `debug` (both, with step and time), or a list of these, which makes chunks
        (mode, chunk) pairs. `subgraphs`: graphs called as nodes too; chunks become (namespace,
        chunk), or (namespace, mode, chunk). What tasks side by side come to is told in task order;
        `messages` tokens and `custom` come as they are made. An error of the run is raised after
        the chunks before it. Leaving early cancels the run.
        """
        job = self._job(config, input, context, interrupt_before, interrupt_after, durability)

        async def run(chunks: Chunks) -> None:
            await self._carry_out(attrs.evolve(job, sink=chunks))

        return Stream(run, stream_mode, subgraphs)

    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """The state of a thread: now, or at `configurable.checkpoint_id`. Empty for a new thread.

        `subgraphs`: `state` of the tasks of graphs called as nodes is their snapshot, at any depth,
        and not just the config for it.
        """
        thread_id, ns, checkpoint_id = _place(config)
        saved = await self._log(thread_id).load(ns, checkpoint_id)
        if saved is None:
            return empty_snapshot(thread_id, ns)
        state = self.at(ns).snapshot(saved, thread_id)
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
        thread_id, ns, _ = _place(config)
        start = _place({**config, **before})[2] if before is not None else None
        found = 0
        for saved in await self._log(thread_id).history(ns, before=start):
            state = self.at(ns).snapshot(saved, thread_id)
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
        thread_id, ns, _ = _place(config)
        self._log(thread_id)
        graph, job = self.at(ns), self._job(config, None)
        for updates in supersteps:
            check_updates(updates, graph.topology.nodes)
        for updates in supersteps:
            made = await update_state(graph, job, updates)
            job = attrs.evolve(job, checkpoint_id=made.id)
        if job.log is not None:
            await job.log.flush()
        own = {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": made.id}
        return {"configurable": own}

    def invoke(
        self, input: Any, config: RunnableConfig | None = None, **options: Any
    ) -> dict[str, Any]:
        """`ainvoke` for a program without an event loop."""
        return blocking.call(
            "invoke", "await graph.ainvoke(...)", self.ainvoke, input, config, **options
        )

    def stream(
        self, input: Any, config: RunnableConfig | None = None, **options: Any
    ) -> Iterator[Any]:
        """`astream` for a program without an event loop: iterate over it directly."""
        blocking.refuse_loop("stream", "async with graph.astream(...) as chunks")
        return blocking.iterate(lambda: self.astream(input, config, **options))

    def get_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """`aget_state` for a program without an event loop."""
        instead = "await graph.aget_state(...)"
        return blocking.call("get_state", instead, self.aget_state, config, subgraphs=subgraphs)

    def get_state_history(self, config: RunnableConfig, **options: Any) -> Iterator[StateSnapshot]:
        """`aget_state_history` for a program without an event loop."""

        async def collect() -> list[StateSnapshot]:
            return [state async for state in self.aget_state_history(config, **options)]

        instead = "async for state in graph.aget_state_history(...)"
        return iter(blocking.call("get_state_history", instead, collect))

    def update_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None
    ) -> RunnableConfig:
        """`aupdate_state` for a program without an event loop."""
        instead = "await graph.aupdate_state(...)"
        return blocking.call("update_state", instead, self.aupdate_state, config, values, as_node)

    def bulk_update_state(
        self, config: RunnableConfig, supersteps: Sequence[Sequence[StateUpdate]]
    ) -> RunnableConfig:
        """`abulk_update_state` for a program without an event loop."""
        instead = "await graph.abulk_update_state(...)"
        return blocking.call(
            "bulk_update_state", instead, self.abulk_update_state, config, supersteps
        )

    # Looking at the graph.

    def get_graph(
        self, config: RunnableConfig | None = None, *, xray: int | bool = False
    ) -> DrawnGraph:
        """Its nodes and edges, for a drawing: `graph.get_graph().draw_mermaid()`.

        `xray`: True shows what is inside graphs called as nodes, a number so many levels of it.
        `config` makes no difference.
        """
        return draw(self, xray)

    async def aget_graph(
        self, config: RunnableConfig | None = None, *, xray: int | bool = False
    ) -> DrawnGraph:
        """Same as `get_graph`, which does not wait for anything."""
        return draw(self, xray)

    def get_subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> Iterator[tuple[str, CompiledStateGraph]]:
        """The graphs called as nodes, by namespace: node names joined by `|`.

        `namespace`: only the one there. `recurse`: those inside them too, which a `namespace` of
        several names needs.
        """
        for name, node in self.topology.nodes.items():
            if node.subgraph is None:
                continue
            if namespace is None or namespace == name:
                yield name, node.subgraph
            if recurse:
                for inner, graph in node.subgraph.get_subgraphs(recurse=True):
                    if namespace is None or namespace == f"{name}|{inner}":
                        yield f"{name}|{inner}", graph

    async def aget_subgraphs(
        self, *, namespace: str | None = None, recurse: bool = False
    ) -> AsyncIterator[tuple[str, CompiledStateGraph]]:
        """Same as `get_subgraphs`, which does not wait for anything."""
        for found in self.get_subgraphs(namespace=namespace, recurse=recurse):
            yield found

    def get_input_jsonschema(self) -> dict[str, Any]:
        """The JSON Schema of what the graph takes."""
        declared = getattr(self.builder, "input_schema", self.state_schema)
        return json_schema(declared, self.topology.channels)

    def get_output_jsonschema(self) -> dict[str, Any]:
        """The JSON Schema of what the graph gives back."""
        declared = getattr(self.builder, "output_schema", self.state_schema)
        return json_schema(declared, self.topology.channels)

    def get_state_jsonschema(self) -> dict[str, Any]:
        """The JSON Schema of the graph's state."""
        return json_schema(self.state_schema, self.topology.channels)

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """The JSON Schema of `Runtime.context`; None where none is declared."""
        return None if self.context_schema is None else json_schema(self.context_schema)

    async def aclear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """Forget what the cache holds of these nodes, or of all. Raises ValueError without a
        cache."""
        await self._cache().aclear(self._cached(nodes))

    def clear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """`aclear_cache` for a program without an event loop."""
        self._cache().clear(self._cached(nodes))

    def _cache(self) -> BaseCache:
        if self.cache is None:
            raise ValueError("This graph has no cache: compile it with cache=InMemoryCache()")
        return self.cache

    def _cached(self, nodes: Sequence[str] | None) -> list[tuple[str, ...]]:
        known = self.topology.nodes
        for name in nodes or ():
            if name not in known:
                raise NodeNotFoundError(f"The graph has no node {name!r}")
        return [cache_namespace(known[name]) for name in (known if nodes is None else nodes)]

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

    def snapshot(self, saved: Saved, thread_id: str) -> StateSnapshot:
        """A checkpoint of one of this graph's threads as `get_state` shows it."""
        return snapshot(saved, thread_id, self.topology.channels, self.topology.nodes)

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
        config = config or RunnableConfig()
        log = checkpoint_id = None
        ns: tuple[str, ...] = ()
        if self.checkpointer is not None:
            thread_id, place, checkpoint_id = _place(config)
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
        return self.checkpointer.log(thread_id)


def _place(config: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Thread, namespace and checkpoint that a config names."""
    own = config.get("configurable") or {}
    if not own.get("thread_id"):
        raise ValueError(
            "A graph with a checkpointer needs a thread: configurable.thread_id in the config"
        )
    return str(own["thread_id"]), own.get("checkpoint_ns") or "", own.get("checkpoint_id")
