"""A compiled graph: what can be asked of it."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, cast, get_args

import attrs
import trio
from typing_extensions import TypeVar

from .address import Address
from .batch import batch
from .cache import BaseCache
from .checkpoint import Checkpointer, CheckpointLog, StateSnapshot
from .context import RunnableConfig, coerced, merged_config, running_task
from .control import StateUpdate
from .here import on_trio
from .inner import Call, names_thread
from .isolation import isolated, isolated_state
from .job import Breakpoints, Durability, Finish, Job
from .nodes import AsyncLibrary
from .parts import GraphOutput, stream_part
from .performing import Performing
from .plan import Topology
from .root import asking
from .snapshot import config_of
from .states import locate, read_history
from .store import BaseStore
from .stream import SILENT, Sink, Stream, StreamMode, Version, check_version
from .twins import BlockingTwins
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

_ROOT = "checkpointer=True is for graphs inside others; this one has none around it"


@attrs.define(eq=False, kw_only=True)
class CompiledStateGraph(BlockingTwins, Performing, Generic[StateT, ContextT, InputT, OutputT]):
    """A graph that runs, made by `StateGraph.compile`.

    The methods with an `a` are for trio, and for asyncio nodes; those without are for programs
    without an event loop. A config names the thread in `configurable.thread_id` and, to go on from
    an older checkpoint, that in `configurable.checkpoint_id`. `declared`: the classes whose objects
    come back from storage as themselves. `async_library`: what its async nodes run on, where they
    are not marked with `asyncio_node`. `step_timeout`: seconds a super-step may take; it may be set
    on a compiled graph, and a run that exceeds it fails with TimeoutError. `config`: of all its
    runs, below what each is given.
    """

    name: str
    topology: Topology
    config: RunnableConfig = attrs.field(factory=RunnableConfig)
    state_schema: type[Any]
    context_schema: type[Any] | None = None
    declared: Collection[type] = ()
    builder: StateGraph | Signature | None = None
    checkpointer: Checkpointer | bool | None = None
    store: BaseStore | None = None
    cache: BaseCache | None = None
    step_timeout: float | None = None
    interrupt_before: Breakpoints = ()
    interrupt_after: Breakpoints = ()
    async_library: AsyncLibrary = "trio"

    @on_trio
    async def ainvoke(
        self,
        input: Any,
        config: RunnableConfig | None = None,
        *,
        context: Any = None,
        stream_mode: StreamMode | Collection[StreamMode] | None = "values",
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
        durability `async` and False is `exit`. In a node the graph takes part in the run around it,
        `durability` and all, unless `config` names a thread of its own. Raises what a node raised,
        GraphRecursionError, EmptyInputError, InvalidUpdateError.
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
        run = self._run(config, input, context, interrupt_before, interrupt_after, durability)
        finish = await run(SILENT)
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
        stream_mode: StreamMode | Collection[StreamMode] | None = None,
        subgraphs: bool = False,
        interrupt_before: Breakpoints | None = None,
        interrupt_after: Breakpoints | None = None,
        durability: Durability | None = None,
        version: Version = "v1",
        checkpoint_during: bool | None = None,
    ) -> Stream:
        """Run and follow: `async with graph.astream(…) as chunks: async for chunk in chunks:`.

        `stream_mode`: `values` (the state after each super-step), `updates` (the default: what each
        node returned), `messages` ((message, metadata) pairs: tokens as they come, and whole
        messages that nodes return), `custom` (what nodes write to their stream writer), `tasks`
        (each task as it starts and as it ends), `checkpoints` (each as it is made, of a graph that
        keeps threads), `debug` (both, with step and time), or a list of these, which makes chunks
        (mode, chunk) pairs. `subgraphs`: graphs called as nodes too; chunks become (namespace,
        chunk), or (namespace, mode, chunk). What tasks side by side come to is told in task order;
        `messages` tokens and `custom` come as they are made. `version`: with "v2" each chunk is a
        `StreamPart`. The rest as of `ainvoke`. An error of the run is raised after the chunks
        before it. Leaving early cancels the run.
        """
        check_version(version)
        durability = _durability(durability, checkpoint_during)
        run = self._run(config, input, context, interrupt_before, interrupt_after, durability)
        shape = partial(stream_part, output_of=self._output) if version == "v2" else None
        return Stream(run, "updates" if stream_mode is None else stream_mode, subgraphs, shape)

    @on_trio
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

    @on_trio
    async def aget_state(self, config: RunnableConfig, *, subgraphs: bool = False) -> StateSnapshot:
        """The state of a thread: now, or at `configurable.checkpoint_id`. Empty for a new thread.

        `subgraphs`: `state` of the tasks of graphs called as nodes is their snapshot, at any depth,
        and not just the config for it.
        """
        at = self._address(config)
        log = self._log(at.thread_id)
        return await self.read_state(
            log, at.thread_id, at.ns, at.checkpoint_id, subgraphs=subgraphs
        )

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
        at = self._address(config)
        start = self._address({**config, **before}).checkpoint_id if before is not None else None
        found, place = 0, locate(self, at.ns)
        log = self._log(at.thread_id)
        for state in await on_trio(read_history)(log, place, at.thread_id, before=start):
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

    @on_trio
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
        at = self._address(config)
        log = self._log(at.thread_id)
        ns = tuple(filter(None, at.ns.split("|")))
        job = attrs.evolve(self._job(config, None), log=log, ns=ns, checkpoint_id=at.checkpoint_id)
        made = await self.update(job, supersteps)
        await log.flush()
        return config_of(made, at.thread_id)

    def _run(
        self,
        config: RunnableConfig | None,
        input: Any,
        context: Any,
        interrupt_before: Breakpoints | None,
        interrupt_after: Breakpoints | None,
        durability: Durability | None,
    ) -> Callable[[Sink], Awaitable[Finish]]:
        """A run as it was asked for: part of the one around it, in a node, or alone."""
        check_breakpoints(None, interrupt_before=interrupt_before, interrupt_after=interrupt_after)
        task = running_task()
        if task is not None and not names_thread(merged_config(self.config, config), task.path):
            call = Call(config, context, interrupt_before, interrupt_after)
            return lambda sink: task.call_graph(self, input, attrs.evolve(call, sink=sink))
        job = self._job(config, input, context, interrupt_before, interrupt_after, durability)
        return lambda sink: self._carry_out(job if sink is SILENT else attrs.evolve(job, sink=sink))

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
        at = log = None
        if self.checkpointer is True:
            raise RuntimeError(_ROOT)
        if self.checkpointer:
            at = Address.of(config)
            log = self._log(at.thread_id)
        return Job(
            input=input,
            config=config,
            context=coerced(context, self.context_schema),
            log=log,
            world=world_of_program(),
            checkpoint_id=None if at is None else at.start_id,
            travels={} if at is None else at.travels,
            interrupt_before=interrupt_before or (),
            interrupt_after=interrupt_after or (),
            durability=durability or "async",
            metadata=config.get("metadata") or {},
        )

    def _log(self, thread_id: str) -> CheckpointLog:
        match self.checkpointer:
            case True:
                raise RuntimeError(_ROOT)
            case None | False:
                raise ValueError(
                    "This graph keeps no threads: compile it with checkpointer=InMemorySaver()"
                )
            case checkpointer:
                return checkpointer.log(thread_id, self.declared)

    def _address(self, config: RunnableConfig) -> Address:
        """The place on a thread that a config names."""
        return Address.of(merged_config(self.config, config))

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
