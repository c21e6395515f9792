"""A checkpoint as `get_state` shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .checkpoint import Checkpoint, Planned, Saved, StateSnapshot, StateTask, Tried, as_shown
from .context import RunnableConfig
from .control import START, Interrupt
from .isolation import isolated
from .nodes import Node
from .plan import Topology, settled
from .results import shown_results
from .root import shown

__all__ = ["config_of", "empty_snapshot", "snapshot"]


def snapshot(
    saved: Saved,
    thread_id: str,
    graph: Topology,
    *,
    is_past: bool = False,
    is_own: bool = False,
    after: Checkpoint | None = None,
) -> StateSnapshot:
    """A checkpoint as it stands: with what tasks have written that are finished and wait for their
    siblings; `next` leaves these out. `is_past`: as it was when it was made. `is_own`: nobody else
    has `saved` and `after`, so that nothing of them need be copied. `after`: the checkpoint after
    it, which says what its tasks wrote if it is theirs."""
    checkpoint = saved.checkpoint
    own = _as_it_is if is_own else isolated
    planned = as_shown(checkpoint.next)
    results: dict[Planned, Any] = {}
    tried: dict[Planned, Tried | None] = {}
    if after is not None and after.parent_id == checkpoint.id:
        if after.results:
            results = dict(zip(checkpoint.next, shown_results(after), strict=True))
        if after.tried:
            tried = dict(zip(checkpoint.next, after.tried, strict=True))
    tasks = tuple(
        _task(task, saved, thread_id, graph.nodes, own, results.get(task), tried.get(task))
        for task in planned
    )
    values = checkpoint.values
    if not is_past:
        values = settled(graph, values, checkpoint.next, saved.pending)
    open_tasks = (
        task.node
        for task in planned
        if is_past or (so_far := saved.pending.get(task.id)) is None or so_far.writes is None
    )
    parents = checkpoint.metadata.get("parents", {})
    return StateSnapshot(
        values=shown({key: own(values[key]) for key in graph.channels if key in values}),
        next=tuple(open_tasks),
        config=config_of(checkpoint, thread_id),
        metadata={
            **checkpoint.metadata,
            "source": checkpoint.source,
            "step": checkpoint.step,
            "parents": parents,
        },
        created_at=checkpoint.created_at,
        parent_config=(
            _config(thread_id, checkpoint.ns, checkpoint.parent_id, parents)
            if checkpoint.parent_id
            else None
        ),
        tasks=tasks,
        interrupts=tuple(interrupt for task in tasks for interrupt in task.interrupts),
    )


def empty_snapshot(thread_id: str, ns: str = "") -> StateSnapshot:
    """The state of a thread on which nothing has run."""
    config = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns}}
    return StateSnapshot(
        values={},
        next=(),
        config=config,
        metadata=None,
        created_at=None,
        parent_config=None,
        tasks=(),
        interrupts=(),
    )


def config_of(checkpoint: Checkpoint, thread_id: str) -> RunnableConfig:
    """The config that names a checkpoint; of an inner graph, those around it too."""
    parents = checkpoint.metadata.get("parents", {})
    config = _config(thread_id, checkpoint.ns, checkpoint.id, parents)
    return RunnableConfig(configurable=config["configurable"])


def _as_it_is(value: Any) -> Any:
    return value


def _task(
    planned: Planned,
    saved: Saved,
    thread_id: str,
    nodes: Mapping[str, Node],
    own: Callable[[Any], Any],
    result: Any,
    tried: Tried | None,
) -> StateTask:
    checkpoint = saved.checkpoint
    so_far = saved.pending.get(planned.id)
    result = own(result)
    if planned.node == START:
        result = own(planned.arg)
    elif so_far is not None and so_far.writes is not None:
        result = own(shown(dict(so_far.writes)))
    node, error = nodes.get(planned.node), None
    interrupts: tuple[Interrupt, ...] = ()
    if so_far is not None:
        error, interrupts = so_far.error or so_far.handles, so_far.interrupts
        if node is not None and so_far.handles is not None:
            node = node.error_handler
    if tried is not None:
        error, interrupts = tried.error, tried.interrupts
    state = None
    if node is not None and node.inner is not None:
        ns = f"{checkpoint.ns}|{node.name}:{planned.id}".lstrip("|")
        state = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns}}
    return StateTask(
        id=planned.id,
        name=planned.node,
        path=planned.path,
        error=None if error is None else error.repr,
        interrupts=own(interrupts),
        state=state,
        result=result,
    )


def _config(
    thread_id: str, ns: str, checkpoint_id: str, parents: Mapping[str, str]
) -> dict[str, Any]:
    own: dict[str, Any] = {
        "thread_id": thread_id,
        "checkpoint_ns": ns,
        "checkpoint_id": checkpoint_id,
    }
    if ns:
        own["checkpoint_map"] = {**parents, ns: checkpoint_id}
    return {"configurable": own}
