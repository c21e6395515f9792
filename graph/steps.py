"""Steps: calls whose result is in the log before their task goes on."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar, cast

import attrs
import trio

from .asyncio_thread import asyncio_thread
from .channels import MISSING
from .checkpoint import RETURN, Planned
from .context import (
    RunnableConfig,
    Runtime,
    TaskContext,
    current_task,
    reset_current_task,
    set_current_task,
)
from .errors import NodeError
from .here import on_asyncio, thread_here, to_trio
from .injection import register_result
from .isolation import isolated
from .nodes import is_async, is_marked
from .world import current_world, wait_from_thread

if TYPE_CHECKING:
    from .calls import Calls
    from .compiled import CompiledStateGraph
    from .inner import Call as GraphCall

__all__ = ["step"]

T = TypeVar("T")

_KEY: Final = "idempotency_key"


def step(name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `function` once for this task, however often the task starts again.

    In an async node `await step("charge-card", charge, amount)`; in a plain one it returns the
    result by itself. The result is durable before the node goes on, and a node that starts again
    (after an interrupt, a failure, a kill) is given it without a call. Plain functions run in
    worker threads. What the function raises is not kept: the step is made again. A parameter
    `idempotency_key` of the function is given a text that is the same whenever it is.

    `name`: where a task makes several steps of one name they are told apart by their order; steps
    side by side need different names.

    Raises RuntimeError outside a node, inside another step, for a name that is at work already, and
    where the task is over; TypeError for what is no function; what the log raises for a result that
    it cannot store, naming the step.
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"A step needs a name; got {name!r}")
    if not callable(function):
        raise TypeError(f"Step {name!r} needs a function; got {function!r}")
    task = current_task(f"step({name!r})")
    _declare(function)
    made = _Step(task, task.calls, name, functools.partial(function, *args, **kwargs))
    if trio.lowlevel.in_trio_run():
        return made.carry_out()
    return made.carry_out_on_asyncio() if on_asyncio() else made.carry_out_in_thread()


def _declare(function: Any) -> None:
    while isinstance(function, functools.partial):
        function = function.func
    with suppress(TypeError):  # something that is called and cannot be hashed
        _declare_once(function)


_declare_once = functools.lru_cache(maxsize=1024)(register_result)


@attrs.define(eq=False)
class _Step:
    task: TaskContext
    calls: Calls
    name: str
    function: functools.partial[Any]

    async def carry_out(self) -> Any:
        with self._alone():
            planned, known = await self._begin()
            if known is not MISSING:
                return known
            call = self._with_key(planned)
            with self._inside():
                if is_async(call):
                    returned = await self._awaited(call)
                else:
                    returned = await current_world().run_blocking(self._call, call)
            return await self._keep(planned, returned)

    def _awaited(self, call: functools.partial[Any]) -> Awaitable[Any]:
        """What an async function comes to that a plain node makes a step of, or one on trio."""
        if is_marked(call) or self.calls.task.run.compiled.async_library == "asyncio":
            return asyncio_thread().run(call, name=self.name)
        return cast("Awaitable[Any]", call())

    async def carry_out_on_asyncio(self) -> Any:
        """For a node on asyncio, on whose loop an async function runs."""
        with self._alone():
            planned, known = await to_trio(self._begin)
            if known is not MISSING:
                return known
            call = self._with_key(planned)
            with self._inside():
                if is_async(call):
                    returned = await call()
                else:
                    returned = await to_trio(current_world().run_blocking, self._call, call)
            return await to_trio(self._keep, planned, returned)

    def carry_out_in_thread(self) -> Any:
        """For a plain node, in whose thread a plain function runs."""
        if is_async(self.function):
            if thread_here() is not None:
                return self.calls.start(self.name, self.carry_out).result()
            begun = trio.from_thread.run_sync(self.calls.start, self.name, self.carry_out)
            return begun.result()
        with self._alone():
            planned, known = wait_from_thread(self._begin)
            if known is not MISSING:
                return known
            call = self._with_key(planned)
            with self._inside():
                returned = self._call(call)
            return wait_from_thread(self._keep, planned, returned)

    async def _begin(self) -> tuple[Planned, Any]:
        planned = self.calls.planned(self.name)
        known = self.calls.known(planned)
        if known is MISSING:
            # The key comes from the task's id, which is to be the same after a kill.
            await self.calls.task.run.position.flush()
        return planned, known

    async def _keep(self, planned: Planned, returned: Any) -> Any:
        self.calls.record(planned, writes=((RETURN, isolated(returned)),))
        await self.calls.task.run.position.flush()
        self.calls.task.progress()
        return returned

    def _call(self, call: functools.partial[Any]) -> Any:
        returned = call()
        if inspect.iscoroutine(returned):
            returned.close()
            raise TypeError(
                f"The function of step {self.name!r} returned a coroutine: give the step the async "
                f"function itself, and its arguments"
            )
        return returned

    def _with_key(self, planned: Planned) -> functools.partial[Any]:
        try:
            parameters = inspect.signature(self.function).parameters
        except (ValueError, TypeError):  # some built-in functions have no signature
            return self.function
        if _KEY not in parameters or _KEY in self.function.keywords:
            return self.function
        return functools.partial(self.function, **{_KEY: planned.id})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """After a restart nobody could tell which of two steps of one name was which."""
        if self.name in self.calls.steps:
            raise RuntimeError(
                f"Step {self.name!r} is at work already: steps side by side need different names"
            )
        self.calls.steps.add(self.name)
        try:
            yield
        finally:
            self.calls.steps.discard(self.name)

    @contextmanager
    def _inside(self) -> Iterator[None]:
        token = set_current_task(_InStep(self.task, self.name))
        try:
            yield
        finally:
            reset_current_task(token)


@attrs.frozen(eq=False)
class _InStep:
    """The task as a step's function sees it: what the step does is recorded as one, so that it can
    neither ask nor make calls.
    """

    task: TaskContext
    name: str

    @property
    def config(self) -> RunnableConfig:
        return self.task.config

    @property
    def runtime(self) -> Runtime[Any]:
        return self.task.runtime

    @property
    def error(self) -> NodeError | None:
        return self.task.error

    @property
    def calls(self) -> NoReturn:
        raise RuntimeError(f"Inside step {self.name!r} there can be neither steps nor tasks")

    @property
    def over(self) -> bool:
        return self.task.over

    @property
    def path(self) -> tuple[str, ...]:
        return self.task.path

    async def call_graph(self, graph: CompiledStateGraph, given: Any, call: GraphCall) -> NoReturn:
        raise RuntimeError(
            f"Graph {graph.name!r} was called inside step {self.name!r}, which is recorded as one: "
            f"call it in the node, or give it a thread of its own"
        )

    def visit(self, function: Callable[[], Awaitable[T]]) -> T:
        return self.task.visit(function)

    def ask(self, value: Any, response_schema: Any = None) -> NoReturn:
        raise RuntimeError(f"interrupt() inside step {self.name!r}: ask before or after it")

    def emit_message(self, chunk: Any) -> None:
        self.task.emit_message(chunk)

    def push_message(self, message: Any) -> None:
        self.task.push_message(message)

    def push_write(self, key: str, value: Any) -> NoReturn:
        raise RuntimeError(
            f"Step {self.name!r} writes to {key!r}: a step has a result and no writes; the node has"
        )
