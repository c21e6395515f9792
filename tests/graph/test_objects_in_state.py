"""Objects in the state are everybody's own, but for those that are never stored."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, TypedDict

import attrs
import pydantic
import pytest

from greenroom.graph import START, InMemorySaver, Send, StateGraph, UntrackedValue, interrupt
from greenroom.graph.isolation import isolated, own_container


@dataclass
class Item:
    tags: list[str] = field(default_factory=list)


@attrs.define
class Slotted:
    tags: list[str]
    unset: int = attrs.field(init=False)


@dataclass(frozen=True)
class Frozen:
    item: Item


class Pair(NamedTuple):
    left: list[str]
    right: Any = None


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    tags: list[str]
    _seen: list[str] = pydantic.PrivateAttr(default_factory=list)


class Handle:
    """Of no kind that is copied."""


@attrs.define(eq=False)
class Connection:
    """That only a run has."""

    sent: list[str] = attrs.field(factory=list)


class State(TypedDict, total=False):
    items: Annotated[list[Any], operator.add]
    connection: Annotated[Connection, UntrackedValue]
    text: str


def tags_of(value: Any) -> list[str]:
    match value:
        case Frozen(item):
            return item.tags
        case Pair(left):
            return left
        case _:
            tags: list[str] = value.tags
            return tags


@pytest.mark.parametrize(
    "value",
    [Item(["a"]), Slotted(["a"]), Frozen(Item(["a"])), Pair(["a"]), Model(tags=["a"], more=["a"])],
    ids=repr,
)
def test_a_copy_of_an_object_shares_nothing_that_can_be_changed(value: Any) -> None:
    copy = isolated({"deep": (value,)})["deep"][0]
    assert type(copy) is type(value)
    tags_of(copy).append("changed")
    if isinstance(value, Model):
        copy._seen.append("changed")
        copy.model_extra["more"].append("changed")
        assert (value._seen, value.model_extra) == ([], {"more": ["a"]})
        assert copy.model_fields_set == {"tags", "more"}
    assert tags_of(value) == ["a"]


def test_a_copy_keeps_what_is_no_field_and_other_objects_are_shared() -> None:
    item, handle = Item(), Handle()
    item.handle = handle  # type: ignore[attr-defined]
    assert isolated(item).handle is handle
    assert isolated([handle])[0] is handle


def test_a_reducer_gets_an_object_of_its_own() -> None:
    item = Item(["a"])
    copy = own_container(item)
    copy.tags = ["changed"]
    assert item == Item(["a"])


async def test_a_handle_that_is_never_stored_is_the_same_for_all_nodes() -> None:
    connection = Connection()

    def spread(state: State) -> Any:
        state["connection"].sent.append("spread")
        return {"connection": state["connection"]}

    def fan(state: State) -> list[Send]:
        return [Send("work", {"connection": state["connection"], "items": [Item(["sent"])]})]

    def work(state: State) -> Any:
        state["connection"].sent.append("work")
        state["items"][0].tags.append("changed")
        assert state["connection"] is connection

    builder = StateGraph(State).add_node(spread).add_node(work)
    builder.add_edge(START, "spread").add_conditional_edges("spread", fan)
    result = await builder.compile().ainvoke({"connection": connection})
    assert result["connection"] is connection
    assert connection.sent == ["spread", "work"]


async def test_a_node_that_runs_again_gets_its_sent_object_as_it_was() -> None:
    seen: list[Any] = []

    def work(state: Any) -> Any:
        seen.append(list(state["items"][0].tags))
        state["items"][0].tags.append("changed")
        return {"text": interrupt("?")} if len(seen) < 3 else None

    builder = StateGraph(State).add_node(work)
    builder.add_conditional_edges(START, lambda state: [Send("work", {"items": [Item(["a"])]})])
    graph = builder.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    for given in ({"text": "go"}, None, None):
        await graph.ainvoke(given, config)
    assert seen == [["a"]] * 3
