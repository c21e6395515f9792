"""Which classes a graph's schemas declare."""

from __future__ import annotations

import enum
import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    TypedDict,
    TypeVar,
)

import attrs
import pydantic
import pytest
from langchain_core.messages import AIMessage, BaseMessage

from greenroom.graph import START, MessagesState, StateGraph, Topic, add_messages
from greenroom.graph.declared import Messages, declared_types

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Leaf:
    n: int


@attrs.define
class Branch:
    leaf: Leaf | None
    next: Branch | None = None
    apart: ClassVar[Apart | None] = None


class Apart(NamedTuple):
    n: int


@dataclass
class Box(Generic[T]):
    value: T


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    branches: list[Branch]
    maybe: dict[str, Literal[Colour.RED]] = {}


class Inner(TypedDict, total=False):
    branch: Branch
    hidden: Missing  # noqa: F821 - of another module, say, that only type checkers import


Kilo = NewType("Kilo", Leaf)


@pytest.mark.parametrize(
    ("annotation", "classes"),
    [
        (int, set()),
        (Any, set()),
        (None, set()),
        (list[Leaf], {Leaf}),
        (dict[str, tuple[Leaf, ...]], {Leaf}),
        (Mapping[Colour, Sequence[set[Apart]]], {Colour, Apart}),
        (Leaf | Apart | None, {Leaf, Apart}),
        (Annotated[list[Leaf], operator.add], {Leaf}),
        (Annotated[list[Any], Topic(Leaf)], {Leaf}),
        (NotRequired[Leaf], {Leaf}),
        (Literal[Colour.RED, "x"], {Colour}),
        (Kilo, {Leaf}),
        (Branch, {Branch, Leaf}),
        (Box[Leaf], {Box, Leaf}),
        (Model, {Model, Branch, Leaf, Colour}),
        (Inner, {Branch, Leaf}),
        (type(None) | type[Leaf], {Leaf}),
    ],
    ids=str,
)
def test_an_annotation_declares_the_classes_that_it_names(
    annotation: Any, classes: set[type]
) -> None:
    assert declared_types([annotation]) == classes


def test_any_message_declares_all_messages() -> None:
    assert declared_types([list[BaseMessage]]) == {BaseMessage, Messages}
    assert declared_types([MessagesState]) == {Messages}
    assert declared_types([Annotated[list[Any], add_messages]]) == {Messages}
    assert declared_types([Annotated[list[Any], functools.partial(add_messages)]]) == {Messages}
    assert declared_types([list[AIMessage]]) == {AIMessage}


def test_a_model_knows_names_that_only_it_can_resolve() -> None:
    class Local(enum.Enum):
        ONE = 1

    class OfLocal(pydantic.BaseModel):
        local: Local | None = None

    assert declared_types([OfLocal]) == {OfLocal, Local}


def test_a_graph_declares_what_any_of_its_schemas_names_and_what_graphs_inside_it_do() -> None:
    class State(TypedDict, total=False):
        colour: Colour

    @dataclass
    class Context:
        apart: Apart

    @dataclass
    class Task:
        leaves: list[Leaf] = field(default_factory=list)

    def work(task: Task) -> None: ...

    def leaf(state: Branch) -> None: ...

    class Deeper(TypedDict, total=False):
        kept: Box[int]

    inner = StateGraph(Deeper).add_node("leaf", leaf, input_schema=Branch).add_edge(START, "leaf")
    builder = StateGraph(State, Context, output_schema=Model)
    builder.add_node("work", work, input_schema=Task).add_node("inner", inner.compile())
    builder.add_edge(START, "work")
    assert set(builder.compile().declared) == {
        *(Colour, Context, Apart, Task, Leaf, Model, Branch, Box),
    }
