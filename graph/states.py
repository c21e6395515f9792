"""Reading a thread's states, those of graphs inside it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .checkpoint import Checkpoint, CheckpointReader, Saved, StateSnapshot
from .control import START
from .errors import NodeNotFoundError
from .inner import is_of_task, stored_ns
from .line import newest
from .nodes import Node
from .snapshot import empty_snapshot, snapshot

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = ["Place", "locate", "read_checkpoint", "read_history", "read_state"]


@attrs.frozen
class Place:
    """A graph on a thread, and where its checkpoints are. `caller`: the task that called it, where
    it remembers what came before that."""

    graph: CompiledStateGraph
    ns: str
    caller: str | None = None

    def snapshot(self, saved: Saved, thread_id: str, **how: Any) -> StateSnapshot:
        """As the function; `how`: its options."""
        return snapshot(saved, thread_id, self.graph.topology, **how)


def locate(graph: CompiledStateGraph, ns: str) -> Place:
    """The place that a checkpoint namespace names on the threads of a graph.

    Raises NodeNotFoundError for a namespace that the graph does not have.
    """
    parts: tuple[str, ...] = ()
    nodes: Mapping[str, Node] = graph.topology.places
    tasks: Mapping[str, Node] = {}  # that the node calls which was named last
    inner: CompiledStateGraph | None = graph
    caller = None
    for part in filter(None, ns.split("|")):
        name, _, task_id = part.partition(":")
        parts = (*parts, part)
        if name.isdigit() and inner is not None:  # a graph that a node has called after another
            parts = stored_ns(parts, inner)
            continue
        if name in nodes:
            tasks = nodes[name].tasks
        node = nodes.get(name) or tasks.get(name)
        if node is None:
            break
        inner, caller = node.inner, "|".join(parts) if task_id else None
        nodes = {} if inner is None else inner.topology.places
        if inner is not None:
            parts = stored_ns(parts, inner)
    else:
        if inner is not None:
            remembers = inner.checkpointer is True
            return Place(inner, "|".join(parts), caller if remembers else None)
    raise NodeNotFoundError(f"Checkpoint namespace {ns!r} leads to no graph")


async def read_checkpoint(
    log: CheckpointReader, place: Place, checkpoint_id: str | None = None, before: str | None = None
) -> Saved | None:
    """A checkpoint of a place, the newest where no id is given.

    Of a graph that remembers it is the newest that the caller brought about; where there is none,
    what it remembered `before` a checkpoint of the graph around it, or else the newest of all.
    """
    saved = await log.load(place.ns, checkpoint_id)
    caller = place.caller
    if saved is None or checkpoint_id is not None or caller is None or is_of_task(saved, caller):
        return saved
    own = await newest(log, place.ns, lambda one: is_of_task(one, caller))
    if own is not None or before is None:
        return own or saved
    return await newest(log, place.ns, lambda one: one.checkpoint.id < before)


async def read_state(
    log: CheckpointReader,
    graph: CompiledStateGraph,
    thread_id: str,
    ns: str = "",
    checkpoint_id: str | None = None,
    *,
    subgraphs: bool = False,
    before: str | None = None,
) -> StateSnapshot:
    """The state of a graph or of one inside it, as `get_state` answers.

    `before`: as for `read_checkpoint`. Empty where nothing has run.
    """
    place = locate(graph, ns)
    saved = await read_checkpoint(log, place, checkpoint_id, before)
    if saved is None:
        return empty_snapshot(thread_id, place.ns)
    is_past = checkpoint_id is not None
    after = await _after(log, place, saved) if is_past else None
    state = place.snapshot(saved, thread_id, is_past=is_past, after=after)
    if not subgraphs:
        return state
    tasks = []
    for task in state.tasks:
        if isinstance(task.state, Mapping):
            inner_ns = task.state["configurable"]["checkpoint_ns"]
            inner = await read_state(
                log, graph, thread_id, inner_ns, subgraphs=True, before=saved.checkpoint.id
            )
            task = task._replace(state=inner)
        tasks.append(task)
    return state._replace(tasks=tuple(tasks))


async def read_history(
    log: CheckpointReader,
    place: Place,
    thread_id: str,
    *,
    before: str | None = None,
    limit: int | None = None,
    is_own: bool = False,
) -> list[StateSnapshot]:
    """The states of a place, newest first, those older than `before` where given. `is_own`: nobody
    else has what the log gives."""
    page = await log.history(place.ns, before=before, limit=limit)
    if not page:
        return []
    first = await _after(log, place, page[0]) if before is not None else None
    later = [first, *(saved.checkpoint for saved in page)]
    return [
        place.snapshot(saved, thread_id, is_past=True, is_own=is_own, after=after)
        for saved, after in zip(page, later, strict=False)
    ]


async def _after(log: CheckpointReader, place: Place, saved: Saved) -> Checkpoint | None:
    """The checkpoint after one that has tasks which may have come to something."""
    if all(task.node == START for task in saved.checkpoint.next):
        return None
    after = await log.load(place.ns, saved.checkpoint.id, following=True)
    return None if after is None else after.checkpoint
