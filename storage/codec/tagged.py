"""The stored form of values: JSON, with tags for what JSON cannot carry.

A plain value is stored as it is. Anything else becomes a dict with the reserved key `~`, which
names what it stands for: `{"~": "tuple", "=": [1, 2]}`. A dict of the user's own that holds the key
`~` is stored as a tagged list of keys and values, so that it can never be mistaken for a tag.

An object is stored as the name of its class and its fields,
`{"~": "object", "@": "shop.Order", "=": {"total": 3}}`, a named tuple and an enum likewise. The
name chooses among the classes of `Types`; where it is none of them, the object comes back as plain
data.
"""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from greenroom.graph.control import Overwrite
from greenroom.graph.declared import type_name
from greenroom.graph.objects import Form, form_of

from ..errors import StorageError
from .types import PLAIN, Types
from .walk import INT_MAX, INT_MIN, MAX_DEPTH, TAG, Walk, is_plain, is_text

__all__ = ["decode", "encode", "kept"]

BODY: Final = "="
CLASS: Final = "@"
DETAILS: Final = "+"

_TAG_IN_JSON: Final = b'"~"'

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode(value: Any, name: str = "") -> bytes:
    """`value` as JSON, tagged where it is more than JSON. `decode` gives back an equal value of the
    same types.

    Carries None, bool, int, float, str, list, dict, tuple, set, frozenset, bytes, datetime, date,
    time, timedelta, UUID, Decimal, paths and Overwrite, of exactly these types; enums, and objects
    of attrs classes, dataclasses, Pydantic models and named tuples. `name`: what error texts call
    the value.

    Raises Unstorable for other types, for a value that contains itself, and below MAX_DEPTH.
    """
    return kept(value, name, None)[0]


def kept(value: Any, name: str, types: Types | None) -> tuple[bytes, Collection[type]]:
    """As `encode`, and the classes in `value` that are none of `types`, whose objects will come
    back as plain data.

    Also raises Unstorable where such objects are elements of a set or keys of a dict and could not
    come back at all.
    """
    try:
        if is_plain(value, MAX_DEPTH):
            return _encoder.encode(value), ()
        tagging = _Tagging(name, types)
        return _encoder.encode(tagging.tagged(value)), tagging.unknown
    except UnicodeEncodeError:  # a lone surrogate somewhere
        tagging = _Tagging(name, types, looks_for_surrogates=True)
        return _encoder.encode(tagging.tagged(value)), tagging.unknown


def decode(data: bytes | memoryview | msgspec.Raw, types: Types = PLAIN) -> Any:
    """The value that `encode` was given.

    Raises StorageError if the data is damaged, or if an object does not fit its class any more.
    """
    try:
        value = _decoder.decode(data)
        # Looking for one character first is by far the quickest where there is none.
        tagged = _TAG_IN_JSON[1:2] in (raw := bytes(data)) and _TAG_IN_JSON in raw
        return _Reading(types).untagged(value) if tagged else value
    except StorageError:
        raise
    except Exception as error:
        raise StorageError(f"A stored value is damaged: {error}") from error


class _Tagging(Walk):
    """Makes the stored form of a value that is more than JSON. One frame for each level, so that
    MAX_DEPTH of them fit on Python's stack.

    `unknown`: the classes it has met that are none of `types`; it has no need to know without them.
    """

    def __init__(
        self, name: str, types: Types | None, *, looks_for_surrogates: bool = False
    ) -> None:
        super().__init__(name)
        self.unknown: set[type] = set()
        self._types = types
        self._careful = looks_for_surrogates

    def tagged(self, value: Any) -> Any:
        kind = type(value)
        if not self._careful and is_plain(value, MAX_DEPTH - len(self._path)):
            return value
        if kind in (list, tuple, set, frozenset):
            self._check_depth()
            items = []
            for at, item in enumerate(value):
                self._path.append(at)
                items.append(self.tagged(item))
                self._path.pop()
            if kind in (set, frozenset):
                items.sort(key=_encoder.encode)  # equal sets are stored as equal bytes
                self._check_distinct(value, _tag("set", items))
            return items if kind is list else _tag(kind.__name__, items)
        if kind is dict:
            self._check_depth()
            if TAG not in value and all(type(key) is str and is_text(key) for key in value):
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
            self._check_distinct(value, _tag("dict", flat))
            return _tag("dict", flat)
        if kind is Overwrite:
            self._check_depth()
            self._path.append("value")
            inner = self.tagged(value.value)
            self._path.pop()
            return _tag("overwrite", inner)
        if kind in _SCALARS:
            return _SCALARS[kind](self, value)
        if isinstance(value, Enum):
            return {TAG: "enum", CLASS: self._named(kind), BODY: self.tagged(value.value)}
        if isinstance(value, str):  # langchain's `message.text` is of a class of its own
            self.unknown.add(kind)
            return self.tagged(str.__str__(value))
        if (form := form_of(kind)) is None:
            self._refuse_type(value)
        self._check_depth()
        fields, details = self._taken_apart(form, value)
        stored: dict[str, Any] = {
            TAG: "namedtuple" if isinstance(value, tuple) else "object",
            CLASS: self._named(kind),
            BODY: {},
        }
        if not self._careful and is_plain(fields, MAX_DEPTH - len(self._path)):
            stored[BODY] = fields
        else:
            for name, item in fields.items():
                self._path.append(name)
                stored[BODY][name] = self.tagged(item)
                self._path.pop()
        if details:
            stored[DETAILS] = self.tagged(details)
        return stored

    def _taken_apart(self, form: Form, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        try:
            return form.taken_apart(value)
        except ValueError as error:
            return self._refuse_type(value, str(error))

    def _named(self, kind: type) -> str:
        name = type_name(kind)
        if self._types is not None and self._types.find(name) is not kind:
            self.unknown.add(kind)
        return name

    def _check_distinct(self, value: Any, stored: Any) -> None:
        """Refuse elements or keys that as plain data would be equal, or could not be any."""
        if self._types is None or not self.unknown:
            return
        try:
            back = decode(_encoder.encode(stored), self._types)
        except StorageError:  # an object that is a dict now cannot be one of them
            back = ()
        if len(back) != len(value):
            self._refuse_type(
                value, "its elements or keys have classes that are neither declared nor registered"
            )

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
    if is_text(value):
        return value
    return _tag("str", _base64(value.encode("utf-8", "surrogatepass")))


def _integer(value: int) -> Any:
    # In base 16, because Python limits how long a decimal number it reads.
    return value if INT_MIN <= value <= INT_MAX else _tag("int", hex(value))


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
    PosixPath: lambda _, value: _tag("path", _text(str(value))),
    WindowsPath: lambda _, value: _tag("path", _text(str(value))),
    PurePosixPath: lambda _, value: _tag("posixpath", _text(str(value))),
    PureWindowsPath: lambda _, value: _tag("windowspath", _text(str(value))),
}


class _Reading:
    """The inverse of `_Tagging`, in place."""

    def __init__(self, types: Types) -> None:
        self._types = types

    def untagged(self, value: Any) -> Any:
        if type(value) is list:
            for at, item in enumerate(value):
                if type(item) in (list, dict):
                    value[at] = self.untagged(item)
        elif type(value) is dict:
            if TAG in value:
                if CLASS in value:
                    return self._object(value)
                return _READERS[value[TAG]](self.untagged(value[BODY]))
            for key, item in value.items():
                if type(item) in (list, dict):
                    value[key] = self.untagged(item)
        return value

    def _object(self, stored: dict[str, Any]) -> Any:
        tag, kind, fields = stored[TAG], self._types.find(stored[CLASS]), stored[BODY]
        if tag == "enum":
            value = self.untagged(fields)
            return _member(kind, value) if kind is not None and issubclass(kind, Enum) else value
        for name, item in fields.items():
            if type(item) in (list, dict):
                fields[name] = self.untagged(item)
        details = self.untagged(stored.get(DETAILS, {}))
        form = None if kind is None else form_of(kind)
        if form is None:
            return _PLAIN[tag](fields, details)
        try:
            return form.made(fields, details)
        except ValueError as error:
            raise StorageError(f"A stored object does not fit its class: {error}") from error


_PLAIN: Final[dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]]] = {
    "object": lambda fields, details: {**fields, **details.get("extra", {})},
    "namedtuple": lambda fields, _: tuple(fields.values()),
}


def _member(kind: type[Enum], value: Any) -> Any:
    try:
        return kind(value)
    except ValueError as error:
        raise StorageError(f"A stored enum does not fit its class: {error}") from error


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
    "path": Path,
    "posixpath": PurePosixPath,
    "windowspath": PureWindowsPath,
    "overwrite": Overwrite,
}


def _tag(kind: str, body: Any) -> dict[str, Any]:
    return {TAG: kind, BODY: body}


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
