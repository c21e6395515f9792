"""Functions that nodes call as tasks of their own: `@task`. Names follow `langgraph.func`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

import attrs
import trio

from .cache import BaseCache, cache_namespace
from .calls import TaskFuture
from .channels import LastValue
from .checkpoint import RETURN
from .context import TaskContext, current_task
from .control import RetryPolicy
from .here import thread_here
from .injection import GIVEN, register_result, wanted
from .isolation import isolated
from .nodes import Call, Node, check_function, is_async, is_marked, name_of
from .policies import CachePolicy, TimeoutPolicy
from .schema import Schema
from .validation import check_name

__all__ = ["TaskFunction", "task"]

P = ParamSpec("P")
T = TypeVar("T")

_RESULT = Schema.of_value(RETURN, LastValue())


@attrs.frozen
class _TaskCall(Call):
    """A task's function: it takes the arguments of the call, and is given what else it asks for."""

    signature: inspect.Signature

    @classmethod
    def of(cls, function: Callable[..., Any], what: str) -> _TaskCall:
        check_function(function, what)
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        given = wanted(function, parameters).items()
        asks = tuple((name, key) for name, key in given if key is not None)
        marked = is_marked(function)
        return cls(function, is_async(function), asks, signature, on_asyncio=marked)

    def arguments(self, given: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
        args, kwargs = given
        return args, kwargs

    def __call__(self, given: Any, task: TaskContext) -> Any:
        args, kwargs = given
        if self.asks:
            passed = self.signature.bind_partial(*args, **kwargs).arguments
            more = {name: GIVEN[key](task) for name, key in self.asks if name not in passed}
            kwargs = {**kwargs, **more}
        return self.function(*args, **kwargs)


class TaskFunction(Generic[P, T]):
    """What `@task` makes of a function: a call starts it and returns a `TaskFuture`."""

    def __init__(self, function: Callable[..., Any], node: Node) -> None:
        functools.update_wrapper(self, function)
        self.name = node.name
        self.node = node

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]:
        """Start the task, in the node that this is called in. What goes on meanwhile is joined
        before that node is over.

        Raises RuntimeError outside a node of a running graph.
        """
        calls = current_task(f"Task {self.name!r}").calls
        if trio.lowlevel.in_trio_run() or thread_here() is not None:
            return calls.call(self.node, (args, kwargs))
        return trio.from_thread.run_sync(calls.call, self.node, (args, kwargs))

    def clear_cache(self, cache: BaseCache) -> None:
        """Forget what the cache holds of this task."""
        cache.clear([cache_namespace(self.node)])

    async def aclear_cache(self, cache: BaseCache) -> None:
        """Forget what the cache holds of this task."""
        await cache.aclear([cache_namespace(self.node)])


class _MakesTasks(Protocol):
    @overload
    def __call__(self, function: Callable[P, Awaitable[T]], /) -> TaskFunction[P, T]: ...

    @overload
    def __call__(self, function: Callable[P, T], /) -> TaskFunction[P, T]: ...


@overload
def task(function: Callable[P, Awaitable[T]], /) -> TaskFunction[P, T]: ...


@overload
def task(function: Callable[P, T], /) -> TaskFunction[P, T]: ...


@overload
def task(
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy | None = None,
    timeout: float | timedelta | TimeoutPolicy | None = None,
) -> _MakesTasks: ...


def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
    cache_policy: CachePolicy | None = None,
    timeout: float | timedelta | TimeoutPolicy | None = None,
) -> Any:
    """Make a function a task: called in an entrypoint, a node or another task it starts at once,
    beside its caller, and what it returns is recorded.

        futures = [double(number) for number in (1, 2, 3)]
        doubled = [await future for future in futures]

    In plain functions `future.result()` takes the place of `await future`. A caller that starts
    again, after an interrupt, a failure or a crash, makes the same calls and is given what those
    returned that had finished. An error is raised where the result is asked for, and is not
    recorded. A task may ask with `interrupt()`, and has the parameters injected that a node has,
    where the call does not give them.

    `name`: by default the function's. The policies are as in `StateGraph.add_node`; the `key_func`
    of a `cache_policy` gets the arguments of the call.
    """
    policies: Any = {
        "retry": RetryPolicy.coerce(retry_policy),
        "timeout": TimeoutPolicy.coerce(timeout),
        "cache": cache_policy,
    }

    def made(function: Callable[..., Any]) -> TaskFunction[Any, Any]:
        called = name or name_of(function)
        what = f"Task {called!r}"
        check_name(called, kind="Task")
        # What it returns is recorded beside the state, which no schema tells of.
        register_result(function)
        node = Node(
            name=called,
            schema=_RESULT,
            call=_TaskCall.of(function, what),
            writer=lambda returned: ((RETURN, isolated(returned)),),
            **policies,
        )
        return TaskFunction(function, node)

    return made if function is None else made(function)
