"""Clients look after threads."""

from __future__ import annotations

from greenroom.actors import Conflict

from .caller import Caller
from .graphs import GRAPHS

__all__ = ["Keeping"]


class Keeping(Caller):
    """Those who make threads, edit their state and delete them."""

    __slots__ = ()

    async def _make_thread(self, thread_id: str) -> str:
        client = await self._client()
        await self.simulation.make_thread(thread_id, client)
        return "there"

    async def _delete_thread(self, thread_id: str) -> str:
        client, thread = await self._client(), self._thread(thread_id)
        self._witness.dropped.add(thread_id)
        await client.threads.delete(thread_id)
        self._witness.check(thread.gone, "a thread is there, and was deleted")
        return "gone"

    async def _copy(self, thread_id: str) -> str:
        client, thread = await self._client(), self._thread(thread_id)
        self._witness.copied[thread_id] = None
        made = (await client.threads.copy(thread_id))["thread_id"]
        self._witness.check(made in self._witness.threads, f"{made} is a copy, and is not stored")
        self.simulation.adopt(made, thread.place.graph)
        return made[-4:]

    async def _edit(self, thread_id: str) -> str:
        client, tag = await self._client(), self.simulation.new_tag()
        before = self._busy(thread_id)  # the client's process may lose its lease from here on
        graph = self.simulation.graph_of(thread_id)
        steps = [("inner",) if "x" in step else step for step in GRAPHS[graph]]
        node = self.random.choice([step[0] for step in steps if len(step) == 1])
        at = None
        if self.simulation.branches and self.random.random() < 0.3:
            at = (await self._older_state(thread_id))["checkpoint"]["checkpoint_id"]
        self._witness.edits[tag] = node, at
        try:
            values = {"log": [f"edit {tag}"]}
            await client.threads.update_state(thread_id, values, as_node=node, checkpoint_id=at)
        except Conflict:
            self._was_busy(thread_id, before)
            raise
        return f"{tag} as {node}"

    async def _patch(self, thread_id: str) -> str:
        client = await self._client()
        await client.threads.update(thread_id, metadata={"mood": self.random.random()})
        return "patched"

    async def _prune(self, thread_id: str) -> str:
        client = await self._client()
        return str(await client.threads.prune([thread_id], strategy="keep_latest"))
