"""What langchain's objects give is often of a class of its own, such as the text of a message."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import MessagesState, StateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from ..conftest import Serve


class State(MessagesState):
    found: Any


async def answer(state: State, runtime: Runtime) -> dict[str, Any]:
    text = state["messages"][-1].text
    assert type(text) is not str
    await runtime.store.aput(("texts",), "last", {"text": text})
    counts = defaultdict(int, {text: 1})
    call = {"name": "find", "args": {"text": text}, "id": "c"}
    return {
        "messages": [AIMessage(text, tool_calls=[call])],
        "found": [text, counts, ValueError(text)],
    }


async def ask(state: State) -> dict[str, Any]:
    return {"found": interrupt(state["messages"][-1].text)}


async def test_texts_of_messages_and_the_like_are_stored_as_plain_ones(serve: Serve) -> None:
    builder = StateGraph(State)
    builder.add_sequence([answer, ask])
    builder.set_entry_point("answer")
    async with serve(builder.compile()) as room:
        client = room.client
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "agent", input={"messages": [HumanMessage("hi")]})
        state = await client.threads.get_state(thread_id)
        item = await client.store.get_item(("texts",), "last")
    async with serve(builder.compile()) as room:
        after = await room.client.threads.get_state(thread_id)

    for values in (state["values"], after["values"]):
        assert values["found"] == ["hi", {"hi": 1}, "ValueError('hi')"]
        [call] = values["messages"][-1].tool_calls
        assert type(call["args"]["text"]) is str
    assert [one["value"] for one in after["interrupts"]] == ["hi"]
    assert item is not None
    assert item["value"] == {"text": "hi"}
