"""Whatever is stored comes back, and nothing that was read becomes more than it was."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from datetime import UTC, timedelta, timezone
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
from hypothesis import given
from hypothesis import strategies as st

from greenroom.graph import Overwrite
from greenroom.graph.isolation import isolated
from greenroom.storage import StorageError, Types, Unstorable, decode, encode, to_json
from greenroom.storage.codec import kept


class Colour(enum.Enum):
    RED = "red"
    GREEN = 2
    BOTH = ("red", 2)


@dataclass
class Item:
    name: Any
    more: Any = None


@attrs.frozen
class Point:
    x: Any


class Pair(NamedTuple):
    left: Any
    right: Any


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    value: Any
    other: Any = None


def with_more(value: Any, more: dict[str, Any]) -> Model:
    return Model(**{**more, "value": value})


KNOWN = Types([Colour, Item, Point, Pair, Model])

TAGS = st.sampled_from(["~", "=", "@", "+", "object", '"~"', f"{__name__}.Point"])
TEXT = st.text(st.characters(codec=None, exclude_categories=())) | TAGS
ZONES = st.sampled_from(
    [None, UTC, timezone(timedelta(hours=-3, seconds=1)), ZoneInfo("Asia/Tokyo")]
)
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**80), 2**80)
    | st.floats()
    | TEXT
    | st.binary()
    | st.datetimes(timezones=ZONES, allow_imaginary=False)
    | st.times()
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | st.sampled_from(Colour)
    | st.sampled_from([Path("a/b"), PurePosixPath("/"), PureWindowsPath("c:/x")])
)
# What equals itself: elements that do not can be in a set twice, for Python too.
EQUAL = ATOMS.filter(lambda value: "nan" not in repr(value).lower())
HASHABLE = st.recursive(
    EQUAL, lambda inner: st.tuples(inner, inner) | inner.map(Point), max_leaves=4
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from("~=@+"), inner),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(TEXT, inner)
        | st.dictionaries(HASHABLE, inner)
        | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
        | inner.map(Overwrite)
        | inner.map(Point)
        | st.builds(Item, inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(with_more, inner, st.dictionaries(st.text() | TAGS, inner))
        | inner.map(lambda value: Model(value=value))
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types at any depth: 1 is not True, and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.isnan(one) == math.isnan(other) and repr(one) == repr(other)
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            same(a, b) and same(one[a], other[b]) for a, b in zip(one, other, strict=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, (set, frozenset)):
        return sorted(map(repr, one)) == sorted(map(repr, other))
    if isinstance(one, Model):
        return same(
            [one.__dict__, one.model_extra, sorted(one.model_fields_set)],
            [other.__dict__, other.model_extra, sorted(other.model_fields_set)],
        )
    if isinstance(one, (Item, Point, Overwrite)):
        names = [field.name for field in attrs.fields(type(one))] if attrs.has(type(one)) else None
        return all(
            same(getattr(one, name), getattr(other, name)) for name in names or ("name", "more")
        )
    return repr(one) == repr(other)


@given(VALUES)
def test_every_value_comes_back_with_its_types(value: Any) -> None:
    data, unknown = kept(value, "channel", KNOWN)
    assert not unknown
    assert same(decode(data, KNOWN), value)


@given(VALUES)
def test_what_was_stored_is_stored_as_the_same_bytes_again(value: Any) -> None:
    data = encode(value)
    assert encode(decode(data, KNOWN)) == data


@given(VALUES)
def test_what_nobody_declared_comes_back_as_plain_data_or_is_refused(value: Any) -> None:
    nobody = Types()
    try:
        data, unknown = kept(value, "channel", nobody)
    except Unstorable:  # elements or keys that plain data cannot be
        assert any(kind in repr(value) for kind in ("Point", "Colour", "Pair"))
        return
    plain = decode(data, nobody)
    assert not unknown or not same(plain, value)
    data, unknown = kept(plain, "channel", nobody)
    assert not unknown
    assert same(decode(data, nobody), plain)


@given(VALUES)
def test_clients_get_json_for_every_value(value: Any) -> None:
    msgspec.json.decode(to_json({"values": {"channel": value}}))


@given(VALUES)
def test_a_copy_is_the_same_and_shares_nothing_that_can_be_changed(value: Any) -> None:
    copy = isolated(value)
    assert same(copy, value)
    if isinstance(value, (list, dict, set, Item, Model)):
        assert copy is not value


@given(PLAIN)
def test_plain_data_is_stored_as_plain_json_and_never_becomes_anything_else(value: Any) -> None:
    data = encode(value)
    assert same(decode(data, KNOWN), value)
    if b'"~"' not in data:
        assert data == msgspec.json.encode(value)


NAMES = st.sampled_from(
    ["object", "enum", "namedtuple", "tuple", "set", "dict", "int", "path", "x"]
)
CLASSES = st.sampled_from(
    ["os.system", "builtins.eval", *(f"{__name__}.{name}" for name in ("Colour", "Point", "Model"))]
)


@given(
    st.recursive(
        PLAIN,
        lambda inner: (
            st.fixed_dictionaries({"~": NAMES, "=": inner}, optional={"@": CLASSES, "+": inner})
            | st.lists(inner)
        ),
        max_leaves=6,
    )
)
def test_data_that_somebody_has_tampered_with_is_read_or_refused_but_never_run(value: Any) -> None:
    try:
        back = decode(msgspec.json.encode(value), KNOWN)
    except StorageError:
        return
    assert not callable(back)
