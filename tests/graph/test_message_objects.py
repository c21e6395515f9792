"""Messages as state, as objects of langchain-core."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from greenroom.graph import (
    REMOVE_ALL_MESSAGES,
    START,
    MessagesState,
    RetryPolicy,
    StateGraph,
    add_messages,
    push_message,
)

CALL = {"name": "weather", "args": {"city": "SF"}, "id": "c1", "type": "tool_call"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "12"}}


class Declared(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


class Formatted(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages(format="langchain-openai")]


def said(messages: list[Any]) -> list[tuple[type[Any], Any]]:
    return [(type(message), message.content) for message in messages]


def test_objects_stay_objects() -> None:
    left = add_messages([], [HumanMessage("hello", id="1")])
    merged = add_messages(left, AIMessage("hi", id="2"))
    assert merged == [HumanMessage("hello", id="1"), AIMessage("hi", id="2")]


def test_the_id_of_an_object_replaces_in_place() -> None:
    left = [HumanMessage("hello", id="1"), AIMessage("hi", id="2")]
    merged = add_messages(left, [HumanMessage("goodbye", id="1")])
    assert merged == [HumanMessage("goodbye", id="1"), AIMessage("hi", id="2")]
    assert left[0].content == "hello"


def test_objects_without_ids_are_given_some_and_the_callers_own_are_left_alone() -> None:
    mine = HumanMessage("hello")
    first, second = add_messages([mine], [AIMessage("hi")])
    assert first.id
    assert second.id
    assert first.id != second.id
    assert mine.id is None


def test_dictionaries_alone_stay_dictionaries() -> None:
    assert [type(one) for one in add_messages([("user", "a")], {"role": "ai", "content": "b"})] == [
        dict,
        dict,
    ]


def test_one_object_among_dictionaries_makes_them_all_objects() -> None:
    asked = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    told = {"role": "tool", "content": "sunny", "tool_call_id": "c1"}
    left = add_messages([], [("system", "be kind"), asked, told])
    merged = add_messages(left, HumanMessage("thanks"))
    assert said(merged) == [
        (SystemMessage, "be kind"),
        (AIMessage, ""),
        (ToolMessage, "sunny"),
        (HumanMessage, "thanks"),
    ]
    assert [one.id for one in merged[:3]] == [one["id"] for one in left]
    assert merged[1].tool_calls == [CALL]
    assert merged[1].additional_kwargs == {}
    assert merged[2].tool_call_id == "c1"


def test_what_an_object_knows_survives_the_way_through_a_dictionary() -> None:
    answer = AIMessage(
        "hi",
        id="1",
        response_metadata={"model": "m"},
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    assert add_messages([answer.model_dump()], [HumanMessage("a", id="2")])[0] == answer


def test_tool_calls_in_the_spelling_of_openai_are_understood_beside_objects() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    asked = {"role": "assistant", "content": "", "tool_calls": [call]}
    (_, message) = add_messages([HumanMessage("a")], [asked])
    assert message.tool_calls == [{"name": "f", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]


def test_a_part_of_a_message_becomes_a_whole_one() -> None:
    (message,) = add_messages([], [AIMessageChunk("hi", id="1")])
    assert type(message) is AIMessage


@pytest.mark.parametrize("gone", [RemoveMessage(id="1"), {"type": "remove", "id": "1"}])
def test_a_remove_message_removes_an_object(gone: Any) -> None:
    left = [HumanMessage("hello", id="1"), AIMessage("hi", id="2")]
    assert add_messages(left, gone) == [AIMessage("hi", id="2")]


def test_a_remove_message_removes_a_dictionary() -> None:
    left = add_messages([], [("user", "a"), ("ai", "b")])
    assert said(add_messages(left, RemoveMessage(id=left[0]["id"]))) == [(AIMessage, "b")]


def test_all_messages_can_be_removed_with_an_object() -> None:
    left = [HumanMessage("hello"), AIMessage("hi")]
    gone = RemoveMessage(id=REMOVE_ALL_MESSAGES)
    assert add_messages(left, [gone]) == []
    assert said(add_messages(left, [HumanMessage("x"), gone, HumanMessage("new")])) == [
        (HumanMessage, "new")
    ]


def test_removing_an_unknown_id_names_it() -> None:
    with pytest.raises(ValueError, match="'nobody'"):
        add_messages([HumanMessage("a")], RemoveMessage(id="nobody"))


def test_what_is_no_message_is_refused_beside_objects_too() -> None:
    with pytest.raises(ValueError, match=r"A message is .*got 5"):
        add_messages([HumanMessage("a")], 5)


@pytest.mark.parametrize("half", [{"left": []}, {"right": []}])
def test_one_list_alone_cannot_be_merged(half: Any) -> None:
    with pytest.raises(ValueError, match="is None"):
        add_messages(**half)


def test_an_unknown_format_is_refused_where_the_reducer_is_made() -> None:
    with pytest.raises(ValueError, match="'anthropic'"):
        add_messages(format="anthropic")  # type: ignore[arg-type]


def test_the_openai_format_gives_objects_with_its_contents() -> None:
    text = {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}}
    (message,) = add_messages(format="langchain-openai")(
        [], {"role": "user", "content": [text, PICTURE]}
    )
    assert message.content == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,12"}},
    ]
    assert message.id


def test_messages_that_the_openai_format_parts_have_an_id_each() -> None:
    results = [{"type": "tool_result", "tool_use_id": at, "content": []} for at in ("1", "2")]
    merge = add_messages(format="langchain-openai")
    formatted = merge([], [HumanMessage(results, id="m")])
    assert [message.tool_call_id for message in formatted] == ["1", "2"]
    assert len({message.id for message in formatted}) == 2
    assert merge(formatted, []) == formatted


def answers(state: Any) -> dict[str, Any]:
    return {"messages": AIMessage(f"you said {state['messages'][-1].content}")}


async def test_a_node_reads_the_objects_of_an_input(thread: Any, wire: Any) -> None:
    graph = wire({"a": answers}, (START, "a"), state=MessagesState)
    await graph.ainvoke({"messages": HumanMessage("one")}, thread)
    result = await graph.ainvoke({"messages": [HumanMessage("two")]}, thread)
    assert [m.content for m in result["messages"]] == ["one", "you said one", "two", "you said two"]
    state = await graph.aget_state(thread)
    assert state.values == result


@pytest.mark.parametrize("state", [Declared, Formatted])
async def test_a_state_that_declares_objects_has_them_whatever_came_in(
    state: Any, thread: Any, wire: Any
) -> None:
    graph = wire({"a": answers}, (START, "a"), state=state)
    result = await graph.ainvoke({"messages": [{"role": "user", "content": "hello"}]}, thread)
    assert said(result["messages"]) == [(HumanMessage, "hello"), (AIMessage, "you said hello")]


def test_two_declarations_of_the_same_messages_agree() -> None:
    class Output(TypedDict):
        messages: Annotated[list[Any], add_messages]

    class FormattedToo(TypedDict):
        messages: Annotated[list[BaseMessage], add_messages(format="langchain-openai")]

    StateGraph(Declared, output_schema=Output)
    StateGraph(Formatted, output_schema=FormattedToo)
    with pytest.raises(ValueError, match="messages"):
        StateGraph(Declared, output_schema=Formatted)


def test_the_schema_of_declared_objects_is_that_of_the_messages() -> None:
    graph = StateGraph(Declared).add_node("a", answers).add_edge(START, "a").compile()
    schema = graph.get_input_jsonschema()
    assert schema["properties"]["messages"]["type"] == "array"
    assert {"AIMessage", "HumanMessage", "ToolMessage"} <= schema["$defs"].keys()


@pytest.mark.parametrize("state", [Declared, MessagesState])
async def test_a_pushed_message_is_streamed_once_and_becomes_part_of_the_state(
    state: Any, thread: Any, wire: Any
) -> None:
    def chat(state: Any) -> dict[str, Any]:
        push_message(AIMessage("first", id="1"))
        push_message(HumanMessage("second", id="2"))
        return {"messages": [AIMessage("third", id="3")]}

    graph = wire({"chat": chat}, (START, "chat"), state=state)
    async with graph.astream({"messages": []}, thread, stream_mode="messages") as chunks:
        told = [(message.content, about["langgraph_node"]) async for message, about in chunks]
    assert told == [("first", "chat"), ("second", "chat"), ("third", "chat")]
    kept = (await graph.aget_state(thread)).values["messages"]
    assert [message.content for message in kept] == ["first", "second", "third"]


async def test_a_pushed_dictionary_needs_no_key_of_the_state(thread: Any, wire: Any) -> None:
    async def chat(state: Any) -> None:
        shown = push_message({"role": "assistant", "content": "psst", "id": "1"}, state_key=None)
        assert shown["type"] == "ai"
        push_message({"role": "assistant", "content": "no such key", "id": "2"}, state_key="nope")

    graph = wire({"chat": chat}, (START, "chat"), state=MessagesState)
    async with graph.astream({"messages": []}, thread, stream_mode="messages") as chunks:
        told = [message["content"] async for message, _ in chunks]
    assert told == ["psst", "no such key"]
    assert (await graph.aget_state(thread)).values == {"messages": []}


@pytest.mark.parametrize("message", [AIMessage("x"), {"role": "ai", "content": "x"}, "x"])
async def test_a_message_without_an_id_cannot_be_pushed(message: Any, wire: Any) -> None:
    graph = wire(
        {"chat": lambda state: push_message(message)},
        (START, "chat"),
        state=MessagesState,
        checkpointer=None,
    )
    with pytest.raises(ValueError, match="needs a message with an id"):
        await graph.ainvoke({"messages": []})


def test_push_message_works_in_nodes_only() -> None:
    with pytest.raises(RuntimeError, match=r"push_message\(\)"):
        push_message(AIMessage("x", id="1"))


async def test_what_a_failed_attempt_pushed_is_not_kept(thread: Any, wire: Any) -> None:
    attempts: list[int] = []

    def chat(state: Any) -> None:
        attempts.append(1)
        push_message(AIMessage(f"attempt {len(attempts)}", id=str(len(attempts))))
        if len(attempts) == 1:
            raise ConnectionError("not yet")

    builder = StateGraph(MessagesState).add_edge(START, "chat")
    builder.add_node("chat", chat, retry_policy=RetryPolicy(initial_interval=0, jitter=False))
    result = await builder.compile().ainvoke({"messages": []})
    assert [message.content for message in result["messages"]] == ["attempt 2"]
