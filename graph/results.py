"""What tasks wrote, as the checkpoint keeps it that they led to: by its place in the values where
it is found there, so that it is not stored twice. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .channels import adds_only
from .checkpoint import Checkpoint, Result
from .isolation import isolated
from .plan import Outcome, Topology
from .root import shown

__all__ = ["kept_results", "shown_results"]


def kept_results(
    graph: Topology,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    outcomes: Iterable[Outcome],
) -> tuple[Result, ...]:
    """`before`, `after`: the values around the super-step. `outcomes`: in task order."""
    outcomes = list(outcomes)
    ends = _grown(graph, before, after, outcomes)
    results = []
    for outcome in outcomes:
        result: dict[str, Sequence[Any]] = {}
        for key, value in outcome.writes:
            channel = graph.channels.get(key)
            if channel is not None and not channel.tracked:
                continue
            if key in after and _same(after[key], value):
                result[key] = []
            elif key in ends:
                start = ends[key]
                ends[key] += _length(value)
                result[key] = [start, ends[key]]
            else:
                result[key] = [isolated(value)]
        results.append(result)
    return tuple(results)


def shown_results(made: Checkpoint) -> list[Any]:
    """What the tasks wrote that led to a checkpoint, in order."""
    return [
        shown({key: _found(part, made.values.get(key)) for key, part in result.items()})
        for result in made.results
    ]


def _grown(
    graph: Topology, before: Mapping[str, Any], after: Mapping[str, Any], outcomes: list[Outcome]
) -> dict[str, int]:
    """The lengths before of the lists to which all that was written has been added at the end."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        for key, value in outcome.writes:
            counts[key] = counts.get(key, 0) + _length(value)
    lengths = {}
    for key, count in counts.items():
        old, new = before.get(key, []), after.get(key)
        if not (isinstance(old, list) and isinstance(new, list)):
            continue
        if adds_only(graph.channels.get(key)) and len(new) == len(old) + count:
            lengths[key] = len(old)
    return lengths


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # an array, say, which does not compare as a whole
        return False


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 1


def _found(part: Sequence[Any], value: Any) -> Any:
    match part:
        case [start, end]:
            return value[start:end]
        case [own]:
            return own
        case _:
            return value
