"""States that are one value and have no keys: of an entrypoint, and of a graph declared so.

The value has a channel of a reserved name all the same; callers see it without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .checkpoint import RETURN
from .control import END, ROOT, START
from .errors import InvalidUpdateError
from .schema import as_update, has_keys

if TYPE_CHECKING:
    from .plan import Topology

__all__ = ["asking", "input_values", "shown"]


def shown(values: Mapping[str, Any]) -> Any:
    """A state, or what a task wrote, as callers see it: as it is, or the one value of it; None for
    an entrypoint that has not returned yet.
    """
    for key in (END, ROOT, RETURN):
        if key in values:
            return values[key]
    return None if START in values else values


def asking(values: Any, interrupts: Sequence[Any]) -> dict[str, Any]:
    """A result of a run that has paused to ask."""
    return {**(values if isinstance(values, dict) else {}), "__interrupt__": interrupts}


def input_values(graph: Topology, given: Any) -> dict[str, Any]:
    """The input of a turn, by key. Raises InvalidUpdateError for what the graph does not take."""
    if graph.whole:
        return dict.fromkeys(graph.inputs, given)
    if not isinstance(given, Mapping):
        if not has_keys(given, graph.inputs):
            raise InvalidUpdateError(
                f"The input of a graph is a dict of state keys, an instance of its state "
                f"type, a Command or None; got {type(given).__name__}"
            )
        given = as_update(given) or {}
    return {key: given[key] for key in given if key in graph.inputs}
