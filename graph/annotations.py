"""What the annotations of nodes and conditional edges say about where they lead."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

from .control import Command

__all__ = ["destinations_of", "literal_answers"]


def destinations_of(
    given: Mapping[str, str] | Sequence[str] | None, action: Any
) -> Mapping[str, str | None]:
    """Where a node's Commands may go, with labels: as given, or as its return annotation says
    (`Command[Literal["a", "b"]]`)."""
    if given is None:
        answer = _return_type(action)
        commands = [one for one in (answer, *get_args(answer)) if get_origin(one) is Command]
        given = [name for command in commands for name in _names_in(get_args(command)[0])]
    return dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)


def literal_answers(path: Callable[..., Any]) -> dict[Hashable, str] | None:
    """What a conditional edge may answer, as its return annotation says; None if it does not."""
    answer = _return_type(path)
    if get_origin(answer) is not Literal:
        return None
    return {name: name for name in _names_in(answer)}


def _names_in(literal: Any) -> list[str]:
    """The strings of a Literal."""
    if get_origin(literal) is not Literal:
        return []
    return [name for name in get_args(literal) if isinstance(name, str)]


def _return_type(function: Any) -> Any:
    try:
        return get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):  # none, or some that cannot be resolved
        return None
