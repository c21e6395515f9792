"""Programs in place of graphs: `@entrypoint` and `@task`. Names follow `langgraph.func`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, get_args, get_origin, overload

import attrs
import trio

from .cache import BaseCache, cache_namespace
from .calls import TaskFuture
from .channels import EphemeralValue, LastValue
from .checkpoint import RETURN, Checkpointer
from .compiled import CompiledStateGraph
from .context import TaskContext, current_task
from .control import END, PREVIOUS, START, RetryPolicy
from .declared import declared_types
from .injection import GIVEN, hints_of, register_result, wanted
from .isolation import isolated
from .nodes import Call, Node, Pairs, is_async, name_of
from .plan import Topology
from .policies import CachePolicy, TimeoutPolicy
from .schema import Schema
from .store import BaseStore
from .validation import check_name

__all__ = ["TaskFunction", "entrypoint", "task"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")

_RESULT = Schema.of_value(RETURN, LastValue())


@attrs.frozen
class _TaskCall(Call):
    """A task's function: it takes the arguments of the call, and is given what else it asks for."""

    signature: inspect.Signature

    @classmethod
    def of(cls, function: Callable[..., Any], what: str) -> _TaskCall:
        _check_function(function, what)
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())
        given = wanted(function, parameters).items()
        asks = tuple((name, key) for name, key in given if key is not None)
        return cls(function, is_async(function), asks, signature)

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
        self._node = node

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> TaskFuture[T]:
        """Start the task, in the node that this is called in. What goes on meanwhile is joined
        before that node is over.

        Raises RuntimeError outside a node of a running graph.
        """
        calls = current_task(f"Task {self.name!r}").calls
        if trio.lowlevel.in_trio_run():
            return calls.call(self._node, (args, kwargs))
        return trio.from_thread.run_sync(calls.call, self._node, (args, kwargs))

    def clear_cache(self, cache: BaseCache) -> None:
        """Forget what the cache holds of this task."""
        cache.clear([cache_namespace(self._node)])

    async def aclear_cache(self, cache: BaseCache) -> None:
        """Forget what the cache holds of this task."""
        await cache.aclear([cache_namespace(self._node)])


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


@attrs.frozen
class Signature:
    """What an entrypoint takes and returns, as its function is annotated."""

    input_schema: Any
    output_schema: Any

    @classmethod
    def of(cls, function: Callable[..., Any], what: str) -> Signature:
        """Raises ValueError for a function without parameters."""
        first = next(iter(inspect.signature(function).parameters), None)
        if first is None:
            raise ValueError(f"{what} needs a parameter, for its input; got {function!r}")
        hints = hints_of(function)
        returned = hints.get("return", Any)
        if get_origin(returned) is entrypoint.final:
            returned, _ = get_args(returned)
        elif returned is entrypoint.final:
            returned = Any
        return cls(hints.get(first, Any), returned)


class entrypoint:  # noqa: N801 - a decorator
    """Make a function a graph: it is run, streamed, resumed and served like any other.

        @entrypoint(checkpointer=InMemorySaver())
        async def answer(question: str, *, previous: str | None = None) -> str: ...

        await answer.ainvoke("what is the weather in sf?", config)

    The function's first parameter is the run's input, what it returns the run's result; both may be
    anything that can be stored. Other parameters are given as to nodes; `previous` is what the last
    run on the thread returned, or saved: see `final`. An async function runs on trio, a plain one
    in a worker thread. The function starts again from its top when the run is resumed or goes on:
    what it must not do twice belongs in tasks and steps.

    `name`: of the graph and its one node, by default the function's. The rest is as in
    `StateGraph.compile` and `StateGraph.add_node`.
    """

    def __init__(
        self,
        checkpointer: Checkpointer | None = None,
        store: BaseStore | None = None,
        cache: BaseCache | None = None,
        context_schema: type[Any] | None = None,
        cache_policy: CachePolicy | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
        *,
        name: str | None = None,
    ) -> None:
        self._compiled: Any = {
            "checkpointer": checkpointer,
            "store": store,
            "cache": cache,
            "context_schema": context_schema,
        }
        self._policies: Any = {
            "cache": cache_policy,
            "retry": RetryPolicy.coerce(retry_policy),
            "timeout": TimeoutPolicy.coerce(timeout),
        }
        self._name = name

    @attrs.frozen(kw_only=True)
    class final(Generic[R, S]):  # noqa: N801 - as in `langgraph.func`
        """Returned by an entrypoint: `value` is the run's result, `save` what the next run gets."""

        value: R
        save: S

    def __call__(self, function: Callable[..., Any]) -> CompiledStateGraph:
        """Raises NotImplementedError for a generator, ValueError for a function without parameters,
        TypeError for one that asks for what cannot be given.
        """
        name = self._name or name_of(function)
        what = f"Entrypoint {name!r}"
        check_name(name, kind="Entrypoint")
        _check_function(function, what)
        signature = Signature.of(function, what)
        taken = EphemeralValue(signature.input_schema)
        schema = Schema.of_value(START, taken)
        node = Node(
            name=name,
            schema=schema,
            call=Call.of(function, what),
            writer=_written,
            **self._policies,
        )
        topology = Topology(
            channels={START: taken, END: LastValue(), PREVIOUS: LastValue()},
            nodes={START: Node(name=START, schema=schema, edges=(name,)), name: node},
            joins={},
            inputs=(START,),
            outputs=(END,),
        )
        return CompiledStateGraph(
            name=name,
            topology=topology,
            state_schema=signature.output_schema,
            declared=declared_types(
                [signature.input_schema, signature.output_schema, self._compiled["context_schema"]]
            ),
            builder=signature,
            **self._compiled,
        )


def _written(returned: Any) -> Pairs:
    if isinstance(returned, entrypoint.final):
        return ((END, isolated(returned.value)), (PREVIOUS, isolated(returned.save)))
    value = isolated(returned)
    return ((END, value), (PREVIOUS, value))


def _check_function(function: Any, what: str) -> None:
    if not callable(function):
        raise TypeError(f"{what} must be a function; got {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise NotImplementedError(
            f"{what} is a generator, which is no task and no entrypoint: write to the stream writer"
        )
