"""What a run leaves in the log, and when: durability."""

from __future__ import annotations

import operator
from collections.abc import Collection
from contextlib import suppress
from typing import Annotated, Any, TypedDict

import pytest
import trio

from greenroom.graph import START, Command, InMemorySaver, StateGraph, interrupt


class State(TypedDict):
    log: Annotated[list[str], operator.add]
    value: str


def says(name: str) -> Any:
    async def node(state: State) -> dict[str, Any]:
        return {"log": [name]}

    return node


async def ask(state: State) -> dict[str, Any]:
    return {"value": interrupt("?")}


def chain(**nodes: Any) -> Any:
    builder = StateGraph(State)
    before = START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(before, name)
        before = name
    return builder.compile(checkpointer=InMemorySaver())


@pytest.fixture
def thread() -> Any:
    return {"configurable": {"thread_id": "1"}}


async def steps(graph: Any, config: Any) -> list[tuple[str, int]]:
    history = [state async for state in graph.aget_state_history(config)]
    return [(state.metadata["source"], state.metadata["step"]) for state in history]


async def test_exit_keeps_only_the_last_checkpoint_of_a_run(thread: Any) -> None:
    graph = chain(a=says("a"), b=says("b"))
    assert (await graph.ainvoke({"log": ["x"]}, thread, durability="exit"))["log"] == [*"xab"]
    assert await steps(graph, thread) == [("loop", 2)]

    assert (await graph.ainvoke({"log": ["y"]}, thread, durability="exit"))["log"] == [*"xabyab"]
    newest, oldest = [state async for state in graph.aget_state_history(thread)]
    assert newest.parent_config == oldest.config


async def test_a_run_that_keeps_only_its_last_checkpoint_can_pause_and_resume(thread: Any) -> None:
    graph = chain(a=says("a"), ask=ask, b=says("b"))
    paused = await graph.ainvoke({"log": []}, thread, durability="exit")
    assert [question.value for question in paused["__interrupt__"]] == ["?"]
    assert (await graph.aget_state(thread)).next == ("ask",)

    done = await graph.ainvoke(Command(resume="yes"), thread, durability="exit")
    assert (done["log"], done["value"]) == (["a", "b"], "yes")


async def test_a_run_that_keeps_only_its_last_checkpoint_can_pause_inside(thread: Any) -> None:
    inner = StateGraph(State).add_node("ask", ask).add_edge(START, "ask").compile()
    graph = chain(a=says("a"), inner=inner)
    await graph.ainvoke({"log": []}, thread, durability="exit")
    assert (await graph.ainvoke(Command(resume="yes"), thread))["value"] == "yes"


@pytest.mark.parametrize("ending", ["failed", "cancelled"])
async def test_what_a_cut_run_had_done_is_kept_with_exit_too(thread: Any, ending: str) -> None:
    broken, reached = True, trio.Event()

    async def last(state: State) -> dict[str, Any]:
        reached.set()
        if broken and ending == "failed":
            raise OSError("down")
        if broken:
            await trio.sleep_forever()
        return {"log": ["last"]}

    graph = chain(a=says("a"), last=last)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            with suppress(OSError):
                await graph.ainvoke({"log": []}, thread, durability="exit")

        nursery.start_soon(run)
        await reached.wait()
        nursery.cancel_scope.cancel()
    assert (await graph.aget_state(thread)).next == ("last",)

    broken = False
    assert (await graph.ainvoke(None, thread))["log"] == ["a", "last"]


class Noted(InMemorySaver):
    """A saver whose logs note what is done to them."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[str] = []

    def log(self, thread_id: str, declared: Collection[type] = ()) -> Any:
        kept, order = super().log(thread_id), self.order

        class Log:
            load, hand_over = kept.load, kept.hand_over

            def append(self, record: Any) -> None:
                order.append("append")
                kept.append(record)

            async def flush(self) -> None:
                order.append("flush")
                await kept.flush()

        return Log()


async def test_sync_waits_for_the_log_before_the_next_super_step(thread: Any) -> None:
    graph = chain(a=says("a"), b=says("b"))
    graph.checkpointer = noted = Noted()
    await graph.ainvoke({"log": []}, thread, durability="sync")
    # The input goes with the state that it leads to; what is left is flushed at the end.
    steps = ["append", "append", "flush", "append", "flush", "append", "flush"]
    assert noted.order == steps


async def test_checkpoints_that_are_not_kept_are_nobodys_parents(thread: Any) -> None:
    graph = chain(a=says("a"), b=says("b"))
    for durability, has_parents in (("exit", [False] * 4), ("async", [True] * 4)):
        given: Any = {"log": []}
        async with graph.astream(
            given, thread, stream_mode="checkpoints", durability=durability
        ) as chunks:
            shown = [chunk["parent_config"] is not None async for chunk in chunks]
        assert shown == has_parents
