"""States that are one value and have no keys: of an entrypoint, and of a graph declared so.

The value has a channel of a reserved name all the same; callers see it without.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .checkpoint import RETURN
from .control import END, ROOT, START

__all__ = ["asking", "shown"]


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
