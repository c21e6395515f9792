"""Editing a thread's state by hand, as if a node had written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from .checkpoint import Checkpoint, Planned
from .control import END, START
from .errors import InvalidUpdateError
from .execute import Execution
from .job import Job
from .nodes import check_targets, read_update
from .plan import Advance, Outcome, advance, apply_writes
from .position import Position
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
    had finished keep what they wrote; their siblings go on waiting, unless `as_node` is another.

    Raises InvalidUpdateError for an unknown `as_node`, or where it is not given and several ran
    last.
    """
    assert job.log is not None
    run = Execution(compiled, job)
    position, graph = run.position, run.graph
    saved = await job.log.load(position.ns, job.checkpoint_id)
    if saved is None and job.checkpoint_id is not None:
        raise ValueError(f"There is no checkpoint {job.checkpoint_id!r} on this thread")
    if saved is not None:
        position.take_up(saved)
    else:
        position.take_up_nothing()
    at = position.at
    finished = [(task, outcome) for task in at.next if (outcome := position.outcome(task))]
    waiting = [attrs.evolve(task, id="") for task in at.next if position.outcome(task) is None]
    node = _writer(at.ran, as_node, graph.nodes, in_the_middle=bool(finished))
    writes, goto, outer = read_update(values, node or START, graph.channels)
    if outer:
        raise InvalidUpdateError("A state update cannot address a parent graph")
    with entered_world(job.world):
        if node == END:
            after = Advance(at.values, (), (), {})
        elif node is None:
            # Part of the super-step is done: the rest of it goes on waiting.
            after = advance(graph, at.values, at.joins, finished, beside=waiting)
            named = ((START, key, value) for key, value in writes)
            edited, changed = apply_writes(graph.channels, after.values, named)
            after = attrs.evolve(after, values=edited, changed=(*after.changed, *changed))
        else:
            planned = Planned(node).identified(at.id)
            leave = await Task(run, planned, at.values).leave(writes)
            check_targets((*goto, *leave), node, graph.nodes)
            finished.append((planned, Outcome(writes, (*goto, *leave))))
            is_one = any(task.node == node for task in waiting)
            beside = [task for task in waiting if is_one and task.node != node]
            after = advance(graph, at.values, at.joins, finished, beside=beside)
    ran = tuple(dict.fromkeys(task.node for task, _ in finished)) or at.ran
    position.move(after, "update", ran)
    return position.at


async def take_in(compiled: CompiledStateGraph, job: Job) -> Checkpoint:
    """Append the job's input, a dict, as one `input` checkpoint without running a node.

    As by any new turn, what was planned before is dropped. START stays planned, so that its edges
    are followed if the thread is gone on with.
    """
    assert job.log is not None
    position = Position(compiled.topology, job)
    saved = await job.log.load(position.ns)
    if saved is not None:
        position.take_up(saved)
    else:
        position.take_up_nothing()
    channels, inputs = compiled.topology.channels, compiled.topology.inputs
    given = {key: value for key, value in dict(job.input).items() if key in inputs}
    writes, _, _ = read_update(given, START, channels)
    with entered_world(job.world):
        named = ((START, key, value) for key, value in writes)
        values, changed = apply_writes(channels, position.at.values, named)
    position.move(Advance(values, changed, (Planned(START, arg={}),), {}), "input", ())
    return position.at


def _writer(
    ran: Sequence[str], as_node: str | None, nodes: Mapping[str, Any], *, in_the_middle: bool
) -> str | None:
    """Whose update it is; None: nobody's, because part of a super-step is done."""
    if as_node is not None:
        if as_node not in nodes and as_node != END:
            raise InvalidUpdateError(f"as_node={as_node!r} is no node of the graph")
        return as_node
    if in_the_middle:
        return None
    if len(ran) > 1:
        raise InvalidUpdateError(
            f"Several nodes ran last ({', '.join(ran)}): say with as_node whose update this is"
        )
    return ran[0] if ran else START
