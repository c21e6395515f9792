"""Graphs of LangGraph's, as somebody who never heard of Greenroom would have written them."""

from __future__ import annotations

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    text: str
    gate: str  # the file whose coming lets a run go on


def read(state: State) -> Any:
    return {"log": [f"read {state['text']}"]}


async def work(state: State) -> Any:
    gate = Path(state["gate"])
    while not await asyncio.to_thread(gate.exists):  # noqa: ASYNC110  (another process opens it)
        await asyncio.sleep(0.02)
    return {"log": [f"did {state['text']}"]}


async def ask(state: State) -> Any:
    return {"log": [f"told {interrupt('go on?')}"]}


inner = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()


async def approve(state: State) -> Any:
    answered = await inner.ainvoke({"text": state["text"], "log": []})
    return {"log": answered["log"]}


gated = (
    StateGraph(State)
    .add_sequence([read, work])
    .add_edge(START, "read")
    .add_edge("work", END)
    .compile()
)
approved = (
    StateGraph(State)
    .add_sequence([read, approve, work])
    .add_edge(START, "read")
    .add_edge("work", END)
)
