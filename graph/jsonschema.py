"""JSON Schemas of the types that a graph declares."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Mapping
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints

import attrs
import msgspec
from typing_extensions import is_typeddict

from .schema import is_state_type

__all__ = ["json_schema", "state_title", "value_schema"]

Schema = dict[str, Any]

_REF = "#/$defs/{name}"
_NO_DEFAULT = object()
_FACTORY: Any = type(attrs.Factory(list))


def json_schema(declared: type[Any], keys: Collection[str] | None = None) -> Schema:
    """The schema of a TypedDict, dataclass, attrs class or Pydantic model, of `keys` only where
    they are given.

    Never fails: a type that has no schema is described by its name alone, and an annotation that
    cannot be understood by `{}`, which allows anything.
    """
    defs: dict[str, Schema] = {}
    if hasattr(declared, "model_json_schema"):
        whole = _of_model(declared, defs)
        if "$ref" in whole:  # it refers to itself
            whole = defs[declared.__name__]
        properties, needed = whole.get("properties", {}), whole.get("required", [])
    else:
        hints = _hints(declared)
        defaults, needed = _defaults(declared), _required(declared)
        properties = {name: _property(name, hint, defs) for name, hint in hints.items()}
        for name in defaults.keys() & properties.keys():
            properties[name] = {**properties[name], **_default(defaults[name])}
    schema: Schema = {
        "title": declared.__name__,
        "type": "object",
        "properties": {name: of for name, of in properties.items() if keys is None or name in keys},
    }
    if required := [name for name in schema["properties"] if name in needed]:
        schema["required"] = required
    if defs:
        schema["$defs"] = defs
    return schema


def state_title(name: str) -> str:
    """What the schema of a state is called, by the graph's name, as in LangGraph."""
    return f"{name}State" if name[:1].isupper() else f"{name}_state"


def value_schema(hint: Any) -> Schema:
    """The schema of an annotation, whatever it is. Never fails, as `json_schema`."""
    if is_state_type(hint):
        return json_schema(hint)
    defs: dict[str, Schema] = {}
    schema = _property("", hint, defs)
    return {**schema, "$defs": defs} if defs else schema


def _property(name: str, hint: Any, defs: dict[str, Schema]) -> Schema:
    def hook(unknown: Any) -> Schema:
        if hasattr(unknown, "model_json_schema"):
            return _of_model(unknown, defs)
        return {"title": getattr(unknown, "__name__", str(unknown))}

    try:
        (schema,), found = msgspec.json.schema_components(
            [hint], schema_hook=hook, ref_template=_REF
        )
    except Exception:  # what msgspec and a type's own schema raise is theirs to choose
        if not _has_model(hint):
            return {}
        schema, found = _by_pydantic(hint)
    defs.update({name: _spelt_out(one) for name, one in found.items()})
    spelt: Schema = _spelt_out(schema)
    if "$ref" in spelt or not name:
        return spelt
    return {"title": name.replace("_", " ").title(), **spelt}


def _spelt_out(schema: Any) -> Any:
    """Arrays and objects of anything say so: some clients take no array without `items`."""
    if isinstance(schema, list):
        return [_spelt_out(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    spelt = {
        key: one if key in ("default", "const", "enum") else _spelt_out(one)
        for key, one in schema.items()
    }
    if spelt.get("type") == "array":
        spelt.setdefault("items", {})
    elif spelt.get("type") == "object" and "properties" not in spelt:
        spelt.setdefault("additionalProperties", True)
    return spelt


def _has_model(hint: Any) -> bool:
    return hasattr(hint, "model_json_schema") or any(map(_has_model, get_args(hint)))


def _by_pydantic(hint: Any) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a type that has Pydantic models in it and is too much for msgspec, such as a
    union of them, and of what it refers to."""
    try:
        schema: Schema = sys.modules["pydantic"].TypeAdapter(hint).json_schema()
    except Exception:  # as above
        return {}, {}
    return schema, schema.pop("$defs", {})


def _of_model(model: Any, defs: dict[str, Schema]) -> Schema:
    """A Pydantic model's own schema; what it refers to goes to `defs`."""
    try:
        schema: Schema = model.model_json_schema()
    except Exception:  # a model may hold what JSON knows nothing of, and says so in its own way
        return {"title": model.__name__}
    defs.update(schema.pop("$defs", {}))
    return schema


def _hints(declared: Any, *, include_extras: bool = False) -> Mapping[str, Any]:
    try:
        hints = get_type_hints(declared, include_extras=include_extras)
    except (NameError, TypeError, AttributeError):  # names that cannot be resolved from here
        hints = dict.fromkeys(getattr(declared, "__annotations__", {}), Any)
    if is_typeddict(declared):
        return hints
    fields = {field.name for field in _fields(declared)}
    return {name: hint for name, hint in hints.items() if name in fields}


def _fields(declared: Any) -> list[Any]:
    if attrs.has(declared):
        return list(attrs.fields(declared))
    return list(dataclasses.fields(declared)) if dataclasses.is_dataclass(declared) else []


def _required(declared: Any) -> Collection[str]:
    if not is_typeddict(declared):
        return _hints(declared).keys() - _defaults(declared).keys()
    # Annotations that are strings hide `Required` and `NotRequired` from the class itself.
    required = set(declared.__required_keys__)
    for name, hint in _hints(declared, include_extras=True).items():
        if get_origin(hint) is Required:
            required.add(name)
        elif get_origin(hint) is NotRequired:
            required.discard(name)
    return required


def _defaults(declared: Any) -> Mapping[str, Any]:
    """The fields that need not be given, with their default if it is a plain value."""
    found: dict[str, Any] = {}
    for field in _fields(declared):
        factory = getattr(field, "default_factory", dataclasses.MISSING)
        if factory is not dataclasses.MISSING or isinstance(field.default, _FACTORY):
            found[field.name] = _NO_DEFAULT
        elif field.default is not dataclasses.MISSING and field.default is not attrs.NOTHING:
            found[field.name] = field.default
    return found


def _default(value: Any) -> Schema:
    try:
        return {} if value is _NO_DEFAULT else {"default": msgspec.to_builtins(value)}
    except TypeError:  # no value of JSON
        return {}
