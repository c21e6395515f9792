"""State values are stored as they are, or refused."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pytest
from langchain_core.messages import AIMessage

from greenroom.graph import Overwrite
from greenroom.storage import StorageError, Unstorable, decode, encode, to_json
from greenroom.storage.codec import MAX_DEPTH, encode_json


class Colour(enum.StrEnum):
    RED = "red"


class Name(str):
    __slots__ = ()


class Number(int):
    __slots__ = ()


class OddZone(tzinfo):
    pass


PLAIN = [
    None,
    True,
    0,
    1,
    1.0,
    -0.0,
    2**63 - 1,
    -(2**63),
    "",
    "ü 💥 \u2028 \x00",
    [],
    {},
    {"a": [1, {"b": None}], "": {"ключ": 1e-7}},
]

TAGGED = [
    math.inf,
    -math.inf,
    2**63,
    -(2**63) - 1,
    10**4000,
    "\ud800",
    "\ud83d\ude00",  # two lone halves, not the one character that they would make
    {"\udc00": "ü"},
    {1: 2, "1": 3, None: 4, (1, 2): 5, 2.5: {6: 7}},
    (),
    (1, (2, [3])),
    {1, "a"},
    frozenset([(1,)]),
    b"\x00\xff",
    datetime(2026, 1, 2, 3, 4, 5, 6),
    datetime(2026, 1, 2, tzinfo=UTC),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-1, seconds=7))),
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(0), "GMT")),
    datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    date(2026, 1, 2),
    time(1, 2, 3, 4, tzinfo=UTC),
    timedelta(-1, 2, 3),
    UUID(int=5),
    Decimal("1.10"),
    Overwrite([1, (2,)]),
    [{"deep": [(1, {"x": b"y"})]}],
]

LOOKALIKES = [
    "~",
    '"~"',
    {"~": 1},
    {"~": "tuple", "=": [1]},
    {"~": "unknown", "=": None, "more": 1},
    [{"a": {"~": {"~": "int", "=": "0x1"}}}],
    {"=": 1},
]


@pytest.mark.parametrize("value", PLAIN + TAGGED + LOOKALIKES, ids=repr)
def test_a_value_comes_back_with_its_types(value):
    back = decode(encode(value))
    assert type(back) is type(value)
    if isinstance(value, (set, frozenset)):  # in any order
        back, value = sorted(map(repr, back)), sorted(map(repr, value))
    assert repr(back) == repr(value)  # tells 1 from 1.0 and True, and -0.0 from 0.0


def test_nan_comes_back():
    (back,) = decode(encode([math.nan]))
    assert math.isnan(back)


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_a_plain_value_is_stored_as_plain_json(value):
    assert encode(value) == msgspec.json.encode(value)


@pytest.mark.parametrize("text", ["x", "\ud800"])
def test_text_of_a_class_of_its_own_comes_back_as_plain_text(text):
    data = encode([Name(text), {Name(text): {Name(text)}}], "messages")
    [first, mapped] = decode(data)
    assert [first, mapped] == [text, {text: {text}}]
    assert {type(first), *map(type, mapped), *map(type, *mapped.values())} == {str}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([0, {"when": OddZone()}], "messages[1].when: a tests.storage.test_codec.OddZone cannot"),
        (datetime(2026, 1, 1, tzinfo=OddZone()), "messages: a tests.storage.test_codec.OddZone"),
        (Number(1), "messages: a tests.storage.test_codec.Number cannot be stored"),
        (OrderedDict(a=1), "messages: a collections.OrderedDict cannot be stored"),
        ({"f": len}, "messages.f: a builtin_function_or_method cannot be stored"),
        ({(1, 2): object()}, "messages.(1, 2): an object cannot be stored"),
        ({1, Number(2)}, "cannot be stored"),
        ({"\ud800": object()}, r"messages.\ud800: an object cannot be stored"),
    ],
)
def test_anything_else_is_refused_with_its_place_and_type(value, text):
    with pytest.raises(Unstorable) as refused:
        encode(value, "messages")
    assert text in str(refused.value)
    str(refused.value).encode()


def nested(depth, wrap=lambda value: [value]):
    value = []
    for _ in range(depth - 1):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    "wrap", [lambda value: [value], lambda value: (value,), lambda value: {1: value}]
)
def test_the_deepest_value_comes_back_and_a_deeper_one_is_refused(wrap):
    deepest = nested(MAX_DEPTH, wrap)
    assert decode(encode(deepest)) == deepest
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(Unstorable, match="more than 200 levels"):
            encode(nested(depth, wrap))


def test_a_value_that_contains_itself_is_refused():
    value = {}
    value["me"] = [value]
    with pytest.raises(Unstorable, match="contains itself"):
        encode(value)


@pytest.mark.parametrize("data", [b"", b"[1", b'{"~":"no such","=":1}', b'{"~":"int","=":"x"}'])
def test_damaged_data_is_a_storage_error(data):
    with pytest.raises(StorageError, match="damaged"):
        decode(data)


@pytest.mark.parametrize("value", PLAIN[:9] + PLAIN[10:] + LOOKALIKES, ids=repr)
def test_strict_json_is_stored_without_tags(value):
    assert encode_json(value) == msgspec.json.encode(value)


@pytest.mark.parametrize("value", [*TAGGED, math.nan, "a\x00", Colour.RED], ids=repr)
def test_strict_json_refuses_what_it_would_change(value):
    with pytest.raises(Unstorable, match=r"^m\.x"):
        encode_json({"x": value}, "m")


@attrs.define
class Point:
    x: object


@dataclass
class Pair:
    left: object


class Model:
    def model_dump(self):
        return {"n": 1}


class Mute:
    def __str__(self):
        raise RuntimeError


class Sub(int):
    pass


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ({"a": [1, 1.5, None, "ü"]}, '{"a":[1,1.5,null,"ü"]}'),
        ([math.nan, math.inf, -math.inf], "[null,null,null]"),
        ("a\ud800b", '"a\ufffdb"'),
        ({"\udc00": (1, {2})}, '{"\ufffd":[1,[2]]}'),
        ({1: 4, None: 3, False: 2, (1, 2): 5}, '{"1":4,"null":3,"false":2,"(1, 2)":5}'),
        ({1.5: b"\x00\xff"}, '{"1.5":"AP8="}'),
        (Point([Point("\ud800")]), '{"x":[{"x":"\ufffd"}]}'),
        (Pair(Point(1)), '{"left":{"x":1}}'),
        ([Model(), Sub(3), Colour.RED], '[{"n":1},3,"red"]'),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00Z"'),
        ([UUID(int=5), Decimal("1.10")], '["00000000-0000-0000-0000-000000000005","1.10"]'),
        (ValueError("boom"), '"boom"'),
        ({"m": Mute()}, '{"m":"<Mute>"}'),
        ({"when": datetime(2026, 1, 1, tzinfo=OddZone())}, '{"when":"<datetime>"}'),
    ],
    ids=str,
)
def test_json_for_clients_approximates(value, json):
    assert to_json(value).decode() == json


def test_json_for_clients_refuses_endless_values_cleanly():
    value = []
    value.append(value)
    for endless in (value, nested(100_000), {"\ud800": value}):
        with pytest.raises(Unstorable, match="too deeply"):
            to_json(endless)


def test_a_message_object_goes_to_clients_as_its_dictionary() -> None:
    told = json.loads(to_json({"messages": [AIMessage("hi", id="1")]}))
    (message,) = told["messages"]
    assert (message["type"], message["content"], message["id"]) == ("ai", "hi", "1")
