"""The stored form of state values: JSON, with tags for what JSON cannot carry.

A plain value is stored as it is. Anything else becomes a dict with the reserved key `~`, which
names what it stands for: `{"~": "tuple", "=": [1, 2]}`. A dict of the user's own that holds the key
`~` is stored as a tagged list of keys and values, so that it can never be mistaken for a tag.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NoReturn
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec

from greenroom.graph.control import Overwrite

from .contract import StorageError

__all__ = ["MAX_DEPTH", "Unstorable", "decode", "encode", "encode_json", "to_json"]

MAX_DEPTH: Final = 200  # containers inside each other; a tag takes two levels of JSON

TAG: Final = "~"
BODY: Final = "="

_TAG_IN_JSON: Final = b'"~"'
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_ATOMS: Final = frozenset((str, bool, type(None)))

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class Unstorable(StorageError):
    """A value that cannot be stored; the text says where it is and what it is."""


def encode(value: Any, name: str = "") -> bytes:
    """`value` as JSON, tagged where it is more than JSON. `decode` gives back an equal value of the
    same types.

    Carries None, bool, int, float, str, list, dict, tuple, set, frozenset, bytes, datetime, date,
    time, timedelta, UUID, Decimal and Overwrite, of exactly these types. `name`: what error texts
    call it.

    Raises Unstorable for other types, for a value that contains itself, and below MAX_DEPTH.
    """
    try:
        if _is_plain(value, MAX_DEPTH):
            return _encoder.encode(value)
    except UnicodeEncodeError:  # a lone surrogate somewhere
        pass
    return _encoder.encode(_Tagging(name).tagged(value))


def decode(data: bytes | memoryview | msgspec.Raw) -> Any:
    """The value that `encode` was given. Raises StorageError if the data is damaged."""
    try:
        value = _decoder.decode(data)
        return _untagged(value) if _TAG_IN_JSON in bytes(data) else value
    except Exception as error:
        raise StorageError(f"A stored value is damaged: {error}") from error


def encode_json(value: Any, name: str = "") -> bytes:
    """`value` as JSON without tags, for what is searched inside the database.

    Raises Unstorable for whatever plain JSON would change.
    """
    _PlainOnly(name).check(value)
    return _encoder.encode(value)


def to_json(value: Any) -> bytes:
    """`value` as JSON for people and clients; what JSON cannot carry is approximated.

    NaN and the infinities become null, lone surrogates U+FFFD, tuples and sets lists, keys strings,
    bytes base64, attrs classes, dataclasses and pydantic models dicts, anything else its `str`.

    Raises Unstorable for a value that contains itself or is nested some hundreds of levels deep.
    """
    try:
        return _client_encoder.encode(value)
    except RecursionError:
        raise Unstorable("nested too deeply for JSON") from None
    except Exception:  # a surrogate, a key, or a method of the value's own
        return _client_encoder.encode(_approximate(value, MAX_DEPTH))


def _is_plain(value: Any, depth: int) -> bool:
    """Whether JSON carries `value` unchanged, lone surrogates apart. The hot path: every changed
    channel of every step goes through here, so the atoms are looked at without a call."""
    kind = type(value)
    items: Iterable[Any]
    if kind is list:
        items = value
    elif kind is dict:
        if TAG in value:
            return False
        for key in value:
            if type(key) is not str:
                return False
        items = value.values()
    elif kind in _ATOMS:
        return True
    elif kind is int:
        return bool(_INT_MIN <= value <= _INT_MAX)
    else:
        return kind is float and math.isfinite(value)
    if not depth:
        return False
    for item in items:
        kind = type(item)
        if kind in _ATOMS:
            continue
        if kind is int:
            if not _INT_MIN <= item <= _INT_MAX:
                return False
        elif not _is_plain(item, depth - 1):
            return False
    return True


class _Walk:
    """A way through a value that knows where it is, for the texts of errors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._path: list[str | int] = []

    def _check_depth(self) -> None:
        if len(self._path) >= MAX_DEPTH:
            self._refuse(f"it is nested more than {MAX_DEPTH} levels deep, or contains itself")

    def _refuse(self, why: str) -> NoReturn:
        shown = self._name
        for step in self._path[:8]:
            if isinstance(step, int):
                shown += f"[{step}]"
            else:
                shown += f".{step}" if shown else step
        if len(self._path) > 8:
            shown += "…"
        text = f"{shown}: {why}" if shown else why
        raise Unstorable(text.encode("utf-8", "backslashreplace").decode())

    def _refuse_type(self, value: Any) -> NoReturn:
        kind = type(value)
        name = kind.__qualname__
        if kind.__module__ != "builtins":
            name = f"{kind.__module__}.{name}"
        article = "an" if name[0] in "aeiouAEIOU" else "a"
        self._refuse(f"{article} {name} cannot be stored")


class _Tagging(_Walk):
    """Makes the stored form of a value that is more than JSON. One frame for each level, so that
    MAX_DEPTH of them fit on Python's stack."""

    def tagged(self, value: Any) -> Any:
        kind = type(value)
        if kind in (list, tuple, set, frozenset):
            self._check_depth()
            items = []
            for at, item in enumerate(value):
                self._path.append(at)
                items.append(self.tagged(item))
                self._path.pop()
            return items if kind is list else _tag(kind.__name__, items)
        if kind is dict:
            self._check_depth()
            if TAG not in value and all(type(key) is str and _is_text(key) for key in value):
                mapped = {}
                for key, item in value.items():
                    self._path.append(key)
                    mapped[key] = self.tagged(item)
                    self._path.pop()
                return mapped
            flat = []
            for key, item in value.items():
                self._path.append(key if type(key) in (str, int) else repr(key))
                flat.append(self.tagged(key))
                flat.append(self.tagged(item))
                self._path.pop()
            return _tag("dict", flat)
        if kind is Overwrite:
            self._check_depth()
            self._path.append("value")
            inner = self.tagged(value.value)
            self._path.pop()
            return _tag("overwrite", inner)
        if kind not in _SCALARS:
            self._refuse_type(value)
        return _SCALARS[kind](self, value)

    def datetime_(self, value: datetime | time) -> Any:
        """The time without its zone, the `fold` that tells equal times apart, and the zone."""
        naive = value.replace(tzinfo=None).isoformat()
        return _tag(type(value).__name__, [naive, value.fold, self._zone(value.tzinfo)])

    def _zone(self, zone: tzinfo | None) -> Any:
        """None, the key of a zone, or `[offset, name]` of a fixed one, in microseconds."""
        if zone is None:
            return None
        if type(zone) is timezone:
            return [zone.utcoffset(None) // timedelta(microseconds=1), zone.tzname(None)]
        if type(zone) is ZoneInfo and zone.key is not None:
            return zone.key
        return self._refuse_type(zone)


def _text(value: str) -> Any:
    if _is_text(value):
        return value
    return _tag("str", _base64(value.encode("utf-8", "surrogatepass")))


def _integer(value: int) -> Any:
    # In base 16, because Python limits how long a decimal number it reads.
    return value if _INT_MIN <= value <= _INT_MAX else _tag("int", hex(value))


def _float(value: float) -> Any:
    return value if math.isfinite(value) else _tag("float", str(value))


_SCALARS: Final[dict[type, Callable[[_Tagging, Any], Any]]] = {
    type(None): lambda _, value: value,
    bool: lambda _, value: value,
    str: lambda _, value: _text(value),
    int: lambda _, value: _integer(value),
    float: lambda _, value: _float(value),
    datetime: _Tagging.datetime_,
    time: _Tagging.datetime_,
    bytes: lambda _, value: _tag("bytes", _base64(value)),
    date: lambda _, value: _tag("date", value.isoformat()),
    timedelta: lambda _, value: _tag("timedelta", [value.days, value.seconds, value.microseconds]),
    UUID: lambda _, value: _tag("uuid", str(value)),
    Decimal: lambda _, value: _tag("decimal", str(value)),
}


def _untagged(value: Any) -> Any:
    """The inverse of `_Tagging`, in place."""
    if type(value) is list:
        for at, item in enumerate(value):
            value[at] = _untagged(item)
    elif type(value) is dict:
        if TAG in value:
            return _READERS[value[TAG]](_untagged(value[BODY]))
        for key, item in value.items():
            value[key] = _untagged(item)
    return value


def _read_dict(flat: list[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _read_zone(zone: Any) -> tzinfo | None:
    if zone is None:
        return None
    if isinstance(zone, str):
        return ZoneInfo(zone)
    offset = timedelta(microseconds=zone[0])
    fixed = timezone(offset) if offset else UTC
    return fixed if fixed.tzname(None) == zone[1] else timezone(offset, zone[1])


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "str": lambda body: b64decode(body).decode("utf-8", "surrogatepass"),
    "int": lambda body: int(body, 16),
    "float": float,
    "dict": _read_dict,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "bytes": b64decode,
    "datetime": lambda body: datetime.fromisoformat(body[0]).replace(
        fold=body[1], tzinfo=_read_zone(body[2])
    ),
    "time": lambda body: time.fromisoformat(body[0]).replace(
        fold=body[1], tzinfo=_read_zone(body[2])
    ),
    "date": date.fromisoformat,
    "timedelta": lambda body: timedelta(*body),
    "uuid": UUID,
    "decimal": Decimal,
    "overwrite": Overwrite,
}


class _PlainOnly(_Walk):
    """Refuses what plain JSON would change."""

    def check(self, value: Any) -> None:
        kind = type(value)
        if kind is dict:
            self._check_depth()
            for key, item in value.items():
                if type(key) is not str:
                    self._refuse(f"the key {key!r} is not a string")
                if not _is_text(key) or "\0" in key:
                    self._refuse(f"the key {key!r} has a lone surrogate or a NUL character")
                self._path.append(key)
                self.check(item)
                self._path.pop()
        elif kind is list:
            self._check_depth()
            for at, item in enumerate(value):
                self._path.append(at)
                self.check(item)
                self._path.pop()
        elif kind is str:
            if not _is_text(value):
                self._refuse("a string with a lone surrogate cannot be stored here")
            if "\0" in value:  # databases end a text there
                self._refuse("a string with a NUL character cannot be stored here")
        elif kind is int:
            if not _INT_MIN <= value <= _INT_MAX:
                self._refuse("an integer beyond 64 bits cannot be stored here")
        elif kind is float:
            if not math.isfinite(value):
                self._refuse(f"{value} cannot be stored here")
        elif kind not in _ATOMS:
            self._refuse_type(value)


def _known(value: Any) -> Any:
    """What msgspec does not know, as something that it does."""
    if value is None or isinstance(value, bool):  # as a key of a dict
        return _encoder.encode(value).decode()
    for kind in (int, float):
        if isinstance(value, kind):
            return kind(value)
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else str(value)


_client_encoder = msgspec.json.Encoder(enc_hook=_known)


def _approximate(value: Any, depth: int) -> Any:
    """`value` as something that msgspec encodes, whatever it takes."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if not depth:
        raise Unstorable("nested too deeply for JSON")
    if attrs.has(type(value)):
        value = {
            field.name: getattr(value, field.name, None) for field in attrs.fields(type(value))
        }
    elif is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name, None) for field in fields(value)}
    if isinstance(value, dict):
        return {_key(key): _approximate(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_approximate(item, depth - 1) for item in value]
    try:
        known = _decoder.decode(_client_encoder.encode(value))
    except Exception:
        return _approximate(_shown(value), depth)
    return _approximate(known, depth - 1) if isinstance(known, (dict, list)) else known


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        key = key.value
    if key is None or isinstance(key, bool):
        key = _known(key)
    text: str = _approximate(key if isinstance(key, str) else _shown(key), MAX_DEPTH)
    return text


def _shown(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _tag(kind: str, body: Any) -> dict[str, Any]:
    return {TAG: kind, BODY: body}


def _is_text(value: str) -> bool:
    """Whether `value` has no lone surrogate."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
