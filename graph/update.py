"""Editing a thread's state by hand, as if a node had written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .checkpoint import Checkpoint, Planned, Saved
from .control import END, START
from .errors import InvalidUpdateError
from .execute import Execution
from .job import Job
from .nodes import check_targets, read_update
from .plan import Advance, Outcome, advance
from .task import Task
from .world import entered_world

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = ["take_in", "update_state"]


async def update_state(
    compiled: CompiledStateGraph, job: Job, values: Any, as_node: str | None
) -> Checkpoint:
    """Append an `update` checkpoint to the job's log and return it.

    Behaves as if `as_node` had returned `values` (a dict, or None for no change) and its edges had
    been followed; without `as_node`, the node that ran last; on an empty thread, START. Tasks that
    had finished keep what they wrote, and if `as_node` is one that waits, its siblings go on
    waiting.

    Raises InvalidUpdateError for an unknown `as_node`, or where it is not given and several ran
    last.
    """
    assert job.log is not None
    run = Execution(compiled, job)
    position, graph = run.position, run.graph
    saved = await job.log.load(position.ns, job.checkpoint_id)
    if saved is None and job.checkpoint_id is not None:
        raise ValueError(f"There is no checkpoint {job.checkpoint_id!r} on this thread")
    node = _writer(saved, as_node, graph.nodes)
    if saved is not None:
        position.take_up(saved)
    else:
        position.take_up_nothing()
    at = position.at
    writes, goto, outer = read_update(values, node, graph.channels)
    if outer:
        raise InvalidUpdateError("A state update cannot address a parent graph")
    if node == END:
        position.move(Advance(at.values, (), (), {}), "update", at.ran)
        return position.at
    planned = Planned(node)
    with entered_world(job.world):
        leave = await Task(run, planned, planned.task_id(at.id), at.values).leave(writes)
        check_targets((*goto, *leave), node, graph.nodes)
        done = [(task, outcome) for task in at.next if (outcome := position.outcome(task))]
        done.append((planned, Outcome(writes, (*goto, *leave))))
        after = advance(graph, at.values, at.joins, done)
    waits_on: tuple[Planned, ...] = ()
    if any(task.node == node and position.outcome(task) is None for task in at.next):
        waits_on = tuple(t for t in at.next if t.node != node and position.outcome(t) is None)
    after = Advance(after.values, after.changed, (*waits_on, *after.next), after.joins)
    position.move(after, "update", tuple(dict.fromkeys(task.node for task, _ in done)))
    return position.at


async def take_in(compiled: CompiledStateGraph, job: Job) -> Checkpoint:
    """Append the job's input, a dict, as one `input` checkpoint without running a node.

    What was planned before is dropped, as by any new turn.
    """
    assert job.log is not None
    run = Execution(compiled, job)
    position, graph = run.position, run.graph
    saved = await job.log.load(position.ns)
    if saved is not None:
        position.take_up(saved)
    else:
        position.take_up_nothing()
    at, start = position.at, Planned(START)
    writes, _, _ = read_update(dict(job.input), START, graph.channels)
    with entered_world(job.world):
        leave = await Task(run, start, start.task_id(at.id), at.values).leave(writes)
        after = advance(graph, at.values, {}, [(start, Outcome(writes, leave))])
    position.move(after, "input", (START,))
    return position.at


def _writer(saved: Saved | None, as_node: str | None, nodes: Mapping[str, Any]) -> str:
    if as_node is not None:
        if as_node not in nodes and as_node != END:
            raise InvalidUpdateError(f"as_node={as_node!r} is no node of the graph")
        return as_node
    ran = saved.checkpoint.ran if saved is not None else ()
    if len(ran) > 1:
        raise InvalidUpdateError(
            f"Several nodes ran last ({', '.join(ran)}): say with as_node whose update this is"
        )
    return ran[0] if ran else START
