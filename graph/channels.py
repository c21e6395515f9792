"""Channels: how one key of the state takes the writes of a super-step.

A channel is a rule, not a container: the state itself is a plain dict of values. Names follow
`langgraph.channels`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, Literal

import attrs

from .errors import InvalidUpdateError
from .isolation import own_container

__all__ = ["MISSING", "BinaryOperatorAggregate", "Channel", "LastValue", "Missing"]


class Missing(Enum):
    MISSING = "missing"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING

Writes = Sequence[tuple[str, Any]]  # (node, value), in the order of the tasks


class Channel(ABC):
    """How a key of the state changes."""

    def initial(self) -> Any:
        """What the channel holds before anything was written, or MISSING."""
        return MISSING

    @abstractmethod
    def update(self, key: str, current: Any, writes: Writes) -> Any:
        """The value after one super-step. `writes` is not empty."""


@attrs.frozen
class LastValue(Channel):
    """Holds what was written last; one writer in a super-step."""

    def update(self, key: str, current: Any, writes: Writes) -> Any:
        if len(writes) > 1:
            nodes = ", ".join(repr(node) for node, _ in writes)
            raise InvalidUpdateError(
                f"State key {key!r} was written more than once in one super-step, by {nodes}. "
                f"Give it a reducer: Annotated[<type>, <reducer>]."
            )
        return writes[0][1]


@attrs.frozen
class BinaryOperatorAggregate(Channel):
    """Folds what is written into what is there with `operator`, the key's reducer.

    `kind`: called without arguments for the first value; where that does not work, the first write
    is the first value.
    """

    kind: Callable[[], Any]
    operator: Callable[[Any, Any], Any]

    def initial(self) -> Any:
        try:
            return self.kind()
        except Exception:
            return MISSING

    def update(self, key: str, current: Any, writes: Writes) -> Any:
        current = own_container(current)
        for _, value in writes:
            current = value if current is MISSING else self.operator(current, value)
        return current


def initial_values(channels: Mapping[str, Channel]) -> dict[str, Any]:
    """The state before the first input."""
    started = ((key, channel.initial()) for key, channel in channels.items())
    return {key: value for key, value in started if value is not MISSING}
