"""Graphs that a test holds in the middle, and which commits it means."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, Any, TypedDict

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from greenroom.actors import Client
from greenroom.graph import END, START, CompiledStateGraph, StateGraph
from greenroom.storage import UNFINISHED, Operation, PutRun


class State(TypedDict, total=False):
    log: Annotated[list[Any], operator.add]
    text: str


Node = Callable[..., Any]


def chain(*, state: Any = State, of: Any = StateGraph, **nodes: Any) -> Any:
    """A graph of nodes in a row. Options of `compile` are given as `compile={…}`. `of`: the class
    of the builder."""
    options = nodes.pop("compile", {})
    builder = of(state)
    names = [START, *nodes, END]
    for name, node in nodes.items():
        builder.add_node(name, node)
    for source, target in pairwise(names):
        builder.add_edge(source, target)
    return builder.compile(**options)


def parallel(**nodes: Any) -> CompiledStateGraph:
    """A graph of nodes side by side."""
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(START, name)
    return builder.compile()


def says(word: Any) -> Node:
    async def node(state: State) -> State:
        return {"log": [word]}

    return node


async def fails(state: State) -> State:
    raise ValueError("no such colour")


def text(word: str) -> dict[str, Any]:
    """An input that leaves its word in the log."""
    return {"log": [word], "text": word}


def _nobody(what: str) -> None: ...


@attrs.define(eq=False)
class Hold:
    """A node that waits if the newest text is one of `texts`. `reached`: it waits now.

    `order`: what has happened, in order, as far as the test has it recorded. `tell`: is told what
    it has done, before that is returned.
    """

    texts: Sequence[str] = ("slow",)
    order: list[str] = attrs.field(factory=list)
    reached: trio.Event = attrs.field(factory=trio.Event)
    opened: trio.Event = attrs.field(factory=trio.Event)
    tell: Callable[[str], None] = _nobody

    def open(self) -> None:
        self.opened.set()

    async def node(self, state: State) -> State:
        word = state["text"]
        self.order.append(f"{word} begins")
        try:
            if word in self.texts:
                self.reached.set()
                await self._wait()
        finally:
            self.order.append(f"{word} ends")
        self.tell(f"did {word}")
        return {"log": [f"did {word}"]}

    async def _wait(self) -> None:
        await self.opened.wait()


class Shielded(Hold):
    """It will not be cancelled."""

    async def _wait(self) -> None:
        with trio.CancelScope(shield=True):
            await self.opened.wait()


@attrs.define(eq=False)
class Blocking:
    """As `Hold`, but a plain function, which waits in its worker thread."""

    texts: Sequence[str] = ("slow",)
    order: list[str] = attrs.field(factory=list)
    reached: trio.Event = attrs.field(factory=trio.Event)
    opened: threading.Event = attrs.field(factory=threading.Event)
    left: threading.Event = attrs.field(factory=threading.Event)
    tell: Callable[[str], None] = _nobody

    def open(self) -> None:
        self.opened.set()

    def node(self, state: State) -> State:
        word = state["text"]
        self.order.append(f"{word} begins")
        if word in self.texts:
            trio.from_thread.run_sync(self.reached.set)
            self.opened.wait()
        self.order.append(f"{word} ends")
        self.tell(f"did {word}")
        if word in self.texts:
            self.left.set()
        return {"log": [f"did {word}"]}


def ends_a_run(operation: Operation) -> bool:
    return isinstance(operation, PutRun) and operation.run.status not in UNFINISHED


def is_a(*kinds: type[Operation]) -> Callable[[Operation], bool]:
    return lambda operation: isinstance(operation, kinds)


async def new_thread(client: Client, **options: Any) -> str:
    thread_id: str = (await client.threads.create(**options))["thread_id"]
    return thread_id


async def log_of(client: Client, thread_id: str) -> list[Any]:
    values = (await client.threads.get(thread_id))["values"] or {}
    log: list[Any] = values.get("log", [])
    return log


async def statuses(client: Client, thread_id: str) -> list[str]:
    """Of the thread's runs, oldest first."""
    return [run["status"] for run in reversed(await client.runs.list(thread_id, limit=100))]


async def status(client: Client, thread_id: str) -> str:
    answer: str = (await client.threads.get(thread_id))["status"]
    return answer


async def tasks() -> int:
    """How many tasks the one that asks has under it, once those about to end have ended."""
    await wait_all_tasks_blocked()

    def under(task: trio.lowlevel.Task) -> int:
        children = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        return sum(1 + under(child) for child in children)

    return under(trio.lowlevel.current_task())
