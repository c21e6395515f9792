"""The phases of a run: each brings `one` into it by events, and lets go of it later."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import attrs
import trio
from trio.testing import MockClock

from greenroom.actors import Greenroom
from greenroom.graph import (
    START,
    CachePolicy,
    InMemoryCache,
    StateGraph,
    get_stream_writer,
    interrupt,
)
from greenroom.storage import AppendLog, Operation, PutRun, Storage
from greenroom.storage.checking import check
from greenroom.storage.operations import DeleteRun
from greenroom.storage.testing import FaultyStorage, Gate

from ..stage import Blocking, Hold, Node, Shielded, State, chain, ends_a_run
from .scene import Cell, Scene, SendingWorld

__all__ = ["PHASES", "Engine", "Phase", "played"]


@attrs.frozen
class Engine:
    """What graphs are made of. `holds`: by what `Phase.kind` may be. `tell`: told what a node has
    done. `modes`: what readers ask for."""

    state_graph: Any
    interrupt: Callable[[Any], Any]
    holds: Mapping[type[Any], type[Any]]
    tell: Callable[[str], None]
    modes: Sequence[str]


GREENROOM = Engine(
    StateGraph,
    interrupt,
    {kind: kind for kind in (Hold, Blocking, Shielded)},
    tell=lambda word: get_stream_writer()(word),
    modes=("values", "custom"),
)


def says(verb: str) -> Node:
    async def node(state: State) -> State:
        return {"log": [f"{verb} {state['text']}"]}

    return node


class Phase:
    """One that is at work in its second node, until `hold` is opened.

    `name`: as the table has it. `begun`, `ended`: whether the run has started by then, and whether
    it is over but for what is stored of that. `lasts`: `one` is let go of after `new` has ended, if
    that does not wait for it. `whole`: as in `Scene`.
    """

    name: ClassVar[str]
    begun: ClassVar[bool] = True
    ended: ClassVar[bool] = False
    lasts: ClassVar[bool] = False
    whole: ClassVar[Sequence[str]] = ("read", "did", "answered")
    options: ClassVar[Mapping[str, Any]] = {}
    kind: ClassVar[type[Any]] = Hold
    texts: ClassVar[Sequence[str]] = ("one",)

    def __init__(self, engine: Engine = GREENROOM) -> None:
        self.engine = engine
        self.hold = engine.holds[self.kind](texts=self.texts)

    def graph(self) -> Any:
        return self.chain(read=says("read"), work=self.work(), answer=says("answered"))

    def chain(self, **nodes: Any) -> Any:
        return chain(of=self.engine.state_graph, **nodes)

    def work(self) -> Any:
        """The node that waits, and then tells readers of that, also where it was left behind."""
        self.hold.tell = self.engine.tell
        return self.hold.node

    async def bring(self, scene: Scene) -> None:
        await scene.text("one")
        await self.hold.reached.wait()
        await scene.text("two", **scene.like_new)

    async def text_again(self, scene: Scene) -> None:
        await scene.text_again()

    async def let_go(self) -> None:
        self.hold.open()


class Queued(Phase):
    name = "queued behind another one"
    texts = ("zero",)
    begun = False

    async def bring(self, scene: Scene) -> None:
        await scene.text("zero")
        await self.hold.reached.wait()
        await scene.text("one")
        await scene.text("two", **scene.like_new)


class Delayed(Phase):
    name = "waiting for its time"
    begun = False

    async def bring(self, scene: Scene) -> None:
        await scene.text("one", after_seconds=3600)
        await scene.text("two", after_seconds=7200)


class Starting(Phase):
    name = "starting"
    whole = ("answered",)

    def graph(self) -> Any:
        async def route(state: State) -> str:
            await self.hold.node(state)
            return "answer"

        builder = self.engine.state_graph(State).add_node("answer", says("answered"))
        return builder.add_conditional_edges(START, route, ["answer"]).compile()


class InAsyncNode(Phase):
    name = "inside an async node"


class InPlainNode(Phase):
    name = "inside a plain `def` node"
    kind = Blocking
    lasts = True

    async def let_go(self) -> None:
        await super().let_go()
        await trio.to_thread.run_sync(self.hold.left.wait)


class InShieldedNode(Phase):
    name = "inside a shielded node"
    kind = Shielded


class InStubbornNode(Phase):
    name = "inside a node that will not stop"
    kind = Shielded
    lasts = True
    options = {"grace_period": 0.0}


class BetweenSteps(Phase):
    """The cache is asked before a node begins."""

    name = "between super-steps"

    def graph(self) -> Any:
        hold = self.hold

        class Cache(InMemoryCache):
            async def aget(self, keys: Any) -> dict[Any, Any]:
                [(_, word)] = keys
                await hold.node({"text": word})
                return {}

        builder = self.engine.state_graph(State).add_node("read", says("read"))
        policy = CachePolicy(key_func=lambda state: state["text"])
        builder.add_node("work", says("did"), cache_policy=policy)
        builder.add_node("answer", says("answered")).add_edge(START, "read")
        builder.add_edge("read", "work").add_edge("work", "answer")
        return builder.compile(cache=Cache())


class InSeveralNodes(Phase):
    """A sibling of the node that waits is done."""

    name = "in several nodes at once"
    whole = ("read", "looked", "did", "answered")

    def graph(self) -> Any:
        builder = (
            self.engine.state_graph(State).add_node("read", says("read")).add_edge(START, "read")
        )
        builder.add_node("look", says("looked")).add_edge("read", "look")
        builder.add_node("work", self.work()).add_edge("read", "work")
        builder.add_node("answer", says("answered"))
        return builder.add_edge(["look", "work"], "answer").compile()


class Asking(Phase):
    """The new run is being stored when the question is raised."""

    name = "as an interrupt is raised"
    ended = True

    def work(self) -> Node:
        async def node(state: State) -> State:
            await self.hold.node(state)
            if state["text"] == "one":
                self.engine.interrupt("sure?")
            return {"log": [f"did {state['text']}"]}

        return node

    async def text_again(self, scene: Scene) -> None:
        gate = scene.storage.hold("before", is_run("new"))
        await scene.send_new()
        self.hold.open()
        await scene.over()
        gate.open()
        await scene.hear("new")


class Paused(Asking):
    name = "paused"
    texts = ()

    async def bring(self, scene: Scene) -> None:
        await scene.text("one")
        await scene.runs["one"].result()

    async def text_again(self, scene: Scene) -> None:
        await scene.text_again()


class Writing(Phase):
    """The checkpoint after its first node is at the door of storage."""

    name = "writing a checkpoint"
    texts = ("one", "two")

    def __init__(self, engine: Engine = GREENROOM) -> None:
        super().__init__(engine)
        self.first = engine.holds[Hold](texts=("one",))

    def graph(self) -> Any:
        async def read(state: State) -> State:
            await self.first.node(state)
            return await says("read")(state)

        return self.chain(read=read, work=self.work(), answer=says("answered"))

    async def bring(self, scene: Scene) -> None:
        scene.options["durability"] = "sync"
        await scene.text("one")
        await self.first.reached.wait()
        await scene.text("two", **scene.like_new)
        self.gate = scene.storage.hold("before", has_checkpoint)
        self.first.open()
        await self.gate.reached()

    async def text_again(self, scene: Scene) -> None:
        await through(self.gate, self.hold, scene)


class BeingCancelled(InShieldedNode):
    name = "being cancelled"
    action = "interrupt"

    async def bring(self, scene: Scene) -> None:
        await super().bring(scene)
        await scene.room.client.runs.cancel(
            scene.thread_id, scene.runs["one"].run_id, action=self.action
        )


class ToldToRollBack(BeingCancelled):
    name = "told to roll back"
    action = "rollback"


class RollingBack(Phase):
    """It is being taken out of storage; the one queued behind it is under way then."""

    name = "rolling back"
    ended = True
    texts = ("one", "two")

    async def bring(self, scene: Scene) -> None:
        await scene.text("one")
        await self.hold.reached.wait()
        await scene.text("two")
        self.gate = scene.storage.hold("before", self.is_last)
        self.hold.reached = trio.Event()
        await self.end(scene)
        await self.gate.reached()

    def is_last(self, operation: Operation) -> bool:
        return isinstance(operation, DeleteRun)

    async def end(self, scene: Scene) -> None:
        run_id = scene.runs["one"].run_id
        await scene.room.client.runs.cancel(scene.thread_id, run_id, action="rollback")

    async def text_again(self, scene: Scene) -> None:
        await through(self.gate, self.hold, scene)


class Finishing(RollingBack):
    """Its end is being stored; the one queued behind it is under way then."""

    name = "finishing"

    def is_last(self, operation: Operation) -> bool:
        return ends_a_run(operation)

    async def end(self, scene: Scene) -> None:
        self.hold.open()
        self.hold.opened = trio.Event()  # for the next one


class Texted(TypedDict):
    text: str


class InSubgraph(Phase):
    name = "in a subgraph"
    whole = ("read", "began", "did", "answered")

    def work(self) -> Any:
        builder = self.engine.state_graph(State, input_schema=Texted)
        builder.add_node("begin", says("began")).add_node("hold", super().work())
        return builder.add_edge(START, "begin").add_edge("begin", "hold").compile()


def is_run(word: str) -> Callable[[Operation], bool]:
    """Whether it stores the run with that text."""
    return lambda one: isinstance(one, PutRun) and one.run.kwargs["input"]["text"] == word


def has_checkpoint(operation: Operation) -> bool:
    if not isinstance(operation, AppendLog):
        return False
    return any(row.kind == "checkpoint" for row in operation.rows)


async def through(gate: Gate, hold: Hold, scene: Scene) -> None:
    """Text while storage stands at a gate, and be heard once the node after it is at work."""
    own = scene.storage.hold("before", is_run("new"))
    await scene.send_new()
    gate.open()
    await hold.reached.wait()
    own.open()
    await scene.hear("new")


PHASES = (
    Queued,
    Delayed,
    Starting,
    InAsyncNode,
    InPlainNode,
    InShieldedNode,
    InStubbornNode,
    BetweenSteps,
    InSeveralNodes,
    Asking,
    Paused,
    Writing,
    BeingCancelled,
    ToldToRollBack,
    RollingBack,
    Finishing,
    InSubgraph,
)


async def played(phase: Phase, strategy: str, kept_in: Storage, clock: MockClock) -> Cell:
    """What becomes of a thread that is texted in a phase, on a clock that stands still."""
    storage, world = FaultyStorage(kept_in, blocking=True), SendingWorld()
    options = {"storage": storage, "world": world, **phase.options}
    async with Greenroom({"agent": phase.graph()}, **options) as room, trio.open_nursery() as tasks:
        scene = Scene(room, storage, world, tasks, clock, phase.whole, strategy)
        scene.options["stream_mode"] = phase.engine.modes
        await scene.set_up()
        await phase.bring(scene)
        await phase.text_again(scene)
        if phase.lasts and strategy in ("interrupt", "rollback"):
            await scene.runs["new"].result()
        await phase.let_go()
        await scene.rest()
        cell = await scene.cell(begun=phase.begun, ended=phase.ended, order=phase.hold.order)
        assert list(check(storage, lambda _: None)) == []
        tasks.cancel_scope.cancel()  # those who read on
    return cell
