"""`StateGraph`: nodes and edges on their way to a graph that runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any, Generic, Self, cast

import attrs

from .annotations import destinations_of, literal_answers
from .cache import BaseCache
from .channels import Channel, LastValue
from .checkpoint import Checkpointer
from .compiled import CompiledStateGraph, ContextT, InputT, OutputT, StateT
from .control import END, START, RetryPolicy
from .declared import declared_types
from .job import Breakpoints
from .managed import ManagedValue
from .nodes import AsyncLibrary, Branch, Call, Node, is_runnable
from .plan import Join, Topology, handler_of
from .policies import CachePolicy, TimeoutPolicy, retry_policies
from .references import declared_inside, with_references
from .schema import Schema, declared_state
from .store import BaseStore
from .validation import (
    check_async_library,
    check_breakpoints,
    check_cache_policy,
    check_edges,
    check_key,
    check_name,
    check_parts,
)

__all__ = ["StateGraph"]

Action = Callable[..., Any] | CompiledStateGraph


class StateGraph(Generic[StateT, ContextT, InputT, OutputT]):
    """A graph whose nodes read a shared state and return updates of it.

    `state_schema`: a TypedDict, dataclass, attrs class or Pydantic model; `Annotated[type,
    reducer]` keys fold updates, `Annotated[type, channel]` keys do as the channel does, others keep
    the last. Nodes get a dict or an instance, results are dicts. `input_schema`, `output_schema`:
    the keys that an input may have and those that a result has, where these are not all.
    `context_schema`: the type of `Runtime.context`, for the reader and the type checker.
    Names and meanings as `langgraph.graph.StateGraph`.
    """

    def __init__(
        self,
        state_schema: type[Any],
        context_schema: type[Any] | None = None,
        *,
        input_schema: type[Any] | None = None,
        output_schema: type[Any] | None = None,
    ) -> None:
        self.state_schema = state_schema
        self.context_schema = context_schema
        self.input_schema = input_schema or state_schema
        self.output_schema = output_schema or state_schema
        self.channels: dict[str, Channel] = {}
        self._managed: dict[str, type[ManagedValue]] = {}
        self._schemas: dict[Any, Schema] = {}
        state = self._schema(state_schema)
        self._schema(self.input_schema, managed=False)
        self._schema(self.output_schema, managed=False)
        self._nodes: dict[str, Node] = {START: Node(name=START, schema=state)}
        self._edges: list[tuple[str, str]] = []
        self._joins: dict[str, Join] = {}
        self._branches: list[Branch] = []
        self._defaults: dict[str, Any] = {}  # of a node's policies

    def add_node(
        self,
        node: str | Callable[..., Any] | CompiledStateGraph,
        action: Callable[..., Any] | CompiledStateGraph | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        cache_policy: CachePolicy | None = None,
        error_handler: Callable[..., Any] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
        destinations: Mapping[str, str] | Sequence[str] | None = None,
        input_schema: type[Any] | None = None,
        defer: bool = False,
    ) -> Self:
        """Add a node: `async def` functions run on the event loop, plain ones in worker threads.

        `node`: its name, or the function itself, named after it. `action`: a function of the state
        (and, by name or annotation, of `config`, `runtime`, `writer`, `store`), a compiled graph,
        or a Runnable of langchain-core, which is invoked in a worker thread, or awaited where the
        graph is one of asyncio's (see `compile`). `metadata`: becomes part of that of the node's
        config and of its messages. `retry_policy`: the first that fits a
        failure counts. `cache_policy`: remember what it did in the cache given to `compile`.
        `error_handler`: called with the state and a `NodeError` when the node has failed for good;
        its update counts in place of the node's, and only its Commands lead on. It may ask; when it
        starts again, the error is one that says the same: see `NodeError`. `timeout`: seconds an
        attempt may take, or a `TimeoutPolicy`. `destinations`: where its Commands may go, for
        drawings, or a mapping to labels; a `Command[Literal[...]]` return annotation says the same.
        `input_schema`: the state type that it reads, by default what its first parameter is
        annotated with, or else the graph's; keys that are new become part of the state, but not of
        inputs and results. `defer`: run it only when nothing else is left to run.

        Raises ValueError for a name that is taken, reserved or not usable, TypeError for an action
        or a policy that is none.
        """
        if isinstance(node, str):
            name = node
        else:
            name, action = _name_of(node), node
        if action is None:
            raise TypeError(f"Node {name!r} needs an action: a function or a compiled graph")
        check_name(name, self._nodes)
        check_cache_policy(cache_policy)
        call = subgraph = None
        reads = input_schema
        if isinstance(action, CompiledStateGraph):
            subgraph = action
        else:
            call = Call.of(action, f"The action of node {name!r}")
            reads = reads or declared_state(action)
        self._nodes[name] = Node(
            name=name,
            schema=self._schema(reads or self.state_schema),
            defer=defer,
            call=call,
            subgraph=subgraph,
            retry=retry_policies(retry_policy),
            timeout=TimeoutPolicy.coerce(timeout),
            cache=cache_policy,
            error_handler=self._handler(error_handler, f"The error handler of node {name!r}"),
            metadata=dict(metadata or {}),
            destinations=destinations_of(destinations, action),
        )
        return self

    def add_sequence(self, nodes: Sequence[Action | tuple[str, Action]]) -> Self:
        """Add nodes, each with an edge from the one before it; a pair is a name and an action.

        Raises ValueError for no nodes, and as `add_node`; then nothing is added.
        """
        if not nodes:
            raise ValueError("A sequence needs at least one node")
        pairs = [node if isinstance(node, tuple) else (_name_of(node), node) for node in nodes]
        before = dict(self._nodes)
        try:
            for name, action in pairs:
                self.add_node(name, action)
        except (TypeError, ValueError):
            self._nodes = before
            raise
        self._edges += pairwise(name for name, _ in pairs)
        return self

    def set_node_defaults(
        self,
        *,
        retry_policy: RetryPolicy | Sequence[RetryPolicy] | None = None,
        cache_policy: CachePolicy | None = None,
        error_handler: Callable[..., Any] | None = None,
        timeout: float | timedelta | TimeoutPolicy | None = None,
    ) -> Self:
        """Policies for the nodes that were added without their own, before or after this call.

        They are as in `add_node`; those not given stay as they were. Graphs called as nodes keep
        their own defaults for what is inside them.
        """
        check_cache_policy(cache_policy)
        given = {
            "retry": retry_policies(retry_policy),
            "cache": cache_policy,
            "error_handler": self._handler(error_handler, "The error handler of nodes"),
            "timeout": TimeoutPolicy.coerce(timeout),
        }
        self._defaults |= {name: policy for name, policy in given.items() if policy}
        return self

    def add_edge(self, start_key: str | Sequence[str], end_key: str) -> Self:
        """Run `end_key` after `start_key`; after all of them, where a list is given.

        Raises ValueError for an edge out of END or into START, TypeError for a source that is no
        name.
        """
        if not isinstance(start_key, (str, Sequence)):
            raise TypeError(f"An edge starts at a node's name or at several; got {start_key!r}")
        sources = (start_key,) if isinstance(start_key, str) else tuple(dict.fromkeys(start_key))
        if END in sources:
            raise ValueError("END cannot be the start of an edge")
        if end_key == START:
            raise ValueError("START cannot be the end of an edge")
        if isinstance(start_key, str):
            self._edges.append((start_key, end_key))
        elif not sources:
            raise ValueError(f"An edge to {end_key!r} needs at least one source")
        else:
            self._joins[f"{'+'.join(sources)}:{end_key}"] = Join(sources, end_key)
        return self

    def add_conditional_edges(
        self,
        source: str,
        path: Callable[..., Any],
        path_map: Mapping[Hashable, str] | Sequence[str] | None = None,
    ) -> Self:
        """After `source`, go where `path(state)` says: a node's name, END, a `Send`, or a list.

        `path_map`: from what `path` answers to node names, or just the names it may answer. A
        `Literal` return annotation says the same.

        Raises ValueError for the same function twice, TypeError for what is no function.
        """
        if source == END:
            raise ValueError("END cannot be the start of an edge")
        if path_map is None:
            path_map = literal_answers(path)
        if path_map is not None and not isinstance(path_map, Mapping):
            path_map = {name: name for name in path_map}
        call = Call.of(path, f"The conditional edge from {source!r}")
        if any(one.source == source and one.call.function == path for one in self._branches):
            raise ValueError(f"Node {source!r} has this conditional edge already: {path!r}")
        reads = declared_state(path)
        schema = None if reads is None else self._schema(reads)
        self._branches.append(Branch(source, call, path_map, schema))
        return self

    def set_entry_point(self, key: str) -> Self:
        """Same as `add_edge(START, key)`."""
        return self.add_edge(START, key)

    def set_conditional_entry_point(
        self,
        path: Callable[..., Any],
        path_map: Mapping[Hashable, str] | Sequence[str] | None = None,
    ) -> Self:
        """Same as `add_conditional_edges(START, path, path_map)`."""
        return self.add_conditional_edges(START, path, path_map)

    def set_finish_point(self, key: str) -> Self:
        """Same as `add_edge(key, END)`."""
        return self.add_edge(key, END)

    def validate(self, interrupt: Sequence[str] | None = None) -> Self:
        """Check the edges, as `compile` does, and that the nodes of `interrupt` exist.

        Raises ValueError for what is wrong.
        """
        joined = [(start, join.target) for join in self._joins.values() for start in join.sources]
        check_edges(self._nodes, [*self._edges, *joined], self._branches)
        check_breakpoints(self._nodes, interrupt=interrupt)
        return self

    def compile(
        self,
        checkpointer: Checkpointer | bool | None = None,
        *,
        cache: BaseCache | None = None,
        store: BaseStore | None = None,
        interrupt_before: Breakpoints | None = None,
        interrupt_after: Breakpoints | None = None,
        name: str | None = None,
        async_library: AsyncLibrary = "trio",
    ) -> CompiledStateGraph:
        """Check the graph and make it runnable.

        `checkpointer`: keeps the threads of a graph used alone (`InMemorySaver()`); a server brings
        its own, and so does a graph around this one. Inside another graph, None (default) starts
        afresh for each task that calls it, True goes on from where it was left on the thread, and
        False keeps nothing: resumed, it starts anew. `cache`: for nodes with a `CachePolicy`.
        `store`: what nodes are given; a server gives its own where there is none.
        `interrupt_before`, `interrupt_after`: nodes to pause at, or "*" for all. `async_library`:
        with "asyncio" all that is async in the graph runs as `asyncio_node` says: its nodes, their
        conditional edges and error handlers, Runnables of langchain-core among them, and the tasks
        that they call.

        Raises ValueError for edges from or to unknown nodes, a graph with no way in, and
        breakpoints at unknown nodes, and for another `async_library`; TypeError for a checkpointer,
        cache or store that is none.
        """
        self.validate()
        check_breakpoints(
            self._nodes, interrupt_before=interrupt_before, interrupt_after=interrupt_after
        )
        check_parts(checkpointer, store, cache)
        check_async_library(async_library)
        nodes = {name: self._wired(node) for name, node in self._nodes.items()}
        if async_library == "asyncio":
            nodes = {name: node.on_asyncio() for name, node in nodes.items()}
        return CompiledStateGraph(
            name=name or "LangGraph",
            topology=Topology(
                dict(self.channels),
                nodes,
                dict(self._joins),
                inputs=tuple(self._schemas[self.input_schema].channels),
                outputs=tuple(self._schemas[self.output_schema].channels),
            ),
            state_schema=self.state_schema,
            context_schema=self.context_schema,
            declared=self._declared(nodes.values()),
            builder=self,
            checkpointer=checkpointer,
            cache=cache,
            store=store,
            interrupt_before=interrupt_before or (),
            interrupt_after=interrupt_after or (),
            async_library=async_library,
        )

    def _declared(self, nodes: Iterable[Node]) -> frozenset[type]:
        """The classes that its schemas name, and those of what its nodes call."""
        own = declared_types([*self._schemas, self.context_schema])
        return own.union(*map(declared_inside, nodes))

    def output_of(self, values: Mapping[str, Any]) -> Any:
        """Values as an instance of the class that declares the output; as they are where a
        TypedDict does. Raises what the class raises for values that it does not take."""
        schema = self._schemas[self.output_schema]
        return values if schema.build is None else schema.build(schema.select(values))

    def _schema(self, kind: type[Any], *, managed: bool = True) -> Schema:
        """The schema of a state type, whose keys become part of the state.

        Raises ValueError for a key that is declared otherwise already; a plain one is as before.
        """
        if isinstance(kind, Hashable) and kind in self._schemas:
            return self._schemas[kind]
        schema = Schema.of(kind)
        name = getattr(kind, "__name__", repr(kind))
        if schema.managed and not managed:
            raise ValueError(
                f"{', '.join(schema.managed)} of {name} is a managed value, which no input and no "
                f"result can have"
            )
        for key, channel in schema.channels.items():
            check_key(key)
            known = self.channels.get(key, channel)
            if key in self._managed or (known != channel and not isinstance(channel, LastValue)):
                raise ValueError(
                    f"State key {key!r} of {name} is declared otherwise by another state type: "
                    f"{channel} here, {self._managed.get(key, known)} there"
                )
        for key, manager in schema.managed.items():
            if key in self.channels or self._managed.get(key, manager) is not manager:
                raise ValueError(
                    f"State key {key!r} of {name} is declared otherwise by another state type"
                )
        for key, channel in schema.channels.items():
            self.channels.setdefault(key, channel)
        self._managed.update(schema.managed)
        self._schemas[kind] = schema
        return schema

    def _handler(self, given: Callable[..., Any] | None, what: str) -> Node | None:
        """An error handler, which has no name before its node is known."""
        if given is None:
            return None
        return Node(name="", schema=self._schema(self.state_schema), call=Call.of(given, what))

    def _wired(self, node: Node) -> Node:
        defaults = {} if node.name == START else self._defaults
        missing = {name: policy for name, policy in defaults.items() if not getattr(node, name)}
        node = attrs.evolve(with_references(node), **missing)
        if (handler := node.error_handler) is not None:
            handler = with_references(attrs.evolve(handler, name=handler_of(node.name)))
        return attrs.evolve(
            node,
            error_handler=handler,
            edges=tuple(end for start, end in self._edges if start == node.name),
            joins=tuple(key for key, join in self._joins.items() if node.name in join.sources),
            branches=tuple(branch for branch in self._branches if branch.source == node.name),
        )


def _name_of(action: Callable[..., Any] | CompiledStateGraph) -> str:
    if isinstance(action, CompiledStateGraph):
        return action.name
    if is_runnable(action):
        return str(cast(Any, action).get_name())
    return getattr(action, "__name__", type(action).__name__)
