"""Graphs inside graphs, called as nodes or in them: where they work and what they start from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import attrs

from .beginning import begin
from .channels import MISSING
from .checkpoint import Checkpoint, Saved
from .context import RunnableConfig, coerced, configurable, merged_config
from .control import START, Command
from .job import Breakpoints, Inner, Job
from .line import Line, newest
from .root import input_values, shown
from .stream import SILENT, Sink

if TYPE_CHECKING:
    from .attempt import Task
    from .compiled import CompiledStateGraph
    from .execute import Execution

__all__ = [
    "Call",
    "Relay",
    "earlier_calls",
    "inner_job",
    "is_of_task",
    "names_thread",
    "start_inner",
    "stored_ns",
]

# Keys of `configurable` that name a thread or a place on it.
COORDINATES = ("thread_id", "checkpoint_ns", "checkpoint_id", "checkpoint_map")
# What the checkpoints of an inner graph say of the task that they were made for.
_CALLER = "langgraph_checkpoint_ns"


@attrs.frozen
class Call:
    """How a graph is called in a node; None where it is as the run around it."""

    config: RunnableConfig | None = None
    context: Any = None
    interrupt_before: Breakpoints | None = None
    interrupt_after: Breakpoints | None = None
    sink: Sink = SILENT


def stored_ns(ns: tuple[str, ...], graph: CompiledStateGraph) -> tuple[str, ...]:
    """Where a graph keeps its checkpoints: one that remembers in the same place for every task."""
    return tuple(part.partition(":")[0] for part in ns) if graph.checkpointer is True else ns


def names_thread(config: Mapping[str, Any] | None, path: tuple[str, ...]) -> bool:
    """Whether a config given in a node is for a thread of its own, and not what the node, or one
    that calls it, was given itself, which names its place on the `path`."""
    given = configurable(config)
    if ns := given.get("checkpoint_ns"):
        place: tuple[str, ...] = tuple(ns.split("|"))
        return place != path[: len(place)]
    return any(given.get(key) for key in COORDINATES)


def inner_job(task: Task, graph: CompiledStateGraph, given: Any, number: int, call: Call) -> Job:
    """What a graph inside the run of a task is asked to do.

    `given`: its input. `number`: how many graphs the task has called before this one.
    """
    run = task.run
    ns = stored_ns(_numbered(task.path, number), graph)
    origin = stored_ns(_numbered(task.origin, number), graph)
    config = run.job.config if call.config is None else _merged(run.job.config, call.config)
    about = (call.config or {}).get("metadata") or {}
    return attrs.evolve(
        run.job,
        input=given,
        carried_on=False,
        config=config,
        context=run.job.context
        if call.context is None
        else coerced(call.context, graph.context_schema),
        log=None if graph.checkpointer is False else run.job.log,
        ns=ns,
        inner=Inner(
            caller="|".join(task.path),
            answers=run.answers,
            resumed=task.resumed,
            line=run.line,
            origin=origin,
            travels=run.travels if task.root in run.position.replaced else {},
        ),
        sink=run.job.sink if call.sink is SILENT else Relay(ns, call.sink, run.job.sink),
        store=run.runtime.store,
        cache=run.cache,
        progress=task.progress,
        interrupt_before=call.interrupt_before or (),
        interrupt_after=call.interrupt_after or (),
        metadata={**run.job.metadata, **about, **run.place(task), "parents": run.parents()},
    )


def _numbered(path: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The place of a call, as LangGraph tells the calls of a task apart."""
    return (*path, str(number)) if number else path


async def earlier_calls(task: Task, graph: CompiledStateGraph, given: Any) -> list[int]:
    """The numbers of the calls that a task made in an earlier run with the same input.

    Their order tells little: trio starts the tasks of a nursery in any.
    """
    log = task.run.job.log
    if log is None or isinstance(graph.checkpointer, bool):
        return []
    if task.node.subgraph is not None and task.error is None:  # that is the only one it calls
        return []
    if given is None or isinstance(given, Command):
        return []
    values = input_values(graph.topology, given)
    wanted = values[START] if START in values else shown(values)  # of an entrypoint, or not
    found: list[int] = []
    for number in count():
        made = await log.history("|".join(_numbered(task.path, number)))
        if not made:
            return found
        if _same(_input_of(made[-1].checkpoint), wanted):
            found.append(number)
    return found


def _input_of(first: Checkpoint) -> Any:
    """What a run that begins with a checkpoint was given."""
    if START in first.values:
        return first.values[START]
    return next((planned.arg for planned in first.next if planned.node == START), MISSING)


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # what a value of the user's raises when it is compared
        return False


async def start_inner(run: Execution, inner: Inner) -> bool | None:
    """Take up what an inner run starts from; answers as `Position.begin`."""
    position, log, ns = run.position, run.job.log, run.position.ns
    if log is None:
        run.answers = inner.answers  # it starts anew, to ask the same
        return begin(position, None, forks=False)
    run.line, run.travels, run.origin = inner.line, inner.travels, inner.origin
    origin = "|".join(inner.origin)
    if (wanted := inner.travels.get(origin)) is not None:
        saved = await log.load(origin, wanted)
        if saved is None:
            raise ValueError(f"There is no checkpoint {wanted!r} in {origin!r}")
        if inner.line is not None:
            inner.line.found(ns)
        run.line = Line(log, saved.checkpoint, branches=True)
        position.answers = inner.answers
        position.branch(saved)
        return True
    saved = await log.load(ns)
    if run.compiled.checkpointer is True:
        assert inner.line is not None
        mine = await _of_task(saved, run, inner)
        if mine is None:
            return begin(position, await inner.line.remembered(ns), forks=False)
        inner.line.found(ns)
        saved = mine
    if saved is None:
        return begin(position, saved, forks=False)
    position.answers = inner.answers
    run.line = Line(log, saved.checkpoint, goes_on=True, around=inner.line)
    position.go_on(saved)
    return True


def is_of_task(saved: Saved, caller: str) -> bool:
    """Whether a graph that remembers came to a checkpoint when this task had called it."""
    return bool(saved.checkpoint.metadata.get(_CALLER) == caller)


async def _of_task(saved: Saved | None, run: Execution, inner: Inner) -> Saved | None:
    """The newest checkpoint that a graph that remembers came to for the task that calls it."""
    if saved is None or is_of_task(saved, inner.caller):
        return saved
    if not inner.resumed or run.job.log is None:
        return None
    return await newest(run.job.log, run.position.ns, lambda one: is_of_task(one, inner.caller))


def _merged(around: RunnableConfig, given: RunnableConfig) -> RunnableConfig:
    """The config of a run with what a call in it says otherwise."""
    own: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if "configurable" in own:
        named = configurable(given)
        own["configurable"] = {key: named[key] for key in named if key not in COORDINATES}
    return merged_config(around, cast(RunnableConfig, own))


@attrs.frozen
class Relay:
    """The sink of a graph that is streamed in a node: to its reader, and to that of the run around
    it."""

    ns: tuple[str, ...]
    own: Sink
    around: Sink
    subgraphs: bool = True

    @property
    def modes(self) -> Collection[str]:
        around = self.around.modes if self.around.subgraphs else ()
        return {*self.own.modes, *around}

    @property
    def offered(self) -> Collection[str]:
        around = self.around.offered if self.around.subgraphs else ()
        return {*self.own.offered, *around}

    def emit(self, mode: str, ns: tuple[str, ...], data: Any) -> None:
        if mode in self.own.modes and (self.own.subgraphs or ns == self.ns):
            self.own.emit(mode, ns, data)
        if mode in self.around.modes and self.around.subgraphs:
            self.around.emit(mode, ns, data)
