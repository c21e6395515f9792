"""What the values of LangGraph's programs come back as."""

from __future__ import annotations

import enum
from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.types import Command, Interrupt, Overwrite, Send
from pydantic import BaseModel

from greenroom.graph import register_type
from greenroom.storage import Unstorable
from greenroom.storage.langgraph import GreenroomSaver

PLACE = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}


class Kind(enum.Enum):
    TEA = "tea"


class Size(enum.IntEnum):
    BIG = 3


@dataclass
class Line:
    kind: Kind
    amounts: list[int] = field(default_factory=list)


class Order(BaseModel):
    lines: list[Line]


class State(TypedDict):
    order: Order


@register_type
@dataclass
class Registered:
    x: int


@dataclass
class Unknown:
    x: int


class Fancy(str):
    pass


ORDER = Order(lines=[Line(Kind.TEA, [1, 2])])


def put(saver, value):
    checkpoint = empty_checkpoint() | {
        "channel_values": {"x": value},
        "channel_versions": {"x": 1},
    }
    return saver.put(PLACE, checkpoint, {"source": "loop", "step": 1}, {"x": 1})


def get(saver):
    return saver.get_tuple(PLACE).checkpoint["channel_values"]["x"]


@pytest.mark.parametrize(
    "value",
    [
        [AIMessage("hi", id="1", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "c"}])],
        [ToolMessage("done", tool_call_id="c", artifact={"n": (1, 2)})],
        Send("node", {"message": AIMessage("hi")}, timeout=3),
        [Interrupt(value={"why": 1}, id="i")],
        Overwrite([1]),
        Command(resume={"i": 1}, goto=[Send("node", 1)]),
        Document("text", metadata={"page": 1}),
        {"when": datetime(2026, 1, 2, tzinfo=UTC), "bytes": b"\0", 1: {(1, 2): None}, "s": {1}},
        ORDER,
        Registered(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_the_same_after_a_restart(opened, value):
    with opened(types=[State]) as session:
        put(GreenroomSaver(session), value)
    with opened(types=[State]) as session:
        back = get(GreenroomSaver(session))
    assert back == value
    assert type(back) is type(value)


def test_objects_that_nobody_declares_are_plain_data_but_not_for_ever(opened):
    with opened() as session:
        put(GreenroomSaver(session), [ORDER, Unknown(1)])
        assert get(GreenroomSaver(session)) == [
            {"lines": [{"kind": "tea", "amounts": [1, 2]}]},
            {"x": 1},
        ]
        GreenroomSaver(session).prune(["1"])
    with opened(types=[State, Unknown]) as session:
        assert get(GreenroomSaver(session)) == [ORDER, Unknown(1)]


def test_classes_that_langgraph_lets_through_come_back(opened):
    with opened() as session:
        saver = GreenroomSaver(session)
        put(saver, Unknown(1))
        module = Unknown.__module__
        allowed = saver.with_allowlist([(module, "Unknown"), ("no.such.module", "Name")])
        assert get(allowed) == Unknown(1)


def test_what_langgraph_makes_plainer_is_plainer_here_too(saver):
    value = {
        "counts": defaultdict(int, {"a": 1}),
        "order": OrderedDict(b=2),
        "failed": ValueError("no"),
        "said": [Fancy("x"), True, Size.BIG],
        "send": Send("node", {"failed": ValueError("no")}),
        "call": AIMessage("", tool_calls=[{"name": "f", "args": {"x": Fancy("y")}, "id": "c"}]),
    }
    saver.with_allowlist([(Size.__module__, "Size")])
    put(saver, value)
    assert repr(get(saver)) == repr(
        {
            "counts": {"a": 1},
            "order": {"b": 2},
            "failed": "ValueError('no')",
            "said": ["x", True, Size.BIG],
            "send": Send("node", {"failed": "ValueError('no')"}),
            "call": AIMessage("", tool_calls=[{"name": "f", "args": {"x": "y"}, "id": "c"}]),
        }
    )


def test_what_cannot_be_stored_is_named_and_changes_nothing(saver):
    put(saver, "before")
    with pytest.raises(Unstorable, match=r"x\.here\[0\]: "):
        put(saver, {"here": [print]})
    assert get(saver) == "before"
    put(saver, "after")
    assert get(saver) == "after"


def test_metadata_and_other_fields_of_a_checkpoint_come_back(saver):
    checkpoint = empty_checkpoint() | {
        "versions_seen": {"node": {"x": 1}, "__input__": {}},
        "channel_versions": {"x": "00001.5"},
        "updated_channels": ["x"],
        "pending_sends": [Send("node", 1)],
    }
    place = {"configurable": {**PLACE["configurable"], "user": "u"}, "metadata": {"more": 1}}
    for metadata in ({"source": "input", "step": -1, "parents": {"": "p"}}, {}, {"step": 3}):
        checkpoint["id"] = f"{len(list(saver.list(PLACE)))}"
        saver.put(place, checkpoint, metadata, {})
        back = saver.get_tuple(PLACE)
        assert back.checkpoint == checkpoint
        assert back.metadata == {**metadata, "user": "u", "more": 1}
