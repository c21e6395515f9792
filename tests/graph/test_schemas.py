"""Ways to declare a state, and schemas of input, output and single nodes."""

from __future__ import annotations

import dataclasses
import operator
from typing import Annotated, Any, NotRequired, Required, TypedDict

import attrs
import pydantic
import pytest

from greenroom.graph import (
    START,
    Command,
    InMemorySaver,
    InvalidUpdateError,
    RemainingSteps,
    Send,
    StateGraph,
)


@dataclasses.dataclass
class Data:
    number: int = 5
    log: Annotated[list[str], operator.add] = dataclasses.field(default_factory=list)
    left: RemainingSteps = 0


@attrs.define
class Attrs:
    number: int = 5
    log: Annotated[list[str], operator.add] = attrs.field(factory=list)
    left: RemainingSteps = 0


class Model(pydantic.BaseModel):
    number: int = 5
    log: Annotated[list[str], operator.add] = []
    note: str | None = None
    left: RemainingSteps = 0


KINDS = pytest.mark.parametrize("kind", [Data, Attrs, Model])


@KINDS
async def test_nodes_and_edges_get_an_instance_with_its_defaults(kind: Any) -> None:
    seen: list[Any] = []

    async def node(state: Any) -> Any:
        seen.append(state)
        return {"log": [str(state.number)]}

    def route(state: Any) -> str:
        seen.append(state)
        return "__end__"

    builder = StateGraph(kind)
    builder.add_node(node)
    builder.add_edge(START, "node").add_conditional_edges("node", route)
    result = await builder.compile().ainvoke({"log": ["in"]}, {"recursion_limit": 4})
    assert result == {"log": ["in", "5"]}
    assert seen == [kind(log=["in"], left=4), kind(log=["in", "5"], left=4)]


@KINDS
async def test_an_instance_is_an_input_and_an_update(wire: Any, kind: Any) -> None:
    def node(state: Any) -> Any:
        return kind(number=state.number + 1, log=["node"])

    graph = wire({"a": node}, (START, "a"), state=kind, checkpointer=None)
    assert await graph.ainvoke(kind(number=1, log=["in"])) == {"number": 2, "log": ["in", "node"]}


@KINDS
async def test_an_instance_is_the_update_of_a_command(wire: Any, kind: Any) -> None:
    nodes = {"a": lambda state: Command(update=kind(number=2, log=["node"]))}
    graph = wire(nodes, (START, "a"), state=kind, checkpointer=None)
    assert await graph.ainvoke({}) == {"number": 2, "log": ["node"]}


@KINDS
async def test_an_update_of_the_state_can_be_an_instance(wire: Any, thread: Any, kind: Any) -> None:
    graph = wire({"a": lambda state: None}, (START, "a"), state=kind)
    await graph.aupdate_state(thread, kind(number=3))
    assert (await graph.aget_state(thread)).values["number"] == 3


@KINDS
async def test_a_node_that_changes_its_instance_changes_nothing_else(
    wire: Any, thread: Any, kind: Any
) -> None:
    graph = wire({"a": lambda state: state.log.append("by the node")}, (START, "a"), state=kind)
    assert await graph.ainvoke({"log": ["in"]}, thread) == {"log": ["in"]}


async def test_a_model_validates_on_the_way_into_a_node(wire: Any) -> None:
    seen: list[Any] = []
    graph = wire(
        {"a": lambda state: seen.append(state.number)}, (START, "a"), state=Model, checkpointer=None
    )
    assert await graph.ainvoke({"number": "3"}) == {"number": "3", "log": []}
    with pytest.raises(pydantic.ValidationError, match="number") as caught:
        await graph.ainvoke({"number": "three"})
    assert caught.value.__notes__ == ["Raised when the state was read as Model, for 'a'"]
    assert seen == [3]


async def test_what_a_node_writes_is_validated_where_it_is_read(wire: Any) -> None:
    nodes = {"a": lambda state: {"number": "three"}, "b": lambda state: None}
    graph = wire(nodes, (START, "a"), ("a", "b"), state=Model, checkpointer=None)
    with pytest.raises(pydantic.ValidationError) as caught:
        await graph.ainvoke({})
    assert caught.value.__notes__ == ["Raised when the state was read as Model, for 'b'"]


class Wrapped(TypedDict):
    needed: Required[Annotated[list[Any], operator.add]]
    optional: Annotated[NotRequired[int], "described"]
    maybe: NotRequired[Annotated[list[Any], operator.add]]


class AllOptional(pydantic.BaseModel):
    note: str | None = None


async def test_an_instance_that_sets_nothing_is_an_input_and_an_update(wire: Any) -> None:
    graph = wire(
        {"a": lambda state: AllOptional(), "b": lambda state: {"note": repr(state)}},
        (START, "a"),
        ("a", "b"),
        state=AllOptional,
        checkpointer=None,
    )
    assert await graph.ainvoke(AllOptional()) == {"note": "AllOptional(note=None)"}


async def test_required_and_optional_keys_keep_their_reducers(wire: Any) -> None:
    graph = wire(
        {"a": lambda state: {"needed": [2], "maybe": [state.get("optional")]}},
        (START, "a"),
        state=Wrapped,
        checkpointer=None,
    )
    assert await graph.ainvoke({"needed": [1]}) == {"needed": [1, 2], "maybe": [None]}


async def test_a_send_brings_what_it_was_given(wire: Any) -> None:
    seen: list[Any] = []
    builder = StateGraph(Model)
    builder.add_node("a", seen.append)
    builder.add_conditional_edges(START, lambda state: Send("a", {"number": "8"}))
    await builder.compile().ainvoke({})
    assert seen == [{"number": "8"}]


@attrs.define
class Private:
    """No state type of any graph."""

    secret: int = 1


@pytest.mark.parametrize("returned", [Private(), Send("a", {}), Data, 1])
async def test_what_is_no_instance_of_the_state_is_no_update(wire: Any, returned: Any) -> None:
    graph = wire({"a": lambda state: returned}, (START, "a"), state=Data, checkpointer=None)
    with pytest.raises(InvalidUpdateError, match="Node 'a' returned"):
        await graph.ainvoke({})


async def test_an_object_of_something_else_is_no_input(wire: Any) -> None:
    graph = wire("a", (START, "a"), state=Data, checkpointer=None)
    with pytest.raises(InvalidUpdateError, match=r"input of a graph.*Private"):
        await graph.ainvoke(Private())


def test_a_type_that_declares_no_keys_is_refused_as_a_state() -> None:
    with pytest.raises(TypeError, match=r"TypedDict, a dataclass.*int"):
        StateGraph(int)


class Question(TypedDict):
    question: str


class Answer(TypedDict):
    answer: str


class Hidden(TypedDict):
    hint: str


class Whole(TypedDict, total=False):
    question: str
    answer: str
    middle: str


@pytest.fixture
def seen() -> list[Any]:
    return []


@pytest.fixture
def parted(seen: list[Any]) -> StateGraph:
    def first(state: Question) -> Any:
        seen.append(state)
        return {"hint": "h", "middle": "m"}

    async def second(state: Hidden) -> Any:
        seen.append(state)
        return {"answer": "a"}

    def third(state: Whole) -> None:
        seen.append(state)

    builder = StateGraph(Whole, input_schema=Question, output_schema=Answer)
    for node in (first, second, third):
        builder.add_node(node)
    return builder.add_edge(START, "first").add_edge("first", "second").add_edge("second", "third")


async def test_each_node_reads_the_keys_of_the_type_it_is_annotated_with(
    parted: StateGraph, seen: list[Any], thread: Any
) -> None:
    graph = parted.compile(checkpointer=InMemorySaver())
    assert await graph.ainvoke({"question": "q", "answer": "given", "x": 1}, thread) == {
        "answer": "a"
    }
    assert seen == [
        {"question": "q"},
        {"hint": "h"},
        {"question": "q", "answer": "a", "middle": "m"},
    ]
    whole = {"question": "q", "answer": "a", "middle": "m", "hint": "h"}
    assert (await graph.aget_state(thread)).values == whole


async def test_values_are_streamed_whole(parted: StateGraph) -> None:
    async with parted.compile().astream({"question": "q"}, stream_mode="values") as chunks:
        streamed = [chunk async for chunk in chunks]
    assert streamed == [
        {"question": "q"},
        {"question": "q", "middle": "m", "hint": "h"},
        {"question": "q", "answer": "a", "middle": "m", "hint": "h"},
    ]


async def test_a_graph_called_as_a_node_takes_its_inputs_and_gives_its_outputs(
    parted: StateGraph, seen: list[Any]
) -> None:
    outer = StateGraph(Whole).add_node("inner", parted.compile()).add_edge(START, "inner")
    assert await outer.compile().ainvoke({"question": "q", "middle": "outer"}) == {
        "question": "q", "answer": "a", "middle": "outer"
    }  # fmt: skip
    assert seen[0] == {"question": "q"}


async def test_a_schema_given_for_a_node_counts_before_its_annotation(seen: list[Any]) -> None:
    def node(state: Whole) -> None:
        seen.append(state)

    builder = StateGraph(Whole).add_node("a", node, input_schema=Question).add_edge(START, "a")
    await builder.compile().ainvoke({"question": "q", "middle": "m"})
    assert seen == [{"question": "q"}]


async def test_a_conditional_edge_reads_what_it_or_its_node_is_annotated_with(
    seen: list[Any],
) -> None:
    def node(state: Question) -> None: ...

    def own(state: Hidden) -> str:
        seen.append(state)
        return "__end__"

    builder = StateGraph(Whole)
    builder.add_conditional_edges("node", own)
    builder.add_conditional_edges("node", lambda state: seen.append(state) or "__end__")
    builder.add_node(node).add_edge(START, "node")
    await builder.compile().ainvoke({"question": "q", "middle": "m"})
    assert seen == [{}, {"question": "q"}]


class Folded(TypedDict):
    question: Annotated[list[str], operator.add]


def test_a_key_that_two_types_declare_differently_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'question' of Folded"):
        StateGraph(Whole, input_schema=Folded)


def test_a_plain_key_is_whatever_the_first_type_says() -> None:
    builder = StateGraph(Folded, input_schema=Question)
    assert builder.channels == StateGraph(Folded).channels


def test_what_an_agreeing_type_adds_is_no_conflict() -> None:
    class More(Folded):
        extra: str

    assert list(StateGraph(Folded, output_schema=More).channels) == ["question", "extra"]
