"""Graphs of LangGraph's that a test holds in the middle."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import attrs
import trio
from langgraph.graph import StateGraph
from langgraph.types import interrupt

from greenroom.graph.here import tell_trio, to_trio

from .. import stage
from ..double_texting.phases import Engine
from ..stage import State

__all__ = ["LANGGRAPH", "AsyncioHold", "BlockingHold", "StubbornHold", "chain"]

chain = partial(stage.chain, of=StateGraph)


class AsyncioHold(stage.Hold):
    """It waits on the asyncio loop."""

    async def node(self, state: State) -> State:
        word = state["text"]
        self.order.append(f"{word} begins")
        try:
            if word in self.texts:
                tell_trio(self.reached.set)
                await self._wait()
        finally:
            self.order.append(f"{word} ends")
        self.tell(f"did {word}")
        return {"log": [f"did {word}"]}

    async def _wait(self) -> None:
        await to_trio(self.opened.wait)


@attrs.define(eq=False)
class StubbornHold(AsyncioHold):
    """It swallows each CancelledError. `told`: there was one."""

    told: trio.Event = attrs.field(factory=trio.Event)

    async def _wait(self) -> None:
        opened = False
        while not opened:
            try:
                await to_trio(self.opened.wait)
                opened = True
            except asyncio.CancelledError:
                tell_trio(self.told.set)


class BlockingHold(stage.Blocking):
    """A plain function, which waits in a thread of the loop's executor."""

    def node(self, state: State) -> State:
        word = state["text"]
        self.order.append(f"{word} begins")
        if word in self.texts:
            tell_trio(self.reached.set)
            self.opened.wait()
        self.order.append(f"{word} ends")
        self.tell(f"did {word}")
        if word in self.texts:
            self.left.set()
        return {"log": [f"did {word}"]}


# LangGraph carries nodes out in another way where they tell readers something: `test_strategies`.
LANGGRAPH: Any = Engine(
    StateGraph,
    interrupt,
    {stage.Hold: AsyncioHold, stage.Blocking: BlockingHold, stage.Shielded: StubbornHold},
    tell=lambda word: None,
    modes=("values",),
)
