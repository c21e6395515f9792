"""Messages as state."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import convert_to_messages

from greenroom.graph import START, MessagesState, StateGraph, add_messages

HELLO = {"type": "human", "content": "hello", "id": "1"}


def contents(messages: list[dict[str, Any]]) -> list[Any]:
    return [message["content"] for message in messages]


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        ("user", "human"),
        ("human", "human"),
        ("assistant", "ai"),
        ("ai", "ai"),
        ("system", "system"),
    ],
)
def test_a_role_is_stored_as_a_type(role: str, kind: str) -> None:
    (message,) = add_messages([], [{"role": role, "content": "hello"}])
    assert message["type"] == kind
    assert message["content"] == "hello"
    assert "role" not in message


def test_pairs_and_strings_are_messages_too() -> None:
    messages = add_messages([], [("assistant", "hello"), "hi"])
    assert [(m["type"], m["content"]) for m in messages] == [("ai", "hello"), ("human", "hi")]


def test_one_message_need_not_be_a_list() -> None:
    assert contents(add_messages(HELLO, {"role": "user", "content": "again"})) == ["hello", "again"]


def test_ids_are_given_where_they_are_missing() -> None:
    first, second = add_messages([], ["one", "two"])
    assert first["id"]
    assert second["id"]
    assert first["id"] != second["id"]


def test_the_same_id_replaces_in_place() -> None:
    left = add_messages([], [HELLO, {"type": "ai", "content": "hi", "id": "2"}])
    merged = add_messages(left, [{"type": "human", "content": "goodbye", "id": "1"}])
    assert contents(merged) == ["goodbye", "hi"]
    assert contents(left) == ["hello", "hi"]


def test_the_same_id_twice_in_one_update_keeps_the_later() -> None:
    merged = add_messages([], [HELLO, {**HELLO, "content": "goodbye"}])
    assert contents(merged) == ["goodbye"]


def test_a_remove_message_removes_by_id() -> None:
    left = add_messages([], [HELLO, {"type": "ai", "content": "hi", "id": "2"}])
    assert contents(add_messages(left, [{"type": "remove", "id": "1"}])) == ["hi"]


def test_a_removed_message_can_be_written_again() -> None:
    merged = add_messages([HELLO], [{"type": "remove", "id": "1"}, {**HELLO, "content": "again"}])
    assert contents(merged) == ["again"]


def test_removing_an_unknown_id_is_an_error() -> None:
    with pytest.raises(ValueError, match="'nobody'"):
        add_messages([HELLO], [{"type": "remove", "id": "nobody"}])


@pytest.mark.parametrize("wrong", [5, None, {"content": "no role"}, {"role": "user"}])
def test_what_is_no_message_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="message"):
        add_messages([], [wrong])


def test_tool_calls_are_kept_in_one_form_also_those_of_openai() -> None:
    stored = {"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
    function = {"name": "f", "arguments": '{"a": 1}'}
    for given in (
        {"name": "f", "args": {"a": 1}, "id": "c1"},
        {"id": "c1", "type": "function", "function": function},
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}},
    ):
        message = {"role": "assistant", "content": None, "tool_calls": [given]}
        (kept,) = add_messages([], [message])
        assert (kept["content"], kept["tool_calls"]) == ("", [stored])
        assert message["content"] is None
        assert message["tool_calls"] == [given]


@pytest.mark.parametrize(
    "call", ["f", {"function": {"name": "f"}}, {"function": {"name": "f", "arguments": "{"}}]
)
def test_what_is_no_tool_call_is_refused(call: Any) -> None:
    with pytest.raises(ValueError, match="A tool call"):
        add_messages([], [{"role": "ai", "content": "", "tool_calls": [call]}])


def test_a_role_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="'wizard' is no role or type of messages"):
        add_messages([], [{"role": "wizard", "content": "hello"}])


def test_tool_calls_and_other_keys_are_kept() -> None:
    call = {"name": "weather", "args": {"city": "SF"}, "id": "c1", "type": "tool_call"}
    answer = {"role": "tool", "content": "sunny", "tool_call_id": "c1"}
    asked, told = add_messages([], [{"role": "ai", "content": "", "tool_calls": [call]}, answer])
    assert asked["tool_calls"] == [call]
    assert (told["type"], told["tool_call_id"]) == ("tool", "c1")


def test_langchain_core_reads_the_stored_form() -> None:
    stored = add_messages([], [("user", "hello"), ("assistant", "hi"), ("system", "be kind")])
    read = convert_to_messages(stored)
    assert [(m.type, m.content, m.id) for m in read] == [
        (m["type"], m["content"], m["id"]) for m in stored
    ]


async def test_a_conversation_grows_turn_by_turn(thread: Any, wire: Any) -> None:
    async def answer(state: MessagesState) -> Any:
        asked = state["messages"][-1]["content"]
        return {"messages": [{"role": "assistant", "content": f"you said {asked}"}]}

    graph = wire({"answer": answer}, (START, "answer"), state=MessagesState)
    await graph.ainvoke({"messages": [{"role": "user", "content": "one"}]}, thread)
    result = await graph.ainvoke({"messages": [{"role": "user", "content": "two"}]}, thread)
    assert contents(result["messages"]) == ["one", "you said one", "two", "you said two"]
    assert len({message["id"] for message in result["messages"]}) == 4


class WithNotes(MessagesState):
    notes: str


async def test_a_state_of_messages_can_be_extended() -> None:
    builder = StateGraph(WithNotes).add_node("a", lambda state: {"notes": "kept"})
    result = await builder.add_edge(START, "a").compile().ainvoke({"messages": "hello"})
    assert (contents(result["messages"]), result["notes"]) == (["hello"], "kept")
