"""Edits of a state as clients write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenroom.graph import StateUpdate

from ..active import command_of
from ..errors import Invalid

__all__ = ["merged", "superstep_updates"]


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
    if values is not None and not isinstance(values, (Mapping, list)):
        raise Invalid(f"{place}.values: {values!r} is neither an object nor a list of objects")
    return StateUpdate(merged(values), update["as_node"])


def merged(
    values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any] | None:
    """`values` as one update; a list of objects counts in order."""
    if values is None:
        return None
    if isinstance(values, Mapping):
        return dict(values)
    merged: dict[str, Any] = {}
    for one in values:
        if not isinstance(one, Mapping):
            raise Invalid(f"values: {one!r} is not an object")
        merged |= one
    return merged
