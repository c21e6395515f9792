"""Checks of what callers pass. Each raises Invalid, naming the argument and the value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from greenroom.storage import Unstorable
from greenroom.storage.codec import encode_json

from ..errors import Invalid
from ..events import CLIENT_MODES

__all__ = [
    "check_choice",
    "check_event_id",
    "check_mapping",
    "check_modes",
    "check_page",
    "check_select",
    "check_uuid",
    "pick",
]

MOST: Final = 2**63 - 1  # what databases count up to


def check_uuid(name: str, value: object) -> str:
    """`value` as the text of a UUID, in the usual form."""
    try:
        return str(UUID(str(value)))
    except ValueError:
        raise Invalid(f"{name}: {value!r} is not a UUID") from None


def check_choice(name: str, value: Any, choices: Collection[str]) -> Any:
    if value not in choices:
        known = ", ".join(map(repr, choices))
        raise Invalid(f"{name}: {value!r} is not one of {known}")
    return value


def check_page(limit: int, offset: int) -> None:
    for name, value, least in (("limit", limit, 1), ("offset", offset, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise Invalid(f"{name}: {value!r} is not a whole number of at least {least}")
        if value > MOST:
            raise Invalid(f"{name}: {value!r} is more than {MOST}")


def check_event_id(name: str, value: str | int) -> int:
    try:
        return int(value)
    except (ValueError, TypeError):
        raise Invalid(f"{name}: {value!r} is not the id of an event") from None


def check_mapping(name: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    """A JSON object as a dict of the store's own; empty where None is given."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid(f"{name}: {value!r} is not an object")
    try:
        encode_json(dict(value), name)
    except Unstorable as error:
        raise Invalid(str(error)) from error
    return dict(value)


def check_modes(given: str | Sequence[str]) -> tuple[str, ...]:
    """Stream modes as a tuple."""
    if not isinstance(given, Collection):
        raise Invalid(f"stream_mode: {given!r} is neither a mode nor a list of modes")
    modes = (given,) if isinstance(given, str) else tuple(given)
    for mode in modes:
        check_choice("stream_mode", mode, CLIENT_MODES)
    return modes


def check_select(select: Collection[str] | None, fields: Collection[str]) -> Collection[str]:
    """The fields asked for; all where none are."""
    for name in select or ():
        check_choice("select", name, fields)
    return fields if select is None else select


def pick(record: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    return {name: record[name] for name in fields if name in record}
