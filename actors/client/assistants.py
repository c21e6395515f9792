"""Assistants: graphs with a configuration of their own, and the versions they have been."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from greenroom.graph import RunnableConfig
from greenroom.graph.contract import Graph, Schemas
from greenroom.graph.jsonschema import state_title
from greenroom.storage import Storage
from greenroom.storage.queries import AssistantQuery, AssistantSort, ThreadQuery
from greenroom.storage.records import Assistant

from ..errors import Invalid, NotFound
from ..mailbox import DeleteThread
from ..supervisor import Supervisor
from ..views import ASSISTANT_FIELDS, assistant_view
from .checks import (
    check_choice,
    check_descending,
    check_mapping,
    check_metadata,
    check_page,
    check_select,
    check_settings,
    check_text,
    check_uuid,
    pick,
)

__all__ = ["AssistantsClient"]

_PAGE = 100  # threads deleted between two looks at which are left


class AssistantsClient:
    """`client.assistants`. Wherever an id is asked for, the name of a graph stands for the
    assistant that the graph has by itself."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def create(
        self,
        graph_id: str,
        config: Mapping[str, Any] | None = None,
        *,
        context: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        assistant_id: str | None = None,
        if_exists: str | None = None,
        name: str | None = None,
        description: str | None = None,
    ) -> dict[str, Any]:
        """Make an assistant of a graph, as version 1. Returns it.

        `config`: `tags`, `recursion_limit` and `configurable` of its runs, below what they are
        given; `context` and `configurable` stand for each other. `metadata`: its own, which its
        runs have too; `multitask_strategy` in it is that of runs which name none, on threads that
        have none. `assistant_id`: a UUID; a new one by default. `if_exists`: what happens where
        that is taken: `raise` (default: Conflict) or `do_nothing`, which returns the one that has
        it. `name`: "Untitled" by default.

        Raises NotFound for a graph that is not served, Refused for `configurable` and `context` at
        once, Invalid.
        """
        self._graph(graph_id)
        settings, own = check_settings(config, context)
        now, world = self._supervisor.world.timestamp(), self._supervisor.world
        ident = world.random_id() if assistant_id is None else assistant_id
        exists = check_choice("if_exists", if_exists or "raise", ("raise", "do_nothing"))
        assistant = Assistant(
            assistant_id=check_uuid("assistant_id", ident),
            graph_id=graph_id,
            created_at=now,
            updated_at=now,
            name=check_text("name", name) or "Untitled",
            description=check_text("description", description),
            metadata=check_metadata(metadata),
            **_mirrored(settings, own or {}),
        )
        added = await self._supervisor.assistants.add(assistant, or_get=exists == "do_nothing")
        return assistant_view(added)

    async def get(self, assistant_id: str) -> dict[str, Any]:
        """An assistant. Raises NotFound; Invalid for what is neither a UUID nor a graph's name."""
        return assistant_view(await self.resolve(assistant_id))

    async def update(
        self,
        assistant_id: str,
        *,
        graph_id: str | None = None,
        config: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        description: str | None = None,
    ) -> dict[str, Any]:
        """Make a new version of an assistant and return it; its next run is of that.

        What is not given stays. `metadata` is merged, on its top level; `config` replaces all of
        its own but the context, unless it has a `configurable`; `context` replaces that alone.
        Raises as `create`, and NotFound.
        """
        if graph_id is not None:
            self._graph(graph_id)
        settings, own = check_settings(config, context)
        more = check_metadata(metadata)
        given = {
            "graph_id": graph_id,
            "name": check_text("name", name),
            "description": check_text("description", description),
        }

        def changes(before: Assistant) -> dict[str, Any]:
            kept = before.config if config is None else settings
            return {
                **{field: value for field, value in given.items() if value is not None},
                **_mirrored(kept, before.context if own is None else own),
                "metadata": {**before.metadata, **more},
            }

        return assistant_view(await self._supervisor.assistants.change(assistant_id, changes))

    async def delete(self, assistant_id: str, *, delete_threads: bool = False) -> None:
        """Delete an assistant with its versions and crons.

        Its runs and threads stay, and runs that were accepted are carried out. `delete_threads`:
        the threads that it ran on last (`metadata.assistant_id`) are deleted too, before it is. The
        assistant that a graph has by itself is made anew at the next start. Raises NotFound.
        """
        assistants = self._supervisor.assistants
        if delete_threads:
            ident = (await assistants.find(assistant_id)).assistant_id
            query = ThreadQuery(metadata={"assistant_id": ident}, limit=_PAGE)
            while threads := await self._supervisor.session.read(Storage.search_threads, query):
                for thread in threads:
                    try:
                        await self._supervisor.ask(thread.thread_id, DeleteThread())
                    except NotFound:  # somebody else was quicker
                        continue
        await assistants.delete(assistant_id)

    async def search(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        graph_id: str | None = None,
        name: str | None = None,
        limit: int = 10,
        offset: int = 0,
        sort_by: str | None = None,
        sort_order: str | None = None,
        select: Sequence[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Assistants, newest first; `metadata` at any depth, `name` as part of the name."""
        check_page(limit, offset)
        fields = check_select(select, ASSISTANT_FIELDS)
        query = self._query(
            metadata,
            graph_id,
            name,
            limit=limit,
            offset=offset,
            sort_by=sort_by,
            sort_order=sort_order,
        )
        found = await self._supervisor.session.read(Storage.search_assistants, query)
        return [pick(assistant_view(assistant), fields) for assistant in found]

    async def count(
        self,
        *,
        metadata: Mapping[str, Any] | None = None,
        graph_id: str | None = None,
        name: str | None = None,
    ) -> int:
        """How many assistants fit."""
        query = self._query(metadata, graph_id, name)
        return await self._supervisor.session.read(Storage.count_assistants, query)

    async def get_versions(
        self,
        assistant_id: str,
        metadata: Mapping[str, Any] | None = None,
        *,
        limit: int = 10,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """What an assistant was and is, newest first; `metadata` at any depth. Raises NotFound."""
        check_page(limit, offset)
        wanted = check_mapping("metadata", metadata)
        ident = (await self.resolve(assistant_id)).assistant_id
        found = await self._supervisor.session.read(
            Storage.list_assistant_versions, ident, metadata=wanted, limit=limit, offset=offset
        )
        return [assistant_view(version) for version in found]

    async def set_latest(self, assistant_id: str, version: int) -> dict[str, Any]:
        """Have an assistant be one of its versions again; returns it. Raises NotFound."""
        if isinstance(version, bool) or not isinstance(version, int):
            raise Invalid(f"version: {version!r} is not a whole number")
        return assistant_view(await self._supervisor.assistants.set_latest(assistant_id, version))

    async def get_graph(self, assistant_id: str, *, xray: int | bool = False) -> dict[str, Any]:
        """The nodes and edges of an assistant's graph, for a drawing.

        `xray`: True shows what is inside graphs called as nodes, a number from 1 so many levels of
        it. Raises NotFound.
        """
        if not isinstance(xray, int) or (xray < 1 and xray is not False):
            raise Invalid(f"xray: {xray!r} is neither a flag nor a whole number of at least 1")
        assistant = await self.resolve(assistant_id)
        graph = self._graph(assistant.graph_id)
        return await graph.drawing(xray, config=_config(assistant))

    async def get_schemas(self, assistant_id: str) -> dict[str, Any]:
        """The JSON Schemas of what an assistant's graph takes and gives: `input_schema`,
        `output_schema`, `state_schema`, `config_schema`, `context_schema`, with its `graph_id`.

        Raises NotFound.
        """
        assistant = await self.resolve(assistant_id)
        graph = self._graph(assistant.graph_id)
        shown = _schemas_view(await graph.schemas(config=_config(assistant)))
        state = shown["state_schema"]
        if "properties" in state:
            shown["state_schema"] = {**state, "title": state_title(assistant.graph_id)}
        return {"graph_id": assistant.graph_id, **shown}

    async def get_subgraphs(
        self, assistant_id: str, namespace: str | None = None, recurse: bool = False
    ) -> dict[str, Any]:
        """The schemas of the graphs inside an assistant's graph, by namespace: names of nodes
        joined by `|`.

        `namespace`: only the one there. `recurse`: those inside them too, which a `namespace` of
        several names needs. Raises NotFound for the assistant.
        """
        assistant = await self.resolve(assistant_id)
        graph, config = self._graph(assistant.graph_id), _config(assistant)
        found = await graph.subgraph_schemas(namespace, recurse=recurse, config=config)
        return {place: _schemas_view(schemas) for place, schemas in found.items()}

    async def resolve(self, assistant_id: str) -> Assistant:
        """The assistant of an id, or of a graph's name."""
        return await self._supervisor.assistants.find(assistant_id)

    def _graph(self, graph_id: str) -> Graph:
        if not isinstance(graph_id, str):
            raise Invalid(f"graph_id: {graph_id!r} is not a text")
        return self._supervisor.graph(graph_id)

    def _query(
        self,
        metadata: Mapping[str, Any] | None,
        graph_id: str | None,
        name: str | None,
        *,
        limit: int | None = None,
        offset: int = 0,
        sort_by: str | None = None,
        sort_order: str | None = None,
    ) -> AssistantQuery:
        if graph_id is not None:
            self._graph(graph_id)
        return AssistantQuery(
            metadata=check_mapping("metadata", metadata) or None,
            graph_id=graph_id,
            name=check_text("name", name),
            sort_by=check_choice("sort_by", sort_by or "created_at", get_args(AssistantSort)),
            descending=check_descending(sort_order),
            limit=limit,
            offset=offset,
        )


def _mirrored(config: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """The two fields that say the same of a context; an empty one stays where it was given."""
    settings = dict(config)
    if context or "configurable" in config:
        settings["configurable"] = dict(context)
    return {"config": settings, "context": dict(context)}


def _config(assistant: Assistant) -> RunnableConfig:
    return cast(RunnableConfig, assistant.config)


def _schemas_view(schemas: Schemas) -> dict[str, Any]:
    return {
        "input_schema": schemas["input"],
        "output_schema": schemas["output"],
        "state_schema": schemas["state"],
        "config_schema": schemas["context"] or {},
        "context_schema": schemas["context"],
    }
