"""Checks of what callers pass. Each raises Invalid, naming the argument and the value."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from greenroom.graph.isolation import isolated
from greenroom.storage import Unstorable
from greenroom.storage.codec import INT_MAX, encode_json

from ..errors import Invalid, Refused
from ..events import CLIENT_MODES
from ..multitask import STANDING, STRATEGY_KEY
from ..views import STATE_FIELDS

__all__ = [
    "check_choice",
    "check_descending",
    "check_event_id",
    "check_mapping",
    "check_metadata",
    "check_modes",
    "check_names",
    "check_page",
    "check_select",
    "check_settings",
    "check_state_select",
    "check_text",
    "check_uuid",
    "pick",
    "pick_state",
]


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


def check_descending(sort_order: str | None) -> bool:
    """Whether the last come first, as they do where nothing is said."""
    return bool(check_choice("sort_order", sort_order or "desc", ("asc", "desc")) == "desc")


def check_page(limit: int, offset: int) -> None:
    for name, value, least in (("limit", limit, 1), ("offset", offset, 0)):
        _check_whole(name, value, least)
        if value > INT_MAX:
            raise Invalid(f"{name}: {value!r} is more than {INT_MAX}")


def check_event_id(name: str, value: str | int) -> int:
    try:
        return int(value)
    except (ValueError, TypeError):
        raise Invalid(f"{name}: {value!r} is not the id of an event") from None


def check_mapping(name: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    """A copy of a JSON object, in which nobody else changes anything; empty where None is given."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid(f"{name}: {value!r} is not an object")
    own = dict(value)
    _check_storable(name, own)
    copy: dict[str, Any] = isolated(own)
    return copy


def check_metadata(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """The metadata of a thread or an assistant, which may hold the strategy of its runs."""
    own = check_mapping("metadata", value)
    if own.get(STRATEGY_KEY) is not None:
        check_choice(f"metadata.{STRATEGY_KEY}", own[STRATEGY_KEY], STANDING)
    return own


def check_text(name: str, value: str | None) -> str | None:
    """A text that can be stored."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise Invalid(f"{name}: {value!r} is not a text")
    _check_storable(name, value)
    return value


def check_names(
    name: str, value: str | Sequence[str] | None, problem: str = "no list of names"
) -> list[str] | None:
    if value is None:
        return None
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or not all(isinstance(one, str) for one in value):
        raise Invalid(f"{name}: {value!r} is {problem}")
    return list(value)


def check_settings(
    config: Mapping[str, Any] | None, context: Mapping[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A config, and the context, which its `configurable` is another name of: None where neither is
    given. Raises Refused for both."""
    given = check_mapping("config", config)
    if (limit := given.get("recursion_limit")) is not None:
        _check_whole("config.recursion_limit", limit, 1)
    if (most := given.get("max_concurrency")) is not None:
        _check_whole("config.max_concurrency", most, 1)
    check_names("config.tags", given.get("tags"), "not a list of texts")
    configurable = given.get("configurable")
    own = check_mapping("config.configurable", configurable)
    shown = check_mapping("context", context)
    if own and shown:
        raise Refused("Give either config.configurable or context, not both")
    settings = {key: value for key, value in given.items() if value is not None}
    return settings, None if configurable is context is None else own or shown


def check_modes(
    given: str | Sequence[str], choices: Collection[str] = CLIENT_MODES
) -> tuple[str, ...]:
    """Stream modes as a tuple."""
    if not isinstance(given, Collection):
        raise Invalid(f"stream_mode: {given!r} is neither a mode nor a list of modes")
    modes = (given,) if isinstance(given, str) else tuple(given)
    for mode in modes:
        check_choice("stream_mode", mode, choices)
    return modes


def check_select(select: Collection[str] | None, fields: Collection[str]) -> Collection[str]:
    """The fields asked for; all where none are."""
    for name in select or ():
        check_choice("select", name, fields)
    return select or fields


def check_state_select(select: Collection[str] | None) -> None:
    """The fields of a state asked for; `values.<key>` is one key of its values."""
    for name in select or ():
        if not (isinstance(name, str) and name.startswith("values.") and name != "values."):
            check_choice("select", name, (*STATE_FIELDS, "values.<key>"))


def pick_state(state: dict[str, Any], select: Collection[str] | None) -> dict[str, Any]:
    """A state with the fields asked for; all where none are."""
    if not select:
        return state
    keys = [name.removeprefix("values.") for name in select if name.startswith("values.")]
    shown = pick(state, select)
    if keys and "values" not in shown:
        values = state["values"]
        shown["values"] = pick(values, keys) if isinstance(values, Mapping) else {}
    return shown


def pick(record: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    return {name: record[name] for name in fields if name in record}


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Invalid(f"{name}: {value!r} is not a whole number of at least {least}")


def _check_storable(name: str, value: object) -> None:
    try:
        encode_json(value, name)
    except Unstorable as error:
        raise Invalid(str(error)) from error
