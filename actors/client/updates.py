"""Edits of a state as clients write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.graph import StateUpdate

from ..active import command_of
from ..errors import Invalid, Refused

__all__ = ["superstep_updates", "update_of"]


def superstep_updates(supersteps: Sequence[Mapping[str, Any]]) -> list[list[StateUpdate]]:
    """The updates of each super-step. Raises Invalid."""
    return [
        [_update(update, f"supersteps[{at}].updates[{n}]") for n, update in enumerate(updates)]
        for at, updates in enumerate(map(_updates_of, supersteps))
    ]


def _updates_of(superstep: Any) -> Sequence[Any]:
    updates = superstep.get("updates") if isinstance(superstep, Mapping) else None
    if not isinstance(updates, list) or not updates:
        raise Invalid(f"supersteps: {superstep!r} has no list of updates")
    return updates


def _update(update: Any, place: str) -> StateUpdate:
    if not isinstance(update, Mapping) or not isinstance(update.get("as_node"), str):
        raise Invalid(f"{place}: {update!r} has no text as its as_node")
    command, values = update.get("command"), update.get("values")
    if command is not None:
        if not isinstance(command, Mapping):
            raise Invalid(f"{place}.command: {command!r} is not an object")
        return StateUpdate(command_of(dict(command)), update["as_node"])
    return StateUpdate(update_of(f"{place}.values", values), update["as_node"])


def update_of(place: str, values: Any) -> dict[str, Any] | None:
    """The values of one update. Raises Refused for a list of them, Invalid."""
    if isinstance(values, list):
        raise Refused(f"{place}: {values!r} is a list; an update is one object")
    if values is not None and not isinstance(values, Mapping):
        raise Invalid(f"{place}: {values!r} is not an object")
    return None if values is None else dict(values)
