"""`LangGraphGraph`: a graph of the `langgraph` library as actors see graphs."""

from __future__ import annotations

import copy
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Self, TypeVar, cast
from uuid import UUID

import attrs
from langgraph._internal._constants import CONFIG_KEY_RUNTIME
from langgraph.channels.base import BaseChannel
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime
from langgraph.types import StateUpdate as LangGraphUpdate
from pydantic import TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError

from ..adoption import is_langgraph, not_a_graph
from ..asyncio_thread import asyncio_thread
from ..checkpoint import (
    RUN_TASK,
    Checkpoint,
    CheckpointReader,
    PendingWrites,
    Saved,
    StateSnapshot,
)
from ..context import RunnableConfig
from ..contract import Schemas
from ..control import ROOT, START, Command, StateUpdate
from ..errors import AsyncioThreadDied, InvalidUpdateError, NodeNotFoundError
from ..isolation import isolated
from ..job import Finish, Job
from ..nodes import INPUT
from ..resume import waiting
from ..root import shown
from ..store import BaseStore
from .classes import declared_by, make_known
from .draft import Draft
from .factories import Access, AnyPregel, Factory, FactoryRuntime
from .performance import NOTHING, Performance, as_asked, finish_of, given_to, translated
from .prepared import empty_values, prepared
from .records import OWN_TYPES, config_of, to_command
from .saver import LogReader, LogWriter
from .states import snapshot
from .store import LentStore

__all__ = ["LangGraphGraph"]

T = TypeVar("T")

OWN_KEYS: Final = "__pregel_"  # what LangGraph's engine tells itself by its config begins so

logger = logging.getLogger(__name__)


class LangGraphGraph:
    """Runs a graph of LangGraph's own, on the asyncio loop beside trio, with its records in the log
    of the thread. See `contract.Graph` and `docs/langgraph.md`.
    """

    has_own_store = False
    steerable = False
    tells_events = True

    def __init__(self, name: str, source: AnyPregel | StateGraph[Any] | Callable[..., Any]) -> None:
        self.name = name
        if isinstance(source, StateGraph):
            source = source.compile()
        if not isinstance(source, Pregel) and (is_langgraph(source) or not callable(source)):
            raise not_a_graph(name, source)
        self._factory = Factory(name, source)
        self._seen: Schemas | None = None
        self._store: LentStore | None = None
        graph = self._factory.graph
        self.has_turns = graph is None or isinstance(graph, CompiledStateGraph)
        # What a function makes is not known before.
        self.takes_any = graph is None or not self.has_turns or ROOT in graph.channels
        self.made_per_run = graph is None
        own = () if graph is None else declared_by(graph)
        self.declared: Collection[type] = (*OWN_TYPES, *own)

    def with_store(self, store: BaseStore) -> Self:
        own = copy.copy(self)
        own._store = LentStore(store)
        return own

    async def perform(self, job: Job) -> Finish:
        assert job.log is not None
        head = await job.log.load()
        saved = head
        if job.checkpoint_id is not None:
            saved = await _load(job.log, "", job.checkpoint_id)
        given, warning = given_to(job, saved)
        if warning is not None:
            logger.warning("%s", warning)
        if given is NOTHING:
            assert saved is not None
            return finish_of(head, isolated(shown(saved.checkpoint.values)), warning)
        if saved is not None and saved is head and RUN_TASK in saved.pending:
            # It failed, and is tried again.
            job.log.append(
                PendingWrites(checkpoint_id=saved.checkpoint.id, task_id=RUN_TASK, node="")
            )
        config = _config(job)
        thread_id = config["configurable"]["thread_id"]
        thread = asyncio_thread()
        saver = LogWriter(job, thread_id, head)
        store = None if job.store is None else LentStore(job.store, thread)
        waits = () if saved is None else waiting(saved)
        inside = any(len(one.ns) > 1 for one in waits)
        given = await as_asked(job, given, waits)
        performance = Performance(self._factory, job, config, given, saver, store, inside)
        saver.failed = performance.fail
        saver.thread = thread
        await thread.run(performance.run, grace=job.grace, name=self.name)
        if saver.error is not None:  # it was at its end by then
            raise saver.error
        head = await job.log.load()
        return finish_of(head, performance.output, warning, performance.channel)

    async def update(self, job: Job, supersteps: Sequence[Sequence[StateUpdate]]) -> Checkpoint:
        assert job.log is not None
        thread_id = job.metadata["thread_id"]
        log, ns = job.log, "|".join(job.ns)
        if job.checkpoint_id is not None:
            await _load(log, ns, job.checkpoint_id)
        config = config_of(thread_id, ns, job.checkpoint_id)
        # For conditional edges that ask for it: LangGraph gives them none with an edit.
        config["configurable"][CONFIG_KEY_RUNTIME] = Runtime(store=self._store)
        updates = [[_update(one) for one in updates] for updates in supersteps]

        async def edit(graph: AnyPregel) -> tuple[Draft, Checkpoint]:
            draft = Draft(log)
            saver = LogWriter(attrs.evolve(job, log=draft), thread_id)
            own = prepared(graph, saver)
            saver.serve(own, empty_values(graph))
            if self.made_per_run and make_known(graph):
                await saver.read_anew()
            await own.abulk_update_state(config, updates)
            made = saver.made
            assert made is not None
            await own.aget_state(config_of(thread_id, made.ns, made.id))  # or nobody could, after
            return draft, made

        draft, made = await self._on_loop(edit, "threads.update", config=job.config)
        for record in draft.records:
            log.append(record)
        return made

    async def take_in(self, job: Job) -> Checkpoint:
        as_node = START if self.has_turns else INPUT
        return await self.update(job, [[StateUpdate(job.input, as_node)]])

    async def read_state(
        self,
        log: CheckpointReader,
        thread_id: str,
        ns: str = "",
        checkpoint_id: str | None = None,
        *,
        subgraphs: bool = False,
        config: RunnableConfig | None = None,
    ) -> StateSnapshot:
        saver = LogReader(log, thread_id)
        place = config_of(thread_id, ns, checkpoint_id)

        async def read(graph: AnyPregel) -> StateSnapshot:
            try:
                return snapshot(await graph.aget_state(place, subgraphs=subgraphs))
            except Exception:
                head = await saver.aget_tuple(place) if checkpoint_id is None else None
                if head is None:
                    raise
                # A reducer refuses what its last run was given: the state is what it was before.
                return snapshot(await graph.aget_state(head.config, subgraphs=subgraphs))

        return await self._on_loop(read, "threads.read", saver, config)

    async def read_history(
        self,
        log: CheckpointReader,
        thread_id: str,
        ns: str = "",
        *,
        before: str | None = None,
        limit: int | None = None,
        config: RunnableConfig | None = None,
    ) -> list[StateSnapshot]:
        saver = LogReader(log, thread_id)
        place = config_of(thread_id, ns)
        start = None if before is None else config_of(thread_id, ns, before)

        async def read(graph: AnyPregel) -> list[StateSnapshot]:
            states = graph.aget_state_history(place, before=start, limit=limit)
            return [snapshot(state) async for state in states]

        return await self._on_loop(read, "threads.read", saver, config)

    async def drawing(
        self, xray: int | bool = False, *, config: RunnableConfig | None = None
    ) -> dict[str, Any]:
        async def draw(graph: AnyPregel) -> dict[str, Any]:
            return (await graph.aget_graph(xray=xray)).to_json()

        return await self._on_loop(draw, "assistants.read", config=config)

    async def schemas(self, *, config: RunnableConfig | None = None) -> Schemas:
        if self._seen is not None:
            return self._seen

        async def look(graph: AnyPregel) -> Schemas:
            return _schemas(graph)

        schemas = await self._on_loop(look, "assistants.read", config=config)
        if self._factory.graph is not None:
            self._seen = schemas
        return schemas

    async def subgraph_schemas(
        self,
        namespace: str | None = None,
        *,
        recurse: bool = False,
        config: RunnableConfig | None = None,
    ) -> Mapping[str, Schemas]:
        async def look(graph: AnyPregel) -> Mapping[str, Schemas]:
            found = graph.aget_subgraphs(namespace=namespace, recurse=recurse)
            return {ns: _schemas(cast(AnyPregel, inner)) async for ns, inner in found}

        return await self._on_loop(look, "assistants.read", config=config)

    async def _on_loop(
        self,
        function: Callable[[AnyPregel], Awaitable[T]],
        access: Access,
        saver: LogReader | None = None,
        config: RunnableConfig | None = None,
    ) -> T:
        """Ask the graph something on the asyncio loop, and once more where that has died of
        something else. Raises what this engine raises for what cannot be."""

        async def ask() -> T:
            runtime = FactoryRuntime(access, self._store)
            own = {"configurable": {}, **isolated(config or {})}
            async with self._factory.made(own, runtime) as graph:
                if saver is None:
                    return await function(graph)
                if self.made_per_run and make_known(graph):
                    await saver.read_anew()
                return await function(prepared(graph, saver))

        try:
            try:
                return await asyncio_thread().run(ask, name=self.name)
            except AsyncioThreadDied:
                return await asyncio_thread().run(ask, name=self.name)
        except Exception as error:
            if isinstance(error, ValueError) and str(error).startswith("Subgraph "):
                raise NodeNotFoundError(str(error)) from error
            if isinstance(error, ValidationError):  # the state is not what its schema says
                raise InvalidUpdateError(str(error)) from error
            if (ours := translated(error)) is not error:
                raise ours from error
            raise


async def _load(log: CheckpointReader, ns: str, checkpoint_id: str) -> Saved:
    """Raises ValueError."""
    saved = await log.load(ns, checkpoint_id)
    if saved is None:
        raise ValueError(f"There is no checkpoint {checkpoint_id!r} on this thread")
    return saved


def _config(job: Job) -> dict[str, Any]:
    given = job.config.get("configurable", {})
    own = {key: value for key, value in given.items() if not str(key).startswith(OWN_KEYS)}
    if "graph_id" in job.metadata:
        own.setdefault("graph_id", job.metadata["graph_id"])
    if job.checkpoint_id is not None:
        own["checkpoint_id"] = job.checkpoint_id
        if job.travels:
            own["checkpoint_map"] = {"": job.checkpoint_id, **job.travels}
    metadata = {**job.metadata, **job.config.get("metadata", {})}
    config = {**job.config, "configurable": own, "metadata": metadata}
    with suppress(ValueError, TypeError):  # tracers know the run by it
        config["run_id"] = UUID(own.get("run_id"))
    return config


def _update(update: StateUpdate) -> LangGraphUpdate:
    values = update.values
    if isinstance(values, Command):
        values = to_command(values)
    return LangGraphUpdate(values, update.as_node)


def _schemas(graph: AnyPregel) -> Schemas:
    own = _of_channels(graph)
    return {
        "input": _schema(graph.get_input_jsonschema) or own,
        "output": _schema(graph.get_output_jsonschema) or own,
        "state": own,
        "context": _schema(graph.get_context_jsonschema),
    }


def _schema(make: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    try:
        return make()
    except PydanticUserError as error:  # a TypedDict of `typing` on Python 3.11, for one
        logger.info("a graph has a schema that pydantic does not read: %s", error)
        return None


def _of_channels(graph: AnyPregel) -> dict[str, Any]:
    fields: dict[str, Any] = {
        name: (channel.UpdateType, None)
        for name in graph.stream_channels_list
        if isinstance(channel := graph.channels.get(name), BaseChannel)
    }
    name = graph.get_name("State")
    if ROOT in fields:  # a state that is one value
        return {**TypeAdapter(fields[ROOT][0]).json_schema(), "title": name}
    schema = _schema(lambda: _of_fields(name, fields))
    if schema is None:  # one key is beyond pydantic: the others are told
        schema = {"title": name, "type": "object", "properties": {}}
        for key, field in fields.items():
            known = _schema(partial(_of_fields, name, {key: field})) or {}
            schema["properties"][key] = known.get("properties", {}).get(key, {"title": key.title()})
            if "$defs" in known:
                schema.setdefault("$defs", {}).update(known["$defs"])
    return schema


def _of_fields(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = create_model(name, **fields).model_json_schema()
    return schema
