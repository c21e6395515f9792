"""Programs in place of graphs: `@entrypoint`. Names follow `langgraph.func`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Generic, TypeVar, get_args, get_origin

import attrs

from .cache import BaseCache
from .channels import EphemeralValue, LastValue
from .checkpoint import Checkpointer
from .compiled import CompiledStateGraph
from .control import END, PREVIOUS, START, RetryPolicy
from .declared import declared_types
from .injection import hints_of
from .isolation import isolated
from .nodes import AsyncLibrary, Call, Node, Pairs, check_function, name_of
from .plan import Topology
from .policies import CachePolicy, TimeoutPolicy
from .references import declared_inside, with_references
from .schema import Schema
from .store import BaseStore
from .validation import check_async_library, check_name

__all__ = ["Signature", "entrypoint"]

R = TypeVar("R")
S = TypeVar("S")


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
    run on the thread returned, or saved: see `final`. An async function runs on trio, or with
    `async_library="asyncio"` on an asyncio loop, as do the tasks that it calls; a plain one in a
    worker thread. The function starts again from its top when the run is resumed or goes on:
    what it must not do twice belongs in tasks and steps.

    `name`: of the graph and its one node, by default the function's. The rest is as in
    `StateGraph.compile` and `StateGraph.add_node`.
    """

    def __init__(
        self,
        checkpointer: Checkpointer | bool | None = None,
        store: BaseStore | None = None,
        cache: BaseCache | None = None,
        context_schema: type[Any] | None = None,
        cache_policy: CachePolicy | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
        *,
        name: str | None = None,
        async_library: AsyncLibrary = "trio",
    ) -> None:
        check_async_library(async_library)
        self._compiled: Any = {
            "checkpointer": checkpointer,
            "store": store,
            "cache": cache,
            "context_schema": context_schema,
            "async_library": async_library,
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
        check_function(function, what)
        signature = Signature.of(function, what)
        taken = EphemeralValue(signature.input_schema)
        schema = Schema.of_value(START, taken)
        node = with_references(
            Node(
                name=name,
                schema=schema,
                call=Call.of(function, what),
                writer=_written,
                **self._policies,
            )
        )
        if self._compiled["async_library"] == "asyncio":
            node = node.on_asyncio()
        own = [signature.input_schema, signature.output_schema, self._compiled["context_schema"]]
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
            declared=declared_types(own) | declared_inside(node),
            builder=signature,
            **self._compiled,
        )


def _written(returned: Any) -> Pairs:
    if isinstance(returned, entrypoint.final):
        return ((END, isolated(returned.value)), (PREVIOUS, isolated(returned.save)))
    value = isolated(returned)
    return ((END, value), (PREVIOUS, value))
