"""An agent as people write it with LangGraph: a chat model, its tools, and a question before money
is spent. Nothing in it knows of Greenroom. In the folder above, `greenroom dev` serves it.
"""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import SystemMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition

from travel_agent.model import ScriptedModel
from travel_agent.tools import TOOLS

SYSTEM = SystemMessage("You help travellers to find flights and to book them.")


def build(model: BaseChatModel) -> StateGraph[Any, Any, Any, Any]:
    speaker = model.bind_tools(TOOLS)

    async def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await speaker.ainvoke([SYSTEM, *state["messages"]])]}

    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node("tools", ToolNode(TOOLS))
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    return builder


# A real one goes here, such as init_chat_model("anthropic:…") of `langchain`, with its key in the
# file that "env" of langgraph.json names.
graph = build(ScriptedModel()).compile()
