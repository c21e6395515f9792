"""The graph that is texted twice: it hears, thinks for a while, and answers."""

from __future__ import annotations

import operator
from typing import Annotated, TypedDict

import anyio

from greenroom.graph import END, START, StateGraph


class Talk(TypedDict):
    text: str
    seconds: float
    log: Annotated[list[str], operator.add]


async def hear(state: Talk) -> dict[str, list[str]]:
    return {"log": [f"heard {state['text']}"]}


async def think(state: Talk) -> dict[str, list[str]]:
    await anyio.sleep(state["seconds"])
    return {"log": []}


async def answer(state: Talk) -> dict[str, list[str]]:
    return {"log": [f"answered {state['text']}"]}


talk = (
    StateGraph(Talk)
    .add_node(hear)
    .add_node(think)
    .add_node(answer)
    .add_edge(START, "hear")
    .add_edge("hear", "think")
    .add_edge("think", "answer")
    .add_edge("answer", END)
    .compile()
)
