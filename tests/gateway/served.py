"""Graphs for a server in a process of its own."""

from __future__ import annotations

from typing import TypedDict

import trio

from greenroom.graph import END, START, StateGraph


class State(TypedDict, total=False):
    text: str


async def wait(state: State) -> State:
    await trio.sleep_forever()
    return {}


async def refuse_to_stop(state: State) -> State:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()
    return {}


def of(node: object) -> StateGraph:
    builder = StateGraph(State)
    builder.add_node("node", node)
    builder.add_edge(START, "node")
    builder.add_edge("node", END)
    return builder


waits = of(wait)
stubborn = of(refuse_to_stop)
