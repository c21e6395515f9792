"""The graphs that are played, and what a turn of each leaves in the state.

Every entry of a state's `log` ends with the tag of the run that wrote it, so that it can be told
who wrote what.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from random import Random
from typing import Annotated, Any, Final, Protocol, TypedDict

import attrs
import trio

from greenroom.graph import START, CompiledStateGraph, RunnableConfig, StateGraph, interrupt
from greenroom.graph.world import current_world

from .determinism import SimulatedWorld

__all__ = ["GRAPHS", "QUESTIONS", "Audience", "Stage", "StagedWorld", "fails_at", "graph"]

# The super-steps of each graph, and the entries that each leaves in the log, in their order.
GRAPHS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "steps": (("a",), ("b",), ("c",)),
    "asks": (("a",), ("ask",), ("b",)),
    "fan": (("one", "three", "two"), ("sum",)),
    "asks_both": (("between", "left", "right"), ("sum",)),
    "nested": (("a",), ("x", "ask", "y"), ("b",)),
    "shielded": (("a",), ("hold",), ("b",)),
    "plain": (("a",), ("plain",), ("b",)),
}
# The nodes that ask, and how often in a row.
QUESTIONS: Final = {"ask": 2, "left": 1, "right": 1}

PAUSES: Final = (0, 0, 0, 0.001, 0.01, 0.1, 0.5)  # seconds that a node takes
LONG: Final = 30.0  # seconds: longer than a run may take
SHIELDED: Final = (0, 0.1, 0.5, 2.0, 3.0)  # seconds, to a grace period of one


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    text: str


class Given(TypedDict, total=False):
    text: str


class Left(TypedDict, total=False):
    log: list[str]


class Audience(Protocol):
    """Who is told which node works for which run."""

    def watched(
        self, node: str, thread_id: str, run_id: str, tag: str
    ) -> AbstractContextManager[None]: ...


def fails_at(text: str) -> str | None:
    """The node that fails in the run that brought the text; not if it is tried by another."""
    return "b" if text.endswith("7") else None


@attrs.define(eq=False)
class Stage:
    """Where the nodes of one process play. `dead`: set when the process is."""

    random: Random
    audience: Audience
    dead: trio.Event = attrs.field(factory=trio.Event)

    async def pause(self) -> None:
        long = self.random.random() < 0.01
        await trio.sleep(LONG if long else self.random.choice(PAUSES))

    def watched(self, node: str, config: RunnableConfig) -> AbstractContextManager[None]:
        own = config["configurable"]
        return self.audience.watched(node, own["thread_id"], own["run_id"], _tag(config))


@attrs.define
class StagedWorld(SimulatedWorld):
    """The world of one process."""

    stage: Stage = attrs.field(kw_only=True)


def _stage() -> Stage:
    world = current_world()
    assert isinstance(world, StagedWorld)
    return world.stage


def _tag(config: RunnableConfig) -> str:
    return str(config["metadata"]["tag"])


def _node(name: str) -> Callable[..., Any]:
    async def node(state: State, config: RunnableConfig) -> State:
        stage, text, tag = _stage(), state.get("text", ""), _tag(config)
        with stage.watched(name, config):
            await stage.pause()
            if fails_at(text) == name and tag == text:
                raise ValueError("no such colour")
            answers = [
                str(interrupt(f"{name} {number} of {text}"))
                for number in range(QUESTIONS.get(name, 0))
            ]
            if answers:
                await stage.pause()
        return {"log": [" ".join([name, *answers, tag])]}

    return node


async def _hold(state: State, config: RunnableConfig) -> State:
    stage = _stage()
    with stage.watched("hold", config), trio.CancelScope(shield=True):
        with trio.move_on_after(stage.random.choice(SHIELDED)):
            await stage.dead.wait()
    return {"log": [f"hold {_tag(config)}"]}


def _plain(state: State, config: RunnableConfig) -> State:
    with _stage().watched("plain", config):
        return {"log": [f"plain {_tag(config)}"]}


@cache
def graph(name: str) -> CompiledStateGraph:
    """One of `GRAPHS`."""
    return _wired([("inner",) if "x" in step else step for step in GRAPHS[name]])


@cache
def _inner() -> CompiledStateGraph:
    builder = StateGraph(State, input_schema=Given, output_schema=Left)
    return _wired([("x",), ("ask",), ("y",)], builder)


def _wired(
    steps: Sequence[tuple[str, ...]], builder: StateGraph | None = None
) -> CompiledStateGraph:
    """Super-steps one after the other."""
    builder = builder or StateGraph(State)
    made: dict[str, Any] = {"hold": _hold, "plain": _plain}
    before: tuple[str, ...] = (START,)
    for step in steps:
        for name in step:
            builder.add_node(name, _inner() if name == "inner" else made.get(name, _node(name)))
            for source in before:
                builder.add_edge(source, name)
        before = step
    return builder.compile()
