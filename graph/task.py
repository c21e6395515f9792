"""One task: a node at work, with its answers, its retries and where it leads."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from .answers import Answers, as_response
from .answers import response_schema as response_schema_of
from .checkpoint import PendingWrites, Planned
from .context import (
    ExecutionInfo,
    RunnableConfig,
    Runtime,
    reset_current_task,
    set_current_task,
)
from .control import Interrupt, Send
from .errors import (
    AsyncioNodeError,
    GraphBubbleUp,
    GraphInterrupt,
    InvalidAnswerError,
    NodeError,
    ParentCommand,
    unwrapped,
)
from .inner import Call as InnerCall
from .inner import earlier_calls
from .isolation import isolated
from .nodes import Branch, Call, Node, check_targets, read_update
from .plan import Outcome, apply_writes
from .policies import TimeoutPolicy
from .schema import as_update
from .timelimit import TimeLimit

if TYPE_CHECKING:
    from .compiled import CompiledStateGraph
    from .execute import Execution
    from .job import Finish

__all__ = ["Task"]

T = TypeVar("T")


@attrs.define(eq=False)
class Task:
    """A planned task of a running graph.

    `before`: what it has come to in an earlier run. `answers`: those that its interrupts have had.
    `attempt`: each has a
    Task of its own, so that a thread that outlives one can neither write nor ask in the next.
    `error`: what its error handler handles. `cached`: it was not run, its outcome was known.
    """

    run: Execution
    planned: Planned
    values: Mapping[str, Any]
    before: PendingWrites | None = None
    answers: Answers | None = None
    # The config through which chat models are heard, where somebody wants to.
    heard: RunnableConfig | None = None
    attempt: int = 1
    error: NodeError | None = None
    cached: bool = attrs.field(init=False, default=False)
    _first_started: float = 0.0
    over: bool = attrs.field(init=False, default=False)
    _called: set[int] = attrs.field(init=False, factory=set)  # the numbers of its inner graphs
    _limit: TimeLimit | None = attrs.field(init=False, default=None)

    @property
    def id(self) -> str:
        return self.planned.id

    @property
    def node(self) -> Node:
        return self.run.graph.nodes[self.planned.node]

    @property
    def path(self) -> tuple[str, ...]:
        """Where this task is, outermost graph first."""
        return self.run.path(self.planned)

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

    def progress(self) -> None:
        """Something happened that shows that the node is getting on."""
        if self._limit is not None and not self.over:
            self._limit.refresh_on_progress()

    def ask(self, value: Any, response_schema: Any = None) -> Any:
        if self.over:
            raise RuntimeError(f"interrupt() in node {self.node.name!r} came after its time")
        if self.answers is None:
            self.answers = Answers()
        for answer in self.answers.to(value):
            return as_response(answer, response_schema)
        ident = self.answers.ident(self.id, value)
        if self.run.job.log is None and ident in self.run.answers:
            # Nothing is kept of what it was asked before.
            return as_response(self.run.answers[ident], response_schema)
        schema = response_schema_of(response_schema)
        raise GraphInterrupt([Interrupt(value, ident, self.path, schema)])

    async def call_graph(self, graph: CompiledStateGraph, given: Any, call: InnerCall) -> Finish:
        """Run a graph that the node calls as part of this run."""
        if self.over:
            raise RuntimeError(f"What node {self.node.name!r} called came after its time")
        known = [] if self.before is None else await earlier_calls(self, graph, given)
        free = (n for n in count() if n not in self._called)
        number = next((n for n in known if n not in self._called), None)
        if number is None:
            number = next(free)
        self._called.add(number)
        return await self.run.call_graph(self, graph, given, number, call)

    @property
    def answered(self) -> dict[str, Any]:
        """Its answers as a record has them."""
        return {} if self.answers is None else self.answers.record

    def visit(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run async code in the loop, called in a thread; see `Visits.run`."""
        return self.run.visits.run(self, function)

    def emit_message(self, chunk: Any) -> None:
        self.run.reports.chunk(self, chunk)

    async def perform(self) -> Outcome:
        """Run the node and its conditional edges, trying again as its policies say; where it fails
        for good, its error handler steps in.

        Raises GraphInterrupt where the task pauses, ParentCommand where it speaks to the graph
        around this one, or whatever the node raised last.
        """
        node = self.node
        if node.cache is not None and (known := await self.run.recall(self)) is not None:
            self.cached = True
            return known
        self.run.reports.hear(self)
        self._first_started = trio.current_time()
        current = self
        while True:
            token = set_current_task(current)
            try:
                outcome = await (
                    current._attempt() if node.timeout is None else current._timed(node.timeout)
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
                current.over = True
                reset_current_task(token)
                if self.run.visits.scopes:
                    await self.run.visits.end(current)
            await trio.sleep(wait)
            answers = None if self.answers is None else self.answers.again()
            current = attrs.evolve(self, attempt=current.attempt + 1, answers=answers)
        return await current._handle(failure)

    async def _timed(self, policy: TimeoutPolicy) -> Outcome:
        with TimeLimit.of(policy) as limit:
            self._limit = limit
            return await self._attempt()
        raise limit.error(self.node.name)

    async def _handle(self, failure: Exception) -> Outcome:
        """What the error handler makes of a failure: no edge of the node is taken then, only where
        the handler's Commands lead."""
        handler = self.node.error_handler
        if handler is None:
            raise failure
        node = self.node.name
        # What the node was answered is not for the handler.
        answers = None if self.answers is None else self.answers.again(self.answers)
        current = attrs.evolve(self, error=NodeError(node, failure), answers=answers)
        token = set_current_task(current)
        try:
            state = isolated(self.planned.arg if self.planned.takes_arg else self.values)
            if handler.is_async:
                returned = await _on_trio(self.node, handler(state, current))
            else:
                returned = await self.run.job.world.run_blocking(handler, state, current)
            writes, goto = self._read(returned)
        finally:
            current.over = True
            reset_current_task(token)
            if self.run.visits.scopes:
                await self.run.visits.end(current)
        check_targets(goto, node, self.run.graph.nodes)
        return Outcome(writes, goto, handled=True)

    async def leave(self, writes: tuple[tuple[str, Any], ...]) -> tuple[str | Send, ...]:
        """Where this task's conditional edges lead, seeing the state with its own `writes`."""
        token = set_current_task(self)
        try:
            return await self._leave(writes)
        finally:
            reset_current_task(token)

    async def _attempt(self) -> Outcome:
        node = self.node
        if node.subgraph is not None:
            returned = await self._perform_subgraph(node.subgraph)
        elif node.call is None:  # START: the input is what it writes
            returned = self.planned.arg
        elif node.call.is_async:
            try:
                returned = await _on_trio(node, node.call(self._given(), self))
            except (ParentCommand, BaseExceptionGroup) as error:
                returned = _said(error)
        elif all(not branch.call.is_async for branch in node.branches):
            # Node and edges in one go: each trip to a worker thread costs as much as a small node.
            return await self.run.job.world.run_blocking(self._attempt_in_thread, node.call)
        else:
            returned = await self.run.job.world.run_blocking(self._call, node.call)
        writes, goto = self._read(returned)
        outcome = Outcome(writes, (*goto, *await self._leave(writes)))
        check_targets(outcome.goto, node.name, self.run.graph.nodes)
        return outcome

    async def _perform_subgraph(self, graph: CompiledStateGraph) -> Any:
        state = self.planned.arg
        if not self.planned.takes_arg:
            state = self.node.schema.select(self.values)
        elif not isinstance(state, Mapping):
            state = as_update(state)
        try:
            return (await self.call_graph(graph, state, InnerCall())).values
        except ParentCommand as up:
            return _said(up)

    def _call(self, call: Call) -> Any:
        """What the node returns; called in a thread."""
        try:
            return call(self._given(), self)
        except (ParentCommand, BaseExceptionGroup) as error:
            return _said(error)

    def _given(self) -> Any:
        """What the node gets for its state."""
        if self.planned.takes_arg:
            return isolated(self.planned.arg)
        return self.node.schema.read(self.values, self.run.remaining)

    def _branch_state(self, branch: Branch, values: Mapping[str, Any]) -> Any:
        return (branch.schema or self.node.schema).read(values, self.run.remaining)

    def _attempt_in_thread(self, call: Call) -> Outcome:
        writes, goto = self._read(self._call(call))
        values = self._view(writes) if self.node.branches else {}
        for branch in self.node.branches:
            view = self._branch_state(branch, values)
            goto = (*goto, *branch.targets(branch.call(view, self)))
        check_targets(goto, self.node.name, self.run.graph.nodes)
        return Outcome(writes, goto)

    async def _leave(self, writes: tuple[tuple[str, Any], ...]) -> tuple[str | Send, ...]:
        branches = self.node.branches
        if not branches:
            return ()
        values = self._view(writes)
        goto: list[str | Send] = []
        for branch in branches:
            view = self._branch_state(branch, values)
            goto += branch.targets(await self._ask_branch(branch, view))
        return tuple(goto)

    async def _ask_branch(self, branch: Branch, view: Any) -> Any:
        if branch.call.is_async:
            return await _on_trio(self.node, branch.call(view, self))
        return await self.run.job.world.run_blocking(branch.call, view, self)

    def _read(self, returned: Any) -> tuple[tuple[tuple[str, Any], ...], tuple[str | Send, ...]]:
        writes, goto, outer = read_update(returned, self.planned.node, self.run.graph.channels)
        for command in outer:
            raise ParentCommand(command)
        return writes, goto

    def _view(self, writes: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
        named = ((self.planned.node, key, value) for key, value in writes)
        values, _ = apply_writes(self.run.graph.channels, self.values, named)
        return values


def _said(error: BaseException) -> Any:
    """What an inner graph has said to the graph of the node that called it, as what that returns;
    anything else is raised."""
    error = unwrapped(error)
    if isinstance(error, ParentCommand):
        return attrs.evolve(error.command, graph=None)
    raise error


async def _on_trio(node: Node, awaitable: Any) -> Any:
    try:
        return await awaitable
    except (RuntimeError, AttributeError, TypeError) as error:
        if not _of_asyncio(error):
            raise
        raise AsyncioNodeError(
            f"Node {node.name!r} awaited something of asyncio. Async nodes run on trio: use trio "
            f"or anyio in them, or make this one a plain 'def' node, which runs in a thread"
        ) from error


def _of_asyncio(error: Exception) -> bool:
    """Whether it is asyncio missing its loop, or trio meeting an asyncio future."""
    known = ("trio.run received unrecognized yield message", "no running event loop")
    if str(error).startswith(known):
        return True
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "asyncio"
