"""Editing a thread's state by hand, as if a node had written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from .attempt import Task
from .beginning import begin_turn, half_joins
from .checkpoint import Checkpoint, Planned
from .control import END, START, StateUpdate
from .errors import InvalidUpdateError
from .execute import Execution
from .job import Job
from .nodes import INPUT, check_targets, read_update
from .plan import Advance, Outcome, Topology, advance, apply_writes
from .position import Position
from .root import input_values, shown
from .work import leave
from .world import entered_world

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph

__all__ = ["check_updates", "take_in", "update_state"]

_COPY = "__copy__"


async def update_state(
    compiled: CompiledStateGraph, job: Job, updates: Sequence[StateUpdate]
) -> Checkpoint:
    """Append an `update` checkpoint to the job's log and return it.

    Behaves as if each `as_node` had returned its `values` (a dict, or None for no change) in one
    super-step and its edges had been followed; without `as_node`, the node that ran last; on an
    empty thread, START, or the entrypoint. Tasks that had finished keep what they wrote; their
    siblings go on waiting, unless `as_node` is another; END, which takes no values, drops them.
    `__input__` begins a new turn with the values, as a run would; `__copy__` forks, with the values
    as they are and all tasks still to do.

    Raises InvalidUpdateError for an unknown `as_node`, or where it is not given and several ran
    last, or there are several updates; ValueError for no updates.
    """
    assert job.log is not None
    check_updates(updates, compiled.topology)
    run = Execution(compiled, job)
    position, graph = run.position, run.graph
    saved = await job.log.load(position.ns, job.checkpoint_id)
    if saved is None and job.checkpoint_id is not None:
        raise ValueError(f"There is no checkpoint {job.checkpoint_id!r} on this thread")
    if saved is not None:
        saved = position.fitted(saved)
        position.take_up(saved)
        position.stay(saved.checkpoint)
    else:
        position.take_up_nothing()
    values, as_node = updates[0]
    if as_node == INPUT:
        begin_turn(position, input_values(graph, values), saved)
        return position.at
    if as_node == _COPY:
        if saved is None:
            raise InvalidUpdateError("There is no checkpoint to copy on this thread")
        position.fork()
        return position.at
    at = position.at
    finished = [(task, outcome) for task in at.next if (outcome := position.outcome(task))]
    waiting = [task.afresh() for task in at.next if position.outcome(task) is None]
    node = as_node or _writer(at.ran or _first(graph), in_the_middle=bool(finished))
    outcomes = [_outcome(update, update.as_node or node or START, graph) for update in updates]
    names = [update.as_node or node for update in updates]
    with entered_world(job.world):
        if node == END:
            after = attrs.evolve(advance(graph, at.values, at.joins, finished), next=(), joins={})
        elif node is None:
            # Part of the super-step is done: the rest of it goes on waiting.
            after = advance(graph, at.values, at.joins, finished, beside=waiting)
            named = ((START, key, value) for key, value in outcomes[0].writes)
            edited, changed = apply_writes(graph.channels, after.values, named)
            after = attrs.evolve(after, values=edited, changed=(*after.changed, *changed))
        else:
            for update, own in zip(updates, outcomes, strict=True):
                name = update.as_node or node
                planned = Planned(name).identified(at.id)
                led = await leave(Task(run, planned, at.values), own.writes, update.values)
                goto = (*own.goto, *led)
                check_targets(goto, name, graph.nodes)
                finished.append((planned, Outcome(own.writes, goto)))
            is_one = any(task.node in names for task in waiting)
            beside = [task for task in waiting if is_one and task.node not in names]
            after = advance(graph, at.values, at.joins, finished, beside=beside)
    ran = tuple(dict.fromkeys(task.node for task, _ in finished)) or at.ran
    if position.ns:
        # The run around it knows the questions in here, which stay those of the same tasks.
        kept = [task for task in at.next if task.node not in names]
        after = attrs.evolve(after, next=_same(after.next, kept))
    pending = position.pending
    position.move(after, "update", ran)
    position.keep(pending)
    return position.at


async def take_in(compiled: CompiledStateGraph, job: Job) -> Checkpoint:
    """Append the job's input as one `input` checkpoint without running a node.

    As by any new turn, what was planned before is dropped. START stays planned, so that its edges
    are followed if the thread is gone on with.
    """
    assert job.log is not None
    position, channels = Position(compiled.topology, job), compiled.topology.channels
    saved = await job.log.load(position.ns)
    if saved is not None:
        saved = position.fitted(saved)
    given = input_values(compiled.topology, job.input)
    if compiled.topology.is_function:  # it has nothing that the input could become part of
        begin_turn(position, given, saved)
        return position.at
    if saved is not None:
        position.take_up(saved)
    else:
        position.take_up_nothing()
    writes, _, _ = read_update(shown(given), START, channels)
    with entered_world(job.world):
        named = ((START, key, value) for key, value in writes)
        values, changed = apply_writes(channels, position.at.values, named)
    planned, joins = (Planned(START),), half_joins(position.graph, position.at)
    position.move(Advance(values, changed, planned, joins), "input", ())
    return position.at


def check_updates(updates: Sequence[StateUpdate], graph: Topology) -> None:
    """Raises ValueError or InvalidUpdateError for updates that cannot be one super-step."""
    if not updates:
        raise ValueError("A super-step of updates needs at least one")
    for values, as_node in updates:
        if as_node is None and len(updates) > 1:
            raise InvalidUpdateError("Each of several updates must say as_node whose it is")
        if as_node in (END, INPUT, _COPY) and len(updates) > 1:
            raise InvalidUpdateError(f"An update as_node={as_node!r} must be alone")
        if as_node == INPUT:
            input_values(graph, values)
        if as_node in (END, _COPY) and values is not None:
            raise InvalidUpdateError(
                f"An update as_node={as_node!r} takes no values; got {type(values).__name__}"
            )
        if as_node is not None and as_node not in (*graph.nodes, END, INPUT, _COPY):
            raise InvalidUpdateError(f"as_node={as_node!r} is no node of the graph")


def _outcome(update: StateUpdate, node: str, graph: Topology) -> Outcome:
    """What an update writes, and where a Command in it leads."""
    if node in graph.nodes:
        writes, goto, outer = graph.nodes[node].read(update.values, graph.channels)
    else:
        writes, goto, outer = read_update(update.values, node, graph.channels)
    if outer:
        raise InvalidUpdateError("A state update cannot address a parent graph")
    return Outcome(writes, goto)


def _same(planned: Sequence[Planned], before: Sequence[Planned]) -> tuple[Planned, ...]:
    """Planned tasks, as those from before where they do the same."""
    known = {task: task for task in before}
    return tuple(
        old if (old := known.get(task)) and (task.index is None or task.arg is old.arg) else task
        for task in planned
    )


def _writer(ran: Sequence[str], *, in_the_middle: bool) -> str | None:
    """Whose update it is; None: nobody's, because part of a super-step is done."""
    if in_the_middle:
        return None
    if len(ran) > 1:
        raise InvalidUpdateError(
            f"Several nodes ran last ({', '.join(ran)}): say with as_node whose update this is"
        )
    return ran[0]


def _first(graph: Topology) -> tuple[str, ...]:
    """Whose update it is where nothing ran: of an entrypoint, what it might have returned."""
    if not graph.is_function:
        return (START,)
    return tuple(node for node in graph.nodes if node != START)
