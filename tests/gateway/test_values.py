"""Whatever a state can hold, a client gets as JSON."""

from __future__ import annotations

import enum
import math
import operator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, NamedTuple, TypedDict
from uuid import UUID

import attrs
import httpx
import pydantic
import pytest
from langchain_core.messages import AIMessage, AnyMessage

from greenroom.graph import START, CompiledStateGraph, StateGraph, interrupt

from .conftest import events_of


class Mood(enum.Enum):
    GOOD = "good"


@dataclass
class Item:
    name: str


@attrs.frozen
class Point:
    x: Any


class Pair(NamedTuple):
    left: Any
    right: Any


class Model(pydantic.BaseModel):
    when: datetime
    inner: Any = None


class Held(TypedDict, total=False):
    items: list[Item]
    points: dict[str, Point]
    model: Model
    mood: Mood
    messages: Annotated[list[AnyMessage], operator.add]
    anything: Any


def nested(depth: int) -> Any:
    value: Any = "\ud800"
    for _ in range(depth):
        value = Point(value)
    return value


def many_levels(value: Any) -> int:
    levels = 0
    while isinstance(value, dict):
        value, levels = value["x"], levels + 1
    return levels


WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "items": [Item("a")],
    "points": {"p": Point((1, {2}))},
    "model": Model(when=WHEN, inner=Pair(Mood.GOOD, b"\x00\xff")),
    "mood": Mood.GOOD,
    "messages": [AIMessage("hi \ud800", id="m")],
    "anything": [
        *(WHEN, date(2026, 1, 2), time(3, 4), timedelta(hours=1), Decimal("1.10"), UUID(int=5)),
        *(PurePosixPath("a/b"), frozenset([1]), 2**70, math.nan, -math.inf, "\ud800"),
        {Mood.GOOD: 1, (1, 2): 2, None: 3, Point(1): 4},
    ],
}
SHOWN = {
    "items": [{"name": "a"}],
    "points": {"p": {"x": [1, [2]]}},
    "model": {"when": "2026-01-02T03:04:05Z", "inner": ["good", "AP8="]},
    "mood": "good",
    "anything": [
        *("2026-01-02T03:04:05Z", "2026-01-02", "03:04:00", "PT3600S", "1.10", str(UUID(int=5))),
        *("a/b", [1], 2**70, None, None, "\ufffd"),
        {"good": 1, "(1, 2)": 2, "null": 3, "Point(x=1)": 4},
    ],
}


@pytest.fixture
def graphs() -> dict[str, CompiledStateGraph]:
    def fill(state: Held) -> Any:
        return VALUES

    def ask(state: Held) -> Any:
        return {"anything": interrupt(VALUES)}

    def dig(state: Held) -> Any:
        return {"anything": nested(200)}

    holds = StateGraph(Held).add_sequence([fill, ask]).add_edge(START, "fill")
    digs = StateGraph(Held).add_node(dig).add_edge(START, "dig")
    return {"holds": holds.compile(), "digs": digs.compile()}


def without_messages(values: dict[str, Any]) -> dict[str, Any]:
    [message] = values["messages"]
    assert (message["type"], message["content"], message["id"]) == ("ai", "hi \ufffd", "m")
    return {key: value for key, value in values.items() if key not in ("messages", "__interrupt__")}


async def test_every_route_shows_values_of_every_type(http: httpx.AsyncClient, thread: str) -> None:
    body = {
        "assistant_id": "holds",
        "input": {},
        "stream_mode": ["values", "updates", "tasks", "checkpoints", "debug", "messages"],
        "stream_resumable": True,
    }
    stream = await http.post(f"{thread}/runs/stream", json=body)
    assert "error" not in [event["event"] for event in events_of(stream.text)]
    answers = [
        await http.get(thread),
        await http.get(f"{thread}/state"),
        await http.get(f"{thread}/history?limit=10"),
        await http.get(f"{thread}/runs"),
        await http.post("/threads/search", json={"values": {"items": [{"name": "a"}]}}),
        await http.post(f"{thread}/runs/wait", json={"assistant_id": "holds", "input": None}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 6
    shown, state, history, _, found, again = [answer.json() for answer in answers]
    for values in (shown["values"], state["values"], history[0]["values"], again):
        assert without_messages(values) == SHOWN
    [[question]] = shown["interrupts"].values()
    assert without_messages(question["value"]) == SHOWN
    assert [one["thread_id"] for one in found] == [shown["thread_id"]]


async def test_the_deepest_value_that_is_stored_is_shown(
    http: httpx.AsyncClient, thread: str
) -> None:
    body = {"assistant_id": "digs", "input": {}}
    done = await http.post(f"{thread}/runs/wait", json=body)
    assert many_levels(done.json()["anything"]) == 200
    history = await http.get(f"{thread}/history?limit=10")
    assert many_levels(history.json()[0]["values"]["anything"]) == 200
