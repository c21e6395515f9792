"""The assistants: which graphs can be run, under which names, with what configuration."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID, uuid5

import attrs
import trio

from greenroom.graph.contract import Graph
from greenroom.graph.world import World
from greenroom.storage import Storage, StorageSession
from greenroom.storage.codec import INT_MAX
from greenroom.storage.operations import DeleteAssistant, PutAssistant
from greenroom.storage.records import Assistant, Row
from greenroom.storage.rows import from_row, to_row

from .errors import Closed, Conflict, Invalid, NotFound
from .mailbox import Reply

__all__ = ["Assistants", "system_assistant_id"]

# The reference's namespace, so that an assistant has the same id on both servers.
_NAMESPACE: Final = UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")

T = TypeVar("T")

Changes = Callable[[Assistant], Mapping[str, Any]]


def system_assistant_id(graph_id: str) -> str:
    """The id of the assistant that every graph has: the same on every server and at every start."""
    return str(uuid5(_NAMESPACE, graph_id))


@attrs.define(eq=False, kw_only=True)
class Assistants:
    """Each graph has one from the start, and clients make more.

    Nothing but this writes assistants, one change after the other, each in a task of `nursery`: the
    next one sees what the one before has stored, also where nobody waits for that any more. Those
    of the graphs are kept at hand, as they are stored, so that their runs need not read them.
    `descriptions`: what theirs are to be, by graph.
    """

    session: StorageSession
    graphs: Mapping[str, Graph]
    descriptions: Mapping[str, str]
    nursery: trio.Nursery
    world: World
    _at_hand: dict[str, Row] = attrs.field(init=False, factory=dict)
    _changing: trio.Lock = attrs.field(init=False, factory=trio.Lock)

    async def register(self) -> None:
        """Give every graph its assistant, unless it has one. One that is described otherwise is
        changed, which makes a new version of it."""
        for graph_id in self.graphs:
            ident = system_assistant_id(graph_id)
            description = self.descriptions.get(graph_id)
            assistant = await self.session.read(Storage.get_assistant, ident)
            if assistant is None:
                now = self.world.timestamp()
                assistant = Assistant(
                    assistant_id=ident,
                    graph_id=graph_id,
                    created_at=now,
                    updated_at=now,
                    name=graph_id,
                    description=description,
                    metadata={"created_by": "system"},
                )
                await self.session.commit([PutAssistant(assistant)])
            elif description not in (None, assistant.description):
                described = {"description": description}
                assistant = await self.change(ident, partial(_same, described))
            self._at_hand[ident] = to_row(assistant)

    def known(self, assistant_id: str) -> str:
        """The id that is meant by an id or a graph's name. Raises Invalid for what is neither."""
        try:
            if assistant_id in self.graphs:
                return system_assistant_id(assistant_id)
            return str(UUID(assistant_id))
        except (ValueError, AttributeError, TypeError):
            graphs = ", ".join(map(repr, self.graphs))
            raise Invalid(
                f"assistant_id: {assistant_id!r} is neither a UUID nor a graph ({graphs})"
            ) from None

    async def find(self, assistant_id: str) -> Assistant:
        """The assistant of an id, or of a graph's name, as it was committed last.

        Raises NotFound, Invalid.
        """
        ident = self.known(assistant_id)
        row = self._at_hand.get(ident)
        # Storage may be further, or nobody's any more.
        if row is not None and not (self._changing.locked() or self._is_closed):
            return from_row(Assistant, row, self.session.storage.types)
        return _found(await self.session.read(Storage.get_assistant, ident), ident)

    async def add(self, assistant: Assistant, *, or_get: bool) -> Assistant:
        """Add an assistant. Where the id is taken: Conflict, or the one that has it (`or_get`)."""
        ident = assistant.assistant_id

        async def add() -> Assistant:
            kept = await self.session.read(Storage.get_assistant, ident)
            if kept is None:
                await self.session.commit([PutAssistant(assistant)])
                return assistant
            if not or_get:
                raise Conflict(f"Assistant {ident!r} exists already")
            return kept

        return await self._in_turn(add)

    async def change(self, assistant_id: str, changes: Changes) -> Assistant:
        """Make a new version of an assistant, with what `changes(assistant)` gives changed in it.

        Raises NotFound.
        """

        def changed(storage: Storage, assistant: Assistant) -> Assistant:
            (last,) = storage.list_assistant_versions(assistant.assistant_id, limit=1)
            return attrs.evolve(assistant, **changes(assistant), version=last.version + 1)

        return await self._replace(assistant_id, changed)

    async def set_latest(self, assistant_id: str, version: int) -> Assistant:
        """Have an assistant be one of its versions again. Raises NotFound."""

        def restored(storage: Storage, assistant: Assistant) -> Assistant:
            ident, then = assistant.assistant_id, None
            if 0 < version <= INT_MAX:  # databases refuse greater ones
                then = storage.get_assistant_version(ident, version)
            if then is None:
                raise NotFound(f"Assistant {ident!r} has no version {version}")
            fields = {**attrs.asdict(then, recurse=False), "created_at": assistant.created_at}
            return attrs.evolve(assistant, **fields)

        return await self._replace(assistant_id, restored)

    async def _replace(
        self, assistant_id: str, changed: Callable[[Storage, Assistant], Assistant]
    ) -> Assistant:
        ident = self.known(assistant_id)

        def read(storage: Storage) -> Assistant:
            return changed(storage, _found(storage.get_assistant(ident), ident))

        async def replace() -> Assistant:
            assistant = await self.session.read(read)
            assistant = attrs.evolve(assistant, updated_at=self.world.timestamp())
            row = to_row(assistant)
            await self.session.commit([PutAssistant(assistant)])
            if ident in self._at_hand:
                self._at_hand[ident] = row
            return assistant

        return await self._in_turn(replace)

    async def delete(self, assistant_id: str) -> None:
        """Delete an assistant with its versions and crons. Raises NotFound."""
        ident = self.known(assistant_id)

        async def delete() -> None:
            _found(await self.session.read(Storage.get_assistant, ident), ident)
            await self.session.commit([DeleteAssistant(ident)])
            self._at_hand.pop(ident, None)

        await self._in_turn(delete)

    @property
    def _is_closed(self) -> bool:
        return self.nursery.cancel_scope.cancel_called

    async def _in_turn(self, work: Callable[[], Awaitable[T]]) -> T:
        reply: Reply[T] = Reply()

        async def perform() -> None:
            try:
                async with self._changing:
                    reply.send(await work())
            except Exception as error:
                reply.fail(error)
            except BaseException:
                reply.fail(Closed())
                raise

        if self._is_closed:
            raise Closed
        self.nursery.start_soon(perform)
        return await reply.wait()


def _same(changes: Mapping[str, Any], assistant: Assistant) -> Mapping[str, Any]:
    return changes


def _found(assistant: Assistant | None, ident: str) -> Assistant:
    if assistant is None:
        raise NotFound(f"Assistant {ident!r} not found")
    return assistant
