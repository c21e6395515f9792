"""Objects are stored by their fields, and come back as themselves if their class is known."""

from __future__ import annotations

import enum
import functools
import threading
from dataclasses import InitVar, dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar

import attrs
import pydantic
import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    ToolMessage,
)

from greenroom.graph import register_type
from greenroom.graph.declared import declared_types
from greenroom.graph.isolation import isolated
from greenroom.storage import StorageError, Types, Unstorable, decode, to_json
from greenroom.storage.codec import MAX_DEPTH, as_json, kept

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(enum.IntEnum):
    LOW = 1


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Size:
    height: int


class Sizes(Size, enum.Enum):
    """Its members are made of fields, but there is only one of each."""

    SMALL = (1,)


def refuse(*_: Any) -> Any:
    raise AssertionError("nothing of the class is called")


@attrs.frozen
class Point:
    x: Any
    y: int = 0


@attrs.define
class Shifted:
    """Its converter would shift it again each time it is read."""

    n: int = attrs.field(converter=lambda n: n + 1)


@attrs.define(unsafe_hash=True, cache_hash=True)
class Hashed:
    x: int


@attrs.define(slots=False)
class Half:
    _hidden: int
    later: int = attrs.field(init=False, eq=False, repr=False)


@dataclass(frozen=True, slots=True)
class Slotted:
    x: Any


@dataclass
class Order(Generic[T]):
    what: T
    start: InitVar[int] = 1
    lines: list[Any] = field(default_factory=list)
    number: int = field(init=False, default=0)

    def __post_init__(self, start: int) -> None:
        self.number = start

    @functools.cached_property
    def label(self) -> str:
        return f"{self.number}"


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Named(Pair):
    __slots__ = ()


class Aliased(pydantic.BaseModel):
    n: int = pydantic.Field(alias="N", gt=0)
    inner: Any = None
    _private: list[int] = pydantic.PrivateAttr(default_factory=lambda: [0])

    @pydantic.field_validator("n")
    @classmethod
    def doubled(cls, n: int) -> int:
        return n * 2


class Loose(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    a: int = 1


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Box(pydantic.BaseModel, Generic[T]):
    value: T


@pydantic.dataclasses.dataclass
class Checked:
    n: int


KNOWN = Types(
    {
        *(
            Colour,
            Level,
            Permission,
            Sizes,
            Size,
            Point,
            Shifted,
            Hashed,
            Half,
            Slotted,
            Order,
            Pair,
            Named,
        ),
        *(Aliased, Loose, Numbers, Box, Box[int], Checked),
        *declared_types([BaseMessage]),
    }
)


def through_storage(value: Any, types: Types = KNOWN) -> Any:
    data, unknown = kept(value, "channel", types)
    assert not unknown
    return decode(data, types)


def private(model: Aliased, numbers: list[int]) -> Aliased:
    model._private = numbers
    return model


def seen_label(order: Order[Any]) -> Order[Any]:
    assert order.label  # it is computed again, so that it need not be stored
    return order


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Colour.PAIR,
        Level.LOW,
        Permission.READ | Permission.WRITE,
        Permission(0),
        Point(1),
        Point([Point({"deep": (Point(Colour.RED),)})]),
        Shifted(1),
        Half(1),
        Slotted({"~": "object", "@": "x", "=": {}}),
        Order(Point(1), 5, [Order[int](1)]),
        seen_label(Order(1)),
        Pair(1, Pair([2])),
        Named(1, 2),
        Aliased(N=3, inner=Aliased(N=1)),
        private(Aliased(N=3), [7]),
        Loose(a=2, more=[Point(1)]),
        Loose(**{"~": "tuple", "=": [1]}),
        Numbers([1, 2]),
        Box[int](value=1),
        Checked(1),
        {Point(1), Point(2)},
        frozenset([Slotted(1)]),
        {Colour.RED: 1, "red": 2, Point(1): 3},
        [Path("/a/b"), PurePosixPath("a\udc80"), PureWindowsPath("c:/x")],
        AIMessage(
            "hi",
            id="1",
            tool_calls=[{"name": "look", "args": {"at": 1}, "id": "c"}],
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
            response_metadata={"model": "m"},
            vendor="x",
        ),
        AIMessageChunk("h", tool_call_chunks=[{"name": "f", "args": "{", "id": "1", "index": 0}]),
        HumanMessage([{"type": "text", "text": "a\ud800"}]),
        ToolMessage("x", tool_call_id="c", artifact={"points": [Point(1)]}),
        RemoveMessage("1"),
    ],
    ids=repr,
)
def test_an_object_of_a_known_class_comes_back_as_itself(value: Any) -> None:
    back = through_storage(value)
    assert type(back) is type(value)
    assert back == value
    if not isinstance(value, (set, frozenset)):
        assert repr(back) == repr(value)
    if isinstance(value, pydantic.BaseModel):
        assert back.model_fields_set == value.model_fields_set


def test_a_member_of_an_enum_comes_back_as_the_one_that_there_is() -> None:
    for member in (Colour.RED, Level.LOW, Permission.READ, Sizes.SMALL):
        assert through_storage([member])[0] is member
        assert isolated([member])[0] is member


def test_equal_sets_are_stored_as_equal_bytes() -> None:
    orders = ({0, 8}, {8, 0}), ({Point(0), Point("a")}, {Point("a"), Point(0)})
    assert list(orders[0][0]) != list(orders[0][1])
    for one, other in orders:
        assert kept(one, "channel", KNOWN) == kept(other, "channel", KNOWN)


def test_a_hash_that_was_remembered_is_computed_again() -> None:
    value = Hashed(1)
    hash(value)
    back = through_storage(value)
    back.x = 2
    assert hash(back) == hash(Hashed(2))


def test_nothing_of_a_class_is_called_to_read_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [kept(one, "c", KNOWN)[0] for one in (Point(1), Order(1), Aliased(N=1), Pair(1))]
    for kind in (Point, Order, Aliased):
        monkeypatch.setattr(kind, "__init__", refuse)
    monkeypatch.setattr(Order, "__post_init__", refuse)
    monkeypatch.setattr(Pair, "__new__", refuse)
    assert [type(decode(data, KNOWN)) for data in stored] == [Point, Order, Aliased, Pair]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Colour.RED, "red"),
        (Level.LOW, 1),
        (Point(Point(1)), {"x": {"x": 1, "y": 0}, "y": 0}),
        (Order((1,)), {"what": (1,), "lines": [], "number": 1}),
        (Pair(1, [2]), (1, [2])),
        (Named(1), (1, None)),
        (Aliased(N=2), {"n": 4, "inner": None}),
        (Loose(a=2, more=3), {"a": 2, "more": 3}),
        ({Colour.RED: Pair(1)}, {"red": (1, None)}),
        (
            HumanMessage("x", id="1"),
            {
                "content": "x",
                "additional_kwargs": {},
                "response_metadata": {},
                "type": "human",
                "name": None,
                "id": "1",
            },
        ),
    ],
    ids=repr,
)
def test_an_object_of_a_class_that_nobody_declared_comes_back_as_plain_data(
    value: Any, plain: Any
) -> None:
    types = Types()
    data, unknown = kept(value, "channel", types)
    back = decode(data, types)
    assert back == plain
    assert type(back) is type(plain)
    assert unknown


@pytest.mark.parametrize(
    "value",
    [
        {Point(1)},
        frozenset([Slotted(1)]),
        {Point(1): 2},
        {Colour.RED, "red"},
        {Colour.PAIR, (1, 2)},
    ],
    ids=repr,
)
def test_elements_and_keys_that_could_not_come_back_as_plain_data_are_refused(value: Any) -> None:
    with pytest.raises(Unstorable, match=r"^channel: .* neither declared nor registered"):
        kept(value, "channel", Types())
    assert through_storage(value) == value


class Elsewhere:
    """A class of no kind that is taken apart."""


@dataclass
class Stray:
    x: int

    def __post_init__(self) -> None:
        self.connection = "open"


def stray_in(model: Any) -> Any:
    vars(model)["connection"] = "open"
    return model


@dataclass
class Mapped(dict):  # type: ignore[type-arg]
    x: int


class Secret(pydantic.BaseModel):
    key: pydantic.SecretStr


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([Point(Elsewhere())], "channel[0].x: a tests.storage.test_objects.Elsewhere cannot"),
        (Stray(1), "attribute 'connection' is no field of tests.storage.test_objects.Stray"),
        (stray_in(Loose()), "attribute 'connection' is no field of tests.storage.test_objects.L"),
        (Mapped(1), "channel: a tests.storage.test_objects.Mapped cannot be stored"),
        (Secret(key="s3cret"), "channel.key: a pydantic.types.SecretStr cannot be stored"),
        (ValueError("x"), "channel: a ValueError cannot be stored"),
        (Point(threading.Lock()), "channel.x: a _thread.lock cannot be stored"),
        (bytearray(b"x"), "channel: a bytearray cannot be stored"),
        (Colour, "cannot be stored"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_stored_is_refused_with_its_place_and_type(value: Any, text: str) -> None:
    with pytest.raises(Unstorable) as refused:
        kept(value, "channel", KNOWN)
    assert text in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_an_object_that_contains_itself_is_refused() -> None:
    order = Order[Any](1)
    order.lines.append(order)
    with pytest.raises(Unstorable, match="contains itself"):
        kept(order, "channel", KNOWN)


@pytest.mark.parametrize("wrap", [Point, Slotted, lambda inner: Box(value=inner), Pair])
def test_the_deepest_object_comes_back_and_a_deeper_one_is_refused(wrap: Any) -> None:
    value: Any = 0
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    assert as_json(value) == as_json(through_storage(value))
    with pytest.raises(Unstorable, match="more than 200 levels"):
        kept(wrap(value), "channel", KNOWN)


# What users write never becomes an object.


@pytest.mark.parametrize(
    "text",
    [
        {"~": "object", "@": f"{__name__}.Point", "=": {"x": 1, "y": 2}},
        {"~": "enum", "@": f"{__name__}.Colour", "=": "red"},
        [{"a": {"~": "object", "@": "message:human", "=": {"content": "x"}}}],
        '{"~":"object","@":"os.system","=":{}}',
        {"@": "x", "=": 1},
    ],
    ids=repr,
)
def test_data_that_looks_like_an_object_is_only_data(text: Any) -> None:
    assert through_storage(text) == text
    assert through_storage([Point(text)]) == [Point(text)]


def test_a_name_in_stored_data_never_calls_or_imports_anything() -> None:
    for name in ("os.system", "builtins.exec", f"{__name__}.Elsewhere", "subprocess.Popen"):
        data = b'[{"~":"enum","@":"%b","=":"x"},{"~":"object","@":"%b","=":{"x":1}}]'
        assert decode(data % (name.encode(), name.encode()), KNOWN) == ["x", {"x": 1}]
    # Nor does a declared class take what it was not made for.
    point = f"{__name__}.Point".encode()
    assert decode(b'{"~":"enum","@":"%b","=":1}' % point, KNOWN) == 1
    colour = f"{__name__}.Colour".encode()
    assert decode(b'{"~":"object","@":"%b","=":{"x":1}}' % colour, KNOWN) == {"x": 1}


# Classes change.


def changed(stored: Any, fields: str) -> Any:
    """What was stored of an object of this class, with other fields."""
    name = f"{type(stored).__module__}.{type(stored).__qualname__}"
    return decode(b'{"~":"object","@":"%b","=":%b}' % (name.encode(), fields.encode()), KNOWN)


@pytest.mark.parametrize("value", [Point(1, 0), Order(1), Aliased(N=1), Pair(1)], ids=repr)
def test_a_field_that_was_not_stored_has_its_default(value: Any) -> None:
    first = next(iter(as_json(value))) if not isinstance(value, Pair) else "left"
    back = changed(value, f'{{"{first}":1}}')
    assert type(back) is type(value)
    assert getattr(back, first) == 1
    if isinstance(back, Order):
        assert (back.lines, back.number) == ([], 0)
    if isinstance(back, Aliased):
        assert (back.inner, back._private) == (None, [0])


@pytest.mark.parametrize("value", [Point(1), Order(1), Aliased(N=1), Pair(1)], ids=repr)
def test_a_field_that_the_class_lacks_or_needs_fails_with_its_name(value: Any) -> None:
    kind = f"tests.storage.test_objects.{type(value).__name__}"
    with pytest.raises(StorageError, match=f"{kind} has a field '.*' without a default"):
        changed(value, "{}")
    with pytest.raises(StorageError, match=f"{kind} has no field 'gone'"):
        changed(value, '{"gone":1}')


def test_a_model_that_allows_extra_fields_takes_those_that_were_removed() -> None:
    back = changed(Loose(), '{"gone":1}')
    assert back == Loose(gone=1)


def test_a_member_that_was_removed_from_an_enum_fails_with_its_value() -> None:
    data = b'{"~":"enum","@":"%b","=":"green"}' % f"{__name__}.Colour".encode()
    with pytest.raises(StorageError, match="'green' is not a valid Colour"):
        decode(data, KNOWN)


# Registering.


@attrs.frozen
class Moved:
    x: int


def test_a_class_that_was_registered_comes_back_wherever_it_lies() -> None:
    @register_type
    @dataclass
    class Note:
        text: str

    assert through_storage([Note("a")], Types()) == [Note("a")]


def test_a_class_that_moved_is_found_under_its_old_name() -> None:
    register_type(Moved, "shop.old.Moved")
    assert decode(b'{"~":"object","@":"shop.old.Moved","=":{"x":1}}') == Moved(1)


@pytest.mark.parametrize("kind", [int, Elsewhere, Mapped, 3, None])
def test_what_has_no_fields_cannot_be_registered(kind: Any) -> None:
    with pytest.raises(TypeError, match="can be registered; got"):
        register_type(kind)


def test_two_classes_of_one_name_are_plain_data(caplog: pytest.LogCaptureFixture) -> None:
    def made() -> type:
        @dataclass
        class Twin:
            x: int

        return Twin

    one, other = made(), made()
    types = Types([one])
    types.declare([one])
    assert through_storage(one(1), types) == one(1)
    assert kept(other(1), "channel", types)[1] == {other}
    types.declare([other])
    data, _ = kept(other(1), "channel", types)
    assert decode(data, types) == {"x": 1}
    types.declare([one, other])
    assert caplog.text.count("several classes called") == 1


# What clients see.


def test_clients_see_an_object_as_its_fields_whatever_it_holds() -> None:
    value = {
        "model": Aliased(N=1, inner=HumanMessage("a\ud800")),
        "order": Order(Colour.RED, lines=[Path("a"), Pair(1)]),
        "secret": Secret(key="s3cret"),
        "half": Half(1),
        (1, 2): Point(float("nan")),
    }
    shown = as_json(value)
    assert shown["model"]["n"] == 2
    assert shown["model"]["inner"]["content"] == "a\ufffd"
    assert shown["order"] == {"what": "red", "lines": ["a", [1, None]], "number": 1}
    assert shown["half"] == as_json(Half(1)) == {}
    assert shown["(1, 2)"] == {"x": None, "y": 0}
    assert b"s3cret" not in to_json(value)


def test_a_model_that_cannot_be_dumped_is_shown_by_its_fields() -> None:
    class Sulky(pydantic.BaseModel):
        n: int = 1

        @pydantic.model_serializer
        def refuse(self) -> Any:
            raise ValueError

    assert as_json([Sulky()]) == [{"n": 1}]
