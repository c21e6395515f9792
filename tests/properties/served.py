"""Graphs for a server that strangers try."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

from greenroom.graph import END, START, StateGraph, interrupt


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]


async def say(state: State) -> State:
    return {"log": ["said"]}


async def ask(state: State) -> State:
    return {"log": [interrupt("sure?")]}


async def fail(state: State) -> State:
    raise OSError("disk /dev/sda1 is full")


def of(node: Any) -> StateGraph:
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder


says, asks, fails = of(say), of(ask), of(fail)
