"""An attempt at a task: a node at work, with its answers, its retries and what it calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from .answers import Answers, as_response
from .answers import response_schema as response_schema_of
from .calls import Calls
from .checkpoint import Planned
from .context import (
    ExecutionInfo,
    RunnableConfig,
    Runtime,
    reset_current_task,
    set_current_task,
)
from .control import PREVIOUS, Interrupt
from .errors import GraphBubbleUp, GraphInterrupt, InvalidAnswerError, NodeError, unwrapped
from .inner import Call, earlier_calls
from .isolation import isolated
from .nodes import Node
from .plan import Outcome, handler_of
from .policies import TimeoutPolicy
from .timelimit import TimeLimit
from .visits import visit
from .work import handled, worked

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph
    from .execute import Execution
    from .job import Finish

__all__ = ["Task"]

T = TypeVar("T")


@attrs.define(eq=False)
class Task:
    """A planned task of a running graph, or a call that one makes.

    `answers`: those that its interrupts have had. `resumed`: whether it has been at work before.
    `attempt`: each has a Task of its own, so that a thread that outlives one can neither write nor
    ask in the next. `error`: what its error handler handles, where it is not the node that is at
    work. `cached`: it was not run, its outcome was known. `over`: whether its node is done.
    `pushed`: what its node has written so far.
    """

    run: Execution
    planned: Planned
    values: Mapping[str, Any]
    answers: Answers | None = None
    resumed: bool = False
    # The config through which chat models are heard, where somebody wants to.
    heard: RunnableConfig | None = None
    attempt: int = 1
    error: NodeError | None = None
    # Of a call, which is no node of the graph: what it runs, and who made it.
    node: Node = attrs.field()
    caller: Task | None = None
    cached: bool = attrs.field(init=False, default=False)
    over: bool = attrs.field(init=False, default=False)
    pushed: list[tuple[str, Any]] = attrs.field(init=False, factory=list)
    _first_started: float = 0.0
    _limit: TimeLimit | None = attrs.field(init=False, default=None)
    _nursery: trio.Nursery | None = attrs.field(init=False, default=None)
    _calls: Calls | None = attrs.field(init=False, default=None)
    _graphs: tuple[int, ...] = attrs.field(
        init=False, default=()
    )  # the numbers of those it has called

    @node.default
    def _node(self) -> Node:
        return self.run.graph.nodes[self.planned.node]

    @property
    def id(self) -> str:
        return self.planned.id

    @property
    def root(self) -> str:
        """The id of the planned task that this one is part of."""
        return self.id if self.caller is None else self.caller.root

    @property
    def name(self) -> str:
        """What is at work: the node, or its error handler."""
        return self.planned.node if self.error is None else handler_of(self.planned.node)

    @property
    def path(self) -> tuple[str, ...]:
        """Where this task is, outermost graph first."""
        around = self.run.job.ns if self.caller is None else self.caller.path
        return (*around, f"{self.name}:{self.id}")

    @property
    def origin(self) -> tuple[str, ...]:
        """Where this task was on the line that its run has left."""
        if self.caller is None:
            return self.run.origin_of(self)
        around = self.caller.origin
        within = self.caller.within(around[-1].rpartition(":")[2])
        return (*around, f"{self.planned.node}:{self.planned.identified(within).id}")

    # What it calls.

    def within(self, ident: str) -> str:
        """What the ids of its calls and questions follow from, with an id of its own: a handler has
        others."""
        return ident if self.error is None else handler_of(ident)

    @property
    def calls(self) -> Calls:
        if self._calls is None:
            if self._nursery is None:
                raise RuntimeError("Tasks and steps are for nodes of a running graph")
            self._calls = Calls(self, self._nursery)
        return self._calls

    def calling(self, node: Node, planned: Planned) -> Task:
        """A call that this task makes, with the answers that it has had."""
        if self.run.compiled.async_library == "asyncio":
            node = node.on_asyncio()
        answers = self.run.position.answers_to(planned.id)
        return Task(self.run, planned, self.values, answers, self.resumed, node=node, caller=self)

    async def call_graph(self, graph: CompiledStateGraph, given: Any, call: Call) -> Finish:
        """Run a graph that the node calls as part of this run."""
        self.check_time(f"A call of graph {graph.name!r}")
        known = await earlier_calls(self, graph, given) if self.resumed else []
        free = (number for number in count() if number not in self._graphs)
        number = next((number for number in known if number not in self._graphs), None)
        if number is None:
            number = next(free)
        self._graphs = (*self._graphs, number)
        return await self.run.call_graph(self, graph, given, number, call)

    def visit(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run async code in the loop, called in a thread; see `visits.visit`."""
        return visit(self, function)

    # What its node is given and says.

    @property
    def config(self) -> RunnableConfig:
        return self.heard or self.run.task_config(self)

    @property
    def runtime(self) -> Runtime[Any]:
        config = self.run.job.config
        run_id = config.get("run_id")
        thread_id = config.get("configurable", {}).get("thread_id")
        return attrs.evolve(
            self.run.runtime,
            stream_writer=self._write_custom,
            heartbeat=self._heartbeat,
            previous=isolated(self.values.get(PREVIOUS)),
            execution_info=ExecutionInfo(
                checkpoint_id=self.run.position.at.id,
                checkpoint_ns="|".join(self.path),
                task_id=self.id,
                thread_id=None if thread_id is None else str(thread_id),
                run_id=None if run_id is None else str(run_id),
                node_attempt=self.attempt,
                node_first_attempt_time=self.run.job.world.at(self._first_started).timestamp(),
            ),
        )

    def _write_custom(self, data: Any) -> None:
        if not self.over:
            self.run.runtime.stream_writer(data)
            self.progress()

    def _heartbeat(self) -> None:
        if self._limit is not None and not self.over:
            self._limit.refresh()
        if self.caller is not None:
            self.caller._heartbeat()

    def progress(self) -> None:
        """Something happened that shows that the node is getting on, and who called it."""
        if self._limit is not None and not self.over:
            self._limit.refresh_on_progress()
        if self.caller is not None:
            self.caller.progress()

    def check_time(self, what: str) -> None:
        """Raises RuntimeError where the task is over: a thread that it left behind goes on."""
        if self.over:
            raise RuntimeError(f"{what} in node {self.node.name!r} came after its time")

    def ask(self, value: Any, response_schema: Any = None) -> Any:
        self.check_time("interrupt()")
        if self.answers is None:
            self.answers = Answers()
        for answer in self.answers.to(value):
            return as_response(isolated(answer), response_schema)
        ident = self.answers.ident(self.within(self.id), value)
        if self.run.job.log is None and ident in self.run.answers:
            # Nothing is kept of what it was asked before.
            return as_response(isolated(self.run.answers[ident]), response_schema)
        schema = response_schema_of(response_schema)
        raise GraphInterrupt([Interrupt(isolated(value), ident, self.path, schema)])

    @property
    def answered(self) -> dict[str, Any]:
        """Its answers as a record has them."""
        return {} if self.answers is None else self.answers.record

    def emit_message(self, chunk: Any) -> None:
        self.run.reports.chunk(self, chunk)

    def push_message(self, message: Any) -> None:
        if not self.over:
            self.run.reports.pushed(self, message)

    def push_write(self, key: str, value: Any) -> None:
        if not self.over and key in self.run.graph.channels:
            self.pushed.append((key, isolated(value)))

    # Its attempts.

    async def perform(self) -> Outcome:
        """Run the node and its conditional edges, trying again as its policies say; where it fails
        for good, its error handler takes over. A task that came so far before goes on there.

        Raises GraphInterrupt where the task pauses, ParentCommand where it speaks to the graph
        around this one, or whatever the node raised last.
        """
        node = self.node
        if node.cache is not None and (known := await self.run.recall(self)) is not None:
            self.cached = True
            return known
        self.run.reports.hear(self)
        self._first_started = trio.current_time()
        nursery = trio.lowlevel.current_task().parent_nursery
        if self.error is not None:
            return await self._handle(nursery)
        current = self
        while True:
            current._nursery = nursery
            token = set_current_task(current)
            try:
                outcome = await (
                    worked(current) if node.timeout is None else current._timed(node.timeout)
                )
            except (GraphBubbleUp, InvalidAnswerError):
                raise
            except Exception as error:
                policy = next((p for p in node.retry if p.retries(error)), None)
                if policy is None or current.attempt >= policy.max_attempts:
                    failure = error
                    break
                wait = policy.wait(current.attempt, self.run.job.world.random.random)
            else:
                if node.cache is not None:
                    await self.run.remember(self, outcome)
                return outcome
            finally:
                current.over, current._calls = True, None
                reset_current_task(token)
                if self.run.visits is not None:
                    await self.run.visits.end(current)
            await trio.sleep(wait)
            current = attrs.evolve(
                self,
                attempt=current.attempt + 1,
                answers=None if self.answers is None else self.answers.again(),
                resumed=True,
            )
        try:
            if node.error_handler is None:
                raise failure
            await self.run.hand_on(self.planned, failure)
            # What the node was answered is not for the handler.
            current = attrs.evolve(current, error=NodeError(node.name, failure), answers=None)
            return await current._handle(nursery)
        finally:
            del failure, current  # its traceback has this frame

    async def _timed(self, policy: TimeoutPolicy) -> Outcome:
        with TimeLimit.of(policy) as limit:
            self._limit = limit
            return await worked(self)
        raise limit.error(self.node.name)

    async def _handle(self, nursery: trio.Nursery | None) -> Outcome:
        self._nursery = nursery
        token = set_current_task(self)
        try:
            return await handled(self)
        finally:
            self.over, self._calls = True, None
            reset_current_task(token)
            if self.run.visits is not None:
                await self.run.visits.end(self)

    async def to_the_end(self, work: Awaitable[T]) -> T:
        """What `work` comes to, once the calls that it has made are over too."""
        error: BaseException | None = None
        try:
            try:
                done = await work
            except BaseException as raised:
                error = unwrapped(raised)
                if self._calls is not None:
                    await self._calls.close(error)
                if error is raised:
                    raise
            if error is not None:  # raised here, it keeps a cause and a context of its own
                raise error
            if self._calls is not None:
                await self._calls.close()
            return done
        finally:
            del error  # its traceback has this frame
