"""Where a run begins: with a new turn, with the tasks planned earlier, or with a Command."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from .channels import initial_values
from .checkpoint import Checkpoint, Planned, Saved
from .control import START, Command
from .errors import EmptyInputError, InvalidUpdateError
from .isolation import isolated, isolated_state
from .nodes import INPUT, check_targets, read_update
from .plan import Topology
from .position import Position
from .resume import answers_again, answers_of, waiting
from .root import input_values, shown

__all__ = ["begin", "begin_turn", "half_joins"]


def begin(position: Position, saved: Saved | None, *, forks: bool) -> bool | None:
    """Take up what the job gives. Returns whether tasks planned earlier go on; None: nothing to
    do.

    `forks`: `saved` is not the newest checkpoint, so going on from it starts a branch.
    """
    if saved is not None:
        saved = position.fitted(saved)
    given = position.job.input
    if position.job.carried_on and saved is not None:
        if isinstance(given, Command):
            position.answers = answers_again(isolated(given.resume), position.job.bound)
        position.go_on(saved)
        return True
    if given is None:
        if saved is None:
            raise EmptyInputError("There is no input, and nothing on the thread to go on with")
        position.go_on(saved, forks=forks)
        return True
    if isinstance(given, Command):
        return _begin_command(position, given, saved, forks)
    begin_turn(position, input_values(position.graph, given), saved)
    return False


def begin_turn(position: Position, given: Mapping[str, Any], saved: Saved | None) -> None:
    """A new turn: START is to take the input in, or the one node of an entrypoint; what was
    planned before is dropped. `given`: see `input_values`.
    """
    own = isolated_state(given, position.graph.untracked)
    if START in own:
        _input(position, saved, tuple(map(Planned, position.graph.nodes[START].edges)), own)
    else:
        _input(position, saved, (Planned(START, arg=shown(own)),))


def _input(
    position: Position,
    saved: Saved | None,
    planned: tuple[Planned, ...],
    written: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    before = saved.checkpoint if saved else None
    values = before.values if before else initial_values(position.graph.channels)
    changed = (*(position.dirty if before else values), *written)
    position.dirty = ()
    values = {**values, **written}
    position.append_checkpoint(
        before,
        source="input",
        values=values,
        changed=changed,
        next=planned,
        joins=half_joins(position.graph, before),
    )


def half_joins(graph: Topology, before: Checkpoint | None) -> dict[str, tuple[str, ...]]:
    """What a new turn keeps of the joins: who has arrived, but no deferred node that waited."""
    arrived = before.joins if before is not None else {}
    return {name: arrived[name] for name in graph.joins if name in arrived}


def _begin_command(
    position: Position, command: Command[Any], saved: Saved | None, forks: bool
) -> bool | None:
    plain = attrs.evolve(command, resume=None)
    if command.resume is not None and position.job.log is None:
        raise RuntimeError(
            "A Command with resume needs a thread that waits: compile the graph with "
            "checkpointer=InMemorySaver()"
        )
    writes, goto, outer = read_update(plain, INPUT, position.graph.channels)
    if outer:
        raise InvalidUpdateError("A Command given as input cannot address a parent graph")
    check_targets(goto, INPUT, position.graph.nodes)
    if saved is None:
        if not writes and not goto:
            raise EmptyInputError("There is nothing on the thread that the Command could answer")
        # As in LangGraph: on an empty thread a Command is an input too, which START takes in.
        _input(position, None, (Planned(START, arg=shown(dict(writes))),))
        position.goto = goto
        return False
    if command.resume is not None:
        job = position.job
        position.answers, position.warning = answers_of(
            isolated(command.resume), waiting(saved), job.bound, strict=job.strict_resume
        )
        if not position.answers and not writes and not goto:
            position.take_up(saved)
            if job.bound or not position.is_cut_short(forks=forks):
                return None
            position.warning = None  # nothing was asked: it says to go on
    position.go_on(saved, forks=forks)
    if writes or goto:
        position.edit(writes, goto)
    return True
