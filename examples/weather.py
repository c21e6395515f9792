"""A weather agent whose model is scripted: no key, no network, always the same answer.

It looks the weather up at once and takes a while to write the answer (WEATHER_SECONDS, 3 unless
set), so that there is time to send it a second text.
"""

from __future__ import annotations

import json
import os
from typing import Any, Literal

import trio

from greenroom.graph import END, START, MessagesState, StateGraph

WRITING_SECONDS = float(os.environ.get("WEATHER_SECONDS", "3"))

Message = dict[str, Any]

CITIES = {"sf": "san francisco", "nyc": "new york city"}
FORECASTS = {
    "san francisco": "High 64F. Winds W at 10 to 20 mph. A few clouds from time to time.",
    "new york city": "High 79F. Sunny, with a light breeze from the south.",
}


def search(query: str) -> str:
    city = query.removeprefix("weather in ")
    url = f"https://weather.example/{city.replace(' ', '-')}"
    return json.dumps([{"url": url, "content": FORECASTS[city]}])


def model(messages: list[Message]) -> Message:
    """What a chat model would say: to a question a tool call, to what the tool found a text."""
    last = messages[-1]
    if last["type"] == "tool":
        found = json.loads(last["content"])[0]
        return {"role": "assistant", "content": f"I looked it up for you. {found['content']}"}
    question = str(last["content"]).lower()
    city = next((city for short, city in CITIES.items() if short in question), None)
    if city is None:
        return {"role": "assistant", "content": "I only know the weather in sf and in nyc."}
    call_id, query = f"call_{len(messages)}", {"query": f"weather in {city}"}
    return {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": call_id, "name": "search", "input": query}],
        "tool_calls": [{"type": "tool_call", "id": call_id, "name": "search", "args": query}],
    }


async def agent(state: MessagesState) -> MessagesState:
    answer = model(state["messages"])
    if not answer.get("tool_calls"):
        await trio.sleep(WRITING_SECONDS)
    return {"messages": [answer]}


def use_tool(call: dict[str, Any]) -> Message:
    found = search(**call["args"])
    return {"role": "tool", "tool_call_id": call["id"], "name": call["name"], "content": found}


async def tools(state: MessagesState) -> MessagesState:
    return {"messages": [use_tool(call) for call in state["messages"][-1]["tool_calls"]]}


def wants_tools(state: MessagesState) -> Literal["tools", "__end__"]:
    return "tools" if state["messages"][-1].get("tool_calls") else END


graph_builder = StateGraph(MessagesState)
graph_builder.add_node("agent", agent)
graph_builder.add_node("tools", tools)
graph_builder.add_edge(START, "agent")
graph_builder.add_conditional_edges("agent", wants_tools)
graph_builder.add_edge("tools", "agent")

graph = graph_builder.compile()
