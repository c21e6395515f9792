"""From a state type to its channels, and from values to what a node is given."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections import abc
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any, NotRequired, Required, get_args, get_origin, get_type_hints
from typing import NotRequired as NotRequiredExt
from typing import Required as RequiredExt

import attrs
from typing_extensions import is_typeddict

from .channels import BinaryOperatorAggregate, Channel, LastValue
from .chat import MessageReducer
from .control import ROOT
from .isolation import isolated
from .managed import ManagedValue
from .objects import is_pydantic

__all__ = ["Schema", "as_update", "declared_state", "has_keys", "is_state_type"]

_WRAPPERS = {Required, NotRequired, RequiredExt, NotRequiredExt}
# What an abstract annotation starts out as.
_CONCRETE: Mapping[Any, Callable[[], Any]] = {
    abc.Sequence: list,
    abc.MutableSequence: list,
    abc.Set: set,
    abc.MutableSet: set,
    abc.Mapping: dict,
    abc.MutableMapping: dict,
}


@attrs.frozen(eq=False)
class Schema:
    """A state type: its keys, and what a node that reads it is given.

    `build`: makes an instance from values by key; None for a TypedDict, which is read as a dict.
    """

    kind: Any
    channels: Mapping[str, Channel]
    managed: Mapping[str, type[ManagedValue]]
    build: Callable[[dict[str, Any]], Any] | None

    @classmethod
    def of(cls, kind: Any) -> Schema:
        """The schema of a TypedDict, dataclass, attrs class or Pydantic model.

        `Annotated[type, reducer]` folds with the reducer, a function of two arguments;
        `Annotated[type, channel]` is that channel; any other key holds the last value. Such an
        annotation by itself declares a state that is one value. Raises TypeError for a type that
        declares neither, and for channels of LangGraph's own; ValueError for a reserved key.
        """
        names = _names(kind)
        if names is None and get_origin(kind) is Annotated:
            channel = _channel(ROOT, kind)
            if isinstance(channel, Channel):
                return cls.of_value(ROOT, channel)
        if names is None:
            raise TypeError(
                f"The state of a graph is declared as a TypedDict, a dataclass, an attrs class, a "
                f"Pydantic model, or one value with its reducer, Annotated[<type>, <reducer>]; got "
                f"{kind!r}"
            )
        if ROOT in names:
            raise ValueError(
                f"State key {ROOT!r} is reserved: a state that is one value is declared as "
                f"Annotated[<type>, <reducer>] itself"
            )
        hints = get_type_hints(kind, include_extras=True)
        declared = {key: _channel(key, hints[key]) for key in names}
        return cls(
            kind=kind,
            channels={k: c for k, c in declared.items() if isinstance(c, Channel)},
            managed={k: c for k, c in declared.items() if not isinstance(c, Channel)},
            build=None if is_typeddict(kind) else lambda given: _built(kind, names, given),
        )

    @classmethod
    def of_value(cls, key: str, channel: Channel) -> Schema:
        """The schema of a state without keys: a node is given the value of the one channel."""
        return cls(Any, {key: channel}, {}, lambda given: given.get(key))

    def select(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of this schema's keys, in the order of its declaration."""
        return {key: values[key] for key in self.channels if key in values}

    def read(self, values: Mapping[str, Any], remaining: int, node: str) -> Any:
        """What `node` is given: a copy of its own, but for what is untracked.

        `remaining`: see `ManagedValue`. Raises what the type raises for values that it does not
        take, with a note that says so.
        """
        given = {
            key: isolated(values[key]) if channel.tracked else values[key]
            for key, channel in self.channels.items()
            if key in values
        }
        for key, manager in self.managed.items():
            given[key] = manager.get(remaining)
        if self.build is None:
            return given
        try:
            return self.build(given)
        except Exception as error:
            error.add_note(f"Raised when the state was read as {self.kind.__name__}, for {node!r}")
            raise


def is_state_type(kind: Any) -> bool:
    """Whether `Schema.of` takes it."""
    return isinstance(kind, type) and _names(kind) is not None


def declared_state(function: Callable[..., Any]) -> Any:
    """The state type that a function's first parameter is annotated with, or None."""
    while isinstance(function, functools.partial):
        function = function.func
    called = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    try:
        hints = get_type_hints(called)
        first = next(iter(inspect.signature(called).parameters), "")
    except (NameError, TypeError, AttributeError, ValueError):
        return None  # no annotations, or some that cannot be resolved
    hint = hints.get(first)
    return hint if is_state_type(hint) else None


def has_keys(value: Any, keys: Collection[str]) -> bool:
    """Whether it is an instance of a state type that declares one of these keys."""
    names = _names(type(value))
    return names is not None and any(key in keys for key in names)


def as_update(value: Any) -> dict[str, Any] | None:
    """The values by key of an instance of a state type; None for anything else.

    Of a Pydantic model, fields that were not set and are None are left out, as LangGraph does.
    """
    kind = type(value)
    names = _names(kind)
    if names is None:
        return None
    update = {key: getattr(value, key) for key in names}
    if is_pydantic(kind):
        return {k: v for k, v in update.items() if v is not None or k in value.model_fields_set}
    return update


def _names(kind: Any) -> Mapping[str, str] | None:
    """The keys of a state type, with the names that its constructor has for them."""
    if is_typeddict(kind):
        return {key: key for key in get_type_hints(kind)}
    if is_pydantic(kind):
        return {key: key for key in kind.model_fields}
    if attrs.has(kind):
        return {field.name: field.alias or field.name for field in attrs.fields(kind) if field.init}
    if dataclasses.is_dataclass(kind):
        return {field.name: field.name for field in dataclasses.fields(kind) if field.init}
    return None


def _built(kind: Any, names: Mapping[str, str], given: dict[str, Any]) -> Any:
    return kind(**{names[key]: value for key, value in given.items()})


def _channel(key: str, hint: Any) -> Channel | type[ManagedValue]:
    while get_origin(hint) in _WRAPPERS:
        hint = get_args(hint)[0]
    if get_origin(hint) is not Annotated:
        return LastValue()
    declared, *extras = get_args(hint)
    for extra in extras:
        _refuse_foreign(key, extra)
        if isinstance(extra, Channel):
            return extra
        if isinstance(extra, type) and issubclass(extra, ManagedValue):
            return extra
        if isinstance(extra, type) and issubclass(extra, Channel):
            return extra(declared)  # type: ignore[call-arg]  # they take the type first
    reducer = extras[-1]
    if not callable(reducer) or isinstance(reducer, type):
        return LastValue()
    if not _takes_two(reducer):
        raise ValueError(
            f"The reducer of state key {key!r} must take two arguments (current, update); "
            f"got {reducer!r}"
        )
    kind = get_origin(declared) or declared
    operator = MessageReducer.declared(reducer, declared)
    return BinaryOperatorAggregate(_CONCRETE.get(kind, kind), operator)


def _refuse_foreign(key: str, extra: Any) -> None:
    """Raises TypeError for LangGraph's own channels and managed values, which would be taken for a
    remark, and their key for one that keeps the last value."""
    module = (extra if isinstance(extra, type) else type(extra)).__module__
    if module.startswith(("langgraph.channels", "langgraph.managed")):
        raise TypeError(
            f"State key {key!r} is annotated with {extra!r} of {module}: channels and managed "
            f"values are imported from greenroom.graph"
        )


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return True
    try:
        signature.bind(None, None)
    except TypeError:
        return False
    return True
