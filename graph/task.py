"""One task: a node at work, with its answers, its retries and where it leads."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import trio

from .calls import Calls
from .checkpoint import Planned
from .context import (
    ExecutionInfo,
    RunnableConfig,
    Runtime,
    reset_current_task,
    set_current_task,
)
from .control import PREVIOUS, Interrupt, Send
from .errors import (
    AsyncioNodeError,
    GraphBubbleUp,
    GraphInterrupt,
    InvalidUpdateError,
    NodeError,
    ParentCommand,
)
from .isolation import isolated, isolated_state
from .nodes import Branch, Call, Node, check_targets
from .plan import Outcome, apply_step
from .policies import TimeoutPolicy
from .root import shown
from .timelimit import TimeLimit

if TYPE_CHECKING:
    from .execute import Execution

__all__ = ["Task"]

T = TypeVar("T")


@attrs.define(eq=False)
class Task:
    """A planned task of a running graph.

    `resumes`: the answers that its interrupts have had so far, in order. `attempt`: each has a
    Task of its own, so that a thread that outlives one can neither write nor ask in the next.
    `error`: what its error handler handles. `cached`: it was not run, its outcome was known.
    """

    run: Execution
    planned: Planned
    values: Mapping[str, Any]
    resumes: tuple[Any, ...] = ()
    # The config through which chat models are heard, where somebody wants to.
    heard: RunnableConfig | None = None
    attempt: int = 1
    error: NodeError | None = None
    # Of a call, which is no node of the graph: what it runs, and who made it.
    node: Node = attrs.field()
    caller: Task | None = None
    cached: bool = attrs.field(init=False, default=False)
    _first_started: float = 0.0
    _asked: int = attrs.field(init=False, default=0)
    _limit: TimeLimit | None = attrs.field(init=False, default=None)
    _over: bool = attrs.field(init=False, default=False)
    _pushed: list[tuple[str, Any]] = attrs.field(init=False, factory=list)
    _nursery: trio.Nursery | None = attrs.field(init=False, default=None)
    _calls: Calls | None = attrs.field(init=False, default=None)

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
    def path(self) -> tuple[str, ...]:
        """Where this task is, outermost graph first."""
        around = self.run.job.ns if self.caller is None else self.caller.path
        return (*around, f"{self.planned.node}:{self.id}")

    @property
    def calls(self) -> Calls:
        if self._calls is None:
            if self._nursery is None:
                raise RuntimeError("Tasks and steps are for nodes of a running graph")
            self._calls = Calls(self, self._nursery)
        return self._calls

    def calling(self, node: Node, planned: Planned) -> Task:
        """A call that this task makes, with the answers that it has had."""
        so_far = self.run.position.pending.get(planned.id)
        resumes = () if so_far is None else so_far.resumes
        return Task(self.run, planned, self.values, resumes, node=node, caller=self)

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
        if not self._over:
            self.run.runtime.stream_writer(data)
            self.progress()

    def _heartbeat(self) -> None:
        if self._limit is not None and not self._over:
            self._limit.refresh()
        if self.caller is not None:
            self.caller._heartbeat()

    def progress(self) -> None:
        """Something happened that shows that the node is getting on, and who called it."""
        if self._limit is not None and not self._over:
            self._limit.refresh_on_progress()
        if self.caller is not None:
            self.caller.progress()

    def check_time(self, what: str) -> None:
        """Raises RuntimeError where the task is over: a thread that it left behind goes on."""
        if self._over:
            raise RuntimeError(f"{what} in node {self.node.name!r} came after its time")

    def ask(self, value: Any) -> Any:
        self.check_time("interrupt()")
        at = self._asked
        self._asked += 1
        if at < len(self.resumes):
            return isolated(self.resumes[at])
        ident = blake2b(f"{self.id}\0{at}".encode(), digest_size=16).hexdigest()
        raise GraphInterrupt([Interrupt(isolated(value), ident, self.path)])

    def emit_message(self, chunk: Any) -> None:
        self.run.reports.chunk(self, chunk)

    def push_message(self, message: Any) -> None:
        if not self._over:
            self.run.reports.pushed(self, message)

    def push_write(self, key: str, value: Any) -> None:
        if not self._over and key in self.run.graph.channels:
            self._pushed.append((key, isolated(value)))

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
        nursery = trio.lowlevel.current_task().parent_nursery
        current = self
        while True:
            current._nursery = nursery
            token = set_current_task(current)
            try:
                outcome = await (
                    current._attempt() if node.timeout is None else current._timed(node.timeout)
                )
            except GraphBubbleUp:
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
                current._over = True
                reset_current_task(token)
            await trio.sleep(wait)
            current = attrs.evolve(self, attempt=current.attempt + 1)
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
        current = attrs.evolve(self, error=NodeError(node, failure))
        current._asked = self._asked  # what the node was answered is not for the handler
        current._nursery = self._nursery
        token = set_current_task(current)
        try:
            state = self._own(self.planned.arg if self.planned.takes_arg else self.values)
            if handler.is_async:
                work = _on_trio(self.node, handler(state, current))
            else:
                work = self.run.job.world.run_blocking(handler, state, current)
            writes, goto = self._read(await current._to_the_end(work))
        finally:
            current._over = True
            reset_current_task(token)
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
        return await self._to_the_end(self._run_node())

    async def _to_the_end(self, work: Awaitable[T]) -> T:
        """What `work` comes to, once the calls that it has made are over too."""
        try:
            done = await work
        except BaseException as error:
            if self._calls is not None:
                await self._calls.close(error)
            raise
        if self._calls is not None:
            await self._calls.close()
        return done

    async def _run_node(self) -> Outcome:
        node = self.node
        if node.subgraph is not None:
            values = node.schema.select(self.values)
            state = self.planned.arg if self.planned.takes_arg else shown(values)
            returned = await self.run.call_subgraph(self, node.subgraph, state)
        elif node.call is None:  # START: the input is what it writes
            returned = self.planned.arg
        elif node.call.is_async:
            returned = await _on_trio(node, node.call(self._given(), self))
        elif all(not branch.call.is_async for branch in node.branches):
            # Node and edges in one go: each trip to a worker thread costs as much as a small node.
            return await self.run.job.world.run_blocking(self._attempt_in_thread, node.call)
        else:
            returned = await self.run.job.world.run_blocking(node.call, self._given(), self)
        writes, goto = self._read(returned)
        outcome = Outcome(writes, (*goto, *await self._leave(writes)))
        check_targets(outcome.goto, node.name, self.run.graph.nodes)
        return outcome

    def _given(self) -> Any:
        """What the node gets for its state."""
        if self.planned.takes_arg:
            return self._own(self.planned.arg)
        return self.node.schema.read(self.values, self.run.remaining, self.node.name)

    def _own(self, state: Any) -> Any:
        return isolated_state(state, self.run.graph.untracked)

    def _branch_state(self, branch: Branch, values: Mapping[str, Any]) -> Any:
        schema = branch.schema or self.node.schema
        return schema.read(values, self.run.remaining, self.node.name)

    def _attempt_in_thread(self, call: Call) -> Outcome:
        writes, goto = self._read(call(self._given(), self))
        values = self._view(writes) if self.node.branches else {}
        for branch in self.node.branches:
            view = self._branch_state(branch, values)
            goto = (*goto, *branch.targets(branch.call(view, self), self.run.graph.channels))
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
            chosen = await self._ask_branch(branch, view)
            goto += branch.targets(chosen, self.run.graph.channels)
        return tuple(goto)

    async def _ask_branch(self, branch: Branch, view: Any) -> Any:
        if branch.call.is_async:
            return await _on_trio(self.node, branch.call(view, self))
        return await self.run.job.world.run_blocking(branch.call, view, self)

    def _read(self, returned: Any) -> tuple[tuple[tuple[str, Any], ...], tuple[str | Send, ...]]:
        writes, goto, outer = self.node.read(returned, self.run.graph.channels)
        for command in outer:
            if not self.run.job.ns:
                raise InvalidUpdateError(
                    f"Node {self.node.name!r} returned a Command for the graph around this one, "
                    f"and there is none"
                )
            raise ParentCommand(command)
        return (*self._pushed, *writes), goto

    def _view(self, writes: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
        named = ((self.planned.node, key, value) for key, value in writes)
        values, _ = apply_step(self.run.graph, self.values, named)
        return values


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
