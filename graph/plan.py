"""Planning: from a state and what tasks wrote to the next state and the next tasks. No I/O, no
clock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import attrs

from .channels import MISSING, Channel
from .checkpoint import PendingWrites, Planned
from .control import END, ROOT, START, Send
from .nodes import Node
from .root import shown

__all__ = [
    "Advance",
    "Join",
    "Outcome",
    "Topology",
    "advance",
    "apply_step",
    "apply_writes",
    "deferring",
    "handler_of",
    "plan_targets",
    "settled",
]


@attrs.define
class Outcome:
    """What a task came to. `goto`: where its conditional edges and Commands lead; static edges are
    the graph's to know, and not taken where an error handler stepped in (`handled`)."""

    writes: tuple[tuple[str, Any], ...] = ()
    goto: tuple[str | Send, ...] = ()
    handled: bool = False

    @property
    def result(self) -> Any:
        """What the task wrote, as the stream shows it; None if nothing, and a list where it wrote a
        key more than once."""
        if not self.writes:
            return None
        parts: list[dict[str, Any]] = [{}]
        for key, value in self.writes:
            if key in parts[-1]:
                parts.append({})
            parts[-1][key] = value
        several = [shown(part) for part in parts]
        return several if len(several) > 1 else several[0]


@attrs.frozen
class Join:
    """An edge from several nodes: its target runs once all of them have."""

    sources: tuple[str, ...]
    target: str


@attrs.frozen
class Topology:
    """The parts of a compiled graph that planning reads.

    `joins`: the edges from several nodes, by name. `inputs`, `outputs`: the keys that an input may
    have, and those that a result has. `places`: the nodes and their error handlers, as the places
    of graphs inside are called after them.
    """

    channels: Mapping[str, Channel]
    nodes: Mapping[str, Node]
    joins: Mapping[str, Join]
    inputs: Collection[str]
    outputs: Collection[str]
    fading: tuple[str, ...] = attrs.field(init=False)
    untracked: tuple[str, ...] = attrs.field(init=False)
    deferred: tuple[str, ...] = attrs.field(init=False)
    places: Mapping[str, Node] = attrs.field(init=False)

    @property
    def whole(self) -> bool:
        """Whether inputs are one value, without keys, and results too."""
        return self.inputs in ((START,), (ROOT,))

    @property
    def is_function(self) -> bool:
        """Whether it is an entrypoint's, whose input is an argument and no part of a state."""
        return self.inputs == (START,)

    @fading.default
    def _fading(self) -> tuple[str, ...]:
        return tuple(key for key, channel in self.channels.items() if channel.fades)

    @untracked.default
    def _untracked(self) -> tuple[str, ...]:
        return tuple(key for key, channel in self.channels.items() if not channel.tracked)

    @deferred.default
    def _deferred(self) -> tuple[str, ...]:
        return tuple(name for name, node in self.nodes.items() if node.defer)

    @places.default
    def _places(self) -> Mapping[str, Node]:
        handlers = [node.error_handler for node in self.nodes.values() if node.error_handler]
        return {**self.nodes, **{handler.name: handler for handler in handlers}}


@attrs.define
class Advance:
    """The state after a super-step, the keys that changed, and what comes next."""

    values: Mapping[str, Any]
    changed: tuple[str, ...]
    next: tuple[Planned, ...]
    joins: Mapping[str, tuple[str, ...]]


def handler_of(node: str) -> str:
    """What a node's error handler is called in the log and in streams."""
    return f"__error_handler__{node}"


def apply_writes(
    channels: Mapping[str, Channel],
    values: Mapping[str, Any],
    writes: Iterable[tuple[str, str, Any]],
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """New values and the keys that changed, from (node, key, value) writes in order.

    Raises InvalidUpdateError where a channel cannot take its writes, and whatever a reducer raises.
    """
    by_key: dict[str, list[tuple[str, Any]]] = {}
    for node, key, value in writes:
        by_key.setdefault(key, []).append((node, value))
    changed = dict(values)
    for key, wrote in by_key.items():
        value = channels[key].update(key, values.get(key, MISSING), wrote)
        if value is MISSING:
            changed.pop(key, None)
        else:
            changed[key] = value
    return changed, tuple(by_key)


def settled(
    graph: Topology,
    values: Mapping[str, Any],
    planned: Sequence[Planned],
    pending: Mapping[str, PendingWrites],
) -> Mapping[str, Any]:
    """`values` with what those of the `planned` tasks have written that are finished, while their
    siblings are not. As they are where the writes of these cannot be applied by themselves."""
    writes = [
        (task.node, key, value)
        for task in planned
        if (so_far := pending.get(task.id)) is not None
        for key, value in so_far.writes or ()
    ]
    try:
        return apply_writes(graph.channels, values, writes)[0] if writes else values
    except Exception:  # a reducer's own too; the super-step says so when it comes to its end
        return values


def apply_step(
    graph: Topology, values: Mapping[str, Any], writes: Iterable[tuple[str, str, Any]]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """As `apply_writes`, of a super-step: what fades and was not written is gone."""
    after, changed = apply_writes(graph.channels, values, writes)
    gone = tuple(key for key in graph.fading if key in after and key not in changed)
    for key in gone:
        del after[key]
    return after, (*changed, *gone)


def advance(
    graph: Topology,
    values: Mapping[str, Any],
    joins: Mapping[str, tuple[str, ...]],
    finished: Sequence[tuple[Planned, Outcome]],
    also: Sequence[str | Send] = (),
    beside: Sequence[Planned] = (),
) -> Advance:
    """Apply the writes of a whole super-step and plan the next.

    `finished`: in task order. `also`: targets that no task named, of a Command given as input.
    `beside`: tasks that stay planned.
    """
    writes = [
        (task.node, key, value) for task, outcome in finished for key, value in outcome.writes
    ]
    values, changed = apply_step(graph, values, writes)
    targets: list[str | Send] = list(also)
    arrived = dict(joins)
    for task, outcome in finished:
        targets += outcome.goto
        if outcome.handled:
            continue
        node = graph.nodes[task.node]
        targets += node.edges
        for name in node.joins:
            arrived[name] = tuple(dict.fromkeys((*arrived.get(name, ()), task.node)))
    for name, join in graph.joins.items() if arrived else ():
        if len(arrived.get(name, ())) == len(join.sources):
            del arrived[name]
            targets.append(join.target)
    now: Sequence[str | Send] = targets
    if graph.deferred:
        now, arrived = deferring(graph.deferred, targets, arrived, beside)
    return Advance(values, changed, plan_targets(now, beside), arrived)


def deferring(
    deferred: Sequence[str],
    targets: Sequence[str | Send],
    joins: Mapping[str, tuple[str, ...]],
    beside: Sequence[Planned],
) -> tuple[Sequence[str | Send], dict[str, tuple[str, ...]]]:
    """The targets of now: deferred ones wait among the joins until there are no others.

    A `Send` to a deferred node is a task of its own and does not wait.
    """
    arrived = dict(joins)
    now: list[str | Send] = []
    for target in targets:
        if target in deferred:
            arrived[f":{target}"] = ()  # a join with no sources: it waits for all that is left
        elif target != END:
            now.append(target)
    if now or beside:
        return now, arrived
    return [name for name in deferred if arrived.pop(f":{name}", None) is not None], arrived


def plan_targets(
    targets: Iterable[str | Send], beside: Sequence[Planned] = ()
) -> tuple[Planned, ...]:
    """Tasks for the next super-step, in task order; a node reached twice by edges runs once.

    `beside`: tasks that are planned already, and stay.
    """
    targets = list(targets)
    if not beside and len(targets) == 1 and isinstance(targets[0], str):  # as mostly
        return () if targets[0] == END else (Planned(targets[0]),)
    pulls = {task.node: task for task in beside if task.index is None}
    sends = [task for task in beside if task.index is not None]
    free = max((task.index for task in sends if task.index is not None), default=-1) + 1
    for target in targets:
        if isinstance(target, Send):
            sends.append(Planned(target.node, free, target.arg))
            free += 1
        elif target != END:
            pulls.setdefault(target, Planned(target))
    return (*(pulls[node] for node in sorted(pulls)), *sends)
