"""Editing a thread's state by hand, as if a node had written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from .checkpoint import Checkpoint, Planned
from .control import END, START, StateUpdate
from .errors import InvalidUpdateError
from .execute import Execution
from .job import Job
from .nodes import check_targets, read_update
from .plan import Advance, Outcome, Topology, advance, apply_writes
from .position import Position
from .task import Task
from .world import entered_world

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = ["check_updates", "take_in", "update_state"]

_INPUT = "__input__"


async def update_state(
    compiled: CompiledStateGraph, job: Job, updates: Sequence[StateUpdate]
) -> Checkpoint:
    """Append an `update` checkpoint to the job's log and return it.

    Behaves as if each `as_node` had returned its `values` (a dict, or None for no change) in one
    super-step and its edges had been followed; without `as_node`, the node that ran last; on an
    empty thread, START. Tasks that had finished keep what they wrote; their siblings go on waiting,
    unless `as_node` is another. `__input__` begins a new turn with the values, as a run would.

    Raises InvalidUpdateError for an unknown `as_node`, or where it is not given and several ran
    last, or there are several updates; ValueError for no updates.
    """
    assert job.log is not None
    check_updates(updates, compiled.topology.nodes)
    run = Execution(compiled, job)
    position, graph = run.position, run.graph
    saved = await job.log.load(position.ns, job.checkpoint_id)
    if saved is None and job.checkpoint_id is not None:
        raise ValueError(f"There is no checkpoint {job.checkpoint_id!r} on this thread")
    if saved is not None:
        position.take_up(saved)
    else:
        position.take_up_nothing()
    values, as_node = updates[0]
    if as_node == _INPUT:
        position.begin_turn(values, saved)
        return position.at
    at = position.at
    finished = [(task, outcome) for task in at.next if (outcome := position.outcome(task))]
    waiting = [task.afresh() for task in at.next if position.outcome(task) is None]
    node = as_node or _writer(at.ran, in_the_middle=bool(finished))
    outcomes = [_outcome(update, node, graph) for update in updates]
    with entered_world(job.world):
        if node == END:
            after = Advance(at.values, (), (), {})
        elif node is None:
            # Part of the super-step is done: the rest of it goes on waiting.
            after = advance(graph, at.values, at.joins, finished, beside=waiting)
            named = ((START, key, value) for key, value in outcomes[0].writes)
            edited, changed = apply_writes(graph.channels, after.values, named)
            after = attrs.evolve(after, values=edited, changed=(*after.changed, *changed))
        else:
            names = [update.as_node or node for update in updates]
            for name, own in zip(names, outcomes, strict=True):
                planned = Planned(name).identified(at.id)
                leave = await Task(run, planned, at.values).leave(own.writes)
                goto = (*own.goto, *leave)
                check_targets(goto, name, graph.nodes)
                finished.append((planned, Outcome(own.writes, goto)))
            is_one = any(task.node in names for task in waiting)
            beside = [task for task in waiting if is_one and task.node not in names]
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


def check_updates(updates: Sequence[StateUpdate], nodes: Mapping[str, Any]) -> None:
    """Raises ValueError or InvalidUpdateError for updates that cannot be one super-step."""
    if not updates:
        raise ValueError("A super-step of updates needs at least one")
    for values, as_node in updates:
        if as_node is None and len(updates) > 1:
            raise InvalidUpdateError("Each of several updates must say as_node whose it is")
        if as_node in (END, _INPUT) and len(updates) > 1:
            raise InvalidUpdateError(f"An update as_node={as_node!r} must be alone")
        if as_node == _INPUT and not isinstance(values, Mapping):
            raise InvalidUpdateError(
                f"An input is a dict of state keys; got {type(values).__name__}"
            )
        if as_node is not None and as_node not in (*nodes, END, _INPUT):
            raise InvalidUpdateError(f"as_node={as_node!r} is no node of the graph")


def _outcome(update: StateUpdate, node: str | None, graph: Topology) -> Outcome:
    """What an update writes, and where a Command in it leads."""
    writes, goto, outer = read_update(
        update.values, update.as_node or node or START, graph.channels
    )
    if outer:
        raise InvalidUpdateError("A state update cannot address a parent graph")
    return Outcome(writes, goto)


def _writer(ran: Sequence[str], *, in_the_middle: bool) -> str | None:
    """Whose update it is; None: nobody's, because part of a super-step is done."""
    if in_the_middle:
        return None
    if len(ran) > 1:
        raise InvalidUpdateError(
            f"Several nodes ran last ({', '.join(ran)}): say with as_node whose update this is"
        )
    return ran[0] if ran else START
