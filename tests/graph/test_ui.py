"""Components of a user interface as state."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import pytest

from greenroom.graph import (
    START,
    AnyUIMessage,
    delete_ui_message,
    push_ui_message,
    ui_message_reducer,
)


class State(TypedDict, total=False):
    ui: Annotated[list[AnyUIMessage], ui_message_reducer]
    others: Annotated[list[AnyUIMessage], ui_message_reducer]


def shown(ident: str, **props: Any) -> Any:
    return {"type": "ui", "id": ident, "name": "card", "props": props, "metadata": {}}


def test_the_same_id_replaces_and_a_new_one_appends() -> None:
    merged = ui_message_reducer([shown("1", a=1), shown("2")], [shown("1", b=2), shown("3")])
    assert merged == [shown("1", b=2), shown("2"), shown("3")]


def test_props_are_added_where_the_metadata_says_so() -> None:
    more = {**shown("1", b=2), "metadata": {"merge": True}}
    (merged,) = ui_message_reducer([shown("1", a=1, b=1)], more)
    assert merged["props"] == {"a": 1, "b": 2}


def test_a_removed_component_is_gone_and_may_come_back() -> None:
    gone: Any = {"type": "remove-ui", "id": "1"}
    assert ui_message_reducer([shown("1"), shown("2")], gone) == [shown("2")]
    assert ui_message_reducer([shown("1")], [gone, shown("1", a=1)]) == [shown("1", a=1)]


def test_removing_an_unknown_component_names_it() -> None:
    with pytest.raises(ValueError, match="'nobody'"):
        ui_message_reducer([], [{"type": "remove-ui", "id": "nobody"}])


async def test_a_component_is_streamed_and_becomes_part_of_the_state(
    thread: Any, wire: Any
) -> None:
    def node(state: State) -> None:
        card = push_ui_message("card", {"city": "SF"}, message={"id": "m1"}, metadata={"x": 1})
        push_ui_message("card", {"sun": True}, id=card["id"], merge=True)
        push_ui_message("hint", {}, id="h", state_key=None)

    graph = wire({"node": node}, (START, "node"), state=State)
    async with graph.astream(
        {}, {**thread, "tags": ["t"], "run_id": "r"}, stream_mode="custom"
    ) as chunks:
        told = [chunk async for chunk in chunks]
    assert [(one["name"], one["props"]) for one in told] == [
        ("card", {"city": "SF"}),
        ("card", {"sun": True}),
        ("hint", {}),
    ]
    assert told[0]["metadata"] == {
        "merge": False,
        "run_id": "r",
        "tags": ["t"],
        "name": None,
        "x": 1,
        "message_id": "m1",
    }
    (card,) = (await graph.aget_state(thread)).values["ui"]
    assert card["props"] == {"city": "SF", "sun": True}


async def test_a_component_can_be_taken_away_by_a_later_node(thread: Any, wire: Any) -> None:
    async def show(state: State) -> None:
        push_ui_message("card", {}, id="1", state_key="others")

    async def hide(state: State) -> None:
        assert [one["id"] for one in state["others"]] == ["1"]
        delete_ui_message("1", state_key="others")

    graph = wire({"show": show, "hide": hide}, (START, "show"), ("show", "hide"), state=State)
    async with graph.astream({}, thread, stream_mode="custom") as chunks:
        assert [chunk["type"] async for chunk in chunks] == ["ui", "remove-ui"]
    assert (await graph.aget_state(thread)).values["others"] == []


def test_components_are_shown_by_nodes_only() -> None:
    with pytest.raises(RuntimeError, match=r"push_ui_message\(\)"):
        push_ui_message("card", {})
