"""JSON for people and clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, Final

import attrs
import msgspec

from greenroom.graph.objects import is_pydantic

from .walk import MAX_DEPTH, Unstorable

__all__ = ["as_json", "to_json"]

_DEPTH: Final = MAX_DEPTH + 20  # what is around a value of the state counts too

_decoder = msgspec.json.Decoder()


def to_json(value: Any) -> bytes:
    """`value` as JSON for people and clients; what JSON cannot carry is approximated.

    NaN and the infinities become null, lone surrogates U+FFFD, tuples and sets lists, keys strings,
    bytes base64, attrs classes, dataclasses and Pydantic models dicts, anything else its `str`.

    Raises Unstorable for a value that contains itself or is nested some hundreds of levels deep.
    """
    try:
        return _encoder.encode(value)
    except RecursionError:
        raise Unstorable("nested too deeply for JSON") from None
    except Exception:  # a surrogate, a key, or a method of the value's own
        return _encoder.encode(_approximate(value, _DEPTH))


def as_json(value: Any) -> Any:
    """`value` as clients see it. Raises as `to_json`."""
    return _decoder.decode(to_json(value))


def _known(value: Any) -> Any:
    """What msgspec does not know, as something that it does."""
    if value is None or isinstance(value, bool):  # as a key of a dict
        return msgspec.json.encode(value).decode()
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else str(value)


_encoder = msgspec.json.Encoder(enc_hook=_known)


def _approximate(value: Any, depth: int) -> Any:
    """`value` as something that msgspec encodes, whatever it takes."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if not depth:
        raise Unstorable("nested too deeply for JSON")
    if is_pydantic(type(value)):
        value = _dumped(value)
    elif attrs.has(type(value)):
        value = _shown_fields(value, attrs.fields(type(value)))
    elif is_dataclass(value) and not isinstance(value, type):
        value = _shown_fields(value, fields(value))
    if isinstance(value, dict):
        return {_key(key): _approximate(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_approximate(item, depth - 1) for item in value]
    try:
        known = _decoder.decode(_encoder.encode(value))
    except Exception:
        return _approximate(_shown(value), depth)
    return _approximate(known, depth - 1) if isinstance(known, (dict, list)) else known


def _shown_fields(value: Any, declared: Iterable[Any]) -> dict[str, Any]:
    """Without those that have no value, and those that are private by their name, as msgspec."""
    names = [field.name for field in declared if not field.name.startswith("_")]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _dumped(model: Any) -> Any:
    try:
        return model.model_dump()
    except Exception:  # it may have serializers of its own
        return dict(model.__dict__)


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        key = key.value
    if key is None or isinstance(key, bool):
        key = _known(key)
    text: str = _approximate(key if isinstance(key, str) else _shown(key), _DEPTH)
    return text


def _shown(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"
