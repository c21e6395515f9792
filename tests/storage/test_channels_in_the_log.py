"""What the log keeps of channels that fade or are not tracked."""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Annotated, Any, TypedDict

import attrs
import pytest

from greenroom.graph import (
    START,
    Command,
    EphemeralValue,
    Overwrite,
    Send,
    StateGraph,
    UntrackedValue,
    interrupt,
)
from greenroom.storage import InsertThread, MemoryStorage, StorageSession, ThreadLog
from greenroom.storage.testing import make_thread

CONFIG: Any = {"configurable": {"thread_id": "t"}}


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    brief: Annotated[int, EphemeralValue]
    handle: Annotated[object, UntrackedValue]
    plain: int


class Handle:
    """Something that no log can store."""


@attrs.define
class Saver:
    """A checkpointer whose one thread can be opened again as if by another process."""

    session: StorageSession
    opened: ThreadLog

    def log(self, thread_id: str, declared: Collection[type] = ()) -> ThreadLog:
        return self.opened

    async def reopen(self) -> None:
        await self.opened.flush()
        self.opened = await ThreadLog.open(self.session, "t")


@pytest.fixture
async def saver():
    async with StorageSession(MemoryStorage()) as session:
        await session.commit([InsertThread(make_thread())])
        yield Saver(session, await ThreadLog.open(session, "t"))


async def test_an_untracked_value_is_in_no_checkpoint_input_send_or_pending_write(saver):
    def spread(state: State) -> Any:
        sends = [Send("use", {"handle": state["handle"], "plain": 1})]
        return Command(update={"handle": Handle()}, goto=sends)

    def use(state: State) -> Any:
        return {"log": [type(state["handle"]).__name__], "handle": Handle()}

    def ask(state: State) -> Any:
        return {"log": [interrupt("?")]}

    builder = StateGraph(State)
    for node in (spread, use, ask):
        builder.add_node(node)
    builder.add_edge(START, "spread").add_edge("spread", "ask")
    graph = builder.compile(checkpointer=saver)
    assert "__interrupt__" in await graph.ainvoke({"handle": Handle()}, CONFIG)
    await saver.reopen()
    result = await graph.ainvoke(Command(resume="yes"), CONFIG)
    assert result == {"log": ["yes", "Handle"]}


async def test_a_value_that_faded_is_gone_from_a_log_that_is_opened_again(saver):
    builder = StateGraph(State)
    builder.add_node("a", lambda state: {"brief": 1, "plain": 1})
    builder.add_node("b", lambda state: None)
    builder.add_edge(START, "a").add_edge("a", "b")
    graph = builder.compile(checkpointer=saver)
    await graph.ainvoke({}, CONFIG)
    await saver.reopen()
    history = [s.values.get("brief") async for s in graph.aget_state_history(CONFIG)]
    assert history == [None, 1, None, None]
    assert (await graph.aget_state(CONFIG)).values == {"log": [], "plain": 1}


async def test_an_overwrite_that_waits_for_a_sibling_is_kept(saver):
    builder = StateGraph(State)
    builder.add_node("a", lambda state: {"log": Overwrite(["new"])})
    builder.add_node("ask", lambda state: {"plain": interrupt("?")})
    builder.add_edge(START, "a").add_edge(START, "ask")
    graph = builder.compile(checkpointer=saver)
    await graph.ainvoke({"log": ["old"]}, CONFIG)
    await saver.reopen()
    assert await graph.ainvoke(Command(resume=1), CONFIG) == {"log": ["new"], "plain": 1}
