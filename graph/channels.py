"""Channels: how one key of the state takes the writes of a super-step.

A channel is a rule, not a container: the state itself is a plain dict of values. Names follow
`langgraph.channels`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import BuiltinFunctionType
from typing import Any, ClassVar, Final, Literal

import attrs

from .control import Overwrite
from .errors import InvalidUpdateError
from .isolation import isolated, own_container

__all__ = [
    "MISSING",
    "AnyValue",
    "BinaryOperatorAggregate",
    "Channel",
    "EphemeralValue",
    "LastValue",
    "Missing",
    "Topic",
    "UntrackedValue",
    "adds_only",
]


class Missing(Enum):
    MISSING = "missing"


MISSING: Final[Literal[Missing.MISSING]] = Missing.MISSING

Writes = Sequence[tuple[str, Any]]  # (node, value), in the order of the tasks


class Channel(ABC):
    """How a key of the state changes.

    The `kind` that channels take is the type of their values, for the reader and no part of the
    rule. `fades`: whether the key is gone after a super-step in which nobody wrote it. `tracked`:
    whether checkpoints have it.
    """

    fades: bool = False
    tracked: ClassVar[bool] = True

    def initial(self) -> Any:
        """What the channel holds before anything was written, or MISSING."""
        return MISSING

    @abstractmethod
    def update(self, key: str, current: Any, writes: Writes) -> Any:
        """The value after one super-step, or MISSING. `writes` is not empty."""


@attrs.frozen
class LastValue(Channel):
    """Holds what was written last; one writer in a super-step."""

    kind: Any = attrs.field(default=Any, eq=False)

    def update(self, key: str, current: Any, writes: Writes) -> Any:
        _check_single(key, writes, "Give it a reducer: Annotated[<type>, <reducer>].")
        return _last(writes)


@attrs.frozen
class AnyValue(Channel):
    """Holds what was written last, of writers who are taken to agree, until a super-step in which
    nobody wrote it."""

    fades = True
    kind: Any = attrs.field(default=Any, eq=False)

    def update(self, key: str, current: Any, writes: Writes) -> Any:
        return _last(writes)


@attrs.frozen
class EphemeralValue(Channel):
    """Holds what was written for the one super-step after it.

    `guard`: refuse several writers in a super-step; otherwise the last of them counts.
    """

    fades = True
    kind: Any = attrs.field(default=Any, eq=False)
    guard: bool = True

    def update(self, key: str, current: Any, writes: Writes) -> Any:
        if self.guard:
            _check_single(key, writes, "EphemeralValue(guard=False) takes the last of several.")
        return _last(writes)


@attrs.frozen
class UntrackedValue(Channel):
    """Holds what was written last while a run lasts, and is never in a checkpoint.

    For what cannot or should not be stored. It is no copy that nodes get, but the value itself.
    `guard`: as of `EphemeralValue`.
    """

    tracked = False
    kind: Any = attrs.field(default=Any, eq=False)
    guard: bool = True

    def update(self, key: str, current: Any, writes: Writes) -> Any:
        if self.guard:
            _check_single(key, writes, "UntrackedValue(guard=False) takes the last of several.")
        return _last(writes)


@attrs.frozen
class Topic(Channel):
    """Collects what was written, a value or a list of them at a time, into a list.

    `accumulate`: over the whole thread; otherwise the list is that of the last super-step. An empty
    list is no value: the key is not there.
    """

    kind: Any = attrs.field(default=Any, eq=False)
    accumulate: bool = False
    fades: bool = attrs.field(init=False)

    @fades.default
    def _fades(self) -> bool:
        return not self.accumulate

    def update(self, key: str, current: Any, writes: Writes) -> Any:
        held = [] if current is MISSING or not self.accumulate else list(current)
        for _, value in writes:
            held += value if isinstance(value, list) else [value]
        return held or MISSING


def _operator_identity(operator: Callable[[Any, Any], Any]) -> Any:
    """What tells reducers apart; lambdas written twice are the same as far as one can see."""
    name = getattr(operator, "__name__", None)
    return name if name == "<lambda>" else operator


@attrs.frozen
class BinaryOperatorAggregate(Channel):
    """Folds what is written into what is there with `operator`, the key's reducer.

    `kind`: called without arguments for the first value; where that does not work, the first write
    is the first value. An `Overwrite` takes the place of what is there and of the other writes.
    """

    kind: Callable[[], Any] = attrs.field(eq=False)
    operator: Callable[[Any, Any], Any] = attrs.field(eq=_operator_identity)

    def initial(self) -> Any:
        try:
            return self.kind()
        except Exception:
            return MISSING

    def update(self, key: str, current: Any, writes: Writes) -> Any:
        replacing = [(node, value) for node, value in writes if Overwrite.is_one(value)]
        if len(replacing) > 1:
            nodes = ", ".join(repr(node) for node, _ in replacing)
            raise InvalidUpdateError(
                f"State key {key!r} was given more than one Overwrite in one super-step, by {nodes}"
            )
        if replacing:
            return isolated(Overwrite.content(replacing[0][1]))
        # What the state holds is never changed in place: the log goes by that.
        copied = own_container if _only_adds(self.operator) else isolated
        current = copied(current)
        for _, written in writes:
            value = copied(written)
            current = value if current is MISSING else self.operator(current, value)
        return current


def adds_only(channel: Channel | None) -> bool:
    """Whether a list of the channel is known to have what is written to it at its end, if it has
    grown by that much."""
    return isinstance(channel, BinaryOperatorAggregate) and _only_adds(channel.operator)


def _only_adds(reducer: Callable[[Any, Any], Any]) -> bool:
    """Whether a reducer is known to change at most the container that it is given: a long list of
    messages is not copied to its depths each time that it grows."""
    return isinstance(reducer, BuiltinFunctionType) or getattr(reducer, "only_adds", False)


def _check_single(key: str, writes: Writes, advice: str) -> None:
    if len(writes) > 1:
        nodes = ", ".join(repr(node) for node, _ in writes)
        raise InvalidUpdateError(
            f"State key {key!r} was written more than once in one super-step, by {nodes}. {advice}"
        )


def _last(writes: Writes) -> Any:
    value = writes[-1][1]
    return isolated(value.value) if type(value) is Overwrite else value


def initial_values(channels: Mapping[str, Channel]) -> dict[str, Any]:
    """The state before the first input."""
    started = ((key, channel.initial()) for key, channel in channels.items())
    return {key: value for key, value in started if value is not MISSING}
