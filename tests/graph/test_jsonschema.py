"""JSON Schemas of a graph's input, output, state and context."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, TypedDict

import attrs
import pytest

from greenroom.graph import START, StateGraph
from greenroom.graph.jsonschema import json_schema


class Place(TypedDict):
    city: str


class State(TypedDict):
    messages: Annotated[list[str], operator.add]
    where: Place
    user_age: NotRequired[int]


class Odd:
    """A type that JSON knows nothing of."""


@dataclasses.dataclass
class Settings:
    model: str
    temperature: float = 0.5
    tags: list[str] = dataclasses.field(default_factory=list)


@attrs.define
class Options:
    model: str
    tries: int = 3
    tags: list[str] = attrs.field(factory=list)


def compiled(state: Any, context: Any = None) -> Any:
    async def node(state: Any) -> Any:
        return {}

    builder = StateGraph(state, context_schema=context)
    return builder.add_node("a", node).add_edge(START, "a").compile()


def test_a_state_is_an_object_with_its_keys_and_those_that_must_be_given() -> None:
    schema = compiled(State).get_state_jsonschema()
    assert schema["title"] == "State"
    assert schema["properties"] == {
        "messages": {"title": "Messages", "type": "array", "items": {"type": "string"}},
        "where": {"$ref": "#/$defs/Place"},
        "user_age": {"title": "User Age", "type": "integer"},
    }
    assert schema["required"] == ["messages", "where"]
    assert schema["$defs"]["Place"]["properties"] == {"city": {"type": "string"}}


def test_input_and_output_are_the_state_where_nothing_else_is_declared() -> None:
    graph = compiled(State)
    assert graph.get_input_jsonschema() == graph.get_state_jsonschema()
    assert graph.get_output_jsonschema() == graph.get_state_jsonschema()


@pytest.mark.parametrize("context", [Settings, Options])
def test_a_context_class_shows_its_defaults(context: Any) -> None:
    schema = compiled(State, context).get_context_jsonschema()
    assert schema["required"] == ["model"]
    assert schema["properties"]["model"] == {"title": "Model", "type": "string"}
    assert schema["properties"]["tags"]["type"] == "array"
    shown = {name: of["default"] for name, of in schema["properties"].items() if "default" in of}
    assert shown in ({"temperature": 0.5}, {"tries": 3})


def test_a_graph_without_a_context_has_no_schema_of_one() -> None:
    assert compiled(State).get_context_jsonschema() is None


def test_what_json_knows_nothing_of_may_be_anything() -> None:
    class Strange(TypedDict):
        odd: Odd
        odds: list[Odd]
        call: Callable[[], None]
        either: list[int] | tuple[str, str]
        whatever: Any
        rows: list
        tables: dict[str, list]
        notes: dict

    properties = json_schema(Strange)["properties"]
    assert properties["odd"] == {"title": "Odd"}
    assert properties["odds"] == {"title": "Odds", "type": "array", "items": {"title": "Odd"}}
    assert properties["either"] == {}
    assert properties["rows"] == {"title": "Rows", "type": "array", "items": {}}
    assert properties["tables"]["additionalProperties"] == {"type": "array", "items": {}}
    assert properties["notes"] == {"title": "Notes", "type": "object", "additionalProperties": True}
    assert "type" not in {**properties["call"], **properties["whatever"]}
    assert json_schema(Odd) == {"title": "Odd", "type": "object", "properties": {}}


def test_names_that_cannot_be_resolved_may_be_anything() -> None:
    @dataclasses.dataclass
    class Lost:
        key: Nowhere  # type: ignore[name-defined]  # noqa: F821

    schema = json_schema(Lost)
    assert schema["required"] == ["key"]
    assert schema["properties"] == {"key": {"title": "Key"}}


def test_pydantic_models_describe_themselves() -> None:
    pydantic = pytest.importorskip("pydantic")

    child = pydantic.create_model("Child", age=(int, 1))
    model = pydantic.create_model("Model", name=(str, ...), children=(list[child], []))
    holder = dataclasses.make_dataclass("holder", [("model", model), ("models", list[model])])
    own = json_schema(model)
    assert own["required"] == ["name"]
    assert own["properties"]["children"]["items"] == {"$ref": "#/$defs/Child"}
    held = json_schema(holder)
    assert held["properties"]["models"]["items"]["properties"].keys() == {"name", "children"}
    assert held["$defs"].keys() == {"Child"}
    strange = pydantic.create_model("Strange", call=(Callable[[], None], ...))
    assert json_schema(strange) == {"title": "Strange", "type": "object", "properties": {}}
    assert json_schema(model, ["name"])["properties"].keys() == {"name"}
