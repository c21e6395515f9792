"""Assistants: which graphs can be run, under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID, uuid5

from greenroom.storage import Storage
from greenroom.storage.operations import PutAssistant
from greenroom.storage.queries import AssistantQuery
from greenroom.storage.records import Assistant

from ..errors import Invalid, NotFound
from ..supervisor import Supervisor
from ..views import ASSISTANT_FIELDS, assistant_view
from .checks import check_choice, check_mapping, check_page, check_select, pick

__all__ = ["AssistantsClient", "system_assistant_id"]

# The reference's namespace, so that an assistant has the same id on both servers.
_NAMESPACE: Final = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
_SORTS = ("assistant_id", "graph_id", "name", "created_at", "updated_at")


def system_assistant_id(graph_id: str) -> str:
    """The id of the assistant that every graph has: the same on every server and at every start."""
    return str(uuid5(_NAMESPACE, graph_id))


class AssistantsClient:
    """`client.assistants`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._house = supervisor

    async def get(self, assistant_id: str) -> dict[str, Any]:
        """An assistant. Raises NotFound; Invalid for what is neither a UUID nor a graph's name."""
        return assistant_view(await self.resolve(assistant_id))

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
        found = await self._house.session.read(Storage.search_assistants, query)
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
        return await self._house.session.read(Storage.count_assistants, query)

    async def resolve(self, assistant_id: str) -> Assistant:
        """The assistant of an id, or of a graph's name."""
        if assistant_id in self._house.graphs:
            assistant_id = system_assistant_id(assistant_id)
        else:
            try:
                assistant_id = str(UUID(assistant_id))
            except (ValueError, AttributeError, TypeError):
                known = ", ".join(map(repr, self._house.graphs))
                raise Invalid(
                    f"assistant_id: {assistant_id!r} is neither a UUID nor a graph ({known})"
                ) from None
        assistant = self._house.assistants.get(assistant_id)
        if assistant is None:
            raise NotFound(f"Assistant {assistant_id!r} not found")
        return assistant

    async def register(self) -> None:
        """Give every graph its assistant, and remember those that can be run."""
        now = self._house.world.timestamp()
        for graph_id in self._house.graphs:
            ident = system_assistant_id(graph_id)
            assistant = await self._house.session.read(Storage.get_assistant, ident)
            if assistant is None:
                assistant = Assistant(
                    assistant_id=ident,
                    graph_id=graph_id,
                    created_at=now,
                    updated_at=now,
                    name=graph_id,
                    metadata={"created_by": "system"},
                )
                await self._house.session.commit([PutAssistant(assistant)])
            self._house.assistants[ident] = assistant

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
        if graph_id is not None and graph_id not in self._house.graphs:
            raise NotFound(f"Graph {graph_id!r} is not served here")
        return AssistantQuery(
            metadata=check_mapping("metadata", metadata) or None,
            graph_id=graph_id,
            name=name,
            sort_by=check_choice("sort_by", sort_by or "created_at", _SORTS),
            descending=check_choice("sort_order", sort_order or "desc", ("asc", "desc")) == "desc",
            limit=limit,
            offset=offset,
        )
